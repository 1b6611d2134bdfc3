"""Shards of `tf.train.Example`s, in TFRecord and ArrayRecord files."""

import contextlib
import importlib
import io
import os
import re
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_tricks._checks import check_int, first_line
from keras_tricks.data.shards.example_proto import decode_example
from keras_tricks.data.shards.files import (
    ShardFiles,
    find_shards,
    shard_classes,
)
from keras_tricks.data.shards.index import ShardIndex, Shards, make_index
from keras_tricks.data.sources.choose_key import USUAL, choose_key
from keras_tricks.data.sources.class_names import ClassNames
from keras_tricks.data.transforms.decode import holds_image

IMAGE, LABEL, FILENAME = (
    "image/encoded",
    "image/class/label",
    "image/filename",
)
# Around the data of a record: its length, a checksum of the length; then a
# checksum of the data.
BEFORE, AFTER = 12, 4
_TFRECORD = re.compile(
    r".*(\.tfrec(ord)?s?(-\d+-of-\d+)?|-\d+-of-\d+)", re.IGNORECASE
)
_ARRAY_RECORD = re.compile(r".*\.array_record(-\d+-of-\d+)?", re.IGNORECASE)
# Damaged records at the start, at most, before one tells the features.
_LOOKED_AT = 32
_KIND = "TFRecord (not compressed) or ArrayRecord shards"


class RecordShards(Shards):
    """Labeled images in TFRecord or ArrayRecord shards, as `Records`.

    `open_record_shards` makes one. A record is a `tf.train.Example` with two
    features, the bytes of an image file, and an integer.

    Args:
        index: Where the records are.
        classes: A `ClassNames`.
        label_offset: What the label of the first class is stored as.
        image_key: Name of the feature that is the image. Defaults to the
            usual one, or the only one that is an image in the first record
            that can be read.
        label_key: Name of the feature that is the class, likewise.
        multi_label: Whether a record has a list of classes, of any length. A
            longer list in the first record says it too.

    Attributes:
        labels: int32, shape `(N,)`, if there is an index that tells them,
            otherwise `None`; -1 where it is no class.

    Example:
    >>> records = open_record_shards("imagenet")  # doctest: +SKIP
    >>> data, label = records.record(0)  # doctest: +SKIP
    """

    def __init__(
        self,
        index: ShardIndex,
        classes: ClassNames,
        label_offset: int = 0,
        image_key: str | None = None,
        label_key: str | None = None,
        multi_label: bool = False,
    ):
        super().__init__(index, classes, label_offset)
        array_records = _is_array_record(index.paths[0])
        kind = _ArrayRecordFiles if array_records else ShardFiles
        self._files = kind(index.paths)
        self.multi_label = multi_label
        if not multi_label and index.label is None:
            self.multi_label = self._shows_several(label_key)
        self._image, self._label = self._choose(image_key, label_key)

    def record(self, index: int) -> tuple[bytes, Any]:
        """Return the bytes of an image file, and its label.

        Raises:
            ValueError: If the record is not as described; the message names
                the shard and the number in it.
        """
        try:
            features = self._features(index)
            image = _only(features, self._image, bytes)
            if self.multi_label:
                several = _integers(features, self._label)
            else:
                stored = _only(features, self._label, int)
        except ValueError as error:
            raise ValueError(f"{self.name(index)}: {error}") from None
        if not self.multi_label:
            return image, self.check_label(index, stored)
        row = np.zeros(len(self.classes), "uint8")
        row[[self.check_label(index, stored) for stored in several]] = 1
        return image, row

    def _features(self, index):
        places = self.index
        data = self._files.read(
            int(places.shard[index]),
            int(places.offset[index]),
            int(places.length[index]),
        )
        return decode_example(data)

    def _shows_several(self, label_key):
        """Tell whether the first record with a label has several."""
        keys = USUAL["label_key"] if label_key is None else [label_key]
        for index in range(min(len(self), _LOOKED_AT)):
            with contextlib.suppress(ValueError):
                features = self._features(index)
                key = next((key for key in keys if key in features), None)
                return len(_integers(features, key)) > 1
        return False

    def _choose(self, image_key, label_key):
        """Return the names of image and class, by the first record with both.

        Where all that are looked at are damaged, the usual ones.
        """
        reason = None
        for index in range(min(len(self), _LOOKED_AT)):
            try:
                features = self._features(index)
            except ValueError:
                continue
            try:
                return tuple(
                    choose_key(
                        argument,
                        given,
                        (key for key in features if is_kind(key, features)),
                        features,
                        self.name(index),
                        any_kind=True,
                    )
                    for argument, given, is_kind in (
                        ("image_key", image_key, _is_image),
                        (
                            "label_key",
                            label_key,
                            _are_integers if self.multi_label else _is_integer,
                        ),
                    )
                )
            except ValueError as error:
                reason = reason or error
        if reason is not None:
            raise reason
        return image_key or IMAGE, label_key or LABEL


def open_record_shards(
    data_dir: str | os.PathLike | Sequence[str | os.PathLike],
    classes: ClassNames | None = None,
    label_offset: int = 0,
    split: str | None = None,
    image_key: str | None = None,
    label_key: str | None = None,
    multi_label: bool = False,
) -> RecordShards:
    """Open TFRecord or ArrayRecord shards for random access.

    TensorFlow is not needed. An `index.npz` beside the shards, which
    `write_shards` leaves, tells where the records are and their labels;
    without it the lengths of all records are read once. Checksums are not
    verified.

    Args:
        data_dir: A folder, a file, or a list of files. In a folder the
            shards are the files `*.tfrecord*`, `*-00000-of-00010` and
            `*.array_record*`. If it has several splits, a word of their names
            tells them apart, or they are in subfolders.
        classes: The classes; by default those of a classes.tsv,
            classes.json or classes.txt beside the shards.
        label_offset: What the label of the first class is stored as, 1 for
            conversions of ImageNet that keep 0 for the background. Defaults
            to 0.
        split: `"train"`, `"test"`, which is the first of `val`, `valid`,
            `validation`, `test` that there is, or `None` for a folder
            without splits.
        image_key: Name of the feature that is the image, the bytes of a file.
            Defaults to `image/encoded`, to `image`, or to the only one.
        label_key: Name of the feature that is the class, an integer. Defaults
            to `image/class/label`, to `label`, or to the only one. With
            either, no index is read.
        multi_label: Whether it is a list of classes, where the first record
            does not have several. Defaults to `False`.

    Returns:
        A `RecordShards`.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If a shard is cut, damaged or compressed, one is missing,
            there are none, or nothing tells the classes, or which features
            are image and class.
        ImportError: If the package of ArrayRecords is missing.

    Example:
    >>> open_record_shards("imagenet", split="train")  # doctest: +SKIP
    """
    check_int("label_offset", label_offset)
    if label_offset >= 2**31:
        raise ValueError(
            "`label_offset` must be below 2**31, as labels are. "
            f"Received: label_offset={label_offset}"
        )
    paths = find_shards(data_dir, is_record_shard, split, _KIND)
    kinds = {_is_array_record(path) for path in paths}
    if len(kinds) > 1:
        raise ValueError(
            "`data_dir` must hold TFRecord or ArrayRecord shards, not both. "
            f"Received: {paths[0]} beside {paths[-1]}"
        )
    classes = shard_classes(paths[0], classes)
    scan = scan_array_record if kinds == {True} else scan_tfrecord
    indexed = image_key is None and label_key is None and not multi_label
    index = make_index(paths, scan, indexed)
    return RecordShards(
        index, classes, label_offset, image_key, label_key, multi_label
    )


def scan_tfrecord(path: str) -> tuple[list[int], list[int], None]:
    """Read offsets and lengths of the records of a TFRecord file.

    Raises:
        ValueError: If the file ends within a record.
    """
    size = os.path.getsize(path)
    offsets: list[int] = []
    lengths: list[int] = []
    with open(path, "rb", buffering=0) as file:
        position = 0
        while position < size:
            file.seek(position)
            header = file.read(BEFORE)
            if len(header) == BEFORE:
                (length,) = struct.unpack_from("<Q", header)
                end = position + BEFORE + length + AFTER
            if len(header) < BEFORE or end > size:
                _check_not_compressed(path)
                raise ValueError(
                    f"{path}: the file is cut or no TFRecord: record "
                    f"{len(offsets)}, at byte {position}, does not end within "
                    f"its {size} bytes"
                )
            offsets.append(position + BEFORE)
            lengths.append(length)
            position = end
    return offsets, lengths, None


def _check_not_compressed(path):
    """Refuse a file that TensorFlow has written with `options="GZIP"`."""
    with open(path, "rb") as file:
        head = file.read(4096)
    for name, window in (("GZIP", 31), ("ZLIB", 15)):
        try:
            if not zlib.decompressobj(window).decompress(head):
                continue
        except zlib.error:
            continue
        raise ValueError(
            f"{path}: the file must not be compressed, since records are read "
            f"in any order; write it without {name}. Received: {name}"
        )


def scan_array_record(path: str) -> tuple[np.ndarray, np.ndarray, None]:
    """Count the records of an ArrayRecord file.

    Raises:
        ValueError: If the file is cut or damaged.
    """
    count = _open_array_record(path).num_records()
    return np.arange(count), np.zeros(count, "int64"), None


def import_array_record():
    """Import the module that reads and write ArrayRecord files."""
    try:
        return importlib.import_module(
            "array_record.python.array_record_module"
        )
    except ImportError as error:
        raise ImportError(
            "ArrayRecord files need the package array_record: "
            "pip install 'keras_tricks[grain]'"
        ) from error


class _ArrayRecordFiles(ShardFiles):
    def open(self, path):
        return _open_array_record(path)

    def read(self, shard, offset, length):
        try:
            (data,) = self._handle(shard).read([offset])
            return data
        except RuntimeError as error:
            raise ValueError(first_line(error)) from None


def _open_array_record(path):
    module = import_array_record()
    try:
        reader = module.ArrayRecordReader(path)
    except RuntimeError as error:
        raise ValueError(f"{path}: {first_line(error)}") from None
    # The reader of a cut file says that it is empty.
    if not reader.ok():
        raise ValueError(f"{path}: the file is cut or no ArrayRecord")
    return reader


def _is_array_record(path):
    return _ARRAY_RECORD.fullmatch(os.path.basename(path)) is not None


def is_record_shard(name: str) -> bool:
    """Return whether a file is a TFRecord or ArrayRecord shard, by its name."""
    if _ARRAY_RECORD.fullmatch(name):
        return True
    # Shards of other kinds may be numbered as well.
    other = re.search(r"\.(tar|npz|parquet|arrow|csv|json)\b", name)
    return not other and _TFRECORD.fullmatch(name) is not None


def _is_image(key, features):
    """Tell whether a feature is a file of a known kind of image."""
    one = features[key][0] if len(features[key]) == 1 else None
    named = key in USUAL["image_key"]
    return isinstance(one, bytes) and (named or holds_image(io.BytesIO(one)))


def _is_integer(key, features):
    return len(features[key]) == 1 and isinstance(features[key][0], int)


def _are_integers(key, features):
    return all(isinstance(value, int) for value in features[key])


def _integers(features, name):
    """Return a list of integers, which may be empty."""
    values = features.get(name)
    if values is None or not _are_integers(name, features):
        raise ValueError(
            f"{name} must be a list of int. Received: {values!r:.60}"
        )
    return values


def _only(features, name, kind):
    values = features.get(name, ())
    if len(values) != 1 or not isinstance(values[0], kind):
        found = f"{values!r:.60}"
        if not values:
            others = ", ".join(sorted(features)) or "no features"
            found = f"a record of {others}"
        raise ValueError(
            f"{name} must be one value of {kind.__name__}. Received: {found}"
        )
    return values[0]
