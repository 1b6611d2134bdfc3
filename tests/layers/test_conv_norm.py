"""Convolutions, pools and frozen norms against plain torch."""

import keras
import numpy as np
import pytest

from keras_tricks.layers import (
    ConvNorm,
    DropPath,
    FrozenBatchNormalization,
    PaddedPooling2D,
    SeparableBlock,
)

torch = pytest.importorskip("torch", reason="torch is the peer here")
F = torch.nn.functional


def numpy(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))


def prepare(layer, shape, seed=0):
    """Builds a layer, with gammas and statistics that hide no mistake."""
    layer.build(shape)
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        if len(weight.shape) == 1:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return layer


def images(size=(9, 8), channels=4, batch=2, seed=1):
    shape = (batch, *size, channels)
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def first(x):
    """A torch tensor, channels first, of images with channels last."""
    return torch.from_numpy(x.transpose(0, 3, 1, 2).astype("float64"))


def end_padding(size, kernel_size, strides):
    """What TensorFlow's "same" pads: what is needed, the odd one at the end.

    Left, right, top and bottom, as torch takes them.
    """
    widths = []
    for pixels, kernel in zip(size[::-1], kernel_size[::-1], strict=True):
        needed = (-(-pixels // strides) - 1) * strides + kernel - pixels
        widths += [needed // 2, needed - needed // 2]
    return widths


def conv_norm(layer, x):
    """The layer in inference mode, in torch and float64."""
    k = layer.kernel_size
    k = (k, k) if isinstance(k, int) else k
    axes = (2, 3, 0, 1) if layer.depthwise else (3, 2, 0, 1)
    if layer.padding == "end":
        x = F.pad(x, end_padding(x.shape[2:], k, layer.strides))
    y = F.conv2d(
        x,
        torch.from_numpy(
            numpy(layer.conv.kernel).transpose(axes).astype("float64")
        ),
        stride=layer.strides,
        padding=[n // 2 * layer.dilation for n in k]
        if layer.padding == "same"
        else 0,
        dilation=layer.dilation,
        groups=x.shape[1] if layer.depthwise else 1,
    )
    mean, variance, gamma, beta = (
        torch.from_numpy(numpy(v).astype("float64"))
        for v in (
            layer.norm.moving_mean,
            layer.norm.moving_variance,
            layer.norm.gamma,
            layer.norm.beta,
        )
    )
    return F.batch_norm(y, mean, variance, gamma, beta, eps=layer.epsilon)


def check(layer, x, expected):
    actual = numpy(layer(x, training=False))
    assert tuple(actual.shape) == tuple(layer.compute_output_shape(x.shape))
    expected = expected.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(actual, expected, atol=2e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": (1, 7)},
        {"kernel_size": (7, 1)},
        {"kernel_size": (1, 3), "strides": 2},
        {"kernel_size": [3, 1], "padding": "valid"},
        {"padding": "valid", "strides": 2},
        {"padding": "end", "strides": 2},
        {"padding": "end", "kernel_size": 5},
        {"dilation": 2},
        {"dilation": 4, "epsilon": 0.1},
        {"dilation": 2, "padding": "valid"},
        {"kernel_size": 1, "dilation": 2},
        {"depthwise": True},
        {"depthwise": True, "strides": 2},
        {"depthwise": True, "strides": 2, "padding": "end"},
        {"depthwise": True, "dilation": 2},
        {"frozen_norm": True},
    ],
)
def test_conv_norm(options):
    x = images()
    filters = None if options.get("depthwise") else 6
    layer = prepare(ConvNorm(filters, **options), x.shape)
    check(layer, x, conv_norm(layer, first(x)))


@pytest.mark.parametrize(
    ("strides", "padding"), [(1, "same"), (2, "same"), (2, "end")]
)
def test_separable_block(strides, padding):
    x = images()
    layer = prepare(SeparableBlock(6, strides, padding=padding), x.shape)
    paths = [weight.path for weight in layer.weights]
    assert paths[0].endswith("depthwise/conv/kernel")
    assert paths[5].endswith("pointwise/conv/kernel")
    y = torch.relu(conv_norm(layer.depthwise, first(x)))
    check(layer, x, torch.relu(conv_norm(layer.pointwise, y)))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [1, 2])
def test_pools(strides, padding):
    x = images((8, 9)) - 5.0
    pad = int(padding == "same")
    for kind, pool in (("max", F.max_pool2d), ("average", F.avg_pool2d)):
        layer = PaddedPooling2D(kind, strides, padding)
        check(layer, x, pool(first(x), 3, strides, pad))


@pytest.mark.parametrize("training", [True, False])
def test_drop_path(training):
    x = np.ones((2000, 2, 3), "float32")
    layer = DropPath(0.3, seed=1)
    y = numpy(layer(x, training=training))
    if not training:
        np.testing.assert_array_equal(y, x)
        return
    assert (y == y[:, :1, :1]).all()
    values, counts = np.unique(y[:, 0, 0], return_counts=True)
    np.testing.assert_allclose(values, [0, 1 / 0.7], rtol=1e-6)
    assert abs(counts[0] / 2000 - 0.3) < 0.05
    assert (numpy(layer(x, training=True)) != y).any()
    again = DropPath.from_config(layer.get_config())
    np.testing.assert_array_equal(numpy(again(x, training=True)), y)


def test_drop_path_keeps_the_precision_and_nothing_without_a_rate():
    half = keras.ops.ones((4, 2), "float16")
    layer = DropPath(0.5, dtype="mixed_float16")
    assert keras.backend.standardize_dtype(
        layer(half, training=True).dtype
    ) == ("float16")
    x = images()
    np.testing.assert_array_equal(numpy(DropPath(0)(x, training=True)), x)
    assert not DropPath(0).variables


def test_frozen_norm_is_the_same_in_training():
    x = images()
    norm = prepare(FrozenBatchNormalization(), x.shape)
    plain = keras.layers.BatchNormalization()
    plain.build(x.shape)
    plain.set_weights(norm.get_weights())
    before = norm.get_weights()
    y = numpy(norm(x, training=True))
    np.testing.assert_allclose(y, numpy(plain(x, training=False)), 1e-5, 1e-6)
    norm.trainable = True
    assert not norm.trainable_variables
    for old, new in zip(before, norm.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(norm)
    )
    assert type(again) is FrozenBatchNormalization
