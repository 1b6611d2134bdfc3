"""Evaluation and export read whatever training reads."""

import io
import json
import tarfile

import keras
import numpy as np
import pytest
from PIL import Image

from keras_tricks import Recipe
from keras_tricks.data import (
    ClassNames,
    Preprocessing,
    open_images,
    source_kinds,
)
from keras_tricks.data.shards.example_proto import encode_example
from keras_tricks.data.sources.records import ArrayRecords
from keras_tricks.evaluation import Classifier, evaluate, load_images
from keras_tricks.export import example_inputs
from keras_tricks.training import load_data

CLASSES = ClassNames(("dark", "middle", "bright"))
NAMES = ["middle", "bright", "dark"]  # In an order of their own.


@pytest.fixture
def classifier():
    """A network that tells dark, middle and bright images apart."""
    inputs = keras.Input((8, 8, 3))
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    outputs = keras.layers.Dense(3)(mean)
    model = keras.Model(inputs, outputs)
    kernel = np.tile([[-1.0, 0.0, 1.0]], (3, 1))
    model.set_weights([kernel, np.array([0.0, 1.0, 0.0])])
    return Classifier(model, Preprocessing(8), CLASSES)


def png(value):
    file = io.BytesIO()
    Image.new("RGB", (9, 9), (value,) * 3).save(file, "png")
    return file.getvalue()


# Three of each class; one record that no decoder can read.
SAMPLES = [
    (png(value + i), NAMES.index(name))
    for i in range(3)
    for name, value in (("dark", 0), ("middle", 120), ("bright", 250))
]
SAMPLES.insert(4, (b"damaged", 0))


def write_tar(folder, split, samples):
    with tarfile.open(folder / f"{split}-000000.tar", "w") as tar:
        for i, (data, label) in enumerate(samples):
            for end, content in ((".png", data), (".cls", b"%d" % label)):
                member = tarfile.TarInfo(f"{i:03d}{end}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def write_tfrecord(folder, split, samples):
    content = b""
    for data, label in samples:
        record = encode_example({"photo": data, "kind": label + 1, "size": 9})
        length = len(record).to_bytes(8, "little")
        content += length + bytes(4) + record + bytes(4)
    (folder / f"{split}.tfrecord").write_bytes(content)


KINDS = {
    "tar": (write_tar, {}),
    "tfrecord": (
        write_tfrecord,
        {"image_key": "photo", "label_key": "kind", "label_offset": 1},
    ),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_shards(kind, classifier, tmp_path):
    """The test split, with the classes in the order of the model."""
    write, options = KINDS[kind]
    write(tmp_path, "train", SAMPLES[:1])
    write(tmp_path, "val", SAMPLES)
    (tmp_path / "classes.json").write_text(json.dumps(NAMES))
    recipe = Recipe(data_dir=str(tmp_path), augmentation="crop", **options)
    assert len(load_data(recipe).test) == 10
    images = load_images(classifier, tmp_path, **options)
    result = evaluate(classifier, images)
    assert result.accuracy().hits == len(result) == 9
    assert len(result.bad) == 1 and "[4]" in result.bad[0]
    assert result.class_name(0) == "dark"
    if kind == "tfrecord":
        with pytest.raises(ValueError, match="`label_key` .*kind, size"):
            load_images(classifier, tmp_path)
    examples = example_inputs(classifier, tmp_path, samples=4, **options)
    assert examples.shape[1:] == (8, 8, 3)


def test_shards_without_splits_or_class_names(classifier, tmp_path):
    """All of them are evaluated, with the classes of the model."""
    write_tar(tmp_path, "more", [(png(0), 0), (png(250), 2), (png(120), 1)])
    result = evaluate(classifier, load_images(classifier, tmp_path))
    assert result.accuracy().hits == len(result) == 3


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["dark", "middle", "else"], "every class of the data.*'else', 2 of 3"),
        (["a", "b", "c", "d"], "have other.* Received: 4 classes in"),
    ],
)
def test_other_classes(names, message, classifier, tmp_path):
    write_tar(tmp_path, "val", SAMPLES[:3])
    (tmp_path / "classes.json").write_text(json.dumps(names))
    with pytest.raises(ValueError, match=f"`classes` must .*{message}"):
        load_images(classifier, tmp_path)


def test_a_data_set_of_a_hub(classifier, monkeypatch):
    def open_split(name, split, **options):
        if split != "test":
            raise ValueError(f"no split {split}")
        images = np.full((1, 9, 9, 3), 250, "uint8")
        return ArrayRecords(images, np.array([1]), tuple(NAMES), name)

    monkeypatch.setitem(source_kinds._HUBS, "tfds", open_split)
    images = load_images(classifier, dataset="tfds/tiny")
    assert evaluate(classifier, images).accuracy().hits == 1
    with pytest.raises(ValueError, match="`label_offset` must be left out"):
        load_images(classifier, dataset="tfds/tiny", label_offset=1)


def test_keys_where_they_are_of_no_use(classifier, tmp_path):
    for arguments, source in (
        ({}, "the images of a run"),
        ({"dataset": "digits"}, "digits"),
        ({"data_dir": tmp_path}, str(tmp_path)),
    ):
        with pytest.raises(
            ValueError, match=f"`image_key` must be left out for {source}, "
        ):
            load_images(classifier, **arguments, image_key="img")
    with pytest.raises(
        ValueError, match="`image_key` must be None with images"
    ):
        Recipe(image_key="img")


def test_two_kinds_of_shards(classifier, tmp_path):
    write_tar(tmp_path, "val", SAMPLES[:1])
    write_tfrecord(tmp_path, "val", SAMPLES[:1])
    for open_ in (
        open_images,
        lambda data_dir: load_images(classifier, data_dir),
    ):
        with pytest.raises(ValueError, match="shards of one kind"):
            open_(data_dir=tmp_path)
