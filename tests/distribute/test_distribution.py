"""The object itself, on one device and on several of JAX."""

import keras
import numpy as np
import pytest

from keras_tricks.distribute import Distribution, distribute

from .several import Foreign
from .training import BACKEND, make_batches, run_with_devices


def test_one_device_changes_nothing():
    distribution = distribute("none")
    assert type(distribution) is Distribution
    with distribution.scope():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    before = dict(vars(model))
    assert distribution.prepare(model) is model
    assert vars(model) == before
    batches = make_batches()
    assert distribution.batches(batches) is batches
    assert distribution.is_chief
    assert distribution.num_processes == distribution.num_replicas == 1
    assert distribution.process_index == 0


def test_one_device_takes_what_has_a_batch_and_a_length():
    x = np.arange(6, dtype="float32")[:, None]
    batches = distribute("none").batches(Foreign(x, 2 * x, 2))
    assert len(batches) == 3
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(batches, verbose=0)
    assert int(model.optimizer.iterations) == 3


@pytest.mark.parametrize(
    ("replicas", "batch_size", "steps", "fits"),
    [
        (1, 7, 1, True),
        (2, 7, 1, False),
        (2, 8, 4, True),
        (4, 8, 4, False),
        (4, 64, 4, True),
    ],
)
def test_the_batch_of_an_update_splits_evenly(
    replicas, batch_size, steps, fits
):
    distribution = Distribution()
    distribution.num_replicas = replicas
    if fits:
        distribution.check_batch_size(batch_size, steps)
        return
    message = (
        f"`batch_size` must be a multiple of {replicas * steps}, {steps} "
        f"accumulated batches on {replicas} devices. "
        f"Received: batch_size={batch_size}"
    )
    with pytest.raises(ValueError, match=message):
        distribution.check_batch_size(batch_size, steps)


def test_the_first_argument_that_is_wrong_is_named():
    with pytest.raises(ValueError, match="`norm` must be one of"):
        distribute("none", norm="global")
    with pytest.raises(ValueError, match="`spec` must be"):
        distribute("all")


@pytest.mark.skipif(BACKEND != "jax", reason="JAX's own")
def test_devices_of_jax():
    code = """
from keras_tricks.distribute import distribute

def error(function):
    try:
        return function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def plain():
    parallel = keras.distribution.DataParallel()
    keras.distribution.set_distribution(parallel)
    model = make_model()
    compile_model(model, make_optimizer())
    rows = np.zeros((5, 8, 8, 3), "float32")
    return error(lambda: len(model.predict(rows, batch_size=4, verbose=0)))

stock = plain()
distribution = distribute("jax")
ours = plain()
model = make_model()
late = error(lambda: distribution.prepare(model))
print(json.dumps([
    stock, ours, late, distribution.describe(), distribution.num_replicas,
    error(lambda: distribute("jax:3")),
    error(lambda: distribute("jax", norm="local")),
    distribute("auto").name,
]))
"""
    stock, ours, late, text, count, many, local, auto = run_with_devices(
        code, 2
    )
    assert stock.startswith("IndivisibleError")
    assert ours == 5
    assert late.startswith("ValueError: `model` must train with the distri")
    assert text == "jax: 2 devices (cpu:0, cpu:1), batch norm over all of them"
    assert count == 2
    assert many.startswith("ValueError: `spec` must not ask for more devices")
    assert local.startswith('ValueError: `norm` must be "sync" on JAX')
    assert auto == "none"  # CPUs are not taken without being asked for.
