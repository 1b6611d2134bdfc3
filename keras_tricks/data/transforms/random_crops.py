"""The random crop of training: area and aspect, then a resize."""

import dataclasses
import math

import numpy as np

from keras_tricks._checks import check_int, check_real
from keras_tricks._image_size import ImageSize
from keras_tricks._types import ImageLike
from keras_tricks.data.transforms.crops import check_image
from keras_tricks.data.transforms.resize import resize

AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)


@dataclasses.dataclass(frozen=True)
class CropBox:
    """A rectangle of an image, in pixels.

    Args:
        top: First row.
        left: First column.
        height: Number of rows.
        width: Number of columns.

    Example:
    >>> CropBox(0, 2, 3, 4).aspect
    1.3333333333333333
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width / self.height


def draw_crop(
    rng: np.random.Generator,
    height: int,
    width: int,
    area: tuple[float, float] = AREA,
    aspect: tuple[float, float] = ASPECT,
    attempts: int = 10,
) -> CropBox:
    """Draw the rectangle that training cuts out of an image.

    Formula, with H x W pixels:

        a ~ U[area] * H * W,   log r ~ U[log aspect]
        w = round(sqrt(a * r)),   h = round(sqrt(a / r))
        top ~ U{0 ... H - h},   left ~ U{0 ... W - w}

    drawn again while `w > W` or `h > H`. If no attempt fits, the largest
    central rectangle is taken whose aspect is in the range: all of the image,
    if its own is.

    Args:
        rng: The generator that draws.
        height: H in pixels.
        width: W in pixels.
        area: Smallest and largest share of the pixels, in (0, 1]. Defaults
            to 8 % and 100 %.
        aspect: Smallest and largest width over height, above 0. Defaults to
            3/4 and 4/3. The logarithm is uniform, so that both orientations
            are equally likely.
        attempts: How often to draw. Defaults to 10.

    Returns:
        A `CropBox`.

    Raises:
        ValueError: If an argument is not as described.

    Example:
    >>> box = draw_crop(np.random.default_rng(0), 300, 400)
    >>> 0.08 * 0.97 < box.height * box.width / (300 * 400) <= 1
    True

    Reference:
        - [Szegedy et al., 2014](https://arxiv.org/abs/1409.4842)
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 2.1
    """
    check_int("height", height, 1)
    check_int("width", width, 1)
    check_int("attempts", attempts, 0)
    area = check_range("area", area, 1.0)
    aspect = check_range("aspect", aspect, None)
    box = draw_box(rng, height, width, area, aspect, attempts)
    if box is not None:
        return box
    own = width / height
    if own < aspect[0]:
        w, h = width, min(height, round(width / aspect[0]))
    elif own > aspect[1]:
        w, h = min(width, round(height * aspect[1])), height
    else:
        w, h = width, height
    w, h = max(w, 1), max(h, 1)
    return CropBox((height - h) // 2, (width - w) // 2, h, w)


def draw_box(
    rng: np.random.Generator,
    height: int,
    width: int,
    area: tuple[float, float],
    aspect: tuple[float, float],
    attempts: int,
) -> CropBox | None:
    """Draw a rectangle inside an image, or None if no attempt fits.

    The share of the area is uniform, the logarithm of the aspect likewise.
    """
    low, high = (math.log(value) for value in aspect)
    for _ in range(attempts):
        pixels = rng.uniform(*area) * height * width
        ratio = math.exp(rng.uniform(low, high))
        w = round(math.sqrt(pixels * ratio))
        h = round(math.sqrt(pixels / ratio))
        if 0 < w <= width and 0 < h <= height:
            top = int(rng.integers(0, height - h + 1))
            left = int(rng.integers(0, width - w + 1))
            return CropBox(top, left, h, w)
    return None


def crop_and_resize(
    image: ImageLike,
    box: CropBox,
    size: ImageSize,
    interpolation: str = "bilinear",
) -> np.ndarray:
    """Cut a rectangle out of an image and resize it.

    Nothing outside of the rectangle is seen.

    Args:
        image: uint8, shape `(H, W, 3)` or `(H, W, 1)`, or an image of Pillow
            from `open_image`.
        box: The rectangle, inside the image.
        size: Side of the result in pixels, or (height, width).
        interpolation: Filter, see `Preprocessing`. Defaults to `"bilinear"`,
            antialiased.

    Returns:
        uint8, shape `(size, size, C)`, or `(height, width, C)`.

    Raises:
        ValueError: If an argument is not as described.
        ImportError: If Pillow is missing.

    Example:
    >>> image = np.zeros((30, 40, 3), "uint8")
    >>> crop_and_resize(image, CropBox(2, 3, 10, 20), 8).shape
    (8, 8, 3)
    """
    return resize(cut(image, box), size, interpolation)


def cut(image: ImageLike, box: CropBox) -> ImageLike:
    """Cut a rectangle out of an array or of Pillow's image.

    Raises:
        ValueError: If it is not inside the image.
    """
    height, width = image_extent(image)
    bottom, right = box.top + box.height, box.left + box.width
    inside = (
        min(box.top, box.left) >= 0 and min(box.height, box.width) >= 1
    ) and (bottom <= height and right <= width)
    if not inside:
        raise ValueError(
            f"`box` must be inside the image, {height} x {width}. "
            f"Received: {box}"
        )
    if isinstance(image, np.ndarray):
        return image[box.top : bottom, box.left : right]
    return image.crop((box.left, box.top, right, bottom))


def image_extent(image: ImageLike) -> tuple[int, int]:
    """Return the height and width of an array or an image of Pillow.

    Args:
        image: uint8, shape `(H, W, 3)` or `(H, W, 1)`, or a
            `PIL.Image.Image` from `open_image`.

    Raises:
        ValueError: If it is neither.

    Example:
    >>> image_extent(np.zeros((2, 3, 3), "uint8"))
    (2, 3)
    """
    if not isinstance(image, np.ndarray) and hasattr(image, "getbands"):
        return image.size[::-1]
    check_image(image)
    return image.shape[:2]


def check_range(
    name: str, values: tuple[float, float], high: float | None
) -> tuple[float, float]:
    """Return two numbers above 0, the smaller one first.

    Raises:
        ValueError: If they are none, or above `high`; it names the argument.
    """
    try:
        low, up = (
            check_real(name, value, 0, high, open_low=True) for value in values
        )
    except (TypeError, ValueError):
        low, up = 1, 0
    if low > up:
        limits = "above 0" if high is None else f"in (0, {high:g}]"
        raise ValueError(
            f"`{name}` must be two numbers {limits}, the smaller one first. "
            f"Received: {name}={values!r}"
        )
    return low, up
