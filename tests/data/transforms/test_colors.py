"""Color jitter by both conventions and PCA noise, in float64."""

import colorsys

import numpy as np
import pytest
from scipy import stats

from keras_tricks.data.transforms import (
    Jitter,
    add_lighting,
    draw_jitter,
    draw_lighting,
    jitter_colors,
)

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (12, 10, 3)).astype("uint8")
# Gray, black, white, pure colors, and two equal channels.
IMAGE[0, :9] = [
    *((0, 0, 0), (255, 255, 255), (90, 90, 90)),
    *((255, 0, 0), (0, 255, 0), (0, 0, 255)),
    *((80, 80, 20), (20, 80, 80), (80, 20, 80)),
]
EIGENVALUES = np.diag([55.46, 4.794, 1.148])


def hsv(image, hue, saturation, brightness):
    """The paper's jitter, pixel by pixel, with Python's own HSV."""
    result = np.empty(image.shape)
    for place in np.ndindex(*image.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*(image[place] / 255.0))
        h, s, v = h * hue % 1, min(s * saturation, 1), v * brightness
        result[place] = np.multiply(colorsys.hsv_to_rgb(h, s, v), 255)
    return result


@pytest.mark.parametrize(
    "factors",
    [(1, 1, 1), (0.6, 1, 1), (1.4, 1, 1), (1, 0.6, 1), (1, 1.4, 0.7)],
)
def test_the_papers_jitter(factors):
    jitter = Jitter(("hue", "saturation", "brightness"), factors, "paper")
    actual = jitter_colors(IMAGE, jitter)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, hsv(IMAGE, *factors), atol=2e-3)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_gluons_jitter(order):
    names = np.array(["brightness", "contrast", "saturation"])[list(order)]
    factors = np.array([1.3, 0.8, 1.2])[list(order)]
    x = IMAGE.astype("float64")
    for name, f in zip(names, factors, strict=True):
        luma = (x * [0.299, 0.587, 0.114]).sum(-1, keepdims=True)
        if name == "brightness":
            x = f * x
        elif name == "contrast":
            x = luma.mean() + f * (x - luma.mean())
        else:
            x = luma + f * (x - luma)
    jitter = Jitter(tuple(names), tuple(factors), "gluon")
    np.testing.assert_allclose(jitter_colors(IMAGE, jitter), x, atol=2e-3)
    assert x.max() > 255


@pytest.mark.parametrize("convention", ["paper", "gluon"])
def test_factors_are_uniform(convention):
    rng = np.random.default_rng(3)
    drawn = [draw_jitter(rng, 0.4, convention) for _ in range(20_000)]
    names = sorted(drawn[0].names)
    expected = {
        "paper": ["brightness", "hue", "saturation"],
        "gluon": ["brightness", "contrast", "saturation"],
    }[convention]
    assert names == expected
    table = np.array(
        [
            [dict(zip(d.names, d.factors, strict=True))[n] for n in names]
            for d in drawn
        ]
    )
    for column in table.T:
        assert stats.kstest(column, stats.uniform(0.6, 0.8).cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(table.T) - np.eye(3)).max() < 0.03
    orders = {d.names for d in drawn}
    assert len(orders) == (1 if convention == "paper" else 6)


def test_lighting_adds_one_color_along_the_components():
    vectors = np.array(
        [
            [-0.5675, 0.7192, 0.4009],
            [-0.5808, -0.0045, -0.8140],
            [-0.5836, -0.6948, 0.4203],
        ]
    )
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-3)
    coefficients = (0.05, -0.2, 0.1)
    expected = IMAGE + vectors @ EIGENVALUES @ coefficients
    actual = add_lighting(IMAGE, coefficients)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_lighting_has_the_deviation():
    rng = np.random.default_rng(5)
    drawn = np.array([draw_lighting(rng, 0.1) for _ in range(20_000)])
    for column in drawn.T:
        assert stats.kstest(column, stats.norm(0, 0.1).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: draw_jitter(r, 1.5), r"`strength` must be .*\[0, 1\]"),
        (lambda r: draw_jitter(r, 0.4, "torch"), "`convention` must be one of"),
        (lambda r: draw_lighting(r, -1), "`std` must be"),
        (
            lambda r: add_lighting(IMAGE[..., 0], (0, 0, 0)),
            "`image` must be RG",
        ),
        (
            lambda r: jitter_colors(IMAGE[..., :1], draw_jitter(r)),
            "`image` must be RGB of shape .*Received: image.shape=",
        ),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0))
