"""Ctrl-C and SIGTERM as a request to stop after the present step."""

import signal
import threading
from types import FrameType
from typing import Any


class StopSignals:
    """Records the first SIGINT or SIGTERM in `received`, 0 until then.

    The second has the effect the signal had before, so that a hanging
    program can still be ended. Outside the main thread, where Python delivers
    no signals, nothing is recorded.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._record)
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
