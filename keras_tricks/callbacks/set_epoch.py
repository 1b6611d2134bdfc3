from typing import Any

import keras


class SetEpoch(keras.callbacks.Callback):
    """Tells data sets and layers which epoch begins.

    Where randomness is a function of `(seed, epoch, step)`, as in
    `keras_tricks.layers.MixUp` and the data sets of this package, the epoch
    is all that a resumed run has to know: `fit(initial_epoch=k)` then
    repeats exactly what the uninterrupted run did from epoch `k` on.

    An input pipeline that prefetches across epochs reads the new number
    late: a `keras.utils.PyDataset` with `workers` above 1, a
    `tf.data.Dataset` that repeats behind `enumerate`, a torch `DataLoader`
    with `steps_per_epoch`. One iterator for each epoch, which is what `fit`
    makes of the others, does not. Persistent workers of a `DataLoader` hear
    of it where the layers of this package are told, whose epoch lies in
    shared memory; an object of your own needs new workers in each epoch,
    `persistent_workers=False`.

    Args:
        *targets: Objects with a method `set_epoch(epoch)`.

    Raises:
        ValueError: If there is no target, or one lacks `set_epoch`.

    Example:
    >>> import keras_tricks
    >>> class Data:
    ...     def set_epoch(self, epoch):
    ...         print("epoch", epoch)
    >>> callback = keras_tricks.callbacks.SetEpoch(Data())
    >>> callback.on_epoch_begin(3)
    epoch 3
    """

    def __init__(self, *targets: Any):
        super().__init__()
        if not targets:
            raise ValueError(
                "`targets` must hold at least one object with a method "
                "`set_epoch`. Received: targets=()"
            )
        for target in targets:
            if not callable(getattr(target, "set_epoch", None)):
                raise ValueError(
                    "`targets` must have a method `set_epoch(epoch)`. "
                    f"Received: targets={target!r}"
                )
        self.targets = targets

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        for target in self.targets:
            target.set_epoch(epoch)
