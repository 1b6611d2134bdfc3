"""One writer of a folder at a time: a lock that names its owner."""

import contextlib
import errno
import os
import socket
import sys
import time
import weakref
from pathlib import Path

from keras_tricks._text import printable

if os.name == "nt":
    import msvcrt
else:
    import fcntl

LOCK_FILE = ".lock"
"""File of a folder that somebody writes to; it is no part of its content."""

# A file system that has no locks; NFS without its daemon, Lustre by default.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
# By process and folder: of one process the last that asks has the lock.
_held: weakref.WeakValueDictionary = weakref.WeakValueDictionary()


class FolderLock:
    """Keeps a folder for this process until it is released, or dead.

    It is a lock of the operating system (`flock`, on Windows `msvcrt`) on a
    file in the folder, which says who has it. So it goes with its owner, by
    `kill -9` too, and no file is to be removed by hand. Over NFS it holds
    between machines. Where a file system has no locks, a line says so and
    nothing is kept. Of one process the last that asks for a folder gets it.

    The package filelock does the same, but empties the file when it only
    asks, so that the owner's name would need a second one.

    Args:
        folder: Made if it does not exist, and removed at the release if
            nothing came into it.
        argument: How the error names the folder.

    Example:
    >>> import tempfile
    >>> with FolderLock(tempfile.mkdtemp(), "folder") as lock:
    ...     os.listdir(lock.folder)
    ['.lock']
    """

    _file: int | None = None

    def __init__(self, folder: str | os.PathLike, argument: str):
        self.folder, self.argument = Path(folder), argument
        self._process = os.getpid()
        self._made: list[Path] = []

    def acquire(self) -> None:
        """Take the lock, unless this object has it.

        Raises:
            ValueError: If another process has it, or it is no folder.
            OSError: If the folder cannot be written.
        """
        if self._file is not None:
            return
        folder = self.folder
        if folder.exists() and not folder.is_dir():
            raise ValueError(
                f"`{self.argument}` must be a folder. "
                f"Received: {self.argument}={str(folder)!r}"
            )
        places = [folder, *folder.parents]
        self._made = [place for place in places if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        key = os.getpid(), os.path.realpath(folder)
        before = _held.get(key)
        if before is not None and before._file is not None:
            self._file, before._file = before._file, None
            self._made, before._made = before._made, []
        else:
            try:
                self._file = self._open()
            except BaseException:
                self._remove_made()
                raise
        _held[key] = self

    def _open(self):
        path = self.folder / LOCK_FILE
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        while True:
            file = os.open(path, flags, 0o666)
            try:
                self._lock(file)
                # Who had it may have removed it since it was opened.
                if _is_at(file, path):
                    now = time.strftime("%Y-%m-%d %H:%M:%S")
                    host = socket.gethostname()
                    text = f"process {os.getpid()} on {host}, since {now}"
                    os.ftruncate(file, 0)
                    os.write(file, text.encode())
                    return file
                os.close(file)
            except BaseException:
                os.close(file)
                raise

    def _lock(self, file):
        try:
            if os.name == "nt":
                # Behind the text, which others are to read.
                os.lseek(file, 1 << 20, os.SEEK_SET)
                msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore
                os.lseek(file, 0, os.SEEK_SET)
            else:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                print(
                    f"{self.folder} is on a file system without locks "
                    f"({os.strerror(error.errno)}): see to it that nothing "
                    "else writes there",
                    file=sys.stderr,
                )
                return
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            os.lseek(file, 0, os.SEEK_SET)
            owner = os.read(file, 200).decode("utf-8", "replace")
            raise ValueError(
                f"`{self.argument}` must have one writer at a time. Received: "
                f"{self.argument}={str(self.folder)!r}, in use by "
                f"{printable(owner) or 'another process'}"
            ) from None

    def release(self) -> None:
        """Give the lock back, if this object has it."""
        file, self._file = self._file, None
        if file is None or os.getpid() != self._process:
            return
        path = self.folder / LOCK_FILE
        try:
            if os.name == "nt":  # It removes no file that is open.
                os.close(file)
                path.unlink()
            else:
                path.unlink()  # Before anybody else can have it.
                os.close(file)
        except OSError:  # The folder was moved away, or is read only now.
            with contextlib.suppress(OSError):
                os.close(file)
        self._remove_made()

    def _remove_made(self):
        made, self._made = self._made, []
        with contextlib.suppress(OSError):  # There is something in it.
            for place in made:
                place.rmdir()

    def __enter__(self):
        self.acquire()
        return self

    def __exit__(self, *error):
        self.release()

    def __del__(self):
        self.release()


def _is_at(file, path):
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
