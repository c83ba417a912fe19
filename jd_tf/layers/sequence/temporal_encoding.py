"""Position and age of the events of a history."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int, check_positive
from jd_tf.layers.sequence.event_times import TWO_YEARS, age_bucket


@keras.saving.register_keras_serializable(package="jd_tf")
class TemporalEncoding(BaseLayer):
    """Adds its position and its age to each event.

    Two learned tables are summed onto the event: its position counted from
    the newest event, and its age in logarithmic buckets. Position alone
    cannot tell a minute from a month; age alone cannot order a burst of
    clicks. Bucket k starts at age (1 + max_age) ** (k / (buckets - 1)) - 1:
    64 buckets to two years are 2.4 to a doubling of age.

    Args:
        max_length: int. Positions; older events share the last one.
        num_age_buckets: int. Age buckets, at least 2.
        max_age_seconds: float. This age and every greater one share the
            last bucket.
        use_position: bool. Whether positions are added.
        use_recency: bool. Whether ages are added.

    Call arguments:
        inputs: (B, L, D) float. Events, newest first.
        age_seconds: (B, L) float, >= 0. Request time minus event time; may
            be left out without `use_recency`. Pass float32: half precision
            overflows after 18 hours.

    Returns:
        (B, L, D) float.

    Raises:
        ValueError: an argument out of range, nothing to add, or no ages.

    Example:
        >>> events, ages = np.zeros((1, 3, 4)), np.array([[5.0, 60.0, 1e6]])
        >>> TemporalEncoding(max_length=10)(events, ages).shape
        TensorShape([1, 3, 4])
    """

    def __init__(
        self,
        max_length: int,
        num_age_buckets: int = 64,
        max_age_seconds: float = TWO_YEARS,
        use_position: bool = True,
        use_recency: bool = True,
        **kwargs,
    ):
        # Keras would cast the ages to half precision, and so to infinity.
        super().__init__(**{**kwargs, "autocast": False})
        self.max_length = check_int("max_length", max_length, 1)
        self.num_age_buckets = check_int("num_age_buckets", num_age_buckets, 2)
        if not (use_position or use_recency):
            raise ValueError(
                "At least one of `use_position` and `use_recency` must be "
                "True. Got: both False."
            )
        self.max_age_seconds = check_positive(
            "max_age_seconds", max_age_seconds
        )
        self.use_position = use_position
        self.use_recency = use_recency
        self.supports_masking = True

    def build(self, inputs_shape: tuple):
        dim = inputs_shape[-1]
        if self.use_position:
            self.position_table = self.add_weight(
                (self.max_length, dim), "uniform", name="position_table"
            )
        if self.use_recency:
            self.age_table = self.add_weight(
                (self.num_age_buckets, dim), "uniform", name="age_table"
            )

    def call(self, inputs: Any, age_seconds: Any = None) -> Any:
        if self.use_recency and age_seconds is None:
            raise ValueError(
                f"Layer {self.name!r} has `use_recency`: give `age_seconds`."
            )
        outputs = ops.cast(inputs, self.compute_dtype)
        if self.use_position:
            position = ops.minimum(
                ops.arange(ops.shape(inputs)[1]), self.max_length - 1
            )
            outputs += self._rows(self.position_table, position)
        if self.use_recency:
            bucket = age_bucket(
                age_seconds, self.num_age_buckets, self.max_age_seconds
            )
            outputs += self._rows(self.age_table, bucket)
        return outputs

    def _rows(self, table: Any, index: Any) -> Any:
        # Not `ops.take`, which counts negative rows from the end.
        return tf.gather(ops.cast(table, self.compute_dtype), index)

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        return tuple(inputs_shape)
