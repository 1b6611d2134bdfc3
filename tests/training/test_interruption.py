"""Runs of recipes that are killed, stopped or damaged, and go on."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks import Recipe, _files, training
from keras_tricks.callbacks import Preempted
from keras_tricks.report import read_run

RECIPE = Recipe(
    train_samples=128,
    test_samples=64,
    width=2,
    epochs=3,
    warmup_epochs=1,
    batch_size=32,
    ema_decay=0.9,
    mixup_off_epochs=1,
)
STEPS = 4  # Of an epoch.
# Where a process dies, and what is done then: epochs and steps.
KILLED = {
    "in a step": (1, 2),
    "in evaluation": (1, 2),
    "in a backup": (1, 0),
    "at the end": (3, 0),
    "by SIGTERM": (1, 3),
}

pytestmark = pytest.mark.usefixtures("small")


class Die(keras.callbacks.Callback):
    """Ends the process in the second epoch, as a power cut would."""

    def __init__(self, where):
        super().__init__()
        self.where = where

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == 2:
            if self.where == "in a step":
                os._exit(9)
            if self.where == "by SIGTERM":
                os.kill(os.getpid(), signal.SIGTERM)

    def on_test_batch_begin(self, batch, logs=None):
        if self.epoch == 1 and self.where == "in evaluation":
            os._exit(9)


def run_and_die(where, folder):
    """Trains in a process that does not outlive it."""
    within = where in ("in a step", "in evaluation")
    steps = 2 if within else None
    run = training.prepare(RECIPE, folder, backup_every_steps=steps)
    if where == "in a backup":
        rename = os.replace

        def replace(source, target):
            if Path(target).name == "epoch_00002":
                os._exit(9)
            rename(source, target)

        os.replace = replace
    if where == "at the end":
        training.finish_run.write_run_report = lambda *_, **__: os._exit(9)
    run.fit(0, [Die(where)])


@pytest.fixture(scope="module")
def died(tmp_path_factory):
    """A function that gives the folder of a run whose process died."""
    root = tmp_path_factory.mktemp("died")
    started = {}
    for where in KILLED:
        script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import small_network, test_interruption
test_interruption.training.run.build_model = small_network.small_network
test_interruption.run_and_die({where!r}, {str(root / where)!r})
"""
        started[where] = subprocess.Popen(
            [sys.executable, "-c", script],
            env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
            stderr=subprocess.PIPE,
            text=True,
        )

    # Here, since the processes import this file alone.
    from ..distribute.training import time_limit

    def wait(where):
        _, errors = started[where].communicate(timeout=time_limit())
        code = 75 if where == "by SIGTERM" else 9
        assert started[where].returncode == code, errors[-2000:]
        if code == 75:
            assert "\nStopped by SIGTERM, saved " in errors
        return root / where

    yield wait
    for process in started.values():
        with process:
            process.kill()


def values(run):
    variables = run.model.variables + run.model.optimizer.variables
    return [ops.convert_to_numpy(variable) for variable in variables]


def history(folder):
    found = read_run(folder).history
    del found["images_per_second"]
    return found


def rows(folder):
    lines = (folder / "history.csv").read_text("utf-8").splitlines()
    return [line.split(",")[0] for line in lines[1:]]


@pytest.fixture(scope="module")
def whole(died, tmp_path_factory):
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run = training.prepare(RECIPE, folder)
    run.fit(0)
    return run


def assert_same_run(run, whole):
    for ours, theirs in zip(values(run), values(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert history(run.folder) == history(whole.folder)
    assert rows(run.folder) == ["0", "1", "2"]
    assert {p.name for p in run.folder.iterdir()} == {
        p.name for p in whole.folder.iterdir()
    }


@pytest.mark.parametrize("where", KILLED)
def test_a_run_whose_process_died_loses_nothing(where, died, whole):
    folder = died(where)
    run = training.prepare(RECIPE, folder, resume="must")
    assert (run.epochs_done, run.backup.step) == KILLED[where]
    run.fit(0)
    assert_same_run(run, whole)


@pytest.fixture
def stopped(tmp_path, whole):
    """A run that was stopped in the third epoch, with two backups."""
    run = training.prepare(RECIPE, tmp_path / "run")

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            if self.epoch == 2:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Preempted):
        run.fit(0, [Stop()])
    assert [path.name for path in run.backup.backups()] == [
        "epoch_00002_step_0000001",
        "epoch_00002",
    ]
    return run


def test_a_damaged_backup_is_told_and_the_one_before_is_used(
    stopped, whole, capfd
):
    damaged = stopped.backup.backups()[0]
    with open(damaged / "state.npz", "r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"?")
    run = training.prepare(RECIPE, stopped.folder)
    assert (
        f"Backup {damaged} is damaged: state.npz has changed. Goes back "
        in (capfd.readouterr().err)
    )
    assert (run.epochs_done, run.backup.step) == (2, 0)
    run.fit(0)
    assert_same_run(run, whole)


def test_no_whole_backup_is_an_error_that_changes_nothing(stopped):
    for path in stopped.backup.backups():
        (path / "state.npz").write_bytes(b"")
    before = contents(stopped.folder)
    with pytest.raises(ValueError, match="`folder` must hold a backup that is"):
        training.prepare(RECIPE, stopped.folder)
    assert contents(stopped.folder) == before


def test_another_process_that_trains_there_is_named(stopped, tmp_path):
    from ..test_lock import in_use

    for folder in stopped.folder, tmp_path / "new":
        with in_use(folder):
            before = contents(folder)
            with pytest.raises(
                ValueError, match="`run_folder` must have one.* by process 7"
            ):
                training.prepare(RECIPE, folder)
            assert contents(folder) == before
    with in_use(stopped.folder), pytest.raises(ValueError, match="process 7"):
        stopped.fit(0)  # It gave the folder back when it stopped.


def test_another_recipe_changes_nothing(stopped):
    before = contents(stopped.folder)
    with pytest.raises(ValueError, match="same recipe.*epochs is 3 and not 5"):
        training.prepare(RECIPE.replace(epochs=5), stopped.folder)
    assert contents(stopped.folder) == before


def test_the_recipe_is_in_the_backups_too(stopped):
    (stopped.folder / "recipe.json").unlink()
    before = contents(stopped.folder)
    for change, told in (
        ({"seed": 7}, "seed is"),
        ({"nesterov": False}, "nes"),
    ):
        with pytest.raises(ValueError, match=f"of the same recipe.*{told}"):
            training.prepare(RECIPE.replace(**change), stopped.folder)
        assert contents(stopped.folder) == before
    (stopped.folder / "history.csv").unlink()
    run = training.prepare(RECIPE, stopped.folder)
    assert len((run.folder / "history.csv").read_text().splitlines()) == 3


def test_a_folder_that_is_removed_loses_nothing(whole, tmp_path, capfd):
    """Moved away, say: it is made again, with all that was in its files."""
    run = training.prepare(RECIPE, tmp_path / "run")
    (run.folder / "unfinished.keras").write_text("of a killed run")

    class Remove(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                shutil.move(run.folder, tmp_path / "elsewhere")

    run.fit(0, [Remove()])
    assert_same_run(run, whole)
    assert (run.folder / "recipe.json").read_text() == RECIPE.to_json()
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("Removed while training ran, and written again: ")


def test_what_a_killed_run_left_is_cleaned(stopped):
    left = [
        stopped.folder / ".report.html.12345678.partial",
        stopped.folder / "unfinished.keras",
        stopped.folder / "unfinished_best.keras",
        stopped.folder / "backup" / "unfinished" / "state.npz",
    ]
    left[-1].parent.mkdir()
    for path in left:
        path.write_text("half")
    training.prepare(RECIPE, stopped.folder)
    assert not any(path.exists() for path in (*left, left[-1].parent))


@pytest.mark.parametrize("name", ["history.csv", "events", "backup"])
def test_a_link_in_the_place_of_a_file_is_refused(name, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path)
    with pytest.raises(ValueError, match=f"a {name} of its own, no link"):
        training.prepare(RECIPE, tmp_path / "run")


def test_a_log_without_backups_is_not_overwritten(stopped):
    shutil.rmtree(stopped.folder / "backup")
    before = contents(stopped.folder)
    with pytest.raises(ValueError, match="the backups of the epochs in its"):
        training.prepare(RECIPE, stopped.folder)
    assert contents(stopped.folder) == before


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize(
    "number, advice",
    [(errno.ENOSPC, "free space there"), (errno.EROFS, "make it writable")],
)
@pytest.mark.parametrize("file", ["SHA256SUMS", "last.keras", "report.html"])
def test_a_full_disk_is_told_and_spares_the_backups(
    file, number, advice, stopped, whole, monkeypatch
):
    run = training.prepare(RECIPE, stopped.folder)
    replace = os.replace

    def fail(source, target):
        if Path(target).name == file:
            raise OSError(number, os.strerror(number))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(_files.os, "replace", fail)
        with pytest.raises(OSError, match=f": {advice}, then start") as caught:
            run.fit(0)
    message = str(caught.value)
    assert str(run.folder) in message and "\n" not in message
    kept = run.backup.backups()[0]
    assert _files.find_damage(kept) is None
    assert kept.name in message
    assert not (run.folder / "backup" / "unfinished").exists()
    run = training.prepare(RECIPE, stopped.folder)
    run.fit(0)
    for ours, theirs in zip(values(run), values(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_resume_asks_for(stopped, tmp_path):
    with pytest.raises(ValueError, match="`run_folder` must hold a run to"):
        training.prepare(RECIPE, tmp_path / "new", resume="must")
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="`run_folder` must be new or empty"):
        training.prepare(RECIPE, stopped.folder, resume="never")
    with pytest.raises(ValueError, match="`resume` must be"):
        training.prepare(RECIPE, tmp_path / "new", resume="maybe")
