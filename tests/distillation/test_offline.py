import errno
import json
import os
import pickle

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks import _backend, losses
from keras_tricks.callbacks import SetEpoch
from keras_tricks.data import Batches
from keras_tricks.data.transforms import augmentation
from keras_tricks.distillation import AdaptImages
from keras_tricks.distillation._store import Store
from keras_tricks.distillation.offline import (
    precompute_logits,
    with_teacher_logits,
)
from keras_tricks.layers import MixUp

from ..test_lock import in_use

N, SIDE, K, B = 44, 6, 3, 8
RNG = np.random.default_rng(7)
IMAGES = RNG.integers(0, 256, (N, SIDE, SIDE, 1), "uint8")
X = IMAGES.astype("float32") / 128 - 1
KERNEL = RNG.normal(size=(SIDE * SIDE, K)).astype("float32")
Y = (X.reshape(N, -1) @ KERNEL).argmax(-1).astype("int32")
W = RNG.uniform(0.5, 2, N).astype("float32")
HALF = {"rtol": 2**-10, "atol": 1e-6}


def linear(kernel=KERNEL):
    layer = keras.layers.Dense(K, use_bias=False)
    model = keras.Sequential(
        [keras.Input((SIDE, SIDE, 1)), keras.layers.Flatten(), layer]
    )
    layer.kernel.assign(kernel)
    return model


def student():
    model = linear(np.zeros_like(KERNEL))
    model.compile(keras.optimizers.SGD(0.05), losses.LabelSmoothedKD(0.1, 2.0))
    return model


def batches(**options):
    options = {"seed": 3, "mean": 128.0, "std": 128.0, **options}
    return Batches(IMAGES, Y, options.pop("batch_size", B), **options)


class PyData(keras.utils.PyDataset):
    def __init__(self, x=X, y=Y, size=B):
        super().__init__()
        self.x, self.y, self.size = x, y, size

    def __len__(self):
        return -(-len(self.x) // self.size)

    def __getitem__(self, i):
        rows = slice(i * self.size, (i + 1) * self.size)
        return self.x[rows], self.y[rows]


class Samples:
    """As torch's `Dataset`, which needs no base class."""

    def __len__(self):
        return N

    def __getitem__(self, i):
        return X[i], Y[i]


def tf_data(x=X, y=Y, size=B):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(size)


KINDS = {
    "batches": batches,
    "arrays": lambda: (X, Y),
    "tf.data": tf_data,
    "PyDataset": PyData,
    "samples": Samples,
}


def stored(path):
    return np.array(Store.open(path).logits, "float32")


def write(dataset, path, teacher=None, **options):
    options = {"verbose": 0, "batch_size": B, **options}
    return precompute_logits(teacher or linear(), dataset, path, **options)


@pytest.fixture
def asked(monkeypatch):
    """Counts the batches that teachers are asked about; may fail at one."""
    state = {"calls": 0, "dies_at": None}
    inference = _backend.inference

    def counted(function, variables):
        run = inference(function, variables)

        def ask(batch):
            if state["calls"] == state["dies_at"]:
                raise KeyboardInterrupt
            state["calls"] += 1
            return run(batch)

        return ask

    monkeypatch.setattr(_backend, "inference", counted)
    return state


# Writing.


@pytest.mark.parametrize("kind", KINDS)
def test_the_store_holds_what_the_teacher_predicts(kind, tmp_path):
    teacher = linear()
    report = write(KINDS[kind](), tmp_path / "new" / "store", teacher)
    assert (report.computed, report.reused) == (N, 0)
    logits = stored(report.path)
    want = teacher.predict(X, batch_size=B, verbose=0)
    np.testing.assert_allclose(logits, want, **HALF)
    assert Store.open(report.path).logits.dtype == "float16"


def test_the_teacher_sees_adapted_images_in_inference_mode(tmp_path):
    inner = linear()
    x = keras.layers.Dropout(0.9)(inner.inputs[0])
    teacher = keras.Model(inner.inputs, inner(x))
    adapt = AdaptImages(student_mean=1.0, data_format="channels_last")
    write((X - 1, Y), tmp_path, teacher, adapt=adapt)
    want = teacher.predict(X, verbose=0)
    np.testing.assert_allclose(stored(tmp_path), want, rtol=2**-9, atol=1e-4)
    with pytest.raises(ValueError, match="`path` holds logits of adapt="):
        write((X - 1, Y), tmp_path, teacher)


def test_a_killed_run_goes_on_where_it_was(tmp_path, asked):
    asked["dies_at"] = 2
    with pytest.raises(KeyboardInterrupt):
        write((X, Y), tmp_path)
    with pytest.raises(ValueError, match=f"row {2 * B} of .* is not written"):
        with_teacher_logits((X, Y), tmp_path)
    asked.update(calls=0, dies_at=None)
    report = write((X, Y), tmp_path)
    assert (report.computed, report.reused) == (N - 2 * B, 2 * B)
    assert asked["calls"] == -(-N // B) - 2
    np.testing.assert_allclose(
        stored(tmp_path), linear().predict(X, verbose=0), **HALF
    )
    asked["calls"] = 0
    assert write((X, Y), tmp_path).computed == 0
    assert asked["calls"] == 0


@pytest.mark.parametrize("missing", ["logits.npy", "checks.npy"])
def test_a_store_that_lost_an_array_is_written_again(missing, tmp_path):
    write((X, Y), tmp_path)
    (tmp_path / missing).unlink()
    assert write((X, Y), tmp_path).computed == N
    with_teacher_logits((X, Y), tmp_path)


def test_a_full_disk_is_told_before_it_ends_the_process(tmp_path, monkeypatch):
    """A write into a memory map that finds no room is a signal, no error."""
    rooms = []

    def full(handle, start, size):
        rooms.append(size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full, raising=False)
        with pytest.raises(OSError, match="logits.npy could not .*No space"):
            write((X, Y), tmp_path)
    assert rooms[0] == 128 + N * K * 2
    assert [path.name for path in tmp_path.iterdir()] == ["store.json"]
    assert write((X, Y), tmp_path).computed == N


def test_a_header_that_counts_more_makes_no_larger_file(tmp_path):
    write((X, Y), tmp_path)
    path = tmp_path / "logits.npy"
    content = path.read_bytes()
    assert b"(44, 3), }   " in content
    path.write_bytes(content.replace(b"(44, 3), }   ", b"(99944, 3), }"))
    size = path.stat().st_size
    with pytest.raises(ValueError, match="`path` must hold a"):
        write((X, Y), tmp_path)
    assert path.stat().st_size == size


def test_a_corrupt_row_is_refused_and_computed_again(tmp_path, asked):
    write((X, Y), tmp_path)
    want = stored(tmp_path)
    file = tmp_path / "logits.npy"
    data = bytearray(file.read_bytes())
    data[-(N - 19) * K * 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"row 19 of logits.npy is corrupt"):
        with_teacher_logits((X, Y), tmp_path)
    asked["calls"] = 0
    assert write((X, Y), tmp_path).computed == B
    assert asked["calls"] == 1
    np.testing.assert_array_equal(stored(tmp_path), want)


def test_a_truncated_file_is_refused(tmp_path):
    write((X, Y), tmp_path)
    file = tmp_path / "logits.npy"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ValueError, match="cannot be read.*logits.npy"):
        with_teacher_logits((X, Y), tmp_path)
    assert write((X, Y), tmp_path).computed > 0
    with_teacher_logits((X, Y), tmp_path)


def test_other_views_are_computed_again(tmp_path):
    write((X, Y), tmp_path)
    other = X.copy()
    other[20] += 1
    assert write((other, Y), tmp_path).computed == B
    with_teacher_logits((other, Y), tmp_path)


def test_another_teacher_or_data_set_is_refused(tmp_path):
    write((X, Y), tmp_path)
    with pytest.raises(ValueError, match="of another teacher"):
        write((X, Y), tmp_path, linear(KERNEL * 2))
    with pytest.raises(ValueError, match=f"samples={N}: .*samples={N - 1}"):
        write((X[:-1], Y[:-1]), tmp_path)
    with pytest.raises(ValueError, match=f"the {N} samples of the store"):
        with_teacher_logits((X[:-1], Y[:-1]), tmp_path)
    about = json.loads((tmp_path / "store.json").read_text())
    (tmp_path / "store.json").write_text(json.dumps({**about, "format": 9}))
    with pytest.raises(ValueError, match="a store of format 1"):
        with_teacher_logits((X, Y), tmp_path)


@pytest.mark.parametrize("scale", [1e6, np.inf, np.nan])
def test_logits_that_float16_cannot_hold_are_refused(scale, tmp_path):
    with pytest.raises(ValueError, match="`teacher` must give finite logits"):
        write((X, Y), tmp_path, linear(KERNEL * scale))


def test_teachers_that_cannot_be_meant(tmp_path):
    soft = keras.Sequential([linear(), keras.layers.Softmax()])
    with pytest.raises(ValueError, match="must end in logits"):
        write((X, Y), tmp_path, soft)
    with pytest.raises(ValueError, match="`teacher` must be built"):
        write((X, Y), tmp_path, keras.Sequential([keras.layers.Dense(K)]))
    with pytest.warns(UserWarning, match="no better than chance"):
        write((X, Y), tmp_path, linear(-KERNEL))


def test_paths_that_cannot_be_meant(tmp_path):
    with pytest.raises(ValueError, match="a folder written by"):
        with_teacher_logits((X, Y), tmp_path)
    np.save(tmp_path / "logits.npy", X)
    with pytest.raises(ValueError, match="not hold another logits.npy"):
        write((X, Y), tmp_path)
    with pytest.raises(ValueError, match="`path` must be a folder"):
        write((X, Y), tmp_path / "logits.npy")
    with in_use(tmp_path / "other"), pytest.raises(ValueError, match="writer"):
        write((X, Y), tmp_path / "other")


class NoisyPyData(PyData):
    def __getitem__(self, i):
        x, y = super().__getitem__(i)
        return x + RNG.normal(size=x.shape).astype("float32"), y


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (lambda: (pair for pair in [(X, Y)]), "of type generator"),
        (lambda: X, "must give samples"),
        (lambda: (X, Y[:-1]), "of one length"),
        (NoisyPyData, "first batch changes when it is read again"),
        (
            lambda: tf_data(size=1).unbatch().shuffle(N).batch(B),
            "batch changes",
        ),
        (lambda: tf_data().repeat(), "must be finite"),
        (lambda: tf_data().unbatch(), "must give batches"),
        (lambda: batches(augment=augmentation("shift")), "one view.*augment="),
        (lambda: batches(mix_up=MixUp(num_classes=K)), "one view.*mix_up="),
    ],
)
def test_data_sets_that_cannot_be_meant(dataset, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write(dataset(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_epochs_are_for_changing_views(tmp_path):
    for dataset in (batches(), (X, Y)):
        with pytest.raises(ValueError, match="`epochs` must be None"):
            write(dataset, tmp_path, epochs=2)


# Reading.


@pytest.mark.parametrize("kind", KINDS)
def test_plain_fit_distils_without_the_teacher(kind, tmp_path):
    data = KINDS[kind]()
    write(data, tmp_path)
    packed = with_teacher_logits(data, tmp_path)
    want = student()
    logits = stored(tmp_path)
    online = losses.pack_targets(Y, logits)
    if kind == "batches":
        for epoch in range(2):
            for step in range(len(data)):
                rows = data.indices(epoch, step)
                want.train_on_batch(X[rows], online[rows])
    else:
        want.fit(X, online, B, epochs=2, shuffle=False, verbose=0)
    got, options = student(), {}
    if kind == "arrays":
        packed, options = packed[0], {"y": packed[1], "batch_size": B}
    elif kind == "samples":
        torch = pytest.importorskip("torch")
        packed = torch.utils.data.DataLoader(packed, B)
    elif kind == "batches":
        options = {"callbacks": [SetEpoch(packed)]}
    got.fit(packed, epochs=2, shuffle=False, verbose=0, **options)
    for ours, theirs in zip(got.weights, want.weights, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs), atol=1e-5
        )


def check_packed(targets, y, r):
    """The labels, and differences of logits that are rounded to 11 bits."""
    online = losses.pack_targets(y, r)
    np.testing.assert_array_equal(targets[:, :K], online[:, :K])
    error = np.abs(targets - online)[:, K:]
    size = np.abs(r) + np.abs(r.max(-1, keepdims=True))
    assert (error <= 2**-11 * size + 1e-6).all()


def test_shuffled_batches_are_packed_as_online(tmp_path):
    teacher = linear()
    write(batches(), tmp_path, teacher)
    data = batches(batch_size=5, drop_remainder=False)
    packed = with_teacher_logits(data, tmp_path)
    assert (packed.batch_size, len(packed)) == (5, 9)
    for epoch in (0, 3):
        packed.set_epoch(epoch)
        for step in range(len(packed)):
            x, targets = packed[step]
            plain, y = data.batch(epoch, step)
            np.testing.assert_array_equal(x, plain)
            check_packed(targets, y, teacher.predict_on_batch(x))


def test_the_epoch_advances_with_the_passes(tmp_path):
    write(batches(), tmp_path)
    data = batches()
    packed = with_teacher_logits(data, tmp_path)
    student().fit(packed, epochs=2, shuffle=False, verbose=0)
    assert data.epoch == 2


def test_views_of_augmented_and_mixed_epochs(tmp_path, asked):
    teacher = linear()
    data = batches(
        augment=augmentation("shift"), mix_up=MixUp(num_classes=K, seed=1)
    )
    report = write(data, tmp_path, teacher, epochs=2)
    assert report.computed == 2 * len(data) * B
    assert write(data, tmp_path, teacher, epochs=2).computed == 0
    packed = with_teacher_logits(data, tmp_path)
    for epoch in range(2):
        for step in range(len(data)):
            x, targets = packed.batch(epoch, step)
            plain, y = data.batch(epoch, step)
            np.testing.assert_array_equal(x, plain)
            check_packed(targets, y, teacher.predict_on_batch(x))
    student().fit(
        packed,
        epochs=2,
        callbacks=[SetEpoch(packed)],
        shuffle=False,
        verbose=0,
    )
    with pytest.raises(ValueError, match="must exceed 2.*epochs=2"):
        packed.batch(2, 0)
    with pytest.raises(ValueError, match="`epochs` must be None"):
        with_teacher_logits(batches(), tmp_path)
    other = batches(augment=data.augment, mix_up=MixUp(num_classes=K, seed=2))
    with pytest.raises(ValueError, match="looks different"):
        with_teacher_logits(other, tmp_path)


def test_one_view_does_not_serve_augmented_batches(tmp_path):
    write(batches(), tmp_path)
    for options in (
        {"augment": augmentation("shift")},
        {"mix_up": MixUp(num_classes=K)},
    ):
        with pytest.raises(ValueError, match="must show a sample in one view"):
            with_teacher_logits(batches(**options), tmp_path)


@pytest.mark.parametrize(
    "dataset",
    [
        lambda x: (x, Y),
        lambda x: PyData(x),
        lambda x: tf_data(x),
        lambda x: list(zip(x, Y, strict=True)),
    ],
)
def test_another_view_is_refused(dataset, tmp_path):
    write((X, Y), tmp_path)
    for other in (X[::-1].copy(), X * 2, X.astype("float64")):
        with pytest.raises(ValueError, match="sample 0 looks different"):
            with_teacher_logits(dataset(other), tmp_path)
        with_teacher_logits(dataset(other), tmp_path, check_images=False)
    with_teacher_logits(dataset(X), tmp_path)


def test_a_view_that_changes_in_training_is_refused(tmp_path):
    write((X, Y), tmp_path)
    late = X.copy()
    late[B + 3, 0, 0] += 1
    with pytest.raises(ValueError, match=f"sample {B + 3} looks different"):
        student().fit(
            with_teacher_logits(PyData(late), tmp_path),
            shuffle=False,
            verbose=0,
        )


def test_a_view_that_changes_in_tf_data_is_refused(tmp_path):
    tf = pytest.importorskip("tensorflow")
    write((X, Y), tmp_path)
    late = X.copy()
    late[B + 3, 0, 0] += 1
    packed = with_teacher_logits(tf_data(late), tmp_path)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=f"sample {B + 3} looks different"
    ):
        list(packed)


@pytest.mark.parametrize("check_images", [True, False])
def test_tf_data_keeps_its_shapes_and_repeats(check_images, tmp_path):
    data = tf_data().take(5)
    write(data, tmp_path)
    packed = with_teacher_logits(data, tmp_path, check_images)
    spec = packed.element_spec
    assert spec[1].shape.as_list() == [None, 2 * K]
    twice = [p.numpy() for _, p in packed.repeat(2).prefetch(1)]
    np.testing.assert_array_equal(
        np.concatenate(twice), np.tile(np.concatenate(twice[:5]), (2, 1))
    )
    with pytest.raises(Exception, match="the 40 samples of the store"):
        list(with_teacher_logits(tf_data(), tmp_path))


def test_sample_weights_pass_through(tmp_path):
    write((X, Y), tmp_path)
    x, packed, weights = with_teacher_logits((X, Y, W), tmp_path)
    assert weights is W
    assert packed.shape == (N, 2 * K)
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices((X, Y, W)).batch(B)
    for start, batch in enumerate(with_teacher_logits(data, tmp_path)):
        np.testing.assert_array_equal(batch[2], W[B * start :][:B])


def test_samples_survive_pickling_and_grain(tmp_path):
    write(Samples(), tmp_path)
    packed = with_teacher_logits(Samples(), tmp_path)
    text = pickle.dumps(packed)
    assert len(text) < 1000
    want = losses.pack_targets(Y, stored(tmp_path))
    for copy in (packed, pickle.loads(text)):
        np.testing.assert_array_equal([p for _, p in copy], want)
    grain = pytest.importorskip("grain")
    data = grain.MapDataset.source(Samples())
    assert write(data, tmp_path).reused == N
    packed = grain.MapDataset.source(with_teacher_logits(data, tmp_path))
    shuffled = packed.shuffle(1).batch(B)
    student().fit(shuffled, shuffle=False, steps_per_epoch=2, verbose=0)


def test_dense_labels_and_kinds_share_a_store(tmp_path):
    write(PyData(size=5), tmp_path)
    for data in ((X, np.eye(K)[Y]), tf_data(), batches(), Samples()):
        with_teacher_logits(data, tmp_path)
        assert write(data, tmp_path).computed == 0


def test_batches_of_several_sizes_are_refused(tmp_path):
    class Ragged(PyData):
        def __getitem__(self, i):
            x, y = super().__getitem__(i)
            return (x[:3], y[:3]) if i == 2 else (x, y)

    with pytest.raises(ValueError, match="batches of one size"):
        write(Ragged(), tmp_path)
