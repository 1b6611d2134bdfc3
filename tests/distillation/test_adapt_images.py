import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks.distillation import AdaptImages, Distiller
from keras_tricks.losses import LabelSmoothedKD

B, H, W, C = 2, 6, 10, 3
RNG = np.random.default_rng(11)
PIXELS = RNG.integers(0, 256, (B, H, W, C), "uint8")
X = RNG.normal(size=(B, H, W, C)).astype("float32")
# What was subtracted, and by what was divided: the student's, the teacher's.
OURS = {"mean": (120.0, 115.5, 100.25), "std": (58.0, 57.0, 57.5)}
THEIRS = {"mean": (103.939, 116.779, 123.68), "std": (1.0, 2.0, 4.0)}
UNITS = {
    **{f"student_{name}": value for name, value in OURS.items()},
    **{f"teacher_{name}": value for name, value in THEIRS.items()},
}
LAST = {"data_format": "channels_last"}


def adapted(images, **options):
    return ops.convert_to_numpy(AdaptImages(**{**LAST, **options})(images))


def normalized(pixels, mean, std):
    return (pixels.astype("float64") - mean) / std


def first(images):
    return np.ascontiguousarray(np.moveaxis(images, -1, 1))


# The reference of a resize: the weights of the pixels of one axis, in float64.


def triangle(d):
    return np.maximum(0, 1 - d)


def cubic(d, a=-0.5):
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def lanczos(d):
    return np.where(d < 3, np.sinc(d) * np.sinc(d / 3), 0)


KERNELS = {"bilinear": triangle, "bicubic": cubic, "lanczos3": lanczos}


def weights(before, after, interpolation):
    """The matrix (after, before), with a wider kernel to make it smaller."""
    center = (np.arange(after)[:, None] + 0.5) * before / after
    if interpolation == "nearest":
        return np.eye(before)[np.floor(center[:, 0]).astype(int)]
    distance = np.abs(center - 0.5 - np.arange(before))
    matrix = KERNELS[interpolation](distance / max(1, before / after))
    return matrix / matrix.sum(1, keepdims=True)


def resized(images, size, interpolation):
    rows, columns = (
        weights(before, after, interpolation)
        for before, after in zip(images.shape[1:3], size, strict=True)
    )
    return np.einsum("ih,jw,bhwc->bijc", rows, columns, images.astype("f8"))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_teachers_units_come_of_the_students(data_format):
    students = normalized(PIXELS, **OURS).astype("float32")
    want = normalized(PIXELS, **THEIRS)
    if data_format == "channels_first":
        students, want = first(students), first(want)
    got = adapted(students, data_format=data_format, **UNITS)
    assert got.dtype == "float32"
    # Pixels of up to 255 in float32, and rounded twice.
    np.testing.assert_allclose(got, want, atol=255 * 2**-22)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_teacher_may_have_the_channels_in_reverse(data_format):
    students = normalized(PIXELS, **OURS).astype("float32")
    want = normalized(PIXELS[..., ::-1], **THEIRS)
    if data_format == "channels_first":
        students, want = first(students), first(want)
    got = adapted(
        students, data_format=data_format, reverse_channels=True, **UNITS
    )
    np.testing.assert_allclose(got, want, atol=255 * 2**-22)


def test_one_number_is_for_every_channel():
    got = adapted(X, student_mean=0.5, student_std=np.float32(0.25))
    np.testing.assert_allclose(got, X * 0.25 + 0.5, atol=1e-6)
    got = adapted(X, teacher_mean=[1, 2, 3], teacher_std=np.full(1, 2.0))
    np.testing.assert_allclose(got, (X - [1, 2, 3]) / 2, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float64", "int32"])
def test_images_of_any_dtype_become_float32(dtype):
    images = PIXELS.astype(dtype)
    got = adapted(images, teacher_mean=255.0)
    assert got.dtype == "float32"
    np.testing.assert_array_equal(got, PIXELS - np.float32(255))


def test_without_arguments_nothing_changes():
    np.testing.assert_array_equal(adapted(X), X)
    same = {"image_size": (H, W), "teacher_data_format": "channels_last"}
    np.testing.assert_array_equal(adapted(X, **same), X)
    both = {"student_mean": 3.0, "teacher_mean": 3.0}
    np.testing.assert_array_equal(adapted(X, **both), X)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize(
    "size", [(12, 20), (3, 5), (7, 9), (4, 15), (H, 4), (1, 1)]
)
def test_a_resize_against_float64(interpolation, size):
    """Half-pixel centers, no aliasing, the same on every backend."""
    want = resized(X, size, interpolation)
    got = adapted(X, image_size=size, interpolation=interpolation)
    # A sampling position in float32 is off by up to 2**-23 of the side.
    np.testing.assert_allclose(got, want, atol=5e-6)
    got = adapted(
        first(X),
        image_size=size,
        interpolation=interpolation,
        data_format="channels_first",
    )
    np.testing.assert_allclose(got, first(want), atol=5e-6)


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="torch has no Lanczos kernel"
)
def test_lanczos_against_float64():
    for size in ((12, 20), (4, 7)):
        got = adapted(X, image_size=size, interpolation="lanczos3")
        np.testing.assert_allclose(got, resized(X, size, "lanczos3"), atol=5e-6)


@pytest.mark.parametrize("ours", ["channels_last", "channels_first"])
@pytest.mark.parametrize("theirs", ["channels_last", "channels_first", None])
def test_the_teacher_gets_its_layout(ours, theirs):
    students = normalized(PIXELS, **OURS).astype("float32")
    want = resized(normalized(PIXELS, **THEIRS), (9, 7), "bilinear")
    got = adapted(
        first(students) if ours == "channels_first" else students,
        image_size=(9, 7),
        data_format=ours,
        teacher_data_format=theirs,
        **UNITS,
    )
    if (theirs or ours) == "channels_first":
        want = first(want)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, atol=5e-4)


def test_a_side_is_for_height_and_width():
    assert AdaptImages(8).image_size == AdaptImages([8, 8]).image_size == (8, 8)
    assert adapted(X, image_size=8).shape == (B, 8, 8, C)


def test_the_layout_is_that_of_keras_at_construction():
    before = keras.config.image_data_format()
    try:
        keras.config.set_image_data_format("channels_first")
        adapt = AdaptImages()
    finally:
        keras.config.set_image_data_format(before)
    assert adapt.data_format == "channels_first"
    assert adapt.teacher_data_format is None
    assert AdaptImages().data_format == before


def test_it_is_told_apart_by_its_values():
    """`precompute_logits` writes down its repr."""
    adapt = AdaptImages(8, student_mean=np.float32([1, 2, 3]), **LAST)
    same = AdaptImages((8, 8), student_mean=(1.0, 2.0, 3.0), **LAST)
    assert adapt == same
    assert repr(adapt) == repr(same)
    assert hash(adapt) == hash(same)
    assert repr(adapt) != repr(AdaptImages(8, student_mean=(1, 2, 4), **LAST))
    with pytest.raises(dataclasses.FrozenInstanceError):
        adapt.image_size = None


def linear(side, name):
    layer = keras.layers.Dense(C, use_bias=False)
    model = keras.Sequential(
        [keras.Input((side, side, C)), keras.layers.Flatten(), layer], name=name
    )
    kernel = RNG.normal(size=(side * side * C, C)) / side
    layer.kernel.assign(kernel)
    return model, kernel


def test_the_teacher_of_a_distiller_sees_adapted_images():
    (student, z), (teacher, r) = linear(6, "student"), linear(8, "teacher")
    pixels = RNG.integers(0, 256, (4, 6, 6, C), "uint8")
    x = normalized(pixels, **OURS).astype("float32")
    theirs = resized(normalized(pixels, **THEIRS), (8, 8), "bilinear")
    logits, answers = (
        images.reshape(4, -1).astype("float64") @ kernel
        for images, kernel in ((theirs, r), (x, z))
    )
    model = Distiller(
        student,
        teacher,
        adapt=AdaptImages(8, **UNITS, **LAST),
        check_teacher=False,
    )
    model.compile("sgd", LabelSmoothedKD(temperature=8.0))
    logs = model.train_on_batch(x, np.arange(4) % C, return_dict=True)
    p, q = (np.exp(a / 8) for a in (logits, answers))
    p, q = (a / a.sum(-1, keepdims=True) for a in (p, q))
    want = 64 * (p * np.log(p / q)).sum(-1).mean()
    assert logs["kl"] == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "`image_size` must be an integer of at least 1"),
        ({"image_size": 7.5}, r"`image_size`.*integer.*image_size=7.5"),
        ({"image_size": (8,)}, r"side or \(height, width\).*\(8,\)"),
        ({"image_size": (8, 8, 3)}, r"side or \(height, width\)"),
        ({"student_std": 0}, r"`student_std` must be a number in \(0, inf\)"),
        ({"teacher_std": (1, -1, 1)}, "`teacher_std`.*Received.*=-1"),
        ({"student_mean": float("nan")}, "`student_mean` must be a number"),
        ({"teacher_mean": "imagenet"}, "`teacher_mean` must be a number"),
        ({"data_format": "NHWC"}, "data_format"),
        ({"teacher_data_format": "last"}, "data_format"),
        ({"interpolation": "cubic"}, "`interpolation` must be one of"),
    ],
)
def test_arguments_that_cannot_be_meant(options, message):
    with pytest.raises(ValueError, match=message):
        AdaptImages(**options)


@pytest.mark.parametrize(
    ("options", "images", "message"),
    [
        ({}, X[0], r"`images`.*rank 4.*\(6, 10, 3\)"),
        ({}, X[..., None], "`images`.*rank 4"),
        ({"student_mean": (1, 2)}, X, r"`student_mean`.*3 channels.*\(1.0, 2"),
        ({"teacher_std": (1, 2, 3)}, first(X), "`teacher_std`.*10 channels"),
        ({"teacher_mean": ()}, X, "`teacher_mean` must hold one number"),
    ],
)
def test_images_that_do_not_fit(options, images, message):
    with pytest.raises(ValueError, match=message):
        adapted(images, **options)
