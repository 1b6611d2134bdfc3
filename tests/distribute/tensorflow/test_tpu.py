"""What can be seen of a TPU where there is none."""

import keras
import numpy as np
import pytest

from keras_tricks.data import Batches
from keras_tricks.data.pipeline.base import EpochBatches
from keras_tricks.distribute import distribute
from keras_tricks.distribute.tensorflow import tpu

from ..test_trajectories import PAIRS, check_same
from ..training import BACKEND, run_with_devices

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


def make_model(distribution, optimizer="sgd", **kwargs):
    with distribution.scope():
        model = keras.Sequential(
            [
                keras.Input((4, 4, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(2),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, **kwargs)
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
    dataset = distribution.batches(make_batches(20))
    images, labels = dataset.element_spec
    assert images.shape.as_list() == [8, 4, 4, 1]
    assert labels.shape.as_list() == [8]
    assert len(list(dataset)) == 2
    dataset = distribution.batches(make_batches(20, drop_remainder=False))
    (images, labels), real = dataset.element_spec
    assert images.shape.as_list() == [8, 4, 4, 1]
    assert labels.shape.as_list() == real.shape.as_list() == [8]
    assert len(list(dataset)) == 3


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


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
def test_rows_that_fill_up_a_batch_count_nothing(fake, reduction):
    """One replica, with sample weights, against a plain evaluation."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 3)).astype("float32")
    y, weights = rng.integers(0, 2, 20), rng.uniform(1, 2, 20)
    values = x, y, weights.astype("float32")
    # Bad records can shorten others than the last one.
    batches = Slices([0, 8, 11, 19, 20], *values)
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction=reduction
    )

    def make(**kwargs):
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((3,)),
                keras.layers.Dense(2, kernel_regularizer="l2"),
            ]
        )
        model.compile(
            "sgd",
            loss,
            metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy()],
            weighted_metrics=[
                "accuracy",
                keras.metrics.SparseCategoricalCrossentropy(from_logits=True),
            ],
            **kwargs,
        )
        return model

    plain = make()
    distribution = distribute("tpu")
    with distribution.scope():
        model = make(steps_per_execution=3)
    distribution.prepare(model)
    padded = distribution.batches(batches)
    expected, found = (
        each.evaluate(data, verbose=0, return_dict=True)
        for each, data in ((plain, batches), (model, padded))
    )
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(
        model.predict(padded, verbose=0), plain.predict(x, verbose=0), rtol=1e-6
    )
    # Whole batches have no weights of rows.
    whole = distribution.batches(Slices([0, 8, 16], *values))
    again = model.evaluate(whole, verbose=0, return_dict=True)
    expected = plain.evaluate(
        x[:16], y[:16], 8, 0, weights[:16], return_dict=True
    )
    np.testing.assert_allclose(
        list(again.values()), list(expected.values()), rtol=1e-6
    )


class Slices(EpochBatches):
    """Arrays, cut at these rows."""

    batch_size = 8

    def __init__(self, cuts, *arrays):
        super().__init__()
        self.cuts, self.arrays = cuts, arrays

    @property
    def num_batches(self):
        return len(self.cuts) - 1

    def batch(self, epoch, step):
        rows = slice(*self.cuts[step : step + 2])
        return tuple(x[rows] for x in self.arrays)


def test_two_cores_take_the_steps_of_one_device():
    """Of the last batch of 33 rows the second core has none."""
    code = f"""
from keras_tricks.distribute.tensorflow import mirrored, tpu
tpu._strategy = lambda name: mirrored._strategy(("CPU:0", "CPU:1"))
print(json.dumps(train_all(["none", "tpu"], {PAIRS[:1]})))
"""
    (result,) = run_with_devices(code, 2)
    check_same(PAIRS[0], result["none"], result["tpu"])


class Unweighted(keras.metrics.Mean):
    """A metric that takes no weights."""

    def update_state(self, values):
        return super().update_state(values)


class WithStep(keras.Sequential):
    """A model with a step of its own."""

    def __init__(self, layers, metric):
        super().__init__(layers)
        self.metric = metric

    def test_step(self, data):
        self.metric.update_state(self(data[0]))
        return super().test_step(data)


def test_refusals(fake):
    distribution = distribute("tpu")
    padded = distribution.batches(make_batches(20, drop_remainder=False))
    model = distribution.prepare(make_model(distribution))
    with pytest.raises(ValueError, match="whole where shapes are fixed"):
        model.fit(padded, shuffle=False, verbose=0)
    with distribution.scope():
        model = WithStep(
            make_model(distribution).layers, Unweighted(name="own")
        )
        model.compile("sgd", "sparse_categorical_crossentropy")
    distribution.prepare(model)
    with pytest.raises(ValueError, match="Received: metric .own."):
        model.evaluate(padded, verbose=0)
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    model = make_model(distribution, scaled)
    with pytest.raises(ValueError, match="use mixed_bfloat16"):
        distribution.prepare(model)
