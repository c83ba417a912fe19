"""What of a ranker learns from fusion steps, and what they may read."""

from collections.abc import Mapping
from typing import Any

from keras import ops


class FusionSides:
    """Parts a ranker with a `ScoreHead` named `head` into two sides.

    Main steps train one, fusion steps the other; each variable belongs to
    exactly one. For a `keras.Model` with `_encode` and `_logits`.
    """

    @property
    def fusion(self) -> Any:
        """The layer that fuses objectives, None where values do."""
        return self.head.fusion

    @property
    def fusion_variables(self) -> list:
        """What fusion steps train."""
        return [] if self.fusion is None else list(self.fusion.variables)

    @property
    def main_variables(self) -> list:
        """All other variables, curves of the calibration included."""
        ours = {id(variable) for variable in self.fusion_variables}
        return [v for v in self.variables if id(v) not in ours]

    def fusion_inputs(self, batch: Mapping[str, Any]) -> tuple[Any, Any]:
        """What the fusion reads of a batch, as it is when serving.

        Args:
            batch: serving columns; other keys are ignored.

        Returns:
            Calibrated logits (B, N, T) and session features (B, F), both out
            of reach of any gradient.
        """
        user_state, session = self._encode(batch, training=False)
        logits = self._logits(user_state, batch, training=False)
        logits = self.head.calibrated(logits)
        return ops.stop_gradient(logits), ops.stop_gradient(session)
