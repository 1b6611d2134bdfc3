"""Records as a sequence of images."""

import contextlib
import dataclasses

import numpy as np

from keras_tricks.data.sources.labels import has_several
from keras_tricks.data.sources.records import Records
from keras_tricks.data.transforms.crops import to_channels
from keras_tricks.data.transforms.decode import decode_image


@dataclasses.dataclass(frozen=True, repr=False)
class DecodedRecords:
    """The images of a source, decoded when they are asked for.

    Args:
        records: Any `Records`.

    Example:
    >>> from keras_tricks.data import ArrayRecords
    >>> images = DecodedRecords(ArrayRecords(
    ...     np.zeros((2, 4, 4, 1), "uint8"), np.array([1, 0]), ("a", "b")
    ... ))
    >>> images[0].shape, images.names[1], images.labels.tolist()
    ((4, 4, 3), 'image[1]', [1, 0])
    """

    records: Records

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return an image: uint8, shape `(H, W, 3)`.

        Raises:
            ValueError: If it cannot be read; the message names the record.
        """
        data, _ = self.records.record(index)
        if isinstance(data, bytes):
            return decode_image(data, self.records.name(index))
        return to_channels(data, 3)

    @property
    def names(self) -> tuple[str, ...]:
        """What the records are called."""
        return tuple(map(self.records.name, range(len(self))))

    @property
    def labels(self) -> np.ndarray:
        """int32, shape `(N,)`, or `(N, K)`; read from the records if need be.

        A record that cannot be read has -1: to ask for its image says why.
        """
        if self.records.labels is not None:
            return np.asarray(self.records.labels, "int32")
        several = has_several(self.records)
        columns = (len(self.records.class_names),) if several else ()
        labels = np.full((len(self), *columns), -1, "int32")
        for index in range(len(self)):
            with contextlib.suppress(ValueError):
                labels[index] = self.records.record(index)[1]
        return labels
