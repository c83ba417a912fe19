"""Ctrl-C and SIGTERM as a request to stop after the present step."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class StopSignals:
    """Records the first SIGINT or SIGTERM in `received`.

    The second has the effect the signal had before, so that a hanging
    program can still be ended. Outside the main thread, where Python delivers
    no signals, nothing is recorded.

    Attributes:
        received: number of the signal that came, 0 for none.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in self.SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
