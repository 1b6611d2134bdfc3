"""Other shapes than squares: covered and cut, or on bars of one color."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_tricks.data import Preprocessing
from keras_tricks.data.transforms import letterbox, resize_to_cover

from .test_preprocessing import noise, resize_axis

SIZES = [(16, 24), (24, 16), (16, 16)]
SHAPES = [(40, 61, 3), (70, 30, 3), (25, 9, 1), (5, 7, 3), (32, 48, 3)]
BARS = {3: [124, 116, 104], 1: [117]}


def scaled(image, choose, size):
    """Both sides times one scale, rounded down, in float64."""
    sides = image.shape[:2]
    scale = choose(Fraction(a, b) for a, b in zip(size, sides, strict=True))
    new = [max(1, math.floor(side * scale)) for side in sides]
    image = resize_axis(image.astype("float64"), new[0], "bilinear")
    image = resize_axis(image.transpose(1, 0, 2), new[1], "bilinear")
    return image.transpose(1, 0, 2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_middle_of_what_covers_against_float64(shape, size):
    image = noise(*shape)
    channels = {"channels": "L", "mean": (0,), "std": (1,)}
    own = Preprocessing(size, 0.8, **channels if shape[2] == 1 else {})
    covered = tuple(round(side / 0.8) for side in size)
    whole = scaled(image, max, covered)
    top, left = (
        round((side - wanted) / 2)
        for side, wanted in zip(whole.shape, size, strict=False)
    )
    expected = whole[top : top + size[0], left : left + size[1]]
    found = own.transform(image)
    assert found.shape == (*size, shape[2]) == own.output_shape
    # Pillow rounds to whole pixels after each of its two passes.
    np.testing.assert_allclose(found, expected, atol=1.6)
    views = own.views(ten_crop=True)(image)
    assert views.shape == (10, *size, shape[2])
    np.testing.assert_array_equal(views[4], found)
    np.testing.assert_array_equal(views[5], views[0][:, ::-1])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_letterbox_against_float64(shape, size):
    image = noise(*shape)
    whole = scaled(image, min, size)
    expected = np.tile(np.array(BARS[shape[2]], "float64"), (*size, 1))
    top = math.floor(Fraction(size[0] - whole.shape[0], 2))
    left = math.floor(Fraction(size[1] - whole.shape[1], 2))
    inside = np.zeros(size, bool)
    inside[top : top + whole.shape[0], left : left + whole.shape[1]] = True
    expected[inside] = whole.reshape(-1, shape[2])
    found = letterbox(image, size)
    np.testing.assert_allclose(found, expected, atol=1.6)
    np.testing.assert_array_equal(found[~inside], expected[~inside])


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_one_side_is_exact_and_the_other_covers_or_fits(height, width, h, w):
    image = noise(height, width, 1)
    tall, wide = resize_to_cover(image, (h, w)).shape[:2]
    assert tall >= h and wide >= w and (tall == h or wide == w)
    box = letterbox(np.full((height, width, 3), 255, "uint8"), (h, w))
    rows, columns = (box == 255).all(-1).nonzero()
    taken = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert taken[0] == h or taken[1] == w
    for side, places, whole in zip(taken, (rows, columns), (h, w), strict=True):
        assert 0 <= whole - side - 2 * places.min() <= 1


def test_the_preprocessing_boxes():
    image, own = noise(30, 50, 3), Preprocessing((16, 20), resize="letterbox")
    np.testing.assert_array_equal(
        own.transform(image), letterbox(image, (16, 20))
    )
    assert Preprocessing.from_json(own.to_json()) == own
    assert own.get_config()["image_size"] == [16, 20]
    # Nothing is cropped, so the ratio changes nothing.
    other = Preprocessing((16, 20), 0.5, resize="letterbox")
    np.testing.assert_array_equal(own.transform(image), other.transform(image))
    gray = Preprocessing(
        16, mean=(1,), std=(2,), channels="L", resize="letterbox"
    )
    assert gray.transform(image)[0, 0].tolist() == BARS[1]


def test_ten_crops_of_a_letterbox_are_refused():
    with pytest.raises(ValueError, match="`ten_crop` must be False with"):
        Preprocessing(8, resize="letterbox").views(ten_crop=True)
