"""Weights for colors in networks of one channel: the same function of gray."""

import keras
import numpy as np
import pytest

from keras_tricks import Recipe, evaluation, training
from keras_tricks.data import Preprocessing
from keras_tricks.models import (
    InceptionV3,
    ResNet,
    load_weights_from,
    save_weights_as,
)
from keras_tricks.models.weights._units import find_network

IMAGENET = Preprocessing(75)
CAFFE = Preprocessing(
    75, mean=(103.9, 116.8, 123.7), std=(1, 2, 3), channels="BGR"
)
EQUAL = Preprocessing(75, mean=(120,) * 3, std=(50, 60, 70))
GRAY = np.random.default_rng(1).integers(0, 256, (3, 75, 75, 1), "uint8")


def resnet(channels, size=75, variant="D"):
    shape = (size, size, channels)
    options = {"input_shape": shape, "data_format": "channels_last"}
    return ResNet(18, variant, num_classes=5, width=2, **options)


def inception(channels):
    return InceptionV3(
        5,
        width_multiplier=0.05,
        input_shape=(75, 75, channels),
        data_format="channels_last",
    )


def randomized(model, preprocessing=None):
    rng = np.random.default_rng(0)
    for weight in model.weights:
        value = rng.uniform(0.5, 1.5, weight.shape)
        if "kernel" in weight.path:
            value = 0.3 * rng.normal(size=weight.shape)
        weight.assign(value.astype("float32"))
    model.preprocessing = preprocessing
    return model


def outputs(function, preprocessing, x):
    images = preprocessing.normalize(x.astype("float32"))
    y = function(keras.ops.convert_to_tensor(images), training=False)
    return keras.ops.convert_to_numpy(y)


def close(actual, expected):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual / scale, expected / scale, atol=1e-5)


@pytest.mark.parametrize(
    ("build", "known"),
    [(resnet, EQUAL), (inception, IMAGENET), (inception, CAFFE)],
    ids=["equal means", "no padding", "BGR"],
)
def test_the_logits_are_those_of_three_equal_channels(build, known):
    colors = randomized(build(3), known)
    gray = build(1)
    report = load_weights_from(gray, colors)
    own = gray.preprocessing
    assert own == report.preprocessing == known.gray()
    close(
        outputs(gray, own, GRAY),
        outputs(colors, known, np.repeat(GRAY, 3, -1)),
    )
    assert report.summed_channels == 3
    assert report.tensors == len(colors.weights)
    assert "summed 3 channels of the first kernel into one" in str(report)


@pytest.mark.parametrize("bias", [False, True])
def test_where_means_differ_the_padded_border_does(bias, tmp_path):
    colors = randomized(resnet(3, variant="B"))
    path = save_weights_as(colors, tmp_path / "weights.npz")
    if bias:
        values = np.random.default_rng(2).normal(size=2).astype("float32")
        np.savez(path, **{**np.load(path), "conv1.bias": values})
    networks = [resnet(3, variant="B"), resnet(1, variant="B")]
    # Torchvision's weights have the statistics of ImageNet.
    reports = [
        load_weights_from(model, path, layout="torchvision")
        for model in networks
    ]
    assert [report.summed_channels for report in reports] == [0, 3]
    assert networks[0].preprocessing.mean == IMAGENET.mean
    first = [find_network(model).units[0].layer for model in networks]
    expected, found = (
        outputs(layer, model.preprocessing, x)
        for layer, model, x in zip(
            first, networks, (np.repeat(GRAY, 3, -1), GRAY), strict=True
        )
    )
    # A kernel of 7 in steps of 2, of which the outer three see the padding.
    close(found[:, 2:-2, 2:-2], expected[:, 2:-2, 2:-2])
    assert np.abs(found - expected)[:, 0].max() > 1e-3


def test_without_statistics_it_is_the_plain_sum(tmp_path):
    colors = randomized(resnet(3))
    path = save_weights_as(colors, tmp_path / "weights.npz")
    gray = resnet(1)
    report = load_weights_from(gray, path)
    assert report.preprocessing is gray.preprocessing is None
    kernels = (
        keras.ops.convert_to_numpy(find_network(m).units[0].layer.conv.kernel)
        for m in (colors, gray)
    )
    three, one = kernels
    np.testing.assert_allclose(one, three.sum(2, keepdims=True), rtol=1e-5)
    with pytest.raises(ValueError, match="images of 1 channels, and the model"):
        load_weights_from(resnet(3), gray)


def test_a_recipe_and_an_evaluation_see_gray(tmp_path):
    path = tmp_path / "colors.keras"
    randomized(resnet(3, 32), IMAGENET).save(path)
    recipe = Recipe(
        width=2,
        small_images=False,
        weights=str(path),
        zero_gamma=False,
        channels=1,
        augmentation="crop",
        image_size=32,
        data_format="channels_last",
    )
    data = training.load_data(recipe)
    shape = training.input.model_image_shape(recipe, data)
    assert shape == (32, 32, 1)
    model = training.build_model(recipe, shape, 5)
    assert "summed 3 channels" in recipe.explain(model, 640)
    assert "size 32, gray" in recipe.explain(model, 640)
    own = training.input.run_preprocessing(data, model.preprocessing)
    assert own.channels == "L" and own.mean == IMAGENET.gray().mean
    options = {"width": 2, "num_classes": 5, "data_format": "channels_last"}
    classifier = evaluation.load_classifier(
        "ResNet18D", path, model_args=options, channels="L", image_size=32
    )
    assert classifier.model.input_shape == (None, 32, 32, 1)
    assert classifier.preprocessing.mean == IMAGENET.gray().mean
