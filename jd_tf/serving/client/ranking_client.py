"""Ranks requests with a served model, from threads."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from jd_tf.schema import Schema
from jd_tf.serving.client.call import Call, Describe
from jd_tf.serving.client.client_options import ClientOptions, check_timeout
from jd_tf.serving.client.errors import (
    ClientError,
    ClosedError,
    DeadlineError,
    RequestError,
    UnavailableError,
)
from jd_tf.serving.client.planner import Planner
from jd_tf.serving.client.ranking import Ranking
from jd_tf.serving.client.request_log import RequestLog
from jd_tf.serving.client.retries import Retries
from jd_tf.serving.client.transport import Transport


class RankingClient:
    """Encodes a user once, ranks slices in parallel, puts them together.

    For any number of threads. What a transport raises is tried again where
    that helps, and told in typed errors where it does not.

    Args:
        transport: belongs to the client, which closes it.
        schema: the columns of a request; read from the model in process.
        options: settings.
        request_log: samples what was asked and answered; closed with the
            client.

    Raises:
        RequestError: if settings do not fit the schema.
    """

    def __init__(
        self,
        transport: Transport,
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
        self._threads = ThreadPoolExecutor(self.options.parallel, "jd_tf-rank")

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
                    answers = self._run(operations, end, seconds)
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

    def close(self) -> None:
        """Gives connections and threads back; calls fail from then on."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.transport.close()
        if self._log is not None:
            self._log.close()

    def __enter__(self) -> "RankingClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(
        self, operations: Sequence[Call | Describe], end: float, seconds: float
    ) -> list[Any]:
        if len(operations) == 1 and self.transport.keeps_deadlines:
            return [self._attempts(operations[0], end, seconds)]
        try:
            futures = [
                self._threads.submit(self._attempts, operation, end, seconds)
                for operation in operations
            ]
        except RuntimeError as error:
            raise closed(self.transport.where) from error
        return self._collect(futures, end, seconds)

    def _collect(
        self, futures: Sequence[Future], end: float, seconds: float
    ) -> list[Any]:
        try:
            return [
                future.result(max(end - time.monotonic(), 0.0))
                for future in futures
            ]
        except FutureTimeoutError as error:
            raise too_late(self.transport.where, seconds) from error
        except CancelledError as error:
            raise closed(self.transport.where) from error
        finally:
            for future in futures:
                future.cancel()

    def _attempts(
        self, operation: Call | Describe, end: float, seconds: float
    ) -> Any:
        attempt = 0
        while True:
            attempt += 1
            left = end - time.monotonic()
            if left <= 0:
                raise too_late(self.transport.where, seconds)
            try:
                if isinstance(operation, Call):
                    answer = self.transport.call(operation, left)
                else:
                    answer = self.transport.describe(left)
            except UnavailableError as error:
                left = end - time.monotonic()
                time.sleep(self._retries.wait(attempt, left, error))
            else:
                self._retries.answered()
                return answer


def schema_of(transport: Any, schema: Schema | None) -> Schema:
    """The schema given, or the one that the transport read.

    Raises:
        RequestError: if there is none.
    """
    schema = schema or transport.schema
    if schema is None:
        raise RequestError(
            f"{transport.where}: a server does not tell its schema; give the "
            "client that of the model: Schema.load(<version>/assets.extra/"
            "schema.json)."
        )
    return schema


def too_late(where: str, seconds: float) -> DeadlineError:
    """The error when time is over before the wire says so."""
    return DeadlineError(
        f"{where}: not ranked within {seconds:.3g} s. Allow more time, send "
        "fewer candidates, or look at the server's load."
    )


def closed(where: str) -> ClosedError:
    """The error of a client that was closed."""
    return ClosedError(f"{where}: this client is closed. Open a new one.")
