"""Where each record of a set of shards is, and the file that says so."""

import dataclasses
import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_tricks.data.sources.class_names import ClassNames
from keras_tricks.data.sources.records import LabelError

INDEX_FILE = "index.npz"
_COLUMNS = ("shard", "offset", "length", "label")
_DTYPES = ("int32", "int64", "int64", "int32")
_SCANS = 16


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class ShardIndex:
    """Where the records of some shards are, shard after shard.

    Args:
        paths: Paths of S shards.
        shard: int32, shape `(N,)`: numbers of shards, ascending.
        offset: int64, shape `(N,)`: where the data of a record begin, in
            bytes; of an ArrayRecord its number.
        length: int64, shape `(N,)`: bytes of the data.
        label: int32, shape `(N,)`: the label as it is stored, or `None`.
    """

    paths: tuple[str, ...]
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    label: np.ndarray | None = None

    def __len__(self):
        return len(self.shard)

    def number(self, index: int) -> int:
        """Return the number of a record within its shard."""
        first = np.searchsorted(self.shard, self.shard[index])
        return index - int(first)

    def name(self, index: int) -> str:
        """Return a record's name in messages: shard and number."""
        shard = os.path.basename(self.paths[self.shard[index]])
        return f"{shard}[{self.number(index)}]"


class Shards:
    """What the kinds of shards share; see `keras_tricks.data.Records`."""

    def __init__(
        self,
        index: ShardIndex,
        classes: ClassNames,
        label_offset: int = 0,
    ):
        self.index = index
        self.classes = classes
        self.label_offset = label_offset
        self.labels = None
        if index.label is not None:
            labels = index.label - np.int32(label_offset)
            wrong = (labels < 0) | (labels >= len(classes))
            if wrong.any():
                first = int(np.argmax(wrong))
                self.check_label(first, int(index.label[first]))
            self.labels = labels

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.classes.names

    def __len__(self):
        return len(self.index)

    def name(self, index: int) -> str:
        """Return the shard and the number in it."""
        return self.index.name(index)

    def check_label(self, index: int, stored: int) -> int:
        """Return the label of a record, of what its shard holds."""
        label = stored - self.label_offset
        if not 0 <= label < len(self.classes):
            raise LabelError(
                f"{self.name(index)}: the label must be in "
                f"{self.label_offset} ... "
                f"{self.label_offset + len(self.classes) - 1}, with "
                f"`label_offset` {self.label_offset} and {len(self.classes)} "
                f"classes. Received: {stored}"
            )
        return label


def make_index(
    paths: Sequence[str], scan: Callable[[str], tuple], indexed: bool = True
) -> ShardIndex:
    """Return the index of shards: from its file, or else by a scan of each.

    Args:
        paths: Paths of the shards.
        scan: Returns offsets, lengths and labels (or `None`) of a shard.
        indexed: Whether an index file, if there is one, is of these records.

    Returns:
        A `ShardIndex`; without labels if a shard does not tell them.

    Raises:
        ValueError: If a shard is damaged, or not as its index says.
    """
    paths = tuple(paths)
    rows = _stored_rows(paths) if indexed else None
    if rows is None:
        with ThreadPoolExecutor(min(len(paths), _SCANS)) as pool:
            rows = list(pool.map(scan, paths))
    counts = [len(row[0]) for row in rows]
    if not sum(counts):
        raise ValueError(
            f"`data_dir` must hold records. Received: {len(paths)} empty "
            f"shards, the first of them {paths[0]}"
        )
    columns = list(zip(*rows, strict=True))
    known = all(labels is not None for labels in columns[2])
    return ShardIndex(
        paths,
        np.repeat(np.arange(len(paths), dtype="int32"), counts),
        np.concatenate(columns[0]).astype("int64"),
        np.concatenate(columns[1]).astype("int64"),
        np.concatenate(columns[2]).astype("int32") if known else None,
    )


def index_content(names: Sequence[str], sizes: Sequence[int], rows: list):
    """Return the arrays of an index file.

    Args:
        names: File names of S shards.
        sizes: Their sizes in bytes.
        rows: Offsets, lengths and labels of each.

    Returns:
        A dict for `numpy.savez`.
    """
    counts = [len(row[0]) for row in rows]
    columns = [np.repeat(np.arange(len(names)), counts)]
    columns += [np.concatenate(column) for column in zip(*rows, strict=True)]
    arrays = zip(_COLUMNS, columns, _DTYPES, strict=True)
    return {
        "shards": np.array(names),
        "sizes": np.array(sizes, "int64"),
        **{name: column.astype(dtype) for name, column, dtype in arrays},
    }


def _stored_rows(paths):
    """Return what index files say of each shard, or None without a file."""
    folders = sorted({os.path.dirname(path) for path in paths})
    files = {folder: os.path.join(folder, INDEX_FILE) for folder in folders}
    if not all(os.path.isfile(file) for file in files.values()):
        return None
    stored = {folder: _read(file) for folder, file in files.items()}
    return [_row(path, stored[os.path.dirname(path)]) for path in paths]


def _read(file):
    try:
        # Opened here: NumPy leaves a damaged file open.
        with open(file, "rb") as opened:
            archive = np.load(opened, allow_pickle=False)
            arrays = {key: archive[key] for key in archive}
        count = len(arrays["shard"])
        if any(arrays[name].shape != (count,) for name in _COLUMNS):
            raise ValueError("arrays of different lengths")
        if (np.diff(arrays["shard"]) < 0).any():
            raise ValueError("shards out of order")
        names = arrays["shards"].tolist()
        bounds = np.searchsorted(arrays["shard"], np.arange(len(names) + 1))
        sizes = arrays["sizes"].tolist()
        places = zip(names, sizes, bounds[:-1], bounds[1:], strict=True)
        return {name: place for name, *place in places}, arrays
    except (
        OSError,
        EOFError,
        AttributeError,
        IndexError,
        KeyError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{file} must be an index of shards; it may be deleted. "
            f"Received: {reason}"
        ) from None


def _row(path, stored):
    places, arrays = stored
    size, first, end = places.get(os.path.basename(path), (None, 0, 0))
    found = os.path.getsize(path)
    if size != found:
        known = "is not in it" if size is None else f"had {size} bytes"
        raise ValueError(
            f"{INDEX_FILE} must describe the shards beside it; delete it if "
            "the shards are right. Received: "
            f"{path} of {found} bytes, which {known}"
        )
    return tuple(arrays[name][first:end] for name in _COLUMNS[1:])
