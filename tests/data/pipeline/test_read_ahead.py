import threading
import time

import pytest

from keras_tricks.data.pipeline.read_ahead import ReadAhead


def wait_for(condition):
    for _ in range(500):
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_the_elements_come_in_order_and_end():
    ahead = ReadAhead(iter(range(5)))
    assert list(ahead) == [0, 1, 2, 3, 4]
    with pytest.raises(StopIteration):
        next(ahead)


def test_it_reads_ahead_and_no_further():
    made = []

    def make():
        for i in range(100):
            made.append(i)
            yield i

    ahead = ReadAhead(make(), depth=3)
    assert next(ahead) == 0
    # One taken, three in the queue, one in the hand of the thread.
    assert wait_for(lambda: len(made) == 5)
    time.sleep(0.05)
    assert len(made) == 5
    ahead.close()


def test_an_error_comes_where_its_element_would():
    def make():
        yield 1
        raise ValueError("no second one")

    ahead = ReadAhead(make())
    assert next(ahead) == 1
    for _ in range(2):
        with pytest.raises(ValueError, match="no second one"):
            next(ahead)


def test_closing_ends_the_thread_and_the_iterator():
    closed = threading.Event()

    def make():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    ahead = ReadAhead(make())
    next(ahead)
    ahead.close()
    assert closed.wait(5) and not ahead._thread.is_alive()
