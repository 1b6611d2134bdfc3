"""MixUp: convex pairs of images and of their labels."""

from typing import Any

import keras
import numpy as np

from keras_tricks import _backend
from keras_tricks._checks import check_choice, check_int, check_real
from keras_tricks._random import MIX, random_generator
from keras_tricks._types import DType, Tensor
from keras_tricks.layers._mixing import PER, BatchMixer


def draw_mixup(
    seed: int,
    epoch: int,
    step: int,
    batch_size: int,
    alpha: float = 0.2,
    per: str = "batch",
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the mixing weights and the partners of one batch.

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
    >>> from keras_tricks.layers import draw_mixup
    >>> lam, partner = draw_mixup(seed=0, epoch=0, step=0, batch_size=4)
    >>> lam.shape, sorted(partner.tolist())
    ((1,), [0, 1, 2, 3])

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 5.4
    """
    alpha = check_real("alpha", alpha, 0)
    check_choice("per", per, PER)
    batch_size = check_int("batch_size", batch_size, 1)
    rng = random_generator(seed, MIX, epoch, step)
    partner = rng.permutation(batch_size).astype("int32")
    size = batch_size if per == "sample" else 1
    if alpha == 0:
        return np.ones(size, "float32"), partner
    return rng.beta(alpha, alpha, size).astype("float32"), partner


def mix(x: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    """Mix every row of `x` with another one, in float32.

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
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 5.4,
          equations 10 and 11
    """
    ops = _backend.array_ops(x)
    lam = ops.float32(lam)
    lam = ops.reshape(lam, (-1,) + (1,) * (len(x.shape) - 1))
    return ops.blend(x, ops.take(x, partner), lam)


@keras.saving.register_keras_serializable("keras_tricks")
class MixUp(BatchMixer):
    """Mixes pairs of images and their labels in the data pipeline.

    `x_hat = lam * x_i + (1 - lam) * x_j` and the same for the one-hot labels,
    with `lam ~ Beta(alpha, alpha)`.

    The weights and the pairs are a function of (seed, epoch, step). Tell the
    epoch by `fit(callbacks=[keras_tricks.callbacks.SetEpoch(mix_up)])`, and
    give `step` wherever batches are prepared in parallel:

    - tf.data: `ds.enumerate().map(lambda i, b: mix_up(*b, step=i))`
    - Grain: `ds.batch(32).map_with_index(lambda i, b: mix_up(*b, step=i))`
    - In a torch `DataLoader`, `collate_fn=lambda b: mix_up(*default_collate(
      b))`: the layer knows the step, with any number of workers.
    - `keras_tricks.data.Batches(..., mix_up=mix_up)` does both by itself.

    A step that comes again while the epoch was never told would be mixed as
    before: that is warned of, once. Without `step` an internal counter is
    used, which is reproducible only where one thread asks for the batches in
    order. Other worker processes hold a copy of the layer, which refuses to
    count: there, give `step`, and `epoch` too, or call `set_epoch` before
    they start. In tf.data the draw is a `tf.numpy_function`, which reads the
    layer at run time; such a pipeline is not serializable.

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
        seed: Integer, at least 0. Defaults to 0. It alone decides, whatever
            `keras.utils.set_random_seed` was given.
        name: Name of the layer.
        dtype: Kept for the layer's config; it changes nothing.

    Call arguments:
        images: Shape `(B, ...)`, uint8 or floats, rank at least 2.
        labels: Integers of shape `(B,)` or `(B, 1)`, or dense labels of shape
            `(B, K)`.
        epoch: Defaults to the epoch given to `set_epoch`, first 0; in a
            worker of a `DataLoader` that was given none, to its passes.
        step: Index of the batch in its epoch. Defaults to a counter.
        training: With `False` nothing is mixed. Defaults to `True`.

    Returns:
        Images, float32, and labels, float32 of shape `(B, K)`. NumPy arrays
        for NumPy images, tensors of TensorFlow or torch for such ones (on
        every backend), otherwise tensors of the Keras backend.

    Raises:
        ValueError: If an argument or an input is not as described: several
            inputs, sample weights and labels of unknown rank among them.

    Example:
    >>> import numpy as np
    >>> from keras_tricks.layers import MixUp
    >>> mix_up = MixUp(alpha=0.2, num_classes=3)
    >>> images = np.zeros((4, 8, 8, 3), "uint8")
    >>> images, labels = mix_up(images, np.array([0, 1, 2, 0]), step=0)
    >>> images.dtype.name, labels.shape
    ('float32', (4, 3))

    Reference:
        - [Zhang et al., 2017](https://arxiv.org/abs/1710.09412)
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 5.4
    """

    def __init__(
        self,
        alpha: float = 0.2,
        per: str = "batch",
        num_classes: int | None = None,
        off_from_epoch: int | None = None,
        seed: int = 0,
        name: str | None = None,
        dtype: DType = None,
        **kwargs: Any,
    ):
        super().__init__(
            alpha,
            per,
            num_classes,
            off_from_epoch,
            seed,
            name=name,
            dtype=dtype,
            **kwargs,
        )

    def draw(
        self, batch_size: int, epoch: int, step: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights and the partners that a call would draw.

        Args:
            batch_size: Number of samples.
            epoch: The epoch.
            step: Index of the batch in it.

        Returns:
            As of `draw_mixup`; weights of 1 where mixing is off.
        """
        return draw_mixup(
            self.seed, epoch, step, batch_size, self._alpha(epoch), self.per
        )

    def _mix_batch(self, images, targets, lam, partner):
        return mix(images, partner, lam), mix(targets, partner, lam)
