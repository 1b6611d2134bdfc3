from keras_tricks.callbacks._averaged_weights import AveragedWeights
from keras_tricks.optimizers import ScheduleFreeAdamW


class ScheduleFreeAverage(AveragedWeights):
    """Validates and saves what schedule-free training is about, its average.

    While `keras_tricks.optimizers.ScheduleFreeAdamW` trains, the model holds
    y, at which gradients are taken; x, the average of the fast weights z, is
    what the method recommends:

        x = (y - (1 - β₁) z) / β₁

    Validation inside `fit` sees x. So do callbacks *behind* this one at the
    end of an epoch, such as `ModelCheckpoint` and `EarlyStopping`, and what
    `fit` leaves. Training goes on with the very y and z that it had.

    Where x is in the model, the optimizer holds x in place of z as well: a
    model that is saved then, and trained on later, begins anew from x.

    The moving statistics of batch norms stay those of the forward passes at
    y, which the paper's authors advise to estimate again at x.

    Args:
        apply_at_end: Whether the average stays in the model when `fit` ends.
            Defaults to True; with False a later `fit` goes on as if there had
            been one, and `apply` is for the end.
        swap_on_epoch: Whether callbacks behind this one see the average at
            the end of an epoch. Defaults to True.

    Raises:
        ValueError: While training runs, if the model has another optimizer, a
            callback that keeps the best weights or a backup stands on the
            wrong side, or another callback averages weights.

    Example:
    >>> import keras, numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(ScheduleFreeAdamW(0.01), "mse")
    >>> x, y = np.ones((8, 2)), np.ones((8, 1))
    >>> history = model.fit(
    ...     x, y, validation_data=(x, y), verbose=0,
    ...     callbacks=[ScheduleFreeAverage()],
    ... )

    Reference:
        - [Defazio et al., 2024](https://arxiv.org/abs/2405.15682)
    """

    def on_train_begin(self, logs: dict | None = None) -> None:
        optimizer = self._optimizer()
        if not isinstance(optimizer, ScheduleFreeAdamW):
            raise ValueError(
                "`ScheduleFreeAverage` must be given a model with "
                "`keras_tricks.optimizers.ScheduleFreeAdamW`. "
                f"Received: optimizer={type(optimizer).__name__}"
            )
        super().on_train_begin(logs)

    def _optimizer(self):
        # Reading `model` attaches JAX's state to the variables.
        optimizer = self.model.optimizer
        return getattr(optimizer, "inner_optimizer", optimizer)

    def _variables(self):
        optimizer = self._optimizer()
        return optimizer.averaged_variables() if optimizer.built else []

    def _values(self):
        optimizer = self._optimizer()
        return [*optimizer.averaged_values()] * 2 if optimizer.built else []
