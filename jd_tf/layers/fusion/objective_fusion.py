"""The base of all fusions: probabilities and weights to one score."""

import abc
from collections.abc import Sequence
from typing import Any

from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_int

FORMS = ("log_linear", "additive")
# Logits beyond count as this: exp(-80) is still a single-precision number,
# a score stays within half precision, and infinity in padding cannot turn
# into the gradient 0 * infinity.
MAX_LOGIT = 80.0


class Fusion(BaseLayer, abc.ABC):
    """Fuses T objectives to one score, by weights of the request.

    Calling it chains its halves: `request_weights`, once a request, and
    `fuse`, for its candidates. Subclasses define the weights. No gradient
    passes to the logits, whatever a caller does: they stay estimates of
    probabilities.

    Give it `dtype="float32"` inside a half-precision model: half precision
    has too few digits to tell close candidates apart.

    Args:
        num_objectives: int. T.
        form: str. `"log_linear"`, sum_t w_t log p_t, or `"additive"`,
            sum_t w_t p_t.
        bad: tuple of ints. Indices of the objectives that are bad outcomes:
            p_t is the probability that it does not happen, so that weights
            stay positive.

    Call arguments:
        logits: (B, N, T) float, of the probabilities.
        session_features: (B, F) float. Features of the request without its
            candidates.

    Returns:
        Score (B, N) float, higher is better; and the weights (B, T) float.

    Raises:
        ValueError: an argument out of range, or `logits` not of T.
    """

    def __init__(
        self,
        num_objectives: int,
        form: str = "log_linear",
        bad: Sequence[int] = (),
        **kwargs,
    ):
        super().__init__(**{**kwargs, "autocast": False})
        self.num_objectives = check_int("num_objectives", num_objectives, 1)
        if form not in FORMS:
            raise ValueError(f"`form` must be one of {FORMS}. Got: {form!r}.")
        self.form = form
        self.bad = tuple(bad)
        for index in self.bad:
            if index not in range(num_objectives):
                raise ValueError(
                    f"`bad` must be indices below {num_objectives}. "
                    f"Got: {self.bad}."
                )
        self._signs = [
            -1.0 if index in self.bad else 1.0
            for index in range(num_objectives)
        ]

    def build(self, logits_shape: tuple, session_features_shape: tuple):
        del session_features_shape
        if logits_shape[-1] != self.num_objectives:
            raise ValueError(
                f"`logits` must have {self.num_objectives} objectives on the "
                f"last axis. Got: {tuple(logits_shape)}."
            )

    def call(self, logits: Any, session_features: Any) -> tuple:
        weights = self.request_weights(session_features)
        return self.fuse(logits, weights), weights

    @abc.abstractmethod
    def request_weights(self, session_features: Any) -> Any:
        """Returns weights (B, T) float, positive, for features (B, F)."""

    def _for_every_request(self, weights: Any, session_features: Any) -> Any:
        shape = (ops.shape(session_features)[0], self.num_objectives)
        return ops.broadcast_to(ops.cast(weights, self.compute_dtype), shape)

    def fuse(self, logits: Any, weights: Any) -> Any:
        """Returns scores (B, N) of logits (B, N, T) under weights (B, T)."""
        logits = ops.stop_gradient(ops.cast(logits, "float32"))
        logits = ops.clip(logits, -MAX_LOGIT, MAX_LOGIT)
        if self.bad:
            # sigmoid(-logit) is the probability that it does not happen.
            logits = logits * ops.convert_to_tensor(self._signs, "float32")
        # From the logit, log p keeps all digits where p itself is 0 or 1.
        if self.form == "log_linear":
            parts = ops.log_sigmoid(logits)
        else:
            parts = ops.sigmoid(logits)
        weights = ops.cast(weights, "float32")[:, None, :]
        return ops.cast(ops.sum(parts * weights, axis=-1), self.compute_dtype)

    def list_logits(self, score: Any) -> Any:
        """Turns scores (B, N) into logits of a softmax over the candidates.

        The log-linear score is a logarithm already, so that the softmax is
        proportional to prod_t p_t^w_t; the additive score becomes one here,
        so that the softmax is proportional to sum_t w_t p_t.
        """
        score = ops.cast(score, "float32")
        if self.form == "log_linear":
            return score
        return ops.log(ops.maximum(score, 1e-37))

    def compute_output_shape(
        self, logits_shape: tuple, session_features_shape: tuple
    ) -> tuple:
        weights_shape = (session_features_shape[0], self.num_objectives)
        return tuple(logits_shape[:-1]), weights_shape
