"""What a recipe makes of unequal classes, from its fields to a run."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks import Recipe, losses, training
from keras_tricks.data import ArrayRecords, ImageSet, Preprocessing
from keras_tricks.training.class_balance import class_balance

COUNTS = np.array([24, 10, 6])


@pytest.fixture(scope="module")
def unequal(tmp_path_factory):
    """An .npz of three classes of 24, 10 and 6 images, and 4 of none."""
    path = tmp_path_factory.mktemp("data") / "unequal.npz"
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2, -1], [*COUNTS, 4])
    x = rng.integers(0, 256, (len(y), 8, 8, 3)).astype("uint8")
    test = np.array([0, 0, 1, 2, -1, 1])
    arrays = {"x_test": x[:6], "y_test": test}
    np.savez(path, x_train=x, y_train=y, **arrays)
    return path


def recipe_of(unequal, **fields):
    return Recipe(
        **{
            "data_dir": str(unequal),
            "ignore_label": -1,
            "epochs": 2,
            "warmup_epochs": 0,
            "batch_size": 8,
            "data_format": "channels_last",
            **fields,
        }
    )


def test_images_with_the_label_are_left_out(unequal):
    for fields in ({}, {"augmentation": "none", "input_engine": "grain"}):
        data = training.load_data(recipe_of(unequal, **fields))
        assert data.class_counts.tolist() == COUNTS.tolist()
        assert data.train_size == 40
    with pytest.raises(ValueError, match="`y_train`.*Received: labels from -1"):
        training.load_data(recipe_of(unequal, ignore_label=None))
    folder = unequal.parent
    with pytest.raises(ValueError, match="`ignore_label` must be None where"):
        training.load_data(recipe_of(folder))


LOSSES = {
    "plain": ({}, None),
    "balanced": (
        {"class_weights": "balanced"},
        losses.LabelSmoothedCrossentropy(
            0.1, class_weights=losses.balanced_weights(COUNTS)
        ),
    ),
    "effective": (
        {"class_weights": "effective_number", "effective_number_beta": 0.9},
        losses.LabelSmoothedCrossentropy(
            0.1, class_weights=losses.effective_number_weights(COUNTS, 0.9)
        ),
    ),
    "numbers": (
        {"class_weights": [1, 2, 0.5]},
        losses.LabelSmoothedCrossentropy(0.1, class_weights=[1, 2, 0.5]),
    ),
    "adjusted": (
        {"logit_adjustment": 0.5},
        losses.LabelSmoothedCrossentropy(
            0.1, logit_adjustment=0.5, class_priors=COUNTS / 40
        ),
    ),
    "binary": (
        {
            "loss": "binary_crossentropy",
            "target_threshold": 0.2,
            "class_reduction": "sum",
            "class_weights": "balanced",
            "smoothing_convention": "binary",
        },
        losses.LabelSmoothedBinaryCrossentropy(
            0.1,
            "binary",
            0.2,
            "sum",
            class_weights=losses.balanced_weights(COUNTS),
        ),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_a_recipe(name):
    fields, want = LOSSES[name]
    want = want or losses.LabelSmoothedCrossentropy(0.1)
    recipe = Recipe(**fields)
    assert Recipe.from_json(recipe.to_json()) == recipe
    got = training.build_loss(recipe, class_counts=COUNTS)
    assert type(got) is type(want) and got.get_config() == want.get_config()


def test_the_labels_of_a_distillation_are_weighted():
    recipe = Recipe(class_weights="balanced", teacher="t.keras")
    loss = training.build_loss(recipe, True, COUNTS)
    want = losses.balanced_weights(COUNTS).tolist()
    assert loss.balance.class_weights == want


@pytest.mark.parametrize(
    "fields", [{"class_weights": "balanced"}, {"logit_adjustment": 1.0}]
)
def test_counts_that_are_unknown_are_asked_for(fields):
    name = next(iter(fields))
    with pytest.raises(ValueError, match=f"`{name}` must not need the counts"):
        class_balance(Recipe(**fields))


def test_as_many_weights_as_classes():
    layer = keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((4,)), layer])
    recipe = Recipe(class_weights=(1, 2))
    with pytest.raises(ValueError, match="`class_weights` must be as many"):
        training.compile_model(recipe, model, 640)


def test_counts_of_records():
    images = np.zeros((5, 8, 8, 3), "uint8")
    labels = np.array([2, 0, 0, -1, 5])
    records = ArrayRecords(images, labels, tuple("abc"))
    data = ImageSet(records, records, Preprocessing(8))
    assert data.class_counts.tolist() == [2, 0, 1]


def test_a_run_says_what_it_makes_of_the_counts(unequal, tmp_path):
    recipe = recipe_of(
        unequal, class_weights="balanced", loss="binary_crossentropy"
    )
    training.prepare(recipe, tmp_path)
    text = (tmp_path / "explain.txt").read_text()
    assert "binary cross-entropy, mean of the classes with label" in text
    assert "times the weight of the label: N / (K n) of n of N images" in text
    assert "balance   weights of the classes 0.5556, 1.333, 2.222;" in text
    assert "their mean over the training images 1\n" in text
    saved = json.loads((tmp_path / "recipe.json").read_text())
    assert saved["class_weights"] == "balanced"


def test_logits_are_adjusted_and_drawn_images_explained(unequal, tmp_path):
    one = training.prepare(
        recipe_of(unequal, logit_adjustment=1), tmp_path / "a"
    )
    assert "logits plus 1 x log of the share" in one.explanation
    assert "shares of the classes 0.6, 0.25, 0.15" in one.explanation
    two = training.prepare(recipe_of(unequal, sampler="sqrt"), tmp_path / "b")
    assert "sampler   classes by the square roots" in two.explanation
    assert two.train_batches.order.sampler == "sqrt"


class StopWithin(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        if self.seen == 8:  # Of five batches in an epoch.
            raise InterruptedError


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "fields",
    [
        {"class_weights": (1, 2, 0.5), "loss": "binary_crossentropy"},
        {"augmentation": "crop", "image_size": 16},
    ],
    ids=["in memory", "streamed"],
)
def test_a_sampled_run_continues_within_an_epoch(unequal, tmp_path, fields):
    recipe = recipe_of(unequal, sampler="balanced", **fields)
    whole = training.prepare(recipe, tmp_path / "whole")
    whole.fit(verbose=0)
    cut = training.prepare(recipe, tmp_path / "cut", backup_every_steps=1)
    with pytest.raises(InterruptedError):
        cut.fit(verbose=0, extra_callbacks=[StopWithin()])
    again = training.prepare(recipe, tmp_path / "cut", backup_every_steps=1)
    assert (again.epochs_done, again.backup.step) == (1, 3)
    again.fit(verbose=0)
    pairs = zip(again.model.weights, whole.model.weights, strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (a, b)))
    logged = (tmp_path / "cut" / "history.csv").read_text().splitlines()
    assert "val_balanced_accuracy" in logged[0] and len(logged) == 3
    assert (
        logged[2].split(",")[:2]
        == (
            (tmp_path / "whole" / "history.csv").read_text().splitlines()[2]
        ).split(",")[:2]
    )
