"""Random erasing: where, how much, and with what."""

import numpy as np
import pytest
from scipy import stats

from keras_tricks.data.transforms import CropBox, draw_erasing, erase

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (12, 10, 3)).astype("uint8")
BOX = CropBox(2, 3, 5, 4)
H, W = 1000, 1000
LOGS = np.log([0.3, 3.3])


def boxes(times, *size, **options):
    rng = np.random.default_rng(3)
    return [draw_erasing(rng, *size, **options) for _ in range(times)]


def expected_sample(times):
    """Areas and aspects that fit in a square, by rejection."""
    rng = np.random.default_rng(11)
    area = rng.uniform(0.02, 1 / 3, times)
    ratio = np.exp(rng.uniform(*LOGS, times))
    fits = (np.sqrt(area * ratio) <= 1) & (np.sqrt(area / ratio) <= 1)
    return area[fits], ratio[fits]


def test_a_quarter_is_erased():
    drawn = boxes(8_000, 50, 60)
    erased = sum(box is not None for box in drawn)
    assert stats.binomtest(erased, 8_000, 0.25).pvalue > 1e-3
    assert boxes(50, 50, 60, probability=0) == [None] * 50


def test_areas_and_aspects():
    drawn = boxes(8_000, H, W, probability=1.0)
    area = [box.height * box.width / (H * W) for box in drawn]
    ratio = [box.aspect for box in drawn]
    areas, ratios = expected_sample(100_000)
    assert stats.ks_2samp(area, areas).pvalue > 1e-3
    assert stats.ks_2samp(ratio, ratios).pvalue > 1e-3
    assert 0.0195 < min(area) and max(area) < 0.34
    assert 0.29 < min(ratio) and max(ratio) < 3.4


def test_places_are_uniform_and_inside():
    drawn = boxes(8_000, 300, 200, probability=1.0)
    assert all(b.top + b.height <= 300 and b.top >= 0 for b in drawn)
    assert all(b.left + b.width <= 200 and b.left >= 0 for b in drawn)
    rng = np.random.default_rng(2)
    places = [
        ((b.top + rng.random()) / (301 - b.height), "top") for b in drawn
    ] + [((b.left + rng.random()) / (201 - b.width), "left") for b in drawn]
    for side in ("top", "left"):
        found = [place for place, name in places if name == side]
        assert stats.kstest(found, "uniform").pvalue > 1e-3


def test_nothing_is_erased_if_nothing_fits():
    long = {"area": (0.9, 1.0), "aspect": (50.0, 60.0), "probability": 1.0}
    assert boxes(20, 30, 30, **long) == [None] * 20
    assert boxes(20, 30, 30, attempts=0, probability=1.0) == [None] * 20


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("fill", [7, (1, 2, 3), (123.675, 116.28, 103.53)])
def test_a_color(fill, dtype):
    image = IMAGE.astype(dtype)
    erased = erase(image, BOX, fill)
    expected = image.copy()
    color = np.array(fill, "float64")
    if dtype == "uint8":
        color = color.round()
    expected[2:7, 3:7] = color
    assert erased.dtype == dtype
    np.testing.assert_array_equal(erased, expected)
    np.testing.assert_array_equal(image, IMAGE)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_noise_is_uniform(dtype):
    image = np.full((120, 100, 3), 7, dtype)
    box = CropBox(10, 20, 100, 60)
    erased = erase(image, box, "noise", np.random.default_rng(0))
    inside = np.zeros(image.shape, bool)
    inside[10:110, 20:80] = True
    assert (erased[~inside] == 7).all() and erased.dtype == dtype
    counts = np.bincount(erased[inside].astype(int), minlength=256)
    assert len(counts) == 256 and stats.chisquare(counts).pvalue > 1e-3
    again = erase(image, box, "noise", np.random.default_rng(0))
    np.testing.assert_array_equal(erased, again)


def test_without_a_box_and_of_all():
    assert erase(IMAGE, None) is IMAGE
    assert (erase(IMAGE, CropBox(0, 0, 12, 10), 5) == 5).all()
    gray = erase(IMAGE[..., :1], BOX, 5)
    assert (gray[2:7, 3:7] == 5).all() and gray.shape == (12, 10, 1)


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_erasing(rng(), 0, 3), "`height` must be"),
        (lambda: draw_erasing(rng(), 3, 3, 1.5), r"`probability` .*\[0, 1\]"),
        (lambda: draw_erasing(rng(), 3, 3, area=(0, 1)), "`area` must be two"),
        (lambda: draw_erasing(rng(), 3, 3, aspect=(3, 1)), "`aspect` must be"),
        (lambda: draw_erasing(rng(), 3, 3, attempts=-1), "`attempts` must"),
        (lambda: erase(IMAGE.astype("int32"), BOX), "`image` must be uint8 or"),
        (lambda: erase(IMAGE[0], BOX), r"shape \(H, W, C\)"),
        (lambda: erase([[0]], BOX), "`image` must be .*image.dtype=list"),
        (lambda: erase(IMAGE, BOX, "blur"), "`fill` must be 'noise'"),
        (lambda: erase(IMAGE, BOX, (1, 2)), "one for each of 3 channels"),
        (lambda: erase(IMAGE, BOX, 256), "`fill` must be .*fill=256"),
        (lambda: erase(IMAGE, BOX, np.nan), "`fill` must be"),
        (lambda: erase(IMAGE, BOX, "noise"), "`rng` must be given"),
        (lambda: erase(IMAGE, CropBox(0, 0, 13, 2)), "`box` must be inside"),
        (lambda: erase(IMAGE, CropBox(-1, 0, 3, 2)), "`box` must be inside"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ValueError, match=message):
        call()
