"""Shards that TensorFlow and array_record write, read without TensorFlow."""

import os
import pickle
import shutil
import struct
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_tricks.data import ClassNames, open_record_shards
from keras_tricks.data.shards.example_proto import encode_example
from keras_tricks.data.shards.index import index_content

from ..damaged_images import encode, photo

CLASSES = ClassNames(("ant", "bee", "cat"))


def example(number, label=None):
    features = {
        "image/encoded": b"image %d" % number * (number + 1),
        "image/class/label": number % 3 if label is None else label,
        "image/height": 7,
    }
    return encode_example(features)


def write_tfrecord(path, examples):
    tf = pytest.importorskip("tensorflow")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for data in examples:
            writer.write(data)


def write_array_record(path, examples, options="group_size:1"):
    name = "array_record.python.array_record_module"
    module = pytest.importorskip(name)
    writer = module.ArrayRecordWriter(str(path), options)
    for data in examples:
        writer.write(data)
    writer.close()


KINDS = {
    "data.tfrecord": write_tfrecord,
    "data-00000-of-00001": write_tfrecord,
    "data.tfrecord-00000-of-00001": write_tfrecord,
    "data.array_record": write_array_record,
    "data.array_record-00000-of-00001": write_array_record,
}


@pytest.mark.parametrize("name", list(KINDS))
def test_records_by_number(name, tmp_path):
    KINDS[name](tmp_path / name, map(example, range(5)))
    (tmp_path / "classes.txt").write_text("ant\nbee\ncat\n")
    (tmp_path / "data.tar").write_bytes(b"another kind")
    records = open_record_shards(tmp_path)
    assert len(records) == 5 and records.labels is None
    assert records.class_names == CLASSES.names
    for source in (records, pickle.loads(pickle.dumps(records))):
        for i in (4, 0, 3, 3):
            data, label = source.record(i)
            assert data == b"image %d" % i * (i + 1) and label == i % 3
    assert records.name(3) == f"{name}[3]"


def test_several_shards_are_one(tmp_path):
    for shard in range(3):
        path = tmp_path / f"train-{shard:05d}-of-00003"
        write_tfrecord(
            path, (example(10 * shard + i) for i in range(shard * 2))
        )
    records = open_record_shards(tmp_path, CLASSES, split="train")
    assert len(records) == 6
    assert records.record(2) == (b"image 20" * 21, 2)
    assert records.name(1) == "train-00001-of-00003[1]"
    assert records.name(2) == "train-00002-of-00003[0]"
    with pytest.raises(IndexError):
        records.record(6)


def test_a_label_may_count_from_one(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_tfrecord(path, [example(0, 1), example(0, 3), example(0, 0)])
    records = open_record_shards(path, CLASSES, label_offset=1)
    assert [records.record(i)[1] for i in range(2)] == [0, 2]
    message = r"^a.tfrecord\[2\]: .* must be in 1 ... 3, .* Received: 0$"
    with pytest.raises(ValueError, match=message):
        records.record(2)
    with pytest.raises(ValueError, match=r"a.tfrecord\[1\].* in 0 ... 2.*: 3$"):
        open_record_shards(path, CLASSES).record(1)
    with pytest.raises(ValueError, match="`label_offset` must be"):
        open_record_shards(path, CLASSES, label_offset=-1)


WRONG = {
    "no message": (b"\xff" * 30, "no tf.train.Example"),
    "no image": (
        encode_example({"image/class/label": 1, "x": 2}),
        "image/encoded must be one value of bytes. Received: a record of "
        "image/class/label, x$",
    ),
    "no label": (
        encode_example({"image/encoded": b"i"}),
        "image/class/label must be one value of int. Received: ",
    ),
    "two labels": (
        encode_example({"image/encoded": b"i", "image/class/label": [1, 2]}),
        r"image/class/label must be .* Received: \[1, 2\]$",
    ),
    "a word as label": (
        encode_example({"image/encoded": b"i", "image/class/label": "ant"}),
        r"image/class/label must be .* Received: \[b'ant'\]$",
    ),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_a_wrong_record_is_named(name, tmp_path):
    data, message = WRONG[name]
    path = tmp_path / "a.tfrecord"
    write_tfrecord(path, [example(0), data])
    records = open_record_shards(path, CLASSES)
    records.record(0)
    with pytest.raises(ValueError, match=r"^a.tfrecord\[1\]: " + message):
        records.record(1)


@pytest.mark.parametrize("kept", [3, 12, 20, -1])
def test_a_cut_tfrecord_is_named(kept, tmp_path):
    path = tmp_path / "a.tfrecord"
    write_tfrecord(path, map(example, range(3)))
    path.write_bytes(path.read_bytes()[:kept])
    number = 2 if kept == -1 else 0
    with pytest.raises(
        ValueError, match=f"a.tfrecord: .* cut .* record {number}"
    ):
        open_record_shards(path, CLASSES)


@pytest.mark.parametrize("count", [2, 30_000])
@pytest.mark.parametrize("compression", ["GZIP", "ZLIB"])
def test_a_compressed_tfrecord_is_not_called_cut(compression, count, tmp_path):
    """Nor where its first bytes happen to be the length of a record."""
    tf = pytest.importorskip("tensorflow")
    path = tmp_path / "a.tfrecord"
    noise = np.random.default_rng(0).bytes(30 * count)
    with tf.io.TFRecordWriter(str(path), options=compression) as writer:
        for i in range(count):
            writer.write(noise[30 * i : 30 * i + 30])
    message = f"a.tfrecord: .* not be compressed.* Received: {compression}$"
    with pytest.raises(ValueError, match=message):
        open_record_shards(path, CLASSES)


PNG = encode(photo(0, 4, 4), "png")
LAYOUTS = [
    # Of TensorFlow Datasets: beans, cifar10, cifar100.
    ({"image": PNG, "label": 1}, {}),
    ({"id": "train_1", "image": PNG, "label": 1}, {}),
    ({"image": PNG, "label": 1, "coarse_label": 0, "id": "1"}, {}),
    (
        {"image": PNG, "label": 0, "coarse_label": 1, "id": "1"},
        {"label_key": "coarse_label"},
    ),
    ({"jpg": PNG, "class": 1, "name": "x", "size": 2.5}, {}),
    (
        {"a": PNG, "b": PNG[:40], "class": 1, "height": 3},
        {"image_key": "a", "label_key": "class"},
    ),
]


@pytest.mark.parametrize(("features", "keys"), LAYOUTS)
def test_features_of_any_name(features, keys, tmp_path):
    """By name, the usual ones, or the only image and the only integer.

    The first records do not count if they are damaged.
    """
    path = tmp_path / "a.tfrecord"
    damaged = [b"\xff" * 9, encode_example({"x": 1})]
    write_tfrecord(path, [*damaged, encode_example(features)])
    records = open_record_shards(path, CLASSES, **keys)
    assert records.record(2) == (PNG, 1)
    assert pickle.loads(pickle.dumps(records)).record(2) == (PNG, 1)


@pytest.mark.parametrize("kind", ["bmp", "gif", "ppm", "tiff", "webp"])
def test_an_image_is_what_can_be_decoded(kind, tmp_path):
    image = encode(photo(0, 4, 4)[..., 0], kind)  # A gray PPM is "P5".
    path = tmp_path / "a.tfrecord"
    write_tfrecord(path, [encode_example({"x": image, "y": b"II*", "n": 1})])
    assert open_record_shards(path, CLASSES).record(0) == (image, 1)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"x": PNG, "fine": 1, "coarse": 2}, r"`label_key`.*\(fine, coarse\)"),
        ({"x": PNG, "y": PNG, "label": 2}, r"`image_key`.*\(x, y\)"),
        ({"raw": bytes(9), "n": 2}, r"`image_key`.*\(none among raw, n\)"),
        ({"x": PNG, "n": "ant"}, r"`label_key`.*\(none among x, n\)"),
    ],
)
def test_features_that_are_not_clear(features, message, tmp_path):
    path = tmp_path / "a.tfrecord"
    write_tfrecord(path, [encode_example(features)])
    with pytest.raises(ValueError, match=message):
        open_record_shards(path, CLASSES)


def test_a_cut_array_record_is_named(tmp_path):
    path = tmp_path / "a.array_record"
    write_array_record(path, map(example, range(3)))
    path.write_bytes(path.read_bytes()[:-70000])
    with pytest.raises(
        ValueError, match="a.array_record: the file is cut or no"
    ):
        open_record_shards(path, CLASSES)


def test_a_damaged_array_record_is_named(tmp_path):
    path = tmp_path / "a.array_record"
    write_array_record(
        path, map(example, range(3)), "group_size:1,uncompressed"
    )
    records = open_record_shards(path, CLASSES)
    data = bytearray(path.read_bytes())
    place = data.index(b"image 1")
    data[place] ^= 255
    path.write_bytes(data)
    assert records.record(2)[1] == 2
    with pytest.raises(ValueError, match=r"^a.array_record\[1\]: ") as error:
        records.record(1)
    assert "\n" not in str(error.value)


def test_no_records(tmp_path):
    (tmp_path / "a.tfrecord").touch()
    with pytest.raises(
        ValueError, match="must hold records. .* 1 empty shards"
    ):
        open_record_shards(tmp_path, CLASSES)
    (tmp_path / "b.array_record").touch()
    with pytest.raises(ValueError, match="TFRecord or ArrayRecord shards, not"):
        open_record_shards(tmp_path, CLASSES)
    shutil.move(tmp_path / "a.tfrecord", tmp_path / "a.tfrecord.gz")
    (tmp_path / "b.array_record").unlink()
    with pytest.raises(
        ValueError, match="not compressed, .*: a.tfrecord.gz in"
    ):
        open_record_shards(tmp_path, CLASSES)


def test_without_array_record(tmp_path, monkeypatch):
    (tmp_path / "a.array_record").touch()
    name = "array_record.python.array_record_module"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        ImportError, match=r"pip install 'keras_tricks\[grain\]'"
    ):
        open_record_shards(tmp_path, CLASSES)


@pytest.fixture
def indexed(tmp_path):
    """Two shards and their index; the labels count from 1."""
    names = ["a-00000-of-00002", "a-00001-of-00002"]
    rows, sizes = [], []
    for name, count in zip(names, (2, 3), strict=True):
        records = [example(i, i + 1) for i in range(count)]
        write_tfrecord(tmp_path / name, records)
        lengths = np.array([len(record) for record in records])
        ends = np.cumsum(lengths + 16)
        rows.append((ends - 4 - lengths, lengths, np.arange(count) + 1))
        sizes.append(int(ends[-1]))
    content = index_content(names, sizes, rows)
    np.savez(tmp_path / "index.npz", **content)
    return tmp_path


def test_an_index_tells_the_labels(indexed):
    records = open_record_shards(indexed, CLASSES, label_offset=1)
    assert records.labels.tolist() == [0, 1, 0, 1, 2]
    assert records.labels.dtype == np.int32
    for i, number in enumerate([0, 1, 0, 1, 2]):
        assert records.record(i) == (
            b"image %d" % number * (number + 1),
            number,
        )
    assert records.name(2) == "a-00001-of-00002[0]"
    some = open_record_shards([indexed / "a-00001-of-00002"], CLASSES, 1)
    assert some.labels.tolist() == [0, 1, 2]
    message = r"^a-00001-of-00002\[2\]: .* in 0 ... 2, .* Received: 3$"
    wrong = open_record_shards(indexed, CLASSES)
    assert wrong.labels.tolist() == [1, 2, 1, 2, -1]
    with pytest.raises(ValueError, match=message):
        wrong.record(4)


def test_an_index_is_of_these_very_shards(indexed):
    path = indexed / "a-00001-of-00002"
    path.write_bytes(path.read_bytes() + b"x" * 16)
    message = "index.npz must describe .*a-00001-of-00002 of .* which had"
    with pytest.raises(ValueError, match=message):
        open_record_shards(indexed, CLASSES, 1)
    other = indexed / "b.tfrecord"
    write_tfrecord(other, [example(0)])
    with pytest.raises(ValueError, match="b.tfrecord .* which is not in it"):
        open_record_shards(other, CLASSES)


@pytest.mark.parametrize("damage", ["cut", "text", "lengths", "order", "key"])
def test_a_damaged_index_is_named(indexed, damage):
    path = indexed / "index.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "text":
        path.write_text("no archive")
    else:
        if damage == "lengths":
            arrays["label"] = arrays["label"][1:]
        elif damage == "order":
            arrays["shard"] = arrays["shard"][::-1]
        else:
            del arrays["sizes"]
        np.savez(path, **arrays)
    with pytest.raises(ValueError, match="index.npz must be an index") as error:
        open_record_shards(indexed, CLASSES, 1)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="TensorFlow is the backend"
)
def test_tensorflow_is_not_imported_to_read(tmp_path):
    data = example(0)
    framed = struct.pack("<QI", len(data), 0) + data + bytes(4)
    (tmp_path / "a.tfrecord").write_bytes(framed)
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    script = (
        "import sys; from keras_tricks.data import open_record_shards; "
        f"print(open_record_shards({str(tmp_path)!r}).record(0), "
        "'tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "(b'image 0', 0) False\n", done.stderr[-2000:]
