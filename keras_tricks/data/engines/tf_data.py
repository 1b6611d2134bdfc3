"""The engine of tf.data: decodes only the crop, in threads of C++."""

from collections.abc import Iterator

import numpy as np

from keras_tricks import _backend
from keras_tricks.data.sample_loader import SampleLoader

# libjpeg's exact inverse transform, which Pillow uses.
_EXACT = "INTEGER_ACCURATE"


class Engine:
    """Loads samples with `tf.data`.

    Reading, drawing and what follows the crop are the functions of
    `SampleLoader`; TensorFlow runs them in parallel and decodes the crops.

    Args:
        loader: What to run.
        workers: Samples in work at a time; `None` lets tf.data tune it.
        deterministic: Whether samples keep their order.

    Raises:
        ImportError: If TensorFlow is missing.
    """

    def __init__(
        self,
        loader: SampleLoader,
        workers: int | None = None,
        deterministic: bool = True,
    ):
        self.loader = loader
        self.tf = _backend.import_tensorflow_for_data()
        self.workers = self.tf.data.AUTOTUNE if workers is None else workers
        self.deterministic = deterministic
        # Traced once, not once in each epoch.
        self._load = self.tf.function(self._trace)
        self._drawn = {}

    def batches(
        self, epoch: int, samples: np.ndarray, batch_size: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yields numbers of samples, views and labels, in batches.

        Samples that cannot be read are left out.
        """
        tf = self.tf
        self._drawn.clear()
        dataset = tf.data.Dataset.from_tensor_slices(
            (np.full(len(samples), epoch), samples)
        )
        dataset = dataset.map(
            self._load,
            num_parallel_calls=self.workers,
            deterministic=self.deterministic,
        )
        dataset = dataset.ignore_errors()
        dataset = dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)
        yield from dataset.as_numpy_iterator()

    def _trace(self, epoch, sample):
        tf, loader = self.tf, self.loader
        jpeg, box, view, label = tf.numpy_function(
            self._prepare,
            (epoch, sample),
            (tf.string, tf.int32, loader.view_dtype, tf.int32),
            stateful=False,
        )

        def decode():
            part = tf.io.decode_and_crop_jpeg(
                jpeg, box, channels=3, dct_method=_EXACT
            )
            return tf.numpy_function(
                self._finish,
                (part, epoch, sample),
                loader.view_dtype,
                stateful=False,
            )

        view = tf.cond(tf.strings.length(jpeg) > 0, decode, lambda: view)
        view = tf.ensure_shape(view, loader.view_shape)
        return sample, view, tf.ensure_shape(label, ())

    def _prepare(self, epoch, sample):
        """Reads a sample; all but the pixels of a crop, where that is all."""
        key = int(epoch), int(sample)
        data, parameters, view, label = self.loader.prepare(*key)
        if parameters is None:
            return data, np.zeros(4, "int32"), view, np.int32(label)
        self._drawn[key] = parameters
        box = parameters.box
        box = np.array([box.top, box.left, box.height, box.width], "int32")
        return data, box, np.zeros(0, self.loader.view_dtype), np.int32(label)

    def _finish(self, part, epoch, sample):
        key = int(epoch), int(sample)
        parameters = self._drawn.pop(key, None)
        if parameters is None:
            # An iterator that was left, but still works ahead, took them.
            _, parameters, _, _ = self.loader.prepare(*key)
        return self.loader.view.apply_to_crop(part, parameters)
