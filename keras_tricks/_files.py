import errno
import hashlib
import os
import stat
import tempfile
from pathlib import Path

SUMS = "SHA256SUMS"
"""File of a folder with the checksums of the others, as sha256sum reads."""

_STORAGE = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there, the quota is used up",
    errno.EROFS: "make it writable",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.EIO: "check the disk",
}


def write_atomically(path: str | os.PathLike, content: str | bytes) -> Path:
    """Write a file in one piece: the old one stays until then.

    That holds for a power cut too.

    Args:
        path: File to write; its folder must exist.
        content: Text, written as UTF-8, or bytes.

    Returns:
        The path.

    Raises:
        ValueError: If the folder does not exist.
    """
    path = Path(path)
    content = content.encode("utf-8") if isinstance(content, str) else content
    if not path.parent.is_dir():
        raise ValueError(
            "`path` must be in a folder that exists. "
            f"Received: path={str(path)!r}"
        )
    handle, temporary = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        replace_durably(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    return path


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


def storage_error(error: OSError, path: str | Path, kept: str) -> OSError:
    """Return the error in one line with what to do, if storage is the cause.

    Args:
        error: What was raised.
        path: File or folder that was being written.
        kept: Sentence that says what is safe.

    Returns:
        Another `OSError` of the same number; the error itself if the cause
        is something else.
    """
    if error.errno not in _STORAGE or hasattr(error, "explained"):
        return error
    explained = type(error)(
        f"{path} could not be written ({os.strerror(error.errno)}): "
        f"{_STORAGE[error.errno]}, then start the same command again. {kept}"
    )
    explained.errno = error.errno
    explained.explained = True  # type: ignore[attr-defined]
    return explained
