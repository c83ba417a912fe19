"""Networks over a user's and the candidates' features."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers.checks import check_int, check_rate, check_units
from jd_tf.layers.multitask.stacked_mlp import StackedMLP
from jd_tf.layers.split_layer import SplitLayer


@keras.saving.register_keras_serializable(package="jd_tf")
class SplitMLP(SplitLayer):
    """Runs S multi-layer perceptrons over user and candidate, side by side.

    All read the same features. The user's half of their first layers is
    computed once a request, see `encode_user`, `add_request` and `mix`.

    Args:
        units: tuple of ints. Widths of each network, first layer first.
        num_networks: int. Networks S.
        activation: str or callable. Of every layer but the last.
        last_activation: str, callable or None. Of the last layer.
        dropout_rate: float. Dropout after every layer but the last.

    Call arguments:
        candidate_features: (B, N, Dc) float.
        user_features: (B, Du) float.
        training: bool. Whether dropout is active.

    Returns:
        (B, N, S, units[-1]) float.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> layer = SplitMLP(units=(16, 4), num_networks=2)
        >>> layer(np.ones((1, 3, 5)), np.ones((1, 6))).shape
        TensorShape([1, 3, 2, 4])
    """

    def __init__(
        self,
        units: Sequence[int],
        num_networks: int = 1,
        activation: Any = "relu",
        last_activation: Any = None,
        dropout_rate: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units = check_units("units", units)
        self.num_networks = check_int("num_networks", num_networks, 1)
        self.activation = keras.activations.get(activation)
        self.last_activation = keras.activations.get(last_activation)
        self.dropout_rate = check_rate("dropout_rate", dropout_rate)
        self.output_dims = self.num_networks, self.units[-1]

    def build(
        self, candidate_features_shape: tuple, user_features_shape: tuple
    ):
        first, number = self.units[0], self.num_networks
        self.make_halves(
            candidate_features_shape[-1],
            user_features_shape[-1],
            first * number,
        )
        self.dropout = self.add_part(
            keras.layers.Dropout, "dropout", (None, first), self.dropout_rate
        )
        if len(self.units) > 1:
            self.deeper = self.add_part(
                StackedMLP,
                "deeper",
                (None, number, first),
                self.units[1:],
                activation=self.activation,
                last_activation=self.last_activation,
                dropout_rate=self.dropout_rate,
            )

    def mix(
        self,
        candidate_features: Any,
        user_state: Any,
        training: bool | None = None,
    ) -> Any:
        """See `SplitLayer`."""
        num_candidates = ops.shape(candidate_features)[1]
        first = self.first_product(candidate_features, user_state)
        if len(self.units) > 1:
            first = self.dropout(self.activation(first), training=training)
            slices = ops.split(first, self.num_networks, axis=-1)
            outputs = self.deeper.each(slices, training=training)
        else:
            outputs = [self.last_activation(first)]
        return ops.reshape(
            ops.concatenate(outputs, axis=-1),
            (-1, num_candidates, self.num_networks, self.units[-1]),
        )
