"""Image files into shards and back: the same bytes, also after an end."""

import errno
import json
import os
import pickle
import sys

import numpy as np
import pytest
from PIL import Image

from keras_tricks.data import (
    open_folder_splits,
    open_record_shards,
    open_tar_shards,
    verify_shards,
    write_shards,
)
from keras_tricks.data.shards import writers as shard_writers

from ...test_lock import in_use

FORMATS = ["tfrecord", "array_record", "webdataset"]
KEPT_BYTES = ["tfrecord", "webdataset"]


@pytest.fixture
def root(tmp_path):
    """Twelve images of two classes; the gray value is their number."""
    folder = tmp_path / "images"
    for i in range(12):
        path = folder / "ant bee".split()[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), (i,) * 3).save(path)
    return folder


def splits_of(root):
    train, test = open_folder_splits(root, test_share=0.3)
    return {"train": train, "validation": test}


def open_shards(folder, format_, split):
    tar = format_ == "webdataset"
    return (open_tar_shards if tar else open_record_shards)(folder, split=split)


def contents(records):
    found = [records.record(i) for i in range(len(records))]
    assert [label for _, label in found] == records.labels.tolist()
    return sorted(found)


def files_in(folder):
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file()
    }


@pytest.fixture(params=FORMATS)
def format_(request):
    if request.param == "array_record":
        pytest.importorskip("array_record")
    elif request.param == "tfrecord":
        pytest.importorskip("tensorflow")
    return request.param


def test_what_is_written_is_what_was_there(root, tmp_path, format_):
    splits, out = splits_of(root), tmp_path / "out"
    written = write_shards(splits, out, format_, shards=3, workers=2)
    assert written.records == 12 and written.kept == 0 and written.bad == ()
    assert len(written.shards) == 5
    for split, files in zip(("train", "test"), splits.values(), strict=True):
        expected = sorted(files.record(i) for i in range(len(files)))
        records = open_shards(out, format_, split)
        assert records.class_names == ("ant", "bee")
        assert contents(records) == expected
        assert contents(pickle.loads(pickle.dumps(records))) == expected
        (out / "index.npz").rename(out / "hidden.npz")
        again = open_shards(out, format_, split)
        for i in range(len(files)):
            assert again.record(i) == records.record(i)
            assert again.name(i) == records.name(i)
        (out / "hidden.npz").rename(out / "index.npz")
    assert verify_shards(splits, out, format_) == 12


def test_the_order_is_seeded_and_mixes_the_classes(root, tmp_path):
    labels = []
    for number, seed in enumerate((0, 0, 1)):
        out = tmp_path / str(number)
        write_shards(splits_of(root), out, "webdataset", shards=1, seed=seed)
        labels.append(open_tar_shards(out, split="train").labels.tolist())
    assert labels[0] == labels[1] != labels[2]
    assert labels[0] != sorted(labels[0])


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("format_", FORMATS, indirect=True)
@pytest.mark.parametrize("after", [0, 1, 5, 9])
def test_an_interrupted_call_continues(
    root, tmp_path, monkeypatch, format_, after
):
    splits = splits_of(root)
    whole, out = tmp_path / "whole", tmp_path / "out"
    options = {"format": format_, "shards": 4, "workers": 1}
    write_shards(splits, whole, **options)
    writer = shard_writers.WRITERS[format_]
    write, count = writer.write, iter(range(100))

    def fail(self, *arguments):
        if next(count) == after:
            raise Interrupted
        write(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write", fail)
        with pytest.raises(Interrupted):
            write_shards(splits, out, **options)
    assert not (out / "index.npz").exists()
    with pytest.raises(ValueError):
        open_shards(out, format_, "train")
    assert not list(out.glob(".*.partial"))
    finished = files_in(out)
    (out / f".{min(files_in(whole))}.partial").write_bytes(b"of a killed run")
    written = write_shards(splits, out, **options)
    shards = [name for name in finished if name.startswith(("train", "val"))]
    assert written.kept == len(shards) == after // 2
    result = files_in(out)
    assert all(result[name] == finished[name] for name in shards)
    if format_ in KEPT_BYTES:
        expected = files_in(whole)
        assert {k: v for k, v in result.items() if k[0] != "."} == expected
    assert verify_shards(splits, out, format_) == 12
    again = write_shards(splits, out, **options)
    assert again.kept == len(again.shards) and again.records == 12


def test_a_shard_that_changed_is_written_again(root, tmp_path):
    splits, out = splits_of(root), tmp_path / "out"
    first = write_shards(splits, out, "webdataset", shards=2)
    before = files_in(out)
    with open(first.shards[0], "ab") as file:
        file.truncate(700)
    with open(first.shards[1], "rb+") as file:
        file.truncate(0)
    with pytest.raises(ValueError, match="train-000000.tar of 700 bytes"):
        open_tar_shards(out, split="train")
    assert write_shards(splits, out, "webdataset", shards=2).kept == 1
    assert files_in(out) == before


@pytest.mark.parametrize("workers", [1, 3])
def test_bad_images_are_left_out_and_counted(root, tmp_path, workers):
    for name in ("ant/2.png", "bee/3.png"):
        (root / name).write_bytes(b"damaged")
    (root / "ant" / "4.png").unlink()
    (root / "ant" / "4.png").symlink_to(root / "nowhere.png")
    splits, out = splits_of(root), tmp_path / "out"
    options = {"format": "webdataset", "shards": 4, "workers": workers}
    with pytest.raises(ValueError, match="At most 2 .*max_bad_records.* more$"):
        write_shards(splits, out, max_bad_records=2, **options)
    written = write_shards(splits, out, max_bad_records=3, **options)
    assert written.records == 9
    names = [name for _, name, _ in written.bad]
    assert sorted(names) == ["ant/2.png", "ant/4.png", "bee/3.png"]
    rows = (out / "bad_records.tsv").read_text().splitlines()
    assert rows[0] == "split\tname\treason" and len(rows) == 4
    assert any(
        row.endswith("ant/4.png\tNo such file or directory") for row in rows
    )
    assert verify_shards(splits, out, "webdataset") == 9
    again = write_shards(splits, out, max_bad_records=3, **options)
    assert again.bad == written.bad and again.kept == len(again.shards)
    with pytest.raises(ValueError, match="At most 1 images .* and 1 more$"):
        write_shards(splits, out, max_bad_records=1, **options)


CHANGES = {
    "seed": {"seed": 1},
    "shards": {"shards": 3},
    "format": {"format": "tfrecord"},
}


@pytest.mark.parametrize("name", [*CHANGES, "a file more", "other bytes"])
def test_another_plan_is_refused(root, tmp_path, name):
    out = tmp_path / "out"
    options = {"format": "webdataset", "shards": 2}
    write_shards(splits_of(root), out, **options)
    if name == "a file more":
        Image.new("RGB", (4, 3)).save(root / "ant" / "new.png")
    elif name == "other bytes":
        Image.new("RGB", (40, 30)).save(root / "ant" / "0.png")
    before = files_in(out)
    options.update(CHANGES.get(name, {}))
    with pytest.raises(ValueError, match="`folder` must .* of another plan$"):
        write_shards(splits_of(root), out, **options)
    assert files_in(out) == before


def test_a_folder_of_something_else_is_refused(root, tmp_path):
    with pytest.raises(ValueError, match="`folder` must .* with ant in it$"):
        write_shards(splits_of(root), root)


def test_a_folder_that_another_process_writes_to_is_refused(root, tmp_path):
    with in_use(tmp_path / "out"):
        with pytest.raises(ValueError, match="`folder` must have one writer"):
            write_shards(splits_of(root), tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


def test_megabytes_are_a_size(root, tmp_path):
    size = sum(path.stat().st_size for path in root.rglob("*.png"))
    written = write_shards(
        splits_of(root),
        tmp_path / "out",
        "webdataset",
        shard_megabytes=size / 4e6,
    )
    assert len(written.shards) == 5
    counts = np.load(tmp_path / "out" / "index.npz")["shard"]
    assert np.bincount(counts).max() == 3


MISTAKES = {
    "format": ({"format": "zip"}, "`format` must be one of"),
    "shards": ({"shards": 9}, "`shards` must not exceed the 8 images"),
    "no shards": ({"shards": 0}, "`shards` must be an integer"),
    "both": ({"shards": 1, "shard_megabytes": 1}, "`shards` must be None if"),
    "megabytes": ({"shard_megabytes": 0}, "`shard_megabytes` must be"),
    "workers": ({"workers": 0}, "`workers` must be"),
    "bad": ({"max_bad_records": -1}, "`max_bad_records` must be"),
    "seed": ({"seed": -1}, "`seed` must be"),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_mistakes(root, tmp_path, name):
    options, message = MISTAKES[name]
    with pytest.raises(ValueError, match=message + ".* Received: "):
        write_shards(
            splits_of(root),
            tmp_path / "out",
            **{"format": "webdataset", **options},
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("told", ["by the system", "in a text"])
def test_a_full_disk_leaves_nothing_half_written(
    told, root, tmp_path, monkeypatch
):
    """Also where the writer fails again as it is closed."""

    write = shard_writers.TarWriter.write

    def full(self, number, name, data, label):
        self.failed = number > 3
        if self.failed:
            text = os.strerror(errno.ENOSPC)
            if told == "in a text":
                raise RuntimeError(f"OP_REQUIRES failed: {text}")
            raise OSError(errno.ENOSPC, text)
        write(self, number, name, data, label)

    def close(self):
        self._tar.close()
        if self.failed:
            raise RuntimeError("not closed")

    out, precious = tmp_path / "out", tmp_path / "precious"
    precious.write_text("mine")
    splits = splits_of(root)
    options = {"format": "webdataset", "shards": 2, "workers": 1}
    whole = write_shards(splits, tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        patch.setattr(shard_writers.TarWriter, "write", full)
        patch.setattr(shard_writers.TarWriter, "close", close)
        with pytest.raises(OSError, match="No space left.*free space") as error:
            write_shards(splits, out, **options)
    assert "\n" not in str(error.value)
    assert not list(out.glob(".*.partial"))
    (out / f".{min(files_in(out))}.partial").symlink_to(precious)
    (out / ".finished" / ".a.json.1.partial").write_text("half")
    (out / ".train-000000.tar.partial").symlink_to(precious)
    assert write_shards(splits, out, **options).records == whole.records
    assert not list(out.rglob(".*.partial"))
    assert precious.read_text() == "mine"


def test_mistakes_in_parts(root, tmp_path):
    train, test = open_folder_splits(root)
    (root / "cow").mkdir()
    Image.new("RGB", (4, 3)).save(root / "cow" / "1.png")
    other, _ = open_folder_splits(root)
    for splits, message in (
        ({"val": test}, "`splits` must be 'train' and"),
        (
            {"train": train, "val": test, "test": test},
            "`splits` must be 'train'",
        ),
        ({"train": train, "other": test}, "`splits` must be 'train'"),
        ({"train": train, "val": other}, "the same classes. Received: val"),
    ):
        with pytest.raises(ValueError, match=message):
            write_shards(splits, tmp_path / "out", "webdataset")


def test_what_differs_from_its_file_is_found(root, tmp_path):
    splits, out = splits_of(root), tmp_path / "out"
    written = write_shards(splits, out, "webdataset", shards=1)
    path = out / "train-000000.tar"
    data = bytearray(path.read_bytes())
    data[512 + 60] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        ValueError, match=r"^train-000000.tar\[0\] .*: its bytes"
    ):
        verify_shards(splits, out, "webdataset")
    data[512 + 60] ^= 1
    path.write_bytes(data)
    with np.load(out / "index.npz") as archive:
        arrays = dict(archive)
    arrays["label"][0] ^= 1
    np.savez(out / "index.npz", **arrays)
    with pytest.raises(
        ValueError, match=r"^train-000000.tar\[0\] .*: its label"
    ):
        verify_shards(splits, out, "webdataset")
    fewer = {"train": splits["validation"], "validation": splits["train"]}
    with pytest.raises(ValueError, match="`folder` must hold the"):
        verify_shards(fewer, out, "webdataset")
    assert written.records == 12


def crc32c(data):
    """CRC-32C bit by bit, of the polynomial 0x1EDC6F41, reflected."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_without_tensorflow_the_bytes_are_the_same(root, tmp_path, monkeypatch):
    tf = pytest.importorskip("tensorflow")
    splits = splits_of(root)
    write_shards(splits, tmp_path / "with", shards=2)
    found = shard_writers.importlib.util.find_spec
    monkeypatch.setattr(
        shard_writers.importlib.util,
        "find_spec",
        lambda name: None if name == "tensorflow" else found(name),
    )
    module = type(sys)("google_crc32c")
    module.value = crc32c
    assert crc32c(b"123456789") == 0xE3069283
    monkeypatch.setitem(sys.modules, "google_crc32c", module)
    write_shards(splits, tmp_path / "without", shards=2)
    assert files_in(tmp_path / "with") == files_in(tmp_path / "without")
    paths = sorted(map(str, (tmp_path / "without").glob("train*")))
    assert len(list(tf.data.TFRecordDataset(paths))) == 8
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    with pytest.raises(ImportError, match=r"'keras_tricks\[records\]'"):
        write_shards(splits, tmp_path / "neither")
    assert not (tmp_path / "neither").exists()


def test_the_plan_can_be_read(root, tmp_path):
    write_shards(splits_of(root), tmp_path / "out", "webdataset", shards=2)
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert plan["format"] == "webdataset" and plan["shards"] == 3
    assert plan["images"] == {"train": 8, "validation": 4}
