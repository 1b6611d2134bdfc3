import math
import os
import re
import shutil
import warnings
from pathlib import Path

import keras

_NAME = re.compile(r"epoch_(\d+)")


class Backup(keras.callbacks.Callback):
    """Saves after every epoch all that an exact resume needs.

    Weights, optimizer, loss scale and averaged weights go into one folder,
    which gets its final name `epoch_<n>` only when it is complete, after `n`
    epochs; then the one before is deleted. A run that is killed at any
    moment finds a whole backup. Where order and augmentation are functions
    of (seed, epoch, step), as in `keras_tricks.data.Batches`, the resumed
    run repeats exactly what the uninterrupted one did.

    `keras.callbacks.BackupAndRestore` writes weights and epoch one after the
    other, and can pair one epoch's weights with another's number.

    Call `restore` before `fit` and give its result as `initial_epoch`. Place
    the callback last: an epoch that is saved is not repeated, so whatever
    other callbacks do at its end must be done. It saves the training weights
    also where `average` has swapped its own in.

    Args:
        folder: Folder for the backups, made if it does not exist.
        average: The `ExponentialMovingAverage` of the run, if there is one.

    Example:
    >>> import keras, numpy as np, tempfile
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> backup = Backup(tempfile.mkdtemp())
    >>> epoch = backup.restore(model)
    >>> history = model.fit(
    ...     np.ones((8, 2)), np.ones((8, 1)), epochs=3, initial_epoch=epoch,
    ...     verbose=0, callbacks=[backup]
    ... )
    >>> epoch, backup.restore(model)
    (0, 3)
    """

    def __init__(self, folder, average=None):
        super().__init__()
        self.folder = Path(folder)
        self.average = average

    def _backups(self):
        """Returns the complete backups by their epoch."""
        if not self.folder.is_dir():
            return {}
        found = {
            path: _NAME.fullmatch(path.name) for path in self.folder.iterdir()
        }
        return {int(m[1]): path for path, m in found.items() if m}

    def restore(self, model) -> int:
        """Restores the last backup.

        Args:
            model: The compiled and built model.

        Returns:
            The number of epochs done, 0 without a backup.

        Raises:
            ValueError: If the backup is of another model or unreadable.
        """
        backups = self._backups()
        if not backups:
            return 0
        epoch = max(backups)
        path = backups[epoch]
        if not model.optimizer.built:
            # Without its variables the optimizer's state would be skipped.
            model.optimizer.build(model.trainable_variables)
        try:
            with warnings.catch_warnings():
                # Keras only warns of a part that it skips.
                warnings.filterwarnings("error", "Skipping variable loading")
                model.load_weights(path / "state.weights.h5")
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                "`folder` must hold backups of this very model and optimizer "
                f"({reason}). Received: folder={str(self.folder)!r}"
            ) from None
        if self.average is not None:
            self.average.load(path / "average.npz")
        return epoch

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            # Weights that diverged must not replace those that did not.
            return
        if self.average is not None:
            self.average.swap_out()
        self.folder.mkdir(parents=True, exist_ok=True)
        staged = self.folder / "unfinished"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        self.model.save_weights(staged / "state.weights.h5")
        if self.average is not None:
            self.average.save(staged / "average.npz")
        done = epoch + 1
        final = self.folder / f"epoch_{done:05d}"
        shutil.rmtree(final, ignore_errors=True)
        os.replace(staged, final)
        for other, path in self._backups().items():
            if other != done:
                shutil.rmtree(path)
