"""Several devices of one process on TensorFlow."""

import functools

import keras
import numpy as np

from keras_tricks.distribute.base import (
    Distribution,
    refuse_mixing_on_device,
)
from keras_tricks.distribute.tensorflow import keras_patches


class Mirrored(Distribution):
    """`tf.distribute.MirroredStrategy`, with what Keras lacks for it.

    Args:
        devices: Names of devices, such as `"GPU:0"`.
        norm: `"sync"` (default) or `"local"`, see
            `keras_tricks.distribute.distribute`.

    Example:
    >>> import keras_tricks
    >>> if keras.backend.backend() == "tensorflow":
    ...     print(Mirrored(["CPU:0"]).describe())
    ... else:
    ...     print("mirrored: 1 devices (CPU:0), batch norm over all of them")
    mirrored: 1 devices (CPU:0), batch norm over all of them
    """

    name = "mirrored"
    mixes_on_device = False
    compiles = False

    def __init__(self, devices: list[str], norm: str = "sync"):
        self.devices = devices
        self._use(_strategy(tuple(devices)), norm)

    def _use(self, strategy, norm):
        self.norm, self.strategy = norm, strategy
        self.num_replicas = strategy.num_replicas_in_sync

    def scope(self):
        return self.strategy.scope()

    def prepare(self, model: keras.Model) -> keras.Model:
        self._check_model(model)
        if self.num_replicas > 1:
            self._prepare_replicas(model)
        return model

    def _prepare_replicas(self, model):
        keras_patches.sum_gradients_first(model.optimizer)
        if "_make_function" in vars(model):  # It was compiled anew.
            return
        keras_patches.draw_apart(model)
        if self.norm == "sync":
            keras_patches.synchronize_batch_norm(model)
        else:
            keras_patches.average_batch_norm(model)
        self._take_incomplete_batches(model)
        keras_patches.build_from_one_part(model, self.strategy)
        keras_patches.run_steps(model, self.strategy)

    def _take_incomplete_batches(self, model):
        keras_patches.skip_empty_parts(model)

    def batches(self, x):
        refuse_mixing_on_device(x)
        return super().batches(x)

    def read_metrics(self, variables: list) -> list[np.ndarray]:
        found = []
        for variable in variables:
            parts = self._parts(variable)
            counts = np.zeros(
                (self.num_replicas, *variable.shape), parts[0].dtype.name
            )
            counts[self._replicas()] = [part.numpy() for part in parts]
            found.append(self.sum(counts))
        return found

    def assign_metrics(self, variables: list, arrays: list) -> None:
        # A sum of sums would round in another way.
        for variable, array in zip(variables, arrays, strict=True):
            if len(array) != self.num_replicas:
                super().assign_metrics([variable], [array])
                continue
            own = array[self._replicas()]
            for part, value in zip(self._parts(variable), own, strict=True):
                part.assign(value)

    def _parts(self, variable):
        """Return the variables of the replicas of this process."""
        return self.strategy.experimental_local_results(variable.value)

    def _replicas(self):
        """Return the numbers of the replicas of this process."""
        first = self.process_index * self._local
        return slice(first, first + self._local)

    @property
    def _local(self):
        """How many replicas this process has."""
        return self.num_replicas // self.num_processes

    def describe(self) -> str:
        return (
            f"{self.name}: {self.num_replicas} devices "
            f"({', '.join(self.devices)}), {self._norm_in_words()}"
        )

    def _norm_in_words(self):
        return {
            "sync": "batch norm over all of them",
            "local": "batch norm on each",
        }[self.norm]

    def _check_model(self, model):
        if not model.compiled:
            raise ValueError(
                "`model` must be compiled before `prepare`. "
                f"Received: model {model.name!r}, not compiled"
            )
        optimizer = model.optimizer
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        owners = {
            "model": model._distribute_strategy,
            "optimizer": inner._distribution_strategy,
        }
        for name, strategy in owners.items():
            if strategy is not self.strategy:
                raise ValueError(
                    f"`{name}` must be made inside `scope()`. "
                    f"Received: one made with {strategy}"
                )
        if model.jit_compile:
            raise ValueError(
                '`jit_compile` must be "auto" or False: XLA cannot compile a '
                "step over several devices of TensorFlow. "
                f"Received: jit_compile={model.jit_compile}"
            )


@functools.cache
def _strategy(devices):
    """Return one strategy for the same devices: two would mix up their sums."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices)
