"""Networks of keras.applications: ours is the same function."""

import keras
import numpy as np
import pytest

from keras_tricks.models import MobileNet, ResNet, load_weights_from


def numpy(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


def images(size=64, batch=2):
    x = np.random.default_rng(1).normal(size=(batch, size, size, 3))
    return x.astype("float32")


def randomize(model, seed=0):
    """Gives a Keras model weights that hide no mistake."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        name, shape = weight.path.split("/")[-1], weight.shape
        value = rng.uniform(-0.3, 0.3, shape)
        if name in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, shape)
        if name == "kernel":
            fan_in = np.prod(shape[:-1]) if shape[-1] > 1 else 9
            value *= (18 / fan_in) ** 0.5 / 0.3
        weight.assign(value.astype("float32"))


def check_same_predictions(model, theirs, x, ours):
    expected = theirs.predict_on_batch(x)
    actual = model.predict_on_batch(ours)
    scale = np.abs(expected[0] - expected[1]).max()
    assert scale > 0.01 * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, atol=1e-3 * scale)


def test_keras_resnet():
    theirs = keras.applications.ResNet50(
        weights=None,
        input_shape=(64, 64, 3),
        classes=10,
        classifier_activation=None,
    )
    randomize(theirs)
    # A variance that is small beside epsilon, and undone by gamma.
    small = theirs.get_layer("conv4_block6_2_bn")
    small.moving_variance.assign(np.full(small.gamma.shape, 1e-6, "float32"))
    small.gamma.assign(np.full(small.gamma.shape, 1.1e-5**0.5, "float32"))
    model = ResNet(50, "A", num_classes=10, input_shape=(64, 64, 3))
    report = load_weights_from(model, theirs)
    assert (report.layout, report.folded_biases) == ("keras", 53)
    assert report.tensors == len(theirs.weights)
    assert report.preprocessing.channels == "BGR"
    assert report.preprocessing.mean == (103.939, 116.779, 123.68)
    check_same_predictions(model, theirs, images(), images())
    # Epsilon is 1.001e-5 there and 1e-5 here.
    layer = model.get_layer("stage3_block6").convs[1]
    np.testing.assert_allclose(
        numpy(layer.norm.moving_variance), 1e-6 + 1e-8, rtol=1e-6
    )
    bias = numpy(theirs.get_layer("conv4_block6_2_conv").bias)
    mean = numpy(theirs.get_layer("conv4_block6_2_bn").moving_mean)
    np.testing.assert_array_equal(numpy(layer.norm.moving_mean), mean - bias)


def keras_mobilenet():
    theirs = keras.applications.MobileNet(
        alpha=0.25,
        weights=None,
        input_shape=(64, 64, 3),
        classes=10,
        classifier_activation=None,
    )
    randomize(theirs)
    return theirs


def our_mobilenet(padding):
    return MobileNet(
        10,
        activation="relu6",
        width_multiplier=0.25,
        padding=padding,
        input_shape=(64, 64, 3),
    )


def test_keras_mobilenet():
    theirs = keras_mobilenet()
    model = our_mobilenet("end")
    report = load_weights_from(model, theirs)
    assert (report.layout, report.differences) == ("keras", ())
    assert report.tensors == len(theirs.weights) == len(model.weights)
    assert report.preprocessing.std == (127.5, 127.5, 127.5)
    check_same_predictions(model, theirs, images(), images())


def test_keras_mobilenet_pads_at_the_end():
    theirs, model = keras_mobilenet(), our_mobilenet("same")
    with pytest.raises(ValueError, match="padding 'end' for the model's 'same"):
        load_weights_from(model, theirs)
    report = load_weights_from(model, theirs, allow_differences=True)
    assert report.differences == ("padding 'end' for the model's 'same'",)
    # Turned by half a turn, images and kernels, it is the same function.
    for weight in model.weights:
        if len(weight.shape) == 4:
            weight.assign(numpy(weight)[::-1, ::-1])
    check_same_predictions(
        model, theirs, images(), images()[:, ::-1, ::-1].copy()
    )


def test_norms_that_are_folded_into_kernels(tmp_path):
    theirs = keras_mobilenet()
    folded = {w.path: numpy(w).astype("float64") for w in theirs.weights}
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            name = layer.name
            gamma, beta, mean, variance = (
                folded.pop(f"{name}/{part}")
                for part in ("gamma", "beta", "moving_mean", "moving_variance")
            )
            conv = name.removesuffix("_bn")
            scale = gamma / np.sqrt(variance + 1e-3)
            if "_dw_" in name:
                scale = scale[:, None]
            folded[f"{conv}/kernel"] *= scale
            folded[f"{conv}/bias"] = beta - mean * scale.ravel()
    np.savez(tmp_path / "w.npz", **folded)
    model = our_mobilenet("end")
    report = load_weights_from(model, tmp_path / "w.npz")
    assert (report.folded_norms, report.folded_biases) == (27, 0)
    assert "norms without statistics" in str(report)
    check_same_predictions(model, theirs, images(), images())
