"""The small files of a run, which outlive the removal of its folder."""

import shutil
import sys
from pathlib import Path

import keras

from keras_tricks._files import remove_partial, storage_error, write_atomically

HISTORY = "history.csv"
UNFINISHED = "unfinished"
"""How the name of a model begins that is being saved."""


class KeptFiles:
    """Writes files into a folder, and again if somebody removes or moves it.

    Args:
        folder: The folder of a run.
        texts: What is written, by the names of files.
    """

    def __init__(self, folder: Path, texts: dict[str, str]):
        self.folder = folder
        self.texts = texts

    def begin(self) -> None:
        """Make the folder, remove what is half written there, and write."""
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_partial(self.folder)
        for path in self.folder.glob(f"{UNFINISHED}*.keras"):
            path.unlink()
        half = self.folder / "backup" / "unfinished"
        shutil.rmtree(half, ignore_errors=True)
        for name, text in self.texts.items():
            write_atomically(self.folder / name, text)

    def remember(self, name: str) -> None:
        """Keep what a file holds now, if it is there."""
        if (self.folder / name).exists():
            self.texts[name] = (self.folder / name).read_text("utf-8")

    def put_back(self) -> None:
        """Write the files that are no longer there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        gone = [n for n in self.texts if not (self.folder / n).exists()]
        for name in gone:
            write_atomically(self.folder / name, self.texts[name])
        if gone:
            print(
                f"Removed while training ran, and written again: "
                f"{', '.join(gone)} in {self.folder}",
                file=sys.stderr,
            )


class HistoryLogger(keras.callbacks.CSVLogger):
    """Writes history.csv, which can be put back with all its rows.

    Args:
        files: The `KeptFiles` of the run.
    """

    def __init__(self, files: KeptFiles):
        super().__init__(files.folder / HISTORY, append=True)
        self.files = files

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        path = self.files.folder / HISTORY
        if not path.exists():
            self.on_train_end()
            self.files.put_back()
            self.on_train_begin()
        super().on_epoch_end(epoch, logs)
        self.files.remember(HISTORY)


def begin_run(run):
    """Write what is known before the first step."""
    try:
        run.kept.begin()
        if not run.backup.backups():
            # The log of an epoch that ended, but not with a backup.
            (run.folder / HISTORY).unlink(missing_ok=True)
        run.kept.remember(HISTORY)
    except OSError as error:
        raise storage_error(error, run.folder, "Nothing was changed") from None
