"""Several devices of one process on JAX."""

import keras

from keras_tricks.distribute.base import Distribution
from keras_tricks.distribute.jax import keras_patches


class JaxDevices(Distribution):
    """`keras.distribution.DataParallel` over the devices of this process.

    A computation sees the global batch: batch norm, clipping, dropout and
    losses are those of one device. A batch that does not split evenly, such
    as the last one of an evaluation, is computed whole on every device.

    The distribution is set for the whole process, as Keras wants it.

    Args:
        devices: Names of devices, as `keras.distribution.list_devices` does.
        norm: `"sync"`; there is nothing else on JAX.

    Raises:
        ValueError: If `norm` is `"local"`.

    Example:
    >>> JaxDevices(["cpu:0"], "local")
    Traceback (most recent call last):
    ValueError: `norm` must be "sync" on JAX, where batch norm always sees \
the whole batch. Received: norm='local'
    """

    name = "jax"

    def __init__(self, devices: list[str], norm: str = "sync"):
        if norm != "sync":
            raise ValueError(
                '`norm` must be "sync" on JAX, where batch norm always sees '
                f"the whole batch. Received: norm={norm!r}"
            )
        self.devices = devices
        self.num_replicas = len(devices)
        self._parallel = keras.distribution.DataParallel(
            devices=devices,
            auto_shard_dataset=False,  # `batches` gives parts already.
        )
        keras_patches.replicate_uneven_batches()
        keras.distribution.set_distribution(self._parallel)

    def scope(self):
        return self._parallel.scope()

    def prepare(self, model: keras.Model) -> keras.Model:
        current = keras.distribution.distribution()
        if current is not self._parallel:
            raise ValueError(
                "`model` must train with the distribution that was made "
                f"last. Received: {current} is set in Keras"
            )
        return model

    def describe(self) -> str:
        return (
            f"{self.name}: {self.num_replicas} devices "
            f"({', '.join(self.devices)}), batch norm over all of them"
        )
