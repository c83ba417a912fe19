"""From the logits of a candidate to the one number it is ranked by."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from jd_tf.layers import (
    CalibrationCurve,
    FixedFusion,
    GlobalFusion,
    PersonalizedFusion,
)
from jd_tf.layers.base_layer import BaseLayer
from jd_tf.layers.multitask.entire_space_logits import expectations
from jd_tf.schema import Schema

_LEARNED = {"global": GlobalFusion, "personalized": PersonalizedFusion}


@keras.saving.register_keras_serializable(package="jd_tf")
class ScoreHead(BaseLayer):
    """Calibrates logits, then fuses the objectives to a score.

    Both are left out where they are not asked for, and while the main network
    trains. Without a fusion the score is the expected business value. All of
    it computes in single precision whatever the ranker's policy: close
    candidates differ in digits that half precision does not have.

    Of an amount, whose logit is its logarithm in units of `amount_scales`, a
    fusion reads amount / (unit + amount), the sigmoid of that logit: in (0, 1)
    as a probability is, and proportional to amounts far below the unit.
    Calibration multiplies amounts by one factor each, through these units.

    Args:
        given: tuple of ints. For each objective the index of the one it
            presupposes, or -1.
        values: T floats. Business values of the objectives, where the call
            brings none.
        num_amounts: int. Amounts A among the objectives, the last.
        calibrate: bool. Whether there is a calibration curve.
        fusion_weights: floats. `FusionConfig.weights`; all others are fields
            of `FusionConfig` too.

    Call arguments:
        logits: (B, N, T) float, over all impressions, not calibrated; of
            amounts logarithms.
        session_features: (B, F) float; unused without a fusion.
        values: (B, T) float. Business values of each request, where they
            differ; unused with a fusion.
        training: bool. Whether the main network trains.

    Returns:
        dict of `probabilities` (B, N, T - A), calibrated, none above the one
        it presupposes; `amounts` (B, N, A), if there are any; `score` (B, N),
        while training the expected business value; and, with a fusion,
        `fusion_weights`.

    Example:
    >>> import numpy as np
    >>> head = ScoreHead(given=(-1,), values=(2.0,))
    >>> head(np.zeros((1, 3, 1)))["score"].numpy().tolist()
    [[1.0, 1.0, 1.0]]
    """

    def __init__(
        self,
        given: Sequence[int],
        values: Sequence[float],
        calibrate: bool = False,
        kind: str = "",
        form: str = "log_linear",
        units: Sequence[int] = (32,),
        min_share: float = 0.01,
        max_scale: float = 16.0,
        fusion_weights: Sequence[float] = (),
        num_amounts: int = 0,
        **kwargs: Any,
    ):
        # Whatever the policy of the ranker says.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        self.keep(locals())
        self.values = tuple(float(value) for value in values)
        self._num_outcomes = len(self.values) - num_amounts
        # Units (A,) of the amounts, set by `adapt`; (): there are none.
        self.amount_scales: Any = ()
        self.calibration = None
        if calibrate:
            self.calibration = CalibrationCurve(
                self.given[: self._num_outcomes],
                name="calibration",
                dtype="float32",
            )
        self.fusion: Any = None
        shared: dict[str, Any] = {
            "form": form,
            "bad": tuple(i for i, v in enumerate(self.values) if v < 0),
            "name": "fusion",
            "dtype": "float32",
        }
        if kind == "fixed":
            sizes = tuple(map(abs, self.values))
            self.fusion = FixedFusion(fusion_weights or sizes, **shared)
        elif kind:
            # The gate of the session alone has hidden layers.
            gate = {"units": units} if kind == "personalized" else {}
            self.fusion = _LEARNED[kind](
                len(self.values),
                min_share=min_share,
                max_scale=max_scale,
                initial_shares=fusion_weights,
                **gate,
                **shared,
            )

    def build(
        self, logits_shape: Any, session_features_shape: Any = None
    ) -> None:
        if self.calibration is not None:
            shape = (*logits_shape[:-1], self._num_outcomes)
            self.calibration.build(shape)
        if self.num_amounts:
            self.amount_scales = self.add_weight(
                (self.num_amounts,),
                "ones",
                trainable=False,
                autocast=False,
                name="amount_scales",
            )
        if self.fusion is not None:
            self.fusion.build(logits_shape, session_features_shape)

    def calibrated(self, logits: Any) -> Any:
        """Returns calibrated logits (B, N, T) float32; amounts as they are."""
        logits = ops.cast(logits, "float32")
        if self.calibration is None:
            return logits
        if not self.num_amounts:
            return self.calibration(logits)
        outcomes, amounts = ops.split(logits, [self._num_outcomes], axis=-1)
        return ops.concatenate([self.calibration(outcomes), amounts], axis=-1)

    def expected(self, logits: Any) -> Any:
        """Returns probabilities, then amounts, (B, N, T) of such logits."""
        found = expectations(logits, self.num_amounts)
        if not self.num_amounts:
            return found
        units = ops.ones((self._num_outcomes,)), self.amount_scales
        return found * ops.concatenate(units)

    def request_weights(self, session_features: Any) -> Any:
        """Returns the fusion's weights (B, T) for features (B, F)."""
        return self.fusion.request_weights(session_features)

    def call(
        self,
        logits: Any,
        session_features: Any = None,
        values: Any = None,
        training: bool = False,
    ) -> dict[str, Any]:
        logits = ops.cast(logits, "float32")
        if not training:
            logits = self.calibrated(logits)
        expected = self.expected(logits)
        probabilities, amounts = expected, None
        if self.num_amounts:
            at = [self._num_outcomes]
            probabilities, amounts = ops.split(expected, at, axis=-1)
        if self.calibration is not None and not training:
            probabilities = self.calibration.bound(probabilities)
        outputs = {"probabilities": probabilities}
        expected = probabilities
        if amounts is not None:
            outputs["amounts"] = amounts
            expected = ops.concatenate([probabilities, amounts], axis=-1)
        weights = None
        if self.fusion is not None and session_features is not None:
            weights = self.request_weights(session_features)
        if self.fusion is None or training:
            if values is None:
                values = ops.convert_to_tensor(self.values, "float32")
            else:
                values = ops.cast(values, "float32")[:, None, :]
            outputs["score"] = ops.sum(expected * values, axis=-1)
        else:
            outputs["score"] = self.fusion.fuse(logits, weights)
        if weights is not None:
            outputs["fusion_weights"] = ops.cast(weights, "float32")
        return outputs

    def compute_output_shape(
        self, logits_shape: Any, session_features_shape: Any = None
    ) -> dict[str, tuple]:
        rows = tuple(logits_shape[:-1])
        shapes = {
            "probabilities": (*rows, self._num_outcomes),
            "score": rows,
        }
        if self.num_amounts:
            shapes["amounts"] = (*rows, self.num_amounts)
        if self.fusion is not None:
            shapes["fusion_weights"] = (logits_shape[0], logits_shape[-1])
        return shapes


def request_values(schema: Schema, inputs: Mapping[str, Any]) -> Any:
    """Returns the business values (B, T) of each request's scenario.

    Other scenarios, and unknown ones, have those of the objectives. In the
    graph, so that training, the model and its exports take the same values.
    """
    values = tf.constant(schema.objective_values, tf.float32)
    scenarios = tf.convert_to_tensor(inputs[schema.scenario_column])
    for entry in schema.scenario_values:
        here = tf.equal(scenarios, tf.constant(entry.scenario, scenarios.dtype))
        values = tf.where(here[:, tf.newaxis], entry.values, values)
    return values
