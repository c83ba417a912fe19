"""The position of a run, its history and its best: all that is no tensor."""

import dataclasses
from typing import Any

import numpy as np

from jd_tf.training.loop.training_step import WAITS, Rows, TrainingStep

Row = dict[str, Any]


@dataclasses.dataclass
class TrainingState:
    """Position in the data, history and the best so far.

    Every field goes through JSON unchanged, so a resumed run continues with
    the very numbers the killed one had.

    Attributes:
        step: batches trained on.
        epoch: passes over the data that are complete.
        batch: batches of the present pass that are done.
        impressions: candidates trained on.
        seconds: wall time of training, all sessions together.
        best_step: step of the best evaluation; -1: none yet.
        best_value: the monitored metric there.
        worse_evaluations: evaluations since then.
        evaluated_step: step of the last evaluation; -1: none yet.
        history: rows of `step`, `epoch`, `seconds` and metrics.
        window: sums over the steps since the last history row.
        main_step: of a post-training stage: main steps taken before it.
        base_step: of a post-training stage: the main checkpoint it is on.
        curves: of a post-training stage: objective -> facts on its curve.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    impressions: int = 0
    seconds: float = 0.0
    best_step: int = -1
    best_value: float = 0.0
    worse_evaluations: int = 0
    evaluated_step: int = -1
    history: list[Row] = dataclasses.field(default_factory=list)
    window: dict[str, Any] = dataclasses.field(default_factory=dict)
    main_step: int = 0
    base_step: int = -1
    curves: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A plain dict; `TrainingState(**fields)` reads it."""
        return dataclasses.asdict(self)

    def add(self, step_fn: TrainingStep, rows: Rows, seconds: float) -> None:
        """Takes the steps of one call into the window.

        Step by step, so that the sums do not depend on how many steps a
        call had, and a resumed run adds up to the same last digit.

        Args:
            step_fn: the step that was taken.
            rows: [K, ...] of the call.
            seconds: it took.
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
        """The history row of the window as it is; {} before its first step.

        Args:
            step_fn: the step that was taken.
        """
        if not self.window:
            return {}
        return {**self._position(), **step_fn.history_row(self.window)}

    def close_window(self, step_fn: TrainingStep) -> Row:
        """Moves the window's row to the history and opens a new window.

        Args:
            step_fn: the step that was taken.

        Returns:
            The row; {} if no step was taken since the last one.
        """
        row = self.window_row(step_fn)
        self.window = {}
        if row:
            self.history.append(row)
        return row

    def add_evaluation(
        self, metrics: dict[str, float | None], monitor: str
    ) -> tuple[Row, bool]:
        """Takes an evaluation of this step into history and best.

        Args:
            metrics: None where undefined.
            monitor: the metric that decides; lower is better where its name
                begins with "loss".

        Returns:
            The history row; whether it is the best evaluation so far.
        """
        row = self._position()
        row |= {f"validation/{name}": m for name, m in metrics.items()}
        self.history.append(row)
        self.evaluated_step = self.step
        value = metrics[monitor]
        sign = -1.0 if monitor.startswith("loss") else 1.0
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
