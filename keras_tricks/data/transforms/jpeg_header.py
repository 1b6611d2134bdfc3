"""What the header of a JPEG file says, without decoding it."""

import dataclasses
import re
import struct

# Start of frame: baseline, extended and progressive, all of Huffman codes.
_FRAMES = (0xC0, 0xC1, 0xC2)
_OTHER_FRAMES = (
    0xC3,
    *range(0xC5, 0xC8),
    *range(0xC9, 0xCC),
    *range(0xCD, 0xD0),
)
_PROGRESSIVE, _SCAN = 0xC2, 0xDA
_EXIF, _ADOBE = 0xE1, 0xEE
# What ends the data of a scan: 0xff, but for one before a stuffed byte, one
# more 0xff, or a restart.
_END_OF_SCAN = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_ORIENTATION = 0x0112
MOST_PIXELS = 2 * 89_478_485
"""Of an image: Pillow refuses more, which would fill the memory."""


@dataclasses.dataclass(frozen=True)
class JpegHeader:
    """Size of a JPEG that any decoder reads alike.

    Args:
        height: In pixels.
        width: In pixels.

    Example:
    >>> JpegHeader(2, 3).width
    3
    """

    height: int
    width: int


def read_jpeg_header(data: bytes) -> JpegHeader | None:
    """Read the header of a plain, upright and complete JPEG.

    Plain is gray or YCbCr of 8 bits in Huffman codes; upright, that its EXIF
    does not turn it; complete, that it ends as a JPEG does, and that nothing
    but data is in between, unless it is progressive, which no decoder reads
    in part. A decoder that reads only a part of such a file sees the pixels
    that `decode_image` sees there, and does not miss what that refuses.

    Args:
        data: The bytes of a file.

    Returns:
        A `JpegHeader`, or `None` for any other file: CMYK, turned, cut off,
        with marks where data belong, no JPEG at all.

    Example:
    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (30, 20)).save(file, "jpeg")
    >>> read_jpeg_header(file.getvalue())
    JpegHeader(height=20, width=30)
    >>> read_jpeg_header(file.getvalue()[:-40]) is None
    True
    """
    # Some writers pad what follows the end.
    if data[:2] != b"\xff\xd8" or b"\xff\xd9" not in data[-64:]:
        return None
    place, header = 2, None
    try:
        while True:
            mark, kind, length = struct.unpack_from(">BBH", data, place)
            if mark != 0xFF or length < 2:
                return None
            body = data[place + 4 : place + 2 + length]
            if kind in _FRAMES:
                bits, height, width, channels = struct.unpack_from(
                    ">BHHB", body
                )
                plain = bits == 8 and channels in (1, 3) and height and width
                plain = plain and height * width <= MOST_PIXELS
                # Of three channels called R, G and B no YCbCr is made.
                if channels == 3 and body[6::3][:3] == b"RGB":
                    plain = False
                if not plain:
                    return None
                header = JpegHeader(height, width)
                if kind == _PROGRESSIVE:
                    return header
            if kind == _SCAN:
                mark = _mark_after(data, place + 2 + length)
                return header if mark == 0xD9 else None
            if kind in _OTHER_FRAMES or _turned_or_rgb(kind, body):
                return None
            place += 2 + length
    except struct.error:
        return None


def _mark_after(data, place):
    """Return the mark that ends the data of a scan; None if nothing does."""
    found = _END_OF_SCAN.search(data, place)
    return None if found is None else found[1][0]


def _turned_or_rgb(kind, body):
    """Return whether a segment says that the pixels are not upright YCbCr."""
    if kind == _EXIF and body[:6] == b"Exif\0\0":
        return _orientation(body[6:]) != 1
    if kind == _EXIF and b"tiff:Orientation" in body:
        return True  # XMP, where `decode_image` looks too.
    return kind == _ADOBE and body[:5] == b"Adobe" and body[11:12] == b"\0"


def _orientation(tiff):
    """Return the orientation of an EXIF block; 0 if it cannot be understood."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 0
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, start)
        for i in range(entries):
            tag, _, _, value = struct.unpack_from(
                order + "HHIH", tiff, start + 2 + 12 * i
            )
            if tag == _ORIENTATION:
                return value
    except struct.error:
        return 0
    return 1
