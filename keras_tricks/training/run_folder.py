"""Which folders a training run may begin or continue in."""

import atexit
import contextlib
import dataclasses
import importlib.util
import os
import tempfile
from pathlib import Path

from keras_tricks import callbacks
from keras_tricks._checks import check_choice
from keras_tricks._files import storage_error, temporary_folder
from keras_tricks._lock import LOCK_FILE, FolderLock
from keras_tricks.recipe import Recipe

# What is written where it is, not beside it first.
_IN_PLACE = ("history.csv", "events", "backup")


def open_folder(recipe, run_folder, resume, writes):
    """Return the lock of the folder of a new or an interrupted run.

    It has been acquired for the process that writes.
    """
    lock = FolderLock(run_folder, "run_folder")
    _check_folder(recipe, lock.folder, resume)
    if writes:
        try:
            lock.acquire()
        except OSError as error:
            kept = "Nothing was changed"
            raise storage_error(error, lock.folder, kept) from None
        try:  # What another process did in between.
            _check_folder(recipe, lock.folder, resume)
        except BaseException:
            lock.release()
            raise
    return lock


def _check_folder(recipe, folder, resume):
    """Check that a run may begin or continue in a folder."""
    check_choice("resume", resume, ("auto", "must", "never"))
    for package in ("jinja2", "matplotlib", "tensorboard"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                "A training run writes a report: `pip install "
                f'"keras_tricks[report]"`. Received: no module {package!r}'
            )
    for name in _IN_PLACE:
        if (folder / name).is_symlink():
            raise ValueError(
                f"`run_folder` must have a {name} of its own, no link: what "
                f"is there would be overwritten. Received: {folder / name}"
            )
    try:
        str(folder).encode("utf-8")
    except UnicodeEncodeError:  # Logs of TensorBoard cannot be in it.
        raise ValueError(
            "`run_folder` must be a path in UTF-8. "
            f"Received: run_folder={str(folder)!r}"
        ) from None
    if (folder / "result.json").exists():
        raise ValueError(
            "`run_folder` must be new or hold an interrupted run. "
            f"Received: run_folder={str(folder)!r}, a complete run"
        )
    if (folder / "recipe.json").exists():
        check_same(recipe, folder)
    backups = callbacks.Backup(folder / "backup").backups()
    if resume == "must" and not backups:
        raise ValueError(
            "`run_folder` must hold a run to resume with resume='must'. "
            f"Received: run_folder={str(folder)!r}, without a backup"
        )
    found = folder.iterdir() if folder.is_dir() else ()
    if resume == "never" and any(path.name != LOCK_FILE for path in found):
        raise ValueError(
            "`run_folder` must be new or empty with resume='never'. "
            f"Received: run_folder={str(folder)!r}"
        )
    history = folder / "history.csv"
    if not backups and history.exists():
        # The backup of an epoch is complete before the next one's log.
        if len(history.read_text("utf-8").splitlines()) > 2:
            raise ValueError(
                "`run_folder` must be new or hold the backups of the epochs "
                f"in its history.csv. Received: run_folder={str(folder)!r}"
            )


def writing_folder(folder, distribution):
    """Return where a process writes: the first one's is what is kept.

    All processes must do what touches the weights, such as saving them.
    """
    if distribution.is_chief:
        return folder
    stack = contextlib.ExitStack()
    target = Path(tempfile.gettempdir()) / "keras_tricks"
    scratch = stack.enter_context(temporary_folder(target, 0o700))
    atexit.register(stack.close)
    return scratch


def check_same(recipe: Recipe, run_folder: str | os.PathLike) -> None:
    """Check that a folder holds a run of this very recipe.

    Raises:
        ValueError: If its recipe.json is missing or differs; the message
            names the first field.

    Example:
    >>> import pathlib, tempfile
    >>> from keras_tricks import Recipe
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "recipe.json").write_text(Recipe().to_json())
    >>> check_same(Recipe(), folder)
    """
    other = Recipe.load(Path(run_folder) / "recipe.json")
    check_equal(recipe, other, run_folder)


def check_equal(recipe, other, run_folder):
    """Refuse a recipe whose result is not that of the run in a folder."""
    for field in dataclasses.fields(Recipe):
        if not field.metadata["changes_result"]:
            continue
        ours, theirs = (getattr(r, field.name) for r in (recipe, other))
        if ours != theirs:
            raise ValueError(
                "`run_folder` must be new or hold a run of the same recipe. "
                f"Received: run_folder={str(run_folder)!r}, where "
                f"{field.name} is {theirs!r} and not {ours!r}"
            )
