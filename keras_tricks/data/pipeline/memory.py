"""Batches that are a function of (seed, epoch, step)."""

import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_tricks._checks import check_callable, check_choice, check_int
from keras_tricks._random import AUGMENT, random_generator
from keras_tricks._types import Tensor
from keras_tricks.data.pipeline.base import EpochBatches
from keras_tricks.data.pipeline.sample_order import SampleOrder
from keras_tricks.data.pipeline.sharding import check_batch_size
from keras_tricks.data.sources.labels import check_labels
from keras_tricks.data.transforms.preprocessing import (
    channel_statistics,
    check_images,
    normalize,
)


class Batches(EpochBatches):
    """Shuffled, augmented, normalized and mixed batches of uint8 images.

    `x = (augment(images[order]) - mean) / std`, then mixup if there is any.
    Every batch is a function of (seed, epoch, step), the same on every
    backend and with any number of workers, and a run that resumes at an epoch
    meets the batches it would have met.

    For that exact sequence give
    `fit(callbacks=[keras_tricks.callbacks.SetEpoch(batches)],
    shuffle=False)`: the callback states the epoch, and without
    `shuffle=False` Keras draws the batches of an epoch in an order of its
    own. Without the callback the epoch advances after each whole pass.

    Args:
        images: uint8, shape `(N, H, W, C)`.
        labels: Integers, shape `(N,)`, or of several classes at once 0 and
            1, shape `(N, K)`.
        batch_size: Samples in a batch.
        seed: Seed of order and augmentation. Defaults to 0.
        shuffle: Whether to reorder the samples in each epoch. Defaults to
            `True`.
        augment: `function(images, rng)` that returns images, see
            `keras_tricks.data.transforms.augmentation`. Defaults to `None`.
        mix_up: A `keras_tricks.layers.MixUp`, or a function with the same
            call. It is told epoch and step. Defaults to `None`.
        mean: Mean of each channel, in 0 ... 255. Defaults to the images' own.
        std: Standard deviation of each channel. Defaults to the images' own.
        normalize: `function(images)` that returns float32, in place of mean
            and std; that of a `keras_tricks.data.Preprocessing`, say. Defaults
            to `None`.
        drop_remainder: Whether to leave out a last, smaller batch. Defaults
            to `True`.
        accumulation_steps: Batches that make one update. With
            `drop_remainder` the batches of an epoch are a multiple of it.
            Defaults to 1.
        data_format: `"channels_last"` (default) or `"channels_first"`, of
            the batches; `images` are always channels last.
        workers: Threads that prepare the next batches. Defaults to 1, which
            prepares each when it is asked for.
        sampler: `"none"` (default): an epoch has each sample once.
            `"balanced"`: it has as many, as many of each class; `"sqrt"`: by
            the square roots of the sizes of the classes.

    Returns:
        Item `i` is `(x, y)`: x float32 `(B, H, W, C)`, or `(B, C, H, W)` with
        channels first; y int32 `(B,)`, or float32 `(B, K)` with mixup or of
        several classes.

    Raises:
        ValueError: If an argument is not as described.

    Example:
    >>> from keras_tricks.data import Batches, load
    >>> from keras_tricks.data.transforms import augmentation
    >>> data = load("digits")
    >>> batches = Batches(
    ...     data.x_train, data.y_train, 64, augment=augmentation("shift")
    ... )
    >>> x, y = batches[0]
    >>> len(batches), x.shape, y.dtype.name
    (22, (64, 8, 8, 1), 'int32')
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray | Sequence,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        augment: Callable | None = None,
        mix_up: Callable | None = None,
        mean: float | Sequence[float] | np.ndarray | None = None,
        std: float | Sequence[float] | np.ndarray | None = None,
        normalize: Callable | None = None,
        drop_remainder: bool = True,
        accumulation_steps: int = 1,
        data_format: str = "channels_last",
        workers: int = 1,
        sampler: str = "none",
    ):
        super().__init__()
        self.images, self.labels = _check_data(images, labels)
        self.batch_size = check_int("batch_size", batch_size, 1)
        self.accumulation_steps = check_int(
            "accumulation_steps", accumulation_steps, 1
        )
        least = self.accumulation_steps if drop_remainder else 0
        check_batch_size(len(images), self.batch_size, least)
        self.data_format = check_choice(
            "data_format", data_format, ("channels_last", "channels_first")
        )
        self.seed = check_int("seed", seed)
        self.order = SampleOrder(
            len(images), self.seed, shuffle, sampler, self.labels
        )
        self.augment = check_callable("augment", augment)
        self.mix_up = check_callable("mix_up", mix_up)
        self.normalize = check_callable("normalize", normalize)
        if normalize is None:
            self._set_statistics(mean, std)
        elif mean is not None or std is not None:
            raise ValueError(
                "`mean` and `std` must be None with `normalize`. "
                f"Received: mean={mean}, std={std}"
            )
        self.drop_remainder = drop_remainder
        check_int("workers", workers, 1)
        self._prefetch = _Prefetch(self, workers) if workers > 1 else None
        self._order = None

    def _set_statistics(self, mean, std):
        """Normalize with statistics that default to the images' own."""
        if mean is None or std is None:
            own_mean, own_std = channel_statistics(self.images)
            mean = own_mean if mean is None else mean
            std = own_std if std is None else std
        channels = self.images.shape[-1]
        self.mean, self.std = _check_statistics(mean, std, channels)
        self.normalize = functools.partial(
            normalize, mean=self.mean, std=self.std
        )

    @property
    def shuffle(self) -> bool:
        """Whether the samples are in another order in each epoch."""
        return self.order.shuffle

    @property
    def num_batches(self) -> int:
        """Number of batches in an epoch."""
        count, rest = divmod(len(self.images), self.batch_size)
        if self.drop_remainder:
            return count - count % self.accumulation_steps
        return count + (rest > 0)

    def _get(self, step):
        if self._prefetch is not None:
            return self._prefetch.get(self.epoch, step)
        return self.batch(self.epoch, step)

    def batch(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Return one batch of any epoch, whatever the current one."""
        chosen = self.indices(epoch, step)
        images, labels = self.images[chosen], self.labels[chosen]
        if self.augment is not None:
            rng = random_generator(self.seed, AUGMENT, epoch, step)
            images = self.augment(images, rng)
        images = self.normalize(images)
        if self.data_format == "channels_first":
            images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        if self.mix_up is None:
            return images, labels
        return self.mix_up(images, labels, epoch=epoch, step=step)

    def indices(self, epoch: int, step: int) -> np.ndarray:
        """Return which samples a batch of any epoch holds, in its order."""
        chosen = slice(step * self.batch_size, (step + 1) * self.batch_size)
        return self._epoch_order(epoch)[chosen]

    def in_order(self) -> "Batches":
        """Return batches of all images in their order, none of them changed."""
        return Batches(
            self.images,
            self.labels,
            self.batch_size,
            shuffle=False,
            normalize=self.normalize,
            drop_remainder=False,
            data_format=self.data_format,
        )

    def _epoch_order(self, epoch):
        known = self._order
        if known is None or known[0] != epoch:
            order = self.order(epoch) // self.order.per_record
            self._order = known = (epoch, order)
        return known[1]


class _Prefetch:
    """Prepares the batches that follow the one asked for, in threads."""

    def __init__(self, batches, workers):
        self.batches = batches
        self.workers = workers
        self.pool = ThreadPoolExecutor(workers, "batches")
        self.lock = threading.Lock()
        self.epoch, self.futures = None, {}

    def get(self, epoch, step):
        with self.lock:
            if epoch != self.epoch:
                self.epoch, self.futures = epoch, {}
            stop = min(step + 2 * self.workers, self.batches.num_batches)
            for i in range(step, stop):
                if i not in self.futures:
                    self.futures[i] = self.pool.submit(
                        self.batches.batch, epoch, i
                    )
            future = self.futures.pop(step)
        return future.result()


def _check_data(images, labels):
    check_images(images)
    labels = np.asarray(labels)
    if labels.ndim == 2 and len(labels) == len(images):
        rows = check_labels("labels", labels, labels.shape[1])
        return images, rows.astype("float32")
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"`labels` must be integers of shape ({len(images)},), or 0 and 1 "
            f"of shape ({len(images)}, K). Received: "
            f"labels.dtype={labels.dtype}, labels.shape={labels.shape}"
        )
    return images, labels.astype("int32")


def _check_statistics(mean, std, channels):
    checked = []
    for name, value in (("mean", mean), ("std", std)):
        array = np.asarray(value, "float32")
        ok = array.shape in ((), (channels,)) and np.isfinite(array).all()
        if not ok or (name == "std" and (array <= 0).any()):
            kind = "positive" if name == "std" else "finite"
            raise ValueError(
                f"`{name}` must be one {kind} number or one for each of the "
                f"{channels} channels. Received: {name}={value}"
            )
        checked.append(np.broadcast_to(array, (channels,)).copy())
    return checked
