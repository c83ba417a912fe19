"""Calls joined along dimension 0, by the server's rules."""

import collections
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

import numpy as np

from tests.serving.fake_server.options import BatchingOptions
from tests.serving.fake_server.status_error import StatusError, invalid


class Batcher:
    """One queue: the calls of one signature with one set of outputs."""

    def __init__(self, run, options: BatchingOptions):
        self.options = options
        self.batch_sizes = []
        self._run = run
        self._waiting = collections.deque()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def submit(self, inputs, timeout):
        """Waits for the answer to one call's rows."""
        rows = self._rows(inputs)
        future = Future()
        if rows:
            # No batch is ever made of no rows: such a call waits in vain.
            with self._changed:
                limit = self.options.max_enqueued_batches
                limit *= self.options.max_batch_size
                if sum(r for _, r, _ in self._waiting) + rows > limit:
                    raise StatusError(
                        "UNAVAILABLE",
                        "The batch scheduling queue to which this task was "
                        "submitted is full",
                    )
                self._waiting.append((inputs, rows, future))
                self._changed.notify()
        try:
            return future.result(timeout)
        except FutureTimeout:
            raise StatusError(
                "DEADLINE_EXCEEDED", "Deadline Exceeded"
            ) from None

    def _rows(self, inputs):
        if any(array.ndim == 0 for array in inputs.values()):
            raise invalid(
                "Batching Run() input tensors must have at least one dimension"
            )
        rows = {len(array) for array in inputs.values()}
        if len(rows) != 1:
            raise invalid(
                "Batching Run() input tensors must have equal 0th-dimension "
                "size"
            )
        (count,) = rows
        if count > self.options.max_batch_size:
            raise invalid(
                f"Task size {count} is larger than maximum input batch size "
                f"{self.options.max_batch_size}"
            )
        return count

    def _work(self):
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                end = time.monotonic() + self.options.batch_timeout_micros / 1e6
                limit = self.options.max_batch_size
                while sum(r for _, r, _ in self._waiting) < limit:
                    left = end - time.monotonic()
                    if left <= 0 or not self._changed.wait(left):
                        break
                tasks = [self._waiting.popleft()]
                while self._waiting:
                    if sum(t[1] for t in tasks) + self._waiting[0][1] > limit:
                        break
                    tasks.append(self._waiting.popleft())
            self._answer(tasks)

    def _answer(self, tasks):
        try:
            joined = {
                name: self._join([task[0][name] for task in tasks])
                for name in tasks[0][0]
            }
            rows = sum(task[1] for task in tasks)
            self.batch_sizes.append(rows)
            outputs = self._run(self._fill(joined, rows))
            start = 0
            for _, count, future in tasks:
                future.set_result(
                    {n: a[start : start + count] for n, a in outputs.items()}
                )
                start += count
        except Exception as error:
            for _, _, future in tasks:
                if not future.done():
                    future.set_exception(error)

    def _join(self, arrays):
        shapes = {array.shape[1:] for array in arrays}
        if len({len(shape) for shape in shapes}) > 1:
            raise StatusError("INTERNAL", "ranks differ: a server would abort")
        if len(shapes) > 1:
            if not self.options.pad_variable_length_inputs:
                raise invalid(
                    "Tensors with name are from different tasks, but their "
                    "shapes differ beyond dimension 0; consider setting "
                    "pad_variable_length_inputs"
                )
            widest = np.max(list(shapes), axis=0)
            arrays = [self._pad(array, widest) for array in arrays]
        return np.concatenate(arrays)

    def _pad(self, array, widest):
        missing = [
            (0, w - s) for w, s in zip(widest, array.shape[1:], strict=True)
        ]
        if not array.size:
            raise invalid("cannot pad a tensor without elements")
        # With the first element, whatever it is.
        return np.pad(
            array, [(0, 0), *missing], constant_values=array.ravel()[0]
        )

    def _fill(self, joined, rows):
        sizes = [n for n in self.options.allowed_batch_sizes if n >= rows]
        missing = (sizes[0] if sizes else rows) - rows
        if not missing:
            return joined
        return {
            name: np.concatenate([array, np.repeat(array[:1], missing, axis=0)])
            for name, array in joined.items()
        }
