"""Random erasing: a rectangle of an image is painted over."""

import numpy as np

from keras_tricks._checks import check_int, check_real
from keras_tricks.data.transforms.crops import FILL
from keras_tricks.data.transforms.random_crops import (
    CropBox,
    check_range,
    draw_box,
)


def draw_erasing(
    rng: np.random.Generator,
    height: int,
    width: int,
    probability: float = 0.25,
    area: tuple[float, float] = (0.02, 1 / 3),
    aspect: tuple[float, float] = (0.3, 3.3),
    attempts: int = 10,
) -> CropBox | None:
    """Draw whether to erase, and which rectangle.

    Formula, with H x W pixels and the given probability, otherwise `None`:

        a ~ U[area] * H * W,   log r ~ U[log aspect]
        w = round(sqrt(a * r)),   h = round(sqrt(a / r))
        top ~ U{0 ... H - h},   left ~ U{0 ... W - w}

    drawn again while `w > W` or `h > H`; if no attempt fits, nothing is
    erased. The paper has areas up to 0.4 and a uniform r, for which most
    rectangles are wide; the logarithm makes both orientations as likely.

    Args:
        rng: The generator that draws.
        height: H in pixels.
        width: W in pixels.
        probability: Share of the images that are erased. Defaults to 0.25.
        area: Smallest and largest share of the pixels, in (0, 1]. Defaults
            to 2 % and a third.
        aspect: Smallest and largest width over height, above 0. Defaults to
            0.3 and 3.3.
        attempts: How often to draw. Defaults to 10.

    Returns:
        A `CropBox` or `None`.

    Raises:
        ValueError: If an argument is not as described.

    Example:
    >>> draw_erasing(np.random.default_rng(1), 224, 224, probability=1.0)
    CropBox(top=25, left=135, height=194, width=82)

    Reference:
        - [Zhong et al., 2017](https://arxiv.org/abs/1708.04896), algorithm 1
    """
    check_int("height", height, 1)
    check_int("width", width, 1)
    check_real("probability", probability, 0, 1)
    area = check_range("area", area, 1.0)
    aspect = check_range("aspect", aspect, None)
    check_int("attempts", attempts, 0)
    if rng.random() >= probability:
        return None
    return draw_box(rng, height, width, area, aspect, attempts)


def erase(
    image: np.ndarray,
    box: CropBox | None,
    fill: float | tuple[float, ...] | str = FILL,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Paint a rectangle of an image over.

    Args:
        image: uint8 or float32, shape `(H, W, C)`, in the units of the
            pixels.
        box: From `draw_erasing`; with `None` nothing is done.
        fill: A number for all channels or one for each, in the units of the
            pixels, rounded if the image is uint8; or `"noise"`, for which
            each number is an integer from U{0 ... 255}, as in the paper.
            Defaults to the mean of ImageNet, which normalization makes 0.
        rng: The generator that draws the noise.

    Returns:
        A new array of the same shape and dtype; the same array without a
        box.

    Raises:
        ValueError: If an argument is not as described.

    Example:
    >>> erase(np.zeros((2, 3, 1), "uint8"), CropBox(0, 1, 2, 2), 9)[..., 0]
    array([[0, 9, 9],
           [0, 9, 9]], dtype=uint8)

    Reference:
        - [Zhong et al., 2017](https://arxiv.org/abs/1708.04896), section 3.2
    """
    if getattr(image, "dtype", None) not in ("uint8", "float32") or (
        image.ndim != 3
    ):
        raise ValueError(
            "`image` must be uint8 or float32 of shape (H, W, C). Received: "
            f"image.dtype={getattr(image, 'dtype', type(image).__name__)}, "
            f"image.shape={np.shape(image)}"
        )
    noise = isinstance(fill, str) and fill == "noise"
    color = None if noise else _check_fill(fill, image)
    if noise and rng is None:
        raise ValueError(
            "`rng` must be given to draw noise. Received: rng=None"
        )
    if box is None:
        return image
    bottom, right = box.top + box.height, box.left + box.width
    inside = min(box.top, box.left, box.height, box.width) >= 0 and (
        bottom <= image.shape[0] and right <= image.shape[1]
    )
    if not inside:
        raise ValueError(
            "`box` must be inside the image, "
            f"{image.shape[0]} x {image.shape[1]}. Received: {box}"
        )
    erased = image.copy()
    part = erased[box.top : bottom, box.left : right]
    part[:] = rng.integers(0, 256, part.shape) if noise else color
    return erased


def _check_fill(fill, image):
    """Return a fill in the dtype of the image."""
    try:
        color = np.asarray(fill, "float64")
        right = color.shape in ((), (image.shape[2],))
        right = right and bool(np.isfinite(color).all())
    except (TypeError, ValueError):
        right = False
    if right and image.dtype == np.uint8:
        color = color.round()
        right = bool(((color >= 0) & (color <= 255)).all())
    if not right:
        raise ValueError(
            "`fill` must be 'noise', a number, or one for each of "
            f"{image.shape[2]} channels, in 0 ... 255 if the image is uint8. "
            f"Received: fill={fill!r}"
        )
    return color.astype(image.dtype)
