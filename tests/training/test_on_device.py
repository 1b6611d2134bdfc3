"""Normalization and mixup inside the training step."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks.data import Preprocessing
from keras_tricks.layers import MixUp
from keras_tricks.training import DeviceFinish, finish_on_device

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 8, 10, 3)).astype("uint8")
LABELS = np.array([0, 1, 2, 2, 1, 0], "int32")
MIX_UP = MixUp(0.4, per="sample", num_classes=3, seed=2)


def batch(images=IMAGES, mixes=True):
    lam, partner = np.ones(len(images), "float32"), np.arange(len(images))
    if mixes:
        lam, partner = MIX_UP.draw(len(images), epoch=1, step=3)
    draw = {"lam": lam, "partner": partner.astype("int32")}
    return {"images": images, **draw}, LABELS


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_it_computes_what_the_host_computes(data_format, channels, dtype):
    own = Preprocessing(8, channels=channels, mean=(1, 20, 300))
    finish = DeviceFinish(own, 3, data_format)
    x, y = map(ops.convert_to_numpy, finish(batch(IMAGES.astype(dtype))))
    images = own.normalize(IMAGES.astype(dtype))
    if data_format == "channels_first":
        images = images.transpose(0, 3, 1, 2)
    u, v = MIX_UP(images, LABELS, epoch=1, step=3)
    np.testing.assert_allclose(x, u, atol=2e-5)
    np.testing.assert_allclose(y, v, atol=1e-6)
    assert not np.allclose(x, images, atol=0.1)


def test_without_mixing_labels_stay():
    for finish, options in (
        (DeviceFinish(Preprocessing(8), None), {}),
        (DeviceFinish(Preprocessing(8), 3), {"mixes": False}),
    ):
        x, y = finish(batch(), **options)
        np.testing.assert_array_equal(ops.convert_to_numpy(y), LABELS)
        expected = Preprocessing(8).normalize(IMAGES)
        np.testing.assert_allclose(ops.convert_to_numpy(x), expected, atol=1e-5)


def linear():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 10, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    model.compile(
        keras.optimizers.SGD(1e-3),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["mse"],
    )
    return model


def test_the_steps_of_fit_finish_their_batches():
    own = Preprocessing(8)
    x, y = MIX_UP(own.normalize(IMAGES), LABELS, epoch=1, step=3)
    expected, model = linear(), linear()
    one = expected.fit(x, y, batch_size=6, epochs=3, shuffle=False, verbose=0)
    finish_on_device(model, DeviceFinish(own, 3), batch())
    inputs, labels = batch()
    two = model.fit(
        inputs, labels, batch_size=6, epochs=3, shuffle=False, verbose=0
    )
    for name in ("loss", "mse"):
        np.testing.assert_allclose(
            one.history[name], two.history[name], rtol=1e-4
        )
    np.testing.assert_allclose(
        model.predict(own.normalize(IMAGES), verbose=0),
        expected.predict(own.normalize(IMAGES), verbose=0),
        atol=1e-3,
    )


def test_sample_weights_are_refused():
    model = linear()
    finish_on_device(model, DeviceFinish(Preprocessing(8), 3), batch())
    inputs, labels = batch()
    with pytest.raises(ValueError, match="`sample_weight` must be None"):
        model.fit(inputs, labels, sample_weight=np.ones(6), verbose=0)
