"""Batch normalization by the kernels of the backend.

`torch.py` and `tensorflow.py` hold the same three functions: `batch_norm` by
the statistics of the batch, `moments`, which are these statistics, and
`normalize` by given ones. On JAX there are none: XLA makes a kernel of what
core Keras composes.
"""

import importlib

import keras


def find_kernels(x, axis: int):
    """Return the module whose kernels take a tensor, or `None`."""
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "torch"):
        return None
    kernels = importlib.import_module(f"{__name__}.{backend}")
    return kernels if kernels.take(x, axis) else None
