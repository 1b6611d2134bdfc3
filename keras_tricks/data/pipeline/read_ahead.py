"""Runs an iterator in a thread, a few elements ahead."""

import queue
import threading
from collections.abc import Iterator


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
        self._queue = queue.Queue(depth)
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
        """Stops the thread, after the element it is at."""
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
        """Waits for a place; False if nobody will read any more."""
        while not self._stopped.is_set():
            try:
                self._queue.put((kind, value), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False
