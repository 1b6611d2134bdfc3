"""The first batch of whatever `fit` takes."""

import itertools
import types

import keras
import numpy as np

from keras_tricks import _backend

_SAMPLES = 256


def first_batch(x, y=None, sample_weight=None, batch_size=None):
    """Look at the first batch of data for `fit`, without using it up.

    Args:
        x: Arrays, or a `PyDataset`, `tf.data.Dataset`, `DataLoader`,
            generator or other iterable of batches.
        y: Labels beside arrays.
        sample_weight: Weights beside arrays.
        batch_size: Samples to take of arrays; 32 by default.

    Returns:
        Images, labels and weights of at most 256 samples as NumPy arrays,
        None if there are none, and x to be given to `fit`: a generator that
        has been looked into is replaced.
    """
    if isinstance(x, types.GeneratorType):
        batch = next(x)
        x = _again(batch, x)
    elif isinstance(x, keras.utils.PyDataset):
        batch = x[0]
    elif y is None and hasattr(x, "__iter__") and not hasattr(x, "shape"):
        batch = next(iter(x))
    else:
        size = min(batch_size or 32, _SAMPLES)
        batch = _rows((x, y, sample_weight), size)
    batch = keras.utils.unpack_x_y_sample_weight(batch)
    return *_rows(batch, _SAMPLES), x


def _again(first, rest):
    """Yield a generator of the batches as they were."""
    yield from itertools.chain([first], rest)


def _rows(parts, count):
    return keras.tree.map_structure(
        lambda part: (
            None
            if part is None
            else _backend.as_array(part[:count], like=np.empty(0))
        ),
        parts,
        none_is_leaf=True,
    )
