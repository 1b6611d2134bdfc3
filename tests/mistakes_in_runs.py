"""Mistakes with data, callbacks, recipes, training and reports."""

import numpy as np
from PIL import Image

from keras_tricks import Recipe, report, training
from keras_tricks.callbacks import (
    Backup,
    ExponentialMovingAverage,
    MixUpOff,
    SetEpoch,
)
from keras_tricks.data import Batches, load
from keras_tricks.layers import MixUp

from .mistakes_in_code import IMAGES, LABELS, LOGITS, dense, fit


def folder(path, images=2, broken=0, classes=("cat", "dog")):
    """Writes and loads class folders; the last one holds `images`."""
    for name in classes:
        (path / name).mkdir()
        count = images if name == classes[-1] else 2
        for index in range(count):
            Image.new("RGB", (9, 9)).save(path / name / f"{index}.png")
        for index in range(broken):
            (path / name / f"broken{index}.png").write_text("not a picture")
    return load(data_dir=path)


def npz(path, without=None, **changes):
    arrays = {"x_train": IMAGES, "y_train": LABELS}
    arrays |= {"x_test": IMAGES, "y_test": LABELS, **changes}
    arrays.pop(without, None)
    np.savez(path / "data.npz", **arrays)
    return load(data_dir=path / "data.npz")


def damaged_backup(path):
    (path / "epoch_00002").mkdir()
    (path / "epoch_00002" / "state.weights.h5").write_bytes(b"no weights")
    model = dense()
    model.compile("sgd", "mse")
    return Backup(path).restore(model)


def run_folder(path, seed):
    path = path / f"seed{seed}"
    path.mkdir()
    (path / "history.csv").write_text("epoch,val_accuracy\n0,0.5\n1,0.75\n")
    (path / "recipe.json").write_text(Recipe(seed=seed).to_json())
    return path


def other_recipe(path):
    (path / "recipe.json").write_text(Recipe().to_json())
    return training.prepare(Recipe(epochs=3), path)


# The mistake, its error, and the message, in which an ellipsis stands for
# any text.
MISTAKES = {
    "missing folder": (
        lambda path: load(data_dir=path / "nowhere"),
        FileNotFoundError,
        "`data_dir` must be an existing folder … Received: …nowhere",
    ),
    "empty class": (
        lambda path: folder(path, images=0),
        ValueError,
        "Class folder …/dog must hold at least one image. Received: none",
    ),
    "one class": (
        lambda path: folder(path, classes=("cat",)),
        ValueError,
        "… must hold … at least two classes. Received: 1",
    ),
    "unreadable images": (
        lambda path: folder(path, broken=1),
        ValueError,
        "… (`max_bad_records`). Received: …broken0.png: … and 1 more",
    ),
    "archive without an array": (
        lambda path: npz(path, without="y_test"),
        ValueError,
        "…data.npz must hold x_train, … Received: a file without y_test",
    ),
    "archive with label K": (
        lambda path: npz(path, y_test=LABELS + 1),
        ValueError,
        "…`y_test` must be in 0 ... 2. Received: labels from 1 to 3",
    ),
    "archive with too few labels": (
        lambda path: npz(path, y_train=LABELS[:3]),
        ValueError,
        "…`y_train` must have the same length. Received: 4 … and 3 labels",
    ),
    "images in 0 ... 1": (
        lambda _: Batches(IMAGES / 255.0, LABELS, 2),
        ValueError,
        "`images` must be uint8 … Received: images.dtype=float64, …",
    ),
    "more images than there are": (
        lambda _: load("digits", train_samples=5000),
        ValueError,
        "`train_samples` must not exceed … 1438. Received: train_samples=5000",
    ),
    "unknown data set": (
        lambda path: training.prepare(Recipe(dataset="imagenet"), path),
        ValueError,
        "`dataset` must be one of 'digits', … Received: dataset='imagenet'",
    ),
    "average that never moves": (
        lambda _: ExponentialMovingAverage(decay=1),
        ValueError,
        "`decay` must be … [0, 1). Received: decay=1",
    ),
    "damaged backup": (
        damaged_backup,
        ValueError,
        "`folder` must hold backups of this very model … Received: folder=…",
    ),
    "mixup off for more epochs than there are": (
        lambda _: fit(LOGITS, callbacks=[MixUpOff(MixUp(), 5)]),
        ValueError,
        "`last_epochs` must not exceed … 1. Received: last_epochs=5",
    ),
    "epoch for an array": (
        lambda _: SetEpoch(LABELS),
        ValueError,
        "`targets` must have a method … Received: targets=array(…",
    ),
    "unknown field": (
        lambda _: Recipe.preset("baseline", label_smoothng=0.1),
        ValueError,
        "… `keras_tricks.Recipe` (is it 'label_smoothing'?). Received: "
        "label_smoothng",
    ),
    "batch in unequal parts": (
        lambda _: Recipe(batch_size=64, gradient_accumulation_steps=3),
        ValueError,
        "`batch_size` must be a multiple of … Received: batch_size=64",
    ),
    "warmup longer than the run": (
        lambda _: Recipe(epochs=5, warmup_epochs=6),
        ValueError,
        "`warmup_epochs` must be at most epochs=5. Received: …=6.0",
    ),
    "batch larger than the data": (
        lambda path: training.prepare(Recipe(batch_size=2048), path),
        ValueError,
        "`batch_size` must not exceed … 1438. Received: batch_size=2048",
    ),
    "softmax at the end": (
        lambda _: training.compile_model(Recipe(), dense("softmax"), 640),
        ValueError,
        "`model` must end in logits, … Received: layer 'dense…' with softmax",
    ),
    "folder of another recipe": (
        other_recipe,
        ValueError,
        "`run_folder` must be … the same recipe. Received: …, where epochs "
        "is 20 and not 3",
    ),
    "report without a run": (
        report.write_run_report,
        ValueError,
        "`folder` must hold … history.csv … Received: folder=…",
    ),
    "comparison without a common seed": (
        lambda path: report.comparison_table(
            {"a": [run_folder(path, 0)], "b": [run_folder(path, 1)]}
        ),
        ValueError,
        "`runs` must have a seed in common … Received: seeds [1] and [0]",
    ),
}
