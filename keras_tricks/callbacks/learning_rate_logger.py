import keras


def last_learning_rate(optimizer) -> float:
    """Return the learning rate of the last update that an optimizer made.

    A schedule is evaluated at the optimizer's counter minus one. With
    gradient accumulation over `k` batches, core Keras' schedules see the
    number of batches, so the last of `n` updates was made at `n * k - 1`.

    Args:
        optimizer: A `keras.optimizers.Optimizer`, or a
            `keras.optimizers.LossScaleOptimizer` around one. If it has a
            method `learning_rate_at(update)`, that answers.

    Returns:
        A Python float. Before the first update, the rate it will have.

    Example:
    >>> import keras
    >>> schedule = keras.optimizers.schedules.CosineDecay(0.5, 100)
    >>> last_learning_rate(keras.optimizers.SGD(schedule))
    0.5
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    updates = int(_to_float(optimizer.iterations))
    if hasattr(optimizer, "learning_rate_at"):
        return _to_float(optimizer.learning_rate_at(max(updates - 1, 0)))
    rate = optimizer._learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        batches = optimizer.gradient_accumulation_steps or 1
        return _to_float(rate(max(updates * batches - 1, 0)))
    return _to_float(optimizer.learning_rate)


def _to_float(value):
    value = keras.ops.convert_to_tensor(value)
    return float(keras.ops.convert_to_numpy(value))


class LearningRateLogger(keras.callbacks.Callback):
    """Logs the learning rate of the step just taken as `learning_rate`.

    After step `i` (from 0) of a schedule `f` the logs hold `f(i)`, the rate
    that step used. What core Keras shows there, `optimizer.learning_rate`,
    is `f(i + 1)`, the rate of the next step. See `last_learning_rate`.

    `keras.callbacks.ReduceLROnPlateau` and `LearningRateScheduler` log the
    rate by themselves, the former before it changes it for the next epoch:
    behind them that value is kept. Put this callback before any other that
    changes the rate at the end of an epoch.

    Args:
        per_batch: Whether the logs of every batch hold the rate too, for
            callbacks further down the list. It reads the optimizer's counter
            after every batch, so the device is waited for. Defaults to
            False: only the logs of the epoch, at no cost.

    Raises:
        ValueError: At the start of `fit`, if the optimizer has no single
            learning rate (`keras.optimizers.MultiOptimizer`).

    Example:
    >>> import keras, keras_tricks, numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> schedule = keras.optimizers.schedules.PolynomialDecay(1.0, 4, 0.0)
    >>> model.compile(keras.optimizers.SGD(schedule), "mse")
    >>> history = model.fit(
    ...     np.zeros((8, 2)), np.zeros((8, 1)), batch_size=4, epochs=2,
    ...     verbose=0, callbacks=[keras_tricks.callbacks.LearningRateLogger()]
    ... )
    >>> history.history["learning_rate"]
    [0.75, 0.25]
    """

    def __init__(self, per_batch: bool = False):
        super().__init__()
        self.per_batch = per_batch
        if per_batch:
            # Defined here and not on the class: Keras dispatches callbacks
            # asynchronously only where this method is not overridden.
            self.on_train_batch_end = self._add_to_logs

    def _add_to_logs(self, index, logs=None):
        if logs is not None:
            self._last = last_learning_rate(self.model.optimizer)
            logs["learning_rate"] = self._last

    def on_train_begin(self, logs: dict | None = None) -> None:
        if hasattr(self.model.optimizer, "optimizers"):
            raise ValueError(
                "`LearningRateLogger` must be used with an optimizer that "
                "has one learning rate. Received: "
                f"optimizer={type(self.model.optimizer).__name__}"
            )

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if logs is None or "learning_rate" in logs:
            return
        if self.per_batch:
            logs["learning_rate"] = self._last
        else:
            self._add_to_logs(epoch, logs)
