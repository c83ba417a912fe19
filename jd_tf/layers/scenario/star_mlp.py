"""A network that all scenarios share and each bends."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int, check_units
from jd_tf.layers.scenario.partitioned_normalization import of_scenarios


@keras.saving.register_keras_serializable(package="jd_tf")
class StarMLP(BaseLayer):
    """Runs the network of each request's scenario (star topology).

        x_{l+1} = activation((W_l * W_ls) x_l + b_l + b_ls)

    W_l is shared by all scenarios, W_ls, which starts at ones, is the
    scenario's own. A request's matrices are made once for all its candidates,
    and so is the user's half of the first product.

    Args:
        num_scenarios: int. Scenarios S.
        units: tuple of ints. Widths of the layers.
        activation: str or callable. Of every layer but the last.

    Call arguments:
        candidate_features: (B, N, Dc) float.
        user_features: (B, Du) float.
        scenarios: (B,) integer from 0; others count as the nearest.

    Returns:
        (B, N, units[-1]) float.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> layer = StarMLP(num_scenarios=3, units=(8, 2))
        >>> layer(np.ones((1, 3, 5)), np.ones((1, 6)), np.array([2])).shape
        TensorShape([1, 3, 2])

    References:
        One Model to Serve All: Star Topology Adaptive Recommender for
        Multi-Domain CTR Prediction. Sheng et al., CIKM 2021 (equations 5 and
        6).
    """

    def __init__(
        self,
        num_scenarios: int,
        units: Sequence[int],
        activation: Any = "relu",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_scenarios = check_int("num_scenarios", num_scenarios, 1)
        self.units = check_units("units", units)
        self.activation = keras.activations.get(activation)

    def build(
        self,
        candidate_features_shape: tuple,
        user_features_shape: tuple,
        scenarios_shape: tuple,
    ):
        width = candidate_features_shape[-1] + user_features_shape[-1]
        self.kernels, self.biases = [], []
        for index, units in enumerate(self.units):
            shape, name = (width, units), f"kernel_{index}"
            self.kernels.append(self._pair(name, shape, "glorot_uniform", 1.0))
            self.biases.append(self._pair(f"bias_{index}", shape[1:], "zeros"))
            width = units

    def _pair(
        self, name: str, shape: tuple, start: str, own: float = 0.0
    ) -> tuple:
        """Returns a weight that scenarios share, and those of each."""
        return (
            self.add_weight(shape, start, name=name),
            self.add_weight(
                (self.num_scenarios, *shape),
                keras.initializers.Constant(own),
                name=f"scenario_{name}",
            ),
        )

    def call(
        self, candidate_features: Any, user_features: Any, scenarios: Any
    ) -> Any:
        hidden, first = candidate_features, candidate_features.shape[-1]
        for index in range(len(self.units)):
            kernel, bias = self._of_request(index, scenarios)
            if index == 0:
                user = user_features[:, None, :]
                bias += ops.matmul(user, kernel[:, first:])
                kernel = kernel[:, :first]
            else:
                hidden = self.activation(hidden)
            hidden = ops.matmul(hidden, kernel) + bias
        return hidden

    def _of_request(self, index: int, scenarios: Any) -> tuple:
        """Returns a layer's weights (B, D, units) and biases (B, 1, units)."""
        shared, own = (
            ops.cast(weight, self.compute_dtype)
            for weight in self.kernels[index]
        )
        kernel = of_scenarios(shared * own, scenarios)
        shared, own = (
            ops.cast(weight, self.compute_dtype)
            for weight in self.biases[index]
        )
        return kernel, of_scenarios(shared + own, scenarios)[:, None]

    def compute_output_shape(
        self,
        candidate_features_shape: tuple,
        user_features_shape: tuple,
        scenarios_shape: tuple,
    ) -> tuple:
        return (*candidate_features_shape[:2], self.units[-1])
