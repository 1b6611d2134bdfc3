"""RandAugment and TrivialAugment: what is drawn, and each operation."""

import collections

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy import stats

from keras_tricks.data.transforms import (
    POLICIES,
    PolicyOp,
    apply_policy,
    draw_policy,
)

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(20, 240, (24, 32, 3)).astype("uint8")
FILL = np.array([124, 116, 104], "uint8")
WITHOUT_SIGN = {"identity", "auto_contrast", "equalize"}
ENHANCE = {"color", "contrast", "brightness", "sharpness"}
TRANSLATE = {
    "rand_augment": {"translate_x", "translate_y"},
    "trivial_augment": {"translate_x_pixels", "translate_y_pixels"},
}
COMMON = {"rotate", "shear_x", "shear_y", "posterize", "solarize"}
BINS = np.arange(31) / 30


def strength(policy, op):
    """The sign and the strength in [0, 1] of an operation, by its range."""
    wide = policy == "trivial_augment"
    if op.name in WITHOUT_SIGN:
        assert op.value == 0
        return 0, None
    if op.name == "posterize":
        return 0, (8 - op.value) / (6 if wide else 4)
    if op.name == "solarize":
        return 0, (256 - op.value) / 256
    if op.name in ENHANCE:
        change = (op.value - 1) / (0.99 if wide else 0.9)
    elif op.name == "rotate":
        change = op.value / (135 if wide else 30)
    elif op.name.startswith("shear"):
        change = op.value / (0.99 if wide else 0.3)
    else:
        change = op.value / (32 if wide else 150 / 331)
    return np.sign(change), abs(change)


def drawn(policy, times, **options):
    rng = np.random.default_rng(7)
    return [
        op for _ in range(times) for op in draw_policy(rng, policy, **options)
    ]


@pytest.mark.parametrize("policy", POLICIES)
def test_every_operation_is_as_likely(policy):
    ops = drawn(policy, 14_000 if policy == "trivial_augment" else 7_000)
    counts = collections.Counter(op.name for op in ops)
    assert len(ops) == 14_000
    assert set(counts) == WITHOUT_SIGN | ENHANCE | COMMON | TRANSLATE[policy]
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3
    signs = [strength(policy, op)[0] for op in ops]
    plus, minus = signs.count(1), signs.count(-1)
    assert stats.binomtest(plus, plus + minus).pvalue > 1e-3


def test_both_operations_are_drawn_on_their_own():
    rng = np.random.default_rng(1)
    names, table = {}, np.zeros((14, 14))
    for _ in range(20_000):
        first, second = (
            names.setdefault(op.name, len(names)) for op in draw_policy(rng)
        )
        table[first, second] += 1
    assert stats.chi2_contingency(table).pvalue > 1e-3
    assert table.trace() > 0


def test_the_strengths_of_trivial_augment_are_31_bins():
    ops = drawn("trivial_augment", 20_000)
    strengths = np.array(
        [
            share
            for op in ops
            if op.name != "posterize"
            for share in [strength("trivial_augment", op)[1]]
            if share is not None
        ]
    )
    nearest = np.abs(strengths[:, None] - BINS).argmin(1)
    np.testing.assert_allclose(strengths, BINS[nearest], atol=1e-9)
    assert stats.chisquare(np.bincount(nearest, minlength=31)).pvalue > 1e-3
    bits = {op.value for op in ops if op.name == "posterize"}
    assert bits == {2, 3, 4, 5, 6, 7, 8}


@pytest.mark.parametrize("magnitude", [0, 9, 22.5, 30])
def test_the_strength_of_rand_augment_is_its_magnitude(magnitude):
    for op in drawn("rand_augment", 300, magnitude=magnitude):
        share = strength("rand_augment", op)[1]
        if op.name == "posterize":
            assert op.value == 8 - round(4 * magnitude / 30)
        elif share is not None:
            assert share == pytest.approx(magnitude / 30)


def test_magnitudes_of_rand_augment_may_vary():
    ops = drawn("rand_augment", 20_000, magnitude=9, magnitude_std=2)
    rotated = [abs(op.value) for op in ops if op.name == "rotate"]
    assert stats.kstest(rotated, stats.norm(9, 2).cdf).pvalue > 1e-3
    ops = drawn("rand_augment", 2_000, magnitude=29, magnitude_std=20)
    rotated = [abs(op.value) for op in ops if op.name == "rotate"]
    assert min(rotated) == 0 and max(rotated) == 30


@pytest.mark.parametrize("num_ops", [0, 1, 5])
def test_the_number_of_operations(num_ops):
    assert len(drawn("rand_augment", 1, num_ops=num_ops)) == num_ops


def apply(name, value=0.0, image=IMAGE, **options):
    before = image.copy()
    changed = apply_policy(image, (PolicyOp(name, value),), **options)
    assert changed.dtype == np.uint8 and changed.shape == image.shape
    np.testing.assert_array_equal(image, before)
    return changed


def at(image, x, y):
    """Pixels at numbers of columns and rows that may lie outside."""
    height, width = image.shape[:2]
    x, y = np.floor(x).astype(int), np.floor(y).astype(int)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    found = image[y.clip(0, height - 1), x.clip(0, width - 1)]
    return np.where(inside[..., None], found, FILL)


Y, X = np.mgrid[:24, :32] + 0.5
GEOMETRY = {
    "shear_x": lambda v: (X + v * Y, Y),
    "shear_y": lambda v: (X, Y + v * X),
    "translate_x": lambda v: (X + v * 32, Y),
    "translate_y": lambda v: (X, Y + v * 24),
    "translate_x_pixels": lambda v: (X + v, Y),
    "translate_y_pixels": lambda v: (X, Y + v),
    "rotate": lambda v: (
        16 + np.cos(np.pi * v / 180) * (X - 16)
        + -np.sin(np.pi * v / 180) * (Y - 12),
        12 + np.sin(np.pi * v / 180) * (X - 16)
        + np.cos(np.pi * v / 180) * (Y - 12),
    ),
}  # fmt: skip


@pytest.mark.parametrize("value", [0.26, -0.26, 6.3, -6.3])
@pytest.mark.parametrize("name", list(GEOMETRY))
def test_pixels_move(name, value):
    if abs(value) > 1 and name.startswith("shear"):
        value /= 7
    if abs(value) > 1 and name in TRANSLATE["rand_augment"]:
        value /= 14
    expected = at(IMAGE, *GEOMETRY[name](value))
    same = (apply(name, value) == expected).all(-1)
    assert same.mean() > 0.99, same.mean()


def test_rotation_is_counterclockwise():
    square = IMAGE[:, :24]
    expected = np.rot90(square)
    np.testing.assert_array_equal(apply("rotate", 90.0, square), expected)


def test_interpolation_and_fill():
    pillow = Image.fromarray(IMAGE)
    expected = pillow.rotate(17, Image.Resampling.BICUBIC, fillcolor=(1, 2, 3))
    actual = apply("rotate", 17, interpolation="bicubic", fill=(1, 2, 3))
    np.testing.assert_array_equal(actual, expected)
    assert actual[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("factor", [0.1, 0.7, 1.9])
def test_enhancements_go_away_from_a_degenerate_image(factor):
    x = IMAGE.astype("float64")
    gray = np.asarray(Image.fromarray(IMAGE).convert("L"), "float64")
    smooth = x.copy()
    smooth[1:-1, 1:-1] = sum(
        (5 if (i, j) == (1, 1) else 1)
        * x[i : i + x.shape[0] - 2, j : j + x.shape[1] - 2]
        for i in range(3)
        for j in range(3)
    ) / 13  # fmt: skip
    bases = {
        "brightness": np.zeros_like(x),
        "contrast": np.full_like(x, int(gray.mean() + 0.5)),
        "color": np.repeat(gray[..., None], 3, 2),
        "sharpness": smooth,
    }
    for name, base in bases.items():
        expected = np.clip(base + factor * (x - base), 0, 255)
        assert np.abs(apply(name, factor) - expected).max() <= 1.5, name


def test_operations_on_values():
    np.testing.assert_array_equal(apply("posterize", 3), IMAGE & 0b11100000)
    expected = np.where(IMAGE >= 100.5, 255 - IMAGE, IMAGE)
    np.testing.assert_array_equal(apply("solarize", 100.5), expected)
    low, high = IMAGE.min((0, 1)), IMAGE.max((0, 1))
    expected = (IMAGE - low.astype("float64")) * 255 / (high - low)
    assert np.abs(apply("auto_contrast") - expected).max() <= 1
    pillow = Image.fromarray(IMAGE)
    expected = np.asarray(ImageOps.equalize(pillow))
    np.testing.assert_array_equal(apply("equalize"), expected)
    expected = np.asarray(ImageEnhance.Color(pillow).enhance(1.4))
    np.testing.assert_array_equal(apply("color", 1.4), expected)


def test_zero_magnitude_is_the_identity():
    extreme = IMAGE.copy()
    extreme[0, 0], extreme[0, 1] = 0, 255
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(200):
        for op in draw_policy(rng, magnitude=0):
            if op.name not in ("auto_contrast", "equalize"):
                seen.add(op.name)
                changed = apply(op.name, op.value, extreme)
                np.testing.assert_array_equal(changed, extreme)
    assert len(seen) == 12
    assert apply_policy(IMAGE, ()) is IMAGE


def test_operations_follow_each_other():
    ops = (PolicyOp("posterize", 3), PolicyOp("brightness", 1.3))
    expected = apply("brightness", 1.3, apply("posterize", 3))
    np.testing.assert_array_equal(apply_policy(IMAGE, ops), expected)
    assert (apply_policy(IMAGE, ops[::-1]) != expected).any()
    mirrored = apply_policy(IMAGE[:, ::-1], ops)
    np.testing.assert_array_equal(mirrored, expected[:, ::-1])


@pytest.mark.parametrize("policy", POLICIES)
def test_all_that_is_drawn_applies(policy):
    rng = np.random.default_rng(5)
    for _ in range(100):
        ops = draw_policy(rng, policy, magnitude=30)
        assert apply_policy(IMAGE, ops).shape == IMAGE.shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: draw_policy(r, "auto"), "`policy` must be one of"),
        (lambda r: draw_policy(r, num_ops=-1), "`num_ops` must be"),
        (lambda r: draw_policy(r, magnitude=31), r"`magnitude` .*\[0, 30\]"),
        (lambda r: draw_policy(r, magnitude_std=-1), "`magnitude_std` must"),
        (lambda r: apply("blur"), "`ops` must be of .*Received: PolicyOp"),
        (lambda r: apply_policy(IMAGE / 255, ()), "`image` must be uint8"),
        (lambda r: apply_policy(IMAGE[..., :1], ()), "`image` must be RGB"),
        (lambda r: apply("rotate", 1, fill=3), "`fill` must be three integ"),
        (lambda r: apply("rotate", 1, fill=(0, 0, 256)), r"256\)$"),
        (lambda r: apply("rotate", 1, interpolation="box"), "`interpolation`"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0))
