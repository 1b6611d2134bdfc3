"""Which samples an epoch has, in which order: a function of (seed, epoch)."""

import numpy as np

from keras_tricks._checks import check_choice
from keras_tricks._random import ORDER, SAMPLE, random_generator
from keras_tricks.data.sources.labels import is_multi_hot

# The power of the size of a class that its share of an epoch follows.
_POWERS = {"none": 1.0, "balanced": 0.0, "sqrt": 0.5}
SAMPLERS = tuple(_POWERS)


def epoch_order(seed: int, epoch: int, size: int) -> np.ndarray:
    """Return the order of the samples in one epoch.

    Args:
        seed: Integer, at least 0.
        epoch: Integer, at least 0.
        size: Number of samples.

    Returns:
        A permutation of 0 ... `size` - 1.

    Example:
    >>> from keras_tricks.data.pipeline.sample_order import epoch_order
    >>> sorted(epoch_order(seed=0, epoch=3, size=4).tolist())
    [0, 1, 2, 3]
    """
    return random_generator(seed, ORDER, epoch).permutation(size)


class SampleOrder:
    """The samples of each epoch, in their order.

    Without a sampler an epoch has each record once. With one it has as many
    samples, of which class c with n_c records gets `n_c^p / Σ_k n_k^p`, give
    or take less than one: p = 0 for `"balanced"`, p = 1/2 for `"sqrt"`. The
    records of a class come equally often, give or take one, which ones more
    often is drawn for each epoch.

    Args:
        size: Number of records.
        seed: Seed of the order.
        shuffle: Whether there is another order in each epoch.
        sampler: `"none"`, `"balanced"` or `"sqrt"`.
        labels: Classes of the records, integers, for a sampler; records with
            a negative one are never drawn.
        repeats: How many samples of a record follow each other; an epoch then
            has fewer records.

    Attributes:
        per_record: How many numbers a record has: sample `i` is record
            `i // per_record`, and no sample comes twice in an epoch.

    Raises:
        ValueError: If there is a sampler without labels or without shuffling,
            or with repeats, or of several classes at once.

    Example:
    >>> order = SampleOrder(
    ...     8, seed=0, sampler="balanced", labels=np.array([0] * 6 + [1] * 2)
    ... )
    >>> records = order(epoch=0) // order.per_record
    >>> int((records >= 6).sum()), order.per_record
    (4, 3)
    """

    def __init__(
        self,
        size: int,
        seed: int,
        shuffle: bool = True,
        sampler: str = "none",
        labels: np.ndarray | None = None,
        repeats: int = 1,
    ):
        self.size, self.seed, self.shuffle = size, seed, shuffle
        self.sampler = check_choice("sampler", sampler, SAMPLERS)
        self.per_record = self.repeats = repeats
        if sampler == "none":
            return
        for broken, condition in (
            (not shuffle, "without shuffling"),
            (repeats > 1, f"with repeats={repeats}"),
            (
                labels is None,
                "where only reading a record tells its label, as of shards "
                "without an index",
            ),
            (
                is_multi_hot(labels),
                "where an image may be of several classes, which no order "
                "makes equally frequent",
            ),
        ):
            if broken:
                raise ValueError(
                    f"`sampler` must be 'none' {condition}. "
                    f"Received: sampler={sampler!r}"
                )
        labels = np.asarray(labels)
        classes = np.unique(labels[labels >= 0])
        self._members = [np.flatnonzero(labels == label) for label in classes]
        counts = np.array([len(members) for members in self._members])
        shares = counts ** _POWERS[sampler]
        self._places = size * np.cumsum(shares) / shares.sum()
        self._places[-1] = size  # Not rounded.
        most = np.floor(np.diff(self._places, prepend=0)) + 1
        self.per_record = int(np.ceil(most / counts).max())

    def __call__(self, epoch: int) -> np.ndarray:
        """Return the numbers of the samples of an epoch, in their order."""
        if self.sampler != "none":
            return self._drawn(epoch)
        order = np.arange(self.size)
        if self.shuffle:
            order = epoch_order(self.seed, epoch, self.size)
        repeats = self.repeats
        order = order[: -(-self.size // repeats), None] * repeats
        return (order + np.arange(repeats)).ravel()[: self.size]

    def _drawn(self, epoch):
        """Return samples by classes, put into the order of the epoch."""
        rng = random_generator(self.seed, SAMPLE, epoch)
        # One offset for all classes: each gets its part rounded up or down,
        # as often as gives it on average, and all parts together the size.
        ends = np.floor(self._places + rng.random()).astype("int64")
        ends = np.minimum(ends, self.size)
        samples = []
        for members, count in zip(
            self._members, np.diff(ends, prepend=0), strict=True
        ):
            times, rest = divmod(int(count), len(members))
            some = rng.permutation(members)[:rest]
            records = np.concatenate([np.tile(members, times), some])
            copies = np.arange(count) // len(members)
            samples.append(records * self.per_record + copies)
        order = epoch_order(self.seed, epoch, self.size)
        return np.concatenate(samples)[order]
