"""The signatures of a served ranker, and the columns they take."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf

from jd_tf.schema import (
    HISTORY_ROLES,
    REQUEST_ROLES,
    SERVING_ROLES,
    Column,
    Role,
    Schema,
)
from jd_tf.serving.errors import ExportError
from jd_tf.serving.export.safe_calls import safe_inputs, safe_outputs
from jd_tf.serving.signature_names import (
    AMOUNTS,
    APPEND_EVENTS,
    APPEND_PREFIX,
    ENCODE_AND_RANK,
    ENCODE_USER,
    EXPLAIN,
    ITEM_ID,
    NUM_CANDIDATES,
    PER_REQUEST,
    RANK_CANDIDATES,
    RANKED,
    REQUEST_TIME,
    SERVING_DEFAULT,
    SIGNATURES,
    STATE_PREFIX,
)

_ROLES = {
    SERVING_DEFAULT: SERVING_ROLES,
    ENCODE_USER: HISTORY_ROLES,
    RANK_CANDIDATES: (*REQUEST_ROLES, Role.CANDIDATE),
    EXPLAIN: SERVING_ROLES,
    ENCODE_AND_RANK: SERVING_ROLES,
    APPEND_EVENTS: HISTORY_ROLES,
}


class ServedRanker:
    """A `RankingModel` as it is served: functions of named, typed tensors.

    Signatures take the columns that the model reads and their lengths; those of
    candidates take `item_id` in any case. A state that is not `reusable`
    belongs to a moment: `encode_user` takes that, too, read or not.
    """

    def __init__(self, model: Any):
        self.schema: Schema = model.schema
        self._model = model
        self._functions = {
            SERVING_DEFAULT: self._serve,
            ENCODE_USER: self._encode_user,
            RANK_CANDIDATES: self._rank,
            EXPLAIN: self._explain,
            ENCODE_AND_RANK: self._encode_and_rank,
            APPEND_EVENTS: self._append_events,
        }
        appended = (APPEND_EVENTS,) * model.can_append
        self.signatures: tuple[str, ...] = (*SIGNATURES, *appended)
        self._specs: dict[str, dict[str, tf.TensorSpec]] = {}

    def variables(self) -> tf.Module:
        """Collects variables and tables of the functions, no optimizer's."""
        return exported_state(
            self._model.layers, self._model.weights, "served_ranker"
        )

    def functions(self) -> dict[str, Any]:
        """Traces the signatures: name -> concrete function of keywords.

        Those that encode and rank call the traces of the two halves: the graph
        holds the model once.
        """
        halves: dict[str, Any] = {}
        reads: dict[str, set[str]] = {}
        traced: dict[str, Any] = {}
        both = (SERVING_DEFAULT, ENCODE_AND_RANK)
        left = (n for n in self.signatures if n not in both)
        for signature in (*left, *both):
            specs = column_specs(self.schema, *_ROLES[signature])
            if signature == ENCODE_USER:
                specs = state_columns(self._model)
            if signature == RANK_CANDIDATES:
                specs |= _state_specs(halves[ENCODE_USER].structured_outputs)
            if signature == APPEND_EVENTS:
                first = _traced(self._append_events, specs)
                specs |= _state_specs(first.structured_outputs, APPEND_PREFIX)
            self._specs[signature] = specs
            if signature in both:
                inner = functools.partial(self._halves, halves, signature)
                reads[signature] = reads[ENCODE_USER] | reads[RANK_CANDIDATES]
            else:
                inner = _traced(self._functions[signature], specs)
                halves[signature] = inner
                reads[signature] = _inputs_read(inner, specs)
            read = reads[signature] | {ITEM_ID}
            if not self._model.reusable:
                read.add(REQUEST_TIME)
            read |= {c.length for c in self.schema.columns() if c.name in read}
            taken = {n: spec for n, spec in specs.items() if n in read}
            traced[signature] = _traced(
                functools.partial(self._safely, signature, inner), taken
            )
        return {signature: traced[signature] for signature in self.signatures}

    def answer(
        self, signature: str, inputs: Mapping[str, Any]
    ) -> dict[str, tf.Tensor]:
        """Calls the live model, without a trace or a SavedModel."""
        tensors = {n: tf.convert_to_tensor(v) for n, v in inputs.items()}
        return self._safely(signature, self._functions[signature], **tensors)

    def _safely(
        self, signature: str, function: Any, **inputs: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Calls a function of all columns with those that it reads."""
        specs, columns = self._specs[signature], self.schema.columns()
        safe = safe_inputs(inputs, specs, columns)
        outputs = function(**safe, **_unread(safe, specs, columns))
        return _named(safe_outputs(outputs, inputs, safe.get(NUM_CANDIDATES)))

    def _serve(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return _ranked(self._model(inputs, training=False))

    def _encode_user(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return _named(self._model.encode_user(inputs))

    def _rank(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return _ranked(self._model.rank(state_of(inputs), inputs, inputs))

    def _encode_and_rank(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        state = self._encode_user(**inputs)
        return {**state, **_ranked(self._model.rank(state, inputs, inputs))}

    def _halves(
        self, halves: Mapping[str, Any], signature: str, **inputs: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Encodes users, then ranks, by functions that are traced already."""
        state: dict[str, tf.Tensor] = {}
        for half in (ENCODE_USER, RANK_CANDIDATES):
            given = inputs | state
            state |= halves[half](**{n: given[n] for n in self._specs[half]})
        return state if signature == ENCODE_AND_RANK else _ranked(state)

    def _append_events(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        kept = state_of(inputs, APPEND_PREFIX)
        return _named(self._model.append_events(kept, inputs))

    def _explain(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return _named(self._model.explain(inputs))


def column_specs(schema: Schema, *roles: Role) -> dict[str, tf.TensorSpec]:
    """Returns named, typed specs of the columns with these roles."""
    return {
        column.name: tf.TensorSpec(column.shape, column.dtype, column.name)
        for column in schema.columns(*roles)
    }


def state_columns(model: Any) -> dict[str, tf.TensorSpec]:
    """Returns specs of what a model's state may be made of."""
    specs = column_specs(model.schema, *HISTORY_ROLES)
    if not model.reusable:
        specs[REQUEST_TIME] = tf.TensorSpec((None,), "int64", REQUEST_TIME)
    return specs


def state_of(
    tensors: Mapping[str, Any], prefix: str = STATE_PREFIX
) -> dict[str, Any]:
    """Selects the tensors of the user state, or of what is kept beside it."""
    return {n: t for n, t in tensors.items() if n.startswith(prefix)}


def _ranked(ranked: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    wanted = (*RANKED, AMOUNTS, *PER_REQUEST)
    return _named({name: ranked[name] for name in wanted if name in ranked})


def _named(tensors: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Copies tensors: an input that is an output, too, needs a new name."""
    return {name: tf.identity(tensor) for name, tensor in tensors.items()}


def _traced(function: Any, specs: Mapping[str, tf.TensorSpec]) -> Any:
    return tf.function(function, autograph=False).get_concrete_function(**specs)


def _inputs_read(function: Any, specs: Mapping[str, Any]) -> set[str]:
    """Names the inputs that outputs depend on."""
    found: set[Any] = set()
    left = [tensor.op for tensor in function.outputs]
    while left:
        op = left.pop()
        if op not in found:
            found.add(op)
            left += (*op.control_inputs, *(tensor.op for tensor in op.inputs))
    # Inputs are in the order of their names, before what is captured.
    inputs = dict(zip(sorted(specs), function.inputs, strict=False))
    return {name for name in specs if inputs[name].op in found}


def _unread(
    inputs: Mapping[str, tf.Tensor],
    specs: Mapping[str, tf.TensorSpec],
    columns: Iterable[Column],
) -> dict[str, tf.Tensor]:
    """Makes what a function takes and does not read, of the size of inputs."""
    lengths = {column.name: column.length for column in columns}
    widths = {
        lengths[name]: tf.shape(tensor)[1]
        for name, tensor in inputs.items()
        if lengths.get(name)
    }
    rows = tf.shape(inputs[next(iter(inputs))])[0]
    made = {}
    for name in specs.keys() - inputs.keys():
        width = widths.get(lengths.get(name, ""), 1)
        inner = [width if n is None else n for n in specs[name].shape[1:]]
        made[name] = tf.zeros((rows, *inner), specs[name].dtype)
    return made


def _state_specs(
    outputs: Mapping[str, Any], prefix: str = STATE_PREFIX
) -> dict[str, tf.TensorSpec]:
    specs = {}
    for name, tensor in state_of(outputs, prefix).items():
        shape = tensor.shape
        if shape.rank is None or shape.rank < 1 or shape[0] is not None:
            raise ExportError(
                f"the model returned `{name}` with shape {shape}; its "
                "rank must be known and dimension 0 must be B."
            )
        specs[name] = tf.TensorSpec(shape, tensor.dtype, name)
    if not specs:
        raise ExportError(
            f"the model returned no `{prefix}*` tensor. Got: {sorted(outputs)}."
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
            state, tf.Variable | tf.saved_model.experimental.TrackableResource
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
