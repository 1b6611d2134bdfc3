"""Small trainings that the tests compare, in processes of several devices."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))
from process_group import free_ports, process_environments  # noqa: E402

PYTHON = [sys.executable, "-W", "error:Your input ran out of data"]
THREADS = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
BACKEND = keras.backend.backend()
STEPS, BATCH, CLASSES = 20, 16, 4
BEGIN = f"""
import sys
if {BACKEND!r} != "tensorflow":
    # `keras.utils.set_random_seed` would import it: 5 s.
    sys.modules["tensorflow"] = None
sys.path.insert(0, {str(Path(__file__).parent)!r})
from training import *
"""


def time_limit(seconds=240):
    """Seconds after which a process is taken to hang.

    Args:
        seconds: What it never needs on a machine that does nothing else.
    """
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    return seconds * max(3.0, 2 * load)


def run_with_devices(code, devices, timeout=None):
    """Runs code in a process with that many CPUs; returns what it prints.

    The code sees this module's names; its last line of output is JSON.
    """
    script = f"""
{BEGIN}
make_devices({devices})
{code}
"""
    run = subprocess.run(
        [*PYTHON, "-c", script],
        env={**os.environ, **environment_of(devices)},
        capture_output=True,
        text=True,
        timeout=timeout or time_limit(),
    )
    assert run.returncode == 0, run.stderr[-4000:]
    return json.loads(run.stdout.splitlines()[-1])


def run_processes(code, devices=1, processes=2, timeout=None):
    """Runs code in processes that find each other; what each one prints.

    As `run_with_devices`, with that many CPUs in each. None outlives the
    time.
    """
    script = f"""
{BEGIN}
make_devices({devices})
{code}
"""
    common = environment_of(devices)
    timeout = timeout or time_limit()
    running = [
        subprocess.Popen(
            [*PYTHON, "-c", script],
            env={**os.environ, **common, **THREADS, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for environment in process_environments(free_ports(processes))
    ]
    try:
        texts = [None] * processes

        def read(index):
            texts[index] = running[index].communicate(timeout=timeout)

        readers = [
            threading.Thread(target=read, args=(i,)) for i in range(processes)
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(timeout)
    finally:
        for process in running:
            process.kill()
    codes = [process.wait() for process in running]
    errors = [text and text[1][-3000:] for text in texts]
    assert codes == [0] * processes, errors
    return [json.loads(text[0].splitlines()[-1]) for text in texts]


def environment_of(devices):
    """Of a process on this backend that has so many CPUs on JAX."""
    flags = os.environ.get("XLA_FLAGS", "")
    count = f"--xla_force_host_platform_device_count={devices}"
    return {"KERAS_BACKEND": BACKEND, "XLA_FLAGS": f"{flags} {count}"}


def make_devices(count):
    if BACKEND == "tensorflow":
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
        if "TF_CONFIG" in os.environ and count > 1:
            use_all_cpus_of_a_worker(count)


def use_all_cpus_of_a_worker(count):
    """Lets a worker take several CPUs, as it takes several GPUs."""
    from tensorflow.python.distribute import collective_all_reduce_strategy

    extended = collective_all_reduce_strategy.CollectiveAllReduceExtended

    def devices(self, cluster_resolver, worker_device):
        names = [f"{worker_device}/device:CPU:{i}" for i in range(count)]
        return tuple(names), "CPU"

    extended._initialize_local_devices = devices


def make_batches(seed=0, size=STEPS * BATCH, mixes=True, **kwargs):
    from keras_tricks.data import Batches
    from keras_tricks.layers import MixUp

    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, size)
    images = (
        rng.integers(0, 200, (size, 8, 8, 3)) + 12 * labels[:, None, None, None]
    )
    return Batches(
        images.astype("uint8"),
        labels,
        BATCH,
        mean=120.0,
        std=60.0,
        mix_up=MixUp(0.4, num_classes=CLASSES) if mixes else None,
        **kwargs,
    )


def make_model(dtype="float32"):
    keras.utils.set_random_seed(3)
    image = x = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", use_bias=False, dtype=dtype)(x)
    x = layers.BatchNormalization(momentum=0.9, dtype=dtype)(x)
    x = layers.Activation("gelu", dtype=dtype)(x)
    x = layers.GlobalAveragePooling2D(dtype=dtype)(x)
    return keras.Model(image, layers.Dense(CLASSES, dtype="float32")(x))


RATES = {
    "SGD": 0.2,
    "AdamW": 0.02,
    "Lamb": 0.05,
    "Lion": 0.005,
    "Muon": 0.05,
    "ScheduleFreeAdamW": 0.02,
}


def make_optimizer(accumulation=1, name="SGD", **kwargs):
    from keras_tricks import optimizers
    from keras_tricks.schedules import CosineDecay, Warmup

    updates = STEPS // accumulation
    rate = RATES[name]
    if name != "ScheduleFreeAdamW":
        rate = Warmup(CosineDecay(rate, updates), updates // 2)
    return getattr(optimizers, name)(
        rate,
        weight_decay=1e-2,
        gradient_accumulation_steps=accumulation if accumulation > 1 else None,
        **kwargs,
    )


def compile_model(model, optimizer, scaled=False, **kwargs):
    from keras_tricks.losses import LabelSmoothedCrossentropy
    from keras_tricks.metrics import Crossentropy, DominantLabelAccuracy

    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, 2.0**10)
    model.compile(
        optimizer,
        LabelSmoothedCrossentropy(0.1),
        metrics=[DominantLabelAccuracy(name="accuracy"), Crossentropy()],
        **kwargs,
    )


class Losses(keras.callbacks.Callback):
    """Keeps what is logged after each step, the mean since the start."""

    def on_train_begin(self, logs=None):
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]))


def train(
    spec,
    dtype="float32",
    accumulation=1,
    norm="sync",
    predicts=False,
    scales=None,
    freezes=None,
    optimizer="SGD",
):
    """Trains; returns the losses, history, weights and what is predicted."""
    from keras_tricks.callbacks import ScheduleFreeAverage
    from keras_tricks.distribute import distribute
    from keras_tricks.surgery import freeze

    if BACKEND == "jax":
        keras.distribution.set_distribution(None)
    distribution = distribute(spec, norm)
    with distribution.scope():
        model = make_model(dtype)
        if freezes is not None:
            freeze(model, freezes)
        compile_model(
            model,
            make_optimizer(accumulation, optimizer, rate_scales=scales),
            scaled=dtype == "mixed_float16",
        )
    distribution.prepare(model)
    losses = Losses()
    average = []
    if optimizer == "ScheduleFreeAdamW":
        average = [ScheduleFreeAverage()]
    history = model.fit(
        distribution.batches(make_batches()),
        shuffle=False,
        verbose=0,
        callbacks=[losses, *average],
    ).history
    result = {
        "losses": losses.losses,
        "history": [values[0] for values in history.values()],
        "weights": np.concatenate(
            [ops.convert_to_numpy(v).ravel() for v in model.weights]
        ).tolist(),
        "updates": int(ops.convert_to_numpy(model.optimizer.iterations)),
    }
    if predicts:
        # The last batch has one row, fewer than there are devices.
        held_out = distribution.batches(
            make_batches(
                1, 33, mixes=False, drop_remainder=False, shuffle=False
            )
        )
        logs = model.evaluate(held_out, verbose=0, return_dict=True)
        result["evaluated"] = list(logs.values())
        result["predicted"] = model.predict(held_out, verbose=0).tolist()
    return result


def train_all(specs, configurations):
    """What `train` gives for each configuration and each of the specs."""
    return [
        {spec: train(spec, **configuration) for spec in specs}
        for configuration in configurations
    ]


def difference(first, second):
    """The norm of the difference over that of the second."""
    first, second = np.asarray(first), np.asarray(second)
    assert first.shape == second.shape
    return np.linalg.norm(first - second) / np.linalg.norm(second)
