"""Data sets with stored teacher logits beside their labels."""

import keras
import numpy as np

from keras_tricks import _backend
from keras_tricks.distillation import _store
from keras_tricks.losses.label_smoothed_kd import pack_targets


class Reader:
    """Reads logits, with all checks, and packs them beside labels."""

    def __init__(self, path, check_images=True):
        self.store = _store.Store.open(path)
        self.check_images = check_images
        contents = self.store.contents
        if contents.epochs is None:
            written = self.store.written(slice(None))
            if not written.all():
                self._refuse(int(written.argmin()))

    def _refuse(self, row):
        state = "corrupt" if self.store.written([row])[0] else "not written"
        raise ValueError(
            f"`path` must hold all logits; row {row} of logits.npy is "
            f"{state}: run `precompute_logits` again, which completes it. "
            f"Received: path={str(self.store.path)!r}"
        )

    def logits(self, rows, x=None):
        """Return float32 `(B, K)`; x is needed to check the views."""
        rows, contents = np.asarray(rows), self.store.contents
        if rows.max() >= contents.rows:
            raise ValueError(
                f"`dataset` must have the {contents.samples} samples of the "
                f"store. Received: a sample {rows.max()}"
            )
        intact = self.store.intact(rows)
        if not intact.all():
            self._refuse(int(rows[intact.argmin()]))
        if self.check_images:
            same = self.store.same_views(rows, _store.checksums(x))
            if not same.all():
                row = int(rows[same.argmin()])
                raise ValueError(
                    "`dataset` must show every sample as the teacher saw it, "
                    f"but sample {row % contents.samples} looks different: "
                    "by augmentation, another order or other preprocessing. "
                    "Take that out, or run `precompute_logits` on this data "
                    "set, or the teacher beside the student in a Distiller. "
                    f"Received: path={str(self.store.path)!r}"
                )
        return np.asarray(self.store.logits[rows], "float32")

    def pack(self, rows, batch):
        """Return the batch with packed targets for its labels."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        if y is None:
            raise ValueError("`dataset` must hold labels. Received: y=None")
        labels, logits = _store.to_numpy(y), self.logits(rows, x)
        packed = pack_targets(labels, logits, sample_weight)
        if sample_weight is None:
            return x, packed
        return x, packed, sample_weight


def pack_tensorflow(dataset, reader):
    """Pack a `tf.data.Dataset` of batches, whose rows it counts."""
    tf = _backend.import_tensorflow_for_data()
    classes = reader.store.contents.num_classes

    def read(start, size, *x):
        return reader.logits(np.arange(start, start + size), *x)

    def pack(start, batch):
        x, y, *rest = batch
        size = tf.shape(x, out_type="int64")[0]
        args = [start, size, x] if reader.check_images else [start, size]
        logits = tf.numpy_function(read, args, tf.float32)
        logits = tf.ensure_shape(logits, (x.shape[0], classes))
        return start + size, (x, pack_targets(y, logits, *rest), *rest)

    return dataset.scan(tf.constant(0, "int64"), pack)


class _Packed(keras.utils.PyDataset):
    """Batches of a `PyDataset` with packed targets."""

    def __init__(self, dataset, reader):
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self.dataset = dataset
        self.reader = reader

    @property
    def num_batches(self):
        return self.dataset.num_batches

    def __len__(self):
        return self.num_batches

    def on_epoch_begin(self):
        self.dataset.on_epoch_begin()

    def on_epoch_end(self):
        self.dataset.on_epoch_end()


class PackedPyDataset(_Packed):
    """Those of a `PyDataset` with batches of one size."""

    def __init__(self, dataset, reader):
        super().__init__(dataset, reader)
        self._size = len(x_of(dataset[0]))
        self[0]

    def __getitem__(self, index):
        step = range(self.num_batches)[index]
        batch = self.dataset[step]
        rows = step * self._size + np.arange(len(x_of(batch)))
        return self.reader.pack(rows, batch)


class PackedBatches(_Packed):
    """Those of `Batches`, shuffled or augmented ones too."""

    @property
    def batch_size(self):
        """Samples in a batch."""
        return self.dataset.batch_size

    def set_epoch(self, epoch):
        """State the epoch, see `Batches`."""
        self.dataset.set_epoch(epoch)

    def __getitem__(self, index):
        step = range(self.num_batches)[index]
        epoch = self.dataset.epoch
        return self._pack(epoch, step, self.dataset[step])

    def batch(self, epoch, step):
        """Return one batch of any epoch, whatever the current one."""
        return self._pack(epoch, step, self.dataset.batch(epoch, step))

    def _pack(self, epoch, step, batch):
        contents = self.reader.store.contents
        rows = self.dataset.indices(epoch, step)
        if contents.epochs is not None:
            if epoch >= contents.epochs:
                raise ValueError(
                    f"`epochs` of the store must exceed {epoch}, the epoch "
                    "that is to be trained. "
                    f"Received: epochs={contents.epochs}"
                )
            rows = rows + epoch * contents.samples
        return self.reader.pack(rows, batch)


class PackedSamples:
    """Samples with packed targets; worker processes open the store anew."""

    def __init__(self, dataset, reader):
        self.dataset = dataset
        self.reader = reader

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        row = range(len(self))[index]
        x, *others = self.dataset[row]
        batch = [
            p if p is None else _store.to_numpy(p)[None] for p in (x, *others)
        ]
        return x, self.reader.pack([row], batch)[1][0], *others[1:]


def x_of(batch):
    """Return the x of a batch, which must be one array."""
    x = keras.utils.unpack_x_y_sample_weight(batch)[0]
    if isinstance(x, (dict, list, tuple)):
        raise ValueError(
            "`dataset` must give one array as x. "
            f"Received: x of type {type(x).__name__}"
        )
    return x
