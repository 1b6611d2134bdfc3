"""What processes do together, with threads in their place."""

import threading

import numpy as np
import pytest

from keras_tricks import Recipe
from keras_tricks.data import Batches
from keras_tricks.data.pipeline.bad_records import BadRecords
from keras_tricks.data.pipeline.base import RestOfEpoch
from keras_tricks.distribute import Distribution, ProcessFailed
from keras_tricks.distribute.local_batches import LocalBatches
from keras_tricks.training.run_state import OfAllProcesses, SameDevices

from .several import Foreign
from .training import BACKEND, time_limit


class Threads(Distribution):
    """A process of several that are threads."""

    def __init__(self, index, shared):
        self.process_index, self.shared = index, shared
        self.num_processes = self.num_replicas = shared.parties

    def sum(self, values):
        self.shared.slots[self.process_index] = np.array(values)
        self.shared.wait()
        total = sum(self.shared.slots)
        self.shared.wait()
        return total


def in_each(function, count=3):
    """What a function of a distribution returns or raises in each."""
    shared = threading.Barrier(count, timeout=time_limit(20))
    shared.slots = [None] * count
    results = [None] * count

    def work(index):
        try:
            results[index] = function(Threads(index, shared))
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(time_limit(30))
    return results


def test_values_are_gathered_in_order():
    values = [{"name": "é" * i, "i": i} for i in range(3)]
    assert in_each(lambda d: d.gather(values[d.process_index])) == [values] * 3


def test_a_flag_of_one_is_known_to_all():
    flags = in_each(lambda d: (d.any(d.process_index == 2), d.any(False)))
    assert flags == [(True, False)] * 3
    assert all(type(flag) is bool for pair in flags for flag in pair)


def test_what_fails_in_one_fails_in_all():
    def call(distribution):
        def fails():
            if distribution.process_index == 1:
                raise OSError("no room")
            return distribution.process_index

        return distribution.together(fails)

    first, second, third = in_each(call)
    assert type(second) is OSError
    for error in (first, third):
        assert type(error) is ProcessFailed
        assert str(error) == "Process 1 failed: OSError: no room"
    assert in_each(lambda d: d.together(lambda: 2 * d.process_index)) == [
        0,
        2,
        4,
    ]


@pytest.mark.parametrize("chief_fails", [False, True])
def test_the_chief_comes_first(chief_fails):
    order = []

    def call(distribution):
        def load():
            order.append(distribution.process_index)
            if chief_fails and distribution.is_chief:
                raise ValueError("no such data")
            return len(order)

        return distribution.together(load, chief_first=True)

    results = in_each(call)
    assert order[0] == 0
    if chief_fails:
        assert order == [0]
        assert [type(error) for error in results] == [
            ValueError,
            ProcessFailed,
            ProcessFailed,
        ]
    else:
        assert sorted(order) == [0, 1, 2]
        assert results[0] == 1


def make_batches(batch_size=6, size=14, **kwargs):
    images = np.arange(size * 4, dtype="uint8").reshape(size, 2, 2, 1)
    return Batches(images, np.arange(size), batch_size, mean=0, std=1, **kwargs)


@pytest.mark.parametrize("start", [0, 1])
def test_the_parts_of_all_processes_are_the_batch(start):
    def make():
        batches = make_batches(drop_remainder=False)
        return RestOfEpoch(batches, start) if start else batches

    whole = make()
    parts = [LocalBatches(make(), (i, 3)) for i in range(3)]
    for batches in (whole, *parts):
        batches.set_epoch(4)
    sizes = []
    for step in range(len(whole)):
        rows = [part[step] for part in parts]
        for column in range(2):
            together = np.concatenate([row[column] for row in rows])
            assert np.array_equal(together, whole[step][column])
        again = [part.batch(4, step)[1] for part in parts]
        assert np.array_equal(np.concatenate(again), whole[step][1])
        sizes.append([len(row[1]) for row in rows])
    assert sizes == [[2, 2, 2], [2, 2, 2], [2, 0, 0]][start:]


def test_what_has_a_batch_and_a_length_is_taken():
    x, y = np.arange(14), np.arange(14, 28)
    parts = [LocalBatches(Foreign(x, y, 6), (i, 3)) for i in range(3)]
    for step in range(3):
        for column, whole in enumerate((x, y)):
            rows = [part[step][column] for part in parts]
            expected = whole[6 * step : 6 * step + 6]
            assert np.array_equal(np.concatenate(rows), expected)
    assert [len(part) for part in parts] == [3] * 3
    with pytest.raises(ValueError, match="multiple of the 4 processes"):
        LocalBatches(Foreign(x, y, 6), (0, 4))
    for other in (object(), [x, y], {"batch": x}):
        with pytest.raises(ValueError, match="must be batches of `keras_tr"):
            LocalBatches(other, (0, 2))


def test_it_is_told_the_epoch():
    class Told(Foreign):
        batch_size, shard, epoch = 6, (1, 2), 0

        def set_epoch(self, epoch):
            self.epoch = epoch

        def batch(self, epoch, step):
            assert epoch == self.epoch
            return super().batch(epoch, step)

    told = Told(np.arange(9), np.arange(9), 3)  # Rows of this process.
    local = LocalBatches(told, (1, 2))
    local.set_epoch(4)
    assert told.epoch == 4
    assert local[1][0].tolist() == [3, 4, 5]
    with pytest.raises(ValueError, match=r"number 0 of 2. Received: shard=\(1"):
        LocalBatches(told, (0, 2))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="imports TensorFlow")
def test_batches_of_tensorflow_have_another_batch():
    import tensorflow as tf

    dataset = tf.data.Dataset.range(8).batch(4)
    with pytest.raises(ValueError, match="must be batches of `keras_tricks"):
        LocalBatches(dataset, (0, 2))
    assert Distribution().batches(dataset) is dataset


def test_batches_that_do_not_fit_the_processes():
    with pytest.raises(ValueError, match="multiple of the 4 processes"):
        LocalBatches(make_batches(), (0, 4))
    theirs = make_batches()
    theirs.shard = (1, 2)
    assert LocalBatches(theirs, (1, 2))[0] is not None
    with pytest.raises(ValueError, match=r"number 0 of 2. Received: shard=\(1"):
        LocalBatches(theirs, (0, 2))


def test_bad_records_of_each_process_come_back():
    def save(distribution):
        bad = BadRecords(limit=9)
        bad.add(distribution.process_index, "file", "broken")
        return OfAllProcesses(bad, distribution).get_state()

    (states, *others) = in_each(save)
    assert others == [states] * 2

    def load(distribution):
        bad = BadRecords(limit=9)
        OfAllProcesses(bad, distribution).set_state(states)
        return sorted(bad.reasons)

    assert in_each(load) == [[0], [1], [2]]
    assert in_each(load, 2) == [[0, 1, 2]] * 2


def test_other_devices_are_said_or_refused(capsys):
    now = Distribution()
    state = SameDevices(Recipe(), now).get_state()
    SameDevices(Recipe(sync_batch_norm=False), now).set_state(state)
    assert capsys.readouterr().err == ""
    before = {"processes": 2, "replicas": 4}
    SameDevices(Recipe(), now).set_state(before)
    assert "Goes on with 1 devices of 1 processes, before 4 devices of 2" in (
        capsys.readouterr().err
    )
    with pytest.raises(ValueError, match="must have 4 devices as before"):
        SameDevices(Recipe(sync_batch_norm=False), now).check_state(before)
