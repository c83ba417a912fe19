"""A transport of threads for asyncio."""

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jd_tf.serving.client.call import Answer, Call
from jd_tf.serving.client.model_description import ModelDescription
from jd_tf.serving.client.transport import AsyncTransport, Transport


class ThreadedTransport(AsyncTransport):
    """Calls over REST and in process, without holding the event loop up.

    Args:
        transport: belongs to this one, which closes it.
        num_threads: calls under way at once; more wait.
    """

    def __init__(self, transport: Transport, num_threads: int = 8):
        self.where = transport.where
        self.schema = transport.schema
        self.remote = transport.remote
        self._transport = transport
        self._threads = ThreadPoolExecutor(num_threads, "jd_tf-call")

    def carries(self, description: ModelDescription) -> bool:
        """See `Transport`."""
        return self._transport.carries(description)

    async def call(self, call: Call, timeout: float) -> Answer:
        """See `Transport`."""
        return await self._run(self._transport.call, call, timeout)

    async def describe(self, timeout: float) -> ModelDescription:
        """See `Transport`."""
        return await self._run(self._transport.describe, timeout)

    async def close(self) -> None:
        """See `Transport`."""
        self._transport.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, functools.partial(function, *arguments)
        )
