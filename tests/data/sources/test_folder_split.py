import os
import pickle

import numpy as np
import pytest

from keras_tricks.data import open_folder_splits
from keras_tricks.data.sources.arrays import stratified_split
from keras_tricks.data.sources.load_folder import load_folder


def test_a_share_of_each_class_is_held_out(touch):
    names = [f"{c}/{i}.png" for c in ("ant", "bee") for i in range(7)]
    root = touch(*names, "bee/deep/x.JPG", "bee/.hidden.png", ".git/1.png")
    names.append("bee/deep/x.JPG")
    train, test = open_folder_splits(root, test_share=0.3)
    labels = np.array([0] * 7 + [1] * 8)
    for split, chosen in zip(
        (train, test), stratified_split(labels, 0.3, seed=0), strict=True
    ):
        assert split.names == tuple(names[i] for i in chosen)
        assert split.labels.dtype == np.int32
        np.testing.assert_array_equal(split.labels, labels[chosen])
        assert split.class_names == ("ant", "bee") and split.root == str(root)
        assert pickle.loads(pickle.dumps(split)).names == split.names


@pytest.mark.parametrize("name", ["val", "valid", "validation", "test"])
def test_subfolders_are_the_splits(touch, name):
    inside = ("b/1.png", "a/1.png", "b/0.png")
    root = touch(
        *(f"train/{file}" for file in inside),
        f"{name}/a/9.png",
        f"{name}/b/0.gif",
    )
    train, test = open_folder_splits(root)
    assert train.names == ("train/a/1.png", "train/b/0.png", "train/b/1.png")
    assert test.names == (f"{name}/a/9.png", f"{name}/b/0.gif")
    assert train.labels.tolist() == [0, 1, 1]
    assert test.labels.tolist() == [0, 1] and test.classes == train.classes


def test_what_cannot_be_read_is_listed_and_named_when_read(touch):
    root = touch("a/1.png", "a/2.png", "b/1.png", "b/2.png")
    (root / "a" / "2.png").unlink()
    os.symlink(root / "nowhere.png", root / "a" / "2.png")
    splits = open_folder_splits(root)
    assert sum(map(len, splits)) == 4
    (split,) = [split for split in splits if "a/2.png" in split.names]
    with pytest.raises(ValueError, match="^a/2.png: No such file"):
        split.record(split.names.index("a/2.png"))
    with pytest.raises(ValueError, match="At most 0 images may be unreadable"):
        load_folder(root)


@pytest.mark.parametrize("share", [0, 1, -0.1, "half"])
def test_the_share_is_checked(touch, share):
    root = touch("a/1.png", "b/1.png")
    with pytest.raises(ValueError, match="`test_share` must be .* Received: "):
        open_folder_splits(root, share)


def test_mistakes(touch, tmp_path):
    with pytest.raises(FileNotFoundError, match="existing folder.*nothere"):
        open_folder_splits(tmp_path / "nothere")
    root = touch("train/a/1.png", "val/a/1.png")
    with pytest.raises(ValueError, match="train must hold .* Received: 1"):
        open_folder_splits(root)
    touch("train/b/1.png", "val/c/1.png")
    with pytest.raises(ValueError, match="val must hold .* Received: c"):
        open_folder_splits(root)
    (root / "val/c").rename(root / "val/b")
    (root / "val/b/1.png").rename(root / "val/b/1.txt")
    with pytest.raises(ValueError, match="val/b must hold at least one image"):
        open_folder_splits(root)
