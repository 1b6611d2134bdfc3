"""The part of each batch that one process trains with."""

import inspect

import numpy as np
from keras import tree

from keras_tricks.data.pipeline.base import EpochBatches, TransformedBatches


def as_epoch_batches(x):
    """Return anything with `batch(epoch, step)` and a length as `EpochBatches`.

    `batch_size` defaults to the number of rows of the first batch, `shard` to
    that of a process alone; `set_epoch` is called if there is one.

    Args:
        x: Any object.

    Returns:
        `EpochBatches`; `x` itself if it is such, or something else.

    Example:
    >>> class Squares:
    ...     def __len__(self):
    ...         return 2
    ...     def batch(self, epoch, step):
    ...         return np.arange(4) ** 2 + step
    >>> batches = as_epoch_batches(Squares())
    >>> batches.batch_size, batches[1].tolist()
    (4, [1, 2, 5, 10])
    """
    if isinstance(x, EpochBatches) or not hasattr(type(x), "__len__"):
        return x
    # That of a `tf.data.Dataset` takes a size: names tell them apart.
    batch = getattr(x, "batch", None)
    names = list(inspect.signature(batch).parameters) if callable(batch) else []
    return _AnyBatches(x) if names[:2] == ["epoch", "step"] else x


class _AnyBatches(EpochBatches):
    """What `as_epoch_batches` makes of the batches of others."""

    def __init__(self, original):
        super().__init__()
        self.original, self.batch = original, original.batch
        self.epoch = getattr(original, "epoch", 0)
        self.shard = getattr(original, "shard", self.shard)
        if hasattr(original, "batch_size"):
            self.batch_size = original.batch_size
        else:
            rows = tree.flatten(original.batch(self.epoch, 0))[0]
            self.batch_size = len(rows)

    @property
    def num_batches(self):
        """Number of batches in an epoch."""
        return len(self.original)

    def set_epoch(self, epoch):
        super().set_epoch(epoch)
        if hasattr(self.original, "set_epoch"):
            self.original.set_epoch(epoch)


class LocalBatches(TransformedBatches):
    """The rows of this process of batches over all processes.

    Of a batch of `batch_size` rows over `n` processes, process `i` has the
    `batch_size / n` rows from `i batch_size / n` on; of a last, smaller one
    those of them that there are, maybe none. Batches that were made for this
    process alone (`shard`) pass as they are.

    Args:
        batches: `keras_tricks.data.Batches`, `ImageBatches` or others with
            `batch(epoch, step)` and a length.
        shard: Number of this process, and of processes.

    Raises:
        ValueError: If the batches are those of another process, or do not
            split evenly.

    Example:
    >>> import numpy as np
    >>> from keras_tricks.data import Batches
    >>> images, labels = np.zeros((8, 2, 2, 1), "uint8"), np.arange(8)
    >>> batches = Batches(
    ...     images, labels, 4, shuffle=False, mean=0, std=1
    ... )
    >>> [LocalBatches(batches, (i, 2))[1][1].tolist() for i in range(2)]
    [[4, 5], [6, 7]]
    """

    def __init__(self, batches, shard):
        batches = as_epoch_batches(batches)
        if not isinstance(batches, EpochBatches):
            raise ValueError(
                "`x` must be batches of `keras_tricks.data`, or others with "
                "`batch(epoch, step)`: each process must know its rows. "
                f"Received: {type(batches).__name__}"
            )
        super().__init__(batches)
        self.shard = host, hosts = shard
        self._cuts = batches.shard == (0, 1) and hosts > 1
        if not self._cuts and batches.shard != shard:
            raise ValueError(
                f"`batches` must be of all processes, or of number {host} of "
                f"{hosts}. Received: shard={batches.shard}"
            )
        if self.batch_size % hosts:
            raise ValueError(
                f"`batch_size` must be a multiple of the {hosts} processes. "
                f"Received: batch_size={self.batch_size}"
            )

    def _transform(self, get, step):
        batch = get(step)
        return self._own_rows(batch) if self._cuts else batch

    def _own_rows(self, batch):
        host, hosts = self.shard
        size = self.batch_size // hosts
        return tree.map_structure(
            lambda x: np.asarray(x)[host * size : (host + 1) * size], batch
        )
