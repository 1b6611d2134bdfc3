"""What batches that are a function of (epoch, step) have in common."""

from collections.abc import Callable
from typing import Any

import keras

from keras_tricks._checks import check_int


class EpochBatches(keras.utils.PyDataset):
    """Batches that know their epoch.

    A subclass has `num_batches` and `batch(epoch, step)`. The epoch is what
    `set_epoch` states, see `keras_tricks.callbacks.SetEpoch`; as long as it
    never did, the epoch advances after each whole pass of `fit`.

    Example:
    >>> class Numbers(EpochBatches):
    ...     num_batches = 2
    ...     def batch(self, epoch, step):
    ...         return 10 * epoch + step
    >>> numbers = Numbers()
    >>> numbers.set_epoch(3)
    >>> len(numbers), numbers[1], numbers[-2]
    (2, 31, 30)
    """

    shard = (0, 1)
    """Number of the host whose samples these are, and of hosts."""

    def __init__(self):
        super().__init__()
        self.epoch = 0
        self._driven = False
        self._within_epoch, self._seen = False, set()

    def __len__(self) -> int:
        return self.num_batches

    def set_epoch(self, epoch: int) -> None:
        """State the epoch; from now on it does not advance by itself."""
        self.epoch = check_int("epoch", epoch)
        self._driven = True

    def on_epoch_begin(self) -> None:
        self._within_epoch = True

    def on_epoch_end(self) -> None:
        # Keras also reads a batch to learn its shape, or one ahead.
        whole = self._within_epoch and len(self._seen) == self.num_batches
        if whole and not self._driven:
            self.epoch += 1
        self._within_epoch, self._seen = False, set()

    def __getitem__(self, index: int) -> Any:
        step = range(self.num_batches)[index]
        self._seen.add(step)
        return self._get(step)

    def _get(self, step: int) -> Any:
        """Return a batch of the current epoch."""
        return self.batch(self.epoch, step)


class TransformedBatches(EpochBatches):
    """Batches that are made of other batches, of which they state the epoch.

    A subclass says with `_transform` what becomes of a batch, and which ones
    there are.

    Args:
        batches: `Batches`, `ImageBatches` or other `EpochBatches`.

    Example:
    >>> class Doubled(TransformedBatches):
    ...     def _transform(self, get, step):
    ...         return 2 * get(step)
    >>> class Numbers(EpochBatches):
    ...     num_batches, batch_size = 3, 1
    ...     def batch(self, epoch, step):
    ...         return 10 * epoch + step
    >>> doubled = Doubled(Numbers())
    >>> doubled.set_epoch(1)
    >>> len(doubled), doubled[2]
    (3, 24)
    """

    def __init__(self, batches: EpochBatches):
        super().__init__()
        self.batches = batches
        self.batch_size, self.shard = batches.batch_size, batches.shard
        self.epoch = batches.epoch

    @property
    def num_batches(self) -> int:
        """Number of batches in an epoch."""
        return self.batches.num_batches

    @property
    def original(self) -> Any:
        """The batches behind all transforms."""
        return getattr(self.batches, "original", self.batches)

    @property
    def error(self) -> Exception | None:
        """What stopped the batches, if anything did."""
        return getattr(self.batches, "error", None)

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self.batches.set_epoch(epoch)

    def on_epoch_begin(self) -> None:
        super().on_epoch_begin()
        self.batches.on_epoch_begin()

    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        self.batches.on_epoch_end()

    def batch(self, epoch: int, step: int) -> Any:
        """Return one batch of any epoch."""
        return self._transform(lambda i: self.batches.batch(epoch, i), step)

    def _get(self, step: int) -> Any:
        return self._transform(self.batches.__getitem__, step)

    def _transform(self, get: Callable[[int], Any], step: int) -> Any:
        """Return the batch `step`, made of what `get` returns for any step."""
        return get(step)


class RestOfEpoch(TransformedBatches):
    """The batches of an epoch from a step on, for one that was interrupted.

    Item `i` is item `start + i` of the batches.

    Args:
        batches: `Batches`, `ImageBatches` or other `EpochBatches`.
        start: How many batches are left out, less than there are.

    Raises:
        ValueError: If `start` is out of range.

    Example:
    >>> import numpy as np
    >>> from keras_tricks.data import Batches
    >>> batches = Batches(
    ...     np.zeros((4, 2, 2, 1), "uint8"), np.arange(4), 1, shuffle=False,
    ...     mean=0, std=1
    ... )
    >>> rest = RestOfEpoch(batches, 3)
    >>> len(rest), rest[0][1].tolist()
    (1, [3])
    """

    def __init__(self, batches: EpochBatches, start: int):
        super().__init__(batches)
        self.start = check_int("start", start)
        if start >= batches.num_batches:
            raise ValueError(
                "`start` must be less than the number of batches, "
                f"{batches.num_batches}. Received: start={start}"
            )

    @property
    def num_batches(self) -> int:
        """Number of batches that are left."""
        return self.batches.num_batches - self.start

    def _transform(self, get: Callable[[int], Any], step: int) -> Any:
        return get(self.start + step)
