"""Ranks requests with a served model, under asyncio."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from jd_tf.schema import Schema
from jd_tf.serving.client.call import Call, Describe
from jd_tf.serving.client.client_options import ClientOptions, check_timeout
from jd_tf.serving.client.errors import ClientError, UnavailableError
from jd_tf.serving.client.planner import Planner
from jd_tf.serving.client.ranking import Ranking
from jd_tf.serving.client.ranking_client import closed, schema_of, too_late
from jd_tf.serving.client.request_log import RequestLog
from jd_tf.serving.client.retries import Retries
from jd_tf.serving.client.transport import AsyncTransport


class AsyncRankingClient:
    """What `RankingClient` does, without threads of its own.

    Make and use it in one event loop.

    Args:
        transport: belongs to the client, which closes it.
        schema: the columns of a request; read from the model in process.
        options: settings; `parallel` is how many calls of all requests
            together are under way at once.
        request_log: samples what was asked and answered; closed with the
            client.

    Raises:
        RequestError: if settings do not fit the schema.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        schema: Schema | None = None,
        options: ClientOptions | None = None,
        request_log: RequestLog | None = None,
    ):
        self.transport = transport
        self.schema = schema_of(transport, schema)
        self.options = options or ClientOptions()
        self._planner = Planner(transport, self.schema, self.options)
        self._retries = Retries(self.options.retries)
        self._log = request_log
        self._closed = False
        self._places = asyncio.Semaphore(self.options.parallel)

    async def rank(
        self, request: Mapping[str, Any], timeout: float | None = None
    ) -> Ranking:
        """Ranks the candidates of a request; see `RankingClient.rank`."""
        if self._closed:
            raise closed(self.transport.where)
        seconds = check_timeout(
            self.options.timeout if timeout is None else timeout
        )
        end = time.monotonic() + seconds
        plan = self._planner.plan(request)
        try:
            operations = next(plan)
            while True:
                try:
                    answers = await self._run(operations, end, seconds)
                except ClientError as error:
                    operations = plan.throw(error)
                else:
                    operations = plan.send(answers)
        except StopIteration as finished:
            ranking = finished.value
        if self._log is not None:
            self._log.offer(self._planner.serving_inputs, request, ranking)
        return ranking

    def stats(self) -> dict[str, Any]:
        """Requests, calls by signature, retries, version switches, cache."""
        return {**self._planner.stats(), "retries": self._retries.count}

    async def close(self) -> None:
        """Gives connections back; calls fail from then on."""
        self._closed = True
        await self.transport.close()
        if self._log is not None:
            self._log.close()

    async def __aenter__(self) -> "AsyncRankingClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(
        self, operations: list[Call | Describe], end: float, seconds: float
    ) -> list[Any]:
        tasks = [
            asyncio.ensure_future(self._attempts(operation, end, seconds))
            for operation in operations
        ]
        left = max(end - time.monotonic(), 0.0)
        try:
            _, pending = await asyncio.wait(
                tasks, timeout=left, return_when=asyncio.FIRST_EXCEPTION
            )
            for task in tasks:
                if task not in pending:
                    # The first of the errors, if there is one.
                    task.result()
            if pending:
                raise too_late(self.transport.where, seconds)
            return [task.result() for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            # What they end with was told, or nobody waits for it any more.
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _attempts(
        self, operation: Call | Describe, end: float, seconds: float
    ) -> Any:
        attempt = 0
        while True:
            attempt += 1
            left = end - time.monotonic()
            if left <= 0:
                raise too_late(self.transport.where, seconds)
            try:
                async with self._places:
                    left = max(end - time.monotonic(), 1e-3)
                    if isinstance(operation, Call):
                        answer = await self.transport.call(operation, left)
                    else:
                        answer = await self.transport.describe(left)
            except UnavailableError as error:
                left = end - time.monotonic()
                wait = self._retries.wait(attempt, left, error)
                await asyncio.sleep(wait)
            else:
                self._retries.answered()
                return answer
