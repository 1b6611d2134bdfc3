"""Runs whose network is somebody else's: trained, evaluated, a teacher."""

import keras
import numpy as np
import pytest

from keras_tricks import Recipe, evaluation, training
from keras_tricks.data import Preprocessing
from keras_tricks.training.teacher import load_teacher

from .. import networks_of_others

MINE = f"{networks_of_others.__name__}:"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images of three colors, which a network can tell apart."""
    rng = np.random.default_rng(0)
    y = np.arange(24) % 3
    x = rng.integers(0, 60, (24, 16, 16, 3))
    x[np.arange(24), :, :, y] += 150
    path = tmp_path_factory.mktemp("photos") / "images.npz"
    x = x.astype("uint8")
    np.savez(path, x_train=x, y_train=y, x_test=x[:12], y_test=y[:12])
    return str(path)


def recipe_of(photos, **changes):
    fields = {
        "data_dir": photos,
        "batch_size": 8,
        "epochs": 2,
        "warmup_epochs": 0,
        "base_learning_rate": 1.0,
        "augmentation": "none",
        "mixup_alpha": 0.0,
    }
    return Recipe(**{**fields, **changes})


def weights(model):
    return [np.array(keras.ops.convert_to_numpy(w)) for w in model.weights]


@pytest.mark.parametrize(
    "name, mean",
    [
        ("residual", None),
        ("plain", (0, 0, 0)),
        ("normalized", (1, 2, 3)),
        ("subclassed", None),
    ],
)
def test_it_trains_and_is_evaluated_on_the_same_images(
    name, mean, photos, tmp_path
):
    run = training.prepare(recipe_of(photos, model=MINE + name), tmp_path)
    x, _ = run.validation_batches[0]
    images = np.load(photos)["x_test"][:8]
    if mean is None:
        pixels = np.load(photos)["x_train"].astype("float64")
        own = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))
    else:
        own = mean, ((4, 5, 6) if name == "normalized" else (1, 1, 1))
    np.testing.assert_allclose(x, (images - own[0]) / own[1], atol=1e-4)
    before = weights(run.model)
    result = run.fit(verbose=0)
    changed = [
        not np.array_equal(a, b)
        for a, b in zip(before, weights(run.model), strict=True)
    ]
    assert changed.count(True) > len(changed) / 2
    assert f"{MINE}{name}: what " in run.explanation
    classifier = evaluation.load_classifier(tmp_path)
    found = evaluation.evaluate(
        classifier, evaluation.load_images(classifier), verbose=False
    )
    assert found.accuracy(1).value == pytest.approx(result["val_accuracy"])


def test_the_layers_of_a_file_are_trained_on(photos, tmp_path):
    model = networks_of_others.softmax((16, 16, 3), 7)
    model.save(tmp_path / "model.keras")
    own = Preprocessing(mean=(1, 2, 3), std=(4, 5, 6), channels="BGR")
    (tmp_path / "preprocessing.json").write_text(own.to_json())
    recipe = recipe_of(photos, model=str(tmp_path / "model.keras"))
    run = training.prepare(recipe, tmp_path / "run")
    for old, new in zip(weights(model)[:-2], weights(run.model), strict=False):
        np.testing.assert_array_equal(old, new)
    x, _ = run.validation_batches[0]
    images = np.load(photos)["x_test"][:8, ..., ::-1]
    np.testing.assert_allclose(x, (images - [1, 2, 3]) / [4, 5, 6], atol=1e-5)
    assert "head head: 7 softmax -> 3 logits" in run.explanation
    assert run.fit(verbose=0)["epochs"] == 2


def test_an_interrupted_run_continues_bit_for_bit(photos, tmp_path):
    """With stochastic depth and dropout, whose generators are restored."""
    fields = {"model": MINE + "residual", "drop_path": 0.3, "dropout": 0.3}
    recipe = recipe_of(photos, **fields)
    whole = training.prepare(recipe, tmp_path / "whole")
    whole.fit(verbose=0)

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.params["epochs"] == 2 and batch == 1:
                raise KeyboardInterrupt

    first = training.prepare(recipe, tmp_path / "cut", backup_every_steps=1)
    with pytest.raises(KeyboardInterrupt):
        first.fit(verbose=0, extra_callbacks=[Stop()])
    second = training.prepare(recipe, tmp_path / "cut")
    assert (second.epochs_done, second.backup.step) != (0, 0)
    second.fit(verbose=0)
    for a, b in zip(weights(whole.model), weights(second.model), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore:The teacher is no better than chance")
@pytest.mark.parametrize("name", ["normalized", "softmax"])
def test_a_function_is_a_teacher(name, photos, tmp_path):
    recipe = recipe_of(
        photos, model=MINE + "residual", epochs=1, teacher=MINE + name
    )
    run = training.prepare(recipe, tmp_path)
    assert "teacher   mine: " in run.explanation
    assert run.fit(verbose=0)["epochs"] == 1


def test_a_teacher_must_be_trained(photos, tmp_path):
    recipe = recipe_of(photos, teacher=MINE + "other_classes")
    with pytest.raises(ValueError, match="^`teacher` must be trained for the"):
        load_teacher(recipe, (16, 16, 3), 3)
    recipe = recipe_of(photos, teacher="applications/VGG16")
    with pytest.raises(ValueError, match="^`teacher_weights` must be .*VGG16"):
        load_teacher(recipe, (32, 32, 3), 3)


def test_a_function_is_evaluated(photos, tmp_path):
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    classifier = evaluation.load_classifier(
        MINE + "normalized", classes=tmp_path / "names.txt", image_size=16
    )
    assert classifier.preprocessing.mean == (1, 2, 3)
    assert classifier.preprocessing.image_size == 16
    assert classifier.num_classes == 3
    with pytest.raises(ValueError, match="^`classes` must be given, "):
        evaluation.load_classifier(MINE + "normalized")


def test_an_application_is_evaluated(monkeypatch, numpy_kernels):
    """Keras' own weights, in whose place are random ones here."""
    build = keras.applications.MobileNetV3Small

    def without_download(weights, **options):
        assert weights == "imagenet"
        return build(weights=None, **options)

    without_download.__module__ = build.__module__
    name = "MobileNetV3Small"
    monkeypatch.setattr(keras.applications, name, without_download)
    classifier = evaluation.load_classifier(f"applications/{name}", "imagenet")
    assert classifier.num_classes == 1000
    assert not classifier.gives_probabilities
    own = classifier.preprocessing
    assert (own.image_size, own.mean, own.std) == (224, (0,) * 3, (1,) * 3)
    with pytest.raises(ValueError, match="^`model_args` must be None unless"):
        evaluation.load_classifier(
            f"applications/{name}", "imagenet", model_args={"width": 2}
        )
