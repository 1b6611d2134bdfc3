"""A distiller on two devices, in a process that has two."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

BACKEND = keras.backend.backend()
EPOCHS, BATCH = 2, 8


def make_data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 6)).astype("float32")
    return x, rng.integers(0, 4, 32), rng.uniform(0.5, 2, 32).astype("float32")


def make_model(units, seed):
    init = keras.initializers.GlorotUniform(seed)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(
                units, activation="relu", kernel_initializer=init
            ),
            keras.layers.Dense(4, kernel_initializer=init),
        ]
    )


def distil():
    """Trains a student; returns its weights and the history."""
    from keras_tricks.distillation import Distiller
    from keras_tricks.losses import LabelSmoothedKD

    x, y, weights = make_data()
    model = Distiller(make_model(5, 1), make_model(16, 2), check_teacher=False)
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9), LabelSmoothedKD(0.1, 4.0)
    )
    history = model.fit(
        x,
        y,
        sample_weight=weights,
        validation_data=(x[:16], y[:16]),
        batch_size=BATCH,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
    ).history
    result = [ops.convert_to_numpy(v).tolist() for v in model.student.weights]
    result.append(model.predict(x[:16], batch_size=8, verbose=0).tolist())
    return result, history


def two_devices():
    """Prints what `distil` gives on two devices."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        assert strategy.num_replicas_in_sync == 2
        with strategy.scope():
            print(json.dumps(distil()))
    else:
        devices = keras.distribution.list_devices("cpu")
        assert len(devices) == 2
        parallel = keras.distribution.DataParallel(devices=devices)
        keras.distribution.set_distribution(parallel)
        print(json.dumps(distil()))


@pytest.mark.skipif(
    BACKEND == "torch", reason="Keras 3.15 distributes nothing on torch"
)
def test_two_devices_give_what_one_gives():
    # Here, since the process imports this file alone.
    from ..distribute.training import time_limit

    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_distribution
test_distribution.two_devices()
"""
    environment = {
        "KERAS_BACKEND": BACKEND,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=time_limit(300),
    )
    assert run.returncode == 0, run.stderr[-3000:]
    got, history = json.loads(run.stdout.splitlines()[-1])
    want, alone = distil()
    assert sorted(history) == sorted(alone)
    assert {"kl", "teacher_agreement", "val_loss"} <= set(history)
    for name, values in alone.items():
        assert history[name] == pytest.approx(values, rel=1e-5), name
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
