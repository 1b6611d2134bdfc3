"""The devices of several processes on JAX."""

import contextlib

import keras
import numpy as np

from keras_tricks.distribute.base import refuse_mixing_on_device
from keras_tricks.distribute.jax import keras_patches
from keras_tricks.distribute.jax.devices import JaxDevices
from keras_tricks.distribute.local_batches import LocalBatches
from keras_tricks.distribute.loopback import loopback_only
from keras_tricks.distribute.processes import Processes

_START_SECONDS = 300
_SILENCE_SECONDS = 30


class JaxProcesses(JaxDevices):
    """`keras.distribution.DataParallel` over the devices of all processes.

    As `JaxDevices`: a computation sees the global batch. Each process reads
    its own rows; of a last batch that does not split evenly each gets all of
    them, and every device computes the whole.

    All processes must do the same, callbacks that touch weights included. One
    that dies is noticed by the others within half a minute.

    Args:
        processes: Those of the environment.
        norm: `"sync"`; there is nothing else on JAX.

    Raises:
        ValueError: If `norm` is `"local"`, or no processes are found.
        RuntimeError: If they do not find each other in five minutes.

    Example:
    >>> JaxProcesses.name
    'jax_multi'
    """

    name = "jax_multi"
    mixes_on_device = False

    def __init__(self, processes: Processes, norm: str = "sync"):
        _connect(processes)
        import jax

        self.num_processes = jax.process_count()
        self.process_index = jax.process_index()
        # A process has rows that follow each other.
        devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
        super().__init__([f"{d.platform}:{d.id}" for d in devices], norm)

    def prepare(self, model: keras.Model) -> keras.Model:
        model = super().prepare(model)
        keras_patches.replicate_predictions(model)
        return model

    def batches(self, x):
        refuse_mixing_on_device(x)
        return _Rows(super().batches(x), self)

    def sum(self, values: np.ndarray) -> np.ndarray:
        from jax.experimental import multihost_utils

        values = np.asarray(values)
        gathered = multihost_utils.process_allgather(values)
        return np.asarray(gathered).sum(0).astype(values.dtype)

    def gather_rows(self, rows: np.ndarray, size: int) -> np.ndarray:
        """Return the rows of all processes, in each; each must call it.

        Args:
            rows: Those of this process, which follow one another.
            size: The most rows that a process can have.
        """
        from jax.experimental import multihost_utils

        padded = np.zeros((size, *rows.shape[1:]), rows.dtype)
        padded[: len(rows)] = rows
        counts, parts = multihost_utils.process_allgather(
            (np.int32(len(rows)), padded)
        )
        parts = zip(np.asarray(counts), np.asarray(parts), strict=True)
        return np.concatenate([part[:count] for count, part in parts])

    def describe(self) -> str:
        return (
            f"{self.name}: {self.num_replicas} devices of "
            f"{self.num_processes} processes, batch norm over all of them"
        )


class _Rows(LocalBatches):
    """The rows of this process, or all where they do not split evenly."""

    def __init__(self, batches, distribution):
        super().__init__(batches, distribution.shard)
        self._distribution = distribution

    def _transform(self, get, step):
        batch = get(step)
        rows = len(keras.tree.flatten(batch)[0])
        if self._cuts:
            if rows == self.batch_size:
                return self._own_rows(batch)
        elif self._is_whole(rows):
            return batch
        else:
            batch = keras.tree.map_structure(self._gather, batch)
        return keras.tree.map_structure(
            lambda x: keras_patches.mark_whole(np.asarray(x)), batch
        )

    def _is_whole(self, rows):
        """Return whether all processes have all of their rows of a batch.

        Bad records can leave one of them too few for any.
        """
        if getattr(self.original, "drop_remainder", False):
            return True
        missing = rows != self.batch_size // self.shard[1]
        return not self._distribution.any(missing)

    def _gather(self, x):
        size = self.batch_size // self.shard[1]
        return self._distribution.gather_rows(np.asarray(x), size)


def _connect(processes: Processes) -> None:
    """Let the processes find each other, once."""
    import jax

    if jax.distributed.is_initialized():
        return
    known = {}
    if processes.coordinator is not None:
        known = {
            "coordinator_address": processes.coordinator,
            "num_processes": processes.count,
            "process_id": processes.index,
        }
    if processes.local:
        # It would listen on all interfaces, and believes who connects.
        known["coordinator_bind_address"] = processes.coordinator
    try:
        # Without arguments JAX asks the cluster: TPU pods, Kubernetes, MPI.
        jax.distributed.initialize(
            **known,
            initialization_timeout=_START_SECONDS,
            heartbeat_timeout_seconds=_SILENCE_SECONDS,
        )
    except ValueError as error:
        raise ValueError(
            '`spec` "jax_multi" needs KERAS_DISTRIBUTION_JOB_ADDRESSES, '
            "..._NUM_PROCESSES and ..._PROCESS_ID, or those of Slurm, in the "
            f"environment ({error}). Received: none of them"
        ) from None
    with contextlib.ExitStack() as stack:
        if processes.local:
            host = str(processes.coordinator).rpartition(":")[0].strip("[]")
            stack.enter_context(loopback_only("JAX"))
            stack.enter_context(_sums_at(host))
        keras_patches.agree_on_seed()  # The first sum opens their ports.


@contextlib.contextmanager
def _sums_at(host):
    """Let the sums between CPUs go through an address of this machine.

    JAX takes that of its name, and has no option for it. Where this changes
    nothing, `loopback_only` warns.
    """
    try:
        from jaxlib import _jax
    except ImportError:  # Of another age.
        _jax = None
    make = getattr(_jax, "make_gloo_tcp_collectives", None)

    def make_at(*args, **options):
        try:
            return make(*args, hostname=host, **options)
        except TypeError:  # Of a JAX that knows no `hostname`.
            return make(*args, **options)

    if make is not None:
        _jax.make_gloo_tcp_collectives = make_at
    try:
        yield
    finally:
        if make is not None:
            _jax.make_gloo_tcp_collectives = make
