"""Shared experts, mixed for each objective by its own gate."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers.checks import check_int, check_rate, check_units
from jd_tf.layers.masking import softmax
from jd_tf.layers.multitask.stacked_mlp import StackedMLP
from jd_tf.layers.split_layer import SplitLayer


@keras.saving.register_keras_serializable(package="jd_tf")
class MixtureOfExperts(SplitLayer):
    """Multi-gate mixture of experts over a user's candidates.

    Each objective t gets sum_e gate_te(x) * expert_e(x), where x is the
    user's and the candidate's features side by side. As W x = W_user user +
    W_candidate candidate, the user half of every first product is computed
    once a request: `encode_user` does that half, `mix` the candidate's, and
    calling the layer chains both. The user half may itself be split:
    `encode_user` of the columns that outlive a request, then `add_request` of
    the others. The first layers of all experts and all gates are one product.

    Args:
        num_experts: int. Experts E.
        expert_units: tuple of ints. Widths of each expert, first layer
            first.
        num_tasks: int. Objectives T, a gate for each.
        activation: str or callable. Of every layer of the experts.
        dropout_rate: float. Dropout after every layer of the experts but
            the last.

    Call arguments:
        candidate_features: (B, N, Dc) float.
        user_features: (B, Du) float.
        training: bool. Whether dropout is active.

    Returns:
        (B, N, T, expert_units[-1]) float.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> layer = MixtureOfExperts(4, expert_units=(16, 8), num_tasks=2)
        >>> candidates, user = np.ones((1, 3, 5)), np.ones((1, 6))
        >>> layer(candidates, user).shape
        TensorShape([1, 3, 2, 8])
        >>> state = layer.encode_user(user[:, :4])
        >>> state = layer.add_request(state, user[:, 4:])
        >>> layer.mix(candidates, state).shape
        TensorShape([1, 3, 2, 8])

    References:
        Modeling Task Relationships in Multi-task Learning with Multi-gate
        Mixture-of-Experts. Ma et al., KDD 2018 (equation 6).
    """

    def __init__(
        self,
        num_experts: int,
        expert_units: Sequence[int],
        num_tasks: int,
        activation: Any = "relu",
        dropout_rate: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_experts = check_int("num_experts", num_experts, 1)
        self.expert_units = check_units("expert_units", expert_units)
        self.num_tasks = check_int("num_tasks", num_tasks, 1)
        self.activation = keras.activations.get(activation)
        self.dropout_rate = check_rate("dropout_rate", dropout_rate)
        self.output_dims = self.num_tasks, self.expert_units[-1]

    def build(
        self, candidate_features_shape: tuple, user_features_shape: tuple
    ):
        units = self.num_experts * (self.expert_units[0] + self.num_tasks)
        self.make_halves(
            candidate_features_shape[-1], user_features_shape[-1], units
        )
        self.dropout = self.add_part(
            keras.layers.Dropout,
            "dropout",
            (None, self.expert_units[0]),
            self.dropout_rate,
        )
        if len(self.expert_units) > 1:
            self.deeper = self.add_part(
                StackedMLP,
                "deeper",
                (None, self.num_experts, self.expert_units[0]),
                self.expert_units[1:],
                activation=self.activation,
                last_activation=self.activation,
                dropout_rate=self.dropout_rate,
            )

    def mix(
        self,
        candidate_features: Any,
        user_state: Any,
        training: bool | None = None,
    ) -> Any:
        """Runs experts and gates for each candidate.

        `user_state` is of `encode_user`; the rest is that of the call.
        """
        num_candidates = ops.shape(candidate_features)[1]
        *hidden, scores = self._first_layer(candidate_features, user_state)
        hidden = [self.activation(one) for one in hidden]
        if len(self.expert_units) > 1:
            hidden = [self.dropout(one, training=training) for one in hidden]
            hidden = self.deeper.each(hidden, training=training)
        gates = ops.cast(self._gates(scores), self.compute_dtype)
        return ops.reshape(
            ops.matmul(gates, ops.stack(hidden, axis=1)),
            (-1, num_candidates, self.num_tasks, self.expert_units[-1]),
        )

    def gate_weights(self, candidate_features: Any, user_state: Any) -> Any:
        """Returns the share of each expert for each objective.

        Arguments are those of `mix`.

        Returns:
            (B, N, T, E) float32, sums to 1 over the experts.
        """
        num_candidates = ops.shape(candidate_features)[1]
        scores = self._first_layer(candidate_features, user_state)[-1]
        shape = (-1, num_candidates, self.num_tasks, self.num_experts)
        return ops.reshape(self._gates(scores), shape)

    def _first_layer(self, candidate_features: Any, user_state: Any) -> list:
        """Returns the experts' first layers, and last (B * N, T * E) gates."""
        both = self.first_product(candidate_features, user_state)
        units = self.expert_units[0]
        ends = [units * number for number in range(1, self.num_experts + 1)]
        # The gradient of a split is one concatenation; that of a slice is a
        # padding with zeros for each slice.
        return ops.split(both, ends, axis=-1)

    def _gates(self, scores: Any) -> Any:
        """Turns scores (B * N, T * E) into shares (B * N, T, E)."""
        shape = (-1, self.num_tasks, self.num_experts)
        return softmax(ops.reshape(scores, shape))
