"""What files of others declare, checked before memory is taken for it.

An archive, an array or an image says at its beginning how large it is. It may
lie: what it says is compared with what the file holds, and with the memory
that is free. All that is wrong is a `ValueError` of one line without the
file's name, which the caller knows.
"""

import collections
import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np

from keras_tricks._checks import first_line

# Deflate can make no more out of a byte.
_MOST_DEFLATED = 1032
_SLACK = 4096
_WEIGHTS = "model.weights.h5"


def free_memory() -> int:
    """Return how many bytes of memory this process can still get."""
    free = [2**63]
    try:
        with open("/proc/meminfo") as file:
            rows = dict(line.split(":") for line in file)
        free.append(1024 * int(rows["MemAvailable"].split()[0]))
    except (OSError, KeyError, ValueError):  # Not Linux.
        if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", ()):
            free.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE"))
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            used = int(Path("/proc/self/statm").read_text().split()[0])
            free.append(limit - used * resource.getpagesize())
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        free.append(limit - int((group / "memory.current").read_text()))
    except (ImportError, OSError, ValueError):  # No limit.
        pass
    return max(0, min(free))


def check_memory(what: str, size: int) -> None:
    """Refuse what would take more memory than is free.

    Args:
        what: What takes it, for the message.
        size: In bytes.

    Raises:
        ValueError: If there is less.

    Example:
    >>> try:
    ...     check_memory("it", 2**62)
    ... except ValueError as error:
    ...     print(str(error)[:31])
    it takes 4.61e+09 GB of memory,
    """
    free = free_memory()
    if size > free:
        raise ValueError(
            f"{what} takes {size / 1e9:.3g} GB of memory, of which "
            f"{free / 1e9:.3g} GB are free"
        )


def check_room(name: str, value: Any, what: str, size: int) -> None:
    """Refuse an argument for which there is too little memory.

    Args:
        name: Name of the argument.
        value: Its value.
        what: What is made of it.
        size: In bytes.

    Raises:
        ValueError: If there is less.
    """
    try:
        check_memory(what, size)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be smaller: {error}. Received: {name}={value}"
        ) from None


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; one that is nested too deeply is a `ValueError` too.

    Example:
    >>> parse_json("[1, 2]")
    [1, 2]
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None


def check_archive(archive: zipfile.ZipFile) -> None:
    """Refuse an archive whose files cannot be what it declares.

    Raises:
        ValueError: If files have one name, are packed by another way than
            deflate, larger than deflate can make them, or all of them larger
            than the memory that is free.
    """
    total = 0
    names = collections.Counter(archive.namelist())
    for info in archive.infolist():
        if names[info.filename] > 1:
            raise ValueError(f"{info.filename} is there twice")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{info.filename} is packed in an unknown way")
        if info.file_size > _MOST_DEFLATED * info.compress_size + _SLACK:
            raise ValueError(
                f"{info.filename} declares {info.file_size} bytes and holds "
                f"{info.compress_size}"
            )
        total += info.file_size
    check_memory("what it declares", total)


def read_arrays(source: str | os.PathLike | IO[bytes]) -> dict[str, np.ndarray]:
    """Read an .npz of plain arrays.

    Args:
        source: A path, or a file that is open.

    Returns:
        Arrays by name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, holds objects, or declares more than it
            holds.

    Example:
    >>> file = io.BytesIO()
    >>> np.savez(file, a=np.arange(3))
    >>> read_arrays(file)["a"].tolist()
    [0, 1, 2]
    """
    try:
        with zipfile.ZipFile(source) as archive:
            check_archive(archive)
            return {
                info.filename.removesuffix(".npy"): _read_array(archive, info)
                for info in archive.infolist()
            }
    except FileNotFoundError:
        raise
    except Exception as error:  # Damaged files fail in ways of their own.
        raise ValueError(first_line(error)) from None


def _read_array(archive, info):
    reading = np.lib.format
    with archive.open(info) as file:
        version = reading.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{info.filename} is of an unknown version")
        read_header = (
            reading.read_array_header_1_0
            if version == (1, 0)
            else reading.read_array_header_2_0
        )
        shape, _, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError(f"{info.filename} holds objects")
        size = dtype.itemsize
        for side in shape:
            size *= side
        held = info.file_size - file.tell()
        if size != held or min(shape, default=0) < 0:
            raise ValueError(
                f"{info.filename} declares {size} bytes and holds {held}"
            )
    with archive.open(info) as file:
        return reading.read_array(file, allow_pickle=False)


def hdf5_arrays(group: Any) -> Iterator[tuple[str, Any]]:
    """Yield the data sets of an open HDF5 file that are in the file itself.

    Args:
        group: A file or a group of h5py.

    Raises:
        ValueError: If there is a link, or a data set that is kept in another
            file, is no array, or declares more than it holds.
    """
    import h5py

    total, groups = 0, [("", group)]
    seen = {h5py.h5o.get_info(group.id).addr}
    while groups:
        above, group = groups.pop()
        for name in group:
            path = f"{above}{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{path} is a link to somewhere else")
            item = group[name]
            place = h5py.h5o.get_info(item.id).addr
            if place in seen:
                raise ValueError(f"{path} is there under several names")
            seen.add(place)
            if isinstance(item, h5py.Group):
                groups.append((f"{path}/", item))
            elif isinstance(item, h5py.Dataset):
                total += _check_array(path, item)
                check_memory("what it declares", total)
                yield path, item


def _check_array(path, item):
    """Return the bytes of a data set, if they are its own."""
    if item.external or item.is_virtual:
        raise ValueError(f"{path} is kept in another file")
    if item.shape is None or item.dtype.hasobject:
        raise ValueError(f"{path} is no array of numbers")
    stored = item.id.get_storage_size()
    # A piece that is begun is read whole.
    piece = item.dtype.itemsize
    for side in item.chunks or ():
        piece *= side
    if item.nbytes > _MOST_DEFLATED * stored + _SLACK:
        raise ValueError(f"{path} declares {item.nbytes} bytes, holds {stored}")
    return item.nbytes + (piece if item.chunks else 0)


def load_model(path: str | os.PathLike) -> keras.Model:
    """Load a saved model of Keras, not compiled.

    Args:
        path: A `.keras` file, or an `.h5` of a whole model.

    Raises:
        ValueError: If it cannot be loaded, or its weights are not its own.
    """
    path = os.fspath(path)
    if path.endswith(".keras") and os.path.isfile(path):
        if not zipfile.is_zipfile(path):  # Keras says that it is not there.
            raise ValueError("this file is cut off, or of another kind")
    try:
        check_weights(path)
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # Layers fail in ways of their own.
        raise ValueError(first_line(error)) from error


def check_weights(path: str | os.PathLike) -> None:
    """Refuse a file of Keras whose arrays are not in it, or too large.

    Raises:
        ValueError: If it is one.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            check_archive(archive)
            if _WEIGHTS in archive.namelist():
                with archive.open(_WEIGHTS) as file:
                    _check_hdf5(io.BytesIO(file.read()))
    elif os.path.isfile(path):
        with open(path, "rb") as file:
            hdf5 = file.read(8).startswith(b"\x89HDF\r\n")
        if hdf5:
            _check_hdf5(path)


def _check_hdf5(file):
    import h5py

    with h5py.File(file, "r") as opened:
        for _ in hdf5_arrays(opened):
            pass
