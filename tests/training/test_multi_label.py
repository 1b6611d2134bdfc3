"""Runs on images that may be of several classes."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from keras_tricks import Recipe, data, evaluation, training
from keras_tricks.layers import CutMix, MixUp
from keras_tricks.metrics import average_precision
from keras_tricks.report import read_run
from keras_tricks.training.on_device import DeviceFinish

from .small_network import small_network

NAMES = ("red", "green", "blue", "violet")
SEVERAL = {
    "multi_label": True,
    "loss": "binary_crossentropy",
    "smoothing_convention": "binary",
}
COMMON = Recipe(
    batch_size=8, epochs=2, warmup_epochs=0, image_size=16, **SEVERAL
)

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images whose channels are bright where they are of their class."""
    root = tmp_path_factory.mktemp("several")
    rng = np.random.default_rng(0)
    rows = ["file,labels,split"]
    for index in range(40):
        label = rng.random(3) < 0.4
        pixels = rng.integers(0, 90, (20, 24, 3)) + 160 * label
        Image.fromarray(pixels.astype("uint8")).save(root / f"{index}.png")
        names = [name for name, one in zip(NAMES, label, strict=False) if one]
        part = "train" if index < 28 else "val"
        rows.append(f"{index}.png,{'|'.join(names)},{part}")
    (root / "labels.csv").write_text("\n".join(rows))
    (root / "classes.txt").write_text("\n".join(NAMES))
    return root


class Stop(keras.callbacks.Callback):
    """Stops within the second epoch, after a backup."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == 1:
            raise InterruptedError


@pytest.mark.parametrize(
    "changes",
    [
        {"augmentation": "shift_flip", "cutmix_alpha": 1.0},
        {"augmentation": "crop", "finish_on": "device"},
    ],
    ids=["memory", "streams"],
)
def test_a_run_continues_within_an_epoch_bit_for_bit(photos, tmp_path, changes):
    recipe = COMMON.replace(data_dir=str(photos), **changes)
    whole = training.prepare(recipe, tmp_path / "whole")
    result = whole.fit(verbose=0)
    cut = training.prepare(recipe, tmp_path / "cut", backup_every_steps=1)
    with pytest.raises(InterruptedError):
        cut.fit(0, [Stop()])
    again = training.prepare(recipe, tmp_path / "cut")
    assert (again.epochs_done, again.backup.step) == (1, 2)
    assert again.fit(verbose=0)["val_mean_ap"] == result["val_mean_ap"]
    for one, two in zip(again.model.weights, whole.model.weights, strict=True):
        np.testing.assert_array_equal(
            *map(keras.ops.convert_to_numpy, (one, two))
        )
    tables = [
        (tmp_path / x / "average_precision.tsv").read_text().splitlines()
        for x in ("cut", "whole")
    ]
    assert tables[0] == tables[1] and len(tables[0]) == 3
    last = np.array(tables[0][-1].split("\t")[1:], float)
    assert np.isnan(last[3])
    assert np.nanmean(last) == pytest.approx(result["val_mean_ap"], abs=1e-5)
    histories = [read_run(tmp_path / x).history for x in ("cut", "whole")]
    for name in ("loss", "val_loss", "mean_ap", "val_mean_ap"):
        assert histories[0][name] == histories[1][name]


def test_a_run_is_explained_and_evaluated(photos, tmp_path):
    fields = {"data_dir": str(photos), "image_size": 16, "epochs": 2}
    recipe, chosen = training.fit_to_data(fields)
    assert {name: getattr(recipe, name) for name in SEVERAL} == SEVERAL
    assert {choice.field for choice in chosen} >= set(SEVERAL)
    run = training.prepare(recipe, tmp_path)
    labels = data.open_images(data_dir=photos).train.labels
    each = labels.sum() / len(labels)
    for text in (
        f"labels    {each:.3g} classes of a training image on average\n",
        "no training image: 1: violet\n",
        "yes or no to each class",
        "binary cross-entropy, mean of the classes with label smoothing 0.1",
    ):
        assert text in run.explanation
    result = run.fit(verbose=0)
    classifier = evaluation.load_classifier(tmp_path)
    assert classifier.multi_label
    images = evaluation.load_images(classifier)
    found = evaluation.evaluate(classifier, images)
    assert found.empty_classes == [3]
    # The metric of training counts logits of one bin as equal.
    value = found.mean_average_precision
    assert value == pytest.approx(result["val_mean_ap"], abs=0.02)
    assert found.crossentropy == pytest.approx(
        result["val_crossentropy"], rel=1e-3
    )
    x, y = run.data.x_test, run.data.y_test
    logits = run.model.predict(run.validation_batches, verbose=0)
    values = average_precision(y, np.asarray(logits, "float32"))
    assert value == pytest.approx(np.nanmean(values), rel=1e-6)
    assert len(x) == len(found) == 12


@pytest.mark.filterwarnings("ignore:The teacher is no better than chance")
def test_a_teacher_of_several_classes(photos, tmp_path):
    recipe = COMMON.replace(data_dir=str(photos), augmentation="none")
    loaded = training.load_data(recipe)
    teacher = small_network(recipe, loaded.image_shape, 4)
    teacher.save(tmp_path / "teacher.keras")
    recipe = recipe.replace(
        teacher=str(tmp_path / "teacher.keras"),
        distillation="sigmoid",
        temperature=2.0,
        epochs=1,
    )
    run = training.prepare(recipe, tmp_path / "run")
    assert "T^2 x cross-entropy of each class with" in run.explanation
    assert "average precision" in run.explanation
    result = run.fit(verbose=0)
    assert {"kl", "hard_loss"} <= set(read_run(tmp_path / "run").history)
    assert 0 <= result["val_mean_ap"] <= 1


def test_both_mixers_mix_several_labels():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (6, 8, 8, 3), "uint8")
    labels = (rng.random((6, 4)) < 0.5).astype("float32")
    for layer in (MixUp(1.0, "sample"), CutMix(1.0, "sample")):
        batches = data.Batches(
            x, labels, 6, shuffle=False, mix_up=layer, mean=0, std=1
        )
        _, mixed = batches.batch(2, 0)
        sides = (8, 8) if isinstance(layer, CutMix) else ()
        lam, partner, *_ = layer.draw(6, 2, 0, *sides)
        lam = lam.astype("float64")[:, None]
        expected = lam * labels + (1 - lam) * labels[partner]
        np.testing.assert_allclose(mixed, expected, atol=1e-6)
        assert ((mixed > 0) & (mixed < 1)).any()


def test_the_device_mixes_several_labels():
    finish = DeviceFinish(data.Preprocessing(8), num_classes=3)
    labels = np.array([[1, 1, 0], [0, 1, 1]], "float32")
    lam, partner = np.array([0.75, 0.5], "float32"), np.array([1, 0])
    batch = {"images": np.zeros((2, 8, 8, 3), "uint8")}
    batch |= {"lam": lam, "partner": partner}
    _, y = finish((batch, labels))
    expected = [[0.75, 1, 0.25], [0.5, 1, 0.5]]
    assert keras.ops.convert_to_numpy(y).tolist() == expected
    _, y = finish((batch, labels), mixes=False)
    assert np.asarray(y).tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "crossentropy"}, "`loss` must be 'binary_crossentropy' with"),
        ({"class_weights": "balanced"}, "`class_weights` must be None with"),
        ({"class_weights": (1.0, 2.0)}, "`class_weights` must be None with"),
        ({"sampler": "sqrt"}, "`sampler` must be 'none' with multi_label"),
        ({"logit_adjustment": 1.0}, "`logit_adjustment` must be 0 with"),
        ({"teacher": "t.keras"}, "`distillation` must be 'sigmoid' with"),
        ({"distillation": "sigmoid"}, "`distillation` must be 'softmax'"),
    ],
)
def test_what_means_nothing_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        COMMON.replace(**changes)


def test_recipe_and_data_must_agree(photos):
    recipe = Recipe(data_dir=str(photos), image_size=16)
    with pytest.raises(ValueError, match="`multi_label` must be True for"):
        training.load_data(recipe)
    digits = Recipe(**SEVERAL)
    with pytest.raises(ValueError, match="`multi_label` must be False for"):
        training.load_data(digits)


def test_probabilities_are_those_of_a_sigmoid(photos, tmp_path):
    recipe = COMMON.replace(data_dir=str(photos), epochs=1)
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    network = small_network(recipe, (16, 16, 3), 4)
    network.save(tmp_path / "last.keras")
    (tmp_path / "classes.json").write_text(json.dumps(NAMES))
    classifier = evaluation.load_classifier(
        tmp_path, mean=(0, 0, 0), std=(255,) * 3, image_size=16
    )
    images = evaluation.load_images(classifier, photos)
    assert images.multi_label and len(images) == 12
    result = evaluation.evaluate(classifier, images)
    x, chosen = next(iter(images.batches(12)))
    z = np.asarray(
        network.predict_on_batch(classifier.to_layout(x[:, 0])), "float64"
    )
    expected = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(result.probabilities, expected, atol=1e-6)
    assert chosen.tolist() == list(range(12))
