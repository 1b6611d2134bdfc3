import importlib
import os
from typing import Any

import keras

from keras_tricks._types import PathLike


class TensorBoardScalars(keras.callbacks.Callback):
    """Writes the logs of every epoch as TensorBoard events.

    `keras.callbacks.TensorBoard` fails without TensorFlow on every backend;
    this one needs the package `tensorboard` alone. Validation metrics are
    written under the same names into a run of their own, so that TensorBoard
    draws both curves into one chart.

    Args:
        folder: Folder for the events, made if it does not exist; the runs
            are its subfolders `train` and `validation`.

    Raises:
        ImportError: If `tensorboard` is missing.

    Example:
    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> callback = TensorBoardScalars(folder)
    >>> callback.on_epoch_end(0, {"loss": 2.0, "val_loss": 2.5})
    >>> callback.on_train_end()
    >>> sorted(os.listdir(folder))
    ['train', 'validation']
    """

    def __init__(self, folder: PathLike):
        super().__init__()
        try:
            summary = importlib.import_module("tensorboard.summary")
        except ImportError as error:
            raise ImportError(
                "TensorBoard events need `pip install "
                f'"keras_tricks[report]"`. Received: {error}'
            ) from None
        self.folder = os.fspath(folder)
        self._new_writer = summary.Writer
        self._writers: dict[str, Any] = {}

    def _writer(self, run):
        path = os.path.join(self.folder, run)
        if run not in self._writers or not os.path.isdir(path):
            self._writers[run] = self._new_writer(path)
        return self._writers[run]

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        for name, value in (logs or {}).items():
            run = "validation" if name.startswith("val_") else "train"
            name = name.removeprefix("val_")
            self._writer(run).add_scalar(name, float(value), epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: dict | None = None) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
