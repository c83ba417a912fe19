"""A model in this process as if it were served."""

from typing import Any

import tensorflow as tf

from jd_tf.serving.client.transport import (
    Answer,
    Call,
    ModelDescription,
    Operation,
    Transport,
)
from jd_tf.serving.export.signatures import ServedRanker


class LiveTransport(Transport):
    """Calls the signatures of a live ranker, without a SavedModel.

    The weights are those of the model at each call. Its version is 0.

    Args:
        model: a built `RankingModel`.
        where: names it in messages.
    """

    remote = False

    def __init__(self, model: Any, where: str = "live model"):
        self.where = where
        self.schema = model.schema
        self._functions = ServedRanker(model).functions()
        self._description = ModelDescription(
            0,
            {
                name: {
                    "inputs": _table(function.structured_input_signature[1]),
                    "outputs": _table(function.structured_outputs),
                }
                for name, function in self._functions.items()
            },
        )

    def call(self, operation: Operation, timeout: float) -> Any:
        """See `Transport`; it cannot be cut short."""
        del timeout
        if not isinstance(operation, Call):
            return self._description
        tensors = {n: tf.constant(a) for n, a in operation.inputs.items()}
        outputs = self._functions[operation.signature](**tensors)
        return Answer({n: t.numpy() for n, t in outputs.items()}, 0)

    def close(self) -> None:
        """Does nothing: the model is the caller's."""


def _table(specs: Any) -> dict[str, dict[str, Any]]:
    return {
        name: {"dtype": spec.dtype.name, "shape": list(spec.shape)}
        for name, spec in specs.items()
    }
