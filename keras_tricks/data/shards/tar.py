"""Shards of the WebDataset kind: .tar files of images and their labels."""

import json
import os
import tarfile
from collections.abc import Sequence
from typing import Any

from keras_tricks._checks import first_line
from keras_tricks.data.shards.files import (
    ShardFiles,
    find_shards,
    shard_classes,
)
from keras_tricks.data.shards.index import ShardIndex, Shards, make_index
from keras_tricks.data.sources.class_names import ClassNames
from keras_tricks.data.transforms.decode import SUFFIXES

_BLOCK = tarfile.BLOCKSIZE


class TarShards(Shards):
    """Labeled images in .tar shards as WebDataset has them, as `Records`.

    `open_tar_shards` makes one.

    Args:
        index: Where the images are.
        classes: A `ClassNames`.

    Attributes:
        labels: int32, shape `(N,)`.

    Example:
    >>> records = open_tar_shards("imagenet")  # doctest: +SKIP
    >>> data, label = records.record(0)  # doctest: +SKIP
    """

    def __init__(self, index: ShardIndex, classes: ClassNames):
        # Before the labels are checked: a message reads a name there.
        self._files = ShardFiles(index.paths)
        super().__init__(index, classes)

    def record(self, index: int) -> tuple[bytes, int]:
        """Return the bytes of an image file, and its label.

        Raises:
            ValueError: If the shard cannot be read; the message names it.
        """
        places = self.index
        data = self._files.read(
            int(places.shard[index]),
            int(places.offset[index]),
            int(places.length[index]),
        )
        return data, int(self.labels[index])

    def name(self, index: int) -> str:
        """Return the shard, the number in it, and the file's name there."""
        name = super().name(index)
        shard, offset = self.index.shard[index], self.index.offset[index]
        try:
            header = self._files.read(int(shard), int(offset) - _BLOCK, _BLOCK)
            member = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
            return f"{name} {member.name}"
        except (ValueError, tarfile.HeaderError):
            return name


def open_tar_shards(
    data_dir: str | os.PathLike | Sequence[str | os.PathLike],
    classes: ClassNames | None = None,
    split: str | None = None,
) -> TarShards:
    """Open .tar shards for random access.

    The files of a sample share what stands before the first period of their
    names: `<key>.jpg`, or of another kind of image, and `<key>.cls`, its
    label in digits, or `<key>.json`, an object with an integer `label`.
    Other files are passed over. All headers and labels are read once, unless
    an `index.npz`, which `write_shards` leaves, is beside the shards.

    Args:
        data_dir: A folder, a file, or a list of files `*.tar`, not
            compressed. If a folder has several splits, a word of the names
            of the shards tells them apart, as `train-000000.tar`, or they
            are in subfolders.
        classes: The classes; by default those of a classes.tsv,
            classes.json or classes.txt beside the shards.
        split: `"train"`, `"test"`, which is the first of `val`, `valid`,
            `validation`, `test` that there is, or `None` for a folder
            without splits.

    Returns:
        A `TarShards`.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If a shard is cut or damaged, there are none, a sample
            lacks its image or label, or nothing tells the classes.

    Example:
    >>> import io, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "train-000000.tar")
    >>> with tarfile.open(path, "w") as tar:
    ...     for name, data in (("a.jpg", b"image"), ("a.cls", b"1")):
    ...         member = tarfile.TarInfo(name)
    ...         member.size = len(data)
    ...         tar.addfile(member, io.BytesIO(data))
    >>> records = open_tar_shards(path, ClassNames(("cat", "dog")))
    >>> records.record(0), records.name(0)
    ((b'image', 1), 'train-000000.tar[0] a.jpg')
    """
    paths = find_shards(data_dir, is_tar_shard, split, ".tar shards")
    classes = shard_classes(paths[0], classes)
    return TarShards(make_index(paths, scan_tar), classes)


def scan_tar(path: str) -> tuple[list[int], list[int], list[int]]:
    """Read offsets, lengths and labels of the samples of a .tar shard.

    Raises:
        ValueError: If it is cut or damaged, or a sample lacks its image or
            its label.
    """
    samples: dict[str, dict[str, Any]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.isfile():
                    _enter(samples, member, tar, path)
            end = tar.offset
        # A header that is damaged, or missing, ends the list as zeros do.
        block = ShardFiles((path,)).read(0, end, _BLOCK)
    except (OSError, tarfile.TarError) as error:
        raise ValueError(
            f"{path}: the file is cut or no .tar, or compressed "
            f"({first_line(error)})"
        ) from None
    if any(block):
        raise ValueError(f"{path}: the header at byte {end} is damaged")
    for key, sample in samples.items():
        for what in ("image", "label"):
            if what not in sample:
                raise ValueError(
                    f"{path}: every sample must have an image and a label, "
                    f"<key>.cls or <key>.json. Received: {key} without {what}"
                )
    places = [sample["image"] for sample in samples.values()]
    offsets = [offset for offset, _ in places]
    lengths = [length for _, length in places]
    return offsets, lengths, [sample["label"] for sample in samples.values()]


def is_tar_shard(name: str) -> bool:
    """Return whether a file is a .tar shard, by its name."""
    return name.lower().endswith(".tar")


def _enter(samples, member, tar, path):
    """Add a file to the sample it belongs to."""
    folder, slash, file = member.name.rpartition("/")
    key, _, suffix = file.partition(".")
    if not key:
        return
    key, suffix = folder + slash + key, f".{suffix.lower()}"
    if suffix not in (*SUFFIXES, ".cls", ".json"):
        return
    sample = samples.setdefault(key, {})
    if suffix in SUFFIXES:
        what, value = "image", (member.offset_data, member.size)
    else:
        what, value = "label", _label(tar.extractfile(member).read(), suffix)
        if value is None and suffix == ".json":
            return
    if value is None or sample.setdefault(what, value) != value:
        digits = ", in digits" if what == "label" else ""
        raise ValueError(
            f"{path}: a sample must have one {what}{digits}. Received: "
            f"{member.name}, a second one or none"
        )


def _label(data, suffix):
    """Return the label that a file holds, or None."""
    try:
        value = int(data) if suffix == ".cls" else json.loads(data)["label"]
    except (ValueError, KeyError, TypeError):
        return None
    integer = isinstance(value, int) and not isinstance(value, bool)
    return value if integer and abs(value) < 2**31 else None
