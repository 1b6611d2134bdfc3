"""AugMix: what is drawn, and the mixture, against algorithm 1 of the paper."""

import collections
import math

import numpy as np
import pytest
from scipy import stats

from keras_tricks import Recipe, training
from keras_tricks.data import TrainTransform
from keras_tricks.data.transforms import (
    AugMix,
    PolicyOp,
    apply_aug_mix,
    apply_policy,
    draw_aug_mix,
)

IMAGE = np.random.default_rng(0).integers(20, 240, (24, 32, 3)).astype("uint8")
FILL = np.array([124, 116, 104], "float64")
SIGNED = {
    "rotate": 30,
    "shear_x": 0.3,
    "shear_y": 0.3,
    "translate_x": 1 / 3,
    "translate_y": 1 / 3,
}
VALUES = {"auto_contrast", "equalize", "posterize", "solarize"}


def drawn(count=4000, **options):
    rng = np.random.default_rng(7)
    return [draw_aug_mix(rng, **options) for _ in range(count)]


def test_the_weights_are_of_dirichlet_and_beta():
    for alpha in (1.0, 0.5):
        mixes = drawn(alpha=alpha)
        shares = [mix.share for mix in mixes]
        assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 1e-3
        weights = np.array([mix.weights for mix in mixes])
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-12)
        # One of three of a Dirichlet distribution.
        one = stats.beta(alpha, 2 * alpha).cdf
        for column in weights.T:
            assert stats.kstest(column, one).pvalue > 1e-3
        covariance = np.cov(weights[:, 0], weights[:, 1])[0, 1]
        expected = -1 / 9 / (3 * alpha + 1)
        assert covariance == pytest.approx(expected, abs=0.006)


def test_lengths_and_operations_are_equally_likely():
    chains = [chain for mix in drawn() for chain in mix.chains]
    assert len(chains) == 3 * 4000
    lengths = collections.Counter(map(len, chains))
    assert set(lengths) == {1, 2, 3}
    assert stats.chisquare(list(lengths.values())).pvalue > 1e-3
    names = collections.Counter(op.name for chain in chains for op in chain)
    assert set(names) == VALUES | set(SIGNED)
    assert stats.chisquare(list(names.values())).pvalue > 1e-3
    (mix,) = drawn(1, width=5, depth=1)
    assert [len(chain) for chain in mix.chains] == [1] * 5 and len(
        mix.weights
    ) == 5


@pytest.mark.parametrize("severity", [1.0, 3.0, 10.0])
def test_strengths_are_uniform_up_to_the_severity(severity):
    ops = [
        op
        for mix in drawn(1500, severity=severity)
        for chain in mix.chains
        for op in chain
    ]
    expected = stats.uniform(0.01, (severity - 0.1) / 10).cdf
    for name, strongest in SIGNED.items():
        values = np.array([op.value for op in ops if op.name == name])
        assert stats.kstest(abs(values) / strongest, expected).pvalue > 1e-3
        plus = int((values > 0).sum())
        assert stats.binomtest(plus, len(values)).pvalue > 1e-3
    values = [1 - op.value / 256 for op in ops if op.name == "solarize"]
    assert stats.kstest(values, expected).pvalue > 1e-3
    bits = collections.Counter(op.value for op in ops if op.name == "posterize")
    most = {4 - math.floor(4 * s / 10) for s in np.linspace(0.1, severity, 999)}
    assert set(bits) == most - {0}
    assert {
        o.value for o in ops if o.name in ("auto_contrast", "equalize")
    } == {0.0}


def bilinear(image, x, y):
    """Pixels between the middles of others, in float64, FILL outside."""
    height, width = image.shape[:2]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = x - 0.5, y - 0.5
    left, top = np.floor(x), np.floor(y)
    found = 0
    for i in (0, 1):
        for j in (0, 1):
            rows = (top + i).clip(0, height - 1).astype(int)
            columns = (left + j).clip(0, width - 1).astype(int)
            weight = abs(1 - i - (y - top)) * abs(1 - j - (x - left))
            found = found + weight[..., None] * image[rows, columns]
    return np.where(inside[..., None], found, FILL)


def changed(image, name, value):
    """One operation of the paper in NumPy."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width] + 0.5
    pixels = image.astype("float64")
    if name == "auto_contrast":
        low, high = pixels.min((0, 1)), pixels.max((0, 1))
        return (pixels - low) * 255 / (high - low)
    if name == "posterize":
        return pixels // 2 ** (8 - value) * 2 ** (8 - value)
    if name == "solarize":
        return np.where(pixels < value, pixels, 255 - pixels)
    if name == "rotate":
        angle, (p, q) = math.radians(value), (width / 2, height / 2)
        u, v = x - p, y - q
        x = p + math.cos(angle) * u - math.sin(angle) * v
        y = q + math.sin(angle) * u + math.cos(angle) * v
    moves = {
        "shear_x": (value * y, 0),
        "shear_y": (0, value * x),
        "translate_x": (value * width, 0),
        "translate_y": (0, value * height),
    }
    by = moves.get(name, (0, 0))
    return bilinear(pixels, x + by[0], y + by[1])


CASES = [
    ("auto_contrast", 0.0),
    ("posterize", 3),
    ("solarize", 180.5),
    *(
        (name, sign * 0.27 * top)
        for name, top in SIGNED.items()
        for sign in (1, -1)
    ),
]


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_chain_of_one_against_float64(name, value):
    mix = AugMix(((PolicyOp(name, value),),), (1.0,), 0.375)
    found = apply_aug_mix(IMAGE, mix)
    expected = 0.375 * IMAGE + 0.625 * changed(IMAGE, name, value)
    # Pillow rounds its pixels, and its places at the border by float32.
    near = np.abs(found - expected).max(-1) <= 0.5 + 0.625 * 1.01
    assert near.mean() > 0.99 and near[4:-4, 4:-4].all()
    assert found.dtype == np.uint8 and found.shape == IMAGE.shape


def test_the_mixture_is_that_of_algorithm_1():
    for mix in drawn(30, severity=5.0):
        chains = []
        for chain in mix.chains:
            x = IMAGE
            for op in chain:
                x = apply_policy(x, (op,), interpolation="bilinear")
            chains.append(x.astype("float64"))
        augmented = np.einsum("i,ihwc->hwc", mix.weights, chains)
        expected = mix.share * IMAGE + (1 - mix.share) * augmented
        found = apply_aug_mix(IMAGE, mix)
        assert np.abs(found - expected).max() <= 0.5 + 1e-9
    before = IMAGE.copy()
    apply_aug_mix(before, mix)
    np.testing.assert_array_equal(before, IMAGE)


def test_it_is_the_policy_of_a_transform_and_a_recipe():
    recipe = Recipe(augmentation="crop", policy="aug_mix", severity=7.0)
    view = training.input.build_transform(recipe, 16)
    assert view.policy == "aug_mix" and view.severity == 7
    assert TrainTransform.from_config(view.get_config()) == view
    plain = TrainTransform(16, policy="aug_mix", jitter=0, lighting=0)
    one, same = (plain(IMAGE, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    assert (plain(IMAGE, np.random.default_rng(4)) != one).any()
    parameters = plain.draw(np.random.default_rng(3), 24, 32)
    assert isinstance(parameters.policy, AugMix)
    np.testing.assert_array_equal(plain.apply(IMAGE, parameters), one)
    assert one.dtype == np.uint8
