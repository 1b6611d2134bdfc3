"""Mistakes with teachers, students and stored logits."""

import keras
import numpy as np

from keras_tricks import Recipe
from keras_tricks.data import Batches
from keras_tricks.distillation import (
    AdaptImages,
    Distiller,
    FeatureMatch,
    check_teacher,
    precompute_logits,
    with_teacher_logits,
)
from keras_tricks.layers import MixUp
from keras_tricks.losses import KnowledgeDistillation, LabelSmoothedKD
from keras_tricks.training.teacher import load_teacher

from .mistakes_in_code import IMAGES, LABELS, dense

X = np.eye(2, dtype="float32")[[0, 1, 0, 1]]
Y = np.array([0, 1, 0, 1])


def other_classes():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(5)])


def on_images():
    layers = [keras.layers.Flatten(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((8, 8, 3)), *layers])


def augmenting():
    layers = [keras.layers.RandomFlip(), keras.layers.Flatten()]
    return keras.Sequential(
        [keras.Input((8, 8, 3)), *layers, keras.layers.Dense(3)]
    )


def itself():
    model = dense()
    return Distiller(model, model)


def fitted(loss=None, teacher=None, labels=Y):
    model = Distiller(dense(), teacher)
    model.compile("sgd", loss or LabelSmoothedKD())
    model.fit(X, labels, verbose=0)


def stored(path, samples=4, scale=4):
    teacher = dense()
    teacher.layers[0].set_weights([scale * np.eye(2, 3), np.zeros(3)])
    precompute_logits(teacher, (X[:samples], Y[:samples]), path, verbose=0)


def half_a_store(path):
    stored(path, 2)
    with_teacher_logits((X, Y), path)


def store_of_another_teacher(path):
    stored(path)
    stored(path, scale=5)


def other_images(path):
    stored(path)
    with_teacher_logits((X[::-1].copy(), Y), path)


def mixed():
    mix_up = MixUp(0.2, num_classes=3)
    return Batches(IMAGES, LABELS, 2, mix_up=mix_up)


def with_teacher(teacher, weights=None):
    return load_teacher(
        Recipe(teacher=teacher, teacher_weights=weights), (8, 8, 3), 3
    )


# The mistake, its error, and the message, in which an ellipsis stands for
# any text.
MISTAKES = {
    "teacher with a softmax": (
        lambda _: Distiller(dense(), dense("softmax")),
        ValueError,
        "`teacher` must end in logits, … Received: teacher=…softmax",
    ),
    "student with a softmax": (
        lambda _: Distiller(dense("softmax"), dense()),
        ValueError,
        "`student` must end in logits, … Received: student=…softmax",
    ),
    "teacher of other classes": (
        lambda _: Distiller(dense(), other_classes()),
        ValueError,
        "`teacher` must have the student's 3 classes. Received: …with 5",
    ),
    "teacher is student": (
        lambda _: itself(),
        ValueError,
        "`teacher` must be another model … Received: teacher='sequential…'",
    ),
    "no teacher at all": (
        lambda _: Distiller(dense(), []),
        ValueError,
        "`teacher` must hold at least one model. Received: teacher=[]",
    ),
    "teacher by its name": (
        lambda _: Distiller(dense(), "ResNet50D"),
        ValueError,
        "`teacher` must be a Keras model. Received: teacher='ResNet50D' …",
    ),
    "training before set_teacher": (
        lambda _: fitted(),
        ValueError,
        "`teacher` must be given … Received: teacher=None",
    ),
    "loss of labels alone": (
        lambda _: fitted("mse", dense()),
        ValueError,
        "`loss` of a Distiller must be a …LabelSmoothedKD … Received: …mse…",
    ),
    "soft loss alone": (
        lambda _: fitted(KnowledgeDistillation(), dense()),
        ValueError,
        "`loss` of a Distiller must be … (hard_weight=0 … Received: loss=<…",
    ),
    "distilled label K": (
        lambda _: fitted(teacher=dense(), labels=Y + 2),
        ValueError,
        "`y_true` must hold integer labels from 0 to 2. Received: 3",
    ),
    "unknown ensemble": (
        lambda _: Distiller(dense(), dense(), ensemble="mean"),
        ValueError,
        "`ensemble` must be one of … Received: ensemble='mean'",
    ),
    "adapters for other teachers": (
        lambda _: Distiller(dense(), dense(), [None, None]),
        ValueError,
        "`adapt` must be one … of the 1 teachers. Received: 2",
    ),
    "adapter that is none": (
        lambda _: check_teacher(dense(), X, Y, adapt="resize"),
        ValueError,
        "`adapt` must be callable or None. Received: adapt='resize'",
    ),
    "student that augments": (
        lambda _: Distiller(augmenting(), on_images()),
        ValueError,
        "`student` must not augment … Received: …RandomFlip",
    ),
    "unknown layer": (
        lambda _: Distiller(
            dense(), dense(), features=[FeatureMatch("stage4", "stage4")]
        ),
        ValueError,
        "`student_layer` must be the name … Received: student_layer='stage4'",
    ),
    "negative weight of features": (
        lambda _: FeatureMatch("a", "b", weight=-1),
        ValueError,
        "`weight` must be … Received: weight=-1",
    ),
    "images without a size": (
        lambda _: AdaptImages(0),
        ValueError,
        "`image_size` must be … Received: image_size=0",
    ),
    "deviation of zero": (
        lambda _: AdaptImages(teacher_std=0),
        ValueError,
        "`teacher_std` must be … Received: teacher_std=…0…",
    ),
    "hard weight above 1": (
        lambda _: LabelSmoothedKD(hard_weight=1.5),
        ValueError,
        "`hard_weight` must be … Received: hard_weight=1.5",
    ),
    "temperature 0": (
        lambda _: LabelSmoothedKD(temperature=0),
        ValueError,
        "`temperature` must be … Received: temperature=0",
    ),
    "unknown form": (
        lambda _: LabelSmoothedKD(form="mse"),
        ValueError,
        "`form` must be one of … Received: form='mse'",
    ),
    "stored logits of mixed images": (
        lambda path: precompute_logits(on_images(), mixed(), path, verbose=0),
        ValueError,
        "`dataset` must show a sample in one view: … Received: mix_up=…",
    ),
    "store for fewer samples": (
        half_a_store,
        ValueError,
        "`dataset` must have the 2 samples of the store. Received: 4 …",
    ),
    "store of another teacher": (
        store_of_another_teacher,
        ValueError,
        "`path` holds … another teacher, … Received: path=…, teacher=…",
    ),
    "stored logits of other images": (
        other_images,
        ValueError,
        "`dataset` must show … as the teacher saw it, but sample 0 … "
        "Received: path=…",
    ),
    "no store": (
        lambda path: with_teacher_logits((X, Y), path / "nothing"),
        ValueError,
        "`path` must … Received: path=…nothing…",
    ),
    "saved teacher that is not there": (
        lambda path: with_teacher(str(path / "teacher.keras")),
        ValueError,
        "`teacher` must be the path … Received: teacher=…teacher.keras…",
    ),
    "the folder of a run as a teacher": (
        lambda path: with_teacher(str(path)),
        ValueError,
        "`teacher` must be a saved .keras model: of the folder of a run its "
        "last.keras, say. Received: the folder teacher=…",
    ),
    "teacher by name without weights": (
        lambda _: with_teacher("ResNet18D"),
        ValueError,
        "`teacher_weights` must be … Received: teacher_weights=None",
    ),
    "weights without a teacher": (
        lambda _: Recipe(teacher_weights="w.weights.h5"),
        ValueError,
        "`teacher_weights` must be None without a teacher. Received: …",
    ),
    "preset without its teacher": (
        lambda _: Recipe.preset("+distillation"),
        ValueError,
        "`teacher` must be given with … Received: teacher=None",
    ),
}
