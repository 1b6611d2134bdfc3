"""Backups within an epoch, and what Keras' own files leave out."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_tricks.callbacks import (
    Backup,
    ExponentialMovingAverage,
    Preempt,
    Preempted,
    SetEpoch,
)
from keras_tricks.data import Batches, RestOfEpoch
from keras_tricks.layers import DropPath
from keras_tricks.optimizers import SGD
from keras_tricks.schedules import CosineDecay


class Noise(layers.Layer):
    """Core Keras' way to draw numbers in a layer."""

    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(3)

    def call(self, x, training=False):
        if not training:
            return x
        noise = keras.random.normal(ops.shape(x), seed=self.generator)
        return x + 0.1 * noise


def make_model(accumulation=None):
    keras.utils.set_random_seed(1)
    images = keras.Input((4, 4, 1))
    x = layers.Flatten()(images)
    x = Noise()(layers.Dense(8)(x))
    x = layers.Dropout(0.5)(x)  # Without a seed torch has its own numbers.
    x = layers.Dropout(0.2, seed=5)(x)
    x = layers.Add()([x, DropPath(0.5, seed=7)(layers.Dense(8)(x))])
    x = layers.Dense(3)(layers.BatchNormalization()(x))
    model = keras.Model(images, x)
    optimizer = SGD(
        CosineDecay(0.05, 40), 0.9, gradient_accumulation_steps=accumulation
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    return model


def make_batches(shuffle=True):
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (30, 4, 4, 1), "uint8")
    return Batches(images, np.arange(30) % 3, 5, shuffle=shuffle)


class Log(keras.callbacks.Callback):
    """Keeps the logs of each epoch, over several runs."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((epoch, dict(logs)))


class Signal(keras.callbacks.Callback):
    """Says at some batch that the process is to end."""

    def __init__(self, preempt, epoch, batch):
        super().__init__()
        self.preempt, self.at = preempt, (epoch, batch)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            self.preempt.received = "SIGTERM"


def run(folder, log, at=None, every_steps=None, accumulation=None):
    """Trains three epochs, or up to a batch; goes on where it was."""
    model, batches = make_model(accumulation), make_batches()
    average = ExponentialMovingAverage(0.9, apply_at_end=False)
    backup = Backup(folder, average, every_steps=every_steps)
    preempt = Preempt(backup)
    tail = [average, log, backup, preempt]
    if at is not None:
        tail.insert(0, Signal(preempt, *at))
    done = backup.restore(model)
    parts = [(3, batches)]
    if backup.step:
        model.test_on_batch(*batches.batch(0, 0))  # TensorFlow has no metrics.
        parts.insert(0, (done + 1, RestOfEpoch(batches, backup.step)))
    for end, part in parts:
        model.fit(
            part,
            validation_data=make_batches(shuffle=False),
            initial_epoch=done,
            epochs=end,
            shuffle=False,
            verbose=0,
            callbacks=[SetEpoch(part), *tail],
        )
        done = end
    variables = model.variables + model.optimizer.variables
    values = [ops.convert_to_numpy(variable) for variable in variables]
    return values + [*average.get_state().values()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    log = Log()
    return run(tmp_path_factory.mktemp("whole"), log), log.epochs


@pytest.mark.parametrize("at", [(0, 0), (1, 3), (2, 4)])
def test_a_stop_within_an_epoch_loses_nothing(at, whole, tmp_path, capfd):
    log = Log()
    with pytest.raises(Preempted) as stopped:
        run(tmp_path, log, at)
    assert stopped.value.code == 75
    name = f"epoch_{at[0]:05d}_step_{at[1] + 1:07d}"
    assert f"Stopped by SIGTERM, saved {tmp_path / name}. Start the same" in (
        capfd.readouterr().err
    )
    values = run(tmp_path, log)
    for ours, theirs in zip(values, whole[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert log.epochs == whole[1]


def test_a_stop_at_the_last_batch_ends_the_epoch(whole, tmp_path):
    log = Log()
    with pytest.raises(Preempted):
        run(tmp_path, log, (1, 5))
    assert Backup(tmp_path).backups()[0].name == "epoch_00002"
    for ours, theirs in zip(run(tmp_path, log), whole[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert log.epochs == whole[1]


def test_backups_every_few_steps_go_on_across_a_resume(tmp_path):
    saved = []

    class Look(Backup):
        def _save(self, *place):
            saved.append(place)
            return super()._save(*place)

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                raise InterruptedError

    model, batches = make_model(2), make_batches()
    backup = Look(tmp_path, every_steps=2)
    with pytest.raises(InterruptedError):
        model.fit(
            batches,
            verbose=0,
            callbacks=[SetEpoch(batches), backup, Stop()],
            shuffle=False,
        )
    again = make_model(2)
    backup = Look(tmp_path, every_steps=2)
    assert (backup.restore(again), backup.step) == (0, 2)
    again.test_on_batch(*batches[0])
    rest = RestOfEpoch(batches, 2)
    again.fit(
        rest, verbose=0, callbacks=[SetEpoch(rest), backup], shuffle=False
    )
    assert saved == [(0, 2), (0, 4), (1, 0)]


def test_accumulated_gradients_survive_a_stop_between_them(tmp_path):
    log = Log()
    values = run(tmp_path / "whole", log, accumulation=2)
    with pytest.raises(Preempted):
        run(tmp_path / "cut", Log(), (1, 2), accumulation=2)
    again = run(tmp_path / "cut", Log(), accumulation=2)
    for ours, theirs in zip(again, values, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_rest_of_an_epoch_must_not_be_empty():
    with pytest.raises(ValueError, match="`start` must.*6. Received: start=6"):
        RestOfEpoch(make_batches(), 6)
