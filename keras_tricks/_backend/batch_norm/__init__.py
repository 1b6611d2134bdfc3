"""Batch normalization by the kernels of the backend.

`torch.py` and `tensorflow.py` hold the same three functions: `batch_norm` by
the statistics of the batch, `moments`, which are these statistics, and
`normalize` by given ones. On JAX there are none: XLA makes a kernel of what
core Keras composes.
"""

from types import ModuleType
from typing import Any

import keras

_kernels: ModuleType | None = None
if keras.backend.backend() == "tensorflow":
    from keras_tricks._backend.batch_norm import tensorflow

    _kernels = tensorflow
elif keras.backend.backend() == "torch":
    from keras_tricks._backend.batch_norm import torch

    _kernels = torch


def find_kernels(x, axis: int) -> Any:
    """Return the module whose kernels take a tensor, or `None`."""
    if _kernels is None or not _kernels.take(x, axis):
        return None
    return _kernels
