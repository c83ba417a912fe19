"""A signature called without what Python spends on its arguments."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf


class FastCall:
    """Calls a signature of a SavedModel by the op that runs its graph.

    A signature called by name converts each argument on its own and then
    checks it against its type. Of 24 arguments, that takes as long as the
    graph of a small ranking. The op takes all arrays at once; what is left to
    check, dtype and shape, is compared here.

    Only a call for one request goes that way: for many, arguments are a small
    part, and the signature itself was seen to use more threads.

    Args:
        function: a signature of `tf.saved_model.load`.

    Attributes:
        specs: of the inputs, by name.
    """

    def __init__(self, function: Any):
        specs = function.structured_input_signature[1]
        # As TensorFlow flattens a dict: by its keys, sorted.
        self.specs = {name: specs[name] for name in sorted(specs)}
        self._function = function
        self._captured = list(function.captured_inputs)
        self._expected = [
            (np.dtype(spec.dtype.as_numpy_dtype), spec.shape.as_list())
            for spec in self.specs.values()
        ]
        self._structure = function.structured_outputs
        self._dtypes = [spec.dtype for spec in tf.nest.flatten(self._structure)]

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Runs the graph.

        Args:
            inputs: arrays by the names of `specs`.

        Returns:
            Tensors by output name.
        """
        arrays = [inputs[name] for name in self.specs]
        if not all(map(_fits, arrays, self._expected)):
            # Converts what can be, and says what is wrong with the rest.
            return self._function(
                **{
                    name: tf.constant(inputs[name], spec.dtype)
                    for name, spec in self.specs.items()
                }
            )
        outputs = tf.raw_ops.StatefulPartitionedCall(
            args=[*arrays, *self._captured],
            Tout=self._dtypes,
            f=self._function,
        )
        return tf.nest.pack_sequence_as(self._structure, outputs)


def _fits(array: Any, expected: tuple[np.dtype, list]) -> bool:
    """Whether a value is an array, of one request, as the op takes it."""
    dtype, shape = expected
    return (
        isinstance(array, np.ndarray)
        and array.dtype == dtype
        and len(array.shape) == len(shape)
        and array.shape[:1] == (1,)
        and all(
            size is None or size == found
            for size, found in zip(shape, array.shape, strict=True)
        )
    )
