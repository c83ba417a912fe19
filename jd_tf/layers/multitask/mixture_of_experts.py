"""Shared experts, mixed for each objective by its own gate."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int, check_rate, check_units
from jd_tf.layers.masking import softmax
from jd_tf.layers.multitask.stacked_mlp import StackedMLP


@keras.saving.register_keras_serializable(package="jd_tf")
class MixtureOfExperts(BaseLayer):
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

    @property
    def user_state_dim(self) -> int:
        """Width of what `encode_user` returns."""
        return self.num_experts * (self.expert_units[0] + self.num_tasks)

    def build(
        self, candidate_features_shape: tuple, user_features_shape: tuple
    ):
        candidate_dim = candidate_features_shape[-1]
        user_dim = user_features_shape[-1]

        def half(name, dim, use_bias):
            # Both halves together start as one layer of that fan-in would; a
            # half of nothing has no weights, but a share must be positive.
            share = max(dim, 1) / (candidate_dim + user_dim)
            return self.add_dense(
                name,
                dim,
                self.user_state_dim,
                use_bias=use_bias,
                kernel_initializer=keras.initializers.VarianceScaling(
                    share, "fan_in", "uniform"
                ),
            )

        self.user_half = half("user_half", user_dim, True)
        self.candidate_half = half("candidate_half", candidate_dim, False)
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

    def encode_user(self, user_features: Any) -> Any:
        """Computes the user's half of the first layer, once a user.

        Args:
            user_features: (B, Du) float, or its first columns alone; those
                known only with the request are added by `add_request`.

        Returns:
            (B, `user_state_dim`) float: the user state.

        Raises:
            ValueError: more columns than the layer was built for.
        """
        width = self._user_width("user_features", user_features)
        if width == self.user_half.kernel.shape[0]:
            return self.user_half(user_features)
        state = self._user_product(user_features, self.user_half.kernel[:width])
        return state + ops.cast(self.user_half.bias, state.dtype)

    def add_request(self, user_state: Any, request_features: Any) -> Any:
        """Adds the features that `encode_user` was not given.

        Args:
            user_state: (B, `user_state_dim`) float, of `encode_user`.
            request_features: (B, Dr) float, the last Dr of the Du columns.

        Returns:
            As `encode_user` of all Du columns.

        Raises:
            ValueError: more columns than the layer was built for.
        """
        width = self._user_width("request_features", request_features)
        first = self.user_half.kernel.shape[0] - width
        request = self._user_product(
            request_features, self.user_half.kernel[first:]
        )
        return ops.cast(user_state, request.dtype) + request

    def _user_width(self, name: str, features: Any) -> int:
        width, full = features.shape[-1], self.user_half.kernel.shape[0]
        if width is None or width > full:
            raise ValueError(
                f"`{name}` must have at most {full} columns, as the layer "
                f"was built. Got: {tuple(features.shape)}."
            )
        return width

    def _user_product(self, features: Any, kernel: Any) -> Any:
        return ops.matmul(
            ops.cast(features, self.compute_dtype),
            ops.cast(kernel, self.compute_dtype),
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

    def call(
        self,
        candidate_features: Any,
        user_features: Any,
        training: bool | None = None,
    ) -> Any:
        user_state = self.encode_user(user_features)
        return self.mix(candidate_features, user_state, training=training)

    def _first_layer(self, candidate_features: Any, user_state: Any) -> list:
        """Returns the experts' first layers, and last (B * N, T * E) gates."""
        num_candidates, dim = ops.shape(candidate_features)[1:]
        flat = ops.reshape(candidate_features, (-1, dim))
        candidates = ops.reshape(
            self.candidate_half(flat),
            (-1, num_candidates, self.user_state_dim),
        )
        user = ops.cast(user_state, candidates.dtype)[:, None, :]
        both = ops.reshape(candidates + user, (-1, self.user_state_dim))
        units = self.expert_units[0]
        ends = [units * number for number in range(1, self.num_experts + 1)]
        # The gradient of a split is one concatenation; that of a slice is a
        # padding with zeros for each slice.
        return ops.split(both, ends, axis=-1)

    def _gates(self, scores: Any) -> Any:
        """Turns scores (B * N, T * E) into shares (B * N, T, E)."""
        shape = (-1, self.num_tasks, self.num_experts)
        return softmax(ops.reshape(scores, shape))

    def compute_output_shape(
        self, candidate_features_shape: tuple, user_features_shape: tuple
    ) -> tuple:
        return (
            *candidate_features_shape[:2],
            self.num_tasks,
            self.expert_units[-1],
        )
