"""Which images are there more than once, by their hashes."""

import dataclasses
from collections.abc import Iterator

import numpy as np

# Gray thumbnails can agree by chance; the colors of the same picture are
# closer than this, in 0 ... 255, whatever it was compressed to.
_MOST_BITS, _ONE = 3, np.uint64(1)
_SAME_COLOR = 8.0
_SAME_ASPECT = 1.1


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Images that are the same, or look alike.

    Args:
        exact: Whether their pixels are equal.
        members: Part and number of each, training images first.
        names: What the source calls them.
        labels: Their classes, of several at once all of each.

    Example:
    >>> members = (("train", 0), ("test", 7))
    >>> twins = Duplicates(True, members, ("a.jpg", "b.jpg"), (1, 1))
    >>> twins.across_splits, twins.labels_differ
    (True, False)
    """

    exact: bool
    members: tuple[tuple[str, int], ...]
    names: tuple[str, ...]
    labels: tuple[int | tuple[int, ...], ...]

    @property
    def across_splits(self) -> bool:
        """Whether some are training images and some test images."""
        return len({split for split, _ in self.members}) > 1

    @property
    def labels_differ(self) -> bool:
        """Whether they are of several classes."""
        return len(set(self.labels)) > 1


def equal_groups(hashes: np.ndarray) -> Iterator[np.ndarray]:
    """Group the places of equal numbers; 0 is equal to nothing.

    Args:
        hashes: uint64, shape `(N,)`.

    Yields:
        Ascending places of two or more equal numbers, by their first place.

    Example:
    >>> hashes = np.array([7, 5, 0, 5, 7, 0, 7], "uint64")
    >>> [group.tolist() for group in equal_groups(hashes)]
    [[0, 4, 6], [1, 3]]
    """
    order = np.argsort(hashes, kind="stable")
    order = order[hashes[order] > 0]
    same = np.concatenate([[0], np.diff(hashes[order]) == 0, [0]]).astype(int)
    starts = np.flatnonzero(np.diff(same) > 0)
    stops = np.flatnonzero(np.diff(same) < 0) + 1
    for run in np.argsort(order[starts], kind="stable"):
        yield order[starts[run] : stops[run]]


def similar_pairs(hashes: np.ndarray) -> Iterator[np.ndarray]:
    """Find all pairs of numbers that differ in at most 3 of 64 bits.

    Such two agree in all bits of at least one quarter, so only numbers with
    a common quarter are compared.

    Args:
        hashes: uint64, shape `(N,)`; 0 is similar to nothing.

    Yields:
        Places of pairs, int, shape `(P, 2)`; a pair may come again.

    Example:
    >>> hashes = np.array([0b11110000, 0b11110111, 0b1, 0], "uint64")
    >>> np.unique(np.concatenate(list(similar_pairs(hashes))), axis=0)
    array([[0, 1]])
    """
    some = np.flatnonzero(hashes)
    for quarter in range(4):
        keys = (hashes[some] >> np.uint64(16 * quarter)).astype("uint16")
        order = some[np.argsort(keys, kind="stable")]
        ends = np.cumsum(np.bincount(keys, minlength=1 << 16))
        sorted_ = hashes[order]
        # Of each place of the order, where those of its key end.
        ends = np.repeat(ends, np.diff(ends, prepend=0))
        places, step = np.arange(len(order)), 1
        while True:
            places = places[places + step < ends[places]]
            if not len(places):
                break
            different = sorted_[places] ^ sorted_[places + step]
            for _ in range(_MOST_BITS):
                different &= different - _ONE  # Clears the lowest bit.
            near = places[different == 0]
            yield order[np.stack([near, near + step], axis=1)]
            step += 1


def alike(
    hashes: np.ndarray, colors: np.ndarray, aspects: np.ndarray
) -> list[np.ndarray]:
    """Group images that look like the same picture.

    Args:
        hashes: `difference_hash` of N images, uint64.
        colors: Mean of each channel, shape `(N, 3)`.
        aspects: Width over height, shape `(N,)`.

    Returns:
        Ascending places of two or more images, each of which looks like
        another one of them.

    Example:
    >>> colors = np.array([[10, 0, 0], [200, 0, 0], [12, 0, 0]])
    >>> hashes = np.full(3, 5, "uint64")
    >>> [x.tolist() for x in alike(hashes, colors, np.ones(3))]
    [[0, 2]]
    """
    group_of: dict[int, list[int]] = {}
    for pairs in similar_pairs(hashes):
        first, second = pairs.T
        close = np.abs(colors[first] - colors[second]).max(1) <= _SAME_COLOR
        ratio = aspects[first] / aspects[second]
        close &= np.maximum(ratio, 1 / ratio) <= _SAME_ASPECT
        for a, b in pairs[close].tolist():
            one, other = (group_of.get(x, [x]) for x in (a, b))
            if one is not other:
                one, other = sorted((one, other), key=len, reverse=True)
                one += other
                group_of.update(dict.fromkeys(one, one))
    groups = {id(group): np.array(sorted(group)) for group in group_of.values()}
    return sorted(groups.values(), key=lambda group: group[0])
