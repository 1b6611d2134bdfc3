"""Teacher logits on disk: two memory-mapped arrays and what they are of."""

import dataclasses
import functools
import hashlib
import json
import os
import zlib
from pathlib import Path

import keras
import numpy as np

from keras_tricks import _backend
from keras_tricks._checks import check_int
from keras_tricks._files import (
    allocate,
    remove_partial,
    storage_error,
    write_atomically,
)
from keras_tricks._untrusted import parse_json

FORMAT = 1
_LARGEST = float(np.finfo("float16").max)
_ABOUT = "store.json"


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a store holds the logits of.

    Attributes:
        samples: Number of samples.
        epochs: Epochs whose views were stored, or None for one view of each
            sample.
        num_classes: Number of logits.
        teacher: Name of the teacher.
        fingerprint: Of its weights.
        adapt: What adapted its images.
    """

    samples: int
    epochs: int | None
    num_classes: int
    teacher: str
    fingerprint: str
    adapt: str | None

    @property
    def rows(self) -> int:
        """Number of rows: row `epoch * samples + sample`."""
        return self.samples * (self.epochs or 1)


class Store:
    """A folder of logits, each row with two checksums.

    `store.json` is written first and in one piece. `logits.npy` is float16
    `(rows, classes)`. `checks.npy` is uint32 `(rows, 2)`: the CRC-32 of the
    view that the teacher saw, and that of the row, or twice 0 for a row that
    is not written yet. A row that a crash has torn fails its checksum, so
    nothing has to be synchronized.

    Args:
        path: The folder.
        contents: Its `Contents`.
        writable: Whether missing arrays are created, and rows written.
    """

    def __init__(self, path, contents, writable=False):
        self.path = Path(path)
        self.contents = contents
        self.writable = writable

    @classmethod
    def open(cls, path):
        """Open a store to read from."""
        contents = _read_contents(Path(path))
        if contents is None:
            raise ValueError(
                "`path` must be a folder written by `precompute_logits`. "
                f"Received: path={str(path)!r}"
            )
        return cls(path, contents)

    @classmethod
    def resume(cls, path, teacher, **expected):
        """Open a store to go on with, or return None if there is none.

        Args:
            path: The folder.
            teacher: Name of the teacher, for the message.
            **expected: The `Contents` that it must have.
        """
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise ValueError(
                f"`path` must be a folder. Received: path={str(path)!r}"
            )
        remove_partial(path)
        contents = _read_contents(path)
        if contents is None:
            for name in ("logits.npy", "checks.npy"):
                if (path / name).exists():
                    raise ValueError(
                        f"`path` must be a new folder or a store, and not "
                        f"hold another {name}. Received: path={str(path)!r}"
                    )
            return None
        for field, value in expected.items():
            found = getattr(contents, field)
            if found == value:
                continue
            if field == "fingerprint":
                raise ValueError(
                    "`path` holds the logits of another teacher, "
                    f"{contents.teacher!r}: give another path, or delete "
                    f"the folder. Received: path={str(path)!r}, "
                    f"teacher={teacher!r}"
                )
            raise ValueError(
                f"`path` holds logits of {field}={found!r}: give another "
                f"path, or delete the folder. Received: path={str(path)!r}, "
                f"{field}={value!r}"
            )
        return cls(path, contents, writable=True)

    @classmethod
    def create(cls, path, contents):
        """Make an empty store."""
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        about = {"format": FORMAT, **dataclasses.asdict(contents)}
        write_atomically(path / _ABOUT, json.dumps(about, indent=1) + "\n")
        return cls(path, contents, writable=True)

    def __reduce__(self):
        return type(self).open, (self.path,)

    @functools.cached_property
    def logits(self):
        """The memory map of the logits."""
        return self._map("logits.npy", "float16", self.contents.num_classes)

    @functools.cached_property
    def checks(self):
        """The memory map of the checksums."""
        return self._map("checks.npy", "uint32", 2)

    def _map(self, name, dtype, columns):
        file, shape = self.path / name, (self.contents.rows, columns)
        open_memmap = np.lib.format.open_memmap
        if self.writable and not file.exists():
            self._create(file, dtype, shape)
        try:
            if self.writable:
                # "r+" makes a file as large as its header says.
                _check_header(file, shape)
            array = open_memmap(file, "r+" if self.writable else "r")
        except (OSError, ValueError) as error:
            raise ValueError(
                "`path` must hold a whole store; this file cannot be read: "
                f"{error}. Received: path={str(file)!r}"
            ) from error
        if array.dtype != dtype or array.shape != shape:
            raise ValueError(
                f"`path` must hold a {name} of dtype {dtype} and shape "
                f"{shape}. Received: path={str(file)!r} of dtype "
                f"{array.dtype} and shape {array.shape}"
            )
        return array

    def _create(self, file, dtype, shape):
        """Make an empty array on the disk, with room for all of it."""
        partial = file.with_name(f".{file.name}.0.partial")
        partial.unlink(missing_ok=True)
        try:
            np.lib.format.open_memmap(partial, "w+", dtype, shape)
            allocate(partial)
            os.replace(partial, file)
        except OSError as error:
            partial.unlink(missing_ok=True)
            kept = "No logits were computed"
            raise storage_error(error, file, kept) from None

    def written(self, rows):
        """Return which rows hold logits that were written, intact or not."""
        return self.checks[rows].any(axis=-1)

    def intact(self, rows):
        """Return which rows hold the logits that were written."""
        crc = checksums(np.asarray(self.logits[rows]))
        return self.written(rows) & (crc == self.checks[rows, 1])

    def same_views(self, rows, views):
        """Return which rows are of these views."""
        return np.asarray(self.checks[rows, 0] == views)

    def holds(self, rows, views) -> bool:
        """Return whether all rows are intact and of these views."""
        return bool((self.intact(rows) & self.same_views(rows, views)).all())

    def write(self, rows, logits, views):
        """Write rows with their checksums.

        Args:
            rows: Integers `(B,)`.
            logits: float32 `(B, K)`.
            views: Checksums `(B,)` of what the teacher saw.
        """
        if logits.shape != (len(rows), self.contents.num_classes):
            raise ValueError(
                "`teacher` must give logits of shape "
                f"{(len(rows), self.contents.num_classes)}. "
                f"Received: logits.shape={logits.shape}"
            )
        bad = ~(np.abs(logits) <= _LARGEST)
        if bad.any():
            sample = rows[bad.any(axis=-1).argmax()] % self.contents.samples
            raise ValueError(
                "`teacher` must give finite logits of at most "
                f"{_LARGEST:.0f}, the largest float16. Received: "
                f"{logits[bad][0]} for sample {sample}"
            )
        half = logits.astype("float16")
        self.logits[rows] = half
        self.checks[rows] = np.stack([views, checksums(half)], axis=-1)

    def flush(self):
        """Hand all that was written to the disk."""
        self.logits.flush()
        self.checks.flush()


def _check_header(file, shape):
    with open(file, "rb") as opened:
        np.lib.format.read_magic(opened)
        found, _, _ = np.lib.format.read_array_header_1_0(opened)
    if found != shape:
        raise ValueError(f"it is of shape {found} and not {shape}")


def to_numpy(x):
    """Return an array or a tensor of any library as a NumPy array."""
    return np.asarray(_backend.as_array(x, like=np.empty(0)))


def checksums(x) -> np.ndarray:
    """Return the CRC-32 of the bytes of each item of a batch, uint32."""
    x = np.ascontiguousarray(to_numpy(x))
    flat = x.reshape(len(x), -1).view("uint8")
    return np.array([zlib.crc32(row) for row in flat], "uint32")


def fingerprint(model: keras.Model) -> str:
    """Return the SHA-256 of the weights, their shapes and their order."""
    digest = hashlib.sha256()
    for weight in model.weights:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight.value))
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(value.reshape(-1).view("uint8").data)
    return digest.hexdigest()


def _read_contents(path):
    file = path / _ABOUT
    if not file.is_file():
        return None
    try:
        about = parse_json(file.read_text("utf-8"))
        version = about.pop("format")
        contents = Contents(**about) if version == FORMAT else None
        if contents is not None:
            check_int("samples", contents.samples, 1)
            check_int("epochs", contents.epochs or 1, 1)
            check_int("num_classes", contents.num_classes, 1)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            "`path` must hold a store.json of `precompute_logits`. "
            f"Received: path={str(file)!r} ({error})"
        ) from error
    if contents is None:
        raise ValueError(
            f"`path` must hold a store of format {FORMAT}. "
            f"Received: path={str(path)!r} of format {version}"
        )
    return contents
