"""Jitter and lighting in one go, against one after the other in float64."""

import colorsys

import numpy as np
import pytest

from keras_tricks.data.transforms import (
    Jitter,
    add_lighting,
    draw_jitter,
    draw_lighting,
    jitter_and_light,
    jitter_colors,
)

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (9, 14, 3)).astype("uint8")
IMAGE[0, :6] = [
    *((0, 0, 0), (255, 255, 255), (255, 0, 0)),
    *((80, 80, 20), (20, 80, 80), (80, 20, 80)),
]
LUMA = np.array([0.299, 0.587, 0.114])
COLORS = np.array(
    [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.8140],
        [-0.5836, -0.6948, 0.4203],
    ]
) * [55.46, 4.794, 1.148]


def reference(image, jitter, lighting):
    x = image.astype("float64")
    factors = dict(zip(jitter.names, jitter.factors, strict=True))
    if jitter.convention == "paper":
        for place in np.ndindex(*image.shape[:2]):
            h, s, v = colorsys.rgb_to_hsv(*(x[place] / 255))
            h = h * factors.get("hue", 1) % 1
            s = min(s * factors.get("saturation", 1), 1)
            v = v * factors.get("brightness", 1)
            x[place] = np.multiply(colorsys.hsv_to_rgb(h, s, v), 255)
    else:
        for name, f in factors.items():
            luma = (x @ LUMA)[..., None]
            base = {"brightness": 0, "contrast": luma.mean()}.get(name, luma)
            x = base + f * (x - base)
    return x + COLORS @ lighting


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("convention", ["paper", "gluon"])
def test_jitter_and_lighting(convention, dtype):
    rng = np.random.default_rng(4)
    image = IMAGE.astype(dtype)
    if dtype != "uint8":
        image[1:] += rng.random(image[1:].shape) * 0.9
    before = image.copy()
    for _ in range(8):
        jitter = draw_jitter(rng, 1.0, convention)
        lighting = draw_lighting(rng, 0.5)
        x = jitter_and_light(image, jitter, lighting)
        assert x.dtype == np.float32 and x.shape == image.shape
        expected = reference(image, jitter, lighting)
        np.testing.assert_allclose(x, expected, atol=2e-3)
        apart = add_lighting(jitter_colors(image, jitter), lighting)
        np.testing.assert_allclose(x, apart, atol=1e-4)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    "jitter",
    [
        Jitter(("hue",), (3.7,), "paper"),
        Jitter(("hue",), (-0.3,), "paper"),
        Jitter(("saturation",), (100.0,), "paper"),
        Jitter(("brightness",), (0.0,), "paper"),
        Jitter(("contrast", "saturation"), (0.0, 0.0), "gluon"),
    ],
)
def test_factors_outside_of_what_is_drawn(jitter):
    x = jitter_and_light(IMAGE, jitter, None)
    expected = reference(IMAGE, jitter, (0, 0, 0))
    np.testing.assert_allclose(x, expected, atol=2e-3)


@pytest.mark.parametrize("convention", ["paper", "gluon"])
def test_a_mirrored_image_gives_the_mirror_image(convention):
    jitter = draw_jitter(np.random.default_rng(1), 0.4, convention)
    x = jitter_and_light(IMAGE, jitter, (0.1, 0.1, 0.1))
    mirrored = jitter_and_light(IMAGE[:, ::-1], jitter, (0.1, 0.1, 0.1))
    np.testing.assert_allclose(mirrored, x[:, ::-1], atol=1e-4)


def test_nothing_changes_nothing():
    np.testing.assert_array_equal(jitter_and_light(IMAGE, None, None), IMAGE)


@pytest.mark.parametrize("convention", ["paper", "gluon", None])
def test_into_an_image_of_a_batch(convention):
    rng = np.random.default_rng(2)
    jitter = convention and draw_jitter(rng, 0.4, convention)
    lighting = draw_lighting(rng)
    batch = np.full((3, *IMAGE.shape), np.nan, "float32")
    assert jitter_and_light(IMAGE, jitter, lighting, batch[1]).base is batch
    expected = jitter_and_light(IMAGE, jitter, lighting)
    np.testing.assert_array_equal(batch[1], expected)
    assert np.isnan(batch[[0, 2]]).all()
    image = IMAGE.astype("float32")
    jitter_and_light(image, jitter, lighting, image)
    np.testing.assert_allclose(image, expected, atol=1e-4)


@pytest.mark.parametrize(
    "out",
    [
        np.empty(IMAGE.shape),
        np.empty((3, 3, 3), "float32"),
        np.empty(IMAGE.shape, "float32")[:, ::-1],
        "image",
    ],
)
def test_out_is_checked(out):
    with pytest.raises(ValueError, match="`out` must be .*Received: out.dty"):
        jitter_and_light(IMAGE, None, (0.1, 0, 0), out)
    with pytest.raises(ValueError, match="`image` must be RGB"):
        jitter_and_light(IMAGE[..., :2], None, None)
