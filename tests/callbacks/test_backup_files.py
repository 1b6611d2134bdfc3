"""What is on the disk when a process dies while it saves."""

import errno
import os
import shutil
import subprocess

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks import _files
from keras_tricks.callbacks import (
    Backup,
    ExponentialMovingAverage,
    _saved_state,
)


class Killed(BaseException):
    """Stands for the end of the process: nothing cleans up behind it."""


class Disk:
    """Counts what changes the disk, and dies before the n-th time."""

    changes = [
        (os, "mkdir"),
        (os, "replace"),
        (os, "unlink"),
        (os, "rmdir"),
        (os, "fsync"),
        (os, "chmod"),
        (np, "savez"),
        (shutil, "copyfile"),
    ]

    def __init__(self, patch, last):
        self.left = last
        for module, name in self.changes:
            patch.setattr(module, name, self._counted(getattr(module, name)))

    def _counted(self, function):
        def counted(*args, **kwargs):
            self.left -= 1
            if self.left < 0:
                raise Killed
            return function(*args, **kwargs)

        return counted


def make_model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, 0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def set_all(model, backup, number):
    """Gives all weights and the log a number."""
    for variable in model.weights:
        variable.assign(ops.full(variable.shape, number))
    backup.logs[0].write_text("epoch\n" + f"{number}\n" * number)


@pytest.fixture(scope="module")
def model():
    return make_model()


def new_backup(folder, **options):
    return Backup(folder / "backup", logs=[folder / "history.csv"], **options)


def what_is_restored(model, folder):
    """The epoch; weights and log must be of the same one."""
    backup = new_backup(folder)
    set_all(model, backup, 9)
    epoch = backup.restore(model)
    for weight in model.get_weights():
        np.testing.assert_array_equal(weight, epoch)
    text = backup.logs[0].read_text()
    assert text == "epoch\n" + f"{epoch}\n" * epoch
    return epoch


def test_a_process_that_dies_while_it_saves_leaves_a_whole_backup(
    model, tmp_path
):
    restored = []
    for last in range(99):
        folder = tmp_path / str(last)
        folder.mkdir()
        backup = new_backup(folder)
        for epoch in (1, 2):
            set_all(model, backup, epoch)
            backup.set_model(model)
            backup.on_epoch_end(epoch - 1)
        set_all(model, backup, 3)
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, last)
            try:
                backup.on_epoch_end(2)
            except Killed:
                disk.left = 0
        restored.append(what_is_restored(model, folder))
        # It goes on, whatever was left there.
        backup = new_backup(folder)
        backup.restore(model)
        backup.set_model(model)
        set_all(model, backup, 3)
        backup.on_epoch_end(2)
        names = sorted(path.name for path in backup.folder.iterdir())
        assert names == ["epoch_00002", "epoch_00003"]
        if disk.left > 0:
            break
    before = restored.index(3)
    assert restored == [2] * before + [3] * (len(restored) - before)
    assert before > 8 and len(restored) > before + 3


def save_two(model, folder, **options):
    backup = new_backup(folder, **options)
    backup.set_model(model)
    for epoch in (1, 2):
        set_all(model, backup, epoch)
        backup.on_epoch_end(epoch - 1)
    return backup


DAMAGES = {
    "a bit": lambda p: flip(p / "state.npz"),
    "the log": lambda p: flip(p / "history.csv"),
    "half a file": lambda p: os.truncate(p / "state.npz", 100),
    "no file": lambda p: (p / "state.json").unlink(),
    "no checksums": lambda p: (p / "SHA256SUMS").unlink(),
    "no text": lambda p: (p / "SHA256SUMS").write_bytes(b"\xff"),
    "nothing": lambda p: (p / "SHA256SUMS").write_bytes(b""),
}


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed(damage, model, tmp_path, capsys):
    backup = save_two(model, tmp_path)
    DAMAGES[damage](backup.folder / "epoch_00002")
    assert what_is_restored(model, tmp_path) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Backup {backup.folder}/epoch_00002 is damaged: ")
    assert line.endswith(". Goes back to epoch_00001")


def copy(name):
    return lambda p: shutil.copytree(p, p.parent / name)


def sign(path):
    """Makes the checksums right again."""
    (path / "SHA256SUMS").unlink()
    _files.write_sums(path)


def without(part):
    def change(path):
        with np.load(path / "state.npz") as file:
            kept = {k: file[k] for k in file.files if not k.startswith(part)}
        np.savez(path / "state.npz", **kept)
        sign(path)

    return change


def rewrite(content):
    def change(path):
        (path / "state.json").write_text(content)
        sign(path)

    return change


def without_log(path):
    (path / "history.csv").unlink()
    sign(path)


STRAYS = {
    "a copy": (copy("epoch_00009"), "epoch_00009 is a copy of another one"),
    "a copy of a step": (
        copy("epoch_00002_step_0000007"),
        "epoch_00002_step_0000007 is a copy of another one",
    ),
    "another name of it": (copy("epoch_2"), "none, .* with epoch_2$"),
    "a file": (
        lambda p: (p.parent / "epoch_00009").write_text("x"),
        "none, .* with epoch_00009$",
    ),
    "a link": (
        lambda p: (p.parent / "epoch_00009").symlink_to(p),
        "none, .* with epoch_00009$",
    ),
    "no weights": (without("weights"), "weights: 2 variables .* 0 in the b"),
    "no optimizer": (without("optimizer"), "optimizer: 4 variables .* 0 in"),
    "no log": (without_log, "there is no history.csv in epoch_00002"),
    "no parts": (rewrite('{"parts": []}'), "epoch_00002 is of another vers"),
    "no object": (rewrite("[]"), "epoch_00002 is of another version"),
    "no JSON": (rewrite("{"), "backups of this version"),
    "no part": (
        rewrite('{"parts": {}, "place": [2, 0]}'),
        "there is no count in epoch_00002",
    ),
    "another part": (
        rewrite('{"parts": {"count": 7}, "place": [2, 0]}'),
        "count is 7",
    ),
}


class Count:
    """A part that counts how often it was given its state."""

    sets = 0

    def get_state(self):
        return 1

    def check_state(self, state):
        if state != 1:
            raise ValueError(f"count is {state}")

    def set_state(self, state):
        self.sets += 1


@pytest.mark.parametrize("name", STRAYS)
def test_what_is_no_backup_changes_nothing(name, model, tmp_path):
    change, message = STRAYS[name]
    count = Count()
    backup = save_two(model, tmp_path, parts={"count": count})
    assert backup.restore(model) == 2 and count.sets == 1
    change(backup.folder / "epoch_00002")
    set_all(model, backup, 9)
    with pytest.raises(ValueError, match=message) as caught:
        backup.restore(model)
    assert "\n" not in str(caught.value)
    for weight in model.get_weights():
        np.testing.assert_array_equal(weight, 9)
    assert backup.logs[0].read_text() == "epoch\n" + "9\n" * 9
    assert count.sets == 1


@pytest.mark.parametrize("wrong", ["shapes", "updates", "average"])
def test_an_average_of_other_weights_changes_nothing(model, tmp_path, wrong):
    average = ExponentialMovingAverage(0.9)
    average.set_model(model)
    average.averages = [ops.ones(v.shape) for v in model.weights]
    save_two(model, tmp_path, average=average)
    backup = new_backup(tmp_path, average=ExponentialMovingAverage(0.9))
    assert backup.restore(model) == 2
    found = backup.average.get_state()
    if wrong == "shapes":
        found["average_00001"] = found["average_00000"]
    else:
        found = {k: v for k, v in found.items() if wrong not in k}
    backup = new_backup(tmp_path, average=average)
    set_all(model, backup, 9)
    read = _saved_state.read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            _saved_state,
            "read",
            lambda path: ({**read(path)[0], "average": found}, read(path)[1]),
        )
        with pytest.raises(ValueError, match="`state` must "):
            backup.restore(model)
    for weight in model.get_weights():
        np.testing.assert_array_equal(weight, 9)


def test_a_damaged_backup_does_not_drive_out_a_good_one(model, tmp_path):
    flip(save_two(model, tmp_path).folder / "epoch_00002" / "state.npz")
    backup = new_backup(tmp_path)
    assert backup.restore(model) == 1
    backup.set_model(model)
    backup.on_epoch_end(2)
    names = [path.name for path in backup.backups()]
    assert names == ["epoch_00003", "epoch_00001"]


def test_the_checksums_are_those_of_sha256sum(model, tmp_path):
    folder = save_two(model, tmp_path).folder / "epoch_00002"
    if shutil.which("sha256sum") is None:
        pytest.skip("There is no sha256sum.")
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK") == 3


def test_a_disk_that_is_full_halfway_keeps_what_there_was(
    model, tmp_path, monkeypatch
):
    backup = save_two(model, tmp_path)

    def savez(file, **arrays):
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", savez)
    message = (
        r"epoch_00003 could not be written \(No space left on device\): free "
        r"space there, then .* The last backup is epoch_00002$"
    )
    with pytest.raises(OSError, match=message) as caught:
        backup.on_epoch_end(2)
    assert caught.value.errno == errno.ENOSPC
    names = sorted(path.name for path in backup.folder.iterdir())
    assert names == ["epoch_00001", "epoch_00002"]
    assert all(_files.find_damage(path) is None for path in backup.backups())


def test_other_errors_stay_as_they_are(model, tmp_path, monkeypatch):
    backup = save_two(model, tmp_path)

    def fail(*args, **kwargs):
        raise ConnectionResetError("other")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(ConnectionResetError, match="^other$"):
        backup.on_epoch_end(2)
