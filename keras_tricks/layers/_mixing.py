"""What the layers that mix the samples of a batch have in common."""

from typing import Any

import keras

from keras_tricks import _backend
from keras_tricks._checks import check_choice, check_int, check_real
from keras_tricks._types import Shape, Tensor
from keras_tricks.layers._step_layer import StepLayer

PER = ("batch", "sample")


class BatchMixer(StepLayer):
    """A layer that mixes every sample of a batch with another one.

    A subclass has two methods:

    - `draw(batch_size, epoch, step, *sizes)` returns arrays of NumPy: the
      weights, float32 of shape `(1,)` or `(B,)`, the partners, int32 of shape
      `(B,)`, and what else there is, int32, with the first axis of the
      weights.
    - `_mix_batch(images, targets, *drawn)` returns both mixed.

    Args:
        alpha: Both parameters of the Beta distribution, at least 0.
        per: `"batch"` or `"sample"`.
        num_classes: Number of classes, or `None`.
        off_from_epoch: From this epoch on nothing is mixed, or `None`.
        seed: Integer, at least 0.
        **kwargs: Of `keras.layers.Layer`.
    """

    def __init__(
        self,
        alpha: float,
        per: str,
        num_classes: int | None,
        off_from_epoch: int | None,
        seed: int,
        **kwargs: Any,
    ):
        super().__init__(seed, **kwargs)
        self.alpha = check_real("alpha", alpha, 0)
        self.per = check_choice("per", per, PER)
        self.num_classes = num_classes
        if num_classes is not None:
            self.num_classes = check_int("num_classes", num_classes, 2)
        self.off_from_epoch = off_from_epoch
        if off_from_epoch is not None:
            self.off_from_epoch = check_int("off_from_epoch", off_from_epoch)

    def _sizes(self, images):
        """Return integers that `draw` needs at the end."""
        return ()

    def _more_shapes(self):
        """Return the shapes, without axis 0, of what else is drawn."""
        return ()

    def __call__(
        self,
        images: Tensor,
        labels: Tensor = None,
        epoch: int | None = None,
        step: int | None = None,
        training: bool = True,
    ) -> Any:
        name = type(self).__name__
        images, labels = check_inputs(images, labels, name)
        sizes = self._sizes(images)
        ops = _backend.array_ops(images)
        targets = dense_targets(labels, self.num_classes, ops, name)
        if not training or self.alpha == 0:
            return ops.float32(images), targets
        args = (*self._given(epoch, step), ops.length(images), *sizes)
        size = images.shape[0] if self.per == "sample" else 1
        results = [((size,), "float32"), ((images.shape[0],), "int32")]
        for shape in self._more_shapes():
            results.append(((size, *shape), "int32"))
        drawn = ops.numpy_function(self._draw, args, results)
        return ops.cond(
            ops.is_one(drawn[0]),
            lambda: (ops.float32(images), targets),
            lambda: self._mix_batch(images, targets, *drawn),
        )

    def _draw(self, epoch, step, batch_size, *sizes):
        """Draw for one batch, from the layer's state at run time."""
        epoch, step = self._epoch_and_step(epoch, step)
        return self.draw(int(batch_size), epoch, step, *map(int, sizes))

    def _alpha(self, epoch):
        """Return what `alpha` is in an epoch: 0 where mixing is off."""
        off = self.off_from_epoch
        return 0.0 if off is not None and epoch >= off else self.alpha

    def compute_output_shape(
        self, images_shape: Shape, labels_shape: Shape
    ) -> Any:
        classes = self.num_classes or labels_shape[-1]
        return tuple(images_shape), (labels_shape[0], classes)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "per": self.per,
            "num_classes": self.num_classes,
            "off_from_epoch": self.off_from_epoch,
        }


def check_inputs(images, labels, name):
    """Return a batch of images and its labels as arrays of one family."""
    if _backend.is_symbolic(images) or _backend.is_symbolic(labels):
        raise ValueError(
            f"`{name}` belongs in the data pipeline (`Batches`, `tf.data`, "
            "Grain, NumPy), not in a model or a compiled function. "
            f"Received: images={images}"
        )
    if labels is None:
        raise ValueError(
            f"Argument `labels` must be given, since `{name}` mixes them with "
            "the images. Received: labels=None"
        )
    for which, value in (("images", images), ("labels", labels)):
        if isinstance(value, (dict, tuple)):
            held = f" with {sorted(value)}" if isinstance(value, dict) else ""
            raise ValueError(
                f"Argument `{which}` must be one array; of several, mix each "
                f"by what `{name}.draw` returns. "
                f"Received: a {type(value).__name__}{held}"
            )
    images = _backend.as_array(images)
    labels = _backend.as_array(labels, like=images)
    for which, value in (("images", images), ("labels", labels)):
        if not _has_known_rank(value.shape):
            raise ValueError(
                f"Argument `{which}` must have a known rank, which "
                "`tf.ensure_shape` gives it in a pipeline of tf.data. "
                f"Received: {which}.shape={value.shape}"
            )
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


def _has_known_rank(shape):
    try:
        len(shape)
    except ValueError:  # Of a `tf.TensorShape`.
        return False
    return True


def dense_targets(labels, num_classes, ops, name):
    """Return the labels as float32 rows of K classes."""
    shape = tuple(labels.shape)
    dtype = keras.backend.standardize_dtype(labels.dtype)
    integer = "int" in dtype or dtype == "bool"
    if integer and len(shape) == 2 and shape[1] is None:
        raise ValueError(
            "Argument `labels` must have a known number of columns where they "
            "are integers, which `tf.ensure_shape` gives them: 1, or the "
            f"number of classes. Received: labels.shape={shape}"
        )
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
            f"Argument `num_classes` must be given to `{name}` when the "
            "labels are integers. Received: num_classes=None"
        )
    labels = labels[:, 0] if len(shape) == 2 else labels
    labels = _backend.check_label_range(labels, num_classes)
    return ops.one_hot(labels, num_classes)
