from typing import Any

import keras

from keras_tricks._checks import check_int


class MixUpOff(keras.callbacks.Callback):
    """Turns mixup off for the last epochs of training.

    Mixing runs in the epochs `0, ..., E - N - 1` of `E` and not in the last
    `N`, so that training ends on the images that will be met later.

    The callback also tells the layers the epoch (see `SetEpoch`), since the
    switch depends on it.

    Args:
        mix_up: A `keras_tricks.layers.MixUp`, `CutMix` or `MixUpOrCutMix`,
            or a list of several.
        last_epochs: Integer `N` from 0 to the number of epochs. 0 never
            turns mixup off.
        total_epochs: The number of epochs `E` of the whole training. Defaults
            to the `epochs` given to `fit`; give it when training is cut
            into several calls of `fit`.

    Raises:
        ValueError: If `last_epochs` is negative or exceeds the epochs, or if
            `mix_up` has no attribute `off_from_epoch`.

    Example:
    >>> import keras_tricks
    >>> mix_up = keras_tricks.layers.MixUp(alpha=0.2, num_classes=10)
    >>> callback = keras_tricks.callbacks.MixUpOff(mix_up, last_epochs=20)
    >>> callback.set_params({"epochs": 200})
    >>> callback.on_train_begin()
    >>> mix_up.off_from_epoch
    180

    Reference:
        - An option of the authors' training scripts; the paper (section 5.4)
          mixes to the end
    """

    def __init__(
        self, mix_up: Any, last_epochs: int, total_epochs: int | None = None
    ):
        super().__init__()
        layers = mix_up if isinstance(mix_up, (list, tuple)) else [mix_up]
        for layer in layers:
            if not hasattr(layer, "off_from_epoch"):
                raise ValueError(
                    "`mix_up` must be a keras_tricks.layers.MixUp or a list "
                    f"of them. Received: mix_up={mix_up!r}"
                )
        self.mix_up = list(layers)
        self.last_epochs = check_int("last_epochs", last_epochs)
        self.total_epochs = total_epochs
        if total_epochs is not None:
            self._check_total(total_epochs)

    def _check_total(self, epochs):
        if self.last_epochs > epochs:
            raise ValueError(
                "`last_epochs` must not exceed the number of epochs, which "
                f"is {epochs}. Received: last_epochs={self.last_epochs}"
            )

    def on_train_begin(self, logs: dict | None = None) -> None:
        epochs = self.total_epochs
        if epochs is None:
            epochs = self.params["epochs"]
        self._check_total(epochs)
        for layer in self.mix_up:
            layer.off_from_epoch = epochs - self.last_epochs

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        for layer in self.mix_up:
            layer.set_epoch(epoch)
