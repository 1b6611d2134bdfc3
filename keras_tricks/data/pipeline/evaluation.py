"""Images decoded and cropped ahead, in threads, in their order."""

import os
from collections.abc import Callable, Iterator

import numpy as np

from keras_tricks._checks import check_int
from keras_tricks._types import Images
from keras_tricks.data.pipeline.read_ahead import map_ahead
from keras_tricks.data.pipeline.sharding import check_batch_room


class EvaluationBatches:
    """Transforms images in batches, once and in order, for evaluation.

    Threads read, decode and crop the next images while the network computes.
    An image that cannot be read is left out, and `bad`, a dict of its index
    to a line, says why.

    Args:
        images: `images[i]` is uint8 `(H, W, C)` or raises a `ValueError`: a
            `keras_tricks.data.ImageFiles` or a NumPy array `(N, H, W, C)`.
        transform: `function(image)` that returns one crop `(S, S, C)` or
            several `(V, S, S, C)`, such as `Preprocessing.transform` and
            `ten_crops`.
        normalize: `function(crops)` that returns float32, such as
            `Preprocessing.normalize`.
        batch_size: Crops in a batch; with V crops of an image,
            `max(1, batch_size // V)` images. Defaults to 64.
        workers: Threads. Defaults to the number of processors.

    Returns:
        An iterable of `(x, indices)`: float32 `(B, V, S, S, C)`, and which
        images they are, integers `(B,)`.

    Raises:
        ValueError: If an argument is not as described.

    Example:
    >>> from keras_tricks.data import Preprocessing
    >>> preprocessing = Preprocessing(image_size=8)
    >>> images = np.zeros((5, 20, 30, 3), "uint8")
    >>> batches = EvaluationBatches(
    ...     images, preprocessing.transform, preprocessing.normalize, 4
    ... )
    >>> [(x.shape, indices.tolist()) for x, indices in batches]
    [((4, 1, 8, 8, 3), [0, 1, 2, 3]), ((1, 1, 8, 8, 3), [4])]
    """

    def __init__(
        self,
        images: Images,
        transform: Callable,
        normalize: Callable,
        batch_size: int = 64,
        workers: int | None = None,
    ):
        if not len(images):
            raise ValueError(
                "`images` must be at least one. Received: an empty sequence"
            )
        self.images = images
        self.transform = transform
        self.normalize = normalize
        self.batch_size = check_int("batch_size", batch_size, 1)
        workers = os.cpu_count() if workers is None else workers
        self.workers = check_int("workers", workers, 1)
        self.bad: dict[int, str] = {}

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self.bad = {}
        crops: list[np.ndarray] = []
        indices: list[int] = []
        results = map_ahead(
            self._result,
            range(len(self.images)),
            self.workers,
            ahead=self.batch_size + self.workers,
        )
        for index, result in results:
            if isinstance(result, str):
                self.bad[index] = result
                continue
            if not crops:
                most = len(self.images) * len(result)
                check_batch_room(min(self.batch_size, most), result.shape[1:])
            crops.append(result)
            indices.append(index)
            if len(crops) == max(1, self.batch_size // len(result)):
                yield self.normalize(np.stack(crops)), np.asarray(indices)
                crops, indices = [], []
        if crops:
            yield self.normalize(np.stack(crops)), np.asarray(indices)

    def _result(self, index):
        """Return the crops of an image, or why there are none."""
        try:
            crops = self.transform(self.images[index])
        except ValueError as error:
            return index, str(error)
        return index, crops if crops.ndim == 4 else crops[None]
