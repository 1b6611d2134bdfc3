import json
import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_tricks.data import Preprocessing
from keras_tricks.data.transforms import (
    center_crop,
    resize_to_cover,
    ten_crop,
)
from keras_tricks.data.transforms.crops import to_channels


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")


KERNELS = {
    "bilinear": (1, lambda x: np.maximum(0, 1 - abs(x))),
    "bicubic": (
        2,
        lambda x: np.where(
            abs(x) < 1,
            1.5 * abs(x) ** 3 - 2.5 * abs(x) ** 2 + 1,
            np.where(
                abs(x) < 2,
                -0.5 * (abs(x) ** 3 - 5 * abs(x) ** 2 + 8 * abs(x) - 4),
                0,
            ),
        ),
    ),
}


def resize_axis(image, size, interpolation):
    """Antialiased resizing of the first axis in float64."""
    support, kernel = KERNELS[interpolation]
    scale = image.shape[0] / size
    stretch = max(scale, 1)
    rows = []
    for i in range(size):
        center = (i + 0.5) * scale
        places = np.arange(image.shape[0]) + 0.5
        weights = kernel((places - center) / stretch)
        weights[abs(places - center) > support * stretch] = 0
        rows.append(np.tensordot(weights / weights.sum(), image, 1))
    return np.stack(rows)


@pytest.mark.parametrize("interpolation", list(KERNELS))
@pytest.mark.parametrize("shape", [(40, 61, 3), (25, 9, 1)])
def test_resizing_is_antialiased(interpolation, shape):
    # Smooth, so that bicubic does not leave 0 ... 255.
    image = noise(*shape) // 4 + 90
    out = resize_to_cover(image, 16, interpolation)
    height, width = out.shape[:2]
    # Pillow rounds to whole pixels after each of its two passes.
    expected = resize_axis(image.astype("float64"), height, interpolation)
    expected = resize_axis(
        expected.transpose(1, 0, 2), width, interpolation
    ).transpose(1, 0, 2)
    np.testing.assert_allclose(out, expected, atol=1.6)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 50))
def test_sizes_and_offsets_are_those_of_torchvision(height, width, size):
    image = noise(height, width, 1)
    out = resize_to_cover(image, size)
    short, long = sorted((height, width))
    sides = size, int(size * long / short)
    assert sorted(out.shape[:2]) == sorted(sides)
    assert (out.shape[0] <= out.shape[1]) == (height <= width) or (
        out.shape[0] == out.shape[1]
    )
    top = int(round((out.shape[0] - size) / 2.0))
    left = int(round((out.shape[1] - size) / 2.0))
    crop = center_crop(out, size)
    expected = out[top : top + size, left : left + size]
    np.testing.assert_array_equal(crop, expected)


@pytest.mark.parametrize(
    "size, ratio, short", [(224, 0.875, 256), (299, 0.875, 342), (32, 1, 32)]
)
def test_the_short_side(size, ratio, short):
    assert Preprocessing(size, ratio).short_side == short
    # Any other short side is to be had.
    for other in range(size, 3 * size):
        assert Preprocessing(size, size / other).short_side == other


def test_ten_crops():
    image = noise(7, 9, 3)
    crops = ten_crop(image, 4)
    assert crops.shape == (10, 4, 4, 3)
    corners = [image[:4, :4], image[:4, -4:], image[-4:, :4], image[-4:, -4:]]
    np.testing.assert_array_equal(crops[:4], corners)
    np.testing.assert_array_equal(crops[4], image[2:6, 2:6])
    np.testing.assert_array_equal(crops[5:], crops[:5, :, ::-1])


def test_a_view_is_the_crop_of_the_resized_image():
    preprocessing = Preprocessing(12, 0.8, "bicubic")
    image = noise(40, 33, 3)
    resized = np.asarray(Image.fromarray(image).resize((15, 18), 3))
    view = preprocessing.transform(image)
    np.testing.assert_array_equal(view, resized[3:15, 2:14])
    ten = preprocessing.ten_crops(image)
    np.testing.assert_array_equal(ten[4], view)


@pytest.mark.parametrize("channels", ["RGB", "BGR", "L"])
def test_normalization(channels):
    count = len(channels)
    mean, std = [100.5, 110.0, 120.25][:count], [50.0, 60.0, 70.5][:count]
    preprocessing = Preprocessing(8, 1.0, mean=mean, std=std, channels=channels)
    image = noise(8, 8, 3)
    pixels = image.astype("float64")
    if channels == "BGR":
        pixels = pixels[..., [2, 1, 0]]
    if channels == "L":
        pixels = np.rint(pixels @ [[0.299], [0.587], [0.114]])
    x = preprocessing(image)
    assert x.dtype == np.float32 and x.shape == preprocessing.input_shape
    tolerance = 1.01 / 50 if channels == "L" else 1e-6
    expected = (pixels - mean) / std
    np.testing.assert_allclose(x, expected, atol=tolerance)


def test_gray_is_normalized_as_its_three_channels_are_on_average():
    own = Preprocessing(8, 1.0, mean=(90, 110, 120), std=(50, 60, 70.5))
    gray = own.gray()
    assert gray.channels == "L" and gray.gray() is gray
    image = noise(8, 8, 1)
    expected = own(np.repeat(image, 3, -1)).astype("float64").mean(-1)
    np.testing.assert_allclose(gray(image)[..., 0], expected, atol=1e-6)


def test_gray_becomes_rgb():
    image = noise(8, 8, 1)
    rgb = to_channels(image[..., 0], 3)
    np.testing.assert_array_equal(rgb, np.concatenate([image] * 3, -1))


def test_json_and_keras_serialization():
    one = Preprocessing(99, 0.9, "lanczos", (1, 2, 3), (4, 5, 6), "BGR")
    assert Preprocessing.from_json(one.to_json()) == one
    assert json.loads(one.to_json())["mean"] == [1.0, 2.0, 3.0]
    config = keras.saving.serialize_keras_object(one)
    assert config["registered_name"] == "keras_tricks>Preprocessing"
    config = json.loads(json.dumps(config))
    assert keras.saving.deserialize_keras_object(config) == one
    assert hash(one) == hash(Preprocessing.from_config(one.get_config()))
    assert Preprocessing.from_json("{}") == Preprocessing()


WRONG = {
    "image_size": 0,
    "crop_ratio": 1.01,
    "interpolation": "cubic",
    "mean": (1.0, 2.0),
    "std": (1.0, 0.0, 1.0),
    "channels": "rgb",
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` must .*Received: {name}="):
        Preprocessing(**{name: WRONG[name]})


def test_gray_has_one_number():
    with pytest.raises(ValueError, match="`mean` must be one number for the"):
        Preprocessing(mean=(1.0, 2.0), std=(1.0,), channels="L")


@pytest.mark.parametrize("text", ["", "[]", '{"size": 3}'])
def test_wrong_json_is_refused(text):
    with pytest.raises(ValueError, match="`text` must be a JSON object of"):
        Preprocessing.from_json(text)


@pytest.mark.parametrize(
    "image",
    [
        noise(8, 8, 4),
        noise(8, 8, 3) / 255,
        noise(0, 8, 3),
        noise(2, 8, 8, 3),
        "image.png",
    ],
)
def test_wrong_images_are_refused(image):
    with pytest.raises(ValueError, match="`image` must be uint8 of shape"):
        Preprocessing(8).transform(image)


def test_a_thread_of_pixels_does_not_take_all_memory():
    image = noise(1, 5000, 3)
    with pytest.raises(ValueError, match="must not become larger than"):
        resize_to_cover(image, 256)
    assert math.prod(resize_to_cover(image, 16).shape) == 16**2 * 5000 * 3
