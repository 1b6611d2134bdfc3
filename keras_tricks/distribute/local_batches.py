"""The part of each batch that one process trains with."""

import numpy as np
from keras import tree

from keras_tricks.data.pipeline.base import EpochBatches, ViewOfBatches


class LocalBatches(ViewOfBatches):
    """The rows of this process of batches over all processes.

    Of a batch of `batch_size` rows over `n` processes, process `i` has the
    `batch_size / n` rows from `i batch_size / n` on; of a last, smaller one
    those of them that there are, maybe none. Batches that were made for this
    process alone (`shard`) pass as they are.

    Args:
        batches: `keras_tricks.data.Batches`, `ImageBatches` or other
            `EpochBatches`.
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

    def _view(self, get, step):
        batch = get(step)
        return self._own_rows(batch) if self._cuts else batch

    def _own_rows(self, batch):
        host, hosts = self.shard
        size = self.batch_size // hosts
        return tree.map_structure(
            lambda x: np.asarray(x)[host * size : (host + 1) * size], batch
        )
