"""History rows as TensorBoard curves."""

from pathlib import Path
from types import TracebackType

import tensorflow as tf

from jd_tf.training.loop.training_state import Row

_NOT_CURVES = ("step", "epoch", "seconds")


class Summaries:
    """Writes every number of a row as a scalar of its step.

    Args:
        folder: for `tensorboard --logdir`.
    """

    def __init__(self, folder: str | Path):
        self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, row: Row) -> None:
        """Adds a row's metrics, those that are undefined left out."""
        with self._writer.as_default(step=row["step"]):
            for name, value in row.items():
                if name not in _NOT_CURVES and value is not None:
                    tf.summary.scalar(name, value)
        self._writer.flush()

    def __enter__(self) -> "Summaries":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
