"""What can be seen of a TPU where there is none."""

import keras
import numpy as np
import pytest

from keras_tricks.data import Batches
from keras_tricks.distribute import distribute, tpu

from .training import BACKEND

pytestmark = pytest.mark.skipif(
    BACKEND != "tensorflow", reason="TensorFlow's strategy"
)


@pytest.fixture
def fake(monkeypatch):
    """A strategy of one CPU in place of that of a TPU."""
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    asked = []

    def make(name):
        asked.append(name)
        return strategy

    monkeypatch.setattr(tpu, "_strategy", make)
    return asked


def make_batches(size, **kwargs):
    images = np.zeros((size, 4, 4, 1), "uint8")
    return Batches(images, np.arange(size) % 2, 8, mean=0, std=1, **kwargs)


def make_model(distribution, optimizer="sgd"):
    with distribution.scope():
        model = keras.Sequential(
            [
                keras.Input((4, 4, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(2),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss)
    return model


def test_without_a_tpu_the_reason_is_said():
    with pytest.raises(ValueError, match='`spec` "tpu" needs a TPU') as error:
        distribute("tpu:no-such-tpu")
    assert "Received: 'no-such-tpu'" in str(error.value)


def test_names():
    assert tpu.TPU.compiles is False
    assert tpu.TPU.mixes_on_device is False


def test_the_name_is_passed_on(fake):
    assert distribute("tpu").describe().startswith("tpu: 1 cores of local, ")
    distribute("tpu:my:pod", norm="local")
    assert fake == ["local", "my:pod"]


def test_batches_have_static_shapes(fake):
    distribution = distribute("tpu")
    for batches in (
        make_batches(20),
        make_batches(16, drop_remainder=False),
    ):
        dataset = distribution.batches(batches)
        images, labels = dataset.element_spec
        assert images.shape.as_list() == [8, 4, 4, 1]
        assert labels.shape.as_list() == [8]
        assert len(list(dataset)) == 2


def test_whole_batches_are_trained_and_evaluated(fake):
    distribution = distribute("tpu")
    model = distribution.prepare(make_model(distribution))
    history = model.fit(
        distribution.batches(make_batches(20)),
        validation_data=distribution.batches(
            make_batches(16, drop_remainder=False)
        ),
        shuffle=False,
        verbose=0,
    ).history
    assert np.isfinite(history["val_loss"]).all()


def test_refusals(fake):
    distribution = distribute("tpu")
    with pytest.raises(ValueError, match="Received: 4 rows in the last batch"):
        distribution.batches(make_batches(20, drop_remainder=False))
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    model = make_model(distribution, scaled)
    with pytest.raises(ValueError, match="use mixed_bfloat16"):
        distribution.prepare(model)
