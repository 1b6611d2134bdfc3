"""Where splits and classes are: the same for training and evaluation."""

import tarfile

import pytest

from keras_tricks.data import (
    ClassNames,
    open_folder_splits,
    open_image_files,
)


def classes_in(folder, names=("ant", "bee")):
    return [f"{folder}/{name}/{i}.png" for name in names for i in range(2)]


@pytest.mark.parametrize("tar", [False, True])
@pytest.mark.parametrize(
    "train, test",
    [
        ("train", "val"),
        ("Training", "Test"),
        ("Train", "Val"),
        ("TRAIN", "VALIDATION"),
        ("train", "dev"),
        ("training", "testing"),
        ("train", "eval"),
        ("train", "Evaluation"),
        ("images/train", "images/valid"),
        ("train/images", "val/deep/images"),
        ("a/b/train", "a/b/val"),
    ],
)
def test_splits(train, test, tar, touch, tmp_path):
    root = touch(*classes_in(train), *classes_in(test))
    if tar:
        with tarfile.open(tmp_path / "root.tar", "w") as file:
            file.add(root, arcname=".")
    else:
        training, held_out = open_folder_splits(root)
        assert list(training.names) == classes_in(train)
        assert list(held_out.names) == classes_in(test)
        assert held_out.class_names == training.class_names
    files = open_image_files(tmp_path / "root.tar" if tar else root)
    assert list(files.names) == classes_in(test)
    assert files.labels.tolist() == [0, 0, 1, 1]
    assert files.class_names == ("ant", "bee") and not files.left_out


@pytest.mark.parametrize(
    "folder", ["", "images", "train", "val", "one/two", "Training"]
)
def test_no_splits(folder, touch):
    names = [name.lstrip("/") for name in classes_in(folder)]
    root = touch(*names)
    train, test = open_folder_splits(root, test_share=0.5)
    assert sorted(train.names + test.names) == names
    files = open_image_files(root)
    assert list(files.names) == names
    assert files.class_names == train.class_names == ("ant", "bee")


def test_a_class_may_be_called_like_a_split(touch):
    root = touch("bus/1.png", "bus/2.png", "train/1.png", "train/2.png")
    train, _ = open_folder_splits(root)
    assert train.class_names == open_image_files(root).class_names
    assert train.class_names == ("bus", "train")
    root = touch("test_track/1.png", "test_track/deep/1.png")
    assert open_image_files(root).class_names == ("bus", "test_track", "train")


def test_the_class_is_the_top_folder(touch):
    root = touch("ant/bee/1.png", "ant/2.png", "bee/1.png", "bee/ant/2.png")
    files = open_image_files(root)
    assert files.labels.tolist() == [0, 0, 1, 1]
    own = ClassNames(("bee", "ant", "wasp"))
    assert open_image_files(root, own).labels.tolist() == [1, 1, 0, 0]
    train, test = open_folder_splits(root, test_share=0.5)
    for split in (train, test):
        for name, label in zip(split.names, split.labels, strict=True):
            assert split.class_names[label] == name.partition("/")[0]


def test_what_is_beside_the_splits_is_named(touch):
    root = touch(
        *classes_in("train"),
        *classes_in("test"),
        "val/1.png",
        "meta/1.txt",
        "loose.png",
        "README.md",
    )
    left_out = {
        "val": "beside the splits",
        "meta": "beside the splits",
        "loose.png": "beside the splits",
        "README.md": "no image",
    }
    train, test = open_folder_splits(root)
    # A flat `val` has no classes; the next split has.
    assert list(test.names) == classes_in("test")
    assert train.left_out == left_out
    assert open_image_files(root).left_out == left_out


REFUSED = {
    "two training splits": (
        [*classes_in("train"), *classes_in("Training"), *classes_in("val")],
        "one folder for each split. Received: Training, train, val in",
    ),
    "one split in two cases": (
        [*classes_in("train"), *classes_in("val"), *classes_in("Val")],
        "one folder for each split. Received: train, Val, val in",
    ),
    "names that are nearly right": (
        [*classes_in("training_set"), *classes_in("test_set")],
        "or the splits train or training and .* Received: test_set, training_",
    ),
    "numbered splits of pictures": (
        ["train2017/1.png", "val2017/1.png"],
        "Received: train2017, val2017 in",
    ),
    "no test split": (
        [*classes_in("train"), "unlabeled/1.png"],
        "Received: train, unlabeled in",
    ),
    "no training split": (
        [*classes_in("val"), *classes_in("test")],
        "Received: test, val in",
    ),
    "a flat test split": (
        [*classes_in("train"), "test/1.png", "test/2.png"],
        "root/test must hold the class folders .* Received: 2 images without "
        "classes; --data_dir=.*root/train would",
    ),
    "a class more in val": (
        [*classes_in("train"), *classes_in("val", ("ant", "bee", "cow"))],
        "root/val must hold the classes of the training .* Received: cow",
    ),
    "a class less in val": (
        [*classes_in("train"), *classes_in("val", ("bee",))],
        "Class folder .*root/val/ant must hold at least one image",
    ),
    "another class in val": (
        [*classes_in("train"), *classes_in("val", ("bee", "cow"))],
        "root/val must hold the classes of the training .* Received: cow",
    ),
    "two data sets": (
        [
            *(f"a/{name}" for name in classes_in("train")),
            *(f"a/{name}" for name in classes_in("Test")),
            "b/1.png",
        ],
        "which hold no splits, .* Received: a in .*--data_dir=.*root/a takes",
    ),
    "images beside class folders": (
        [*classes_in("train"), "train/1.png", *classes_in("val")],
        "not both. Received: 1.png beside ant in .*root/train",
    ),
    "one class": (
        [*classes_in("train", ("ant",)), *classes_in("val", ("ant",))],
        "root/train must hold a folder for each of at least two .* Received: 1",
    ),
    "an empty class": (
        ["ant/1.png", "bee/1.png", "cow/1.txt"],
        "Class folder .*root/cow must hold at least one image",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_both_refuse(case, touch):
    names, message = REFUSED[case]
    root = touch(*names)
    for listed in (open_folder_splits, open_image_files):
        with pytest.raises(ValueError, match=message) as caught:
            listed(root)
        assert len(str(caught.value).splitlines()) == 1


def test_one_folder_cannot_be_both_splits(touch):
    root = touch(*classes_in("train"))
    (root / "val").symlink_to("train")
    for listed in (open_folder_splits, open_image_files):
        with pytest.raises(ValueError, match="splits .* must be different"):
            listed(root)


def test_one_level_too_many_is_no_class(touch):
    root = touch("part1/ant/1.png", "part2/bee/1.png")
    assert open_image_files(root).class_names == ("part1", "part2")
    with pytest.raises(ValueError, match="part1/ant/1.png in .* of none of 2"):
        open_image_files(root, ClassNames(("ant", "bee")))


def test_loops_of_links_end(touch):
    root = touch(*classes_in("train"))
    (root / "train" / "deep").symlink_to(root)
    (root / "loop").symlink_to(root)
    train, test = open_folder_splits(root)
    files = open_image_files(root)
    assert sorted(train.names + test.names) == list(files.names)
    assert list(files.names) == classes_in("train")
    assert (
        train.left_out
        == files.left_out
        == {
            "loop": "there under another name",
            "train/deep": "there under another name",
        }
    )
