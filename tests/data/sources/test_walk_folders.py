"""One rule for which files of a folder are images of a data set."""

import os

import pytest

from keras_tricks.data import open_folder_splits, open_image_files
from keras_tricks.data.sources.walk_folders import walk_images


@pytest.fixture
def touch(tmp_path):
    """A function that makes empty files in a folder called `root`."""

    def make(*names):
        for name in names:
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return tmp_path / "root"

    return make


def hidden(root, elsewhere):
    for name in ("cat/.thumbnails", ".cache", "dog/deep/.x"):
        (root / name).mkdir(parents=True)
        (root / name / "9.png").write_bytes(b"")
    (root / "cat" / ".9.png").write_bytes(b"")
    return ["cat/1.png", "dog/1.png", "dog/deep/2.JPG"]


def linked_folder(root, elsewhere):
    (elsewhere / "more").mkdir(parents=True)
    (elsewhere / "3.png").write_bytes(b"")
    (elsewhere / "more" / "4.png").write_bytes(b"")
    (root / "bird").symlink_to(elsewhere)
    return [
        "bird/3.png",
        "bird/more/4.png",
        "cat/1.png",
        "dog/1.png",
        "dog/deep/2.JPG",
    ]


def linked_file(root, elsewhere):
    elsewhere.mkdir()
    (elsewhere / "3.png").write_bytes(b"")
    (root / "cat" / "0.png").symlink_to(elsewhere / "3.png")
    return ["cat/0.png", "cat/1.png", "dog/1.png", "dog/deep/2.JPG"]


def loops(root, elsewhere):
    elsewhere.mkdir()
    (elsewhere / "3.png").write_bytes(b"")
    (elsewhere / "again").symlink_to(elsewhere)
    (root / "bird").symlink_to(elsewhere)
    (root / "cat" / "up").symlink_to(root)
    (root / "dog" / "deep" / "up").symlink_to(root / "dog")
    return [
        "bird/3.png",
        "cat/1.png",
        "dog/1.png",
        "dog/deep/2.JPG",
    ]


def own_name_wins(root, elsewhere):
    (root / "cat" / "a_dog").symlink_to(root / "dog")
    return ["cat/1.png", "dog/1.png", "dog/deep/2.JPG"]


def irregular(root, elsewhere):
    os.mkfifo(root / "cat" / "0.png")
    (root / "dog" / "0.png").symlink_to(root / "cat" / "0.png")
    (root / "dog" / "folder.png").mkdir()
    (root / "dog" / "folder.png" / "5.png").write_bytes(b"")
    (root / "cat" / "zero.png").symlink_to("/dev/zero")
    return ["cat/1.png", "dog/1.png", "dog/deep/2.JPG", "dog/folder.png/5.png"]


def broken_link(root, elsewhere):
    (root / "cat" / "0.png").symlink_to(elsewhere)
    return ["cat/0.png", "cat/1.png", "dog/1.png", "dog/deep/2.JPG"]


CASES = {
    case.__name__: case
    for case in (
        hidden,
        linked_folder,
        linked_file,
        loops,
        own_name_wins,
        irregular,
        broken_link,
    )
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("split", [False, True])
def test_training_and_evaluation_see_the_same_files(
    case, split, touch, tmp_path
):
    names = ("cat/1.png", "dog/1.png", "dog/deep/2.JPG", "dog/notes.txt")
    if not split:
        root = touch(*names)
        expected = CASES[case](root, tmp_path / "elsewhere")
        evaluated = open_image_files(root)
        train, test = open_folder_splits(root, test_share=0.5)
        assert sorted(train.names + test.names) == expected
        labels = dict(zip(train.names, train.labels, strict=True))
        labels |= dict(zip(test.names, test.labels, strict=True))
        assert [labels[name] for name in expected] == evaluated.labels.tolist()
    else:
        root = touch(*(f"val/{name}" for name in names))
        expected = CASES[case](root / "val", tmp_path / "elsewhere")
        touch(*(f"train/{name}" for name in (*expected, *names)))
        expected = [f"val/{name}" for name in expected]
        evaluated = open_image_files(root)
        _, test = open_folder_splits(root)
        assert list(test.names) == expected
        assert test.labels.tolist() == evaluated.labels.tolist()
    assert list(evaluated.names) == expected
    assert walk_images(str(root), "val" if split else "") == expected
