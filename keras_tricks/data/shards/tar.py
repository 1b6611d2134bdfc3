"""Shards of the WebDataset kind: .tar files of images and their labels."""

import functools
import os
import tarfile
from collections.abc import Sequence

from keras_tricks._checks import check_int
from keras_tricks._text import printable
from keras_tricks._untrusted import parse_json
from keras_tricks.data.shards.files import (
    ShardFiles,
    find_shards,
    shard_classes,
)
from keras_tricks.data.shards.index import ShardIndex, Shards, make_index
from keras_tricks.data.sources.class_names import ClassNames
from keras_tricks.data.sources.tar_members import tar_members
from keras_tricks.data.transforms.decode import SUFFIXES

_BLOCK = tarfile.BLOCKSIZE
# Of a .cls or .json, in bytes; its image is not in it.
_MOST_OF_A_LABEL = 2**24


class TarShards(Shards):
    """Labeled images in .tar shards as WebDataset has them, as `Records`.

    `open_tar_shards` makes one.

    Args:
        index: Where the images are.
        classes: A `ClassNames`.
        label_offset: What the label of the first class is stored as.

    Attributes:
        labels: int32, shape `(N,)`; -1 where it is no class.

    Example:
    >>> records = open_tar_shards("imagenet")  # doctest: +SKIP
    >>> data, label = records.record(0)  # doctest: +SKIP
    """

    def __init__(
        self, index: ShardIndex, classes: ClassNames, label_offset: int = 0
    ):
        # Before the labels are checked: a message reads a name there.
        self._files = ShardFiles(index.paths)
        super().__init__(index, classes, label_offset)

    def record(self, index: int) -> tuple[bytes, int]:
        """Return the bytes of an image file, and its label.

        Raises:
            ValueError: If the shard cannot be read, or the label is no class;
                the message names it.
        """
        places = self.index
        data = self._files.read(
            int(places.shard[index]),
            int(places.offset[index]),
            int(places.length[index]),
        )
        return data, self.check_label(index, int(places.label[index]))

    def name(self, index: int) -> str:
        """Return the shard, the number in it, and the file's name there."""
        name = super().name(index)
        shard, offset = self.index.shard[index], self.index.offset[index]
        try:
            header = self._files.read(int(shard), int(offset) - _BLOCK, _BLOCK)
            member = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
            return f"{name} {printable(member.name)}"
        except (ValueError, tarfile.HeaderError):
            return name


def open_tar_shards(
    data_dir: str | os.PathLike | Sequence[str | os.PathLike],
    classes: ClassNames | None = None,
    label_offset: int = 0,
    split: str | None = None,
    image_key: str | None = None,
    label_key: str | None = None,
    multi_label: bool = False,
) -> TarShards:
    """Open .tar shards for random access.

    A sample is `<key>.jpg`, or another kind of image, and `<key>.cls`, its
    label in digits, or `<key>.json`, an object with an integer `label`. The
    key may have periods in it. Where such a pair is not complete, all files
    with the same name up to the first period are a sample, as in WebDataset:
    `<key>.input.jpg` and `<key>.target.cls`. An image or a `.cls` that does
    not find its sample is refused; other files, and `<key>.<more>.png`
    beside a complete `<key>`, are passed over. All headers and labels are
    read once, unless an `index.npz`, which `write_shards` leaves, is beside
    the shards.

    Args:
        data_dir: A folder, a file, or a list of files `*.tar`, not
            compressed. If a folder has several splits, a word of the names
            of the shards tells them apart, as `train-000000.tar`, or they
            are in subfolders.
        classes: The classes; by default those of a classes.tsv,
            classes.json or classes.txt beside the shards.
        label_offset: What the label of the first class is stored as.
            Defaults to 0.
        split: `"train"`, `"test"`, which is the first of `val`, `valid`,
            `validation`, `test` that there is, or `None` for a folder
            without splits.
        image_key: Which images count, `"left"` for `<key>.left.jpg`. Defaults
            to `None`, the only one of a sample.
        label_key: Which labels count, `"fine"` for `<key>.fine.cls`, or for
            `fine` in `<key>.json`. With either, no index is read. Defaults to
            `None`, the only one.
        multi_label: Must be `False`: a sample has one class.

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
    check_int("label_offset", label_offset)
    if multi_label:
        raise ValueError(
            "`multi_label` must be False for .tar shards, whose samples have "
            "one class each. Received: multi_label=True"
        )
    paths = find_shards(data_dir, is_tar_shard, split, ".tar shards")
    classes = shard_classes(paths[0], classes)
    scan = functools.partial(scan_tar, image_key=image_key, label_key=label_key)
    indexed = image_key is None and label_key is None
    return TarShards(make_index(paths, scan, indexed), classes, label_offset)


def scan_tar(
    path: str, image_key: str | None = None, label_key: str | None = None
) -> tuple[list[int], list[int], list[int]]:
    """Read offsets, lengths and labels of the samples of a .tar shard.

    Args:
        path: The shard.
        image_key: As for `open_tar_shards`.
        label_key: As for `open_tar_shards`.

    Raises:
        ValueError: If it is cut or damaged, or a sample lacks its image or
            its label.
    """
    files: dict[str, dict[str, list]] = {}
    first = None
    try:
        for tar, member in tar_members(path):
            first = first or printable(member.name)
            _enter(files, member, tar, path, image_key, label_key)
    except (OSError, tarfile.TarError) as error:
        raise ValueError(f"{path}: {error}") from None
    if first is not None and not files:
        raise ValueError(
            f"{path}: a shard must hold images ({', '.join(SUFFIXES)}) and "
            f"their labels (.cls, .json). Received: {first}, and none of them"
        )
    samples = _samples(files)
    for sample in samples:
        _check_sample(path, sample)
    places = [sample["image"][0][1] for sample in samples]
    offsets = [offset for offset, _ in places]
    lengths = [length for _, length in places]
    labels = [sample["label"][0][1] for sample in samples]
    return offsets, lengths, labels


def is_tar_shard(name: str) -> bool:
    """Return whether a file is a .tar shard, by its name."""
    return name.lower().endswith(".tar")


def _enter(files, member, tar, path, image_key, label_key):
    """Add an image or a label to those of the same name but for the suffix."""
    stem, suffix = os.path.splitext(member.name)
    suffix = suffix.lower()
    if stem.rpartition("/")[2].startswith("."):
        return
    if suffix not in (*SUFFIXES, ".cls", ".json"):
        return
    field = image_key if suffix in SUFFIXES else label_key
    if field is not None and suffix != ".json":
        if not stem.endswith(f".{field}"):
            return
        stem = stem.removesuffix(f".{field}")
    if not member.isfile():
        raise ValueError(
            f"{path}: images and labels must be files. Received: "
            f"{printable(member.name)}, a link to {printable(member.linkname)}"
        )
    if suffix in SUFFIXES:
        what, value = "image", (member.offset_data, member.size)
    else:
        what, value = "label", None
        if member.size <= _MOST_OF_A_LABEL:
            content = tar.extractfile(member).read()
            value = _label(content, suffix, label_key or "label")
        if value is None and suffix == ".json":
            return
    entry = files.setdefault(stem, {"image": [], "label": []})
    entry[what].append((printable(member.name), value))


def _samples(files):
    """Join what is not complete with the rest of its key, as WebDataset does.

    Returns:
        A list of images and labels, each a list of name and value.
    """
    samples = {}
    for stem, entry in files.items():
        folder, slash, file = stem.rpartition("/")
        key = folder + slash + file.partition(".")[0]
        if all(entry.values()):
            samples[stem] = entry
        elif not all(files.get(key, {"": None}).values()):
            joined = samples.setdefault(key, {"image": [], "label": []})
            for what, found in entry.items():
                joined[what] += found
    return list(samples.values())


def _check_sample(path, sample):
    """Raise an error unless there are one image and one label."""
    for what, other in (("image", "label"), ("label", "image")):
        found = sample[what]
        if not found:
            stem, _ = os.path.splitext(sample[other][0][0])
            raise ValueError(
                f"{path}: every sample must have an image and a label, "
                f"<key>.cls or <key>.json. Received: {stem} without {what}"
            )
        for name, value in found:
            if value is None or value != found[0][1]:
                digits = ", in digits" if what == "label" else ""
                raise ValueError(
                    f"{path}: a sample must have one {what}{digits}. "
                    f"Received: {name}, a second one or none"
                )


def _label(data, suffix, key):
    """Return the label that a file holds, or None."""
    try:
        value = int(data) if suffix == ".cls" else parse_json(data)[key]
    except (ValueError, KeyError, TypeError):
        return None
    integer = isinstance(value, int) and not isinstance(value, bool)
    return value if integer and abs(value) < 2**63 else None
