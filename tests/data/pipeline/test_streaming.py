import importlib.util
import json

import keras
import numpy as np
import pytest

from keras_tricks._random import TRANSFORM, random_generator
from keras_tricks.data import (
    ArrayRecords,
    ImageBatches,
    Preprocessing,
    TrainTransform,
    open_folder_splits,
)
from keras_tricks.data.pipeline.bad_records import TooManyBadRecords
from keras_tricks.data.transforms import open_image
from keras_tricks.layers import CutMix, MixUp

from ..damaged_images import damaged_folder, encode, photo, write

ENGINES = [
    name
    for name, package in (("tf.data", "tensorflow"), ("grain", "grain"))
    if importlib.util.find_spec(package)
]
every_engine = pytest.mark.parametrize("engine", ENGINES)


class Files:
    """JPEGs in memory; label and brightness tell which one it is."""

    class_names = tuple("abcdefghijklmnopqrst")
    labels = None

    def __init__(self, count=20, bad=()):
        self.files = [encode(photo(i)) for i in range(count)]
        self.bad = bad

    def __len__(self):
        return len(self.files)

    def record(self, index):
        if index in self.bad:
            return self.files[index][:200], index
        return self.files[index], index

    def name(self, index):
        return f"file {index}"


def make(records=None, batch_size=6, engine="auto", **options):
    return ImageBatches(
        Files() if records is None else records,
        Preprocessing(16),
        batch_size,
        engine=engine,
        **{"transform": TrainTransform(16), **options},
    )


def labels_of(batches, epoch=0):
    return [
        batches.batch(epoch, step)[1].tolist()
        for step in range(batches.num_batches)
    ]


@every_engine
def test_an_epoch_is_a_permutation_by_seed_and_epoch(engine):
    batches = make(engine=engine)
    first = sum(labels_of(batches), [])
    assert len(first) == len(set(first)) == 18
    assert first == batches.samples(0)[:18].tolist()
    assert first != sum(labels_of(batches, 1), [])
    assert sum(labels_of(make(engine=engine)), []) == first
    assert sum(labels_of(make(engine=engine, seed=1)), []) != first


@pytest.mark.skipif(len(ENGINES) < 2, reason="needs both engines")
@pytest.mark.parametrize(
    "view",
    [TrainTransform(16), TrainTransform((12, 20), jitter=0, lighting=0), None],
)
def test_engines_agree(view):
    one, two = (make(engine=name, transform=view, seed=3) for name in ENGINES)
    for epoch in (0, 1):
        for (x, y), (u, v) in zip(
            (one.batch(epoch, i) for i in range(3)),
            (two.batch(epoch, i) for i in range(3)),
            strict=True,
        ):
            np.testing.assert_array_equal(y, v)
            assert np.abs(x - u).mean() * 58 < 0.5


@every_engine
def test_a_batch_is_what_the_functions_compute(engine):
    records = Files()
    batches = make(records, engine=engine, seed=5)
    x, y = batches.batch(2, 1)
    view, own = TrainTransform(16), Preprocessing(16)
    for image, label in zip(x, y, strict=True):
        rng = random_generator(5, TRANSFORM, epoch=2, step=int(label))
        expected = own.normalize(view(open_image(records.files[label]), rng))
        assert np.abs(image - expected).mean() < 0.01


@every_engine
def test_any_step_can_be_asked_for(engine):
    batches = make(engine=engine)
    in_order = [batches[i] for i in range(3)]
    for step in (2, 0, 1, 2, -1):
        np.testing.assert_array_equal(batches[step][0], in_order[step][0])


@every_engine
def test_two_hosts_share_each_batch(engine):
    whole = labels_of(make(engine=engine))
    hosts = [labels_of(make(engine=engine, shard=(i, 2))) for i in range(2)]
    assert [a + b for a, b in zip(*hosts, strict=True)] == whole


@every_engine
def test_of_the_last_batch_a_host_may_have_no_rows(engine):
    common = {"engine": engine, "batch_size": 6, "drop_remainder": False}
    whole = labels_of(make(**common))
    assert [len(labels) for labels in whole] == [6, 6, 6, 2]
    hosts = [make(shard=(i, 2), **common) for i in range(2)]
    for step in (0, 1, 2, 3, 3, 2):
        parts = [host[step] for host in hosts]
        assert sum((y.tolist() for _, y in parts), []) == whole[step]
        assert all(len(x) == len(y) for x, y in parts)
    assert labels_of(hosts[1])[-1] == []


@every_engine
def test_every_file_is_decoded_or_reported(engine, tmp_path, capsys):
    fine, bad = damaged_folder(tmp_path)
    # Broken in rows that a crop may not reach.
    whole = encode(photo(0), quality=95)
    broken = whole[:-200] + b"\xff\xfa" + whole[-200:]
    write(tmp_path / "train/dog", {"broken.jpg": broken})
    bad.add("train/dog/broken.jpg")
    train, _ = open_folder_splits(tmp_path)
    path = tmp_path / "bad.tsv"
    batches = make(
        train,
        batch_size=8,
        engine=engine,
        drop_remainder=False,
        max_bad_records=len(bad),
        bad_records_path=path,
    )
    seen = []
    for step in range(len(batches)):
        x, y = batches[step]
        assert np.isfinite(x).all() and len(x) == len(y) > 0
        seen.append(len(x))
    assert sum(seen) == len(fine)
    noted = {name for name, _ in batches.bad.reasons.values()}
    assert noted == bad
    batches.on_epoch_end()
    assert f"Skipped {len(bad)} unreadable" in capsys.readouterr().err
    listed = {line.split("\t")[0] for line in path.read_text().splitlines()}
    assert listed == bad
    batches.on_epoch_end()
    assert capsys.readouterr().err == ""
    # They are known now: what is left comes in the same order again.
    left = batches.samples(0)
    assert {train.name(i) for i in left} == fine


@every_engine
@pytest.mark.parametrize("deterministic", [True, False])
def test_one_judge_of_what_is_damaged(engine, deterministic):
    """What an engine refuses and `decode_image` reads comes at its place."""
    batches = make(engine=engine, deterministic=deterministic)
    expected = [batches[i] for i in range(len(batches))]
    order, own = batches.samples(0), batches._engine.batches

    def refuse_some(epoch, samples, size):
        for columns in own(epoch, samples, size):
            kept = ~np.isin(columns[0], order[[0, 4, 5, 17]])
            yield tuple(column[kept] for column in columns)

    batches._engine.batches = refuse_some
    batches.close()
    found = [batches[i] for i in range(len(batches))]
    assert not batches.bad
    if deterministic:
        for (x, y), (other_x, other_y) in zip(expected, found, strict=True):
            np.testing.assert_array_equal(y, other_y)
            assert np.abs(x - other_x).mean() < 0.01
    else:
        ours, theirs = (
            sorted(np.concatenate([y for _, y in all_]))
            for all_ in (expected, found)
        )
        assert ours == theirs


@every_engine
def test_bad_records_move_up_and_the_epoch_keeps_its_length(engine):
    records = Files(bad=(3, 8, 13))
    batches = make(records, engine=engine, max_bad_records=3)
    order = [i for i in batches.samples(0) if i not in records.bad]
    found = sum(labels_of(batches), [])
    # 17 are good and 18 are asked for: the first one comes again.
    assert found == order + order[:1]
    assert sum(labels_of(batches), []) == found


@every_engine
def test_more_bad_records_than_allowed_are_an_error(engine):
    batches = make(Files(bad=(3, 8, 13)), engine=engine, max_bad_records=2)
    with pytest.raises(TooManyBadRecords, match="At most 2 .* 2 more") as info:
        labels_of(batches)
    assert "file " in str(info.value)


@every_engine
def test_what_was_found_while_reading_ahead_is_not_forgotten(engine):
    """Keras begins an epoch twice: the first pass is left after a batch."""
    bad = int(make().samples(0)[7])
    batches = make(Files(bad=(bad,)), engine=engine)
    ahead = batches.transformed(0, 0)
    next(ahead)  # The first batch is whole.
    with pytest.raises(TooManyBadRecords):
        next(ahead)
    with pytest.raises(TooManyBadRecords, match=f"At most 0 .*file {bad}"):
        batches.batch(0, 0)


@every_engine
def test_an_error_that_is_no_bad_record_is_not_swallowed(engine):
    class Broken(Files):
        def record(self, index):
            raise KeyError("a mistake in somebody's source")

    with pytest.raises(Exception, match="a mistake in somebody's"):
        make(Broken(), engine=engine, max_bad_records=20).batch(0, 0)


@every_engine
def test_a_label_outside_the_classes_is_bad(engine):
    class Wrong(Files):
        def record(self, index):
            return self.files[index], 20 if index == 4 else index

    batches = make(Wrong(), engine=engine, max_bad_records=1)
    labels_of(batches)
    assert batches.bad.reasons[4][1] == (
        "file 4: the label must be in 0 ... 19. Received: 20"
    )


def test_a_known_label_outside_the_classes_is_bad_at_once():
    """Not when its turn comes, which may be hours later."""

    class Wrong(Files):
        labels = np.where(np.arange(20) == 4, -1, np.arange(20))

        def record(self, index):
            return self.files[index], 2**31 if index == 4 else index

    reason = "file 4: the label must be in 0 ... 19. Received: 2147483648"
    with pytest.raises(TooManyBadRecords, match=f"Received: {reason}$"):
        make(Wrong())
    batches = make(Wrong(), max_bad_records=1)
    assert batches.bad.reasons == {4: ("file 4", reason)}
    assert 4 not in batches.samples(0)


@every_engine
def test_the_state_continues_the_sequence(engine):
    records = Files(bad=(3, 8))
    options = {"engine": engine, "max_bad_records": 3, "seed": 2}
    whole = make(records, **options)
    expected = labels_of(whole) + labels_of(whole, 1)
    killed = make(records, **options)
    for step in range(2):
        killed.batch(0, step)
    state = json.loads(json.dumps(killed.get_state()))
    other = make(records, **options)
    other.set_state(state)
    assert (state["epoch"], state["step"]) == (0, 2)
    found = [other.batch(0, 2)[1].tolist()] + labels_of(other, 1)
    assert found == expected[2:]
    assert other.get_state()["epoch"] == 2


@every_engine
def test_repeated_augmentation(engine):
    batches = make(engine=engine, repeats=3)
    x, y = batches.batch(0, 0)
    assert y[0] == y[1] == y[2] != y[3] == y[4] == y[5]
    assert not np.allclose(x[0], x[1])
    assert len(batches) == 3
    assert len(set(sum(labels_of(batches), []))) == 6


@every_engine
def test_the_number_of_workers_changes_nothing(engine):
    images = np.stack([photo(i) for i in range(20)])
    records = ArrayRecords(images, np.arange(20), Files.class_names)
    one, two = (make(records, engine=engine, workers=n) for n in (None, 2))
    for step in range(3):
        np.testing.assert_array_equal(one[step][0], two[step][0])
    two.close()


def test_without_an_order_every_record_comes_once():
    pytest.importorskip("tensorflow")
    records = Files(bad=(3,))
    batches = make(
        records,
        engine="tf.data",
        deterministic=False,
        drop_remainder=False,
        max_bad_records=1,
    )
    found = sum(labels_of(batches), [])
    assert sorted(found) == sorted(set(range(20)) - {3})
    assert list(batches.bad.reasons) == [3]


@every_engine
def test_mixup_is_that_of_the_step(engine):
    mix_up = MixUp(0.4, num_classes=20, seed=1)
    plain, mixed = (make(engine=engine, mix_up=m) for m in (None, mix_up))
    x, y = plain.batch(1, 2)
    u, v = mixed.batch(1, 2)
    expected = mix_up(x, y, epoch=1, step=2)
    np.testing.assert_allclose(u, expected[0], atol=1e-6)
    np.testing.assert_allclose(v, expected[1], atol=1e-6)


def test_layouts_and_static_shapes():
    tf = pytest.importorskip("tensorflow")
    batches = make(data_format="channels_first")
    dataset = batches.as_tf_dataset()
    assert dataset.element_spec[0].shape == (6, 3, 16, 16)
    assert dataset.cardinality() == 3
    found = [y.numpy().tolist() for _, y in dataset]
    assert found == labels_of(batches)
    assert tf.executing_eagerly()


def test_fit_reads_each_epoch_once():
    batches = make()
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(20),
        ]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True))
    model.fit(batches, epochs=2, shuffle=False, verbose=0)
    assert batches.epoch == 2
    batches.close()


def test_a_folder_of_gray_digits_streams_too():
    images = np.arange(12 * 64, dtype="uint8").reshape(12, 8, 8, 1)
    records = ArrayRecords(images, np.arange(12) % 2, ("even", "odd"))
    x, y = make(records).batch(0, 0)
    assert x.shape == (6, 16, 16, 3) and set(y) <= {0, 1}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 21}, "`batch_size` times `accumulation_steps`"),
        ({"shard": (2, 2)}, "`shard` must be the number of this host"),
        ({"batch_size": 5, "shard": (0, 2)}, "a multiple of the 2 hosts"),
        ({"batch_size": 40, "shard": (0, 2)}, "to the last of the 2 hosts"),
        ({"engine": "numpy"}, "`input_engine` must be one of"),
        ({"finish_on": "gpu"}, "`finish_on` must be one of"),
        ({"mix_up": 0.2}, "`mix_up` must be callable or None"),
        (
            {"mix_up": CutMix(1.0, num_classes=3), "finish_on": "device"},
            "`mix_up` must be a keras_tricks.layers.MixUp where",
        ),
        ({"repeats": 0}, "`repeats` must be an integer of at least 1"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_validation_that_loses_images_keeps_its_batches(tmp_path):
    write(tmp_path / "a", {f"{i}.png": encode(photo(i)) for i in range(9)})
    write(tmp_path / "b", {"bad.png": b"", "good.png": encode(photo(1))})
    _, test = open_folder_splits(tmp_path, 0.9)
    batches = make(
        test,
        batch_size=3,
        transform=None,
        drop_remainder=False,
        max_bad_records=1,
    )
    sizes = [len(batches[i][1]) for i in range(len(batches))]
    assert sum(sizes) == len(test) - len(batches.bad) and min(sizes) > 0
