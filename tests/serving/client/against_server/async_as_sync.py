"""An asyncio client behind the face of the other one."""

import asyncio
import threading


class AsyncAsSync:
    """Runs an event loop in a thread; `make` is called inside of it."""

    def __init__(self, make):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._client = self._run(self._made(make))

    def rank(self, request, timeout=None):
        return self._run(self._client.rank(request, timeout))

    def stats(self):
        return self._client.stats()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _made(self, make):
        return make()

    def _run(self, coroutine):
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(120)
