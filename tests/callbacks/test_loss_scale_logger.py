import warnings

import keras
import numpy as np
import pytest

from keras_tricks.callbacks import LossScaleLogger

# So small that the scaled gradients do not overflow.
X = np.full((8, 3), 1e-3, "float32")
Y = np.zeros((8, 1), "float32")


def fit(policy, optimizer="sgd", **kwargs):
    keras.config.set_dtype_policy(policy)
    try:
        model = keras.Sequential(
            [
                keras.Input((3,)),
                keras.layers.Dense(2),
                keras.layers.Dense(1, dtype="float32"),
            ]
        )
        model.compile(optimizer, "mse", **kwargs)
    finally:
        keras.config.set_dtype_policy("float32")
    return model.fit(
        X, Y, batch_size=2, epochs=2, verbose=0, callbacks=[LossScaleLogger()]
    ).history


def test_scale_doubles():
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.01), initial_scale=8.0, dynamic_growth_steps=4
    )
    history = fit("float32", optimizer)
    assert history["loss_scale"] == [16.0, 32.0]


def test_automatic_scale_of_mixed_float16():
    assert fit("mixed_float16")["loss_scale"] == [32768.0, 32768.0]


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_nothing_without_a_scale(policy):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "loss_scale" not in fit(policy)


def test_float16_without_a_scale_warns_once():
    with pytest.warns(UserWarning, match="without loss scaling") as caught:
        history = fit("mixed_float16", auto_scale_loss=False)
    assert [w.category for w in caught].count(UserWarning) == 1
    assert "loss_scale" not in history


def test_a_float16_layer_in_a_float32_model_warns_too():
    layer = keras.layers.Dense(1, dtype="mixed_float16")
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="without loss scaling"):
        model.fit(X, Y, verbose=0, callbacks=[LossScaleLogger()])
