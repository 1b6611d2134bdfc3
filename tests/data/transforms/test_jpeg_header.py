import io

import numpy as np
import pytest
from PIL import Image

from keras_tricks.data.transforms import decode_image
from keras_tricks.data.transforms.jpeg_header import (
    JpegHeader,
    read_jpeg_header,
)

from ..damaged_images import encode, photo, readable, unreadable


@pytest.mark.parametrize("quality", [20, 95])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (60, 80)])
def test_sizes(size, quality, progressive):
    data = encode(photo(0, *size), quality=quality, progressive=progressive)
    assert read_jpeg_header(data) == JpegHeader(*size)


def test_restarts_are_within_the_data():
    data = encode(photo(0), restart_marker_blocks=1)
    assert b"\xff\xd0" in data
    assert read_jpeg_header(data) == JpegHeader(60, 80)


@pytest.mark.parametrize("mark", [0xC4, 0xDA, 0xDB, 0xFA])
def test_a_mark_within_the_data_is_not_plain(mark):
    """A decoder of the first rows alone would not meet it."""
    data = encode(photo(0), quality=95)
    place = data.index(b"\xff\xda") + 200
    damaged = data[:place] + bytes((0xFF, mark)) + data[place:]
    assert read_jpeg_header(damaged) is None
    stuffed = data[:place] + b"\xff\0" + data[place:]
    assert read_jpeg_header(stuffed) == JpegHeader(60, 80)


def test_gray_is_plain():
    data = readable()["gray.jpg"]
    assert read_jpeg_header(data) == JpegHeader(60, 80)


@pytest.mark.parametrize(
    "name",
    ["cmyk.jpg", "turned.jpg", "png_inside.jpg", "animated.gif", "deep.png"],
)
def test_what_a_plain_decoder_would_get_wrong_is_not_plain(name):
    assert read_jpeg_header(readable()[name]) is None


@pytest.mark.parametrize(
    "name", [name for name, data in unreadable().items() if data is not None]
)
def test_what_cannot_be_read_is_not_plain(name):
    assert read_jpeg_header(unreadable()[name]) is None


def test_rgb_without_a_color_transform_is_not_plain():
    data = encode(photo(1), keep_rgb=True)
    assert read_jpeg_header(data) is None
    np.testing.assert_allclose(
        decode_image(data).astype(int), photo(1), atol=40
    )


@pytest.mark.parametrize("order", ["II", "MM"])
@pytest.mark.parametrize("orientation", [1, 3, 8])
def test_orientation_in_either_byte_order(order, orientation):
    exif = Image.Exif()
    exif.endian = "<" if order == "II" else ">"
    exif[0x0112] = orientation
    data = encode(photo(2), exif=exif)
    assert (read_jpeg_header(data) is not None) == (orientation == 1)
    upright = Image.open(io.BytesIO(data)).getexif()[0x0112] == 1
    assert upright == (orientation == 1)


def test_orientation_in_xmp_is_seen():
    xmp = b'<x tiff:Orientation="6"/>'
    data = encode(photo(3), xmp=xmp)
    assert read_jpeg_header(data) is None


def test_no_prefix_is_read_as_whole():
    data = encode(photo(4))
    for length in range(0, len(data) - 2, 37):
        assert read_jpeg_header(data[:length]) is None
