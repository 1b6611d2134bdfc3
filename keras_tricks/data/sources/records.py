"""What every source of labeled images looks like to an input pipeline."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from keras_tricks.data.sources.arrays import classes_in_turn
from keras_tricks.data.sources.labels import (
    has_several,
    known_labels,
    label_at,
)


class Records(Protocol):
    """Labeled images that can be read by their number, in any order.

    `keras_tricks.data.ImageFiles`, `ArrayRecords` and the shards of
    `keras_tricks.data` are such sources; so is any object of a user with
    these members. It must be possible to pickle one, for worker processes,
    and to read from several threads at once.

    Attributes:
        class_names: K names, in the order of the labels.
        labels: int32, shape `(N,)`; of several classes at once 0 and 1,
            shape `(N, K)`; or `None` where only reading a record tells its
            label.

    Example:
    >>> class Squares:
    ...     class_names, labels = ("black", "white"), None
    ...     def __len__(self):
    ...         return 2
    ...     def record(self, index):
    ...         return np.full((4, 4, 3), 255 * index, "uint8"), index
    ...     def name(self, index):
    ...         return f"square {index}"
    >>> image, label = Squares().record(1)
    >>> image.max().item(), label
    (255, 1)
    """

    if TYPE_CHECKING:
        # For reading alone, so that properties and frozen fields will do.
        @property
        def class_names(self) -> Sequence[str]: ...

        @property
        def labels(self) -> np.ndarray | None: ...

    else:
        class_names: Sequence[str]
        labels: np.ndarray | None

    def __len__(self) -> int: ...

    def record(self, index: int) -> tuple[bytes | np.ndarray, Any]:
        """Return an image file as bytes, or uint8 `(H, W, C)`, and its label.

        That is a number, or of several classes at once 0 and 1, shape `(K,)`.

        Raises:
            ValueError: If it cannot be read; the message names the record.
        """

    def name(self, index: int) -> str:
        """Return a record's name in messages: a file, or shard and number."""


@dataclasses.dataclass(frozen=True, repr=False)
class ArrayRecords:
    """Images in memory as `Records`.

    Args:
        images: uint8, shape `(N, H, W, C)`.
        labels: Integers, shape `(N,)`, or 0 and 1, shape `(N, K)`.
        class_names: K names.
        title: What the records are called. Defaults to `"image"`.

    Raises:
        ValueError: If the lengths differ.

    Example:
    >>> records = ArrayRecords(
    ...     np.zeros((2, 4, 4, 3), "uint8"), np.array([1, 0]), ("a", "b")
    ... )
    >>> records.record(0)[1], records.name(1)
    (1, 'image[1]')
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    title: str = "image"

    def __post_init__(self):
        if len(self.images) != len(self.labels):
            raise ValueError(
                "`images` and `labels` must have the same length. Received: "
                f"{len(self.images)} images and {len(self.labels)} labels"
            )

    def __len__(self):
        return len(self.labels)

    def record(self, index: int) -> tuple[np.ndarray, Any]:
        """Return an image and its label."""
        return self.images[index], label_at(self.labels, index)

    def name(self, index: int) -> str:
        """Return the title and the number."""
        return f"{self.title}[{index}]"


@dataclasses.dataclass(frozen=True, repr=False)
class SomeRecords:
    """Some of the records of a source, in an order of their own.

    Args:
        records: Any `Records`.
        chosen: Their numbers, in order.

    Example:
    >>> records = ArrayRecords(
    ...     np.zeros((3, 4, 4, 3), "uint8"), np.arange(3), ("a", "b", "c")
    ... )
    >>> SomeRecords(records, np.array([2, 0])).name(0)
    'image[2]'
    """

    records: Records
    chosen: np.ndarray

    @property
    def class_names(self) -> Sequence[str]:
        """Names of all classes of the source."""
        return self.records.class_names

    @property
    def multi_label(self) -> bool:
        """Whether a record may be of several classes."""
        return has_several(self.records)

    @property
    def labels(self) -> np.ndarray | None:
        """Labels of the chosen ones."""
        labels = self.records.labels
        return None if labels is None else labels[self.chosen]

    def __len__(self):
        return len(self.chosen)

    def record(self, index: int) -> tuple[bytes | np.ndarray, Any]:
        """Return what the source returns."""
        return self.records.record(int(self.chosen[index]))

    def name(self, index: int) -> str:
        """Return what the source returns."""
        return self.records.name(int(self.chosen[index]))


def wrong_labels(records: Records) -> np.ndarray:
    """Return the numbers of records whose labels are known and no class."""
    if records.labels is None:
        return np.empty(0, int)
    known = known_labels(records.labels, len(records.class_names))
    return np.flatnonzero(~known)


def take_records(
    records: Records, samples: int | None, seed: int = 0
) -> Records:
    """Take the first records of a seeded order in which classes alternate.

    Args:
        records: Any `Records`.
        samples: How many, or `None` for all.
        seed: Seed of the order; where the labels are unknown, the order is
            not by classes.

    Returns:
        The same object for `None`, otherwise a `SomeRecords`.

    Raises:
        ValueError: If there are not that many.

    Example:
    >>> records = ArrayRecords(
    ...     np.zeros((8, 4, 4, 3), "uint8"), np.arange(8) % 2, ("a", "b")
    ... )
    >>> sorted(take_records(records, 4).labels.tolist())
    [0, 0, 1, 1]
    """
    if samples is None:
        return records
    chosen = classes_in_turn(
        records.labels,
        len(records),
        samples,
        seed,
        of=f"the {len(records)} records",
    )
    return SomeRecords(records, chosen)
