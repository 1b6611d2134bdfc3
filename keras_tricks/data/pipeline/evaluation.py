"""Images decoded and cropped ahead, in threads, in their order."""

import collections
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_tricks._checks import check_int


class EvaluationBatches:
    """Batches of views of images, once and in order, for evaluation.

    Threads read, decode and crop the next images while the network computes.
    An image that cannot be read is left out, and `bad`, a dict of its index
    to a line, says why.

    Args:
        images: `images[i]` is uint8 `(H, W, C)` or raises a `ValueError`: a
            `keras_tricks.data.ImageFiles` or a NumPy array `(N, H, W, C)`.
        view: `function(image)` that returns one view `(S, S, C)` or several
            `(V, S, S, C)`, such as `Preprocessing.view` and `ten_crops`.
        normalize: `function(views)` that returns float32, such as
            `Preprocessing.normalize`.
        batch_size: Views in a batch; with V views of an image,
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
    ...     images, preprocessing.view, preprocessing.normalize, batch_size=4
    ... )
    >>> [(x.shape, indices.tolist()) for x, indices in batches]
    [((4, 1, 8, 8, 3), [0, 1, 2, 3]), ((1, 1, 8, 8, 3), [4])]
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        view: Callable,
        normalize: Callable,
        batch_size: int = 64,
        workers: int | None = None,
    ):
        if not len(images):
            raise ValueError(
                "`images` must be at least one. Received: an empty sequence"
            )
        self.images = images
        self.view = view
        self.normalize = normalize
        self.batch_size = check_int("batch_size", batch_size, 1)
        workers = os.cpu_count() if workers is None else workers
        self.workers = check_int("workers", workers, 1)
        self.bad = {}

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self.bad = {}
        views, indices = [], []
        for index, result in self._results():
            if isinstance(result, str):
                self.bad[index] = result
                continue
            views.append(result)
            indices.append(index)
            if len(views) == max(1, self.batch_size // len(result)):
                yield self.normalize(np.stack(views)), np.asarray(indices)
                views, indices = [], []
        if views:
            yield self.normalize(np.stack(views)), np.asarray(indices)

    def _results(self):
        pool = ThreadPoolExecutor(self.workers, "views")
        pending = collections.deque()
        try:
            for index in range(len(self.images)):
                pending.append(pool.submit(self._result, index))
                if len(pending) > self.batch_size + self.workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _result(self, index):
        """The views of an image, or why there are none."""
        try:
            views = self.view(self.images[index])
        except ValueError as error:
            return index, str(error)
        return index, views if views.ndim == 4 else views[None]
