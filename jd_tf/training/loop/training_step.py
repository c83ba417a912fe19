"""One optimisation step, and the graph that repeats it over an iterator."""

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from jd_tf.training.weight_average import WeightAverage

Batch = Mapping[str, tf.Tensor]
Rows = dict[str, np.ndarray]
# What `repeat_steps` adds to each row: seconds of waiting for the batch.
WAITS = "waits"


class TrainingStep(abc.ABC):
    """One optimisation step on one batch, as a `Trainer` repeats it.

    A step returns a row: a dict of numbers about the batch. Rows of many
    steps are added up in a window, and a window becomes a history row.

    Attributes:
        name: of the kind of step, for progress bar and messages.
        remedy: of numbers that are not finite, for the message.
        row_spec: shape and dtype of each entry of a row.
        checked: entries of a row that must be finite: name -> what to call
            each of its numbers in the message, in order.
        average: a `WeightAverage` that evaluations and the end of the
            training take, or None for the weights themselves.

    Example:
        >>> from jd_tf.training.main_step import MainStep
        >>> issubclass(MainStep, TrainingStep)
        True
    """

    name = "training"
    remedy = "Lower the learning rates"
    row_spec: Mapping[str, tf.TensorSpec] = {}
    checked: Mapping[str, Sequence[str]] = {}
    average: WeightAverage | None = None

    @abc.abstractmethod
    def __call__(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Trains on one batch, in a `tf.function` or not; returns a row."""

    @abc.abstractmethod
    def named_variables(self) -> dict[str, tf.Variable]:
        """Returns every variable a step reads or writes, for checkpoints.

        Returns:
            Name -> variable; those that are set to the best ones at the end
            of a run begin with `model/` or, of averages, `average/`.
        """

    def summands(self, rows: Rows) -> Rows:
        """Returns the numbers that a window adds up, [K, ...] by name.

        Those named `impressions` are counted over the whole run, too.
        """
        return {name: rows[name] for name in self.row_spec}

    def history_row(self, sums: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the entries of a history row; by default, means.

        Args:
            sums: of `summands` by name, with the number of `steps`, the
                `seconds` they took and those they spent in `waits`.
        """
        return {
            name: np.divide(sums[name], sums["steps"]).tolist()
            for name in self.row_spec
        }

    def not_finite(self, rows: Rows) -> str:
        """Names what is not finite in the last of K rows, "" if nothing is."""
        for name, labels in self.checked.items():
            for row in rows[name][-1:]:
                for label, value in zip(labels, np.ravel(row), strict=True):
                    if not np.isfinite(value):
                        return f"{label} is {value}"
        return ""


def repeat_steps(step_fn: TrainingStep) -> Callable[[Any, int], Rows]:
    """Turns a step into a graph that takes several, input included.

    Between two steps of a call there is no Python: the graph itself takes
    batches from the iterator, and the rows of all steps come back at once.

    Returns:
        A function of an iterator over batches and of the number of steps to
        take; 0 only traces the graph. It returns the rows of the K steps
        taken, [K, ...] by name, and the seconds each waited for its batch as
        `waits`. K is less than the number where the data ended, or where a
        checked number of the last row is not finite.
    """
    clock = _clock()

    def repeat(iterator: Any, num_steps: tf.Tensor) -> tuple:
        specs = {**step_fn.row_spec, WAITS: tf.TensorSpec((), tf.float64)}
        arrays = {
            n: tf.TensorArray(spec.dtype, num_steps, element_shape=spec.shape)
            for n, spec in specs.items()
        }
        nothing = tf.experimental.Optional.empty(iterator.element_spec)

        def fetch(wanted: tf.Tensor) -> tuple[Any, tf.Tensor]:
            began = clock()
            with tf.control_dependencies([began]):
                optional = tf.cond(
                    wanted, iterator.get_next_as_optional, lambda: nothing
                )
                there = optional.has_value()
            with tf.control_dependencies([there]):
                return optional, clock() - began

        def body(
            step: Any, finite: Any, optional: Any, wait: Any, arrays: Any
        ) -> tuple:
            row = {**step_fn(optional.get_value()), WAITS: wait}
            finite = tf.constant(True)
            for name in step_fn.checked:
                finite &= tf.reduce_all(tf.math.is_finite(row[name]))
            arrays = {n: arrays[n].write(step, row[n]) for n in arrays}
            step += 1
            # A batch is taken only to be trained on: the position in the
            # data is the number of steps. And not while computing, which
            # would hide the waiting that is measured.
            with tf.control_dependencies([finite]):
                optional, wait = fetch(step < num_steps)
            return step, finite, optional, wait, arrays

        step, *_, arrays = tf.while_loop(
            lambda step, finite, optional, *_: (
                finite & (step < num_steps) & optional.has_value()
            ),
            body,
            (tf.constant(0), tf.constant(True), *fetch(num_steps > 0), arrays),
        )
        return step, {name: array.stack() for name, array in arrays.items()}

    graph = tf.function(repeat, reduce_retracing=True, autograph=False)

    def run(iterator: Any, num_steps: int) -> Rows:
        count, rows = graph(iterator, tf.constant(num_steps))
        return {name: row.numpy()[: int(count)] for name, row in rows.items()}

    return run


def _clock() -> Callable[[], tf.Tensor]:
    """Returns a graph's clock; always 0 where TensorFlow forbids clocks."""
    try:
        tf.timestamp()
    except tf.errors.FailedPreconditionError:
        # Under `enable_op_determinism`; waiting then reads as 0.
        return lambda: tf.constant(0.0, tf.float64)
    return tf.timestamp
