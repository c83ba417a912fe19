"""Ranks requests with a served model, from threads or under asyncio."""

import abc
import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any, Generic, TypeVar

from jd_tf.schema import Schema
from jd_tf.serving.client import errors
from jd_tf.serving.client.options import ClientOptions, check_timeout
from jd_tf.serving.client.planner import Planner
from jd_tf.serving.client.ranking import Ranking
from jd_tf.serving.client.request_log import RequestLog
from jd_tf.serving.client.transport import (
    AsyncTransport,
    BaseTransport,
    Operation,
    SavedModelTransport,
    Transport,
)

AnyTransport = TypeVar("AnyTransport", bound=BaseTransport)


class _Deadline:
    """The moment at which a ranking is too late."""

    def __init__(self, seconds: float, where: str):
        self._seconds, self._where = check_timeout(seconds), where
        self._end = time.monotonic() + self._seconds

    def left(self) -> float:
        """Seconds left, at least 0."""
        return max(self._end - time.monotonic(), 0.0)

    def error(self) -> errors.DeadlineError:
        """The error of a ranking that is too late."""
        return errors.DeadlineError(
            f"{self._where}: not ranked within {self._seconds:.3g} s. "
            f"{errors.DeadlineError.remedy}"
        )


class _Client(abc.ABC, Generic[AnyTransport]):
    """Everything but making calls, for threads and for asyncio."""

    def __init__(
        self,
        transport: AnyTransport,
        schema: Schema | None = None,
        options: ClientOptions | None = None,
        request_log: RequestLog | None = None,
    ):
        schema = schema or transport.schema
        if schema is None:
            raise errors.RequestError(
                f"{transport.where}: a server does not send its schema; give "
                "the client that of the model: Schema.load(<version>/"
                "assets.extra/schema.json)."
            )
        self.transport = transport
        self.schema = schema
        self.options = options or ClientOptions()
        self._planner = Planner(transport, schema, self.options)
        self._log = request_log
        self._closed = False
        self._open()

    def stats(self) -> dict[str, Any]:
        """Requests, calls by signature, version switches, cache."""
        return self._planner.stats()

    async def _rank(
        self, request: Mapping[str, Any], timeout: float | None
    ) -> Ranking:
        if self._closed:
            raise self._closed_error()
        seconds = self.options.timeout if timeout is None else timeout
        deadline = _Deadline(seconds, self.transport.where)
        ranking = await self._planner.rank(
            request, lambda operations: self._run(operations, deadline)
        )
        if self._log is not None:
            self._log.offer(self._planner.serving_inputs, request, ranking)
        return ranking

    @abc.abstractmethod
    def _open(self) -> None:
        """Prepares for calls."""

    @abc.abstractmethod
    async def _run(
        self, operations: Sequence[Operation], deadline: _Deadline
    ) -> list[Any]:
        """Makes calls side by side."""

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()

    def _closed_error(self) -> errors.ClosedError:
        return errors.ClosedError(
            f"{self.transport.where}: this client is closed. Open a new one."
        )


class RankingClient(_Client[Transport]):
    """Encodes a user once, ranks slices in parallel, puts them together.

    For any number of threads. Errors are typed and name a remedy.

    Args:
        transport: belongs to the client, which closes it.
        schema: the columns of a request; read from the model in process.
        options: settings.
        request_log: samples requests and answers; closed with the client.

    Raises:
        RequestError: if settings do not fit the schema.

    Example:
        >>> from jd_tf.schema import Behavior, IdColumn, Objective
        >>> from jd_tf.serving.client import GrpcTransport, ModelChoice
        >>> schema = Schema(
        ...     name="shop",
        ...     item_columns=(IdColumn("item_id", num_buckets=100),),
        ...     behaviors=(Behavior("click", max_length=50),),
        ...     objectives=(Objective("click"),),
        ...     max_candidates=1000,
        ... )
        >>> request = {"item_id": [], "click_item_id": [7]}
        >>> request |= {"click_event_time": [940], "request_time": 1000}
        >>> transport = GrpcTransport("localhost:8500", ModelChoice("m"))
        >>> with RankingClient(transport, schema) as client:
        ...     client.rank(request, timeout=0.05).table()
        'request 0: no candidates'
    """

    @classmethod
    def from_saved_model(
        cls, path: str | Path, options: ClientOptions | None = None
    ) -> "RankingClient":
        """Opens a client of a SavedModel in this process.

        Args:
            path: a version folder, or a model's folder, whose highest version
                is then taken.
            options: settings.

        Raises:
            ExportError: if there is no whole SavedModel.
        """
        return cls(SavedModelTransport(path), options=options)

    def rank(
        self, request: Mapping[str, Any], timeout: float | None = None
    ) -> Ranking:
        """Ranks the candidates of a request, however many there are.

        Args:
            request: unpadded columns by name; lists or arrays.
            timeout: seconds for all of it; the client's own by default.

        Returns:
            Its candidates, best first.

        Raises:
            RequestError: if the request is wrong; nothing was sent.
            DeadlineError: if the time was too short.
            UnavailableError: if nobody answered, again and again.
            ClientError: for everything else.
        """
        coroutine = self._rank(request, timeout)
        try:
            # It never waits, since `_run` blocks: one step is all.
            coroutine.send(None)
        except StopIteration as finished:
            return finished.value
        raise AssertionError("a client with threads awaits nothing.")

    def close(self) -> None:
        """Gives connections and threads back; calls fail from then on."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.transport.close()
        self._close_log()

    def __enter__(self) -> "RankingClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        self._threads = ThreadPoolExecutor(self.options.parallel, "jd_tf-rank")

    async def _run(
        self, operations: Sequence[Operation], deadline: _Deadline
    ) -> list[Any]:
        if len(operations) == 1 and self.transport.keeps_deadlines:
            return [self._send(operations[0], deadline)]
        try:
            futures = [
                self._threads.submit(self._send, operation, deadline)
                for operation in operations
            ]
        except RuntimeError as error:
            # The threads are shut down.
            raise self._closed_error() from error
        try:
            return [future.result(deadline.left()) for future in futures]
        except FutureTimeoutError as error:
            raise deadline.error() from error
        except CancelledError as error:
            raise self._closed_error() from error
        finally:
            for future in futures:
                future.cancel()

    def _send(self, operation: Operation, deadline: _Deadline) -> Any:
        left = deadline.left()
        if not left:
            raise deadline.error()
        return self.transport.call(operation, left)


class AsyncRankingClient(_Client[AsyncTransport]):
    """The same as `RankingClient`, without threads of its own.

    Make and use it in one event loop. The arguments are the same; `parallel`
    is how many calls of all requests together are under way at once.

    Example:
        >>> import asyncio
        >>> from jd_tf.schema import Behavior, IdColumn, Objective, Schema
        >>> from jd_tf.serving.client import AsyncGrpcTransport, ModelChoice
        >>> schema = Schema(
        ...     name="shop",
        ...     item_columns=(IdColumn("item_id", num_buckets=100),),
        ...     behaviors=(Behavior("click", max_length=50),),
        ...     objectives=(Objective("click"),),
        ...     max_candidates=20,
        ... )
        >>> async def count():
        ...     choice = ModelChoice("jd_ranker")
        ...     transport = AsyncGrpcTransport("localhost:8500", choice)
        ...     async with AsyncRankingClient(transport, schema) as client:
        ...         return client.stats()["requests"]
        >>> asyncio.run(count())
        0
    """

    async def rank(
        self, request: Mapping[str, Any], timeout: float | None = None
    ) -> Ranking:
        """Ranks the candidates of a request; see `RankingClient.rank`."""
        return await self._rank(request, timeout)

    async def close(self) -> None:
        """Gives connections back; calls fail from then on."""
        self._closed = True
        await self.transport.close()
        self._close_log()

    async def __aenter__(self) -> "AsyncRankingClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _open(self) -> None:
        self._places = asyncio.Semaphore(self.options.parallel)

    async def _run(
        self, operations: Sequence[Operation], deadline: _Deadline
    ) -> list[Any]:
        tasks = [
            asyncio.ensure_future(self._send(operation, deadline))
            for operation in operations
        ]
        try:
            return await asyncio.wait_for(
                asyncio.gather(*tasks), deadline.left()
            )
        except asyncio.TimeoutError as error:
            raise deadline.error() from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, operation: Operation, deadline: _Deadline) -> Any:
        async with self._places:
            left = max(deadline.left(), 1e-3)
            return await self.transport.call(operation, left)
