"""From the logits of a candidate to the one number it is ranked by."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from jd_tf.layers import (
    CalibrationCurve,
    FixedFusion,
    GlobalFusion,
    PersonalizedFusion,
)
from jd_tf.models.ranking.jd_ranker_config import JDRankerConfig

_LEARNED = {"global": GlobalFusion, "personalized": PersonalizedFusion}


@keras.saving.register_keras_serializable(package="jd_tf")
class ScoreHead(keras.layers.Layer):
    """Calibrates logits, then fuses the objectives to a score.

    Calibration comes first, as fused probabilities must mean what they say.
    Both are left out where the config does not ask for them, and while the
    main network trains, whose graph is then the same with and without them,
    and its numbers too, to the last bit; without a fusion the score is the
    expected business value. All of it computes in
    single precision whatever the ranker's policy: close candidates differ in
    digits that half precision does not have.

    Args:
        given: tuple of ints. For each objective the index of the one it
            presupposes, or -1.
        values: T floats. Business values of the objectives, where the call
            brings none.
        config: of the ranker, or its dict.

    Call arguments:
        logits: (B, N, T) float, over all impressions, not calibrated.
        weights: (B, T) float, of `request_weights`; None without a fusion
            or while training.
        values: (B, T) float. Business values of each request, where they
            differ; unused with a fusion.
        training: bool. Whether the main network trains.

    Returns:
        dict of `probabilities` (B, N, T), calibrated, none above the one it
        presupposes; `score` (B, N); and, with a fusion, `fusion_weights`.
    """

    def __init__(
        self,
        given: Sequence[int],
        values: Sequence[float],
        config: JDRankerConfig | Mapping[str, Any],
        **kwargs,
    ):
        # Whatever the policy of the ranker says.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        if not isinstance(config, JDRankerConfig):
            config = JDRankerConfig(**config)
        self.given = tuple(given)
        self.values = tuple(float(value) for value in values)
        self.config = config
        self.calibration = None
        if config.calibrate:
            self.calibration = CalibrationCurve(
                self.given, name="calibration", dtype="float32"
            )
        self.fusion = _fusion(self.values, config)

    def build(self, logits_shape: Any, session_features_shape: Any = None):
        if self.calibration is not None:
            self.calibration.build(logits_shape)
        if self.fusion is not None:
            self.fusion.build(logits_shape, session_features_shape)

    def calibrated(self, logits: Any) -> Any:
        """Logits (B, N, T) float32 that mean what they say."""
        logits = ops.cast(logits, "float32")
        if self.calibration is None:
            return logits
        return self.calibration(logits)

    def request_weights(self, session_features: Any) -> Any:
        """Fusion weights (B, T) of requests; there must be a fusion.

        Args:
            session_features: (B, F) float.
        """
        return self.fusion.request_weights(session_features)

    def call(
        self,
        logits: Any,
        weights: Any = None,
        values: Any = None,
        training: bool = False,
    ) -> dict[str, Any]:
        if training:
            logits = ops.cast(logits, "float32")
        else:
            logits = self.calibrated(logits)
        probabilities = ops.sigmoid(logits)
        if self.calibration is not None and not training:
            probabilities = self.calibration.bound(probabilities)
        if self.fusion is None or training:
            if values is None:
                values = ops.convert_to_tensor(self.values, "float32")
            else:
                values = ops.cast(values, "float32")[:, None, :]
            score = ops.sum(probabilities * values, axis=-1)
            return {"probabilities": probabilities, "score": score}
        return {
            "probabilities": probabilities,
            "score": self.fusion.fuse(logits, weights),
            "fusion_weights": ops.cast(weights, "float32"),
        }

    def compute_output_shape(
        self,
        logits_shape: Any,
        weights_shape: Any = None,
        values_shape: Any = None,
    ) -> dict[str, tuple]:
        shapes = {
            "probabilities": tuple(logits_shape),
            "score": tuple(logits_shape[:-1]),
        }
        if self.fusion is not None:
            shapes["fusion_weights"] = (logits_shape[0], logits_shape[-1])
        return shapes

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("autocast", None)
        return {
            **config,
            "given": list(self.given),
            "values": list(self.values),
            "config": dataclasses.asdict(self.config),
        }


def _fusion(values: tuple[float, ...], config: JDRankerConfig) -> Any:
    """The fusion that a config asks for, None for none."""
    shared = {
        "form": config.fusion_form,
        "name": "fusion",
        "dtype": "float32",
    }
    if not config.fusion:
        return None
    if config.fusion == "fixed":
        return FixedFusion(config.fusion_weights or values, **shared)
    shared |= {
        "min_share": config.fusion_min_share,
        "max_scale": config.fusion_max_scale,
        "initial_shares": config.fusion_weights,
    }
    if config.fusion == "personalized":
        shared["units"] = config.fusion_units
    return _LEARNED[config.fusion](len(values), **shared)
