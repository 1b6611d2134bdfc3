"""Large images to small JPEGs, so that shards are smaller and read faster."""

import dataclasses
import importlib
import io

import numpy as np

from keras_tricks._checks import check_int
from keras_tricks._text import printable
from keras_tricks.data.transforms.crops import import_pillow, resize_to_cover
from keras_tricks.data.transforms.decode import decode_image
from keras_tricks.data.transforms.preprocessing import MOST_SIDE

QUALITY = 90
# Of two filters the one that keeps more of what is sharp in the crops.
_FILTER = "bicubic"


def installed_encoder() -> str:
    """Return the name and version of what codes JPEGs here."""
    import_pillow()
    features = importlib.import_module("PIL.features")
    codec = "jpg"
    if features.check_feature("libjpeg_turbo"):
        codec = "libjpeg_turbo"
    versions = features.version("pil"), features.version(codec)
    return f"Pillow {versions[0]}, {codec} {versions[1]}"


@dataclasses.dataclass(frozen=True)
class Shrink:
    """Which images are stored smaller than they are, and how.

    An image whose short side is above `max_side` becomes a JPEG whose short
    side is `max_side`; the bytes of any other stay as they are.

        short -> S, long -> floor(S * long / short)

    It is decoded as `decode_image` does it, so that it is upright and of 8
    bits, resized by `resize_to_cover` with an antialiased bicubic filter,
    and coded with halved colors (4:2:0), gray in one channel. EXIF, profiles,
    transparency and further pictures are left out: what is read is upright.

    Args:
        max_side: S in pixels.
        quality: Of the JPEG, 1 to 100. Defaults to 90.
        encoder: What made the bytes, since another version may make others.
            Defaults to what is installed.

    Raises:
        ValueError: If an argument is not as described.

    Example:
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (60, 40)).save(file, "png")
    >>> decode_image(Shrink(max_side=16)(file.getvalue())).shape
    (16, 24, 3)
    """

    max_side: int
    quality: int = QUALITY
    encoder: str = dataclasses.field(default_factory=installed_encoder)

    def __post_init__(self):
        check_int("max_side", self.max_side, 1, MOST_SIDE)
        check_int("quality", self.quality, 1, 100)

    def __call__(self, data: bytes, name: str = "image") -> bytes:
        """Return the bytes to store of an image file.

        Args:
            data: The bytes of an image file.
            name: What errors call the image.

        Returns:
            `data` itself, or those of a JPEG.

        Raises:
            ValueError: If it cannot be decoded, or is too long for a JPEG.
        """
        image = decode_image(data, name)
        if min(image.shape[:2]) <= self.max_side:
            return data
        small = resize_to_cover(image, self.max_side, _FILTER)
        if max(small.shape) > MOST_SIDE:
            raise ValueError(
                f"{printable(name)}: a JPEG has at most {MOST_SIDE} pixels a "
                f"side. Received: {small.shape[0]} x {small.shape[1]} at "
                f"max_side={self.max_side}"
            )
        if (small == small[..., :1]).all():
            small = small[..., 0]
        file = io.BytesIO()
        import_pillow().fromarray(np.ascontiguousarray(small)).save(
            file, "jpeg", quality=self.quality, subsampling="4:2:0"
        )
        return file.getvalue()


def make_shrink(max_side: int | None, quality: int | None) -> Shrink | None:
    """Return what the arguments of `write_shards` say, `None` for nothing.

    Raises:
        ValueError: If an argument is wrong, or there is only a quality.
    """
    if max_side is not None:
        return Shrink(max_side, QUALITY if quality is None else quality)
    if quality is not None:
        raise ValueError(
            "`quality` must be None without `max_side`, since no image is "
            f"coded anew then. Received: quality={quality}"
        )
    return None
