"""Which images are there more than once, by their hashes."""

import dataclasses
from collections.abc import Iterator

import numpy as np

# Gray thumbnails can agree by chance; the colors of the same picture are
# closer than this, in 0 ... 255, whatever it was compressed to.
_SAME_COLOR = 8.0
_SAME_ASPECT = 1.1


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Images that are the same, or look alike.

    Args:
        exact: Whether their pixels are equal.
        members: Part and number of each, training images first.
        names: What the source calls them.
        labels: Their classes.

    Example:
    >>> members = (("train", 0), ("test", 7))
    >>> twins = Duplicates(True, members, ("a.jpg", "b.jpg"), (1, 1))
    >>> twins.across_parts, twins.labels_differ
    (True, False)
    """

    exact: bool
    members: tuple[tuple[str, int], ...]
    names: tuple[str, ...]
    labels: tuple[int, ...]

    @property
    def across_parts(self) -> bool:
        """Whether some are training images and some test images."""
        return len({part for part, _ in self.members}) > 1

    @property
    def labels_differ(self) -> bool:
        """Whether they are of several classes."""
        return len(set(self.labels)) > 1


def equal_groups(hashes: np.ndarray) -> Iterator[np.ndarray]:
    """Groups the places of equal numbers; 0 is equal to nothing.

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


def alike(
    group: np.ndarray, colors: np.ndarray, aspects: np.ndarray
) -> Iterator[np.ndarray]:
    """Splits images of one `difference_hash` by mean color and aspect.

    Args:
        group: Their places.
        colors: Mean of each channel of all images, shape `(N, 3)`.
        aspects: Width over height of all, shape `(N,)`.

    Yields:
        Places of two or more that are as close to the first of them as two
        files of one picture are.

    Example:
    >>> colors = np.array([[10, 0, 0], [200, 0, 0], [12, 0, 0]])
    >>> [x.tolist() for x in alike(np.arange(3), colors, np.ones(3))]
    [[0, 2]]
    """
    while len(group) > 1:
        first = group[0]
        color = np.abs(colors[group] - colors[first]).max(1) <= _SAME_COLOR
        ratio = aspects[group] / aspects[first]
        close = color & (np.maximum(ratio, 1 / ratio) <= _SAME_ASPECT)
        if close.sum() > 1:
            yield group[close]
        group = group[~close]
