"""What every way of training on one or several devices has in common."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_tricks._checks import check_int
from keras_tricks.distribute.local_batches import as_epoch_batches


class ProcessFailed(RuntimeError):
    """Another process failed, so that this one cannot go on.

    Example:
    >>> issubclass(ProcessFailed, RuntimeError)
    True
    """


class Distribution:
    """Where a model trains; this one: on the one device that Keras takes.

    Made by `keras_tricks.distribute.distribute` before the model:

    - build and compile the model inside `scope()`;
    - call `prepare(model)` after `compile`;
    - give `fit`, `evaluate` and `predict` what `batches` returns.

    Attributes:
        name: Name of the engine.
        num_replicas: Copies of the model that see parts of each batch, over
            all processes.
        num_processes: Processes that train together.
        process_index: Number of this one, from 0.
        mixes_on_device: Whether the training step may mix a batch, which it
            must see whole for that.
        compiles: Whether XLA or inductor may compile a whole step.

    Example:
    >>> distribution = Distribution()
    >>> distribution.num_replicas, distribution.is_chief
    (1, True)
    >>> distribution.describe()
    'none: one device'
    """

    name = "none"
    num_replicas = 1
    num_processes = 1
    process_index = 0
    mixes_on_device = True
    compiles = True

    @property
    def is_chief(self) -> bool:
        """Whether this process writes what is written once."""
        return self.process_index == 0

    @property
    def shard(self) -> tuple[int, int]:
        """Number of this process and of processes, as data are told it."""
        return self.process_index, self.num_processes

    def scope(self) -> contextlib.AbstractContextManager:
        """Return the context in which the model is built and compiled."""
        return contextlib.nullcontext()

    def check_batch_size(
        self, batch_size: int, accumulation_steps: int = 1
    ) -> None:
        """Check that the batch of an update splits evenly.

        Args:
            batch_size: Samples in one update, over all devices.
            accumulation_steps: Batches in one update. Defaults to 1.

        Raises:
            ValueError: If it is no multiple of devices times steps.
        """
        batch_size = check_int("batch_size", batch_size, 1)
        steps = check_int("accumulation_steps", accumulation_steps, 1)
        parts = self.num_replicas * steps
        if batch_size % parts:
            raise ValueError(
                f"`batch_size` must be a multiple of {parts}, {steps} "
                f"accumulated batches on {self.num_replicas} devices. "
                f"Received: batch_size={batch_size}"
            )

    def prepare(self, model: keras.Model) -> keras.Model:
        """Make a compiled model train exactly; call it after `compile`.

        What is changed is this object alone: what `save` writes is the plain
        model.

        Args:
            model: A model that was compiled inside `scope()`.

        Returns:
            The model.

        Raises:
            ValueError: If the model cannot be trained exactly.
        """
        return model

    def batches(self, x: Any) -> Any:
        """Return what `fit`, `evaluate` and `predict` are to take.

        Args:
            x: Batches over all devices: those of `keras_tricks.data`, or
                others with `batch(epoch, step)` and a length. In one process
                also what `fit` takes, a `tf.data.Dataset` for one.

        Raises:
            ValueError: If the batches do not fit.
        """
        if not isinstance(x, keras.utils.PyDataset):
            x = as_epoch_batches(x)
        if hasattr(x, "batch_size"):
            self.check_batch_size(x.batch_size)
        return x

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Add arrays over all processes; each must call it.

        Args:
            values: float32 or int32, of the same shape in each process.

        Returns:
            The sum, the same in each process.
        """
        return np.asarray(values)

    def any(self, flag: bool) -> bool:
        """Return whether a flag is true in any process; each must call it."""
        return bool(self.sum(np.asarray(flag, "int32")) > 0)

    def gather(self, value: Any) -> list:
        """Return what every process has; each must call it.

        Args:
            value: What fits into JSON.

        Returns:
            The values in the order of the processes, the same in each.
        """
        text = np.frombuffer(json.dumps(value).encode("utf-8"), "uint8")
        sizes = np.zeros(self.num_processes, "int32")
        sizes[self.process_index] = len(text)
        sizes = self.sum(sizes)
        texts = np.zeros((self.num_processes, int(sizes.max())), "int32")
        texts[self.process_index, : len(text)] = text
        texts = self.sum(texts).astype("uint8")
        return [
            json.loads(text[:size].tobytes())
            for text, size in zip(texts, sizes, strict=True)
        ]

    def read_metrics(self, variables: list) -> list[np.ndarray]:
        """Return metrics' counts for `assign_metrics`; all must call it.

        Args:
            variables: `model.metrics_variables`.

        Returns:
            An array for each, of shape `(n, ...)`: what the `n` replicas
            count that count by themselves. Here all count together, `n = 1`.
        """
        return [np.array(ops.convert_to_numpy(v))[None] for v in variables]

    def assign_metrics(self, variables: list, arrays: list) -> None:
        """Go on counting; each process must call it.

        Of another number of replicas the counts are added.
        """
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array.sum(0, dtype=array.dtype))

    def together(self, function: Callable, chief_first: bool = False) -> Any:
        """Call a function in every process; if one fails, all do.

        Args:
            function: Called without arguments; it must not call what other
                processes must call too.
            chief_first: Whether the others wait for process 0, as for a
                download. Defaults to `False`.

        Returns:
            What the function returns here.

        Raises:
            Exception: What the function raises here.
            ProcessFailed: If it raised in another process alone.
        """
        result = error = None
        for turn in (True, False) if chief_first else (self.is_chief,):
            if turn == self.is_chief:
                try:
                    result = function()
                except Exception as raised:
                    error = raised
            self._agree(error)
        return result

    def _agree(self, error):
        text = None if error is None else f"{type(error).__name__}: {error}"
        texts = self.gather(text)
        if error is not None:
            raise error
        for index, text in enumerate(texts):
            if text is not None:
                raise ProcessFailed(f"Process {index} failed: {text}")

    def describe(self) -> str:
        """Return one line that says on what is trained, and how."""
        return f"{self.name}: one device"


def refuse_mixing_on_device(x) -> None:
    """Refuse batches that a step would have to see whole.

    Raises:
        ValueError: If they are mixed where they have been split.

    Example:
    >>> refuse_mixing_on_device(None)
    """
    x = getattr(x, "original", x)
    mixes = getattr(x, "mix_up", None) is not None
    if mixes and getattr(x, "finish_on", "host") == "device":
        raise ValueError(
            '`finish_on` must be "host" with mixup on several devices: '
            "a device has only a part of the batch to mix. "
            "Received: finish_on='device'"
        )
