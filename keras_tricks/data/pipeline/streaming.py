"""Batches of images that are read and decoded while training runs."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from keras_tricks import _backend
from keras_tricks._checks import check_callable, check_choice, check_int
from keras_tricks._types import PathLike, Tensor
from keras_tricks.data.pipeline.bad_records import BadRecords
from keras_tricks.data.pipeline.base import EpochBatches
from keras_tricks.data.pipeline.engines.choose import choose_engine, make_engine
from keras_tricks.data.pipeline.read_ahead import ReadAhead
from keras_tricks.data.pipeline.sample_loader import SampleLoader, choose_view
from keras_tricks.data.pipeline.sample_order import SampleOrder
from keras_tricks.data.pipeline.sharding import (
    check_batch_room,
    check_batch_size,
    check_shard,
    host_slots,
)
from keras_tricks.data.sources.records import Records, wrong_labels
from keras_tricks.data.transforms.preprocessing import Preprocessing
from keras_tricks.data.transforms.train_transform import TrainTransform
from keras_tricks.layers.mix_up import MixUp

_FINISH_ON = ("host", "device")


class ImageBatches(EpochBatches):
    """Shuffled, augmented, normalized and mixed batches of image files.

    Each record of the source is read, decoded and cropped by an engine that
    works ahead, tf.data or Grain, while training runs:

        order    = a permutation by (seed, epoch), each host its own slots
        image    = transform(image), drawn by (seed, epoch, sample)
        x, y     = mix_up(normalize(images), labels), by (seed, epoch, step)

    All of it is a function of the numbers, so the same batches come with any
    number of workers, on every backend and after a resume, and from either
    engine the same up to the first and last columns of a crop, which decoders
    that read a part of a JPEG smooth otherwise. With several hosts, batch `i`
    of all of them together holds the samples of batch `i` of one.

    **Bad records** are left out, the next ones move up, and `bad` counts and
    names them; an epoch has the same number of batches all the same: if the
    images do not suffice for the last one, the first ones of the epoch come
    again. A record that was bad once is not tried again.

    For the exact sequence call `fit(shuffle=False)` with the callback
    `keras_tricks.callbacks.SetEpoch(batches)`. Batches are to be asked for in
    order: any other step starts the engine anew, for the same batch, slowly.

    Args:
        records: The source, see `Records`.
        preprocessing: Normalization, and the central crop if `transform`
            is `None`.
        batch_size: Samples in a batch, over all hosts.
        transform: `TrainTransform`, or `None` (default) for the central crop.
        seed: Of order and transforms. Defaults to 0.
        shuffle: Whether to reorder the records in each epoch. Defaults to
            whether there is a `transform`.
        mix_up: `function(images, labels, epoch=, step=)`, such as
            `keras_tricks.layers.MixUp`, with `finish_on="device"` that alone.
            Defaults to `None`.
        repeats: How many crops of an image are in a batch; an epoch then has
            `1 / repeats` of the images. Defaults to 1.
        drop_remainder: Whether to leave out an incomplete last batch.
            Defaults to `True`.
        accumulation_steps: With `drop_remainder`, the batches of an epoch
            are a multiple of it. Defaults to 1.
        data_format: `"channels_last"` (default) or `"channels_first"`.
        finish_on: `"host"` (default) normalizes and mixes here. `"device"`
            leaves that to the training step, see
            `keras_tricks.training.finish_on_device`: the batch is then
            `({"images", "lam", "partner"}, labels)` with the images as they
            are, a quarter of the bytes if they are uint8.
        engine: `"tf.data"`, `"grain"`, or `"auto"` (default): tf.data where
            TensorFlow is installed.
        workers: tf.data: samples in work at a time, tuned by default. Grain:
            worker processes, by default none but threads.
        deterministic: With `False`, tf.data gives samples in the order in
            which they get ready: a little faster, and nothing above about
            order holds.
        shard: Number of this host and number of hosts. Defaults to `(0, 1)`.
            In an incomplete last batch a host may have no rows.
        max_bad_records: How many records may be bad. Defaults to 0.
        bad_records_path: File that lists them. Defaults to `None`, none.
        sampler: `"none"` (default), `"balanced"` or `"sqrt"`, see `Batches`:
            of records whose labels are known. A record that comes several
            times in an epoch is transformed otherwise each time.

    Returns:
        Item `i` is `(x, y)`: x float32 `(B, H, W, C)`, or `(B, C, H, W)` with
        channels first; y int32 `(B,)`, or float32 `(B, K)` with mixup.

    Raises:
        ValueError: If an argument is not as described; at a batch,
            `TooManyBadRecords`.
        ImportError: If no engine is installed.

    Example:
    >>> from keras_tricks.data import ArrayRecords, TrainTransform, load
    >>> data = load("digits")
    >>> records = ArrayRecords(data.x_train, data.y_train, data.class_names)
    >>> batches = ImageBatches(
    ...     records, Preprocessing(16), 64, transform=TrainTransform(16)
    ... )
    >>> x, y = batches[0]
    >>> len(batches), x.shape, y.dtype.name
    (22, (64, 16, 16, 3), 'int32')
    """

    def __init__(
        self,
        records: Records,
        preprocessing: Preprocessing,
        batch_size: int,
        transform: TrainTransform | None = None,
        seed: int = 0,
        shuffle: bool | None = None,
        mix_up: Callable | None = None,
        repeats: int = 1,
        drop_remainder: bool = True,
        accumulation_steps: int = 1,
        data_format: str = "channels_last",
        finish_on: str = "host",
        engine: str = "auto",
        workers: int | None = None,
        deterministic: bool = True,
        shard: tuple[int, int] = (0, 1),
        max_bad_records: int = 0,
        bad_records_path: PathLike | None = None,
        sampler: str = "none",
    ):
        super().__init__()
        self.records = records
        self.preprocessing = preprocessing
        self.seed = check_int("seed", seed)
        self.mix_up = mix_up
        shuffle = transform is not None if shuffle is None else shuffle
        repeats = check_int("repeats", repeats, 1)
        self.order = SampleOrder(
            len(records), self.seed, shuffle, sampler, records.labels, repeats
        )
        per_record = self.order.per_record
        self.drop_remainder = drop_remainder
        steps = check_int("accumulation_steps", accumulation_steps, 1)
        self.accumulation_steps = steps
        self.data_format = check_choice(
            "data_format", data_format, ("channels_last", "channels_first")
        )
        self.finish_on = check_choice("finish_on", finish_on, _FINISH_ON)
        self._check_mix_up()
        self.shard = check_shard(shard)
        self.batch_size = check_int("batch_size", batch_size, 1)
        least = steps if drop_remainder else 0
        check_batch_size(len(records), self.batch_size, least, self.shard[1])
        self.bad = BadRecords(max_bad_records, bad_records_path)
        view = choose_view(transform, preprocessing)
        self.loader = SampleLoader(records, view, self.seed, per_record)
        check_int("workers", workers or 0)
        check_batch_room(self.local_batch_size, self.loader.output_shape)
        self.engine = choose_engine(engine)
        options = {"workers": workers, "deterministic": deterministic}
        self._engine = make_engine(self.engine, loader=self.loader, **options)
        self.deterministic = deterministic
        self._iterator = self._next = self.error = None
        for index in wrong_labels(records):  # Now, and not in hours.
            self._tried_again(0, index * per_record)

    @property
    def local_batch_size(self) -> int:
        """Samples in a batch of this host."""
        return self.batch_size // self.shard[1]

    @property
    def num_batches(self) -> int:
        """Number of batches in an epoch."""
        count, rest = divmod(len(self.records), self.batch_size)
        if self.drop_remainder:
            return count - count % self.accumulation_steps
        return count + (rest > 0)

    def samples(self, epoch: int) -> np.ndarray:
        """Return this host's sample numbers of an epoch, in their order.

        Sample `i` is record `i // order.per_record`, none known to be bad.
        """
        order = self.order(epoch)
        order = order[host_slots(len(order), self.local_batch_size, self.shard)]
        if self.bad:
            known = np.fromiter(self.bad.reasons, "int64")
            order = order[~np.isin(order // self.order.per_record, known)]
        return order

    def batch(self, epoch: int, step: int) -> tuple[Tensor | dict, Tensor]:
        """Return one batch of any epoch; fast only if asked for in order."""
        if self._next != (epoch, step):
            self.close()
            self._iterator = ReadAhead(self._finished(epoch, step))
        self._next = None  # Until it is known that this one is.
        try:
            result: tuple = next(self._iterator)
        except Exception as error:
            self.error = error
            raise
        self._next = epoch, step + 1
        return result

    def close(self) -> None:
        """Stop reading ahead."""
        if self._iterator is not None:
            self._iterator.close()
        self._iterator = self._next = None

    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        self.bad.report()

    def get_state(self) -> dict:
        """Return what says, in JSON, which batch comes next.

        `batches.set_state(state)` in another process, and then
        `batches.batch(state["epoch"], state["step"])` and the steps after it,
        go on exactly after the last batch that this object gave.
        """
        epoch, step = self._next or (self.epoch, 0)
        if step == self.num_batches:
            epoch, step = epoch + 1, 0
        return {"epoch": epoch, "step": step, "bad": self.bad.get_state()}

    def set_state(self, state: dict) -> None:
        """Take over the epoch and the bad records of `get_state`."""
        self.epoch = check_int("epoch", state["epoch"])
        check_int("step", state["step"])
        self.bad.set_state(state["bad"])
        self.close()

    def as_tf_dataset(self) -> Any:
        """Return an epoch's batches as a `tf.data.Dataset` of static shapes.

        As TPUs want it; but the size of the batch where `drop_remainder` is
        false. An iterator reads the epoch at its start.

        Raises:
            ImportError: If TensorFlow is missing.
        """
        tf = _backend.import_tensorflow_for_data()
        size = self.local_batch_size if self.drop_remainder else None
        signature = tf.nest.map_structure(
            lambda x: tf.TensorSpec((size, *x.shape[1:]), x.dtype), self[0]
        )
        dataset = tf.data.Dataset.from_generator(
            lambda: (self[i] for i in range(self.num_batches)),
            output_signature=signature,
        )
        options = tf.data.Options()
        off = tf.data.experimental.AutoShardPolicy.OFF
        options.experimental_distribute.auto_shard_policy = off
        count = tf.data.experimental.assert_cardinality(self.num_batches)
        return dataset.apply(count).with_options(options).prefetch(1)

    def _finished(self, epoch, step):
        for _, images, labels in self.transformed(epoch, step):
            yield self._finish(images, labels, epoch, step)
            step += 1

    def transformed(
        self, epoch: int, step: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return the samples, images and labels of each batch from a step on.

        Raises:
            TooManyBadRecords: If there are more than allowed.
        """
        self.bad.check()
        stream, size = self.samples(epoch), self.local_batch_size
        if not self.drop_remainder:
            return self._with_remainder(epoch, stream, step)
        needed = (self.num_batches - step) * size
        stream = np.resize(stream, 2 * len(stream))
        return self._filled(epoch, stream, step * size, needed)

    def _with_remainder(self, epoch, stream, step):
        """Yield batches of all readable samples, however few there are."""
        size = self.local_batch_size
        # In how many batches of an epoch this host has places.
        slots = host_slots(len(self.records), size, self.shard)
        own = -(-int(slots.sum()) // size)
        number, last = min(step, own - 1), None
        place = number * size
        for batch in self._filled(epoch, stream, place, len(stream) - place):
            if last is not None:
                if number >= step:
                    yield last
                number += 1
            last = batch
        if last is not None:
            # Bad records can leave too few for the last batches: they share.
            parts = [np.array_split(column, own - number) for column in last]
            for last in zip(*parts, strict=True):
                if number >= step:
                    yield last
                number += 1
        for _ in range(max(step, own), self.num_batches):
            yield tuple(column[:0] for column in last)

    def _filled(self, epoch, stream, place, needed):
        """Yield batches of `needed` readable samples from a place on."""
        size, rest = self.local_batch_size, None
        while needed > 0 and place < len(stream):
            # More than once only where bad records left a gap at the end.
            asked = stream[place : place + needed]
            place += len(asked)
            for batch in self._loaded(epoch, asked):
                needed -= len(batch[0])
                if rest is not None and len(rest[0]):
                    pairs = zip(rest, batch, strict=True)
                    batch = tuple(np.concatenate(pair) for pair in pairs)
                rest = batch
                while len(rest[0]) >= size:
                    yield tuple(column[:size] for column in rest)
                    rest = tuple(column[size:] for column in rest)
        if rest is not None and len(rest[0]):
            yield rest

    def _loaded(self, epoch, asked):
        """Yield what the engine loads, and what it refused and should not.

        `decode_image` is the judge on every engine; what it refuses is noted.
        """
        engine = self._engine.batches(epoch, asked, self.local_batch_size)
        if not self.deterministic:
            yield from self._unordered(engine, epoch, asked)
            return
        place = 0
        for batch in engine:
            first = 0
            for row, sample in enumerate(batch[0]):
                while asked[place] != sample:
                    yield tuple(column[first:row] for column in batch)
                    yield from self._tried_again(epoch, asked[place])
                    first, place = row, place + 1
                place += 1
            yield tuple(column[first:] for column in batch)
        for sample in asked[place:]:
            yield from self._tried_again(epoch, sample)

    def _unordered(self, engine, epoch, asked):
        seen = []
        for batch in engine:
            seen.append(batch[0])
            yield batch
        seen = np.concatenate(seen) if seen else asked[:0]
        for sample in np.setdiff1d(asked, seen):
            yield from self._tried_again(epoch, sample)

    def _tried_again(self, epoch, sample):
        """Return a list of a batch of one sample, or note why there is none."""
        index = int(sample) // self.order.per_record
        if index in self.bad:
            return []
        try:
            image, label = self.loader.load(epoch, int(sample))
        except ValueError as error:
            self.bad.add(index, self.records.name(index), str(error))
            return []
        label = np.array([label], self.loader.label_dtype)
        return [(np.array([sample]), image[None], label)]

    def _finish(self, images, labels, epoch, step):
        """From transformed images to what training takes."""
        host, hosts = self.shard
        key = step * hosts + host  # One for each step of each host.
        if self.finish_on == "device":
            lam = np.ones(len(labels), "float32")
            partner = np.arange(len(labels), dtype="int32")
            if self.mix_up is not None:
                lam[:], partner = self.mix_up.draw(len(labels), epoch, key)
            return {"images": images, "lam": lam, "partner": partner}, labels
        images = self.preprocessing.normalize(images)
        if self.data_format == "channels_first":
            images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        if self.mix_up is None:
            return images, labels
        return self.mix_up(images, labels, epoch=epoch, step=key)

    def _check_mix_up(self):
        check_callable("mix_up", self.mix_up)
        mixes = self.finish_on == "device" and self.mix_up is not None
        if mixes and not isinstance(self.mix_up, MixUp):
            raise ValueError(
                "`mix_up` must be a keras_tricks.layers.MixUp where "
                'finish_on="device": the device takes its weights and '
                f"partners. Received: mix_up={self.mix_up!r}"
            )
