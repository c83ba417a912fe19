"""The base of layers that read a user and the candidates, side by side."""

from typing import Any

import keras
from keras import ops

from jd_tf.layers.base_layer import BaseLayer


class SplitLayer(BaseLayer):
    """Splits the first product, so that the user's half runs once a request.

    W x = W_user user + W_candidate candidate: `encode_user` does the user's
    half, `mix` adds the candidate's and does the rest, and calling the layer
    chains both. The user half may itself be split: `encode_user` of the
    columns that outlive a request, then `add_request` of the others.

    A subclass sets `output_dims`, calls `make_halves` in `build`, and
    implements `mix`, or `call` where it needs the user's features themselves.
    """

    # Axes of the output after B and N.
    output_dims: tuple[int, ...]
    user_half: keras.layers.Dense
    candidate_half: keras.layers.Dense

    def make_halves(self, candidate_dim: int, user_dim: int, units: int):
        """Makes both halves of a dense layer of that width.

        Together they start as one layer of that fan-in would; a half of
        nothing has no weights, but a share must be positive.
        """
        for name, dim in (("user", user_dim), ("candidate", candidate_dim)):
            share = max(dim, 1) / (candidate_dim + user_dim)
            half = self.add_dense(
                f"{name}_half",
                dim,
                units,
                use_bias=name == "user",
                kernel_initializer=keras.initializers.VarianceScaling(
                    share, "fan_in", "uniform"
                ),
            )
            setattr(self, f"{name}_half", half)

    @property
    def user_state_dim(self) -> int:
        """Width of what `encode_user` returns."""
        return self.user_half.units

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
        if not width:
            # oneDNN's fused product of no columns and a bias ends the process.
            rows = ops.shape(user_features)[0]
            bias = ops.cast(self.user_half.bias, self.compute_dtype)
            return ops.repeat(bias[None], rows, axis=0)
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

    def first_product(self, candidate_features: Any, user_state: Any) -> Any:
        """Returns W x + b of every candidate, (B * N, `user_state_dim`)."""
        num_candidates, dim = ops.shape(candidate_features)[1:]
        # As one matrix, whose weight gradient is one product too.
        flat = ops.reshape(candidate_features, (-1, dim))
        candidates = ops.reshape(
            self.candidate_half(flat),
            (-1, num_candidates, self.user_state_dim),
        )
        user = ops.cast(user_state, candidates.dtype)[:, None, :]
        return ops.reshape(candidates + user, (-1, self.user_state_dim))

    def mix(
        self,
        candidate_features: Any,
        user_state: Any,
        training: bool | None = None,
    ) -> Any:
        """Does the rest of the call for each candidate.

        `user_state` is of `encode_user`; the rest is that of the call.
        """
        raise NotImplementedError

    def call(
        self,
        candidate_features: Any,
        user_features: Any,
        training: bool | None = None,
    ) -> Any:
        user_state = self.encode_user(user_features)
        return self.mix(candidate_features, user_state, training=training)

    def compute_output_shape(
        self, candidate_features_shape: tuple, user_features_shape: tuple
    ) -> tuple:
        return (*candidate_features_shape[:2], *self.output_dims)

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
