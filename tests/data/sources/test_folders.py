import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from keras_tricks.data import (
    ClassNames,
    EvaluationBatches,
    Preprocessing,
    open_image_files,
    read_class_names,
)

ANIMALS = ClassNames(("tench", "shark", "hen"), ("n1", "n2", "n3"))


@pytest.fixture
def write(tmp_path):
    """A function that writes small images whose gray value is their number."""

    def make(names, tar=False):
        root = tmp_path / "images"
        for number, name in enumerate(names):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 10), (number,) * 3).save(path)
        if not tar:
            return root
        path = tmp_path / "images.tar"
        with tarfile.open(path, "w") as file:
            file.add(root, arcname="images")
        return path

    return make


@pytest.mark.parametrize("tar", [False, True])
@pytest.mark.parametrize(
    "names, kept, classes, labels",
    [
        pytest.param(
            ["b/1.png", "a/2.png", "b/deep/3.png"],
            ["a/2.png", "b/1.png", "b/deep/3.png"],
            ("a", "b"),
            [0, 1, 1],
            id="class folders",
        ),
        pytest.param(
            ["train/b/1.png", "train/a/2.png", "val/b/3.png", "val/a/4.png"],
            ["val/a/4.png", "val/b/3.png"],
            ("a", "b"),
            [0, 1],
            id="splits",
        ),
        pytest.param(
            ["1.png", "2.jpg", ".hidden.png", "3.txt.JPEG"],
            ["1.png", "2.jpg", "3.txt.JPEG"],
            None,
            None,
            id="no classes",
        ),
    ],
)
def test_listing(names, kept, classes, labels, tar, write):
    root = write(names, tar)
    files = open_image_files(root)
    prefix = "images/" if tar else ""
    assert files.names == tuple(prefix + name for name in kept)
    assert (files.classes and files.classes.names) == classes
    if labels is None:
        assert files.labels is None
    else:
        assert files.labels.tolist() == labels
    for index, name in enumerate(kept):
        gray = files[index].mean()
        assert abs(gray - names.index(name)) < 2
        assert files[index].shape == (10, 12, 3)
    unlabeled = open_image_files(root, labels=False)
    assert unlabeled.names == files.names and unlabeled.labels is None


@pytest.mark.parametrize(
    "names, labels",
    [
        (["n2_white_1.png", "n1_2.png", "shark_3.png"], [0, 1, 1]),
        (["n3/n1_1.png", "n1/2.png"], [0, 2]),
        (["n2/only.png"], [1]),
        (["hen/sub/1.png"], [2]),
    ],
)
@pytest.mark.parametrize("where", ["argument", "folder", "beside the tar"])
def test_classes_are_looked_up(names, labels, where, write, tmp_path):
    root = write(names, tar=where == "beside the tar")
    rows = ["index\twnid\tname"] + [
        f"{i}\t{ANIMALS.keys[i]}\t{ANIMALS.names[i]}" for i in (2, 0, 1)
    ]
    if where != "argument":
        folder = root if root.is_dir() else root.parent
        (folder / "classes.tsv").write_text("\n".join(rows) + "\n")
    files = open_image_files(root, ANIMALS if where == "argument" else None)
    assert files.classes == ANIMALS
    assert files.labels.tolist() == labels


def test_an_unknown_class_is_refused(write):
    root = write(["n1/1.png", "n9/n8_2.png"])
    with pytest.raises(ValueError, match="`classes` must .*: n9/n8_2.png in"):
        open_image_files(root, ANIMALS)


def test_images_beside_class_folders_are_refused(write):
    root = write(["a/1.png", "2.png"])
    with pytest.raises(ValueError, match="not both. Received: 2.png beside a"):
        open_image_files(root)


def test_nothing_to_list(tmp_path):
    with pytest.raises(ValueError, match="`data_dir` must hold images"):
        open_image_files(tmp_path)
    with pytest.raises(FileNotFoundError, match="`data_dir` must be an exist"):
        open_image_files(tmp_path / "nothere")
    (tmp_path / "a.tar").write_bytes(b"not a tar file")
    with pytest.raises(ValueError, match="`data_dir` must be a readable .tar"):
        open_image_files(tmp_path / "a.tar")


def test_a_subset_takes_the_classes_in_turn(write):
    root = write([f"{name}/{i}.png" for name in "abc" for i in range(4)])
    files = open_image_files(root)
    for samples in (3, 6):
        some = files.take(samples)
        assert len(some) == samples
        counts = np.bincount(some.labels)
        assert counts.tolist() == [samples // 3] * 3
        assert list(some.names) == sorted(some.names)
        for name, label in zip(some.names, some.labels, strict=True):
            assert name[0] == "abc"[label]
    assert files.take(None) is files
    with pytest.raises(ValueError, match="`samples` must not exceed the 12"):
        files.take(13)


FILES = {
    "tsv": "index\twnid\tname\n1\tn2\tshark\n0\tn1\ttench\n2\tn3\then\n",
    "csv": "0,n1,tench\n2,n3,hen\n1,n2,shark\n",
    "json": json.dumps(
        {"0": ["n1", "tench"], "1": ["n2", "shark"], "2": ["n3", "hen"]}
    ),
}
NAMES = {
    "txt": "tench\nshark\n\nhen\n",
    "tsv": "0\ttench\n1\tshark\n2\then\n",
    "json": json.dumps(["tench", "shark", "hen"]),
    "JSON": json.dumps({"hen": 2, "tench": 0, "shark": 1}),
}


@pytest.mark.parametrize("suffix", FILES)
def test_files_of_names_and_keys(suffix, tmp_path):
    path = tmp_path / f"classes.{suffix}"
    path.write_text(FILES[suffix])
    assert read_class_names(path) == ANIMALS


@pytest.mark.parametrize("suffix", NAMES)
def test_files_of_names(suffix, tmp_path):
    path = tmp_path / f"classes.{suffix}"
    path.write_text(NAMES[suffix])
    assert read_class_names(path) == ClassNames(("tench", "shark", "hen"))


def test_two_classes_may_have_one_name(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text("0,crane\n1,crane\n2,hen\n")
    classes = read_class_names(path)
    assert classes.names == ("crane", "crane", "hen")
    assert (classes.index("hen"), classes.index("crane")) == (2, None)


@pytest.mark.parametrize(
    "name, text",
    [
        ("c.tsv", "0\ta\n2\tb\n"),
        ("c.tsv", "0\ta\n0\tb\n"),
        ("c.tsv", "0\ta\tb\tc\n"),
        ("c.json", "{"),
        ("c.json", "3"),
        ("c.txt", "a\na\n"),
        ("c.txt", ""),
        ("c.xml", "<a/>"),
        ("nothere.txt", None),
    ],
)
def test_wrong_files_of_classes_are_refused(name, text, tmp_path):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match="`classes` must be a.*Received: cl"):
        read_class_names(path)


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("ten_crop", [False, True])
def test_views_come_in_order_without_bad_images(workers, ten_crop, write):
    root = write([f"{i:02}.png" for i in range(25)])
    for bad in (0, 7, 24):
        (root / f"{bad:02}.png").write_bytes(b"damaged")
    preprocessing = Preprocessing(8, 0.8, mean=(0,) * 3, std=(1,) * 3)
    files = open_image_files(root)
    batches = EvaluationBatches(
        files,
        preprocessing.ten_crops if ten_crop else preprocessing.transform,
        preprocessing.normalize,
        batch_size=40 if ten_crop else 4,
        workers=workers,
    )
    for _ in range(2):  # Every pass is the same.
        found = list(batches)
        assert [len(x) for x, _ in found] == [4] * 5 + [2]
        indices = np.concatenate([indices for _, indices in found])
        good = [i for i in range(25) if i not in (0, 7, 24)]
        assert indices.tolist() == good
        views = np.concatenate([x for x, _ in found])
        assert views.shape == (22, 10 if ten_crop else 1, 8, 8, 3)
        assert views.dtype == np.float32
        np.testing.assert_array_equal(views[:, -1, 0, 0, 0], good)
        assert list(batches.bad) == [0, 7, 24]
        assert batches.bad[7].startswith("07.png: ")


def test_a_pass_may_be_left(write):
    root = write([f"{i:02}.png" for i in range(9)])
    own = Preprocessing(8)
    batches = EvaluationBatches(
        open_image_files(root), own.transform, own.normalize, 2
    )
    _, indices = next(iter(batches))
    assert indices.tolist() == [0, 1]
    with pytest.raises(ValueError, match="`images` must be at least one"):
        EvaluationBatches([], own.transform, own.normalize)
