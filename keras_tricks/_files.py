import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SUMS = "SHA256SUMS"
"""File of a folder with the checksums of the others, as sha256sum reads."""

_PARTIAL = ".partial"
_FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG
_STORAGE = {
    errno.EFBIG: "a file system that holds larger files",
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there, the quota is used up",
    errno.EROFS: "make it writable",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.EIO: "check the disk",
}


def write_atomically(path: str | os.PathLike, content: str | bytes) -> Path:
    """Write a file in one piece: the old one stays until then.

    That holds for a power cut too. The file gets the rights that the user's
    umask says. What a process that died left of it is removed.

    Args:
        path: File to write; its folder must exist.
        content: Text, written as UTF-8, or bytes.

    Returns:
        The path.

    Raises:
        ValueError: If the folder does not exist.
    """
    path = Path(path)
    if isinstance(content, str):
        # Text may hold a path that is none, as Python reads such.
        content = content.encode("utf-8", "backslashreplace")
    if not path.parent.is_dir():
        raise ValueError(
            "`path` must be in a folder that exists. "
            f"Received: path={str(path)!r}"
        )
    remove_partial(path.parent, path.name)
    # Not through a link, should somebody have guessed the name.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = _partial(path)
        handle = os.open(temporary, flags, 0o666)
        try:
            with os.fdopen(handle, "wb") as file, _holding(temporary) as kept:
                if not kept:
                    continue
                file.write(content)
                file.close()
                replace_durably(temporary, path)
                return path
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def read_regular(path: str | os.PathLike) -> bytes:
    """Read a file; refuse a pipe or a device, which may never end.

    Raises:
        OSError: If it cannot be read, or is no regular file.
    """
    with open(path, "rb", opener=open_regular) as file:
        return file.read()


def open_regular(path: str | os.PathLike, flags: int) -> int:
    """Open a file as `os.open` does, if it is one: an `opener` for `open`."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return os.open(path, flags)


@contextlib.contextmanager
def temporary_folder(target: Path, mode: int = 0o777) -> Iterator[Path]:
    """Make a folder beside a file to be, which goes when the block ends.

    Args:
        target: The file; what a process that died left of it is removed.
        mode: Rights of the folder, less what the umask takes.

    Yields:
        The folder.
    """
    remove_partial(target.parent, target.name)
    while True:
        folder = _partial(target)
        folder.mkdir(mode)
        with _holding(folder) as kept:
            if not kept:
                continue
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return


@contextlib.contextmanager
def _holding(path):
    """Say to other processes that a new file or folder is in use.

    Yields whether it is there: before, another process may have taken it for
    what a dead one left.
    """
    if os.name == "nt":  # There, nobody can remove it.
        yield True
        return
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _lock(handle) is not False and os.path.lexists(path)
    finally:
        os.close(handle)


def remove_partial(folder: str | Path, name: str = "") -> None:
    """Remove what processes that died left half written in a folder.

    Args:
        folder: The folder; it need not exist.
        name: Of which file. Defaults to all files.
    """
    start = f".{_shortened(name)}." if name else "."
    try:
        found = [e for e in os.scandir(folder) if e.name.endswith(_PARTIAL)]
    except OSError:
        return
    for entry in found:
        if not entry.name.startswith(start):
            continue
        # What cannot be removed does no harm.
        with contextlib.suppress(OSError):
            if entry.is_symlink():
                os.unlink(entry.path)
                continue
            with _unless_held(entry.path) as free:
                if free and entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                elif free:
                    os.unlink(entry.path)


def _partial(path):
    name = f".{_shortened(path.name)}.{secrets.token_hex(4)}{_PARTIAL}"
    return path.with_name(name)


def _shortened(name):
    """Return a name that leaves room for more, of the 255 bytes there are."""
    return os.fsdecode(os.fsencode(name)[:200])


def _lock(handle):
    """Lock an open file until it is closed.

    Returns whether it is locked now; `None` where no file can be.
    """
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextlib.contextmanager
def _unless_held(path):
    """Hold what nobody holds, while it is removed; yield whether that is so."""
    if os.name == "nt":  # What is open cannot be removed.
        yield True
        return
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield bool(_lock(handle))
    finally:
        os.close(handle)


def allocate(path: str | Path) -> None:
    """Give a file that has its size the blocks that it needs, on the disk.

    A write into a memory map that finds the disk full ends the process.

    Raises:
        OSError: If the disk is full.
    """
    with open(path, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        block = bytes(2**20)
        start = len(file.read(4096))  # The header stays.
        for place in range(start, size, len(block)):
            file.seek(place)
            file.write(block[: size - place])


def sync(path: str | Path) -> None:
    """Wait until a file or the names in a folder are on the disk."""
    if os.name == "nt" and os.path.isdir(path):
        return  # Windows opens no folder.
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some file systems have nothing to do for a folder, and say so.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)


def replace_durably(source: str | Path, target: str | Path) -> None:
    """Give a file or a whole folder its name, on the disk when it returns.

    A folder's files must be there already, see `sync`.
    """
    sync(source)
    os.replace(source, target)
    sync(Path(target).parent)


def write_sums(folder: Path) -> None:
    """Write the SHA-256 of each file of a folder, all of it to the disk."""
    lines = []
    for path in sorted(folder.iterdir()):
        sync(path)
        lines.append(f"{_sha256(path)}  {path.name}\n")
    write_atomically(folder / SUMS, "".join(lines))


def find_damage(folder: Path) -> str | None:
    """Say what is wrong with a folder that `write_sums` finished, or None."""
    try:
        lines = (folder / SUMS).read_text("ascii").splitlines()
        sums = {line[66:]: line[:64] for line in lines}
        for name, digest in sums.items():
            if _sha256(folder / name) != digest:
                return f"{name} has changed"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, UnicodeDecodeError) as error:
        return " ".join(str(error).split())
    return None if sums else f"{SUMS} is empty"


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def storage_error(error: Any, path: str | Path, kept: str) -> Any:
    """Return the error in one line with what to do, if storage is the cause.

    Args:
        error: What was raised. Libraries that raise errors of their own say
            the cause in their text, or as that of the error.
        path: File or folder that was being written.
        kept: Sentence that says what is safe.

    Returns:
        An `OSError` of the cause; the error itself if it is something else.
    """
    number = _storage_number(error)
    if number is None or hasattr(error, "explained"):
        return error
    kind = type(error) if isinstance(error, OSError) else OSError
    explained = kind(
        f"{path} could not be written ({os.strerror(number)}): "
        f"{_STORAGE[number]}, then start the same command again. {kept}"
    )
    explained.errno = number
    explained.explained = True  # type: ignore[attr-defined]
    return explained


def _storage_number(error):
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if getattr(error, "errno", None) in _STORAGE:
            return error.errno
        for number in _FULL:
            if os.strerror(number) in str(error):
                return number
        error = error.__cause__ or error.__context__
    return None
