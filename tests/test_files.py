"""Files that others see: whole, of the user's rights, not through links."""

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from keras_tricks import _files


def rights(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask, expected", [(0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_who_reads(umask, expected, tmp_path):
    before = os.umask(umask)
    try:
        path = _files.write_atomically(tmp_path / "a.json", "1")
        with _files.temporary_folder(tmp_path / "b.keras") as folder:
            found = rights(folder)
    finally:
        os.umask(before)
    assert rights(path) == expected
    assert found == expected | (expected & 0o444) >> 2


def test_what_a_dead_process_left_is_removed_and_what_is_in_use_is_not(
    tmp_path,
):
    left = [
        tmp_path / ".a.json.12345678.partial",
        tmp_path / ".b.keras.12345678.partial",
        tmp_path / ".c.json.12345678.partial",
    ]
    others = [tmp_path / "a.json.partial", tmp_path / ".a.json"]
    for path in (left[0], left[2], *others):
        path.write_text("half")
    left[1].mkdir()
    (left[1] / "model.keras").write_text("half")
    with _files._holding(left[0]), _files._holding(left[1]):
        _files.remove_partial(tmp_path)
    assert [path.exists() for path in left] == [True, True, False]
    _files.write_atomically(tmp_path / "a.json", "1")
    assert [path.exists() for path in left] == [False, True, False]
    with _files.temporary_folder(tmp_path / "b.keras") as folder:
        _files.remove_partial(tmp_path)
        assert folder.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".a.json",
        "a.json",
        "a.json.partial",
    ]


def test_writers_of_one_file_do_not_take_each_others(tmp_path):
    path = tmp_path / "result.json"

    def write(text):
        for _ in range(100):
            _files.write_atomically(path, text)
            with _files.temporary_folder(path) as folder:
                (folder / "part").write_text(text)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, "abcd"))
    assert path.read_text() in {*"abcd"}
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_planted_links_are_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "a.json").symlink_to(precious / "file")
    (folder / ".a.json.1.partial").symlink_to(precious / "file")
    (folder / ".b.1.partial").symlink_to(precious)
    os.mkfifo(folder / ".c.1.partial")
    _files.write_atomically(folder / "a.json", "1")
    _files.remove_partial(folder)
    assert [path.name for path in folder.iterdir()] == ["a.json"]
    assert not (folder / "a.json").is_symlink()
    assert (precious / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["a" * 255, "犬" * 85])
def test_a_name_as_long_as_can_be(name, tmp_path):
    path = tmp_path / name
    assert _files.write_atomically(path, "1").read_text() == "1"


@pytest.mark.parametrize("fallback", [False, True])
def test_room_for_all_of_a_file(fallback, tmp_path, monkeypatch):
    path = tmp_path / "a.npy"
    with open(path, "wb") as file:
        file.write(b"header" * 100)
        file.truncate(5_000_000)
    if fallback:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    _files.allocate(path)
    assert path.stat().st_blocks * 512 >= 5_000_000
    content = path.read_bytes()
    assert content[:600] == b"header" * 100
    assert len(content) == 5_000_000 and not any(content[600:])


FULL = os.strerror(errno.ENOSPC)


def wrapped():
    try:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
    except OSError as cause:
        try:
            raise RuntimeError("the writer failed") from cause
        except RuntimeError as error:
            return error


@pytest.mark.parametrize(
    "error, told",
    [
        (OSError(errno.ENOSPC, FULL), "free space there"),
        (PermissionError(errno.EACCES, "no"), "make it writable"),
        (OSError(f"h5: errno = 28, error message = '{FULL}'"), "free space"),
        (RuntimeError(f"tf: a.tfrecord; {FULL}"), "free space there"),
        (wrapped(), "the quota is used up"),
    ],
)
def test_storage_is_told_as_the_cause_whatever_says_so(error, told):
    explained = _files.storage_error(error, "runs/1", "All is kept")
    assert isinstance(explained, OSError)
    assert str(explained).startswith("runs/1 could not be written (")
    assert told in str(explained) and str(explained).endswith("All is kept")
    assert _files.storage_error(explained, "x", "y") is explained


def test_other_errors_stay_as_they_are():
    error = RuntimeError("no such layer")
    assert _files.storage_error(error, "runs/1", "") is error
