"""What of a ranker learns from fusion steps, and what they may read."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from jd_tf.models.blocks.request_values import request_values


class FusionSides:
    """Parts a ranker with a `ScoreHead` named `head` into two sides.

    Main steps train one, fusion steps the other; each variable belongs to
    exactly one. For a `keras.Model` with `_encode`, `_logits`, `schema` and
    `session_features`.
    """

    @property
    def fusion(self) -> Any:
        """The layer that fuses objectives, None where values do."""
        return self.head.fusion

    @property
    def calibration(self) -> Any:
        """The layer of calibration curves, None without."""
        return self.head.calibration

    @property
    def fusion_variables(self) -> list:
        """What fusion steps train."""
        return [] if self.fusion is None else list(self.fusion.variables)

    @property
    def main_variables(self) -> list:
        """All other variables, curves of the calibration included."""
        ours = {id(variable) for variable in self.fusion_variables}
        return [v for v in self.variables if id(v) not in ours]

    def how_to_score(
        self,
        inputs: Mapping[str, Any],
        states: Sequence[Mapping[str, Any]],
        context: Any,
        training: bool,
    ) -> tuple[dict[str, Any], Any]:
        """What scores of this request's candidates depend on, beside them.

        Args:
            inputs: the schema's history and context columns.
            states: of the behaviours, encoded.
            context: encoded, (B, C); None without.
            training: whether the main network trains. Its graph is then the
                same with a fusion and without.

        Returns:
            `fusion_weights` (B, T); without a fusion `objective_values`
            (B, T), where requests have values of their own; else nothing.
            And the session features (B, F) weights were read from, or None.
        """
        if self.fusion is None:
            if not self.schema.scenario_values:
                return {}, None
            values = request_values(self.schema, inputs)
            return {"objective_values": values}, None
        if training:
            return {}, None
        read = {name: inputs[name] for name in self.session_features.columns}
        session = self.session_features(read, states, context)
        weights = self.head.request_weights(session)
        return {"fusion_weights": weights}, session

    def fusion_inputs(self, batch: Mapping[str, Any]) -> tuple[Any, Any]:
        """What the fusion reads of a batch, as it is when serving.

        Args:
            batch: serving columns; other keys are ignored.

        Returns:
            Calibrated logits (B, N, T) and session features (B, F), both out
            of reach of any gradient.
        """
        user_state, session = self._encode(batch, training=False)
        logits, _ = self._logits(user_state, batch, training=False)
        logits = self.head.calibrated(logits)
        return ops.stop_gradient(logits), ops.stop_gradient(session)
