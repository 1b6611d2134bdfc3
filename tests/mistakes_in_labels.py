"""Mistakes with images that may be of several classes."""

import json

import numpy as np
from PIL import Image

from keras_tricks import Recipe, evaluation
from keras_tricks.data import (
    Batches,
    ImageData,
    Preprocessing,
    load,
    open_images,
    open_tar_shards,
    write_shards,
)
from keras_tricks.data.open_test_images import open_test_images
from keras_tricks.losses import LabelSmoothedBinaryKD, pack_targets
from keras_tricks.metrics import MeanAveragePrecision

from .mistakes_in_code import IMAGES, LABELS, LOGITS, dense
from .mistakes_in_runs import folder, npz

ROWS = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 0, 0]])
SEVERAL = {"multi_label": True, "loss": "binary_crossentropy"}


def table(path, text, name="labels.csv", count=2, encoding="utf-8"):
    """Writes images and a table, and opens them."""
    for index in range(count):
        Image.new("RGB", (9, 9)).save(path / f"{index}.png")
    (path / name).write_text(text, encoding=encoding)
    return open_images(data_dir=path)


def two_tables(path):
    (path / "labels.json").write_text("{}")
    return table(path, "file,labels\n0.png,a|b\n")


def written_as_shards(path):
    table(path, "file,labels\n0.png,a|b\n1.png,a|b\n")
    files = open_test_images(data_dir=path)
    return write_shards({"train": files}, path / "out")


def sampled():
    return Batches(IMAGES, ROWS, 2, sampler="balanced")


def one_class_after_several(path):
    classifier = evaluation.Classifier(dense(), multi_label=True)
    own = Preprocessing(8)
    images = evaluation.LabeledImages(
        IMAGES, LABELS, list("abcd"), own.transform, own.normalize
    )
    return evaluation.evaluate(classifier, images)


# As in mistakes_in_code.py.
MISTAKES = {
    "a table without rows": (
        lambda path: table(path, "file,labels\n"),
        ValueError,
        "…labels.csv must have a row for each image. Received: none",
    ),
    "a row with too few columns": (
        lambda path: table(path, "file,a,b\n0.png,1\n"),
        ValueError,
        "…labels.csv must be a table of files and their classes (a row of 3 "
        "columns was expected, not ['0.png', '1']). Received: labels.csv",
    ),
    "a column of a class with another number": (
        lambda path: table(path, "file,a,b\n0.png,1,2\n"),
        ValueError,
        "… (a column of a class must have 0 or 1, not '2'). Received: …",
    ),
    "a table without titles": (
        lambda path: table(path, "0.png,a|b\n1.png,a\n"),
        ValueError,
        "… (titles such as file,labels were expected, not ['0.png', "
        "'a|b']). Received: labels.csv",
    ),
    "a list as Python writes it": (
        lambda path: table(path, "file,labels\n0.png,\"['a', 'b']\"\n"),
        ValueError,
        """… (names with | between them were expected, not "['a', 'b']")…""",
    ),
    "a list as JSON writes it": (
        lambda path: table(path, 'file\tlabels\n0.png\t"[""a""]"\n'),
        ValueError,
        """… (names with | between them were expected, not '["a"]')…""",
    ),
    "two columns of a class": (
        lambda path: table(path, "file,a,a\n0.png,1,0\n"),
        ValueError,
        "… (a class must have one column, not 'a' two). Received: labels.csv",
    ),
    "a table in another encoding": (
        lambda path: table(path, "file,labels\n0.png,ä\n", encoding="cp1252"),
        ValueError,
        "… (text in UTF-8 was expected: … byte 0xe4 …). Received: labels.csv",
    ),
    "JSON of a list": (
        lambda path: table(path, "[1]", "labels.json"),
        ValueError,
        "… (an object of file to a list of classes was expected). Received: …",
    ),
    "JSON with a name in place of a list": (
        lambda path: table(path, json.dumps({"0.png": "a"}), "labels.json"),
        ValueError,
        "… (0.png must have a list of names of classes). Received: labels.json",
    ),
    "two tables": (
        two_tables,
        ValueError,
        "`data_dir` must have one table of labels. Received: labels.csv and "
        "labels.json in …",
    ),
    "a table of other images": (
        lambda path: table(path, "file,labels\nx.png,a|b\ny.png,b\nz.png,a\n"),
        ValueError,
        "…labels.csv must name at least one training image that can be used. "
        "Received: none, labels.csv names it, but there is no such file",
    ),
    "several classes of class folders": (
        lambda path: load(data_dir=folder_of(path), multi_label=True),
        ValueError,
        "`multi_label` must be False without labels.csv, …, as a class folder "
        "is one class of an image. Received: multi_label=True, …",
    ),
    "several classes of the digits": (
        lambda _: load(multi_label=True),
        ValueError,
        "`multi_label` must be False for digits, whose images are of one class "
        "each. Received: multi_label=True",
    ),
    "several classes of tar shards": (
        lambda path: open_tar_shards(path, multi_label=True),
        ValueError,
        "`multi_label` must be False for .tar shards, … Received: …=True",
    ),
    "shares in an npz": (
        lambda path: npz(path, y_train=ROWS / 2, y_test=ROWS),
        ValueError,
        "…data.npz: `y_train` of shape (N, K) must hold 0 and 1 alone. "
        "Received: 0.5",
    ),
    "rows for one split alone": (
        lambda _: ImageData(IMAGES, ROWS, IMAGES, LABELS, ("a", "b", "c")),
        ValueError,
        "`y_train` and `y_test` must be of one kind, … Received: "
        "y_train.shape=(4, 3), y_test.shape=(4,)",
    ),
    "too few columns": (
        lambda _: ImageData(IMAGES, ROWS, IMAGES, ROWS, ("a", "b")),
        ValueError,
        "`y_train` must have a column for each of 2 classes. Received: "
        "y_train.shape=(4, 3)",
    ),
    "several classes as shards": (
        written_as_shards,
        ValueError,
        "`splits` must hold images of one class each: … Received: a table …",
    ),
    "a sampler of several classes": (
        lambda _: sampled(),
        ValueError,
        "`sampler` must be 'none' where an image may be of several classes, … "
        "Received: sampler='balanced'",
    ),
    "a softmax of several classes": (
        lambda _: Recipe(multi_label=True),
        ValueError,
        "`loss` must be 'binary_crossentropy' with multi_label=True: the … "
        "Received: loss='crossentropy', the default",
    ),
    "sigmoid without a teacher": (
        lambda _: Recipe(distillation="sigmoid"),
        ValueError,
        "`distillation` must be 'softmax' without a teacher and … Received: "
        "distillation='sigmoid'",
    ),
    "integers to the loss of several classes": (
        lambda _: LabelSmoothedBinaryKD()(LABELS, LOGITS),
        ValueError,
        "`y_true` must have a column for each class, … Received: "
        "y_true.shape=…",
    ),
    "targets that were packed for a softmax": (
        lambda _: LabelSmoothedBinaryKD()(pack_targets(LABELS, LOGITS), LOGITS),
        ValueError,
        '`y_true` must be packed with `pack_targets(activation="sigmoid")`. '
        "Received: teacher logits less their maximum, a row that begins …",
    ),
    "integers to the mean average precision": (
        lambda _: MeanAveragePrecision(3).update_state(LABELS, LOGITS),
        ValueError,
        "`y_true` must have a column for each of 3 classes. Received: …",
    ),
    "one class of each image after several": (
        one_class_after_several,
        ValueError,
        "`images` must have labels of several classes, … Received: one class "
        "of each image",
    ),
}


def folder_of(path):
    folder(path)
    return path
