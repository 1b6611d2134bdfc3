"""One tiny run on all backends, and in every precision on this one."""

import functools
import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_tricks.data import Batches
from keras_tricks.layers import MixUp
from keras_tricks.losses import LabelSmoothedCrossentropy
from keras_tricks.models import ResNet
from keras_tricks.optimizers import SGD
from keras_tricks.schedules import CosineDecay, Warmup

STEPS = 20


@functools.cache
def loss_curve(dtype="float32", activation="relu"):
    """Losses of 20 steps that depend on no generator of the backend."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 80)
    images = rng.integers(0, 256, (80, 16, 16, 3), "uint8") // 2
    images += (labels * 25).astype("uint8")[:, None, None, None]
    batches = Batches(images, labels, 16, mix_up=MixUp(num_classes=5))
    model = ResNet(
        18,
        num_classes=5,
        width=8,
        small_images=True,
        input_shape=(16, 16, 3),
        dtype=dtype,
        activation=activation,
    )
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            fan = np.prod(variable.shape[:-1])
            kernel = rng.normal(0, fan**-0.5, variable.shape)
            variable.assign(kernel.astype("float32"))
    schedule = Warmup(CosineDecay(0.05, STEPS - 4), 4)
    model.compile(
        SGD(schedule),
        LabelSmoothedCrossentropy(),
        # Without, JAX compiles each operation: six times as long.
        jit_compile=keras.backend.backend() == "jax",
    )
    return [
        float(model.train_on_batch(*batches.batch(epoch, step)))
        for epoch in range(4)
        for step in range(5)
    ]


def comparable_curves():
    """Two curves that rounding alone cannot tell apart.

    A ReLU whose input is within rounding of zero may open on one backend
    and not on the other, and 20 steps amplify that to between 1e-4 and
    1e-1. Float32 is thus compared with a smooth activation, and ReLU in
    float64.
    """
    return {
        "softplus, float32": loss_curve("float32", "softplus"),
        "relu, float64": loss_curve("float64", "relu"),
    }


def on_backend(backend):
    script = f"""
import json, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
import test_backends
print(json.dumps(test_backends.comparable_curves()))
"""
    environment = {"KERAS_BACKEND": backend, "JAX_ENABLE_X64": "1"}
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="one comparison for all backends, in TensorFlow's suite",
)
def test_the_loss_curve_is_the_same_on_all_backends():
    others = ["jax", "torch"]
    missing = [name for name in others if not importlib.util.find_spec(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    ours = comparable_curves()
    for other in others:
        theirs = on_backend(other)
        for name, curve in ours.items():
            assert curve[-1] < curve[0]
            np.testing.assert_allclose(
                theirs[name], curve, rtol=1e-4, err_msg=f"{other}, {name}"
            )


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_low_precision_trains(dtype):
    losses = loss_curve(dtype)
    assert np.isfinite(losses).all()
    np.testing.assert_allclose(losses[:5], loss_curve()[:5], rtol=0.05)
    assert np.mean(losses[-3:]) < losses[0]
