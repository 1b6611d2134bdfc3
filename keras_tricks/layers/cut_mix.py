"""CutMix: rectangles of other images, and the labels by their share."""

from typing import Any

import keras
import numpy as np

from keras_tricks import _backend
from keras_tricks._checks import check_choice, check_int, check_real
from keras_tricks._random import CUT, random_generator
from keras_tricks._types import DType, Tensor
from keras_tricks.layers._mixing import PER, BatchMixer
from keras_tricks.layers.mix_up import mix

_DATA_FORMATS = ("channels_last", "channels_first")


def draw_cutmix(
    seed: int,
    epoch: int,
    step: int,
    batch_size: int,
    height: int,
    width: int,
    alpha: float = 1.0,
    per: str = "batch",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the rectangles, their shares and the partners of one batch.

    Formula, with H x W pixels:

        l ~ Beta(alpha, alpha)
        h = floor(H sqrt(1 - l)),   w = floor(W sqrt(1 - l))
        y ~ U{0 ... H - 1},   x ~ U{0 ... W - 1}
        rows max(y - floor(h / 2), 0) ... min(y + floor(h / 2), H) - 1
        columns likewise
        lam = 1 - rows * columns / (H W)

    so that lam is exactly the share of the pixels that an image keeps, also
    where its border cuts the rectangle off. `partner` is a uniform
    permutation. All depends on the arguments alone.

    Args:
        seed: Integer, at least 0.
        epoch: Integer, at least 0.
        step: Index of the batch in its epoch, at least 0.
        batch_size: Number of samples B, at least 1.
        height: H in pixels.
        width: W in pixels.
        alpha: Both parameters of the Beta distribution. Defaults to 1, the
            paper's: l is uniform. With 0 every rectangle is empty.
        per: `"batch"` for one rectangle per batch (the default, as in the
            authors' code) or `"sample"` for one per sample.

    Returns:
        `lam`, float32 of shape `(1,)` or `(B,)`; `partner`, int32 of shape
        `(B,)`; and the rectangles, int32 of shape `(1, 4)` or `(B, 4)`: top,
        left, height and width.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
    >>> lam, partner, box = draw_cutmix(0, 0, 0, 4, height=8, width=8)
    >>> float(lam[0]) == 1 - int(box[0, 2] * box[0, 3]) / 64
    True

    Reference:
        - [Yun et al., 2019](https://arxiv.org/abs/1905.04899), section 3.1 and
          algorithm A1
    """
    alpha = check_real("alpha", alpha, 0)
    check_choice("per", per, PER)
    batch_size = check_int("batch_size", batch_size, 1)
    sides = check_int("height", height, 1), check_int("width", width, 1)
    rng = random_generator(seed, CUT, epoch, step)
    partner = rng.permutation(batch_size).astype("int32")
    size = batch_size if per == "sample" else 1
    drawn = np.ones(size) if alpha == 0 else rng.beta(alpha, alpha, size)
    starts, lengths = [], []
    for side in sides:
        half = (side * np.sqrt(1 - drawn)).astype(int) // 2
        middle = rng.integers(side, size=size)
        start = np.maximum(middle - half, 0)
        starts.append(start)
        lengths.append(np.minimum(middle + half, side) - start)
    lam = 1 - lengths[0] * lengths[1] / (sides[0] * sides[1])
    box = np.stack([*starts, *lengths], axis=1)
    return lam.astype("float32"), partner, box.astype("int32")


def cut_and_paste(
    x: Tensor, partner: Tensor, box: Tensor, data_format: str = "channels_last"
) -> Tensor:
    """Paste a rectangle of another image over every image, in float32.

    `x_hat[i] = x[partner[i]]` inside of the rectangle and `x[i]` outside.

    Args:
        x: Array or tensor of any dtype, shape `(B, H, W, C)`, or
            `(B, C, H, W)` with channels first.
        partner: Integers, shape `(B,)`.
        box: Integers, shape `(1, 4)` or `(B, 4)`: top, left, height, width.
        data_format: `"channels_last"` (default) or `"channels_first"`.

    Returns:
        float32, the shape of `x`: a NumPy array for a NumPy array, a
        TensorFlow tensor for one, otherwise a tensor of the Keras backend.

    Example:
    >>> images = np.array([[1, 1, 1], [5, 5, 5]], "uint8").reshape(2, 1, 3, 1)
    >>> cut_and_paste(images, [1, 0], [[0, 1, 1, 2]])[..., 0].tolist()
    [[[1.0, 5.0, 5.0]], [[5.0, 1.0, 1.0]]]

    Reference:
        - [Yun et al., 2019](https://arxiv.org/abs/1905.04899), section 3.1,
          equation 1
    """
    first = data_format == "channels_first"
    if not isinstance(x, np.ndarray):
        ops = _backend.array_ops(x)
        sides = _sides(x, data_format)
        (mask,) = ops.numpy_function(
            lambda *args: (_mask(*args),),
            (box, *sides),
            [((None, *sides), "bool")],
        )
        mask = ops.reshape(mask, (-1, 1, *sides) if first else (-1, *sides, 1))
        other = ops.take(x, partner)
        return ops.where(mask, ops.float32(other), ops.float32(x))
    pasted = np.array(x, "float32")
    source, target = (
        np.moveaxis(array, 1, -1) if first else array for array in (x, pasted)
    )
    partner = np.asarray(partner)
    one_box = len(box) == 1
    for i, (top, left, height, width) in enumerate(np.asarray(box).tolist()):
        rows = slice(None) if one_box else slice(i, i + 1)
        place = slice(top, top + height), slice(left, left + width)
        target[rows, *place] = source[partner[rows], *place]
    return pasted


def _sides(images, data_format):
    """Return the height and the width of a batch of images."""
    shape = tuple(images.shape)
    first = data_format == "channels_first"
    sides = shape[2:] if first else shape[1:-1]
    if len(shape) != 4 or None in sides:
        raise ValueError(
            "Argument `images` must have shape "
            f"{'(B, C, H, W)' if first else '(B, H, W, C)'} with known H and "
            "W, which `tf.ensure_shape` gives them in a pipeline of tf.data. "
            f"Received: images.shape={shape}"
        )
    return sides


def _mask(box, height, width):
    """Mask each pixel inside its rectangle, `(1, H, W)` or `(B, H, W)`."""
    top, left, tall, wide = np.asarray(box, "int64").T[..., None]
    y, x = np.arange(height), np.arange(width)
    rows = (y >= top) & (y < top + tall)
    columns = (x >= left) & (x < left + wide)
    return rows[:, :, None] & columns[:, None, :]


@keras.saving.register_keras_serializable("keras_tricks")
class CutMix(BatchMixer):
    """Pastes parts of other images and mixes the labels by their share.

    `x_hat = x_j` inside of a rectangle, `x_i` outside, and
    `y_hat = lam * y_i + (1 - lam) * y_j` for the one-hot labels, where lam
    is exactly the share of the pixels outside; see `draw_cutmix`.

    It is used as `MixUp` is, which says what to do in tf.data, in Grain and
    in worker processes: rectangles and pairs are a function of (seed, epoch,
    step), and everything is float32, whatever the dtype policy.

    `keras.layers.CutMix` is another thing: it draws alpha itself, uniform in
    [0, factor], so `factor=1` is not Beta(1, 1); its rectangles have
    fractional corners, so labels and pixels do not agree; integer labels
    fail or become a (B, B) matrix, and so do half-precision policies.

    Args:
        alpha: Both parameters of the Beta distribution, at least 0. Defaults
            to 1, the paper's. With 0 nothing is mixed.
        per: `"batch"` (default) draws one rectangle per batch, as the code of
            the paper does, `"sample"` one per sample.
        num_classes: Number of classes K, needed for integer labels. Defaults
            to `None`.
        off_from_epoch: From this epoch on (counted from 0) nothing is mixed.
            Labels are still one-hot float32. Defaults to `None`, never off.
        data_format: `"channels_last"` (default) or `"channels_first"`.
        seed: Integer, at least 0. Defaults to 0. It alone decides, as in
            `MixUp`.
        name: Name of the layer.
        dtype: Kept for the layer's config; it changes nothing.

    Call arguments:
        images: Shape `(B, H, W, C)`, or `(B, C, H, W)` with channels first,
            uint8 or floats.
        labels: Integers of shape `(B,)` or `(B, 1)`, or dense labels of shape
            `(B, K)`.
        epoch: Defaults to the epoch given to `set_epoch`, first 0.
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
    >>> cut_mix = CutMix(num_classes=3)
    >>> images = np.zeros((4, 8, 8, 3), "uint8")
    >>> images, labels = cut_mix(images, np.array([0, 1, 2, 0]), step=0)
    >>> images.dtype.name, labels.shape
    ('float32', (4, 3))

    Reference:
        - [Yun et al., 2019](https://arxiv.org/abs/1905.04899)
    """

    def __init__(
        self,
        alpha: float = 1.0,
        per: str = "batch",
        num_classes: int | None = None,
        off_from_epoch: int | None = None,
        data_format: str = "channels_last",
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
        self.data_format = check_choice(
            "data_format", data_format, _DATA_FORMATS
        )

    def _sizes(self, images):
        return _sides(images, self.data_format)

    def _more_shapes(self):
        return ((4,),)

    def draw(
        self, batch_size: int, epoch: int, step: int, height: int, width: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the shares, partners and rectangles that a call would draw.

        Args:
            batch_size: Number of samples.
            epoch: The epoch.
            step: Index of the batch in it.
            height: Of the images, in pixels.
            width: Of the images.

        Returns:
            As of `draw_cutmix`; empty rectangles where mixing is off.
        """
        return draw_cutmix(
            self.seed,
            epoch,
            step,
            batch_size,
            height,
            width,
            self._alpha(epoch),
            self.per,
        )

    def _mix_batch(self, images, targets, lam, partner, box):
        pasted = cut_and_paste(images, partner, box, self.data_format)
        return pasted, mix(targets, partner, lam)

    def get_config(self) -> dict:
        return {**super().get_config(), "data_format": self.data_format}
