"""Mistakes with data, callbacks, recipes, training and reports."""

import keras
import numpy as np
from PIL import Image

from keras_tricks import Recipe, ablation, report, training
from keras_tricks.callbacks import (
    Backup,
    ExponentialMovingAverage,
    MixUpOff,
    ScheduleFreeAverage,
    SetEpoch,
)
from keras_tricks.data import Batches, load
from keras_tricks.distillation import (
    AdaptImages,
    Distiller,
    FeatureMatch,
    precompute_logits,
    with_teacher_logits,
)
from keras_tricks.layers import MixUp
from keras_tricks.losses import LabelSmoothedKD
from keras_tricks.metrics import teacher_agreement
from keras_tricks.models import ResNet
from keras_tricks.surgery import freeze, split_head
from keras_tricks.training.teacher import adapt_to, load_teacher

from .mistakes_in_code import IMAGES, LABELS, LOGITS, dense, fit

LAST = {"data_format": "channels_last"}


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
    (path / "epoch_00002" / "state.npz").write_bytes(b"no weights")
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


class Points(keras.utils.PyDataset):
    """Two batches, in another order each time or not."""

    def __init__(self, shuffle=False):
        super().__init__()
        self.rng = np.random.default_rng(0) if shuffle else None

    def __len__(self):
        return 2

    def __getitem__(self, index):
        order = np.arange(4) if self.rng is None else self.rng.permutation(4)
        x = np.stack([order, order**2], 1).astype("float32")
        return x[2 * index : 2 * index + 2], np.zeros(2, int)


def small_resnet():
    options = {"small_images": True, "input_shape": (8, 8, 3), "width": 2}
    return ResNet(18, num_classes=3, **options, **LAST)


def logits_of(data, path):
    return precompute_logits(dense(), data, path, verbose=0)


def interrupted_store(path):
    data = Points()
    logits_of(data, path)
    checks = np.load(path / "checks.npy")
    checks[2:] = 0  # As of rows that were not reached.
    np.save(path / "checks.npy", checks)
    with_teacher_logits(data, path)


def loaded_distiller(path):
    model = Distiller(dense(), dense(), check_teacher=False)
    model.compile("sgd", LabelSmoothedKD())
    model.save(path / "distiller.keras")
    keras.saving.load_model(path / "distiller.keras").fit(*Points()[0])


def saved_teacher(path, **fields):
    dense().save(path / "teacher.keras")
    recipe = Recipe(teacher=str(path / "teacher.keras"), **fields)
    return load_teacher(recipe, (8, 8, 1), 3)


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
        lambda _: ExponentialMovingAverage(ema_decay=1),
        ValueError,
        "`ema_decay` must be … [0, 1). Received: ema_decay=1",
    ),
    "schedule-free average of SGD": (
        lambda _: fit(LOGITS, callbacks=[ScheduleFreeAverage()]),
        ValueError,
        "`ScheduleFreeAverage` must be … Received: optimizer=SGD",
    ),
    "two averages of one run": (
        lambda _: Recipe(
            optimizer="schedule_free_adamw",
            schedule="constant",
            base_learning_rate=1e-3,
            ema_decay=0.9,
        ),
        ValueError,
        "`ema_decay` must be 0 with … of its own. Received: ema_decay=0.9",
    ),
    "damaged backup": (
        damaged_backup,
        ValueError,
        "`folder` must hold a backup that is whole, … Received: folder=…",
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
        "`batch_size` must be a multiple of … Received: batch_size=64, the "
        "default",
    ),
    "warmup longer than the run": (
        lambda _: Recipe(epochs=5, warmup_epochs=6),
        ValueError,
        "`warmup_epochs` must be at most epochs=5, 0 for none. Received: …=6.0",
    ),
    "batch larger than the data": (
        lambda path: training.prepare(Recipe(batch_size=2048), path),
        ValueError,
        "`batch_size` must not exceed … 1438. Received: batch_size=2048",
    ),
    "softmax at the end": (
        lambda _: training.compile_model(Recipe(), dense("softmax"), 640),
        ValueError,
        "`model` must end in logits, … Received: model=…'dense…' has softmax",
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
    "stored logits of shuffled points": (
        lambda path: logits_of(Points(shuffle=True), path / "store"),
        ValueError,
        "`dataset` must show each sample in one view and one order, … "
        "Received: a data set whose first batch changes …",
    ),
    "store of an interrupted run": (
        interrupted_store,
        ValueError,
        "`path` must hold all logits; row 2 of logits.npy is not written: … "
        "Received: path=…",
    ),
    "loaded distiller without its teacher": (
        loaded_distiller,
        ValueError,
        "`teacher` must be given … `set_teacher` … Received: teacher=None",
    ),
    "adapter before its teacher": (
        lambda _: Distiller(dense(), adapt=AdaptImages(8)),
        ValueError,
        "`adapt` must be given together with the teacher, … Received: adapt=…",
    ),
    "feature that is no list": (
        lambda _: Distiller(dense(), features=FeatureMatch("a", "b")),
        ValueError,
        "`features` must be a list of FeatureMatch. Received: features=…",
    ),
    "layer in the place of its name": (
        lambda _: FeatureMatch(keras.layers.Dense(3), "b"),
        ValueError,
        "`student_layer` must be the name … Received: student_layer=<Dense…",
    ),
    "image in the place of a batch": (
        lambda _: AdaptImages(8)(IMAGES[0]),
        ValueError,
        "`images` must be a batch of rank 4. Received: …shape=(8, 8, 3)",
    ),
    "means of other channels": (
        lambda _: AdaptImages(student_mean=(1, 2), **LAST)(IMAGES),
        ValueError,
        "`student_mean` must hold … of the 3 channels. Received: …(1.0, 2.0)",
    ),
    "agreement with one sample": (
        lambda _: teacher_agreement(LOGITS[:1], LOGITS),
        ValueError,
        "`teacher_logits` must have the shape … (4, 3). Received: …(1, 3)",
    ),
    "weight of the labels without a teacher": (
        lambda _: Recipe(hard_weight=0.5),
        ValueError,
        "`hard_weight` must be None without a teacher. Received: …=0.5",
    ),
    "weights beside a saved teacher": (
        lambda path: saved_teacher(path, teacher_weights="w.weights.h5"),
        ValueError,
        "`teacher_weights` must be None for a saved model, … Received: …",
    ),
    "teacher of no images": (
        lambda path: adapt_to(saved_teacher(path), (8, 8, 1), *LAST.values()),
        ValueError,
        "`teacher` must take images of 1 channels. Received: …(None, 2)",
    ),
    "comparison without a common seed": (
        lambda path: ablation.compare_runs(
            path, {"a": [run_folder(path, 0)], "b": [run_folder(path, 1)]}
        ),
        ValueError,
        "`runs` of b must have a seed in common … Received: [1] and [0]",
    ),
    "threshold of a softmax": (
        lambda _: Recipe(target_threshold=0.2),
        ValueError,
        "`target_threshold` must be None without loss='binary_crossentropy'. "
        "Received: target_threshold=0.2",
    ),
    "sigmoids beside a teacher": (
        lambda _: Recipe(loss="binary_crossentropy", teacher="t.keras"),
        ValueError,
        "`distillation` must be 'sigmoid' with a teacher and …; of a teacher "
        "with a softmax the loss is … Received: …",
    ),
    "misspelled weights of the classes": (
        lambda _: Recipe(class_weights="balance"),
        ValueError,
        "`class_weights` must be 'balanced', 'effective_number' or a tuple of "
        "numbers. Received: class_weights='balance'",
    ),
    "negative weight of a class": (
        lambda _: Recipe(class_weights=(1, -1)),
        ValueError,
        "`class_weights` must be a number in [0, inf). Received: …=-1",
    ),
    "two ways to make classes equal": (
        lambda _: Recipe(sampler="balanced", class_weights="balanced"),
        ValueError,
        "`sampler` must be 'none' with class_weights='balanced': … Received: "
        "sampler='balanced'",
    ),
    "beta of no effective number": (
        lambda _: Recipe(class_weights="balanced", effective_number_beta=0.9),
        ValueError,
        "`effective_number_beta` must be 0.999 without … Received: …=0.9",
    ),
    "three weights for ten classes": (
        lambda path: training.prepare(
            Recipe(class_weights=(1, 2, 3), width=2), path
        ),
        ValueError,
        "`class_weights` must be as many as the model has outputs, 10. "
        "Received: 3 in …",
    ),
    "ignored label of the digits": (
        lambda _: Recipe(ignore_label=-1),
        ValueError,
        "`ignore_label` must be None without data_dir, … Received: …=-1",
    ),
    "ignored label of a folder": (
        lambda path: load(data_dir=path, ignore_label=-1),
        ValueError,
        "`ignore_label` must be None where `data_dir` is no .npz: … Received: "
        "ignore_label=-1",
    ),
    "freezing a group that is misspelled": (
        lambda _: freeze(small_resnet(), "stag1"),
        ValueError,
        "`freeze` must be backbone, …'stag1', … nothing: is it stage1 or …?",
    ),
    "freezing all there is": (
        lambda _: freeze(small_resnet(), "."),
        ValueError,
        "`freeze` must leave something … Received: freeze='.', … 'resnet18_d'",
    ),
    "freezing a pattern that is none": (
        lambda _: freeze(small_resnet(), "stage[1"),
        ValueError,
        "`freeze` must be … Received: freeze='stage[1', which is none …",
    ),
    "freezing what does not train": (
        lambda _: freeze(small_resnet(), "moving_mean"),
        ValueError,
        "`freeze` must name weights that …'moving_mean', … none of them",
    ),
    "freezing random weights": (
        lambda _: Recipe(freeze="backbone"),
        ValueError,
        "`freeze` must be None without weights … Received: freeze='backbone'",
    ),
    "freezing a head that starts anew": (
        lambda _: Recipe(weights="w", skip_head=True, freeze="head"),
        ValueError,
        "`freeze` must be without head with skip_head=True, …'head'",
    ),
    "unfreezing what is not frozen": (
        lambda _: Recipe(unfreeze_epoch=3),
        ValueError,
        "`unfreeze_epoch` must be None without freeze. Received: …=3",
    ),
    "unfreezing at the end": (
        lambda _: Recipe(weights="w", freeze="norms", unfreeze_epoch=20),
        ValueError,
        "`unfreeze_epoch` must be below epochs=20, … Received: …=20",
    ),
    "features of augmented images": (
        lambda _: Recipe(weights="w", freeze="backbone", cache_features="on"),
        ValueError,
        "`cache_features` must be 'auto' or 'off' with augmentation='shift', …",
    ),
    "features in front of a network that trains": (
        lambda _: split_head(small_resnet()),
        ValueError,
        "`model` must be frozen up to a place … Received: model='resnet18_d'",
    ),
}
