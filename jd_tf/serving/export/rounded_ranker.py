"""A ranker in half precision behind signatures in float32."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from jd_tf.schema import USER_ROLES
from jd_tf.serving.export.signatures import column_specs
from jd_tf.serving.signature_names import STATE_PREFIX


class RoundedRanker:
    """Answers as a ranker does, in float32 whatever it computes in.

    REST knows no half precision and NumPy no bfloat16, so the user's state
    travels as float32. Widening loses nothing: narrowed again, it is the
    state that was encoded.

    Args:
        original: the ranker that was rounded.
        rounded: what answers.

    Attributes:
        original: the same.
        schema: the columns of a request.
        layers: of what answers.
        weights: of what answers.
    """

    def __init__(self, original: Any, rounded: Any):
        self.original = original
        self.schema = original.schema
        self.layers = rounded.layers
        self.weights = rounded.weights
        self._rounded = rounded
        user = column_specs(self.schema, *USER_ROLES)
        traced = tf.function(
            rounded.encode_user, autograph=False
        ).get_concrete_function(dict(user))
        self._state_dtypes = {
            name: tensor.dtype
            for name, tensor in traced.structured_outputs.items()
            if name.startswith(STATE_PREFIX)
        }

    def __call__(
        self, inputs: Mapping[str, Any], training: bool = False
    ) -> dict[str, Any]:
        """See the ranker's own; floats are float32."""
        return _widened(self._rounded(inputs, training=training))

    def encode_user(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """See the ranker's own; floats are float32."""
        return _widened(self._rounded.encode_user(inputs))

    def rank(
        self, user_state: Mapping[str, Any], inputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See the ranker's own; floats are float32."""
        state = {
            name: tf.cast(tensor, self._state_dtypes[name])
            for name, tensor in user_state.items()
        }
        return _widened(self._rounded.rank(state, inputs))

    def explain(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """See the ranker's own; floats are float32."""
        return _widened(self._rounded.explain(inputs))


def _widened(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: tf.cast(tensor, tf.float32)
        if tensor.dtype in (tf.bfloat16, tf.float16)
        else tensor
        for name, tensor in tensors.items()
    }
