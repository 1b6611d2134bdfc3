"""The callbacks of a training run, in their order."""

import math
import os
from pathlib import Path

import keras

from keras_tricks import callbacks
from keras_tricks._files import replace_durably
from keras_tricks.report import read_run
from keras_tricks.training.class_precision import ClassPrecision
from keras_tricks.training.kept_files import UNFINISHED, HistoryLogger


def run_callbacks(run, batches, done):
    """Return the callbacks that add to the logs, then those that write them."""
    yield callbacks.ExplainNaN()
    yield callbacks.SetEpoch(batches)
    yield callbacks.LearningRateLogger()
    yield callbacks.LossScaleLogger()
    yield callbacks.Throughput(batches.batch_size)
    yield HistoryLogger(run.kept)
    yield callbacks.TensorBoardScalars(run.folder / "events")
    if run.recipe.multi_label:
        yield ClassPrecision(run.folder, run.data.class_names)
    if run.average is not None:
        yield run.average
    yield _BestModel(run, _best_so_far(run, done))
    # Last: an epoch that is saved is not repeated, so its best model must be.
    yield run.backup


_LOGS = (keras.callbacks.CSVLogger, callbacks.TensorBoardScalars)
"""Those that hold files open."""


def close_logs(used):
    """Close the files that Keras leaves open where `fit` raises."""
    for callback in used:
        begun = getattr(callback, "csv_file", True) is not None
        if isinstance(callback, _LOGS) and begun:
            callback.on_train_end()


class _BestModel(keras.callbacks.ModelCheckpoint):
    """Keeps the model of the best epoch, never a file half written."""

    def __init__(self, run, best_so_far):
        path = run.folder / "best.keras"
        super().__init__(
            path.with_name(f"{UNFINISHED}_best.keras"),
            monitor=run.recipe.measure,
            mode="max",
            save_best_only=True,
            initial_value_threshold=best_so_far,
        )
        self.path = path
        self.distribution = run.distribution

    def set_model(self, model):
        # Of a distiller the student alone.
        super().set_model(getattr(model, "student", model))

    def on_epoch_end(self, epoch, logs=None):
        Path(self.filepath).unlink(missing_ok=True)  # Were it a link.
        # None yet, or removed. All processes save, or none: that of the first
        # one counts, the others begin in an empty folder.
        is_chief = self.distribution.is_chief
        if self.distribution.any(is_chief and not self.path.exists()):
            self.best = -math.inf
        super().on_epoch_end(epoch, logs)
        if os.path.exists(self.filepath):
            replace_durably(self.filepath, self.path)


def _best_so_far(run, done):
    """Return the best value of the epochs that will not be repeated."""
    if not done:
        return None
    values = read_run(run.folder).history[run.recipe.measure]
    return max(values[:done])
