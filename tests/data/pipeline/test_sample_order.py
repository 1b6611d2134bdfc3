"""Samplers of unequal classes: a function of seed and epoch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_tricks.data import (
    ArrayRecords,
    Batches,
    ImageBatches,
    Preprocessing,
    RestOfEpoch,
    TrainTransform,
)
from keras_tricks.data.pipeline.sample_order import SampleOrder, epoch_order
from keras_tricks.layers import MixUp

COUNTS = np.array([40, 20, 10, 4, 2])
LABELS = np.repeat(np.arange(5), COUNTS)[epoch_order(9, 0, COUNTS.sum())]
LABELS = LABELS.astype("int32")
IMAGES = np.arange(len(LABELS), dtype="uint8")[:, None, None, None]
IMAGES = np.broadcast_to(IMAGES, (len(LABELS), 8, 8, 3)).copy()
RECORDS = ArrayRecords(IMAGES, LABELS, tuple("abcde"))


def order_of(sampler, labels=LABELS, seed=3):
    return SampleOrder(len(labels), seed, sampler=sampler, labels=labels)


def drawn(order, epoch):
    return order(epoch) // order.per_record


@pytest.mark.parametrize("sampler, power", [("balanced", 0), ("sqrt", 0.5)])
def test_the_shares_of_the_classes(sampler, power):
    order, size = order_of(sampler), len(LABELS)
    want = size * COUNTS**power / (COUNTS**power).sum()
    found = []
    for epoch in range(200):
        records = drawn(order, epoch)
        assert len(records) == size
        classes = np.bincount(LABELS[records], minlength=5)
        assert (abs(classes - want) < 1).all()
        found.append(classes)
        times = np.bincount(records, minlength=size)
        for label in range(5):
            own = times[label == LABELS]
            assert own.max() - own.min() <= 1
        assert len(set(order(epoch).tolist())) == size
    # The rest is drawn so that it is right on average, and fair.
    np.testing.assert_allclose(np.mean(found, axis=0), want, atol=0.15)


def test_every_image_of_a_large_class_comes_as_often_over_epochs():
    order = order_of("balanced")
    times = sum(
        np.bincount(drawn(order, epoch), minlength=len(LABELS))
        for epoch in range(300)
    )
    large = times[LABELS == 0] / 300
    np.testing.assert_allclose(large, 76 / 5 / 40, atol=0.12)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 300), min_size=2, max_size=12),
    st.sampled_from(["balanced", "sqrt"]),
    st.integers(0, 5),
)
def test_any_sizes_of_classes(counts, sampler, epoch):
    labels = np.repeat(np.arange(len(counts)), counts)
    order = order_of(sampler, labels)
    samples = order(epoch)
    assert len(set(samples.tolist())) == len(labels)
    assert samples.min() >= 0
    assert samples.max() < len(labels) * order.per_record


def test_seed_and_epoch_decide():
    orders = [order_of("balanced", seed=s)(e) for s in (0, 1) for e in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    np.testing.assert_array_equal(orders[3], order_of("balanced", seed=1)(1))
    same = epoch_order(3, 5, len(LABELS))
    np.testing.assert_array_equal(order_of("none")(5), same)


def test_a_record_without_a_class_is_never_drawn():
    labels = np.where(np.arange(len(LABELS)) % 7 == 0, -1, LABELS)
    records = drawn(order_of("balanced", labels), 0)
    assert len(records) == len(labels) and (labels[records] >= 0).all()


def batches_in_memory(**options):
    mix_up = MixUp(0.4, num_classes=5, seed=3)
    common = {"seed": 3, "sampler": "balanced", "mix_up": mix_up}
    return Batches(IMAGES, LABELS, 8, mean=0, std=1, **common, **options)


def streamed(engine="auto", **options):
    common = {"seed": 3, "sampler": "balanced", "engine": engine}
    return ImageBatches(
        RECORDS,
        Preprocessing(8),
        8,
        transform=TrainTransform(8),
        **common,
        **options,
    )


@pytest.mark.parametrize("make", [batches_in_memory, streamed])
def test_a_resume_within_an_epoch_meets_the_same_batches(make):
    whole, again = make(), make()
    whole.set_epoch(4)
    expected = [whole[step] for step in range(whole.num_batches)]
    rest = RestOfEpoch(again, 5)
    rest.set_epoch(4)
    assert len(rest) == len(expected) - 5
    for step in range(len(rest)):
        for ours, theirs in zip(rest[step], expected[5 + step], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_batches_hold_what_was_drawn():
    batches = Batches(IMAGES, LABELS, 8, mean=0, std=1, sampler="balanced")
    x, y = batches.batch(2, 3)
    records = drawn(SampleOrder(76, 0, True, "balanced", LABELS), 2)[24:32]
    np.testing.assert_array_equal(y, LABELS[records])
    np.testing.assert_array_equal(x[:, 0, 0, 0], records)


def test_copies_of_an_image_are_transformed_each_in_its_own_way():
    batches = streamed()
    order = batches.order(0)
    copies = order // batches.order.per_record
    record = np.bincount(copies).argmax()
    assert (copies == record).sum() >= 7
    parameters = {
        str(batches.loader.draw(0, int(sample), 40, 60))
        for sample in order[copies == record]
    }
    assert len(parameters) == (copies == record).sum()


def test_hosts_share_the_batches_of_one():
    whole = streamed()
    parts = [streamed(shard=(host, 2)) for host in range(2)]
    for step in range(3):
        labels = [part.batch(1, step)[1] for part in parts]
        np.testing.assert_array_equal(
            np.concatenate(labels), whole.batch(1, step)[1]
        )


class Unlabeled:
    """Records that tell their label only when they are read."""

    class_names, labels = tuple("abcde"), None

    def __len__(self):
        return len(LABELS)

    def record(self, index):
        return IMAGES[index], int(LABELS[index])

    def name(self, index):
        return f"record {index}"


MISTAKES = [
    (lambda: order_of("equal"), "`sampler` must be one of 'none', 'balanced'"),
    (
        lambda: Batches(IMAGES, LABELS, 8, shuffle=False, sampler="sqrt"),
        "`sampler` must be 'none' without shuffling. Received: sampler='sqrt'",
    ),
    (
        lambda: streamed(repeats=2),
        "`sampler` must be 'none' with repeats=2. Received",
    ),
    (
        lambda: ImageBatches(
            Unlabeled(),
            Preprocessing(8),
            8,
            transform=TrainTransform(8),
            sampler="balanced",
        ),
        "`sampler` must be 'none' where only reading a record tells its label",
    ),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_bad_input(mistake, message):
    with pytest.raises(ValueError, match=message):
        mistake()
