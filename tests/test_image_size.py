"""Sizes of images, square or not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_tricks._image_size import (
    check_size,
    parse_size,
    sides_of,
    size_text,
)

SIDES = st.integers(1, 2**16 - 1)


@given(SIDES, SIDES)
def test_a_size_is_read_as_it_is_written(height, width):
    size = check_size("size", [height, width])
    assert sides_of(size) == (height, width)
    assert isinstance(size, int) == (height == width)
    assert parse_size(size_text(size)) == size
    assert check_size("size", size) == size


@pytest.mark.parametrize("text", ["", "a", "8x", "x8", "8x8x3", "8 12", "8.5"])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError):
        parse_size(text)


@pytest.mark.parametrize("value", [7, 7.5, None, (8, 7), (8, True)])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match="`size` must be an integer"):
        check_size("size", value, 8)


@pytest.mark.parametrize("value", [(), (8,), [8, 8, 3], "8x12"])
def test_a_size_has_two_sides(value):
    with pytest.raises(ValueError, match="or two: height and width. Received"):
        check_size("size", value)
