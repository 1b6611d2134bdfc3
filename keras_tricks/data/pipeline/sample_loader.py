"""From the number of a sample to what training sees of it."""

import dataclasses
import functools
from typing import Any, cast

import numpy as np

from keras_tricks._random import TRANSFORM, random_generator
from keras_tricks.data.sources.labels import (
    check_label,
    has_several,
    is_label,
)
from keras_tricks.data.sources.records import Records
from keras_tricks.data.transforms.decode import open_image
from keras_tricks.data.transforms.fast_jpeg import decode_plain_jpeg
from keras_tricks.data.transforms.jpeg_header import read_jpeg_header
from keras_tricks.data.transforms.preprocessing import Preprocessing
from keras_tricks.data.transforms.random_crops import image_extent
from keras_tricks.data.transforms.train_transform import TrainTransform


@dataclasses.dataclass(frozen=True, repr=False)
class SampleLoader:
    """Reads records and transforms them, as a function of numbers.

    Sample `i` is record `i // repeats`; its transform is drawn from (seed,
    epoch, i) alone. So every engine, worker and host computes the same.

    Args:
        records: The source.
        transform: A `TrainTransform`, or the central crop of a
            `Preprocessing`.
        seed: Seed of the transforms.
        repeats: How many samples a record has.

    Example:
    >>> from keras_tricks.data import ArrayRecords
    >>> records = ArrayRecords(
    ...     np.zeros((2, 9, 9, 3), "uint8"), np.array([0, 1]), ("a", "b")
    ... )
    >>> loader = SampleLoader(records, Preprocessing(8), seed=0)
    >>> image, label = loader.load(epoch=0, sample=1)
    >>> image.shape, label
    ((8, 8, 3), 1)
    """

    records: Records
    transform: TrainTransform | Preprocessing
    seed: int = 0
    repeats: int = 1

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a transformed image."""
        return self.transform.output_shape

    @property
    def output_dtype(self) -> str:
        """uint8, or float32 where colors are changed."""
        return self.transform.output_dtype

    @functools.cached_property  # It is asked for of each sample.
    def label_shape(self) -> tuple[int, ...]:
        """`()` of one class of each image, or `(K,)` of several."""
        several = has_several(self.records)
        return (len(self.records.class_names),) if several else ()

    @property
    def label_dtype(self) -> str:
        """int32, or float32 of several classes, as mixed labels are."""
        return "float32" if self.label_shape else "int32"

    def load(self, epoch: int, sample: int) -> tuple[np.ndarray, Any]:
        """Read a record and transform it.

        Returns:
            The transformed image and the label.

        Raises:
            ValueError: If the record cannot be read; the message names it.
        """
        data, label = self._record(sample)
        return self._transformed(data, epoch, sample), label

    def read(self, epoch: int, sample: int):
        """Do the first half of `load`, for a decoder that reads parts of JPEGs.

        Returns:
            The bytes of a JPEG, the parameters of its transform, and the
            label: `transform.apply_to_crop` of what is in the box is then the
            result. Where such a decoder is of no use, no bytes, `None` and the
            label.

        Raises:
            ValueError: As `load`.
        """
        data, label = self._record(sample)
        if isinstance(data, bytes) and isinstance(
            self.transform, TrainTransform
        ):
            header = read_jpeg_header(data)
            if header is not None:
                size = header.height, header.width
                return data, self.draw(epoch, sample, *size), label
        return b"", None, label

    def draw(self, epoch: int, sample: int, height: int, width: int):
        """Return the parameters of a transform, see `TrainTransform.draw`."""
        rng = random_generator(self.seed, TRANSFORM, epoch, sample)
        return cast(TrainTransform, self.transform).draw(rng, height, width)

    def _record(self, sample):
        """Return the bytes or pixels, and a label that is one."""
        index = sample // self.repeats
        data, label = self.records.record(index)
        classes = len(self.records.class_names)
        if not is_label(label, classes):  # Only then: a name may cost a read.
            check_label(self.records.name(index), label, classes)
        return data, label

    def _transformed(self, data, epoch, sample):
        image, index = data, sample // self.repeats
        if isinstance(data, bytes):
            image = decode_plain_jpeg(data)
        if image is None:
            try:
                image = open_image(data)
            except ValueError:
                # Once more, for an error with the name.
                image = open_image(data, self.records.name(index))
        if isinstance(self.transform, TrainTransform):
            parameters = self.draw(epoch, sample, *image_extent(image))
            return self.transform.apply(image, parameters)
        try:
            return self.transform.transform(np.asarray(image))
        except ValueError as error:
            name = self.records.name(index)
            raise ValueError(f"{name}: {error}") from None


def choose_view(
    transform: TrainTransform | None, preprocessing: Preprocessing
) -> TrainTransform | Preprocessing:
    """Return what transforms a sample: the central crop if nothing else does.

    Raises:
        ValueError: If it gives images of other channels than are normalized.
    """
    if transform is None:
        return preprocessing
    wanted, found = len(preprocessing.channels), transform.output_shape[2]
    if found != wanted:
        raise ValueError(
            f"`transform` must give images of {wanted} channels, which "
            f"`preprocessing` normalizes. Received: {found} channels"
        )
    return transform
