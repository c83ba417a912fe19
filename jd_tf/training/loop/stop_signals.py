"""Ctrl-C and SIGTERM as a wish, not a blow."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class StopSignals:
    """Remembers that someone asked to stop; a second time it is meant.

    The first SIGINT or SIGTERM sets `received`. Another falls back to what
    the signal did before, so that a hanging program can still be ended.
    Outside the main thread, where Python delivers no signals, it does
    nothing.

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
