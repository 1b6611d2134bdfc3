"""How much memory was in use at most, and what says that it is full."""

import gc
import re
from pathlib import Path

import keras

from keras_tricks._backend.devices import accelerators, has_accelerator


class PeakMemory:
    """Measures the most memory in use since this object was made.

    Of the first accelerator; without one, of the whole process on Linux, with
    the libraries in it. JAX, and a process that may not reset its own
    counter, know the peak since they were started: then it counts only where
    it has grown meanwhile.
    """

    def __init__(self):
        self._before = _reset_and_read()

    def read(self) -> int | None:
        """Return the peak in bytes, or `None` where nothing tells."""
        peak = _read()
        if peak is None or self._before is None:
            return None
        can_reset, before = self._before
        return peak if can_reset or peak > before else None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device has no memory left."""
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return isinstance(error, torch.OutOfMemoryError)
    if backend == "tensorflow":
        import tensorflow as tf

        return isinstance(error, tf.errors.ResourceExhaustedError)
    import jax

    is_xla = isinstance(error, jax.errors.JaxRuntimeError)
    return is_xla and "RESOURCE_EXHAUSTED" in str(error)


def free_memory() -> None:
    """Give back what models that are gone have held."""
    keras.utils.clear_session()
    gc.collect()
    if keras.backend.backend() == "torch" and has_accelerator():
        import torch

        torch.cuda.empty_cache()


def _reset_and_read():
    """Return whether the counter was reset, and what it holds."""
    if has_accelerator():
        backend = keras.backend.backend()
        if backend == "torch":
            import torch

            torch.cuda.reset_peak_memory_stats()
        elif backend == "tensorflow":
            import tensorflow as tf

            tf.config.experimental.reset_memory_stats(accelerators()[0])
        can_reset = backend != "jax"
    else:
        try:
            Path("/proc/self/clear_refs").write_text("5")
            can_reset = True
        except OSError:
            can_reset = False
    peak = _read()
    return None if peak is None else (can_reset, peak)


def _read():
    if not has_accelerator():
        try:
            status = Path("/proc/self/status").read_text()
        except OSError:
            return None
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        return 1024 * int(found[1]) if found else None
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return torch.cuda.max_memory_allocated()
    if backend == "tensorflow":
        import tensorflow as tf

        info = tf.config.experimental.get_memory_info(accelerators()[0])
        return info["peak"]
    import jax

    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get("peak_bytes_in_use")
