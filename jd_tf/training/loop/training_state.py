"""The position of a run, its history and its best: all that is no tensor."""

import dataclasses
from typing import Any

import numpy as np

from jd_tf.training.loop.training_step import WAITS, Rows, TrainingStep

Row = dict[str, Any]
# Beginnings of the names of metrics that are better lower.
LOWER_BETTER = ("loss", "normalized_entropy")


@dataclasses.dataclass
class TrainingState:
    """Position in the data, history and the best so far.

    Every field goes through JSON unchanged, so a resumed run continues with
    the very numbers the killed one had.

    """

    step: int = 0
    epoch: int = 0
    # Of the present pass.
    batch: int = 0
    impressions: int = 0
    # Of all sessions together.
    seconds: float = 0.0
    # -1: none yet.
    best_step: int = -1
    best_value: float = 0.0
    worse_evaluations: int = 0
    evaluated_step: int = -1
    # Rows of `step`, `epoch`, `seconds` and metrics.
    history: list[Row] = dataclasses.field(default_factory=list)
    # Sums over the steps since the last history row.
    window: dict[str, Any] = dataclasses.field(default_factory=dict)
    # Fingerprint of the data, and the step at which they were taken up.
    data: str = ""
    first_step: int = 0
    # Of a post-training stage: main steps taken before it, the main checkpoint
    # it is on, and objective -> facts on its curve.
    main_step: int = 0
    base_step: int = -1
    curves: dict[str, Any] = dataclasses.field(default_factory=dict)

    def on_other_data(self, data: str) -> "TrainingState":
        """Returns the state of a run that goes on from its best on new data.

        Rows of later steps are left out of the history.
        """
        step = self.best_step if self.best_step >= 0 else self.step
        history = [row for row in self.history if row["step"] <= step]
        return TrainingState(
            step=step, first_step=step, data=data, history=history
        )

    def to_json(self) -> dict[str, Any]:
        """Returns a plain dict; `TrainingState(**fields)` reads it."""
        return dataclasses.asdict(self)

    def add(self, step_fn: TrainingStep, rows: Rows, seconds: float) -> None:
        """Takes the steps of one call, [K, ...] by name, into the window.

        Step by step, so that the sums do not depend on how many steps a
        call had, and a resumed run adds up to the same last digit.
        """
        count = len(rows[WAITS])
        if not count:
            return
        window = self.window
        summands = step_fn.summands(rows)
        for name, values in {**summands, WAITS: rows[WAITS]}.items():
            whole = values.dtype.kind in "biu"
            total = np.asarray(window.get(name, 0))
            for value in values.astype("int64" if whole else "float64"):
                total = total + value
            window[name] = total.tolist()
        window["steps"] = window.get("steps", 0) + count
        window["seconds"] = window.get("seconds", 0.0) + seconds
        self.step += count
        self.batch += count
        self.impressions += int(np.sum(summands.get("impressions", 0)))

    def window_row(self, step_fn: TrainingStep) -> Row:
        """Returns the window's history row; {} before its first step."""
        if not self.window:
            return {}
        return {**self._position(), **step_fn.history_row(self.window)}

    def close_window(self, step_fn: TrainingStep) -> Row:
        """Moves the window's row to the history and opens a new window."""
        row = self.window_row(step_fn)
        self.window = {}
        if row:
            self.history.append(row)
        return row

    def add_evaluation(
        self, metrics: dict[str, float | None], monitor: str
    ) -> tuple[Row, bool]:
        """Takes an evaluation of this step into history and best.

        The monitored metric is better lower where its name begins with
        "loss" or "normalized_entropy". Returns the history row, and whether it
        is the best so far.
        """
        row = self._position()
        row |= {f"validation/{name}": m for name, m in metrics.items()}
        self.history.append(row)
        self.evaluated_step = self.step
        value = metrics[monitor]
        sign = -1.0 if monitor.startswith(LOWER_BETTER) else 1.0
        if value is not None and (
            self.best_step < 0 or sign * value > sign * self.best_value
        ):
            self.best_step, self.best_value = self.step, value
            self.worse_evaluations = 0
        else:
            self.worse_evaluations += 1
        return row, self.best_step == self.step

    def _position(self) -> Row:
        return {
            "step": self.main_step + self.step,
            "epoch": self.epoch,
            "seconds": self.seconds,
        }
