"""The signatures of a served ranker, and the columns they take."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from jd_tf.schema import (
    HISTORY_ROLES,
    REQUEST_ROLES,
    SERVING_ROLES,
    Role,
    Schema,
)
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.exported_state import exported_state
from jd_tf.serving.signature_names import (
    ENCODE_USER,
    EXPLAIN,
    PER_REQUEST,
    RANK_CANDIDATES,
    RANKED,
    SERVING_DEFAULT,
    STATE_PREFIX,
)

_ROLES = {
    SERVING_DEFAULT: SERVING_ROLES,
    ENCODE_USER: HISTORY_ROLES,
    RANK_CANDIDATES: (*REQUEST_ROLES, Role.CANDIDATE),
    EXPLAIN: SERVING_ROLES,
}


class ServedRanker:
    """A ranker as it is served: functions of named, typed tensors.

    Args:
        model: a `RankingModel`.
        schema: the columns of a request; the model's own by default.
    """

    def __init__(self, model: Any, schema: Schema | None = None):
        self.schema = schema or model.schema
        self._model = model

    def variables(self) -> tf.Module:
        """Collects variables and look-up tables that the functions read.

        The optimizer is not among them.
        """
        return exported_state(
            self._model.layers, self._model.weights, "served_ranker"
        )

    def functions(self) -> dict[str, Any]:
        """Traces the signatures.

        Returns:
            Concrete functions by signature name, keyword tensors in, a dict
            of tensors out.

        Raises:
            ExportError: if the user state cannot be sent to a server.
        """
        histories = column_specs(self.schema, *_ROLES[ENCODE_USER])
        everything = column_specs(self.schema, *_ROLES[SERVING_DEFAULT])
        ranked = column_specs(self.schema, *_ROLES[RANK_CANDIDATES])
        traced = {
            SERVING_DEFAULT: _trace(self._serve, everything),
            ENCODE_USER: _trace(self._encode_user, histories),
        }
        state = _state_specs(traced[ENCODE_USER].structured_outputs)
        traced[RANK_CANDIDATES] = _trace(self._rank, {**state, **ranked})
        traced[EXPLAIN] = _trace(self._explain, everything)
        return traced

    def answer(
        self, signature: str, inputs: Mapping[str, Any]
    ) -> dict[str, tf.Tensor]:
        """Calls the live model, without a trace or a SavedModel.

        Args:
            signature: one of `signature_names.SIGNATURES`.
            inputs: tensors or arrays by name, as the signature takes them.

        Returns:
            The signature's outputs.
        """
        answers = {
            SERVING_DEFAULT: self._serve,
            ENCODE_USER: self._encode_user,
            RANK_CANDIDATES: self._rank,
            EXPLAIN: self._explain,
        }
        tensors = {n: tf.convert_to_tensor(v) for n, v in inputs.items()}
        return answers[signature](**tensors)

    def _serve(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return _ranked(self._model(inputs, training=False))

    def _encode_user(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return _named(self._model.encode_user(inputs))

    def _rank(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        state, rest = split_state(inputs)
        return _ranked(self._model.rank(state, rest, rest))

    def _explain(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return _named(self._model.explain(inputs))


def column_specs(schema: Schema, *roles: Role) -> dict[str, tf.TensorSpec]:
    """Returns named, typed specs of the columns with these roles."""
    return {
        column.name: tf.TensorSpec(column.shape, column.dtype, column.name)
        for column in schema.columns(*roles)
    }


def split_state(
    tensors: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits tensors into the user state and the rest."""
    state = {n: t for n, t in tensors.items() if n.startswith(STATE_PREFIX)}
    rest = {n: t for n, t in tensors.items() if n not in state}
    return state, rest


def _ranked(ranked: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Selects the outputs of a ranking that are served."""
    wanted = (*RANKED, *PER_REQUEST)
    return _named({name: ranked[name] for name in wanted if name in ranked})


def _trace(function: Any, specs: Mapping[str, tf.TensorSpec]) -> Any:
    return tf.function(function, autograph=False).get_concrete_function(**specs)


def _named(tensors: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Copies tensors: an input that is an output, too, needs a new name."""
    return {name: tf.identity(tensor) for name, tensor in tensors.items()}


def _state_specs(outputs: Mapping[str, Any]) -> dict[str, tf.TensorSpec]:
    state, _ = split_state(outputs)
    if not state:
        raise ExportError(
            f"`encode_user` returned no `{STATE_PREFIX}*` tensor. Got: "
            f"{sorted(outputs)}."
        )
    specs = {}
    for name, tensor in state.items():
        shape = tensor.shape
        if shape.rank is None or shape.rank < 1 or shape[0] is not None:
            raise ExportError(
                f"`encode_user` returned `{name}` with shape {shape}; its "
                "rank must be known and dimension 0 must be B."
            )
        specs[name] = tf.TensorSpec(shape, tensor.dtype, name)
    return specs
