"""Stem, shortcut and blocks against loops in NumPy."""

import keras
import numpy as np
import pytest

from keras_tricks.layers import (
    BasicBlock,
    BottleneckBlock,
    ConvNorm,
    DropPath,
    PaddedPooling2D,
    SeparableBlock,
    Shortcut,
    Stem,
)

EPSILON = 1e-5


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor).astype("float64")


def windows(x, size, strides, padding, value, outputs):
    """The windows of images (n, h, w, c): (n, out, out, size, size, c)."""
    pad = ((0, 0), (padding, size), (padding, size), (0, 0))
    x = np.pad(x, pad, constant_values=value)
    rows = [
        [
            x[:, i * strides : i * strides + size, j * strides :][:, :, :size]
            for j in range(outputs[1])
        ]
        for i in range(outputs[0])
    ]
    return np.array(rows).transpose(2, 0, 1, 3, 4, 5)


def conv_norm(layer, x):
    """The layer in inference mode, its activation aside."""
    k, s = layer.kernel_size, layer.strides
    p = k // 2
    outputs = [(n + 2 * p - k) // s + 1 for n in x.shape[1:3]]
    y = np.einsum(
        "nijabc,abcd->nijd",
        windows(x, k, s, p, 0.0, outputs),
        numpy(layer.conv.kernel),
    )
    norm = layer.norm
    y = (y - numpy(norm.moving_mean)) / np.sqrt(
        numpy(norm.moving_variance) + EPSILON
    )
    return y * numpy(norm.gamma) + numpy(norm.beta)


def shortcut(layer, x):
    if layer.pool is not None:
        outputs = [-(-n // 2) for n in x.shape[1:3]]
        view = windows(x, 2, 2, 0, np.nan, outputs)
        x = np.nanmean(view, axis=(3, 4))
    return x if layer.projection is None else conv_norm(layer.projection, x)


def block(layer, x, activation):
    y = x
    for conv in layer.convs[:-1]:
        y = activation(conv_norm(conv, y))
    y = conv_norm(layer.convs[-1], y) + shortcut(layer.shortcut, x)
    return activation(y)


def relu(x):
    return np.maximum(x, 0)


def silu(x):
    return x / (1 + np.exp(-x))


def prepare(layer, x, seed=0):
    """Builds a layer, with gammas and statistics that hide no mistake."""
    layer.build(x.shape)
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        if len(weight.shape) == 1:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return layer


def images(size=(7, 6), channels=8, seed=1):
    shape = (2, *size, channels)
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def check(layer, x, expected):
    actual = numpy(layer(x, training=False))
    assert tuple(actual.shape) == tuple(layer.compute_output_shape(x.shape))
    np.testing.assert_allclose(actual, expected, atol=2e-5)


@pytest.mark.parametrize(
    ("kernel_size", "strides"), [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)]
)
def test_conv_norm(kernel_size, strides):
    x = images()
    layer = prepare(ConvNorm(4, kernel_size, strides), x)
    check(layer, x, conv_norm(layer, x.astype("float64")))
    assert not layer.conv.use_bias
    assert (layer.norm.momentum, layer.norm.epsilon) == (0.9, EPSILON)


@pytest.mark.parametrize("variant", "ABCD")
@pytest.mark.parametrize("size", [(7, 6), (5, 5)])
def test_shortcut(variant, size):
    x = images(size)
    layer = prepare(Shortcut(6, strides=2, variant=variant), x)
    assert (layer.pool is not None) == (variant == "D")
    check(layer, x, shortcut(layer, x.astype("float64")))


def test_shortcut_is_identity_where_it_can():
    x = images()
    layer = prepare(Shortcut(8), x)
    assert not layer.weights
    check(layer, x, x)


@pytest.mark.parametrize("variant", "AD")
@pytest.mark.parametrize("kind", [BasicBlock, BottleneckBlock])
@pytest.mark.parametrize(
    ("name", "activation"), [("relu", relu), ("silu", silu)]
)
def test_block(kind, variant, name, activation):
    x = images()
    layer = prepare(kind(4, 2, variant, activation=name), x)
    check(layer, x, block(layer, x.astype("float64"), activation))


def test_strides_of_the_bottleneck():
    for variant, strides in (("A", [2, 1, 1]), ("B", [1, 2, 1])):
        layer = BottleneckBlock(4, 2, variant)
        assert [conv.strides for conv in layer.convs] == strides


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("kind", [BasicBlock, BottleneckBlock])
def test_zero_gamma_spares_all_but_the_last(kind, zero):
    layer = kind(4, 2, zero_gamma=zero)
    layer.build((None, 7, 7, 8))
    for conv in [*layer.convs, layer.shortcut.projection]:
        last = zero and conv is layer.convs[-1]
        assert (numpy(conv.norm.gamma) == (0 if last else 1)).all()
    assert layer.residual_norm is layer.convs[-1].norm


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("variant", "AD")
def test_stem(variant, small):
    x = images((17, 18), 3)
    # An activation below zero shows that the max pool ignores its padding.
    layer = prepare(
        Stem(variant, 4, activation="hard_tanh", small_images=small), x
    )
    for conv in layer.convs:
        conv.norm.beta.assign(np.full(conv.filters, -3.0))
    expected = x.astype("float64")
    for conv in layer.convs:
        expected = np.clip(conv_norm(conv, expected), -1, 1)
    if not small:
        outputs = [(n - 1) // 2 + 1 for n in expected.shape[1:3]]
        view = windows(expected, 3, 2, 1, -np.inf, outputs)
        expected = view.max(axis=(3, 4))
    assert expected.min() < -0.5
    check(layer, x, expected)


@pytest.mark.parametrize(
    "layer",
    [
        ConvNorm(4, 5, 2, "gelu", zero_gamma=True, name="a"),
        ConvNorm(4, (1, 7), padding="valid", dilation=2, epsilon=1e-3),
        ConvNorm(None, depthwise=True, frozen_norm=True),
        Stem("B", 6, "silu", True, "channels_first", dtype="mixed_bfloat16"),
        Shortcut(4, 2, "C"),
        BasicBlock(4, 2, "A", False, "elu"),
        BottleneckBlock(4, 1, "D", True, None, data_format="channels_last"),
        BasicBlock(4, 2, drop_path=0.1, dilation=2, keep_resolution=True),
        BottleneckBlock(4, 2, frozen_norm=True),
        Shortcut(4, 2, dilation=2, keep_resolution=True, frozen_norm=True),
        Stem(frozen_norm=True),
        SeparableBlock(4, 2, "elu", dilation=2, keep_resolution=True),
        SeparableBlock(4, frozen_norm=True, data_format="channels_first"),
        PaddedPooling2D("average", data_format="channels_first"),
        PaddedPooling2D("max", 2, padding="valid"),
        DropPath(0.2, seed=3),
    ],
)
def test_configuration(layer):
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    assert again.dtype_policy.name == layer.dtype_policy.name
    loaded = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert loaded.get_config() == config


@pytest.mark.parametrize(
    "layer", [ConvNorm(4), Shortcut(4), BasicBlock(4), Stem()]
)
def test_configurations_of_before_are_read(layer):
    since = ("padding", "dilation", "depthwise", "epsilon", "frozen_norm")
    since += ("drop_path", "keep_resolution")
    config = layer.get_config()
    before = {k: v for k, v in config.items() if k not in since}
    assert type(layer).from_config(before).get_config() == config


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConvNorm(4, 2), "`kernel_size` must be odd"),
        (lambda: ConvNorm(4, (3, 2)), "Received: kernel_size=(3, 2)"),
        (lambda: ConvNorm(4, (3, 3, 3)), "`kernel_size` must be an integer or"),
        (lambda: ConvNorm(4, "3"), "`kernel_size` must be an integer of"),
        (lambda: ConvNorm(4, padding=1), "`padding` must be one of 'same', "),
        (lambda: ConvNorm(4, dilation=0), "`dilation` must be an integer of"),
        (lambda: ConvNorm(4, strides=2, dilation=2), "`dilation` must be 1"),
        (lambda: ConvNorm(4, depthwise=True), "`filters` must be None"),
        (lambda: ConvNorm(4, epsilon=-1), "`epsilon` must be a number in"),
        (
            lambda: PaddedPooling2D("min"),
            "`kind` must be one of 'max', 'average'",
        ),
        (lambda: PaddedPooling2D("max", 3), "`strides` must be one of 1, 2"),
        (
            lambda: PaddedPooling2D("max", padding="no"),
            "Received: padding='no'",
        ),
        (lambda: BasicBlock(4, drop_path=1), "`drop_path` must be a number"),
        (lambda: SeparableBlock(4, 3), "`strides` must be one of 1, 2"),
        (lambda: DropPath(-0.1), "`rate` must be a number in [0, 1)"),
        (lambda: DropPath(0.1, seed=-1), "`seed` must be an integer of at"),
        (lambda: ConvNorm(0), "`filters` must be an integer of at least 1"),
        (lambda: ConvNorm(4, 3, 3), "`strides` must be one of 1, 2"),
        (lambda: ConvNorm(4, activation="no"), "Received: activation='no'"),
        (lambda: Stem("D", 5), "`filters` must be even"),
        (lambda: Stem("E"), "`variant` must be one of"),
        (lambda: Shortcut(4, variant=None), "Received: variant=None"),
        (lambda: BasicBlock(4, 0), "Received: strides=0"),
        (lambda: BottleneckBlock(4, data_format="x"), "`data_format` must"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
