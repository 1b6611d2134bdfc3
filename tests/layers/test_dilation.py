"""Blocks that keep the resolution, against the same ones with strides."""

import keras
import numpy as np
import pytest

from keras_tricks.layers import (
    BasicBlock,
    BottleneckBlock,
    SeparableBlock,
    Shortcut,
)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def images(size, data_format="channels_last"):
    x = np.random.default_rng(1).normal(size=(2, *size, 4)).astype("float32")
    if data_format == "channels_first":
        x = x.transpose(0, 3, 1, 2)
    return x


def pair(make, shape):
    """Two blocks in a row, strided and not, with the same weights."""
    strided, kept = [], []
    kept_shape = shape
    for dilation in (1, 2):
        strided.append(make(strides=2))
        kept.append(make(strides=2, dilation=dilation, keep_resolution=True))
        strided[-1].build(shape)
        kept[-1].build(kept_shape)
        rng = np.random.default_rng(dilation)
        for weight in strided[-1].weights:
            if len(weight.shape) == 1:
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        kept[-1].set_weights(strided[-1].get_weights())
        shape = strided[-1].compute_output_shape(shape)
        kept_shape = kept[-1].compute_output_shape(kept_shape)
    return strided, kept


BLOCKS = [
    pytest.param(
        lambda kind=kind, variant=variant, **options: kind(
            6, variant=variant, **options
        ),
        id=f"{kind.__name__}-{variant}",
    )
    for kind in (BasicBlock, BottleneckBlock, Shortcut)
    for variant in "ABCD"
]


@pytest.mark.parametrize(
    "make",
    [
        *BLOCKS,
        pytest.param(
            lambda **options: SeparableBlock(6, **options), id="SeparableBlock"
        ),
    ],
)
def test_every_second_and_fourth_pixel(make):
    # Halved twice, each size is once odd and once even.
    size = (11, 14)
    x = y = images(size)
    for step, (strided, kept) in enumerate(
        zip(*pair(make, x.shape), strict=True), start=1
    ):
        x, y = strided(x, training=False), kept(y, training=False)
        assert tuple(y.shape[1:3]) == size
        every = 2**step
        actual = numpy(y)[:, ::every, ::every]
        np.testing.assert_allclose(actual, numpy(x), atol=1e-5)


def test_channels_first():
    options = {"strides": 2, "dilation": 2, "keep_resolution": True}
    last = BasicBlock(6, data_format="channels_last", **options)
    first = BasicBlock(6, data_format="channels_first", **options)
    x = images((9, 8))
    expected = numpy(last(x))
    first.build((2, 4, 9, 8))
    first.set_weights(last.get_weights())
    actual = numpy(first(x.transpose(0, 3, 1, 2)))
    assert actual.shape == first.compute_output_shape((2, 4, 9, 8))
    np.testing.assert_allclose(
        actual.transpose(0, 2, 3, 1), expected, atol=1e-5
    )
