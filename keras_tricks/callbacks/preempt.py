import signal
import sys
from collections.abc import Sequence
from typing import Any

import keras

from keras_tricks import _signals
from keras_tricks._checks import check_int
from keras_tricks.callbacks.backup import Backup


class Preempted(SystemExit):
    """Training stopped because the process was asked to end.

    Where nobody catches it, the process ends with the code 75, which says to
    a scheduler: try again.

    Example:
    >>> Preempted("SIGTERM").code
    75
    """

    def __init__(self, message: str):
        super().__init__(message)
        self.code = _signals.PREEMPTED


class Preempt(keras.callbacks.Callback):
    """Saves and stops after the current batch when the process is to end.

    At SIGTERM, which schedulers send before they kill, SIGINT, which is
    Ctrl-C, or SIGHUP, that of a terminal which closes, the batch ends,
    everything is saved and `Preempted` is raised. A signal behind the last
    batch of an epoch waits for validation and the epoch's own backup. A
    second signal does what it did before. Signals that are ignored, as
    `nohup` ignores SIGHUP, stay so. Outside of the main thread, where Python
    allows no handlers, nothing is caught.

    Place it behind all other callbacks. It installs the handlers when
    training begins and puts the old ones back at the end; if `fit` raises
    anything else, call `close`.

    Args:
        backup: The `Backup` of the run.
        signals: Which signals. Defaults to SIGTERM, SIGINT and SIGHUP.
        agree_every: Of several processes (`backup.distribution`) all stop
            after the same batch when any of them got a signal; they ask each
            other after so many batches, since it costs time. Defaults to 10.

    Raises:
        Preempted: In `fit`, at such a signal.

    Example:
    >>> import keras, numpy as np, os, signal, tempfile
    >>> from keras_tricks.callbacks import Backup
    >>> class Scheduler(keras.callbacks.Callback):
    ...     def on_train_batch_end(self, batch, logs=None):
    ...         os.kill(os.getpid(), signal.SIGTERM)
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> backup = Backup(tempfile.mkdtemp())
    >>> try:
    ...     history = model.fit(
    ...         np.ones((8, 2)), np.ones((8, 1)), batch_size=2, verbose=0,
    ...         callbacks=[Scheduler(), backup, Preempt(backup)]
    ...     )
    ... except Preempted:
    ...     backup.backups()[0].name
    'epoch_00000_step_0000001'
    """

    def __init__(
        self,
        backup: Backup,
        signals: Sequence[int] = _signals.STOPS,
        agree_every: int = 10,
    ):
        super().__init__()
        self.backup = backup
        self.signals = signals
        self.agree_every = check_int("agree_every", agree_every, 1)
        self.received = None
        self._before: dict[int, Any] = {}

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._before = _signals.catch(self._receive, self.signals)

    def _receive(self, number, frame):
        self.received = signal.Signals(number).name
        self.close()
        _signals.drop_lost_output()

    def close(self) -> None:
        """Put back what handled the signals before."""
        _signals.restore(self._before)
        self._before = {}

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._batches = 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._batches += 1
        alone = self.backup.distribution.num_processes == 1
        if not alone and self._batches % self.agree_every:
            return
        if self._asked() and self.backup.save() is not None:
            self._stop()

    def _asked(self):
        """Return whether any of the processes is to end."""
        return self.backup.distribution.any(self.received is not None)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self._asked():
            self.model.stop_training = True

    def on_train_end(self, logs: dict | None = None) -> None:
        self.close()
        if self._asked():
            self._stop()

    def _stop(self):
        self.close()
        backups = self.backup.backups()
        saved = f"saved {backups[0]}" if backups else "nothing was saved yet"
        message = (
            f"Stopped by {self.received or 'another process'}, {saved}. "
            "Start the same command again, for the same folder, to continue."
        )
        if self.backup.distribution.is_chief:
            print(f"\n{message}", file=sys.stderr, flush=True)
        raise Preempted(message)
