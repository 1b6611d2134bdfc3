import json
import math
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_tricks import _backend, _files
from keras_tricks._checks import check_int
from keras_tricks._types import PathLike
from keras_tricks.callbacks import _saved_state
from keras_tricks.callbacks._averaged_weights import AveragedWeights
from keras_tricks.callbacks._neighbors import find_neighbors
from keras_tricks.distribute.base import Distribution


class Backup(keras.callbacks.Callback):
    """Saves all that an exact resume needs, after every epoch or more often.

    A backup is a folder `epoch_<n>`, written after `n` epochs, or
    `epoch_<n>_step_<m>`, `m` batches later. It has the weights, the
    optimizer with its counter, the loss scale, the seeds of layers such as
    dropout, which a .weights.h5 file has not, the averaged weights, the
    running metrics and copies of logs. It gets its name only when all of it
    is on the disk, together with the checksums of its files (SHA256SUMS).
    So a process that is killed, or a power cut, leaves whole backups, and
    one that was damaged later is noticed: the one before is then used.

    Where order and augmentation are functions of (seed, epoch, step), as in
    `keras_tricks.data.Batches`, the resumed run repeats exactly what the
    uninterrupted one did. `keras.callbacks.BackupAndRestore` writes weights
    and epoch one after the other, and can pair one epoch's weights with
    another's number.

    Call `restore` before `fit` and give its result as `initial_epoch`. If
    `step` is not 0 then, first `fit` the rest of that one epoch, with
    `keras_tricks.data.RestOfEpoch(batches, backup.step)`; where TensorFlow
    runs, call `model.test_on_batch` before, so that there are metrics to go
    on with.

    Place the callback last: an epoch that is saved is not repeated, so
    whatever other callbacks do at its end must be done. It saves the
    training weights also where `average` has swapped its own in.

    Args:
        folder: Folder for the backups, made if it does not exist.
        average: The `ExponentialMovingAverage` or `ScheduleFreeAverage` of
            the run, if there is one; another one, or none, is refused where
            `fit` starts.
        keep: How many backups stay, the last ones. There is room needed for
            one more. Defaults to 2.
        every_steps: Batches between backups within an epoch. Defaults to
            `None`: only after each.
        logs: Files that grow while training runs, such as that of
            `keras.callbacks.CSVLogger`: `restore` puts back what they held.
            They must be there when an epoch has ended.
        parts: Dict of other objects by name, with `get_state` and
            `set_state` of what fits into JSON. If they have `check_state`,
            `restore` calls it before it changes anything.
        before_restore: Function of epochs and steps done, which `restore`
            calls before it compares the model with a backup, say to let train
            what trained then. Defaults to `None`.
        distribution: The `keras_tricks.distribute.Distribution` of the run:
            where there are several processes, each has this callback with
            the same folder, on a disk that they share. Process 0 writes.

    Raises:
        ValueError: If an argument is out of range.
        OSError: While training runs, if the disk is full or the folder
            cannot be written; the earlier backups stay.

    Example:
    >>> import keras, numpy as np, tempfile
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> backup = Backup(tempfile.mkdtemp())
    >>> epoch = backup.restore(model)
    >>> history = model.fit(
    ...     np.ones((8, 2)), np.ones((8, 1)), epochs=3, initial_epoch=epoch,
    ...     verbose=0, callbacks=[backup]
    ... )
    >>> epoch, backup.restore(model), backup.step
    (0, 3, 0)
    """

    def __init__(
        self,
        folder: PathLike,
        average: AveragedWeights | None = None,
        keep: int = 2,
        every_steps: int | None = None,
        logs: Sequence[PathLike] = (),
        parts: Mapping[str, Any] | None = None,
        distribution: Distribution | None = None,
        before_restore: Callable[[int, int], None] | None = None,
    ):
        super().__init__()
        self.folder = Path(folder)
        self.average = average
        self.keep = check_int("keep", keep, 1)
        if every_steps is not None:
            check_int("every_steps", every_steps, 1)
        self.every_steps = every_steps
        self.logs = [Path(log) for log in logs]
        self.parts = parts or {}
        self.before_restore = before_restore
        self.distribution = distribution or Distribution()
        self.step = 0
        self._at: tuple[int, int] | None = None
        self._state: dict | None = None
        self._damaged: list[Path] = []

    def backups(self) -> list[Path]:
        """Return the backups that have their name, the last one first."""
        found, _ = _saved_state.find_all(self.folder)
        return [found[place] for place in sorted(found, reverse=True)]

    def restore(self, model: keras.Model) -> int:
        """Restore the last backup that is whole.

        Afterwards `step` is the number of batches that were done in the
        epoch that comes next.

        Args:
            model: The compiled and built model.

        Returns:
            The number of epochs done, 0 without a backup.

        Raises:
            ValueError: If the backup is of another model, lacks a part or a
                log, or is a copy of another one; if something else is called
                as a backup; or there are backups but none is whole. Nothing
                was changed then.
        """
        path, state, more = self.distribution.together(self._find)
        found = self.distribution.gather(path and path.name)
        if len(set(found)) > 1:
            raise ValueError(
                "`folder` must be on a disk that all processes share. "
                f"Received: folder={str(self.folder)!r}, where the processes "
                f"find {found}"
            )
        if path is None:
            return 0
        if self.before_restore is not None:
            self.before_restore(*_saved_state.place(path))
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        variables = _saved_state.variables(model)
        self._check_all(path, state, more, variables, model)
        if self.average is not None:
            self.average.set_state(state.get("average", {}))
        for part in ("weights", "optimizer", "seeds"):
            _saved_state.assign(variables[part], state[part])
        for name, part in self.parts.items():
            part.set_state(more["parts"][name])
        for log in self.logs:
            if (path / log.name).is_file():
                _files.write_atomically(log, (path / log.name).read_bytes())
            else:
                log.unlink(missing_ok=True)
        self._at = epoch, self.step = _saved_state.place(path)
        self._state = {part: state[part] for part in _saved_state.IN_FIT}
        return epoch

    def _find(self):
        _, strays = _saved_state.find_all(self.folder)
        if strays:
            raise ValueError(
                "`folder` must hold nothing that looks like a backup and is "
                "none, such as a copy, a file or a link. Received: "
                f"folder={str(self.folder)!r} with {strays[0].name}"
            )
        backups = self.backups()
        if not backups:
            return None, None, None
        path = self._last_whole(backups)
        return path, *_saved_state.read(path)

    def _last_whole(self, backups):
        damages, self._damaged = [], []
        for path in backups:
            damage = _files.find_damage(path)
            if damage is None:
                break
            self._damaged.append(path)
            damages.append(f"Backup {path} is damaged: {damage}")
        else:
            raise ValueError(
                "`folder` must hold a backup that is whole, or be moved away "
                f"to begin anew ({damages[0]}). "
                f"Received: folder={str(self.folder)!r}"
            )
        for damage in damages:
            print(f"{damage}. Goes back to {path.name}", file=sys.stderr)
        return path

    def _check_all(self, path, state, more, variables, model):
        """Refuse a backup that does not fit, before anything is changed."""
        fault = _saved_state.find_fault(path, state, more, self.parts)
        if fault is not None:
            raise self._refusal(fault)
        for part in ("weights", "optimizer", "seeds"):
            self._check(part, variables[part], state[part])
        if self.average is not None:
            average = state.get("average", {})
            if self.average.get_state() and not average:
                raise self._refusal("there is no average in it")
            self.average.check_state(average, model)
        for name, part in self.parts.items():
            if hasattr(part, "check_state"):
                part.check_state(more["parts"][name])
        epochs, _ = _saved_state.place(path)
        for log in self.logs:
            if epochs and not (path / log.name).is_file():
                raise self._refusal(f"there is no {log.name} in {path.name}")

    def _check(self, part, variables, arrays):
        ours = [tuple(v.shape) for v in variables]
        theirs = [array.shape for array in arrays.values()]
        if ours != theirs:
            raise self._refusal(
                f"{part}: {len(ours)} variables in the model, {len(theirs)} "
                "in the backup"
                if len(ours) != len(theirs)
                else f"{part}: other shapes"
            )

    def _refusal(self, reason):
        return ValueError(
            "`folder` must hold backups of this very model and optimizer "
            f"({reason}). Received: folder={str(self.folder)!r}"
        )

    def on_train_begin(self, logs: dict | None = None) -> None:
        for other in sum(find_neighbors(self), []):
            found = isinstance(other, AveragedWeights)
            if found and other is not self.average:
                raise ValueError(
                    f"`average` must be the `{type(other).__name__}` among "
                    f"the callbacks. Received: average={self.average}"
                )
        self._fit_begins = True

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch, self._steps, self._good = epoch, 0, True
        self._put_in = self._fit_begins and self._at is not None
        self._put_in = self._put_in and self._at[0] == epoch
        self._fit_begins = False
        if self._put_in:
            self._steps = self._at[1]
            if not self._steps:
                self._continue()
        self._end = self._steps + (self.params.get("steps") or math.inf)
        self._offset = self._steps

    def on_train_batch_begin(
        self, batch: int, logs: dict | None = None
    ) -> None:
        if self._put_in:
            # Torch's loader draws a number when the epoch begins.
            self._continue()

    def _continue(self):
        """Put in what `fit` has changed since the backup."""
        variables = _saved_state.variables(self.model)
        _saved_state.assign(variables["seeds"], self._state["seeds"])
        if self._steps:
            metrics, arrays = variables["metrics"], self._state["metrics"]
            self._check(
                "metrics", metrics, {k: v[0] for k, v in arrays.items()}
            )
            self.distribution.assign_metrics(metrics, [*arrays.values()])
        _backend.set_random_state(self._state["random"])
        self._put_in = False

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        before, self._steps = self._steps, self._offset + batch + 1
        self._good = math.isfinite((logs or {}).get("loss", 0.0))
        every = self.every_steps
        if every and before // every < self._steps // every:
            self.save()

    def save(self) -> Path | None:
        """Save after the batch that just ended, for callbacks behind.

        Returns:
            The backup; `None` if there is nothing to save: behind the last
            batch of an epoch, whose own backup follows, or if the loss is
            not finite.
        """
        if self._steps >= self._end or not self._good:
            return None
        return self._save(self._epoch, self._steps)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            # Weights that diverged must not replace those that did not.
            return
        was_in = self.average is not None and self.average.swap_out()
        self._save(epoch + 1, 0)
        if was_in:
            self.average.swap_in()

    def _save(self, epoch, step):
        final = self.folder / _saved_state.name(epoch, step)
        state, more = self._collect()
        more["place"] = [epoch, step]
        self._state = {part: state[part] for part in _saved_state.IN_FIT}
        self._at = epoch, step
        self._damaged = [path for path in self._damaged if path != final]
        self.distribution.together(
            lambda: (
                self._write(final, state, more)
                if self.distribution.is_chief
                else None
            )
        )
        return final

    def _collect(self):
        """Return the arrays by their part, and what else a backup holds."""
        variables = _saved_state.variables(self.model)
        metrics = self.distribution.read_metrics(variables.pop("metrics"))
        state = {
            part: _saved_state.numbered(map(_saved_state.to_array, those))
            for part, those in variables.items()
        }
        state["metrics"] = _saved_state.numbered(metrics)
        state["random"] = _backend.get_random_state()
        if self.average is not None:
            state["average"] = self.average.get_state()
        parts = {name: part.get_state() for name, part in self.parts.items()}
        return state, {"backend": keras.backend.backend(), "parts": parts}

    def _write(self, final, state, more):
        staged = self.folder / "unfinished"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if staged.is_symlink():
                staged.unlink()
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir()
            with open(staged / "state.npz", "wb") as file:
                np.savez(file, **_saved_state.flat(state))
            (staged / "state.json").write_text(json.dumps(more), "utf-8")
            for log in self.logs:
                if log.exists():
                    shutil.copyfile(log, staged / log.name)
            _files.write_sums(staged)
            shutil.rmtree(final, ignore_errors=True)
            _files.replace_durably(staged, final)
        except OSError as error:
            shutil.rmtree(staged, ignore_errors=True)
            left = [path.name for path in self.backups()]
            kept = f"The last backup is {left[0]}" if left else "No backup yet"
            raise _files.storage_error(error, final, kept) from None
        backups = self.backups()
        # Later ones are of another future.
        good = [p for p in backups if _saved_state.place(p) <= self._at]
        good = [p for p in good if p not in self._damaged][: self.keep]
        for path in backups:
            if path not in good:
                shutil.rmtree(path)
