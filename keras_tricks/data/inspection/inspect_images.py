"""Looks at every image of a data set: what is damaged, odd or there twice."""

import collections
import itertools
import os
import warnings
from collections.abc import Callable, Mapping

import numpy as np

from keras_tricks._checks import check_int
from keras_tricks._text import class_name, printable
from keras_tricks.data.inspection.data_report import (
    EXAMPLES,
    DataReport,
    SplitReport,
)
from keras_tricks.data.inspection.duplicates import (
    Duplicates,
    alike,
    equal_groups,
)
from keras_tricks.data.inspection.inspect_record import (
    ODDITIES,
    BadRecord,
    inspect_record,
)
from keras_tricks.data.open_images import ImageSet
from keras_tricks.data.pipeline.read_ahead import map_ahead
from keras_tricks.data.sources.labels import (
    count_classes,
    has_several,
    is_multi_hot,
)
from keras_tricks.data.sources.records import Records

_AT_A_TIME = 32


def inspect_images(
    images: ImageSet | Mapping[str, Records],
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> DataReport:
    """Read and decode every record of a data set and report on it.

    Nothing that a record holds ends it. Images are let go as soon as they
    were looked at; what stays is about 70 bytes for each. Mean and standard
    deviation are those of the training images, each with the same weight,
    whatever its size, as training sees them:

        mean = average over images of the average over pixels
        std  = sqrt(average of the squares, likewise, - mean^2)

    Images are the same if their decoded pixels are, and look alike if their
    `difference_hash` differ in at most 3 of 64 bits, their mean colors by at
    most 8 of 255, and their aspects by at most a tenth.

    Args:
        images: An `ImageSet`, or a dict of `"train"` and perhaps `"test"` to
            `Records`.
        workers: Records looked at at a time. Defaults to the number of cores.
        progress: Is told how many records are done. Defaults to `None`.

    Returns:
        A `DataReport`.

    Raises:
        ValueError: If an argument is not as described.
        ImportError: If Pillow is missing.

    Example:
    >>> from keras_tricks.data import open_images
    >>> report = inspect_images(open_images("digits", train_samples=100))
    >>> report.train.counts.tolist()
    [10, 10, 10, 10, 10, 10, 10, 10, 10, 10]
    >>> len(report.bad), report.train.formats
    (0, {'array': 100})
    """
    workers = os.cpu_count() if workers is None else workers
    check_int("workers", workers, 1)
    if isinstance(images, ImageSet):
        splits = {"train": images.train, "test": images.test}
    else:
        splits = _check_splits(images)
    classes = tuple(map(class_name, splits["train"].class_names))
    done, seen = itertools.count(1), []
    with warnings.catch_warnings():
        # Of the decoders, about files that they decode all the same.
        warnings.simplefilter("ignore")
        for split, records in splits.items():
            table = _Table(split, records, len(classes))
            for index, found in _look(records, split, workers):
                table.add(index, found)
                if progress is not None:
                    progress(next(done))
            seen.append(table)
    mean, std = seen[0].statistics()
    return DataReport(
        name=printable(getattr(images, "name", "images")),
        class_names=classes,
        splits=tuple(table.report(splits[table.split]) for table in seen),
        mean=mean,
        std=std,
        duplicates=_find_duplicates(splits, seen),
        left_out={
            printable(name): reason
            for records in splits.values()
            for name, reason in getattr(records, "left_out", {}).items()
        },
        max_side=getattr(splits["train"], "max_side", None),
    )


def _check_splits(splits):
    known = isinstance(splits, Mapping) and set(splits) <= {"train", "test"}
    if not known or "train" not in splits:
        raise ValueError(
            "`images` must be an `ImageSet`, or a dict of 'train', and "
            f"perhaps 'test', to records. Received: images={splits!r:.80}"
        )
    return {
        split: splits[split] for split in ("train", "test") if split in splits
    }


def _look(records, split, workers):
    """Yield the number and content of each record in order, a few ahead."""

    def look(first):
        several = range(first, min(first + _AT_A_TIME, len(records)))
        return [(i, inspect_record(records, i, split)) for i in several]

    firsts = range(0, len(records), _AT_A_TIME)
    for found in map_ahead(look, firsts, workers, ahead=4 * workers):
        yield from found


class _Table:
    """What is kept of the images of a split: a few numbers of each."""

    def __init__(self, split, records, classes):
        self.split, self.classes, size = split, classes, len(records)
        self.labels = np.full(size, -1, "int32")
        if has_several(records):
            self.labels = np.full((size, classes), -1, "int8")
        self.heights = np.zeros(size, "int32")
        self.widths = np.zeros(size, "int32")
        self.sizes = np.zeros(size, "int64")
        self.odd = np.zeros(size, "uint16")
        self.pixels = np.zeros(size, "uint64")
        self.looks = np.zeros(size, "uint64")
        self.colors = np.zeros((size, 3), "float32")
        self.formats = collections.Counter()
        self.bad = []
        self._sums = np.zeros((2, 3))

    def add(self, index, found):
        if isinstance(found, BadRecord):
            self.bad.append(found)
            return
        self.labels[index] = found.label
        self.heights[index] = found.height
        self.widths[index] = found.width
        self.sizes[index] = found.size
        self.odd[index] = sum(1 << ODDITIES.index(one) for one in found.odd)
        self.pixels[index] = found.pixel_hash
        self.looks[index] = found.look_hash
        self.colors[index] = found.mean
        self.formats[found.format] += 1
        self._sums += found.mean, found.square

    def statistics(self):
        """Return mean and standard deviation of the channels, if any."""
        count = self.formats.total()
        if not count:
            return None, None
        mean, square = self._sums / count
        std = np.sqrt(np.maximum(square - mean**2, 0))
        return tuple(mean.tolist()), tuple(std.tolist())

    def report(self, records):
        odd = {
            kind: np.flatnonzero(self.odd >> bit & 1)
            for bit, kind in enumerate(ODDITIES)
            if (self.odd >> bit & 1).any()
        }
        return SplitReport(
            split=self.split,
            labels=self.labels,
            heights=self.heights,
            widths=self.widths,
            sizes=self.sizes,
            odd_flags=self.odd,
            odd_names={
                kind: tuple(
                    printable(records.name(index))
                    for index in chosen[:EXAMPLES].tolist()
                )
                for kind, chosen in odd.items()
            },
            counts=count_classes(self.labels, self.classes),
            formats=dict(self.formats.most_common()),
            bad=tuple(self.bad),
        )


def _find_duplicates(splits, tables):
    """Find equal images, then those that look alike without being equal."""
    fields = ("pixels", "looks", "colors", "labels", "heights", "widths")
    pixels, looks, colors, labels, heights, widths = (
        np.concatenate([getattr(table, name) for table in tables])
        for name in fields
    )
    aspects = widths / np.maximum(heights, 1)
    names = list(splits)
    firsts = np.cumsum([0, *(len(records) for records in splits.values())])

    def make(group, exact):
        which = np.searchsorted(firsts, group, "right") - 1
        places = zip(which, group - firsts[which], strict=True)
        places = [(names[split], int(index)) for split, index in places]
        return Duplicates(
            exact,
            tuple(places),
            tuple(
                printable(splits[split].name(index)) for split, index in places
            ),
            tuple(
                tuple(np.flatnonzero(label).tolist())
                if is_multi_hot(labels)
                else int(label)
                for label in labels[group]
            ),
        )

    found = [make(group, True) for group in equal_groups(pixels)]
    for group in alike(looks, colors, aspects):
        if len(np.unique(pixels[group])) > 1:
            found.append(make(group, False))
    return tuple(found)
