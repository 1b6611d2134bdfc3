"""What is particular to the engine of tf.data."""

import numpy as np
import pytest

from keras_tricks.data import TrainTransform
from keras_tricks.data.pipeline.sample_loader import SampleLoader

from ...damaged_images import encode, photo

pytest.importorskip("tensorflow")


class Jpegs:
    class_names, labels = ("a", "b"), None

    def __init__(self):
        self.files = [encode(photo(i)) for i in range(40)]
        self.read = []

    def __len__(self):
        return len(self.files)

    def record(self, index):
        self.read.append(index)
        return self.files[index], index % 2

    def name(self, index):
        return f"file {index}"


@pytest.fixture
def engine():
    from keras_tricks.data.pipeline.engines.tf_data import Engine

    return Engine(SampleLoader(Jpegs(), TrainTransform(16)))


def check(engine, epoch, batch):
    for sample, view, label in zip(*batch, strict=True):
        expected, number = engine.loader.load(epoch, int(sample))
        assert label == number
        assert np.abs(view - expected).mean() < 0.5


def test_an_iterator_that_was_left_and_the_next_one_do_not_mix(engine):
    samples = np.arange(40)
    left = engine.batches(0, samples, 4)
    check(engine, 0, next(left))
    following = engine.batches(1, samples, 4)
    check(engine, 1, next(following))
    # Both go on, the first one without what was drawn for it.
    for one, two in zip(left, following, strict=True):
        check(engine, 0, one)
        check(engine, 1, two)


def test_nothing_is_kept_of_a_pass_that_is_over(engine):
    for epoch in range(2):
        for batch in engine.batches(epoch, np.arange(40), 8):
            check(engine, epoch, batch)
    assert engine._drawn == {}


def test_each_record_is_read_once(engine):
    list(engine.batches(0, np.arange(40), 8))
    assert sorted(engine.loader.records.read) == list(range(40))
