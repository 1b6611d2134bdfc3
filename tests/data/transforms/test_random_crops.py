"""The random crop: its distribution, its fallback, its pixels."""

import math

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from keras_tricks.data.transforms import CropBox, crop_and_resize, draw_crop

COUNT = 100_000


def boxes(height, width, count=COUNT, seed=0, **options):
    """Many crops: top, left, height and width in rows."""
    rng = np.random.default_rng(seed)
    drawn = (draw_crop(rng, height, width, **options) for _ in range(count))
    return np.array([(b.top, b.left, b.height, b.width) for b in drawn])


def share_that_fits(height, width, area=(0.08, 1), aspect=(3 / 4, 4 / 3)):
    """Probability that one attempt fits, by numerical integration.

    Rounding up to half a pixel is part of it.
    """
    middle = (np.arange(4000) + 0.5) / 4000
    a = (area[0] + middle * (area[1] - area[0]))[:, None] * height * width
    low, high = map(math.log, aspect)
    r = np.exp(low + middle * (high - low))
    fits = (np.sqrt(a * r) <= width + 0.5) & (np.sqrt(a / r) <= height + 0.5)
    return fits.mean()


def test_area_and_aspect_are_those_of_the_paper():
    # So many pixels that whole ones are no limit, and that all crops fit.
    top, left, h, w = boxes(40_000, 40_000, area=(0.08, 0.7)).T
    share = h * w / 40_000**2
    assert stats.kstest(share, stats.uniform(0.08, 0.62).cdf).pvalue > 0.001
    logs = np.log(w / h) / math.log(4 / 3)
    assert stats.kstest(logs, stats.uniform(-1, 2).cdf).pvalue > 0.001
    assert abs(np.corrcoef(share, logs)[0, 1]) < 0.01
    for start, size in ((top, h), (left, w)):
        place = start / (40_000 - size)
        assert stats.kstest(place, stats.uniform.cdf).pvalue > 0.001


@pytest.mark.parametrize("shape", [(375, 500), (500, 333), (224, 224)])
def test_the_share_of_first_attempts_that_fit(shape):
    expected = 1 - share_that_fits(*shape)
    drawn = boxes(*shape, attempts=1)
    # Of images whose own aspect is allowed the fallback is all of them.
    whole = (drawn[:, 2:] == shape).all(1)
    if not 3 / 4 <= shape[1] / shape[0] <= 4 / 3:
        size = (min(shape[0], round(shape[1] * 4 / 3)), shape[1])
        whole = (drawn[:, 2:] == size).all(1)
    sigma = math.sqrt(expected * (1 - expected) / COUNT)
    # A crop that fits may be the whole image too, but hardly ever is.
    assert -4 * sigma < whole.mean() - expected < 4 * sigma + 0.002


def test_with_ten_attempts_the_fallback_is_rare():
    expected = (1 - share_that_fits(375, 500)) ** 10
    drawn = boxes(375, 500)
    whole = (drawn[:, 2:] == (375, 500)).all(1).mean()
    assert expected < 1e-4 and whole < 0.002
    share = drawn[:, 2] * drawn[:, 3] / (375 * 500)
    aspect = drawn[:, 3] / drawn[:, 2]
    assert 0.078 < share.min() < 0.083 and share.max() <= 1
    assert 0.74 < aspect.min() < 0.76 and 1.32 < aspect.max() < 1.35


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((100, 100), CropBox(0, 0, 100, 100)),
        ((90, 120), CropBox(0, 0, 90, 120)),
        ((100, 400), CropBox(0, 133, 100, 133)),
        ((400, 100), CropBox(133, 0, 133, 100)),
        ((1, 1), CropBox(0, 0, 1, 1)),
        ((1, 9), CropBox(0, 4, 1, 1)),
        ((9, 1), CropBox(4, 0, 1, 1)),
    ],
)
def test_the_fallback_is_central(shape, expected):
    rng = np.random.default_rng(0)
    assert draw_crop(rng, *shape, attempts=0) == expected


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (2, 3), (7, 5)])
def test_small_images_have_crops_inside(shape):
    for top, left, h, w in boxes(*shape, count=500):
        assert 0 <= top <= shape[0] - h and 0 <= left <= shape[1] - w
        assert h >= 1 and w >= 1


def test_the_same_seed_draws_the_same():
    one, same, other = (boxes(60, 80, 50, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_those_of_pillow(interpolation, channels):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 50, channels)).astype("uint8")
    flat = image[..., 0] if channels == 1 else image
    box = CropBox(3, 5, 21, 30)
    expected = (
        Image.fromarray(flat)
        .crop((5, 3, 35, 24))
        .resize((16, 16), Image.Resampling[interpolation.upper()])
    )
    actual = crop_and_resize(image, box, 16, interpolation)
    np.testing.assert_array_equal(
        actual, np.asarray(expected).reshape(16, 16, channels)
    )


def test_bilinear_against_float64():
    """Triangles as wide as the pixels of the result, inside the crop."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 50, 3)).astype("uint8")
    part = image[3:24, 5:35].astype("float64")
    for axis in (0, 1):
        before = part.shape[axis]
        scale = before / 16
        center = (np.arange(16)[:, None] + 0.5) * scale
        distance = np.abs(np.arange(before) + 0.5 - center) / max(scale, 1)
        weights = np.clip(1 - distance, 0, None)
        weights /= weights.sum(1, keepdims=True)
        part = np.moveaxis(np.tensordot(weights, part, (1, axis)), 0, axis)
    actual = crop_and_resize(image, CropBox(3, 5, 21, 30), 16)
    # Pillow rounds after each of the two axes.
    assert np.abs(actual - part).max() <= 1.01


def test_a_crop_of_the_right_size_is_the_image_itself():
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3)).astype("uint8")
    actual = crop_and_resize(image, CropBox(1, 2, 5, 5), 5)
    np.testing.assert_array_equal(actual, image[1:6, 2:7])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 0}, "`height` must be an integer of at least 1"),
        ({"area": (0.5, 1.2)}, r"`area` must be two numbers in \(0, 1\]"),
        ({"area": (0.9, 0.2)}, "the smaller one first. Received: area="),
        ({"area": 0.5}, "`area` must be two numbers"),
        ({"aspect": (0, 1)}, "`aspect` must be two numbers above 0"),
        ({"attempts": -1}, "`attempts` must be an integer of at least 0"),
    ],
)
def test_mistakes_in_a_draw(options, message):
    arguments = {"height": 8, "width": 8, **options}
    with pytest.raises(ValueError, match=message) as caught:
        draw_crop(np.random.default_rng(0), **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "box", [CropBox(0, 0, 9, 8), CropBox(-1, 0, 4, 4), CropBox(0, 0, 0, 4)]
)
def test_boxes_are_inside(box):
    with pytest.raises(ValueError, match="`box` must be inside the image, 8 x"):
        crop_and_resize(np.zeros((8, 8, 3), "uint8"), box, 4)
