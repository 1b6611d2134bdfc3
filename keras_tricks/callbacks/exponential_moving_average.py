import io
import math

import keras
import numpy as np
from keras import ops

from keras_tricks._checks import check_int, check_real
from keras_tricks._files import write_atomically
from keras_tricks._types import PathLike, Tensor
from keras_tricks._untrusted import read_arrays
from keras_tricks.callbacks._averaged_weights import AveragedWeights


def average_decay(
    decay: float, update: int, every: int = 1, warmup: bool = False
) -> float:
    """Return the decay of one update of a moving average.

    `decay ** every`, or with warmup
    `min(decay, (1 + n) / (10 + n)) ** every` after `n = update * every`
    steps, so that the random initial weights are forgotten soon.

    Args:
        decay: Decay for one step, in [0, 1).
        update: Index of the update, from 0.
        every: Steps since the last update.
        warmup: Whether the decay grows from 0.1 to `decay`.

    Returns:
        The decay, a float.

    Example:
    >>> average_decay(0.5, update=0, every=2)
    0.25
    >>> average_decay(0.999, update=0, warmup=True)
    0.1
    """
    if warmup:
        steps = update * every
        decay = min(decay, (1 + steps) / (10 + steps))
    return decay**every


class ExponentialMovingAverage(AveragedWeights):
    """Averages all weights during training, batch statistics included.

    After each step, `average = d * average + (1 - d) * weight` with d the
    `ema_decay`, in float32, from the initial weights on; where TensorFlow
    builds the model with the first batch, from the weights after it.
    `use_ema=True` of core Keras' optimizers averages trainable weights only,
    and evaluates them with moving statistics of batch norms that belong to
    other weights.

    Validation inside `fit` sees the averaged weights, so every `val_` metric
    is theirs. So do callbacks *behind* this one in the list at the end of an
    epoch: `EarlyStopping(restore_best_weights=True)` and
    `ModelCheckpoint(save_best_only=True)` keep the weights that were scored,
    and what the former restores stays. Callbacks *before* this one see the
    training weights, as a resume needs: there `BackupAndRestore` belongs.
    What stands on the wrong side is refused.

    With gradient accumulation, one step is one real update. With
    `steps_per_execution`, `every` must be a multiple of it, since the weights
    in between are never seen; after the shorter execution that may end an
    epoch, the next update waits a little longer and its decay knows it.

    Args:
        ema_decay: Decay for one step, in [0, 1). Defaults to 0.999.
        warmup: Whether the decay starts at 0.1 and grows, see
            `average_decay`. Defaults to False. Use it in runs of less than
            some `5 / (1 - ema_decay)` steps.
        every: Steps between two updates, whose decay is then
            `ema_decay ** every`. Defaults to 1, which waits for the device
            after every step; a larger number costs less and averages as far
            back.
        apply_at_end: Whether the averaged weights stay in the model when
            `fit` ends. Defaults to True.
        swap_on_epoch: Whether callbacks behind this one see the averaged
            weights at the end of an epoch. Defaults to True.
        path: File ("....npz") that the average is saved to after each epoch,
            for `load`. Defaults to None.

    Raises:
        ValueError: If an argument is out of range, `every` does not suit
            `steps_per_execution`, the model has no weights, a loaded average
            does not fit it, a callback that keeps the best weights or a
            backup stands on the wrong side, or there is a second average.

    Example:
    >>> import keras, keras_tricks, numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> average = keras_tricks.callbacks.ExponentialMovingAverage(0.9)
    >>> history = model.fit(
    ...     np.ones((8, 2)), np.ones((8, 1)), verbose=0, callbacks=[average]
    ... )
    >>> len(average.averages) == len(model.weights)
    True
    """

    def __init__(
        self,
        ema_decay: float = 0.999,
        warmup: bool = False,
        every: int = 1,
        apply_at_end: bool = True,
        swap_on_epoch: bool = True,
        path: PathLike | None = None,
    ):
        super().__init__(apply_at_end, swap_on_epoch)
        self.ema_decay = check_real(
            "ema_decay", ema_decay, 0, 1, open_high=True
        )
        self.warmup = warmup
        self.every = check_int("every", every, 1)
        self.path = path
        self.averages: list[Tensor] | None = None
        self.updates = 0
        self._pending = 0

    def _variables(self) -> list:
        """Return the averaged weights of the model."""
        return _averaged(self.model)

    def _values(self) -> list:
        """Return their averages; an empty list before training."""
        return self.averages or []

    def on_train_begin(self, logs: dict | None = None) -> None:
        super().on_train_begin(logs)
        self._check_steps()
        weights = self._weights()
        self._is_new, self._is_first = self.averages is None, True
        if self._is_new:
            self.averages = weights.copies("float32")
        if self.model.built:
            self._check(weights.variables)

    def _check_steps(self):
        """Find out how many batches a step has, and how many are seen."""
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        accumulated = getattr(optimizer, "gradient_accumulation_steps", None)
        self._accumulated = accumulated or 1
        self._execution = self.model.steps_per_execution
        if self.every * self._accumulated % self._execution:
            common = math.gcd(self._execution, self._accumulated)
            raise ValueError(
                f"`every` must be a multiple of {self._execution // common} "
                f"where `steps_per_execution={self._execution}`, since the "
                "weights in between are never seen. "
                f"Received: every={self.every}"
            )
        self._done = 0
        self._count_batches()

    def _count_batches(self):
        """Return how many batches there were since the last call."""
        if self._execution == 1:
            return 1
        # Keras counts the last execution of an epoch as a whole one.
        before = self._done
        iterations = ops.convert_to_numpy(self.model.optimizer.iterations)
        self._done = int(iterations) * self._accumulated
        return self._done - before

    def _check(self, variables):
        if not variables:
            raise ValueError(
                "`ExponentialMovingAverage` must be given a model that has "
                f"weights. Received: model={self.model.name}"
            )
        ours = [tuple(average.shape) for average in self.averages]
        if ours != [tuple(variable.shape) for variable in variables]:
            raise ValueError(
                "The loaded average must have the shapes of the model's "
                f"{len(variables)} weights. Received: {len(ours)} arrays of "
                f"other shapes, model={self.model.name}"
            )

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        batches = self._count_batches()
        if self._is_first and self._starts_late():
            return
        self._pending += batches
        if self._pending >= self.every * self._accumulated:
            steps, self._pending = divmod(self._pending, self._accumulated)
            self._update(steps)

    def _starts_late(self):
        """Start with what the first batch has built, if it has."""
        self._is_first = False
        weights = self._weights()
        count = len(weights.variables)
        starts = self._is_new and count > len(self.averages)
        if starts:
            self.averages = weights.copies("float32")
        self._check(weights.variables)
        return starts

    def _update(self, steps):
        decay = average_decay(
            self.ema_decay, self.updates, self.every, self.warmup
        ) ** (steps / self.every)
        self.averages = self._weights().move(self.averages, 1.0 - decay)
        self.updates += 1

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self.path is not None:
            self.save(self.path)
        super().on_epoch_end(epoch, logs)

    def get_state(self) -> dict:
        """Return the average and its counters as a dict of NumPy arrays."""
        state = {
            "updates": np.asarray(self.updates),
            "pending": np.asarray(self._pending),
        }
        for index, average in enumerate(self.averages or []):
            array = np.array(ops.convert_to_numpy(average))
            state[f"average_{index:05d}"] = array
        return state

    def check_state(self, state: dict, model: keras.Model) -> None:
        """Check that a state is an average of the weights of a model.

        Raises:
            ValueError: If it is not; nothing is changed.
        """
        theirs = [np.shape(state[key]) for key in _keys(state)]
        if theirs != [tuple(v.shape) for v in _averaged(model)]:
            raise ValueError(
                "`state` must be an average of the weights of the model. "
                f"Received: {len(theirs)} arrays of other weights, "
                f"model={model.name}"
            )

    def set_state(self, state: dict) -> None:
        """Continue from a dict that `get_state` returned."""
        keys = _keys(state)
        self.updates = int(state["updates"])
        self._pending = int(state["pending"])
        self.averages = [
            ops.convert_to_tensor(np.array(state[key], "float32"))
            for key in keys
        ]

    def save(self, path: PathLike) -> None:
        """Write the average to `path` (.npz) in one piece."""
        buffer = io.BytesIO()
        np.savez(buffer, **self.get_state())
        write_atomically(path, buffer.getvalue())

    def load(self, path: PathLike) -> None:
        """Continue from a file that `save` wrote; call it before `fit`."""
        try:
            state = read_arrays(path)
        except (OSError, ValueError) as error:
            raise ValueError(
                "`path` must be a file that `save` wrote. "
                f"Received: path={str(path)!r} ({error})"
            ) from None
        self.set_state(state)


def _averaged(model):
    """Return the weights that have an average: not counters, not seeds."""
    return [
        variable
        for variable in model.weights
        if "float" in keras.backend.standardize_dtype(variable.dtype)
    ]


def _keys(state):
    """Return the names of the averages in a state, in order."""
    keys = sorted(key for key in state if key.startswith("average_"))
    # Of a count that is missing, the shape is no count's either.
    counts = [np.shape(state.get(key, [0])) for key in ("updates", "pending")]
    if not keys or counts != [(), ()]:
        raise ValueError(
            "`state` must come from `get_state`. "
            f"Received: state with keys {sorted(state)[:5]}"
        )
    return keys
