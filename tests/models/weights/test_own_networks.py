"""Weights of our own networks, and weights in the constructors."""

import keras
import numpy as np
import pytest

from keras_tricks.data import Preprocessing
from keras_tricks.models import (
    InceptionV3,
    MobileNet,
    ResNet,
    ResNet18D,
    load_weights_from,
    save_weights_as,
)

SIZE = {"width": 4, "input_shape": (32, 32, 3)}


def numpy(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


def randomized(model, seed=0):
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(rng.uniform(0.1, 1, weight.shape).astype("float32"))
    return model


def equal(model, other, head=True):
    """Checks that two models have the same weights, or all but the head."""
    pairs = [
        (a, b)
        for a, b in zip(model.weights, other.weights, strict=True)
        if head or not a.path.startswith("logits")
    ]
    assert len(pairs) == len(model.weights) - (0 if head else 2)
    for a, b in pairs:
        np.testing.assert_array_equal(numpy(a), numpy(b), err_msg=a.path)


FAMILIES = {
    "resnet": lambda **options: ResNet(50, "A", 5, **SIZE, **options),
    "small_resnet": lambda **options: ResNet(
        18, num_classes=5, small_images=True, **SIZE, **options
    ),
    "inception_v3": lambda **options: InceptionV3(
        5, width_multiplier=0.1, input_shape=(75, 75, 3), **options
    ),
    "mobilenet": lambda **options: MobileNet(
        5, width_multiplier=0.1, input_shape=(32, 32, 3), **options
    ),
}


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        *(("model", family) for family in FAMILIES),
        (".keras", "mobilenet"),
        (".weights.h5", "mobilenet"),
    ],
)
def test_there_and_back(kind, family, tmp_path):
    model = randomized(FAMILIES[family](activation="silu"))
    model.preprocessing = Preprocessing(32)
    path = tmp_path / f"saved{kind}"
    if kind == ".keras":
        model.save(path)
    elif kind == ".weights.h5":
        model.save_weights(path)
    other = FAMILIES[family](activation="silu")
    report = load_weights_from(other, model if kind == "model" else path)
    assert (report.layout, report.differences) == ("keras_tricks", ())
    assert report.tensors == len(model.weights)
    equal(model, other)
    known = None if kind == ".weights.h5" else Preprocessing(32)
    assert report.preprocessing == other.preprocessing == known


def test_other_functions_are_told_apart(tmp_path):
    path = tmp_path / "saved.keras"
    randomized(ResNet(18, "D", 5, activation="silu", **SIZE)).save(path)
    model = ResNet(18, "D", 5, **SIZE)
    with pytest.raises(ValueError, match="activation 'silu' for the model's"):
        load_weights_from(model, path)
    model = ResNet(18, "D", 5, activation="silu", small_images=True, **SIZE)
    with pytest.raises(ValueError, match="strides '2' for the model's '1'"):
        load_weights_from(model, path)
    report = load_weights_from(model, path, allow_differences=True)
    assert report.differences == ("strides '2' for the model's '1'",)


def test_other_classes(tmp_path):
    source = randomized(ResNet18D(num_classes=5, **SIZE))
    source.save(tmp_path / "saved.keras")
    model = randomized(ResNet18D(num_classes=3, **SIZE), 1)
    with pytest.raises(ValueError, match="`skip_head` must be True for other"):
        load_weights_from(model, tmp_path / "saved.keras")
    load_weights_from(model, tmp_path / "saved.keras", skip_head=True)
    equal(model, source, head=False)


def test_weights_of_another_model_change_nothing(tmp_path):
    path = tmp_path / "saved.weights.h5"
    randomized(ResNet(18, "B", 5, **SIZE)).save_weights(path)
    model = randomized(ResNet(18, "D", 5, **SIZE))
    before = [numpy(weight) for weight in model.weights]
    with pytest.raises(ValueError, match="`source` must be a file that Keras"):
        load_weights_from(model, path)
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, numpy(weight))
    path = path.rename(tmp_path / "renamed.bin")
    with pytest.raises(ValueError, match="its name must end in .weights.h5"):
        load_weights_from(model, path)


@pytest.mark.parametrize("name", ["cut.keras", "cut.weights.h5"])
def test_cut_short(name, tmp_path):
    model = ResNet(18, "D", 5, **SIZE)
    path = tmp_path / name
    model.save(path) if name == "cut.keras" else model.save_weights(path)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(ValueError, match="`source` must be a"):
        load_weights_from(model, path)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_constructors_take_weights(family):
    model = randomized(FAMILIES[family]())
    equal(model, FAMILIES[family](weights=model))


def test_constructors_replace_the_head_on_request(tmp_path):
    source = randomized(ResNet18D(num_classes=5, **SIZE))
    path = save_weights_as(source, tmp_path / "resnet18d.npz")
    with pytest.raises(ValueError, match="5 classes in .*, 3 in the model"):
        ResNet18D(num_classes=3, weights=path, **SIZE)
    model = ResNet18D(num_classes=3, weights=path, skip_head=True, **SIZE)
    equal(model, source, head=False)
    with pytest.raises(ValueError, match="`skip_head` must be False without"):
        ResNet18D(num_classes=3, skip_head=True, **SIZE)


def test_features_need_no_head(tmp_path):
    source = randomized(ResNet18D(num_classes=5, **SIZE))
    path = save_weights_as(source, tmp_path / "resnet18d.npz")
    model = ResNet18D(include_top=False, frozen_norm=True, weights=path, **SIZE)
    for a, b in zip(model.weights, source.weights[:-2], strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))
