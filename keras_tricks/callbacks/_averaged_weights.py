"""How averages of weights come into a model to be scored, and out again."""

import keras

from keras_tricks import _backend
from keras_tricks._types import Tensor
from keras_tricks.callbacks._neighbors import find_neighbors


class AveragedWeights(keras.callbacks.Callback):
    """Base of callbacks that show averages where a model is scored or saved.

    Validation inside `fit` sees them, and so do callbacks behind this one at
    the end of an epoch. Training goes on with the bits that it had.

    Subclasses say which variables these are, and their averages.

    Args:
        apply_at_end: Whether the averages stay in the model when `fit` ends.
        swap_on_epoch: Whether callbacks behind this one see the averages at
            the end of an epoch.
    """

    def __init__(self, apply_at_end: bool = True, swap_on_epoch: bool = True):
        super().__init__()
        self.apply_at_end = apply_at_end
        self.swap_on_epoch = swap_on_epoch
        self._training_values: list[Tensor] | None = None
        self._group: _backend.VariableGroup | None = None

    def _variables(self) -> list:
        """Return the variables of the model whose values are swapped."""
        # Reading `model` attaches JAX's state to the variables.
        raise NotImplementedError

    def _values(self) -> list:
        """Return the average of each of them; empty if there is none yet."""
        raise NotImplementedError

    def _weights(self):
        """Return the variables as one group."""
        variables = self._variables()
        group = self._group or _backend.VariableGroup(variables)
        # The first batch builds layers, and quantization changes them.
        if [id(v) for v in group.variables] != [id(v) for v in variables]:
            group = _backend.VariableGroup(variables)
        self._group = group
        return group

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.swap_out()
        self._check_neighbors()

    def _check_neighbors(self):
        """Refuse callbacks that would keep other weights than is thought."""
        before, behind = find_neighbors(self)
        own = type(self).__name__
        for other in [*before, *behind]:
            if isinstance(
                other, (AveragedWeights, keras.callbacks.SwapEMAWeights)
            ):
                raise ValueError(
                    "`callbacks` must have one callback that puts averaged "
                    "weights into the model: two would take those of the other "
                    "for the training weights. Received: "
                    f"`{type(other).__name__}` beside `{own}`"
                )
            sees_average = self.swap_on_epoch and other in behind
            restores = getattr(other, "restore_best_weights", False)
            keeps_best = restores or getattr(other, "save_best_only", False)
            is_scored = str(getattr(other, "monitor", "")).startswith("val_")
            overwritten = restores and self.apply_at_end and other in before
            if keeps_best and is_scored and not sees_average or overwritten:
                raise ValueError(
                    f"`callbacks` must have `{type(other).__name__}` behind "
                    f"`{own}(swap_on_epoch=True)`, to keep "
                    f"the averaged weights that {other.monitor} belongs to. "
                    "Received: it stands "
                    f"{'behind' if other in behind else 'before'}, with "
                    f"swap_on_epoch={self.swap_on_epoch}"
                )
            if sees_average and isinstance(
                other, keras.callbacks.BackupAndRestore
            ):
                raise ValueError(
                    f"`callbacks` must have `{type(other).__name__}` before "
                    f"`{own}`, to save the training "
                    "weights. Received: it stands behind"
                )

    def swap_in(self) -> None:
        """Put the averaged weights into the model, until `swap_out`."""
        if self._training_values is not None:
            return
        weights, values = self._weights(), self._values()
        if values:
            self._training_values = weights.copies()
            weights.assign(values)

    def swap_out(self) -> bool:
        """Put the training weights back into the model.

        Returns:
            Whether the averaged ones were in.
        """
        if self._training_values is None:
            return False
        self._weights().assign(self._training_values)
        self._training_values = None
        return True

    def on_test_begin(self, logs: dict | None = None) -> None:
        self.swap_in()

    def on_test_end(self, logs: dict | None = None) -> None:
        self.swap_out()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.swap_out()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self.swap_on_epoch:
            self.swap_in()

    def on_train_end(self, logs: dict | None = None) -> None:
        self.swap_out()
        if self.apply_at_end:
            self.apply()

    def apply(self) -> None:
        """Put the averaged weights into the model, for good."""
        self.swap_out()
        weights, values = self._weights(), self._values()
        if values:
            weights.assign(values)

    def get_state(self) -> dict:
        """Return what a resume needs as a dict of NumPy arrays."""
        return {}

    def check_state(self, state: dict, model: keras.Model) -> None:
        """Refuse a state that is not of the weights of a model."""

    def set_state(self, state: dict) -> None:
        """Continue from a dict that `get_state` returned."""
