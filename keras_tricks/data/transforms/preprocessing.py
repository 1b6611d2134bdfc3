"""From a decoded image to what a trained network is evaluated on."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_tricks import _backend
from keras_tricks._checks import check_choice, check_real
from keras_tricks._image_size import ImageSize, check_size, sides_of
from keras_tricks._types import Tensor
from keras_tricks._untrusted import parse_json
from keras_tricks.data.transforms.crops import (
    INTERPOLATIONS,
    center_crop,
    resize_to_cover,
    ten_crop,
    to_channels,
)
from keras_tricks.data.transforms.letterbox import letterbox

# What the last axis holds; L is one channel of gray.
CHANNELS = ("RGB", "BGR", "L")
RESIZES = ("crop", "letterbox")
"""How an image of another aspect gets the size of the network's."""

# In pixels, of images that are made; JPEG has no larger ones.
MOST_SIDE = 2**16 - 1


@keras.saving.register_keras_serializable("keras_tricks")
@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What is done to an image before a trained network sees it.

    Resize, central crop, order of the channels, normalization:

        S = round(image_size / crop_ratio)
        short side -> S, long side -> floor(S * long / short)
        crop of image_size at round((side - image_size) / 2)
        x = (pixel - mean) / std, pixel in 0 ... 255

    `round` is Python's: halves go to the even number. So S is any number that
    one wants if `crop_ratio` is `image_size / S`. The sizes of the long side
    and the offsets are those of torchvision and timm; S is too, except that
    timm takes the floor: its 299 / 0.875 is 341 and ours is 342, which
    torchvision has for Inception-V3. The result belongs to the weights: other
    numbers than those of the training cost accuracy, and no error tells.

    Of an `image_size` (h, w) the resized image just covers
    (round(h / crop_ratio), round(w / crop_ratio)), see `resize_to_cover`; of a
    square that is the same. With `resize="letterbox"` nothing is cropped: the
    whole image is on bars of one color, see `letterbox`.

    Args:
        image_size: What the network sees, in pixels: a side, or (height,
            width). Defaults to 224.
        crop_ratio: `image_size` over the short side of the resized image,
            in (0, 1]. Defaults to 0.875. A letterbox ignores it.
        interpolation: `"nearest"`, `"box"`, `"bilinear"` (default),
            `"hamming"`, `"bicubic"` or `"lanczos"`, as Pillow does them: all
            but the first are antialiased.
        mean: Number subtracted from each channel, in units of the pixels
            0 ... 255 and in the order of `channels`. Defaults to that of
            ImageNet.
        std: Number above 0 that each channel is divided by, likewise.
        channels: `"RGB"` (default), `"BGR"` or `"L"`, one channel of gray.
        resize: `"crop"` (default) or `"letterbox"`.

    Raises:
        ValueError: If an argument is not as described.

    Example:
    >>> preprocessing = Preprocessing(image_size=8, crop_ratio=0.5)
    >>> preprocessing.short_side
    16
    >>> preprocessing(np.zeros((30, 40, 3), "uint8")).shape
    (8, 8, 3)
    >>> Preprocessing((8, 12), resize="letterbox").input_shape
    (8, 12, 3)
    >>> Preprocessing.from_json(preprocessing.to_json()) == preprocessing
    True

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 2.1
    """

    image_size: ImageSize = 224
    crop_ratio: float = 0.875
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    channels: str = "RGB"
    resize: str = "crop"

    def __post_init__(self):
        size = check_size("image_size", self.image_size, 1, MOST_SIDE)
        ratio = check_real("crop_ratio", self.crop_ratio, 0, 1, open_low=True)
        if max(sides_of(size)) > ratio * MOST_SIDE:
            raise ValueError(
                "`crop_ratio` must be such that the short side, image_size / "
                f"crop_ratio, is at most {MOST_SIDE}. Received: "
                f"crop_ratio={ratio!r}, image_size={size}"
            )
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        check_choice("channels", self.channels, CHANNELS)
        check_choice("resize", self.resize, RESIZES)
        checked: dict[str, Any] = {"image_size": size, "crop_ratio": ratio}
        checked["mean"] = _check_numbers("mean", self.mean, self.channels)
        checked["std"] = _check_numbers("std", self.std, self.channels, 0)
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def short_side(self) -> int:
        """Short side of the resized image, in pixels; of a square's."""
        return min(self.covered)

    @property
    def covered(self) -> tuple[int, int]:
        """Height and width that the resized image just covers."""
        height, width = sides_of(self.image_size)
        return round(height / self.crop_ratio), round(width / self.crop_ratio)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what the network sees."""
        return (*sides_of(self.image_size), len(self.channels))

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Shape of a transformed image, still in the order of RGB."""
        return self.input_shape

    @property
    def output_dtype(self) -> str:
        """Dtype of a transformed image, before it is normalized."""
        return "uint8"

    def transform(self, image: np.ndarray) -> np.ndarray:
        """Return the central crop, not yet normalized.

        Args:
            image: uint8, shape `(H, W, 3)` in RGB, or `(H, W, 1)`, gray.

        Returns:
            uint8, shape `(height, width, 3)` in RGB, or with one channel if
            `channels` is `"L"`.

        Raises:
            ValueError: If the image has another shape or dtype.
        """
        return center_crop(self._resize(image), self.image_size)

    def ten_crops(self, image: np.ndarray) -> np.ndarray:
        """Return the ten crops of `ten_crop`, not yet normalized.

        Args:
            image: As for `transform`.

        Returns:
            uint8, shape `(10, height, width, C)`.
        """
        return ten_crop(self._resize(image), self.image_size)

    def views(self, ten_crop: bool = False) -> Callable:
        """Return `transform`, or `ten_crops`.

        Raises:
            ValueError: If ten crops are wanted of a letterbox, of which they
                would all be the same.
        """
        if ten_crop and self.resize == "letterbox":
            raise ValueError(
                "`ten_crop` must be False with resize='letterbox', which crops "
                "nothing. Received: ten_crop=True"
            )
        return self.ten_crops if ten_crop else self.transform

    def normalize(self, images: Tensor) -> Tensor:
        """Put the channels into order, subtract `mean`, divide by `std`.

        Args:
            images: Shape `(..., H, W, C)`, from `transform`: a NumPy array,
                uint8, or a tensor, uint8 or float32.

        Returns:
            A new float32 array or tensor of the same shape.
        """
        if self.channels == "BGR":
            images = _backend.array_ops(images).reverse(images)
        return normalize(
            images,
            np.asarray(self.mean, "float32"),
            np.asarray(self.std, "float32"),
        )

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the central crop, normalized: float32, channels last."""
        return self.normalize(self.transform(image))

    def _resize(self, image):
        image = to_channels(image, 1 if self.channels == "L" else 3)
        if self.resize == "letterbox":
            return letterbox(image, self.image_size, self.interpolation)
        return resize_to_cover(image, self.covered, self.interpolation)

    def gray(self) -> "Preprocessing":
        """Return the same for gray images, in one channel.

        Formula: of the mean_c and std_c of three channels

            std = 3 / Σ 1 / std_c,   mean = std / 3 Σ mean_c / std_c

        so that `(x - mean) / std` is the mean of the three values that a pixel
        of gray has, `(x - mean_c) / std_c`.

        Example:
        >>> own = Preprocessing(mean=(127.5,) * 3, std=(127.5,) * 3).gray()
        >>> own.channels, own.mean, own.std
        ('L', (127.5,), (127.5,))
        """
        if self.channels == "L":
            return self
        inverse = [1 / value for value in self.std]
        pairs = zip(self.mean, inverse, strict=True)
        mean = sum(value * share for value, share in pairs) / sum(inverse)
        return dataclasses.replace(
            self, mean=(mean,), std=(3 / sum(inverse),), channels="L"
        )

    def to_json(self) -> str:
        """Return the fields as a JSON object, one line for each."""
        return json.dumps(self.get_config(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Preprocessing":
        """Read what `to_json` wrote; missing fields take the defaults.

        Raises:
            ValueError: If the text is no JSON object or has unknown fields.
        """
        try:
            config = parse_json(text)
        except ValueError:
            config = None
        names = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(config, dict) or set(config) - set(names):
            raise ValueError(
                f"`text` must be a JSON object of {', '.join(names)}. "
                f"Received: {' '.join(text[:80].split())}"
            )
        return cls(**config)

    def get_config(self) -> dict:
        """Return the fields, with lists for tuples."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_config(cls, config: dict) -> "Preprocessing":
        """Return what has this configuration."""
        return cls(**config)


def normalize(images: Tensor, mean: np.ndarray, std: np.ndarray) -> Tensor:
    """Subtract a mean from each channel, divide by a standard deviation.

    Formula: `(x - mean) * (1 / std)`, in float32.

    Args:
        images: Shape `(..., H, W, C)`: a NumPy array, uint8, or a tensor,
            uint8 or float32.
        mean: float32, shape `(C,)`.
        std: float32, shape `(C,)`.

    Returns:
        A new float32 array of the shape of `images`, a tensor for one.

    Example:
    >>> one = np.ones(1, "float32")
    >>> normalize(np.full((1, 1, 1), 5, "uint8"), one, 2 * one).item()
    2.0
    """
    if not isinstance(images, np.ndarray):
        ops = _backend.array_ops(images)
        centered = ops.float32(images) - ops.float32(mean)
        return centered * ops.float32(1 / std)
    *_, width, channels = images.shape
    flat = images.reshape(-1, width * channels)
    result = np.subtract(flat, np.tile(mean, width), dtype="float32")
    result *= np.tile(1 / std, width)
    return result.reshape(images.shape)


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of every channel.

    Args:
        images: uint8, shape `(N, H, W, C)`.

    Returns:
        Two float32 arrays of shape `(C,)`, in the units of the pixels
        (0 ... 255). A constant channel has the standard deviation 1.

    Example:
    >>> import numpy as np
    >>> from keras_tricks.data.transforms import channel_statistics
    >>> images = np.array([0, 10], "uint8").reshape(2, 1, 1, 1)
    >>> [float(value[0]) for value in channel_statistics(images)]
    [5.0, 5.0]
    """
    check_images(images)
    values = np.arange(256, dtype="float64")
    mean, std = [], []
    for channel in range(images.shape[-1]):
        counts = np.bincount(images[..., channel].ravel(), minlength=256)
        shares = counts / counts.sum()
        mean.append(shares @ values)
        std.append(np.sqrt(shares @ (values - mean[-1]) ** 2) or 1.0)
    return np.asarray(mean, "float32"), np.asarray(std, "float32")


def check_images(images: np.ndarray) -> None:
    """Check that images are a batch of uint8.

    Raises:
        ValueError: If they are not.
    """
    if getattr(images, "dtype", None) != np.uint8 or images.ndim != 4:
        raise ValueError(
            "`images` must be uint8 of shape (N, H, W, C). Received: "
            f"images.dtype={getattr(images, 'dtype', type(images))}, "
            f"images.shape={np.shape(images)}"
        )
    if not len(images):
        raise ValueError(
            "`images` must hold at least one image. "
            f"Received: images.shape={images.shape}"
        )


def _check_numbers(name, values, channels, above=None):
    try:
        numbers = tuple(
            check_real(name, value, above, open_low=True) for value in values
        )
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != len(channels):
        limit = "" if above is None else f" above {above}"
        wanted = f"3 numbers{limit}, one for each of {channels}"
        if channels == "L":
            wanted = f"one number{limit} for the one channel L"
        raise ValueError(
            f"`{name}` must be {wanted}. Received: {name}={values!r}"
        )
    return numbers
