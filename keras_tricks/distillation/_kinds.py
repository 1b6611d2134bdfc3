"""Kinds of data sets: in what order their samples are read."""

import functools

import keras
import numpy as np

from keras_tricks import _backend
from keras_tricks.data.pipeline.memory import Batches
from keras_tricks.distillation import _packed, _store

_ONE_VIEW = (
    "`dataset` must show a sample in one view: the teacher's logits belong "
    "to the view that it saw, and augmentation or mixup make another in "
    "every epoch. Leave them out, or store the views of E epochs with "
    "`precompute_logits(epochs=E)`, or let a Distiller run the teacher in "
    "training. Received: "
)


class _Kind:
    """A kind of data set.

    Args:
        dataset: The data set.
        batch_size: Samples to read at once where it has no batches.
    """

    fixed_size = True

    def __init__(self, dataset, batch_size=32):
        self.dataset = dataset
        self.batch_size = batch_size

    @property
    def samples(self):
        """Number of samples."""
        return len(self.dataset)

    def check_epochs(self, epochs):
        """Refuse `epochs` where every epoch has the same views."""
        if epochs is not None:
            raise ValueError(
                "`epochs` must be None, but for Batches that augment or mix. "
                f"Received: epochs={epochs}"
            )

    def total(self, epochs):
        """Return the number of rows that `read` gives."""
        return self.samples

    def read(self, epochs=None):
        """Give the rows and the data of every batch, in order."""
        start = 0
        for batch in self.batches():
            rows = np.arange(start, start + len(_packed.x_of(batch)))
            start += len(rows)
            yield rows, batch


class _OfBatches(_Kind):
    @property
    def samples(self):
        return len(self.dataset.images)

    def check_epochs(self, epochs):
        changing = {
            name: getattr(self.dataset, name)
            for name in ("augment", "mix_up")
            if getattr(self.dataset, name) is not None
        }
        if not changing:
            super().check_epochs(epochs)
        elif epochs is None:
            received = ", ".join(f"{k}={v!r}" for k, v in changing.items())
            raise ValueError(_ONE_VIEW + received)

    def total(self, epochs):
        seen = self.dataset.num_batches * self.dataset.batch_size
        seen = min(self.samples, seen)
        return self.samples if epochs is None else epochs * seen

    def read(self, epochs=None):
        batches = self.dataset
        if epochs is None:
            batches = Batches(
                batches.images,
                batches.labels,
                self.batch_size,
                shuffle=False,
                mean=batches.mean,
                std=batches.std,
                drop_remainder=False,
                data_format=batches.data_format,
            )
        for epoch in range(epochs or 1):
            for step in range(batches.num_batches):
                rows = batches.indices(epoch, step) + epoch * self.samples
                yield rows, batches.batch(epoch, step)

    def pack(self, reader):
        packed = _packed.PackedBatches(self.dataset, reader)
        packed.batch(0, 0)
        return packed


class _OfPyDataset(_Kind):
    fixed_size = False

    @functools.cached_property
    def samples(self):
        count = self.dataset.num_batches
        if not count:
            raise ValueError(
                "`dataset` must have batches, and a finite number of them. "
                f"Received: num_batches={count}"
            )
        size, last = (
            len(_packed.x_of(self.dataset[i])) for i in (0, count - 1)
        )
        return (count - 1) * size + last

    def batches(self):
        """Give the batches, all of one size but the last."""
        count, size = self.dataset.num_batches, None
        for step in range(count):
            batch = self.dataset[step]
            found = len(_packed.x_of(batch))
            size = size or found
            if found != size and step < count - 1:
                raise ValueError(
                    "`dataset` must have batches of one size, but for the "
                    f"last. Received: {size} samples, then {found}"
                )
            yield batch

    def pack(self, reader):
        return _packed.PackedPyDataset(self.dataset, reader)


class _OfArrays(_Kind):
    @property
    def samples(self):
        lengths = {len(part) for part in self.dataset if part is not None}
        if len(lengths) != 1 or not 1 <= len(self.dataset) <= 3:
            raise ValueError(
                "`dataset` must be arrays (x, y) or (x, y, sample_weight) of "
                f"one length. Received: {len(self.dataset)} of lengths "
                f"{sorted(lengths)}"
            )
        return lengths.pop()

    def batches(self):
        """Give slices of the arrays."""
        for start in range(0, self.samples, self.batch_size):
            chosen = slice(start, start + self.batch_size)
            yield tuple(p if p is None else p[chosen] for p in self.dataset)

    def pack(self, reader):
        return reader.pack(np.arange(self.samples), self.dataset)


class _OfSamples(_Kind):
    def batches(self):
        """Give the samples, stacked."""
        for start in range(0, self.samples, self.batch_size):
            stop = min(start + self.batch_size, self.samples)
            samples = [_parts(self.dataset[i]) for i in range(start, stop)]
            yield tuple(
                None if part[0] is None else np.stack(part)
                for part in zip(*samples, strict=True)
            )

    def pack(self, reader):
        packed = _packed.PackedSamples(self.dataset, reader)
        packed[0]
        return packed


class _OfTensorFlow(_Kind):
    fixed_size = False

    def __init__(self, dataset, batch_size=32):
        super().__init__(dataset, batch_size)
        spec = dataset.element_spec
        parts = spec if isinstance(spec, tuple) else ()
        shapes = [getattr(part, "shape", None) for part in parts]
        if not 1 <= len(parts) <= 3 or any(
            shape is None or shape.rank == 0 for shape in shapes
        ):
            raise ValueError(
                "`dataset` must give batches (x, y) of arrays. "
                f"Received: dataset.element_spec={spec}"
            )

    @functools.cached_property
    def samples(self):
        tf = _backend.import_tensorflow_for_data()

        if self.dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                "`dataset` must be finite: repeat it afterwards. "
                f"Received: dataset={self.dataset!r}"
            )
        count = self.dataset.reduce(
            np.int64(0),
            lambda n, batch: n + tf.shape(batch[0], out_type="int64")[0],
        )
        return int(count)

    def batches(self):
        """Give the batches."""
        return iter(self.dataset)

    def pack(self, reader):
        reader.pack(*next(self.read()))
        return _packed.pack_tensorflow(self.dataset, reader)


def kind_of(dataset, batch_size=32):
    """Find out what a data set is.

    Args:
        dataset: The data set.
        batch_size: Samples to read at once where it has no batches.

    Returns:
        A `_Kind`.

    Raises:
        ValueError: If it is none of the kinds.
    """
    if isinstance(dataset, Batches):
        kind = _OfBatches
    elif isinstance(dataset, keras.utils.PyDataset):
        kind = _OfPyDataset
    elif isinstance(dataset, tuple):
        kind = _OfArrays
    elif _backend.is_tf_dataset(dataset):
        kind = _OfTensorFlow
    elif all(hasattr(dataset, n) for n in ("__len__", "__getitem__")):
        kind = _OfSamples
    else:
        raise ValueError(
            "`dataset` must be keras_tricks.data.Batches, arrays (x, y), a "
            "tf.data.Dataset, a PyDataset, or samples with __len__ and "
            "__getitem__ (of a DataLoader: its `dataset`). Received: "
            f"dataset={dataset!r} of type {type(dataset).__name__}"
        )
    return kind(dataset, batch_size)


def _parts(sample):
    """Return the arrays of one sample."""
    if not isinstance(sample, (tuple, list)) or not 1 <= len(sample) <= 3:
        raise ValueError(
            "`dataset` must give samples (x, y). "
            f"Received: a sample of type {type(sample).__name__}"
        )
    return tuple(_store.to_numpy(part) for part in sample)
