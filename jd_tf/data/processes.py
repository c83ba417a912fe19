"""Work that several processes share."""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from jd_tf.schema import DataError

_BROKEN = (
    "a process ended before its work was done. It ran out of memory, or this "
    "call stands in a script outside `if __name__ == '__main__':`, which every "
    "process runs again. Put it there, or pass num_processes=1."
)


@contextlib.contextmanager
def unordered_map(num_processes: int) -> Iterator[Callable]:
    """Yields a `map` whose results come in any order.

    One process is this one.

    Raises:
        DataError: if a process ends without a result.
    """
    if num_processes == 1:
        yield map
        return
    # TensorFlow has threads, which do not survive a fork. A `Pool` would start
    # processes that cannot start again and again.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_processes, mp_context=spawn) as pool:

        def run(work: Callable, tasks: Iterable) -> Iterator:
            futures = [pool.submit(work, task) for task in tasks]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except BrokenProcessPool as error:
                raise DataError(_BROKEN) from error
            finally:
                for future in futures:
                    future.cancel()

        yield run
