"""Runs work in threads, a few elements ahead, in order."""

import collections
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


def map_ahead(
    function: Callable, items: Iterable, workers: int, ahead: int
) -> Iterator:
    """Call a function in threads, and yield the results in order.

    Unlike `Executor.map`, it takes only a few items beforehand, and none once
    it is closed or a call fails.

    Args:
        function: Takes an item; called in several threads at once.
        items: What it is called with.
        workers: Number of threads.
        ahead: How many calls may be begun beyond the one that is waited for.

    Yields:
        `function(item)` for each item.

    Example:
    >>> list(map_ahead(abs, [-1, 2, -3], workers=2, ahead=4))
    [1, 2, 3]
    """
    pool = ThreadPoolExecutor(workers)
    pending: collections.deque[Future] = collections.deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class ReadAhead:
    """The elements of an iterator, made ahead in a thread.

    Args:
        iterator: Runs in the thread, and is closed there.
        depth: How many elements are kept ready. Defaults to 2.

    Example:
    >>> ahead = ReadAhead(iter("ab"))
    >>> list(ahead)
    ['a', 'b']
    """

    def __init__(self, iterator: Iterator, depth: int = 2):
        self._queue: queue.Queue[tuple[str, Any]] = queue.Queue(depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(iterator,), daemon=True
        )
        self._thread.start()

    def __iter__(self):
        return self

    def __next__(self):
        kind, value = self._queue.get()
        if kind == "element":
            return value
        self._queue.put((kind, value))  # For whoever asks again.
        if kind == "error":
            raise value
        raise StopIteration

    def close(self) -> None:
        """Stop the thread, after the element it is at."""
        self._stopped.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.01)
            except queue.Empty:
                pass

    def _run(self, iterator):
        try:
            for element in iterator:
                if not self._put("element", element):
                    break
            else:
                self._put("end", None)
        except BaseException as error:
            self._put("error", error)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def _put(self, kind, value):
        """Wait for a place; False if nobody will read any more."""
        while not self._stopped.is_set():
            try:
                self._queue.put((kind, value), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False
