"""Where a run stands: all of it that is no tensor."""

import dataclasses
from typing import Any

import numpy as np

from jd_tf.training.fusion.fusion_window import add_fusion, fusion_row
from jd_tf.training.main_step import StepRecords

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
        best_step: where the best evaluation was; -1: none yet.
        best_value: the monitored metric there.
        worse_evaluations: evaluations since then.
        evaluated_step: where the last evaluation was; -1: none yet.
        history: rows of `step`, `epoch`, `seconds` and metrics.
        window: sums over the steps since the last history row.
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

    def to_json(self) -> dict[str, Any]:
        """A plain dict; `TrainingState(**fields)` reads it."""
        return dataclasses.asdict(self)

    def add(self, records: StepRecords, seconds: float) -> None:
        """Takes the steps of one call into the window.

        Step by step, so that the sums do not depend on how many steps a
        call had, and a resumed run adds up to the same last digit.

        Args:
            records: of the call.
            seconds: it took.
        """
        if not len(records):
            return
        num_objectives = records.losses.shape[1]
        window = self.window or {
            "steps": 0,
            "total": 0.0,
            "norm": 0.0,
            "losses": [0.0] * num_objectives,
            "counts": [0] * num_objectives,
            "weights": [0.0] * num_objectives,
            "loss_shares": [0.0] * num_objectives,
            "pull_shares": [0.0] * num_objectives,
            "impressions": 0,
            "waits": 0.0,
            "seconds": 0.0,
        }
        if records.fusion is not None:
            add_fusion(window, records.fusion.taken())
        norms = (records.norms.astype("float64") ** 2).sum(axis=1) ** 0.5
        loss_shares = _shares(records.losses * records.weights)
        pull_shares = _shares(records.pulls)
        for step in range(len(records)):
            window["steps"] += 1
            window["total"] += float(records.total[step])
            window["norm"] += float(norms[step])
            for objective in range(num_objectives):
                if records.masses[step, objective] > 0:
                    loss = float(records.losses[step, objective])
                    window["losses"][objective] += loss
                    window["counts"][objective] += 1
                weight = float(records.weights[step, objective])
                window["weights"][objective] += weight
                share = float(loss_shares[step, objective])
                window["loss_shares"][objective] += share
                share = float(pull_shares[step, objective])
                window["pull_shares"][objective] += share
            window["impressions"] += int(records.impressions[step])
            window["waits"] += float(records.waits[step])
        window["seconds"] += seconds
        self.window = window
        self.step += len(records)
        self.batch += len(records)
        self.impressions += int(records.impressions.sum())

    def close_window(
        self, objective_names: tuple[str, ...], rates: dict[str, float]
    ) -> Row | None:
        """Turns the window into a history row and opens a new one.

        Args:
            objective_names: T of them.
            rates: learning rates by name.

        Returns:
            The row, which is also appended to `history`; None if no step
            was taken since the last.
        """
        window, self.window = self.window, {}
        if not window:
            return None
        steps, seconds = window["steps"], max(window["seconds"], 1e-9)
        row = {
            "step": self.step,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "loss": window["total"] / steps,
            "gradient_norm": window["norm"] / steps,
            "impressions_per_second": window["impressions"] / seconds,
            "input_wait_share": window["waits"] / seconds,
            **rates,
        }
        for index, name in enumerate(objective_names):
            count = window["counts"][index]
            # An objective without a sample in all these steps has no loss.
            row[f"loss/{name}"] = (
                window["losses"][index] / count if count else None
            )
            row[f"balance/{name}"] = window["weights"][index] / steps
            row[f"loss_share/{name}"] = window["loss_shares"][index] / steps
            if any(window["pull_shares"]):
                share = window["pull_shares"][index] / steps
                row[f"gradient_share/{name}"] = share
        row |= fusion_row(window, objective_names)
        self.history.append(row)
        return row


def _shares(amounts: np.ndarray) -> np.ndarray:
    """[K, T] amounts >= 0 as shares of their row; 0 where it has none."""
    amounts = amounts.astype("float64")
    totals = amounts.sum(axis=1, keepdims=True)
    return np.divide(
        amounts, totals, out=np.zeros_like(amounts), where=totals > 0
    )
