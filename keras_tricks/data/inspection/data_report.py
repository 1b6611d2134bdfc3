"""What `inspect_images` found out about a data set."""

import collections
import dataclasses

import numpy as np

from keras_tricks.data.inspection.duplicates import Duplicates
from keras_tricks.data.inspection.inspect_record import ODDITIES, BadRecord
from keras_tricks.data.sources.labels import is_multi_hot, known_labels

QUANTILES = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)
EXAMPLES = 20


@dataclasses.dataclass(frozen=True, repr=False)
class SplitReport:
    """What the records of the training or the test split hold.

    The arrays have an element for each of the N records; those that cannot
    be used have the label -1 and sizes of 0.

    Args:
        split: `"train"` or `"test"`.
        labels: int32, shape `(N,)`; of several classes at once 0 and 1,
            shape `(N, K)`.
        heights: int32, shape `(N,)`, in pixels.
        widths: int32, shape `(N,)`.
        sizes: int64, shape `(N,)`, bytes of the files.
        odd_flags: uint16, shape `(N,)`, a bit for each of `ODDITIES`.
        odd_names: Of each oddity that there is, the names of the first 20.
        counts: Usable images of each class, shape `(K,)`.
        formats: Number of usable images of each format.
        bad: The records that cannot be used.
    """

    split: str
    labels: np.ndarray
    heights: np.ndarray
    widths: np.ndarray
    sizes: np.ndarray
    odd_flags: np.ndarray
    odd_names: dict[str, tuple[str, ...]]
    counts: np.ndarray
    formats: dict[str, int]
    bad: tuple[BadRecord, ...]

    def __len__(self):
        return len(self.labels)

    @property
    def usable(self) -> np.ndarray:
        """Numbers of the records that training can use."""
        return np.flatnonzero(known_labels(self.labels, len(self.counts)))

    def of_class(self, label: int) -> np.ndarray:
        """Return the numbers of the usable images of a class."""
        if is_multi_hot(self.labels):
            return np.flatnonzero(self.labels[:, label] > 0)
        return np.flatnonzero(self.labels == label)

    def odd(self, kind: str) -> np.ndarray:
        """Return the numbers of the images that have one of `ODDITIES`."""
        return np.flatnonzero(self.odd_flags >> ODDITIES.index(kind) & 1)

    def quantiles(self) -> dict[str, list[float]]:
        """Return `QUANTILES` of height, width and bytes; none of no image."""
        chosen = self.usable
        if not len(chosen):
            return {}
        columns = {
            "height": self.heights,
            "width": self.widths,
            "bytes": self.sizes,
        }
        return {
            name: np.quantile(column[chosen], QUANTILES).tolist()
            for name, column in columns.items()
        }

    def balance(self) -> dict[str, float]:
        """Return smallest, median and largest number of images per class."""
        return {
            "min": int(self.counts.min()),
            "median": float(np.median(self.counts)),
            "max": int(self.counts.max()),
        }


@dataclasses.dataclass(frozen=True, repr=False)
class DataReport:
    """What a data set holds, as far as training is concerned.

    `inspect_images` makes one.

    Args:
        name: Name of the data set.
        class_names: K names.
        splits: A `SplitReport` of the training images, and one of the test
            images if there are any.
        mean: Mean of the channels R, G, B over the training images, in
            0 ... 255, or `None` if none can be used.
        std: Their standard deviation.
        duplicates: Groups of images that are the same or look alike.
        left_out: What else is in a folder of images, a dict of name to
            reason.
        max_side: Short side in pixels that larger images had been resized to
            when their shards were written, or `None`.

    Example:
    >>> from keras_tricks.data import inspect_images, open_images
    >>> report = inspect_images(open_images("digits", train_samples=50))
    >>> report
    DataReport(name='digits', train=50, test=359, bad=0, duplicates=1)
    >>> report.train.balance()
    {'min': 5, 'median': 5.0, 'max': 5}
    """

    name: str
    class_names: tuple[str, ...]
    splits: tuple[SplitReport, ...]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    duplicates: tuple[Duplicates, ...]
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    max_side: int | None = None

    @property
    def train(self) -> SplitReport:
        """Of the training images."""
        return self.splits[0]

    @property
    def bad(self) -> tuple[BadRecord, ...]:
        """The records of all splits that training cannot use."""
        return tuple(record for one in self.splits for record in one.bad)

    def __repr__(self):
        sizes = ", ".join(f"{one.split}={len(one)}" for one in self.splits)
        return (
            f"DataReport(name={self.name!r}, {sizes}, bad={len(self.bad)}, "
            f"duplicates={len(self.duplicates)})"
        )

    def odd_counts(self) -> dict[str, int]:
        """Count the images with each oddity that there is."""
        counts = {
            kind: sum(len(one.odd(kind)) for one in self.splits)
            for kind in ODDITIES
        }
        return {kind: count for kind, count in counts.items() if count}

    def empty_classes(self) -> dict[str, list[str]]:
        """Return the classes without a usable image, by split."""
        return {
            one.split: [
                name
                for name, count in zip(
                    self.class_names, one.counts, strict=True
                )
                if not count
            ]
            for one in self.splits
        }

    def to_dict(self) -> dict:
        """Return all for JSON, with the names of the first 20 odd images."""
        empty = self.empty_classes()
        return {
            "name": self.name,
            "class_names": list(self.class_names),
            "mean": self.mean and list(self.mean),
            "std": self.std and list(self.std),
            "quantiles": list(QUANTILES),
            "splits": {
                one.split: self._split(one, empty[one.split])
                for one in self.splits
            },
            "bad": [dataclasses.asdict(record) for record in self.bad],
            "left_out": self.left_out,
            "max_side": self.max_side,
            "duplicates": [
                {
                    **dataclasses.asdict(group),
                    "across_splits": group.across_splits,
                    "labels_differ": group.labels_differ,
                }
                for group in self.duplicates
            ],
        }

    @staticmethod
    def _split(one, empty):
        kinds = collections.Counter(record.kind for record in one.bad)
        return {
            "records": len(one),
            "usable": len(one.usable),
            "bad": dict(kinds.most_common()),
            "formats": one.formats,
            "classes": {**one.balance(), "empty": empty},
            "counts": one.counts.tolist(),
            **one.quantiles(),
            "odd": {
                kind: {"count": len(one.odd(kind)), "first": list(names)}
                for kind, names in one.odd_names.items()
            },
        }
