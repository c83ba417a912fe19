"""What fusion steps report."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class FusionRecords:
    """What K fusion steps looked like.

    Attributes:
        total: [K] what was minimised; 0 where no request counted.
        used: [K] requests that counted.
        skipped: [K] requests of one outcome only.
        weights: [K, T] mean fusion weights of the batch.
        norm: [K] joint norm of the gradients.
    """

    total: np.ndarray
    used: np.ndarray
    skipped: np.ndarray
    weights: np.ndarray
    norm: np.ndarray

    def __len__(self) -> int:
        return len(self.total)

    def not_finite(self) -> str:
        """Names what is not finite in the last step, "" if nothing is."""
        for name in ("total", "norm") if len(self) else ():
            value = getattr(self, name)[-1]
            if not np.isfinite(value):
                what = "loss" if name == "total" else "gradient's norm"
                return f"the fusion's {what} is {value}"
        return ""

    def taken(self) -> "FusionRecords":
        """Only the steps that were taken: beside main ones, not all are."""
        kept = (self.used + self.skipped) > 0
        return FusionRecords(
            **{
                field.name: getattr(self, field.name)[kept]
                for field in dataclasses.fields(self)
            }
        )
