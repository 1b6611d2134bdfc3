import math

import keras
import numpy as np
import pytest

from keras_tricks.callbacks import Throughput, throughput

X = np.ones((20, 3), "float32")
Y = np.zeros((20, 1), "float32")


class Clock:
    """Advances one second at each batch and a hundred in validation."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


class Advance(keras.callbacks.Callback):
    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self.first = True

    def on_train_batch_begin(self, batch, logs=None):
        self.clock.now += 50.0 if self.first else 1.0
        self.first = False

    def on_test_batch_begin(self, batch, logs=None):
        self.clock.now += 100.0


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(throughput, "time", clock)
    return clock


def fit(callbacks, batch_size=4, **kwargs):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", **kwargs)
    return model.fit(
        X,
        Y,
        batch_size=batch_size,
        epochs=2,
        verbose=0,
        validation_data=(X, Y),
        callbacks=callbacks,
    ).history["images_per_second"]


def test_first_step_and_validation_are_left_out(clock):
    speeds = fit([Throughput(4), Advance(clock)])
    # Five steps of one second. The clock stands at the second step's start
    # before that step's second passes, so four steps take four seconds.
    assert speeds == [4 * 4 / 4.0, 5 * 4 / 5.0]


def test_first_step_counted_on_request(clock):
    speeds = fit([Throughput(4, skip_first=False), Advance(clock)])
    assert speeds == [5 * 4 / 54.0, 5 * 4 / 5.0]


def test_an_epoch_of_one_step_has_no_rate_after_compilation(clock):
    speeds = fit([Throughput(20), Advance(clock)], batch_size=20)
    assert math.isnan(speeds[0])
    assert speeds[1] == 20.0


@pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="Keras on torch has no steps_per_execution",
)
def test_several_steps_an_execution(clock):
    speeds = fit([Throughput(4), Advance(clock)], steps_per_execution=2)
    # Executions of 2, 2 and 1 steps.
    assert speeds == [3 * 4 / 2.0, 5 * 4 / 3.0]


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, None])
def test_bad_batch_size(batch_size):
    with pytest.raises(ValueError, match="at least 1. Received: batch"):
        Throughput(batch_size)
