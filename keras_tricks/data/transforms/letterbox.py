"""Letterbox: the whole image, its aspect kept, on bars of one color."""

import numpy as np

from keras_tricks._image_size import ImageSize, check_size, sides_of
from keras_tricks.data.transforms.crops import FILLS, check_image, scale_to


def letterbox(
    image: np.ndarray, size: ImageSize, interpolation: str = "bilinear"
) -> np.ndarray:
    """Resize an image, its aspect kept, to fit a size; pad what is left.

    Formula, of H x W pixels into h x w: one side becomes exact, the other is
    rounded down but is 1 at least,

        w H <= h W:  W -> w,  H -> max(1, floor(w H / W))
        otherwise:   H -> h,  W -> max(1, floor(h W / H))

    and the first row is `floor((h - H) / 2)` of the new H, the first column
    likewise: of an odd number of rows the last bar gets one more. Nothing of
    the image is lost.

    The bars have the mean color of ImageNet, (124, 116, 104), its luma 117
    where images are gray, as what erasing and the policies paint. It is not
    that of the normalization: so the pixels are the same whatever the weights,
    and those of ImageNet see a 0, to half a level.

    Args:
        image: uint8, shape `(H, W, 3)` or `(H, W, 1)`.
        size: Side in pixels, or (h, w).
        interpolation: See `Preprocessing`.

    Returns:
        uint8, shape `(h, w, C)`.

    Raises:
        ValueError: If an argument is not as described.
        ImportError: If Pillow is missing.

    Example:
    >>> image = np.full((10, 20, 3), 255, "uint8")
    >>> letterbox(image, 5)[:, 0, 0].tolist()
    [124, 255, 255, 124, 124]
    """
    check_image(image)
    h, w = sides_of(check_size("size", size))
    height, width = image.shape[:2]
    new = (max(1, w * height // width), w)
    if w * height > h * width:
        new = (h, max(1, h * width // height))
    top, left = (h - new[0]) // 2, (w - new[1]) // 2
    result = np.full((h, w, image.shape[2]), FILLS[image.shape[2]], "uint8")
    result[top : top + new[0], left : left + new[1]] = scale_to(
        image, new, interpolation
    )
    return result
