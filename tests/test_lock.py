"""A folder has one writer, whose death frees it."""

import contextlib
import errno
import fcntl
import os
import subprocess
import sys

import pytest

from keras_tricks import _lock
from keras_tricks._lock import LOCK_FILE, FolderLock


@contextlib.contextmanager
def in_use(folder, owner="process 7 on host"):
    """Locks a folder as another process would."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK_FILE, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(owner)
        file.flush()
        yield


def test_the_owner_is_named_and_its_death_frees_the_folder(tmp_path):
    code = (
        "import sys, time\nfrom keras_tricks._lock import FolderLock\n"
        "lock = FolderLock(sys.argv[1], 'folder')\nlock.acquire()\n"
        "print('ready', flush=True)\ntime.sleep(600)"
    )
    folder = tmp_path / "a" / "b"
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE
    )
    with owner:
        assert owner.stdout.readline() == b"ready\n"
        with pytest.raises(
            ValueError, match="`folder` must have one"
        ) as caught:
            FolderLock(folder, "folder").acquire()
        message = str(caught.value)
        assert f"folder={str(folder)!r}, in use by process {owner.pid} on " in (
            message
        )
        owner.kill()
    with FolderLock(folder, "folder"):
        pass
    assert not any(folder.iterdir())


def test_what_was_made_for_it_goes_if_nothing_came_into_it(tmp_path):
    folder = tmp_path / "a" / "b"
    with FolderLock(folder, "folder"):
        assert [path.name for path in folder.iterdir()] == [LOCK_FILE]
    assert not any(tmp_path.iterdir())
    with FolderLock(folder, "folder"):
        (folder / "c").touch()
    assert [path.name for path in folder.iterdir()] == ["c"]


def test_of_one_process_the_last_has_it(tmp_path):
    first, last = (FolderLock(tmp_path, "folder") for _ in range(2))
    first.acquire()
    last.acquire()
    first.release()
    assert (tmp_path / LOCK_FILE).exists()
    del last  # As of a run that was prepared and not trained.
    assert not (tmp_path / LOCK_FILE).exists()
    with in_use(tmp_path), pytest.raises(ValueError, match="process 7 on host"):
        first.acquire()


def test_a_lock_whose_file_was_removed_meanwhile_is_none(tmp_path, monkeypatch):
    flock, path, calls = fcntl.flock, tmp_path / LOCK_FILE, []

    def remove_once(*arguments):
        flock(*arguments)
        if not calls:
            path.unlink()
        calls.append(arguments)

    monkeypatch.setattr(_lock.fcntl, "flock", remove_once)
    with FolderLock(tmp_path, "folder"):
        assert path.exists() and len(calls) == 2


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(_lock.fcntl, "flock", fail)
    with FolderLock(tmp_path, "folder"):
        error = capsys.readouterr().err
    assert error.startswith(f"{tmp_path} is on a file system without locks (")
    assert error.count("\n") == 1


def test_what_others_left_there_is_not_trusted(tmp_path):
    owner = "\033[31m" + "x" * 999
    with in_use(tmp_path / "a", owner), pytest.raises(ValueError) as caught:
        FolderLock(tmp_path / "a", "folder").acquire()
    assert (
        "by \\x1b[31mxx" in str(caught.value) and len(str(caught.value)) < 500
    )
    (tmp_path / "target").write_text("kept")
    (tmp_path / LOCK_FILE).symlink_to(tmp_path / "target")
    with pytest.raises(OSError):
        FolderLock(tmp_path, "folder").acquire()
    assert (tmp_path / "target").read_text() == "kept"
    with pytest.raises(ValueError, match="`folder` must be a folder"):
        FolderLock(tmp_path / "target", "folder").acquire()
