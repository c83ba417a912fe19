"""Piecewise-linear calibration of logits."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.checks import check_given, check_int, check_logits
from jd_tf.layers.multitask.entire_space_logits import bounded

# The range of the knots of a curve that was given none.
_END = 16.0


@keras.saving.register_keras_serializable(package="jd_tf")
class CalibrationCurve(BaseLayer):
    """Maps each objective's logits by a rising piecewise-linear curve.

    A model trained on reweighted or drifted data can rank well while its
    probabilities are too high or too low; a curve fitted on validation data
    corrects them and keeps the order. The curve is linear between its knots
    and has slope 1 outside them. It is kept as knots and shifts, out = logit
    + shift(logit), so that it is the identity to the last bit before
    `assign_curves`. Its weights are not trained.

    Curves of objectives are independent, and an order's could rise above
    its click's where data is thin. With `given` the logit of an objective
    never exceeds that of the one it presupposes, as no conjunction is
    likelier than its part. Where the bound acts, candidates can tie in that
    objective with their click.

    Args:
        given: tuple of ints. For each objective the index of the one it
            presupposes, which must come before it, or -1 for none.
        num_knots: int, >= 2. Knots K of each curve.

    Call arguments:
        inputs: (..., T) float. Logits over all impressions.

    Returns:
        (..., T) float. Calibrated logits.

    Raises:
        ValueError: an argument out of range, or `inputs` not of T logits.

    Example:
        >>> layer = CalibrationCurve(given=(-1,))
        >>> layer.build((None, 1))
        >>> layer.assign_curves([([-1.0, 1.0], [-3.0, 1.0])])
        >>> layer(np.array([[-2.0], [0.0], [2.0]])).numpy().ravel().tolist()
        [-4.0, -1.0, 2.0]
    """

    def __init__(self, given: Sequence[int], num_knots: int = 32, **kwargs):
        super().__init__(**{**kwargs, "autocast": False})
        self.given = check_given(given)
        self.num_knots = check_int("num_knots", num_knots, 2)

    def build(self, inputs_shape: tuple):
        check_logits(inputs_shape, self.given)
        shape = (len(self.given), self.num_knots)
        self.knots = self.add_weight(
            shape, "zeros", trainable=False, autocast=False, name="knots"
        )
        self.shifts = self.add_weight(
            shape, "zeros", trainable=False, autocast=False, name="shifts"
        )
        self.knots.assign(
            np.broadcast_to(np.linspace(-_END, _END, self.num_knots), shape)
        )

    def assign_curves(
        self, curves: Sequence[tuple[Sequence[float], Sequence[float]]]
    ) -> None:
        """Replaces all curves of a built layer.

        Args:
            curves: of every objective its knots, logits in and logits out,
                both strictly rising, 1 to K of them; none at all for the
                identity.

        Raises:
            ValueError: a curve is not valid; the message names it and all
                curves stay as they were.
        """
        if len(curves) != len(self.given):
            raise ValueError(
                f"Layer {self.name!r} takes {len(self.given)} curves. "
                f"Got: {len(curves)}."
            )
        knots = np.empty((len(curves), self.num_knots), np.float32)
        shifts = np.zeros_like(knots)
        for index, (given_in, given_out) in enumerate(curves):
            into = np.asarray(given_in, np.float64)
            out = np.asarray(given_out, np.float64)
            problem = self._problem(into, out)
            if problem:
                raise ValueError(
                    f"Layer {self.name!r}: curve {index} {problem}."
                )
            if not len(into):
                knots[index] = np.linspace(-_END, _END, self.num_knots)
                continue
            # The knots left of the K continue the line of slope 1.
            spare = self.num_knots - len(into)
            tail = into[-1] + np.arange(1, spare + 1)
            knots[index] = np.concatenate([into, tail])
            shift = out - into
            shifts[index] = np.pad(shift, (0, spare), mode="edge")
        self.knots.assign(knots)
        self.shifts.assign(shifts)

    def _problem(self, into: np.ndarray, out: np.ndarray) -> str:
        """Returns the fault of a curve for the message, "" for none."""
        if into.ndim != 1 or into.shape != out.shape:
            return f"has knots of shapes {into.shape} and {out.shape}"
        if len(into) > self.num_knots:
            return f"has {len(into)} knots, more than `num_knots`"
        if not (np.isfinite(into).all() and np.isfinite(out).all()):
            return "has a knot that is not finite"
        # As it will be kept: a rise below single precision would be none.
        single = into.astype(np.float32)
        shift = (out - into).astype(np.float32)
        if (np.diff(single) <= 0).any() or (np.diff(single + shift) <= 0).any():
            return "does not rise from each knot to the next"
        return ""

    def call(self, inputs: Any) -> Any:
        # In float32: half precision would move logits to their neighbours.
        logits = ops.cast(inputs, "float32")
        starts, widths = self.knots[:, :-1], self.knots[:, 1:]
        widths = widths - starts
        slopes = (self.shifts[:, 1:] - self.shifts[:, :-1]) / widths
        # Each interval between two knots adds its slope times the part of
        # it below the logit.
        below = logits[..., None] - starts
        below = ops.minimum(ops.maximum(below, 0.0), widths)
        shift = self.shifts[:, 0] + ops.sum(below * slopes, axis=-1)
        return ops.cast(self.bound(logits + shift), self.compute_dtype)

    def bound(self, values: Any) -> Any:
        """Limits each objective of (..., T) by the one it presupposes."""
        return bounded(values, self.given)

    def compute_output_shape(self, inputs_shape: tuple) -> tuple:
        return tuple(inputs_shape)
