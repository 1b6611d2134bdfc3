from typing import Any

import keras

from keras_tricks._checks import check_int

_NOT_GIVEN = -1


class StepLayer(keras.layers.Layer):
    """A layer of data pipelines that draws by (seed, epoch, step).

    Args:
        seed: Integer, at least 0.
        **kwargs: Of `keras.layers.Layer`.
    """

    def __init__(self, seed: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = check_int("seed", seed)
        self.epoch = 0
        self._next_step = 0
        self.built = True

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next batches and restart the step counter."""
        self.epoch = check_int("epoch", epoch)
        self._next_step = 0

    def _given(self, epoch, step):
        """Return integers for `_epoch_and_step`, which may be called later."""
        return tuple(
            _NOT_GIVEN if value is None else value for value in (epoch, step)
        )

    def _epoch_and_step(self, epoch, step):
        """Return what was given, or else the layer's state, which counts on."""
        epoch = self.epoch if epoch == _NOT_GIVEN else int(epoch)
        if step == _NOT_GIVEN:
            step = self._next_step
            self._next_step += 1
        return epoch, int(step)

    def get_config(self) -> dict:
        return {**super().get_config(), "seed": self.seed}

    def __reduce__(self):
        """Make copies for worker processes, the epoch included."""
        state = type(self), self.get_config(), self.epoch, self._next_step
        return _restore, state


def _restore(layer_class, config, epoch, next_step):
    layer = layer_class.from_config(config)
    layer.epoch, layer._next_step = epoch, next_step
    return layer
