"""Calls that are waited for only so long, in threads of their own."""

import collections
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class StageBusyError(RuntimeError):
    """Too many calls of a stage are still running."""


class StageThreads:
    """Starts a call in a thread that nobody has to wait for.

    A thread of Python cannot be stopped: a call that hangs stays. So calls of
    one name that run at once are limited, and a stage that hangs for all
    users costs its limit of threads, not one a request. The threads are
    daemons: they do not hold up the end of the process.

    Args:
        most_running: calls of one name at once.

    Example:
        >>> threads = StageThreads(most_running=1)
        >>> threads.start("double", lambda: 21 * 2).result(timeout=5.0)
        42
    """

    def __init__(self, most_running: int = 32):
        if most_running < 1:
            raise ValueError(
                f"`most_running` must be at least 1. Got: {most_running}."
            )
        self._most = most_running
        self._running: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()

    def start(self, name: str, call: Callable[[], Any]) -> Future[Any]:
        """Starts a call; its future has the result or the exception.

        Raises:
            StageBusyError: if `most_running` calls of that name run already.
        """
        with self._lock:
            if self._running[name] >= self._most:
                raise StageBusyError(
                    f"{self._most} calls of `{name}` are running already."
                )
            self._running[name] += 1
        future: Future[Any] = Future()

        def work() -> None:
            try:
                result = call()
            except Exception as error:
                self._end(name)
                future.set_exception(error)
            except BaseException as error:
                # Such as SystemExit: it must not end who waits.
                self._end(name)
                future.set_exception(RuntimeError(repr(error)))
            else:
                self._end(name)
                future.set_result(result)

        try:
            threading.Thread(target=work, name=name, daemon=True).start()
        except RuntimeError:
            # The system has no more threads.
            self._end(name)
            raise
        return future

    def running(self) -> dict[str, int]:
        """Returns calls that have not ended, by name."""
        with self._lock:
            return {n: count for n, count in self._running.items() if count}

    def _end(self, name: str) -> None:
        with self._lock:
            self._running[name] -= 1
