"""The engine of tf.data: decodes only the crop, in threads of C++."""

from collections.abc import Iterator

import numpy as np

from keras_tricks import _backend
from keras_tricks.data.pipeline.sample_loader import SampleLoader

# libjpeg's exact inverse transform, which Pillow uses.
_EXACT = "INTEGER_ACCURATE"
# A call of Python from TensorFlow costs as much as drawing for several images.
_CHUNK = 16


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
        self._prepare = self.tf.function(self._trace_prepare)
        self._load = self.tf.function(self._trace_load)
        # What was drawn for crops that are being decoded, by pass and sample:
        # an iterator that was left may still work ahead.
        self._drawn: dict[tuple[int, int], tuple] = {}
        self._pass = 0

    def batches(
        self, epoch: int, samples: np.ndarray, batch_size: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return numbers of samples, images and labels, in batches.

        Samples that cannot be read are left out.
        """
        tf = self.tf
        self._pass += 1
        for key in list(self._drawn):
            if key[0] < self._pass:
                self._drawn.pop(key, None)
        keys = np.empty((len(samples), 3), "int64")
        keys[:] = self._pass, epoch, 0
        keys[:, 2] = samples
        parallel = {
            "num_parallel_calls": self.workers,
            "deterministic": self.deterministic,
        }
        dataset = tf.data.Dataset.from_tensor_slices(keys).batch(_CHUNK)
        dataset = dataset.map(self._prepare, **parallel).unbatch()
        dataset = dataset.map(self._load, **parallel).ignore_errors()
        dataset = dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)
        return dataset.as_numpy_iterator()

    def _trace_prepare(self, keys):
        tf = self.tf
        jpegs, boxes = tf.numpy_function(
            self._read, [keys], (tf.string, tf.int32), stateful=False
        )
        jpegs = tf.ensure_shape(jpegs, (None,))
        return keys, jpegs, tf.ensure_shape(boxes, (None, 4))

    def _trace_load(self, key, jpeg, box):
        tf, loader = self.tf, self.loader
        crop = tf.cond(
            tf.strings.length(jpeg) > 0,
            lambda: tf.io.decode_and_crop_jpeg(
                jpeg, box, channels=3, dct_method=_EXACT
            ),
            lambda: tf.zeros((0, 0, 3), "uint8"),
        )
        image, label = tf.numpy_function(
            self._finish,
            (crop, key),
            (loader.output_dtype, loader.label_dtype),
            stateful=False,
        )
        image = tf.ensure_shape(image, loader.output_shape)
        return key[2], image, tf.ensure_shape(label, loader.label_shape)

    def _read(self, keys):
        """Read samples, and draw where only a crop has to be decoded."""
        jpegs, boxes = [], np.zeros((len(keys), 4), "int32")
        for i, (number, epoch, sample) in enumerate(keys.tolist()):
            try:
                jpeg, parameters, label = self.loader.read(epoch, sample)
            except ValueError:
                jpeg, parameters = b"", None  # `_finish` meets it again.
            if parameters is not None:
                self._drawn[number, sample] = parameters, label
                box = parameters.box
                boxes[i] = box.top, box.left, box.height, box.width
            jpegs.append(jpeg)
        return np.array(jpegs, object), boxes

    def _finish(self, crop, key):
        """Finish a crop, or what has to be decoded otherwise."""
        number, epoch, sample = key.tolist()
        drawn = self._drawn.pop((number, sample), None)
        if drawn is None:
            image, label = self.loader.load(epoch, sample)
        else:
            parameters, label = drawn
            image = self.loader.transform.apply_to_crop(crop, parameters)
        return image, np.asarray(label, self.loader.label_dtype)
