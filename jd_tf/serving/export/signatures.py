"""The signatures of a served ranker, and the columns they take."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf

from jd_tf.schema import (
    HISTORY_ROLES,
    REQUEST_ROLES,
    SERVING_ROLES,
    Role,
    Schema,
)
from jd_tf.serving.errors import ExportError
from jd_tf.serving.signature_names import (
    ENCODE_USER,
    EXPLAIN,
    PER_REQUEST,
    RANK_CANDIDATES,
    RANKED,
    SERVING_DEFAULT,
    STATE_PREFIX,
)

# In the order of tracing: `rank_candidates` takes what `encode_user` returns.
_ROLES = {
    SERVING_DEFAULT: SERVING_ROLES,
    ENCODE_USER: HISTORY_ROLES,
    RANK_CANDIDATES: (*REQUEST_ROLES, Role.CANDIDATE),
    EXPLAIN: SERVING_ROLES,
}


class ServedRanker:
    """A `RankingModel` as it is served: functions of named, typed tensors."""

    def __init__(self, model: Any):
        self.schema: Schema = model.schema
        self._model = model
        self._functions = {
            SERVING_DEFAULT: self._serve,
            ENCODE_USER: self._encode_user,
            RANK_CANDIDATES: self._rank,
            EXPLAIN: self._explain,
        }

    def variables(self) -> tf.Module:
        """Collects variables and tables of the functions, no optimizer's."""
        return exported_state(
            self._model.layers, self._model.weights, "served_ranker"
        )

    def functions(self) -> dict[str, Any]:
        """Traces the signatures: name -> concrete function of keywords."""
        traced: dict[str, Any] = {}
        for signature, roles in _ROLES.items():
            specs = column_specs(self.schema, *roles)
            if signature == RANK_CANDIDATES:
                specs |= _state_specs(traced[ENCODE_USER].structured_outputs)
            function = tf.function(self._functions[signature], autograph=False)
            traced[signature] = function.get_concrete_function(**specs)
        return traced

    def answer(
        self, signature: str, inputs: Mapping[str, Any]
    ) -> dict[str, tf.Tensor]:
        """Calls the live model, without a trace or a SavedModel."""
        tensors = {n: tf.convert_to_tensor(v) for n, v in inputs.items()}
        return self._functions[signature](**tensors)

    def _serve(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return _ranked(self._model(inputs, training=False))

    def _encode_user(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return _named(self._model.encode_user(inputs))

    def _rank(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return _ranked(self._model.rank(state_of(inputs), inputs, inputs))

    def _explain(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return _named(self._model.explain(inputs))


def column_specs(schema: Schema, *roles: Role) -> dict[str, tf.TensorSpec]:
    """Returns named, typed specs of the columns with these roles."""
    return {
        column.name: tf.TensorSpec(column.shape, column.dtype, column.name)
        for column in schema.columns(*roles)
    }


def state_of(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Selects the tensors of the user state."""
    return {n: t for n, t in tensors.items() if n.startswith(STATE_PREFIX)}


def _ranked(ranked: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    wanted = (*RANKED, *PER_REQUEST)
    return _named({name: ranked[name] for name in wanted if name in ranked})


def _named(tensors: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Copies tensors: an input that is an output, too, needs a new name."""
    return {name: tf.identity(tensor) for name, tensor in tensors.items()}


def _state_specs(outputs: Mapping[str, Any]) -> dict[str, tf.TensorSpec]:
    specs = {}
    for name, tensor in state_of(outputs).items():
        shape = tensor.shape
        if shape.rank is None or shape.rank < 1 or shape[0] is not None:
            raise ExportError(
                f"`encode_user` returned `{name}` with shape {shape}; its "
                "rank must be known and dimension 0 must be B."
            )
        specs[name] = tf.TensorSpec(shape, tensor.dtype, name)
    if not specs:
        raise ExportError(
            f"`encode_user` returned no `{STATE_PREFIX}*` tensor. Got: "
            f"{sorted(outputs)}."
        )
    return specs


def exported_state(
    layers: Iterable[Any], weights: Iterable[Any], name: str
) -> tf.Module:
    """Collects TensorFlow's own variables and tables, and no Keras object.

    Keras exports a *copy* of the variable underneath its own, which a model
    server's restore op would fill in its place.
    """
    found: dict[int, Any] = {}
    descendants = (
        part for layer in layers for part in _View(layer).descendants()
    )
    for part in (*weights, *descendants):
        # The variable that Keras wraps, not the copy it would export.
        state = part.value if isinstance(part, keras.Variable) else part
        if isinstance(
            state,
            tf.Variable | tf.saved_model.experimental.TrackableResource,
        ):
            found[id(state)] = state
    module = tf.Module(name=name)
    module.state = list(found.values())
    return module


class _View(tf.train.TrackableView):
    """A view of all a SavedModel would hold; a checkpoint has no tables."""

    @classmethod
    def children(
        cls, obj: Any, save_type: str = "savedmodel", **kwargs: Any
    ) -> Any:
        # The traversal keeps traced functions in it.
        kwargs.setdefault("cache", {})
        return super().children(obj, save_type, **kwargs)
