"""One entry point to all ways of training on several devices."""

import importlib
import os

import keras

from keras_tricks import _backend, _signals
from keras_tricks._checks import check_choice
from keras_tricks._keras_version import check_keras_version
from keras_tricks.distribute.base import Distribution
from keras_tricks.distribute.processes import find_processes
from keras_tricks.distribute.select import choose_engine

_ENGINES = {
    "mirrored": ("tensorflow.mirrored", "Mirrored"),
    "multi_worker": ("tensorflow.multi_worker", "MultiWorker"),
    "tpu": ("tensorflow.tpu", "TPU"),
    "jax": ("jax.devices", "JaxDevices"),
    "jax_multi": ("jax.processes", "JaxProcesses"),
    "torch_ddp": ("torch.processes", "TorchProcesses"),
}
"""Module and class of each: that of another backend is not imported."""


def distribute(spec: str = "auto", norm: str = "sync") -> Distribution:
    """Return where and how models of this process train.

    With the same global batch, several devices take the same steps as one
    device does, up to rounding: batch b is split in equal parts, the
    gradients are averaged, and only then checked, clipped and applied.
    Dropout draws other masks on each device.

    Args:
        spec: `"none"`: one device. `"mirrored"`: all devices of this
            process, TensorFlow; `"mirrored:2"`: the first two. `"jax"`,
            `"jax:2"`: the same for JAX. `"multi_worker"`, `"jax_multi"`,
            `"torch_ddp"`: several processes of TensorFlow, JAX and PyTorch,
            which the environment names: `TF_CONFIG`;
            `KERAS_DISTRIBUTION_*`; `WORLD_SIZE`, `RANK` and `MASTER_ADDR`;
            or Slurm's variables. `"tpu"`,
            `"tpu:NAME"`: TensorFlow on a TPU. `"auto"` (default): those
            processes if there are any, otherwise all accelerators of this
            one.
        norm: Batch norm with several devices: `"sync"` (default) takes the
            statistics of the global batch, as one device would; `"local"`
            those of the part of each device, and averages the moving ones:
            faster, and not on JAX.

    Returns:
        A `keras_tricks.distribute.Distribution`.

    Raises:
        ValueError: If the backend does not have the engine, there are not
            as many devices or no such processes, or `norm` does not fit.
        RuntimeError: If processes do not find each other, or, but for
            `"none"`, if Keras is older than 3.13; a version newer than those
            that were checked is warned of.

    Example:
    >>> distribution = distribute("none")
    >>> with distribution.scope():
    ...     model = keras.Sequential([keras.Input((2,)),
    ...         keras.layers.Dense(1)])
    ...     model.compile("sgd", "mse")
    >>> model = distribution.prepare(model)

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 3.1: the
          batch of the paper is that of eight GPUs
    """
    check_choice("norm", norm, ("sync", "local"))
    backend = keras.backend.backend()
    processes = find_processes(backend, os.environ)
    # Processes must meet before one looks at its devices.
    looks = spec == "auto" and processes.count == 1
    count = len(_backend.accelerators()) if looks else 0
    engine = choose_engine(spec, backend, processes.count, count)
    if engine.name == "none":
        return Distribution()
    check_keras_version()
    module, name = _ENGINES[engine.name]
    module = importlib.import_module(f"keras_tricks.distribute.{module}")
    if engine.name == "tpu":
        where = engine.tpu or "local"
    elif engine.name in ("mirrored", "jax"):
        where = _devices(spec, engine.devices)
    else:
        where = processes
    distribution = getattr(module, name)(where, norm)
    _signals.keep_handlers()
    return distribution


def _devices(spec, count):
    """Return the devices to train on: accelerators or else CPUs."""
    devices = _backend.accelerators() or _backend.cpus()
    if count is not None and count > len(devices):
        raise ValueError(
            f"`spec` must not ask for more devices than there are, "
            f"{len(devices)}. Received: spec={spec!r}"
        )
    return devices[:count]
