"""Which shards a folder has, and reading from many of them."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from keras_tricks.data import ClassNames
from keras_tricks.data.shards import files as shard_files
from keras_tricks.data.shards.files import (
    ShardFiles,
    find_shards,
    holds_shards,
    shard_classes,
)
from keras_tricks.data.shards.tar import is_tar_shard

MANY = [f"train-{i:05d}-of-00003" for i in range(3)]


def any_name(name):
    return not name.endswith(".txt")


CASES = {
    "one split": (
        ["b.bin", "a.bin", "x.txt", ".c.bin"],
        None,
        ["a.bin", "b.bin"],
    ),
    "train": ([*MANY, "validation-00000-of-00001"], "train", MANY),
    "test": (
        [*MANY, "test-1", "validation-00000-of-00001"],
        "test",
        ["validation-00000-of-00001"],
    ),
    "the only split": (MANY, None, MANY),
    "word within": (
        ["images_train.0", "images_val.0"],
        "test",
        ["images_val.0"],
    ),
    "other words": (
        ["strained-0", "validity-1"],
        None,
        ["strained-0", "validity-1"],
    ),
    "subfolder": (
        ["train/a", "train/b", "val/c"],
        "train",
        ["train/a", "train/b"],
    ),
    "subfolder of tests": (["train/a", "val/c", "test/d"], "test", ["val/c"]),
}


@pytest.mark.parametrize("name", list(CASES))
def test_parts(name, touch):
    names, split, expected = CASES[name]
    root = touch(*names)
    found = find_shards(root, any_name, split)
    assert found == tuple(str(root / name) for name in expected)


def test_a_list_and_a_file(touch):
    root = touch("b", "a")
    paths = [root / "b", str(root / "a")]
    assert find_shards(paths, any_name) == (str(root / "b"), str(root / "a"))
    assert find_shards(root / "a", any_name) == (str(root / "a"),)


MISTAKES = {
    "nothing": ([], None, "must hold things. Received: "),
    "several": (["train-0", "val-0"], None, "`split` must be .*train, val in"),
    "no such split": (["train-0"], "test", "split='test', and train in"),
    "no splits": (["a"], "train", "split='train', and no splits in"),
    "other split": (
        ["a"],
        "val",
        "`split` must be one of .* Received: split='val'",
    ),
    "a shard without a split": (
        ["more-0", "train-0", "val-0"],
        "train",
        "all have their split .* Received: more-0 beside train-0 in",
    ),
    "a shard is missing": (
        [MANY[0], MANY[2]],
        "train",
        "all 3 shards .* Received: 2, without train-00001-of-00003$",
    ),
    "more than memory holds": (
        ["train-00000-of-99999999999"],
        "train",
        "all 99999999999 .* 1, without train-00000000001-of-99999999999$",
    ),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_mistakes(name, touch):
    names, split, message = MISTAKES[name]
    with pytest.raises(ValueError, match=message) as error:
        find_shards(touch(*names), any_name, split, "things")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["b.tar.gz", "b.TAR.ZST", "b.tgz", "val/b.tar.xz"]
)
def test_a_compressed_shard_is_refused(name, touch):
    """Not passed over, whether or not there are others."""
    for others in ((), ("train/a.tar", "val/a.tar")):
        root = touch(name, *others)
        assert holds_shards(root, is_tar_shard)
        message = f"not compressed, .* Received: {os.path.basename(name)} in"
        with pytest.raises(ValueError, match=message):
            find_shards(root, is_tar_shard, "test")


def test_an_archive_beside_class_folders_is_no_shard(touch):
    root = touch("photos.tar.gz", "cat/1.jpg", "dog/1.jpg")
    assert not holds_shards(root, is_tar_shard)


def test_mistakes_in_paths(touch):
    root = touch("a")
    for wrong in (root / "nothere", [root / "nothere"]):
        with pytest.raises(
            FileNotFoundError, match="exist.* Received: .*nothere"
        ):
            find_shards(wrong, any_name)
    with pytest.raises(ValueError, match=r"must hold shards. Received: \[\]"):
        find_shards([], any_name)
    with pytest.raises(ValueError, match="`split` must be None for a list"):
        find_shards([root / "a"], any_name, "train")


def test_classes_are_beside_or_above(touch):
    root = touch("train/a")
    shard = str(root / "train" / "a")
    with pytest.raises(
        ValueError, match="`data_dir` must hold .*classes.tsv.* Received"
    ):
        shard_classes(shard, None)
    (root / "classes.txt").write_text("ant\nbee\n")
    assert shard_classes(shard, None).names == ("ant", "bee")
    (root / "train" / "classes.json").write_text('["cat", "dog"]')
    assert shard_classes(shard, None).names == ("cat", "dog")
    given = ClassNames(("x", "y"))
    assert shard_classes(shard, given) is given


@pytest.fixture
def many(tmp_path):
    paths = []
    for number in range(12):
        paths.append(str(tmp_path / str(number)))
        with open(paths[-1], "wb") as file:
            file.write(bytes([number]) * 100 + b"end")
    return paths


def test_threads_read_from_more_files_than_stay_open(many, monkeypatch):
    monkeypatch.setattr(shard_files, "_MOST_OPEN", 2)
    files = ShardFiles(many)
    before = (
        len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc") else None
    )

    def read(number):
        shard = number * 7 % 12
        return files.read(shard, 99, 4) == bytes([shard]) + b"end"

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(600)))
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) <= before + 2
    copy = pickle.loads(pickle.dumps(files))
    assert copy.read(3, 100, 3) == b"end"


def test_without_pread(many, monkeypatch):
    monkeypatch.delattr(os, "pread", raising=False)
    assert ShardFiles(many).read(5, 99, 3) == b"\x05en"


def test_what_cannot_be_read_is_named(many):
    files = ShardFiles(many)
    with pytest.raises(
        ValueError, match="^4: the file ends at byte 103, within"
    ):
        files.read(4, 100, 4)
    os.unlink(many[6])
    with pytest.raises(ValueError, match="^6: No such file or directory$"):
        files.read(6, 0, 1)
