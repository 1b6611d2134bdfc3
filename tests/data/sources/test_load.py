import dataclasses
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from keras_tricks.data import ImageData, load
from keras_tricks.data.sources.arrays import stratified_order, stratified_split
from keras_tricks.data.sources.load import (
    load_digits,
    load_keras_dataset,
    load_npz,
)
from keras_tricks.data.sources.load_folder import load_folder

RNG = np.random.default_rng(0)


def arrays(**changes):
    result = {
        "x_train": RNG.integers(0, 256, (8, 5, 5, 3)).astype("uint8"),
        "y_train": np.arange(8) % 3,
        "x_test": RNG.integers(0, 256, (4, 5, 5, 3)).astype("uint8"),
        "y_test": np.arange(4) % 3,
        "class_names": np.array(["ant", "bee", "cat"]),
    }
    result.update(changes)
    return {k: v for k, v in result.items() if v is not None}


def save_npz(folder, **changes):
    path = folder / "data.npz"
    np.savez(path, **arrays(**changes))
    return path


def save_images(folder, names=("ant", "bee"), count=5, size=(12, 8)):
    for i, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for j in range(count):
            image = np.full((size[1], size[0], 3), 40 * i + j, "uint8")
            Image.fromarray(image).save(folder / name / f"{j}.png")
    return folder


def test_digits():
    sklearn = pytest.importorskip("sklearn.datasets")
    data, again = load_digits(), load("digits")
    assert repr(data) == (
        "ImageData(name='digits', train=1438, test=359, "
        "image_shape=(8, 8, 1), num_classes=10)"
    )
    np.testing.assert_array_equal(data.x_train, again.x_train)
    np.testing.assert_array_equal(data.y_test, again.y_test)
    original = sklearn.load_digits()
    both = np.concatenate([data.x_train, data.x_test]).astype("float64")
    assert both.sum() == np.rint(original.images * 255 / 16).sum()
    shares = np.bincount(data.y_test) / np.bincount(original.target)
    np.testing.assert_allclose(shares, 0.2, atol=0.01)


def test_digits_without_sklearn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"keras_tricks\[data\]"):
        load_digits()


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_keras_datasets(monkeypatch, name):
    shape = (20, 32, 32, 3) if name == "cifar10" else (20, 28, 28)
    x, y = np.zeros(shape, "uint8"), np.arange(20, dtype="uint8") % 10
    y = y[:, None] if name == "cifar10" else y
    module = getattr(keras.datasets, name)
    monkeypatch.setattr(module, "load_data", lambda: ((x, y), (x, y)))
    data = load(name)
    assert data.image_shape == ((*shape[1:], 1) if x.ndim == 3 else shape[1:])
    assert data.num_classes == 10 and data.y_train.dtype == np.int32


def test_download_failure_is_one_line(monkeypatch):
    def fail():
        raise Exception("URL fetch failure\non https://x: [Errno -3]")

    monkeypatch.setattr(keras.datasets.cifar100, "load_data", fail)
    with pytest.raises(RuntimeError, match="download cifar100") as error:
        load_keras_dataset("cifar100")
    assert "\n" not in str(error.value) and "data_dir" in str(error.value)


def test_npz(tmp_path):
    path = save_npz(tmp_path)
    data = load(data_dir=path)
    assert data.class_names == ("ant", "bee", "cat") and data.name == "data"
    with np.load(path) as stored:
        np.testing.assert_array_equal(data.x_test, stored["x_test"])
        np.testing.assert_array_equal(data.y_train, stored["y_train"])
    path = save_npz(
        tmp_path,
        x_train=np.zeros((8, 5, 5), "uint8"),
        x_test=np.zeros((4, 5, 5), "uint8"),
        y_train=(np.arange(8) % 3)[:, None],
        class_names=None,
    )
    data = load_npz(path)
    assert data.image_shape == (5, 5, 1) and data.y_train.shape == (8,)
    assert data.class_names == ("0", "1", "2")


IMAGES = arrays()["x_train"]
BAD_ARRAYS = [
    ({"x_train": None}, "without x_train"),
    ({"y_test": None, "x_test": None}, "without x_test, y_test"),
    ({"x_train": IMAGES / 255.0}, "`x_train` must be a uint8.*float64"),
    ({"x_train": IMAGES[0, 0]}, r"`x_train` must have shape.*\(5, 3\)"),
    ({"x_test": IMAGES[:4, :4]}, "images of one shape"),
    ({"x_test": IMAGES[:0], "y_test": np.zeros(0, int)}, "none of them 0"),
    ({"x_test": IMAGES[:3]}, "3 images and 4 labels"),
    ({"y_train": np.eye(3)[np.arange(8) % 3]}, "must be of one kind"),
    ({"y_train": np.zeros((8, 1, 3), int)}, "integers of shape"),
    ({"y_train": np.arange(8) / 8}, "y_train.dtype=float64"),
    (
        {"y_train": np.array(["cat", "ant"] * 4), "class_names": None},
        "integers of .* in their order.* <U3 .* words such as ant or cat$",
    ),
    (
        {"y_train": np.array([0, 2**40] * 4), "class_names": None},
        "every class from 0 on .* Received: 8 labels up to 1099511627776$",
    ),
    ({"y_train": np.arange(8) % 4}, "in 0 ... 2. Received: labels from 0 to 3"),
    ({"y_test": np.arange(4) - 1}, "labels from -1 to 2"),
    ({"y_train": np.arange(8) % 2}, "no training image of cat"),
    ({"class_names": ["one"], "y_train": np.zeros(8, int)}, "at least two"),
    ({"class_names": np.array([{}], object)}, "plain arrays"),
]


@pytest.mark.parametrize("changes, message", BAD_ARRAYS)
def test_bad_npz(tmp_path, changes, message):
    path = save_npz(tmp_path, **changes)
    with pytest.raises(ValueError, match=message) as error:
        load_npz(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize("damage", ["text", "cut", "empty", "flipped", "npy"])
def test_damaged_npz(tmp_path, damage):
    path = tmp_path / "data.npz"
    save_npz(tmp_path)
    content = path.read_bytes()
    if damage == "npy":
        with open(path, "wb") as file:
            np.save(file, np.arange(3))
    else:
        middle = len(content) // 3
        path.write_bytes(
            {
                "text": b"not an archive",
                "cut": content[:middle],
                "empty": b"",
                "flipped": content[:middle]
                + b"\xff\x00"
                + content[middle + 2 :],
            }[damage]
        )
    with pytest.raises(ValueError, match="Could not read") as error:
        load_npz(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_folder_is_split(tmp_path):
    save_images(tmp_path, count=10)
    data, again = (
        load_folder(tmp_path, 8),
        load(data_dir=tmp_path, image_size=8),
    )
    assert data.class_names == ("ant", "bee")
    assert data.x_train.shape == (16, 8, 8, 3) and len(data.x_test) == 4
    np.testing.assert_array_equal(np.bincount(data.y_test), [2, 2])
    np.testing.assert_array_equal(data.x_test, again.x_test)
    values = np.concatenate([data.x_train, data.x_test])[:, 0, 0, 0]
    assert sorted(values) == [*range(10), *range(40, 50)]
    np.testing.assert_array_equal(data.x_train[:, 0, 0, 0] // 40, data.y_train)
    assert load(data_dir=tmp_path).image_shape == (64, 64, 3)


@pytest.mark.parametrize("name", ["val", "valid", "test"])
def test_folder_with_parts(tmp_path, name):
    save_images(tmp_path / "train", count=4)
    save_images(tmp_path / name, count=2)
    data = load_folder(tmp_path, 6)
    assert len(data.x_train) == 8 and len(data.x_test) == 4
    assert data.num_classes == 2
    (tmp_path / name / "cow").mkdir()
    with pytest.raises(ValueError, match="Received: cow"):
        load_folder(tmp_path, 6)


def test_center_crop_and_color_modes(tmp_path):
    save_images(tmp_path)
    stripes = np.zeros((8, 16), "uint8")
    stripes[:, 4:12] = 200
    Image.fromarray(stripes).save(tmp_path / "ant" / "gray.png")
    palette = Image.fromarray(stripes).convert("P")
    palette.save(tmp_path / "ant" / "palette.png", transparency=b"\x00\x01")
    Image.fromarray(stripes).convert("RGBA").save(tmp_path / "ant" / "a.png")
    data = load_folder(tmp_path, 8, test_share=0.01)
    both = np.concatenate([data.x_train, data.x_test])
    assert (both == 200).all((1, 2, 3)).sum() == 3


def test_gray_and_rgb_of_each_other(tmp_path):
    gray, digits = load("digits"), load("digits", channels=3)
    assert load("digits", channels=1).image_shape == (8, 8, 1)
    np.testing.assert_array_equal(digits.x_test, np.repeat(gray.x_test, 3, -1))
    x = np.random.default_rng(0).integers(0, 256, (4, 6, 9, 3), "uint8")
    y, names = np.array([0, 1, 0, 1]), ("a", "b")
    back = ImageData(x, y, x, y, names, "noise").with_channels(1)
    expected = x.astype("float64") @ [[0.299], [0.587], [0.114]]
    # Pillow rounds, and its weights to 16 bits.
    assert np.abs(back.x_train - expected).max() <= 0.51
    np.testing.assert_array_equal(back.x_test, back.x_train)
    for i, label in enumerate(y):
        (tmp_path / names[label]).mkdir(exist_ok=True)
        Image.fromarray(x[i]).save(tmp_path / names[label] / f"{i}.png")
    found = load_folder(tmp_path, (6, 9), test_share=0.5, channels=1)
    assert found.x_train.shape == (2, 6, 9, 1)
    for image in found.x_train:
        assert any((image == other).all() for other in back.x_train)


def test_unreadable_images(tmp_path, capsys):
    save_images(tmp_path)
    bad = tmp_path / "bee" / "broken.jpg"
    bad.write_bytes(b"no image")
    good = (tmp_path / "bee" / "1.png").read_bytes()
    (tmp_path / "bee" / "cut.png").write_bytes(good[:50])
    with pytest.raises(ValueError, match="broken.jpg.* and 1 more") as error:
        load_folder(tmp_path, 6)
    assert "\n" not in str(error.value)
    data = load(data_dir=tmp_path, image_size=6, max_bad_records=2)
    assert len(data.x_train) + len(data.x_test) == 10
    printed = capsys.readouterr().err
    assert "Skipped 2" in printed and str(bad) in printed


def test_bad_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="existing folder.*missing"):
        load_folder(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match="existing folder or .npz"):
        load(data_dir=tmp_path / "missing")
    for name in ("train-00000-of-00002", "train-0.tfrecord", "train-0.tar"):
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match='shards .* augmentation="crop"'):
            load(data_dir=tmp_path)
        (tmp_path / name).unlink()
    with pytest.raises(ValueError, match="at least two classes. Received: 0"):
        load_folder(tmp_path)
    save_images(tmp_path, ["ant"])
    with pytest.raises(ValueError, match="at least two classes. Received: 1"):
        load_folder(tmp_path)
    (tmp_path / "bee").mkdir()
    with pytest.raises(ValueError, match="bee must hold at least one image"):
        load_folder(tmp_path)
    for size in (0, 2.5, None):
        with pytest.raises(ValueError, match="image_size"):
            load_folder(tmp_path, size)


def test_subsets_are_nested_and_stratified():
    data = load_digits()
    small, large = data.take(50, seed=1), data.take(200, seed=1)
    np.testing.assert_array_equal(large.x_train[:50], small.x_train)
    counts = np.bincount(small.y_train)
    assert counts.min() >= 4 and counts.max() <= 6
    other = data.take(50, seed=2)
    assert not np.array_equal(other.x_train, small.x_train)
    assert data.take(None) is data
    np.testing.assert_array_equal(small.x_test, data.x_test)
    for bad in (9, 10**6, 0, 20.5):
        with pytest.raises(ValueError, match="train_samples"):
            load("digits", train_samples=bad)


def test_split_and_order_are_partitions():
    labels = np.array([0] * 10 + [1] * 3 + [2])
    train, test = stratified_split(labels, 0.2, seed=4)
    assert sorted([*train, *test]) == list(range(14))
    np.testing.assert_array_equal(np.bincount(labels[test]), [2, 1])
    order = stratified_order(labels, seed=4)
    assert sorted(order) == list(range(14))
    assert set(labels[order[:3]]) == {0, 1, 2}


def test_load_refuses():
    with pytest.raises(ValueError, match="'digits'.*dataset='cifar'"):
        load("cifar")
    with pytest.raises(ValueError, match="image_size=32"):
        load("digits", image_size=32)
    with pytest.raises(ValueError, match="name='imagenet'"):
        load_keras_dataset("imagenet")


def test_image_data_is_frozen():
    data = ImageData(**arrays())
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.name = "other"
