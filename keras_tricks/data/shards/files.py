"""Which files the shards of a data set are, and bytes out of them."""

import collections
import os
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_tricks._checks import check_choice
from keras_tricks._text import printable
from keras_tricks.data.sources.class_names import ClassNames, read_class_names
from keras_tricks.data.sources.walk_folders import TEST_FOLDERS

CLASS_FILES = ("classes.tsv", "classes.json", "classes.txt")
# Open files of a process; there may be more shards than it may open.
_MOST_OPEN = 128
_NUMBERED = re.compile(r"(.*)-(\d+)-of-(\d+)(.*)")
_COMPRESSED = re.compile(r"\.(gz|bz2|xz|zst|lz4|br|zip|Z)$", re.IGNORECASE)


def find_shards(
    data_dir: str | os.PathLike | Sequence[str | os.PathLike],
    is_shard: Callable[[str], bool],
    split: str | None = None,
    kind: str = "shards",
) -> tuple[str, ...]:
    """List the shards of one split of a data set.

    Args:
        data_dir: A folder, a file, or a list of files. A folder may hold
            several splits, told apart by a word of the names of the shards,
            as `train-00000-of-00010`, or of subfolders.
        is_shard: What tells a shard by its name.
        split: `"train"`, `"test"`, which is the first of `val`, `valid`,
            `validation`, `test` that there is, or `None` for all shards of a
            folder without splits.
        kind: What messages call the shards.

    Returns:
        Sorted paths; those of a list in its order.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If there are no shards, no such split, one is missing
            of those whose names count them, one is compressed, or some say
            their split and others do not.
    """
    check_choice("split", split, (None, "train", "test"))
    if not isinstance(data_dir, (str, os.PathLike)):
        return _listed(
            [os.path.abspath(path) for path in data_dir], split, kind
        )
    root = os.path.abspath(data_dir)
    if os.path.isfile(root):
        return _listed([root], split, kind)
    if not os.path.isdir(root):
        raise FileNotFoundError(
            f"`data_dir` must be an existing folder, file or list of {kind}. "
            f"Received: {root}"
        )
    groups = shard_splits(root, is_shard)
    if not groups:
        raise ValueError(f"`data_dir` must hold {kind}. Received: {root}")
    paths = groups[_choose(groups, split, root)]
    _check_complete(paths)
    return tuple(paths)


def shard_splits(
    root: str | os.PathLike, is_shard: Callable[[str], bool]
) -> dict[str | None, list[str]]:
    """Return the paths of the shards of each split of a folder.

    Args:
        root: The folder.
        is_shard: What tells a shard by its name.

    Returns:
        Words such as `"val"` to paths; those of a folder without splits are
        under `None`.

    Raises:
        ValueError: If a shard is compressed, or some say their split and
            others do not.
    """
    groups: dict = collections.defaultdict(list)
    for name in _shards_in(root, is_shard):
        groups[_split_of(name)].append(os.path.join(root, name))
    if not groups:
        for name in ("train", *TEST_FOLDERS):
            folder = os.path.join(root, name)
            if os.path.isdir(folder):
                names = _shards_in(folder, is_shard)
                groups[name] += [os.path.join(folder, one) for one in names]
    found = {name: paths for name, paths in groups.items() if paths}
    if None in found and len(found) > 1:
        named = next(paths for name, paths in found.items() if name)
        raise ValueError(
            "`data_dir` must hold shards that all have their split in their "
            f"names, or none. Received: {os.path.basename(found[None][0])} "
            f"beside {os.path.basename(named[0])} in {root}"
        )
    return found


def holds_shards(
    root: str | os.PathLike, is_shard: Callable[[str], bool]
) -> bool:
    """Say whether there are shards in a folder, or in those of its splits.

    Compressed ones, which `find_shards` refuses, count where there are no
    class folders.
    """
    splits = ("train", *TEST_FOLDERS)
    folders = [os.path.join(root, name) for name in ("", *splits)]
    entries = [
        entry
        for folder in folders
        if os.path.isdir(folder)
        for entry in os.scandir(folder)
        if not entry.name.startswith(".")
    ]
    files = [entry.name for entry in entries if entry.is_file()]
    if any(map(is_shard, files)):
        return True
    classes = any(e.is_dir() and e.name not in splits for e in entries)
    return not classes and any(is_shard(_unpacked(name)) for name in files)


def shard_classes(path: str, classes: ClassNames | None) -> ClassNames:
    """Return the classes given, or those that a file beside a shard names.

    Args:
        path: A shard. Of a shard in a folder of its split, the folder above
            may hold the file as well.
        classes: A `ClassNames`, or `None` to read classes.tsv, classes.json
            or classes.txt.

    Returns:
        A `ClassNames`.

    Raises:
        ValueError: If there is no such file, or it is damaged.
    """
    if classes is not None:
        return classes
    file = find_class_file(path)
    if file is None:
        raise ValueError(
            "`data_dir` must hold the names of the classes beside the shards, "
            f"in a file {', '.join(CLASS_FILES)}. Received: none in "
            f"{os.path.dirname(path)}"
        )
    return read_class_names(file)


def find_class_file(path: str) -> Path | None:
    """Return the file of class names that belongs to a shard, if any."""
    folder = Path(path).parent
    folders = [folder]
    if folder.name in ("train", *TEST_FOLDERS):
        folders.append(folder.parent)
    files = [folder / name for folder in folders for name in CLASS_FILES]
    return next((file for file in files if file.is_file()), None)


class ShardFiles:
    """Reads from many files, from several threads at once.

    A file is opened when it is first read from; the last used ones stay
    open. Without them it can be pickled.

    Args:
        paths: Paths of the shards.
    """

    def __init__(self, paths: Sequence[str]):
        self.paths = tuple(paths)
        self._open: collections.OrderedDict[int, Any]
        self._open = collections.OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self):
        return {"paths": self.paths}

    def __setstate__(self, state):
        self.__init__(**state)

    def read(self, shard: int, offset: int, length: int) -> bytes:
        """Return the bytes of a shard.

        Raises:
            ValueError: If the file cannot be read, or ends before.
        """
        name = printable(os.path.basename(self.paths[shard]))
        try:
            data = self._handle(shard).read(offset, length)
        except OSError as error:
            reason = error.strerror or error
            raise ValueError(f"{name}: {reason}") from None
        if len(data) != length:
            raise ValueError(
                f"{name}: the file ends at byte "
                f"{offset + len(data)}, within a record"
            )
        return data

    def open(self, path: str) -> object:
        """Open one file; what it returns closes with its last reference."""
        return _File(path)

    def _handle(self, shard):
        with self._lock:
            if shard not in self._open:
                self._open[shard] = self.open(self.paths[shard])
            self._open.move_to_end(shard)
            if len(self._open) > _MOST_OPEN:
                # A thread that reads from it now keeps it open.
                self._open.popitem(last=False)
            return self._open[shard]


class _File:
    """A file that several threads may read from."""

    def __init__(self, path):
        self._fd = None
        self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._lock = threading.Lock()

    # Bound here: at the end of a process `os` may be gone before.
    def __del__(self, close=os.close):
        if self._fd is not None:
            close(self._fd)

    def read(self, offset, length):
        if hasattr(os, "pread"):
            return os.pread(self._fd, length, offset)
        with self._lock:
            os.lseek(self._fd, offset, os.SEEK_SET)
            return os.read(self._fd, length)


def _shards_in(folder, is_shard):
    """Return the sorted names of the shards; none may be compressed."""
    names, compressed = [], []
    for entry in os.scandir(folder):
        if entry.name.startswith(".") or not entry.is_file():
            continue
        if is_shard(entry.name):
            names.append(entry.name)
        elif is_shard(_unpacked(entry.name)):
            compressed.append(entry.name)
    if compressed:
        raise ValueError(
            "`data_dir` must hold shards that are not compressed, since they "
            "are read in any order; unpack them, or move them away. "
            f"Received: {min(compressed)} in {folder}"
        )
    return sorted(names)


def _unpacked(name):
    """Return what a compressed file is called without its compression."""
    stem, end = os.path.splitext(name)
    if end.lower() in (".tgz", ".tbz", ".tbz2", ".txz", ".tzst"):
        return f"{stem}.tar"
    return _COMPRESSED.sub("", name)


def _listed(paths, split, kind):
    if split is not None:
        raise ValueError(
            f"`split` must be None for a list of {kind}, which is the split. "
            f"Received: split={split!r}"
        )
    if not paths:
        raise ValueError(f"`data_dir` must hold {kind}. Received: []")
    for path in paths:
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f"`data_dir` must be a list of {kind} that exist. "
                f"Received: {path}"
            )
    return tuple(paths)


def _split_of(name):
    words = re.split(r"[-_.]", name.lower())
    return next((w for w in words if w in ("train", *TEST_FOLDERS)), None)


def _choose(groups, split, root):
    """Return which group of shards a split is."""
    found = ", ".join(str(name) for name in groups if name is not None)
    if split is None:
        if len(groups) == 1:
            return next(iter(groups))
        raise ValueError(
            "`split` must be 'train' or 'test' where there are several splits. "
            f"Received: split=None, and {found} in {root}"
        )
    names = ("train",) if split == "train" else TEST_FOLDERS
    for name in names:
        if name in groups:
            return name
    raise ValueError(
        f"`split` must be in the data: shards or a folder called "
        f"{' or '.join(names)}. Received: split={split!r}, and "
        f"{found or 'no splits'} in {root}"
    )


def _check_complete(paths):
    """Find a missing shard where names count them, as in -00003-of-00010."""
    counted = collections.defaultdict(set)
    for path in paths:
        match = _NUMBERED.fullmatch(path)
        if match:
            before, number, total, after = match.groups()
            counted[before, total, after].add(int(number))
    for (before, total, after), numbers in counted.items():
        count = int(total)
        # No list of all: a name can count more than memory holds.
        missing = next((i for i in range(count) if i not in numbers), None)
        if missing is not None:
            number = f"{missing:0{len(total)}d}"
            name = os.path.basename(f"{before}-{number}-of-{total}{after}")
            raise ValueError(
                f"`data_dir` must hold all {count} shards that their "
                f"names count, or be a list of some. Received: {len(numbers)}, "
                f"without {name}"
            )
