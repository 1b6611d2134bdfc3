import multiprocessing
import multiprocessing.context
import os
import threading
import warnings
from typing import Any

import keras

from keras_tricks import _backend
from keras_tricks._checks import check_int

_NOT_GIVEN = -1
# What `_shared` holds: the epoch, whether it was ever told, and how many
# passes each worker of a DataLoader has begun.
_EPOCH, _TOLD, _PASSES = range(3)
_WORKERS = 256
# Steps that are remembered to notice one that comes again.
_MOST_SEEN = 2**16


class StepLayer(keras.layers.Layer):
    """A layer of data pipelines that draws by (seed, epoch, step).

    The epoch lies in memory that worker processes share, where they are
    forked, or started by `multiprocessing`; other copies have their own. As
    long as it is never told, each worker of a torch `DataLoader` counts the
    passes it begins.

    Args:
        seed: Integer, at least 0.
        **kwargs: Of `keras.layers.Layer`.
    """

    def __init__(self, seed: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = check_int("seed", seed)
        self._shared = multiprocessing.RawArray("q", _PASSES + _WORKERS)
        self._process, self._is_worker = os.getpid(), False
        self._next_step, self._counted_epoch = 0, 0
        self._seen: set[int] = set()
        self._has_warned = False
        self._counting = threading.Lock()
        self.built = True

    @property
    def epoch(self) -> int:
        """The epoch that was told last, or 0."""
        return self._shared[_EPOCH]

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next batches and restart the step counter."""
        self._shared[_EPOCH] = check_int("epoch", epoch)
        self._shared[_TOLD] = True
        with self._counting:
            self._next_step, self._counted_epoch = 0, epoch
            self._seen.clear()

    def _given(self, epoch, step):
        """Return integers for `_epoch_and_step`, which may be called later."""
        for name, value in (("epoch", epoch), ("step", step)):
            if value is not None and not hasattr(value, "dtype"):
                check_int(name, value)
            if len(getattr(value, "shape", ())) > 0:
                raise ValueError(
                    f"Argument `{name}` must be one integer. "
                    f"`{type(self).__name__}` takes images and labels; sample "
                    "weights cannot be mixed. "
                    f"Received: {name} of shape {tuple(value.shape)}"
                )
        return tuple(
            _NOT_GIVEN if value is None else value for value in (epoch, step)
        )

    def _epoch_and_step(self, epoch, step):
        """Return what was given, or else the layer's state, which counts on."""
        if epoch != _NOT_GIVEN and step != _NOT_GIVEN:
            return int(epoch), int(step)
        worker = _backend.torch_worker()
        with self._counting:
            if os.getpid() != self._process:
                self._begin_in_worker(worker)
            if epoch == _NOT_GIVEN:
                epoch = self._known_epoch(worker)
                if step != _NOT_GIVEN and not self._shared[_TOLD]:
                    self._notice(epoch, int(step))
            if step == _NOT_GIVEN:
                step = self._count(epoch, worker)
        return int(epoch), int(step)

    def _begin_in_worker(self, worker):
        self._process, self._is_worker = os.getpid(), True
        self._next_step, self._counted_epoch = 0, self.epoch
        self._seen = set()
        if worker is not None:
            self._shared[_PASSES + worker[0] % _WORKERS] += 1

    def _known_epoch(self, worker):
        if worker is None or self._shared[_TOLD]:
            return self.epoch
        return self._shared[_PASSES + worker[0] % _WORKERS] - 1

    def _count(self, epoch, worker):
        """Return the next step; workers of a DataLoader take turns."""
        if self._is_worker and worker is None:
            raise ValueError(
                f"Argument `step` must be given to `{type(self).__name__}` in "
                "worker processes, each of which has a copy of the layer. "
                "Received: step=None"
            )
        if self._is_worker and epoch != self._counted_epoch:
            self._next_step, self._counted_epoch = 0, epoch
        number, workers = worker or (0, 1)
        step = self._next_step * workers + number
        self._next_step += 1
        return step

    def _notice(self, epoch, step):
        """Warn once of a step that comes again where no epoch is told."""
        if step in self._seen and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"`{self.name}` mixes step {step} of epoch {epoch} again, in "
                "the same way: nobody tells it the epoch. Give "
                "`callbacks=[keras_tricks.callbacks.SetEpoch(layer)]` to "
                "`fit`, or `epoch` to the call",
                stacklevel=2,
            )
        elif len(self._seen) < _MOST_SEEN:
            self._seen.add(step)

    def get_config(self) -> dict:
        return {**super().get_config(), "seed": self.seed}

    def __reduce__(self):
        """Make copies for worker processes, the epoch included."""
        shared = list(self._shared)
        if multiprocessing.context.get_spawning_popen() is not None:
            shared = self._shared
        state = self._process, self._next_step, self._counted_epoch
        return _restore, (type(self), self.get_config(), shared, state)


def _restore(layer_class, config, shared, state):
    layer = layer_class.from_config(config)
    if isinstance(shared, list):
        layer._shared[:] = shared
    else:
        layer._shared = shared
    layer._process, layer._next_step, layer._counted_epoch = state
    return layer
