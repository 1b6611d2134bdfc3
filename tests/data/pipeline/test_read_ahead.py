import threading
import time

import pytest

from keras_tricks.data.pipeline.read_ahead import ReadAhead, map_ahead


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
    assert closed.wait(60) and not ahead._thread.is_alive()


def test_several_threads_keep_the_order_and_stay_within_their_lead():
    begun, finished = [], threading.Event()

    def slow_first(i):
        begun.append(i)
        if i == 0:
            finished.wait(5)
        return i

    results = map_ahead(slow_first, range(100), workers=3, ahead=5)
    threading.Timer(0.2, finished.set).start()
    assert next(results) == 0
    assert max(begun) <= 6 and len(begun) > 1
    assert list(results) == list(range(1, 100))


def test_a_closed_map_begins_no_further_call():
    begun = []
    results = map_ahead(begun.append, range(100), workers=2, ahead=4)
    next(results)
    results.close()
    count = len(begun)
    assert count <= 6
    time.sleep(0.1)
    assert len(begun) == count


def test_an_error_of_a_call_comes_in_its_place():
    results = map_ahead(lambda x: 6 // x, [3, 2, 0, 1], workers=2, ahead=2)
    assert next(results) == 2 and next(results) == 3
    with pytest.raises(ZeroDivisionError):
        next(results)
