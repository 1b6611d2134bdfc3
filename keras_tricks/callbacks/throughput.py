import math
import time

import keras

from keras_tricks._checks import check_int


class Throughput(keras.callbacks.Callback):
    """Logs training images per second of each epoch.

    `images_per_second = batch_size * steps / seconds`, where the seconds end
    before validation. A smaller last batch counts as a full one.

    Args:
        batch_size: Integer, the global batch size.
        skip_first: Whether the first step of the run, which includes
            compilation, is left out. Defaults to True. A first epoch of one
            step then logs NaN.

    Raises:
        ValueError: If `batch_size` is not a positive integer.

    Example:
    >>> import keras, keras_tricks, numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(
    ...     np.zeros((8, 2)), np.zeros((8, 1)), batch_size=4, verbose=0,
    ...     callbacks=[keras_tricks.callbacks.Throughput(batch_size=4)]
    ... )
    >>> history.history["images_per_second"][0] > 0
    True
    """

    def __init__(self, batch_size: int, skip_first: bool = True):
        super().__init__()
        self.batch_size = check_int("batch_size", batch_size, 1)
        self.skip_first = skip_first

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._skip = self.skip_first

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._start = time.perf_counter()
        self._stop = None
        self._skipped = 0
        self._step = 0

    def on_train_batch_begin(
        self, batch: int, logs: dict | None = None
    ) -> None:
        self._step = batch
        if self._skip and batch > 0:
            self._start = time.perf_counter()
            self._skipped = batch
            self._skip = False

    def on_test_begin(self, logs: dict | None = None) -> None:
        self._stop = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if logs is None:
            return
        seconds = (self._stop or time.perf_counter()) - self._start
        # `_model`: reading `model` would pull JAX's state off the device.
        steps = self._step + self._model.steps_per_execution
        if self.params["steps"] is not None:
            steps = min(steps, self.params["steps"])
        images = self.batch_size * (steps - self._skipped)
        speed = math.nan if self._skip else images / seconds
        logs["images_per_second"] = speed
        self._skip = False
