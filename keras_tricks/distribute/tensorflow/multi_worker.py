"""The devices of several processes on TensorFlow."""

import contextlib
import functools
import json
import os

import keras
import numpy as np

from keras_tricks.distribute.base import refuse_mixing_on_device
from keras_tricks.distribute.local_batches import LocalBatches
from keras_tricks.distribute.loopback import loopback_only
from keras_tricks.distribute.processes import Processes
from keras_tricks.distribute.tensorflow import keras_patches
from keras_tricks.distribute.tensorflow.datasets import distribute_parts
from keras_tricks.distribute.tensorflow.mirrored import Mirrored


class MultiWorker(Mirrored):
    """`tf.distribute.MultiWorkerMirroredStrategy`, with what Keras lacks.

    As `Mirrored`, over the devices of all processes. Sums go over gRPC in a
    ring between CPUs, and over NCCL between GPUs. Each process reads its own
    rows. It must be made before TensorFlow computes anything.

    Args:
        processes: Those of the environment.
        norm: `"sync"` (default) or `"local"`, see
            `keras_tricks.distribute.distribute`.

    Raises:
        ValueError: If the environment names no processes.
        RuntimeError: If TensorFlow has begun before.

    Example:
    >>> MultiWorker.name
    'multi_worker'
    """

    name = "multi_worker"

    def __init__(self, processes: Processes, norm: str = "sync"):
        if processes.count == 1:
            raise ValueError(
                '`spec` "multi_worker" needs TF_CONFIG, as recipes/launch.py '
                "sets it, or the variables of Slurm, in the environment. "
                "Received: one process"
            )
        self.num_processes = processes.count
        self.process_index = processes.index
        self._use(_strategy(processes), norm)

    def prepare(self, model: keras.Model) -> keras.Model:
        keras_patches.predict_in_order(model, self.strategy)
        return super().prepare(model)

    def batches(self, x):
        refuse_mixing_on_device(x)
        local = LocalBatches(x, self.shard)
        self.check_batch_size(local.batch_size)
        return distribute_parts(self.strategy, local, self._local)

    def sum(self, values: np.ndarray) -> np.ndarray:
        values = np.asarray(values)

        def of_replica(context):
            first = context.replica_id_in_sync_group % self._local == 0
            return values if first else np.zeros_like(values)

        distribute = self.strategy.experimental_distribute_values_from_function
        total = self.strategy.reduce("SUM", distribute(of_replica), axis=None)
        return total.numpy()

    def describe(self) -> str:
        return (
            f"{self.name}: {self.num_replicas} devices of "
            f"{self.num_processes} processes, {self._norm_in_words()}"
        )


@functools.cache
def _strategy(processes: Processes):
    """Return one strategy for a process: TensorFlow begins but once."""
    import tensorflow as tf

    if "TF_CONFIG" not in os.environ:  # Slurm.
        task = {"type": "worker", "index": processes.index}
        cluster = {"worker": processes.addresses}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
    fence = contextlib.nullcontext()
    if processes.local:
        fence = loopback_only("TensorFlow")
    kind = "AUTO" if tf.config.list_physical_devices("GPU") else "RING"
    experimental = tf.distribute.experimental
    with fence:
        return tf.distribute.MultiWorkerMirroredStrategy(
            communication_options=experimental.CommunicationOptions(
                implementation=experimental.CommunicationImplementation[kind]
            )
        )
