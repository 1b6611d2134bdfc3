"""Where each record of a set of shards is, and the file that says so."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_tricks._checks import first_line, labels_outside
from keras_tricks._text import printable
from keras_tricks._untrusted import read_arrays
from keras_tricks.data.shards.shrink import Shrink
from keras_tricks.data.sources.class_names import ClassNames
from keras_tricks.data.sources.labels import LabelError

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
        label: int64, shape `(N,)`: the label as it is stored, or `None`.
        shrink: Which images were made smaller, if an index file says it.
    """

    paths: tuple[str, ...]
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    label: np.ndarray | None = None
    shrink: Shrink | None = None

    def __len__(self):
        return len(self.shard)

    def number(self, index: int) -> int:
        """Return the number of a record within its shard."""
        first = np.searchsorted(self.shard, self.shard[index])
        return index - int(first)

    def name(self, index: int) -> str:
        """Return a record's name in messages: shard and number."""
        shard = os.path.basename(self.paths[self.shard[index]])
        return f"{printable(shard)}[{self.number(index)}]"


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
            labels = index.label.astype("int64") - label_offset
            # A record with a label that is no class can be left out.
            wrong = labels_outside(labels, len(classes))
            self.labels = np.where(wrong, -1, labels).astype("int32")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.classes.names

    @property
    def max_side(self) -> int | None:
        """Short side that larger images were resized to, if it is known."""
        shrink = self.index.shrink
        return None if shrink is None else shrink.max_side

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
    rows, shrink = _stored_rows(paths) if indexed else (None, None)
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
        np.concatenate(columns[2]).astype("int64") if known else None,
        shrink,
    )


def index_content(
    names: Sequence[str],
    sizes: Sequence[int],
    rows: list,
    shrink: Shrink | None = None,
) -> dict[str, np.ndarray]:
    """Return the arrays of an index file.

    Args:
        names: File names of S shards.
        sizes: Their sizes in bytes.
        rows: Offsets, lengths and labels of each.
        shrink: Which images were made smaller. Defaults to `None`, none.

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
        **(_as_arrays(shrink) if shrink else {}),
    }


def _as_arrays(shrink):
    fields = dataclasses.asdict(shrink)
    return {name: np.array([value]) for name, value in fields.items()}


def _stored_rows(paths):
    """Return what index files say of each shard, and of small images.

    Without a file both are `None`. Of several folders the smallest images
    count.
    """
    folders = sorted({os.path.dirname(path) for path in paths})
    files = {folder: os.path.join(folder, INDEX_FILE) for folder in folders}
    if not all(os.path.isfile(file) for file in files.values()):
        return None, None
    stored = {folder: _read(file) for folder, file in files.items()}
    rows = [_row(path, stored[os.path.dirname(path)]) for path in paths]
    found = [shrink for *_, shrink in stored.values() if shrink]
    return rows, min(found, key=lambda one: one.max_side, default=None)


def _read(file):
    try:
        arrays = read_arrays(file)
        count = len(arrays["shard"])
        for name in (*_COLUMNS, "sizes"):
            _check_integers(name, arrays[name])
        if any(arrays[name].shape != (count,) for name in _COLUMNS):
            raise ValueError("arrays of different lengths")
        names = arrays["shards"].tolist()
        shards = arrays["shard"]
        if (np.diff(shards) < 0).any() or labels_outside(
            shards, len(names)
        ).any():
            raise ValueError("shards out of order")
        bounds = np.searchsorted(arrays["shard"], np.arange(len(names) + 1))
        sizes = arrays["sizes"].tolist()
        places = zip(names, sizes, bounds[:-1], bounds[1:], strict=True)
        shrink = None
        if "max_side" in arrays:
            fields = [field.name for field in dataclasses.fields(Shrink)]
            shrink = Shrink(*(arrays[name].item() for name in fields))
        return {name: place for name, *place in places}, arrays, shrink
    except (OSError, IndexError, KeyError, TypeError, ValueError) as error:
        reason = first_line(error)
        raise ValueError(
            f"{file} must be an index of shards; it may be deleted. "
            f"Received: {reason}"
        ) from None


def _row(path, stored):
    places, arrays, _ = stored
    size, first, end = places.get(os.path.basename(path), (None, 0, 0))
    found = os.path.getsize(path)
    if size != found:
        known = "is not in it" if size is None else f"had {size} bytes"
        raise ValueError(
            f"{INDEX_FILE} must describe the shards beside it; delete it if "
            "the shards are right. Received: "
            f"{path} of {found} bytes, which {known}"
        )
    offsets, lengths, labels = (
        arrays[name][first:end] for name in _COLUMNS[1:]
    )
    outside = (offsets < 0) | (lengths < 0) | (lengths > size - offsets)
    if outside.any():
        raise ValueError(
            f"{INDEX_FILE} must describe the shards beside it; delete it if "
            f"the shards are right. Received: record {outside.argmax()} of "
            f"{path}, which is outside of its {size} bytes"
        )
    return offsets, lengths, labels


def _check_integers(name, array):
    dtype = dict(zip(_COLUMNS, _DTYPES, strict=True)).get(name, "int64")
    limits = np.iinfo(dtype)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise ValueError(f"{name} is no list of integers")
    low, high = array.min(initial=0), array.max(initial=0)
    if low < limits.min or high > limits.max:
        raise ValueError(f"{name} has a number out of range")
