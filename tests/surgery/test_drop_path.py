import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_tricks.layers import DropPath
from keras_tricks.surgery import add_drop_path

LAST = {"padding": "same", "data_format": "channels_last"}


def residual(blocks=3, own=None):
    """Blocks that add a convolution, with stochastic depth already or not."""
    images = x = keras.Input((4, 4, 2))
    for index in range(blocks):
        y = layers.Conv2D(2, 3, name=f"conv{index}", **LAST)(x)
        if own is not None:
            y = layers.Dropout(own, (None, 1, 1, 1), name=f"drop{index}")(y)
        x = layers.Add(name=f"add{index}")([y, x])
    return keras.Model(images, x, name="residual")


def numbers(x):
    return np.array(ops.convert_to_numpy(x))


@pytest.mark.parametrize("own", [None, 0.5])
def test_rates_grow_from_0(own):
    model, report = add_drop_path(residual(own=own), 0.3)
    rates = [x.rate for x in model.layers if isinstance(x, DropPath)]
    np.testing.assert_allclose(rates, [0, 0.15, 0.3])
    assert not [x for x in model.layers if isinstance(x, layers.Dropout)]
    name = "conv" if own is None else "drop"
    old = "never dropped" if own is None else "dropped"
    assert report.changed[2] == (f"{name}2", old, "dropped at 0.3")
    assert len(report) == 3


def test_a_sample_has_the_branch_or_not():
    old = residual(1)
    model, _ = add_drop_path(old, 0.25)
    x = np.random.default_rng(0).normal(0, 1, (400, 4, 4, 2))
    x = x.astype("float32")
    same = numbers(model(x, training=False))
    np.testing.assert_array_equal(same, numbers(old(x)))
    branch = numbers(model(x, training=True)) - x
    whole = (same - x) / 0.75
    dropped = np.abs(branch).max((1, 2, 3)) < 1e-6
    assert 0.15 < dropped.mean() < 0.35
    np.testing.assert_allclose(branch[~dropped], whole[~dropped], atol=1e-5)


def test_it_trains_and_survives_saving(tmp_path):
    model, _ = add_drop_path(residual(), 0.5)
    model.compile("sgd", "mse")
    x = np.ones((4, 4, 4, 2), "float32")
    model.fit(x, x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numbers(loaded(x)), numbers(model(x)))


def plain():
    return keras.Sequential([keras.Input((4,)), layers.Dense(4)])


def equal():
    images = keras.Input((4,))
    parts = [layers.Dense(4)(images) for _ in range(2)]
    return keras.Model(images, layers.Add(name="sum")(parts))


@pytest.mark.parametrize(
    "make, rate, expected",
    [
        (plain, 0.1, "`model` must have residual branches. .* with none$"),
        (equal, 0.1, "`model` must have .*; sum: it does not add one branch"),
        (residual, 0, "`rate` must be .*Received: rate=0$"),
        (residual, 1, "`rate` must be .*Received: rate=1$"),
        (lambda: layers.Dense(3), 0.1, "`model` must be a functional "),
    ],
)
def test_what_cannot_drop_paths(make, rate, expected):
    with pytest.raises(ValueError, match=f"^{expected}"):
        add_drop_path(make(), rate)
