"""MixUp: convex pairs of images and of their labels."""

import keras
import numpy as np

from keras_tricks import _backend
from keras_tricks._checks import check_choice, check_int, check_real
from keras_tricks.data.randomness import MIX, random_generator

_PER = ("batch", "sample")
_NOT_GIVEN = -1


def mixup_draw(
    seed: int,
    epoch: int,
    step: int,
    batch_size: int,
    alpha: float = 0.2,
    per: str = "batch",
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the mixing weights and the partners of one batch.

    `lam ~ Beta(alpha, alpha)` and `partner` is a uniform permutation. Both
    depend on the arguments alone, so parallel workers, other backends and a
    resumed run draw the same.

    Args:
        seed: Integer, at least 0.
        epoch: Integer, at least 0.
        step: Index of the batch in its epoch, at least 0.
        batch_size: Number of samples, at least 1.
        alpha: Both parameters of the Beta distribution. Defaults to 0.2. With
            0 every weight is 1.
        per: `"batch"` for one weight per batch (the default, as in the
            authors' code) or `"sample"` for one weight per sample.

    Returns:
        `lam`, float32 of shape `(1,)` or `(batch_size,)`, and `partner`,
        int32 of shape `(batch_size,)`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
    >>> from keras_tricks.layers import mixup_draw
    >>> lam, partner = mixup_draw(seed=0, epoch=0, step=0, batch_size=4)
    >>> lam.shape, sorted(partner.tolist())
    ((1,), [0, 1, 2, 3])

    Reference:
        - He et al., "Bag of Tricks for Image Classification with
          Convolutional Neural Networks", arXiv 1812.01187, section 5.4.
    """
    alpha = check_real("alpha", alpha, 0)
    check_choice("per", per, _PER)
    batch_size = check_int("batch_size", batch_size, 1)
    rng = random_generator(seed, MIX, epoch, step)
    partner = rng.permutation(batch_size).astype("int32")
    size = batch_size if per == "sample" else 1
    if alpha == 0:
        return np.ones(size, "float32"), partner
    return rng.beta(alpha, alpha, size).astype("float32"), partner


def mix(x, partner, lam):
    """Mixes every row of `x` with another one, in float32.

    `x_hat[i] = lam * x[i] + (1 - lam) * x[partner[i]]`

    Args:
        x: Array or tensor of any dtype, shape `(B, ...)`.
        partner: Integers, shape `(B,)`.
        lam: Floats in [0, 1], shape `(1,)` or `(B,)`.

    Returns:
        float32, the shape of `x`: a NumPy array for a NumPy array, a
        TensorFlow tensor for one, otherwise a tensor of the Keras backend.

    Example:
    >>> import numpy as np
    >>> from keras_tricks.layers import mix
    >>> mix(np.array([[0], [8]], "uint8"), [1, 0], [0.75]).tolist()
    [[2.0], [6.0]]

    Reference:
        - arXiv 1812.01187, section 5.4, equations 10 and 11.
    """
    ops = _backend.array_ops(x)
    lam = ops.float32(lam)
    lam = ops.reshape(lam, (-1,) + (1,) * (len(x.shape) - 1))
    if ops.name == "numpy":
        mixed = np.multiply(x, lam, dtype="float32")
        mixed += np.multiply(x[np.asarray(partner)], 1 - lam, dtype="float32")
        return mixed
    return lam * ops.float32(x) + (1.0 - lam) * ops.float32(
        ops.take(x, partner)
    )


@keras.saving.register_keras_serializable("keras_tricks")
class MixUp(keras.layers.Layer):
    """Mixes pairs of images and their labels in the data pipeline.

    `x_hat = lam * x_i + (1 - lam) * x_j` and the same for the one-hot labels,
    with `lam ~ Beta(alpha, alpha)`.

    The weights and the pairs are a function of (seed, epoch, step). Give
    `step` wherever batches are prepared in parallel:

    - tf.data: `ds.enumerate().map(lambda i, b: mix_up(*b, step=i))`
    - Grain: `ds.batch(32).map_with_index(lambda i, b: mix_up(*b, step=i))`
    - `keras_tricks.data.Batches(..., mix_up=mix_up)` does it by itself.

    Without `step` an internal counter is used, which is reproducible only
    where one thread asks for the batches in order. Worker processes hold a
    copy of the layer: there, give `epoch` too, or call `set_epoch` before the
    workers start. In tf.data the draw is a `tf.numpy_function`, which reads
    the layer at run time; such a pipeline is not serializable.

    Everything is computed in float32, whatever the dtype policy, since the
    images are data. It costs two passes over the batch and one temporary copy
    of it; feed uint8, which makes the gathered copy a quarter of the size.

    Args:
        alpha: Both parameters of the Beta distribution, at least 0. Defaults
            to 0.2. With 0 nothing is mixed.
        per: `"batch"` (default) draws one weight per batch, `"sample"` one
            per sample.
        num_classes: Number of classes K, needed for integer labels. Defaults
            to `None`.
        off_from_epoch: From this epoch on (counted from 0) nothing is mixed.
            Labels are still one-hot float32. Defaults to `None`, never off.
        seed: Integer, at least 0. Defaults to 0.
        name: Name of the layer.
        dtype: Kept for the layer's config; it changes nothing.

    Call arguments:
        images: Shape `(B, ...)`, uint8 or floats, rank at least 2.
        labels: Integers of shape `(B,)` or `(B, 1)`, or dense labels of shape
            `(B, K)`.
        epoch: Defaults to the epoch given to `set_epoch`, first 0.
        step: Index of the batch in its epoch. Defaults to a counter.
        training: With `False` nothing is mixed. Defaults to `True`.

    Returns:
        Images, float32, and labels, float32 of shape `(B, K)`. NumPy arrays
        for NumPy images, TensorFlow tensors for TensorFlow ones (on every
        backend), otherwise tensors of the Keras backend.

    Raises:
        ValueError: If an argument or an input is not as described.

    Example:
    >>> import numpy as np
    >>> from keras_tricks.layers import MixUp
    >>> mix_up = MixUp(alpha=0.2, num_classes=3)
    >>> images = np.zeros((4, 8, 8, 3), "uint8")
    >>> images, labels = mix_up(images, np.array([0, 1, 2, 0]), step=0)
    >>> images.dtype.name, labels.shape
    ('float32', (4, 3))

    Reference:
        - Zhang et al., "mixup: Beyond Empirical Risk Minimization",
          arXiv 1710.09412.
        - arXiv 1812.01187, section 5.4.
    """

    def __init__(
        self,
        alpha=0.2,
        per="batch",
        num_classes=None,
        off_from_epoch=None,
        seed=0,
        name=None,
        dtype=None,
        **kwargs,
    ):
        super().__init__(name=name, dtype=dtype, **kwargs)
        self.alpha = check_real("alpha", alpha, 0)
        self.per = check_choice("per", per, _PER)
        self.num_classes = num_classes
        if num_classes is not None:
            self.num_classes = check_int("num_classes", num_classes, 2)
        self.off_from_epoch = off_from_epoch
        if off_from_epoch is not None:
            self.off_from_epoch = check_int("off_from_epoch", off_from_epoch)
        self.seed = check_int("seed", seed)
        self.epoch = 0
        self._next_step = 0
        self.built = True

    def set_epoch(self, epoch):
        """Sets the epoch of the next batches and restarts the step counter."""
        self.epoch = check_int("epoch", epoch)
        self._next_step = 0

    def __call__(
        self, images, labels=None, epoch=None, step=None, training=True
    ):
        images, labels = _check_inputs(images, labels)
        ops = _backend.array_ops(images)
        targets = _dense_targets(labels, self.num_classes, ops)
        if not training or self.alpha == 0:
            return ops.float32(images), targets
        args = (
            _NOT_GIVEN if epoch is None else epoch,
            _NOT_GIVEN if step is None else step,
            ops.length(images),
        )
        if ops.name == "tensorflow":
            size = images.shape[0] if self.per == "sample" else 1
            lam, partner = _backend.tf_numpy_function(
                self._draw, args, [(size,), (images.shape[0],)]
            )
        else:
            lam, partner = self._draw(*args)
        return ops.cond(
            ops.is_one(lam),
            lambda: (ops.float32(images), targets),
            lambda: (mix(images, partner, lam), mix(targets, partner, lam)),
        )

    def _draw(self, epoch, step, batch_size):
        """Draws for one batch, from the layer's state at run time."""
        epoch = self.epoch if epoch == _NOT_GIVEN else int(epoch)
        if step == _NOT_GIVEN:
            step = self._next_step
            self._next_step += 1
        off = self.off_from_epoch
        alpha = 0.0 if off is not None and epoch >= off else self.alpha
        return mixup_draw(
            self.seed, epoch, int(step), int(batch_size), alpha, self.per
        )

    def compute_output_shape(self, images_shape, labels_shape):
        classes = self.num_classes or labels_shape[-1]
        return tuple(images_shape), (labels_shape[0], classes)

    def get_config(self):
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "per": self.per,
            "num_classes": self.num_classes,
            "off_from_epoch": self.off_from_epoch,
            "seed": self.seed,
        }

    def __reduce__(self):
        """Makes copies for worker processes, the epoch included."""
        return _restore, (self.get_config(), self.epoch, self._next_step)


def _restore(config, epoch, next_step):
    layer = MixUp.from_config(config)
    layer.epoch, layer._next_step = epoch, next_step
    return layer


def _check_inputs(images, labels):
    if _backend.is_symbolic(images) or _backend.is_symbolic(labels):
        raise ValueError(
            "`MixUp` belongs in the data pipeline (`Batches`, `tf.data`, "
            "Grain, NumPy), not in a model or a compiled function. "
            f"Received: images={images}"
        )
    if labels is None:
        raise ValueError(
            "Argument `labels` must be given, since `MixUp` mixes them with "
            "the images. Received: labels=None"
        )
    images = _backend.as_array(images)
    labels = _backend.as_array(labels, like=images)
    if len(images.shape) < 2:
        raise ValueError(
            "Argument `images` must be a batch of rank 2 or more. "
            f"Received: images.shape={tuple(images.shape)}"
        )
    if len(labels.shape) not in (1, 2):
        raise ValueError(
            "Argument `labels` must have shape (B,), (B, 1) or (B, K). "
            f"Received: labels.shape={tuple(labels.shape)}"
        )
    sizes = images.shape[0], labels.shape[0]
    if None not in sizes and sizes[0] != sizes[1]:
        raise ValueError(
            "Arguments `images` and `labels` must have the same batch size. "
            f"Received: images.shape={tuple(images.shape)}, "
            f"labels.shape={tuple(labels.shape)}"
        )
    return images, labels


def _dense_targets(labels, num_classes, ops):
    """Returns the labels as float32 rows of K classes."""
    shape = tuple(labels.shape)
    dtype = keras.backend.standardize_dtype(labels.dtype)
    integer = "int" in dtype or dtype == "bool"
    if len(shape) == 2 and not (integer and shape[1] == 1):
        if num_classes and shape[1] not in (None, num_classes):
            raise ValueError(
                f"Argument `labels` must have {num_classes} columns, the "
                f"layer's `num_classes`. Received: labels.shape={shape}"
            )
        return ops.float32(labels)
    if not integer:
        raise ValueError(
            "Argument `labels` must be integers when it has one value per "
            f"sample. Received: labels.dtype={dtype}"
        )
    if num_classes is None:
        raise ValueError(
            "Argument `num_classes` must be given to `MixUp` when the labels "
            "are integers. Received: num_classes=None"
        )
    labels = labels[:, 0] if len(shape) == 2 else labels
    labels = _backend.check_label_range(labels, num_classes)
    return ops.one_hot(labels, num_classes)
