"""The whole procedure, made of its parts."""

import dataclasses
import math

import keras
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from keras_tricks.data import Preprocessing, TrainTransform
from keras_tricks.data.transforms import (
    CropBox,
    Jitter,
    TransformParameters,
    add_lighting,
    crop_and_resize,
    jitter_colors,
)

from .test_resize import triangles

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype("uint8")
JITTER = Jitter(("contrast", "brightness"), (0.8, 1.2), "gluon")


def test_the_order_is_crop_flip_jitter_lighting():
    parameters = TransformParameters(
        CropBox(2, 3, 20, 24), True, JITTER, (0.1, 0, -0.2)
    )
    x = crop_and_resize(IMAGE, parameters.box, 16)[:, ::-1]
    x = add_lighting(jitter_colors(x, JITTER), parameters.lighting)
    actual = TrainTransform(16, resizer="pillow").apply(IMAGE, parameters)
    # In one go it is rounded fewer times.
    np.testing.assert_allclose(actual, x, atol=1e-4)


def test_a_view_is_what_was_drawn_for_it():
    view = TrainTransform(16, jitter_convention="gluon")
    parameters = view.draw(np.random.default_rng(4), 30, 40)
    expected = view.apply(IMAGE, parameters)
    actual = view(IMAGE, np.random.default_rng(4))
    np.testing.assert_array_equal(actual, expected)
    assert set(parameters.jitter.names) == {
        "brightness",
        "contrast",
        "saturation",
    }


def test_half_of_the_views_are_flipped():
    rng = np.random.default_rng(1)
    flips = [TrainTransform(8).draw(rng, 30, 40).flip for _ in range(4000)]
    assert abs(np.mean(flips) - 0.5) < 4 * 0.5 / 4000**0.5
    drawn = TrainTransform(8, flip=False).draw(rng, 30, 40)
    assert drawn.flip is False


def test_without_colors_the_view_is_uint8():
    plain = TrainTransform(16, jitter=0, lighting=0)
    drawn = plain.draw(np.random.default_rng(0), 30, 40)
    assert drawn.jitter is None and drawn.lighting is None
    assert plain.apply(IMAGE, drawn).dtype == np.uint8
    # The crop does not depend on what follows.
    whole = TrainTransform(16).draw(np.random.default_rng(0), 30, 40)
    assert (whole.box, whole.flip) == (drawn.box, drawn.flip)


@pytest.mark.parametrize("size", [(12, 20), (20, 12)])
def test_another_shape_is_stretched_no_more_than_a_square(size):
    plain = TrainTransform(size, jitter=0, lighting=0, resizer="pillow")
    rng = np.random.default_rng(0)
    # So many pixels that whole ones are no limit, and that all crops fit.
    large = dataclasses.replace(plain, area=(0.08, 0.4))
    boxes = [large.draw(rng, 40_000, 40_000).box for _ in range(4000)]
    stretch = [box.aspect * size[0] / size[1] for box in boxes]
    logs = np.log(stretch) / math.log(4 / 3)
    assert stats.kstest(logs, stats.uniform(-1, 2).cdf).pvalue > 0.001
    shares = [box.height * box.width / 40_000**2 for box in boxes]
    assert stats.kstest(shares, stats.uniform(0.08, 0.32).cdf).pvalue > 0.001
    # The pixels are those of float64, of the crop alone.
    box, wide = CropBox(2, 3, 24, 30), Image.Resampling.BILINEAR
    found = plain.apply(IMAGE, TransformParameters(box, flip=True))
    crop = Image.fromarray(IMAGE[2:26, 3:33]).resize(size[::-1], wide)
    np.testing.assert_array_equal(found, np.asarray(crop)[:, ::-1])
    expected = triangles(IMAGE[2:26, 3:33].astype("float64"), size)
    assert np.abs(found - expected[:, ::-1]).max() <= 1.01


def test_another_shape_is_erased_and_colored_everywhere():
    view = TrainTransform((12, 20), erasing=1.0, policy="rand_augment")
    rng = np.random.default_rng(0)
    drawn = [view.draw(rng, 30, 40) for _ in range(400)]
    boxes = [one.erased for one in drawn if one.erased]
    assert max(box.left + box.width for box in boxes) == 20
    assert max(box.top + box.height for box in boxes) == 12
    for one in drawn[:20]:
        x = view.apply(IMAGE, one)
        assert x.shape == view.output_shape == (12, 20, 3)
        assert np.isfinite(x).all() and x.std() > 0


def test_gray_images_become_rgb():
    x = TrainTransform(16)(IMAGE[..., :1], np.random.default_rng(0))
    assert x.shape == (16, 16, 3)


@pytest.mark.parametrize("colors", [True, False])
def test_a_gray_view_is_the_luma_of_the_colored_one(colors):
    options = {} if colors else {"jitter": 0, "lighting": 0}
    options |= {"policy": "aug_mix", "resizer": "pillow"}
    whole = TrainTransform((12, 20), **options)
    gray = dataclasses.replace(whole, channels=1, erasing=1.0)
    rng = np.random.default_rng(0)
    drawn = [gray.draw(rng, 30, 40) for _ in range(20)]
    for one in drawn:
        x = gray.apply(IMAGE, one)
        assert x.shape == gray.output_shape == (12, 20, 1)
        assert x.dtype == gray.output_dtype
        plain = whole.apply(IMAGE, dataclasses.replace(one, erased=None))
        expected = plain.astype("float64") @ [[0.299], [0.587], [0.114]]
        box = one.erased
        if box is not None:
            rows = slice(box.top, box.top + box.height)
            expected[rows, box.left : box.left + box.width] = 117
        # Pillow rounds the luma, and its weights to 16 bits.
        atol = 1e-3 if colors else 0.51
        np.testing.assert_allclose(x, expected, atol=atol)
    assert any(one.erased for one in drawn)


def test_normalization_follows():
    x = TrainTransform(16)(IMAGE, np.random.default_rng(0))
    own = Preprocessing(16)
    expected = (x.astype("float64") - own.mean) / own.std
    np.testing.assert_allclose(own.normalize(x), expected, atol=1e-5)


def test_it_survives_its_configuration():
    view = TrainTransform((16, 20), (0.25, 1), jitter_convention="gluon")
    assert TrainTransform.from_config(view.get_config()) == view
    config = keras.saving.serialize_keras_object(view)
    assert keras.saving.deserialize_keras_object(config) == view


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "`image_size` must be an integer"),
        ({"area": (0, 1)}, "`area` must be two numbers"),
        ({"aspect": (2, 1)}, "`aspect` must be two numbers"),
        ({"jitter": 2}, "`jitter` must be"),
        ({"jitter_convention": "tf"}, "`jitter_convention` must be one of"),
        ({"lighting": -0.1}, "`lighting` must be"),
        ({"interpolation": "area"}, "`interpolation` must be one of"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        TrainTransform(**options)
