"""The average precision of each class, after each epoch of a run."""

import csv
from collections.abc import Sequence
from pathlib import Path

import keras

from keras_tricks._files import write_atomically
from keras_tricks._text import as_table
from keras_tricks.metrics import MeanAveragePrecision

PRECISIONS = "average_precision.tsv"


class ClassPrecision(keras.callbacks.Callback):
    """Writes average_precision.tsv: a row for each epoch, a column a class.

    They are those of the validation images that the model's
    `MeanAveragePrecision` has seen; NaN of a class without one. A run that
    goes on keeps the rows of the epochs before.

    Args:
        folder: The folder of a run.
        class_names: K names.

    Example:
    >>> import tempfile
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model.compile("sgd", "mse", metrics=[MeanAveragePrecision(2)])
    >>> x = y = np.eye(2)
    >>> precision = ClassPrecision(tempfile.mkdtemp(), ("cat", "dog"))
    >>> history = model.fit(
    ...     x, y, validation_data=(x, y), callbacks=[precision], verbose=0
    ... )
    >>> precision.path.read_text().split()[:3]
    ['epoch', 'cat', 'dog']
    """

    def __init__(self, folder: str | Path, class_names: Sequence[str]):
        super().__init__()
        self.path = Path(folder) / PRECISIONS
        self.class_names = class_names

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        (metric,) = (
            part
            for one in self.model.metrics
            for part in getattr(one, "metrics", [one])
            if isinstance(part, MeanAveragePrecision)
        )
        rows: list[list] = []
        if self.path.exists():
            with open(self.path, newline="", encoding="utf-8") as file:
                _, *rows = csv.reader(file, "excel-tab")
        values = keras.ops.convert_to_numpy(metric.per_class())
        rows = [row for row in rows if int(row[0]) < epoch]
        rows.append([epoch, *(f"{value:.6g}" for value in values)])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = as_table([("epoch", *self.class_names), *rows])
        write_atomically(self.path, text)
