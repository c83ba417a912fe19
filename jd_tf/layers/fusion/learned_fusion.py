"""Learned fusion weights and their bounds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from jd_tf.layers.checks import check_weights
from jd_tf.layers.fusion.objective_fusion import Fusion
from jd_tf.layers.masking import softmax

# A start at the floor itself would have no slope to leave it by.
_LEAST_START = 1e-3


class LearnedFusion(Fusion):
    """A fusion whose weights are learned within bounds.

    Of single precision under any policy: it is tiny, runs once a request and
    decides the order of all candidates. The gate's T numbers g become shares
    that add up to one, none below a floor, so that no objective loses all
    influence:

        share = min_share + (1 - T * min_share) * softmax(g)
        weight = scale * share,   scale in [1 / max_scale, max_scale]

    A share therefore lies in [min_share, 1 - (T - 1) * min_share]. The scale
    changes no ranking; it is the sharpness of the log-linear score, which
    listwise losses need to fit. It is one learned number for all requests,
    1 at the start and always 1 in the additive form, where `list_logits`
    removes it.

    Args:
        num_objectives, form, bad: as of `Fusion`.
        min_share: float. The floor, in (0, 1 / T).
        max_scale: float, >= 1. Bound of the scale; 1 fixes it.
        initial_shares: tuple of T floats > 0, of any sum: the shares before
            training, as far as the floor allows; equal shares if empty.
    """

    def __init__(
        self,
        num_objectives: int,
        form: str = "log_linear",
        min_share: float = 0.01,
        max_scale: float = 16.0,
        initial_shares: Sequence[float] = (),
        bad: Sequence[int] = (),
        **kwargs,
    ):
        super().__init__(num_objectives, form, bad, **kwargs)
        if not 0.0 < min_share < 1.0 / self.num_objectives:
            raise ValueError(
                "`min_share` must lie between 0 and 1 / T = "
                f"{1 / self.num_objectives:.4g}, exclusive. Got: {min_share!r}."
            )
        if not 1.0 <= max_scale < float("inf"):
            raise ValueError(
                f"`max_scale` must be finite and >= 1. Got: {max_scale!r}."
            )
        shares = check_weights(
            "initial_shares", initial_shares, self.num_objectives
        )
        if shares and min(shares) <= 0:
            raise ValueError(
                f"`initial_shares` must be positive. Got: {shares}."
            )
        self.min_share = float(min_share)
        self._free = 1.0 - self.num_objectives * self.min_share
        self.max_scale = float(max_scale)
        self.initial_shares = shares

    def build(self, logits_shape: tuple, session_features_shape: tuple):
        super().build(logits_shape, session_features_shape)
        self.scale_logit = None
        if self.form == "log_linear" and self.max_scale > 1:
            self.scale_logit = self.add_weight(
                (), "zeros", autocast=False, name="scale_logit"
            )

    def _initial_gate(self) -> np.ndarray:
        """Returns the (T,) numbers g that give the initial shares."""
        if not self.initial_shares:
            return np.zeros(self.num_objectives, np.float32)
        shares = np.array(self.initial_shares, np.float64)
        shares /= shares.sum()
        start = np.maximum((shares - self.min_share) / self._free, _LEAST_START)
        logits = np.log(start / start.sum())
        return (logits - logits.mean()).astype(np.float32)

    def _weights_of_gate(self, gate: Any) -> Any:
        """Returns weights (..., T) float32 for the gate's numbers (..., T)."""
        weights = self.min_share + self._free * softmax(gate)
        if self.scale_logit is not None:
            bound = float(np.log(self.max_scale))
            weights *= ops.exp(bound * ops.tanh(self.scale_logit))
        return weights
