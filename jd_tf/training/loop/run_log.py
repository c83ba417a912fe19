"""The progress bar of a run, and its history rows for TensorBoard."""

import sys
from pathlib import Path
from typing import Any

import tensorflow as tf
import tqdm

# A log file wants a line now and then, not ten a second.
_SECONDS_BETWEEN_LINES = 15.0
_NOT_CURVES = ("step", "epoch", "seconds")


class Progress:
    """A bar: steps, losses, impressions a second, share of waiting."""

    def __init__(self, name: str, shown: bool, initial: int, total: int | None):
        interactive = sys.stderr.isatty()
        self._bar = tqdm.tqdm(
            desc=name,
            unit="step",
            initial=initial,
            total=total,
            disable=not shown,
            dynamic_ncols=interactive,
            mininterval=0.2 if interactive else _SECONDS_BETWEEN_LINES,
        )
        self.close = self._bar.close

    def update(self, step: int, row: dict[str, Any]) -> None:
        """Moves the bar to a step, with the row of the present window."""
        shown = {
            name.removeprefix("loss/"): f"{value:.4f}"
            for name, value in row.items()
            if name.startswith("loss/") and value is not None
        }
        if "impressions_per_second" in row:
            shown["impressions/s"] = f"{row['impressions_per_second']:,.0f}"
            shown["waiting"] = f"{row['input_wait_share']:.0%}"
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(step - self._bar.n)

    def log(self, line: str) -> None:
        """Prints a line without breaking the bar."""
        if not self._bar.disable:
            tqdm.tqdm.write(line, file=sys.stderr)


class Summaries:
    """Writes the numbers of rows to a folder for `tensorboard --logdir`."""

    def __init__(self, folder: str | Path):
        self._writer = tf.summary.create_file_writer(str(folder))
        self.close = self._writer.close

    def write(self, row: dict[str, Any]) -> None:
        """Adds a row's metrics, those that are undefined left out."""
        with self._writer.as_default(step=row["step"]):
            for name, value in row.items():
                if name not in _NOT_CURVES and value is not None:
                    tf.summary.scalar(name, value)
        self._writer.flush()
