import pickle

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from keras_tricks.layers import CutMix, MixUp, cut_and_paste, draw_cutmix

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (8, 12, 10, 3)).astype("uint8")
LABELS = RNG.integers(0, 4, 8)


def reference(images, labels, lam, partner, box):
    """Pixel by pixel, in float64; labels by the share that is counted."""
    x = images.astype("float64")
    y = np.eye(4)[labels]
    for i in range(len(images)):
        top, left, height, width = box[i if len(box) > 1 else 0]
        kept = 0
        for row in range(images.shape[1]):
            for column in range(images.shape[2]):
                inside = top <= row < top + height
                if inside and left <= column < left + width:
                    x[i, row, column] = images[partner[i], row, column]
                else:
                    kept += 1
        share = kept / (images.shape[1] * images.shape[2])
        assert lam[i if len(lam) > 1 else 0] == np.float32(share)
        other = np.eye(4)[labels[partner[i]]]
        y[i] = share * y[i] + (1 - share) * other
    return x, y


def as_kind(kind, *arrays):
    if kind == "backend":
        return [keras.ops.convert_to_tensor(array) for array in arrays]
    if kind == "tf":
        tf = pytest.importorskip("tensorflow")
        return [tf.constant(array) for array in arrays]
    return arrays


def to_numpy(kind, *arrays):
    for array in arrays:
        assert keras.backend.standardize_dtype(array.dtype) == "float32"
        if kind == "numpy":
            assert type(array) is np.ndarray
        elif kind == "backend":
            assert keras.ops.is_tensor(array)
        else:
            import tensorflow as tf

            assert tf.is_tensor(array)
    if kind == "backend":
        return [keras.ops.convert_to_numpy(array) for array in arrays]
    return [np.asarray(array) for array in arrays]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("per", ["batch", "sample"])
@pytest.mark.parametrize("kind", ["numpy", "backend", "tf"])
def test_layer_against_float64(kind, per, data_format):
    first = data_format == "channels_first"
    given = IMAGES.transpose(0, 3, 1, 2) if first else IMAGES
    given = np.ascontiguousarray(given)
    layer = CutMix(1.0, per, 4, data_format=data_format, seed=3)
    for step in range(4):
        images, labels = as_kind(kind, given, LABELS)
        x, y = to_numpy(kind, *layer(images, labels, epoch=2, step=step))
        drawn = draw_cutmix(3, 2, step, 8, 12, 10, 1.0, per)
        assert drawn[0].shape == ((1,) if per == "batch" else (8,))
        expected, targets = reference(IMAGES, LABELS, *drawn)
        if first:
            x = x.transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(x, expected)
        np.testing.assert_allclose(y, targets, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_any_dtype_and_the_input_stays(dtype):
    images = IMAGES.astype(dtype)
    x, y = CutMix(num_classes=4)(images, LABELS[:, None], step=1)
    expected = reference(IMAGES, LABELS, *draw_cutmix(0, 0, 1, 8, 12, 10))
    assert x.dtype == y.dtype == np.float32
    np.testing.assert_array_equal(x, expected[0])
    np.testing.assert_array_equal(images, IMAGES)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_the_rectangles_are_the_papers(alpha):
    def papers(rng, height, width):
        """Formulas of the paper, with rounding as in its code."""
        cut = np.sqrt(1 - rng.beta(alpha, alpha))
        x, y = rng.integers(width), rng.integers(height)
        w, h = int(width * cut), int(height * cut)
        x1, x2 = np.clip([x - w // 2, x + w // 2], 0, width)
        y1, y2 = np.clip([y - h // 2, y + h // 2], 0, height)
        return y1, x1, y2 - y1, x2 - x1

    rng = np.random.default_rng(5)
    theirs = np.array([papers(rng, 70, 110) for _ in range(6_000)])
    lam, _, ours = draw_cutmix(0, 0, 0, 6_000, 70, 110, alpha, "sample")
    for a, b in zip(ours.T, theirs.T, strict=True):
        assert stats.ks_2samp(a, b).pvalue > 1e-3
    shares = 1 - theirs[:, 2] * theirs[:, 3] / (70 * 110)
    assert stats.ks_2samp(lam, shares.astype("float32")).pvalue > 1e-3
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 0] + ours[:, 2] <= 70).all()
    assert (ours[:, 1] + ours[:, 3] <= 110).all()


def test_draw_is_a_function_of_its_arguments():
    ours = draw_cutmix(1, 2, 3, 64, 30, 40, per="sample")
    again = draw_cutmix(1, 2, 3, 64, 30, 40, per="sample")
    for a, b in zip(ours, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [a.dtype.name for a in ours] == ["float32", "int32", "int32"]
    assert sorted(ours[1]) == list(range(64))
    for other in [(2, 2, 3), (1, 3, 3), (1, 2, 4), (1, 3, 2)]:
        theirs = draw_cutmix(*other, 64, 30, 40, per="sample")
        for a, b in zip(ours, theirs, strict=True):
            assert not np.array_equal(a, b)


def test_known_draw_never_changes():
    lam, partner, box = draw_cutmix(0, 0, 0, 4, 32, 32)
    assert partner.tolist() == [0, 1, 2, 3]
    assert box.tolist() == [[17, 9, 15, 18]]
    assert lam.tolist() == [0.736328125]


def numpy_stream(layer, steps=6, epoch=None):
    return [
        layer(np.roll(IMAGES, s, 0), np.roll(LABELS, s, 0), epoch, step=s)
        for s in range(steps)
    ]


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for (x, y), (u, v) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(x, u)
        np.testing.assert_allclose(y, v, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_tf_data_equals_numpy(per):
    tf = pytest.importorskip("tensorflow")
    layer = CutMix(per=per, num_classes=4, seed=5)
    x = np.stack([np.roll(IMAGES, s, 0) for s in range(6)])
    y = np.stack([np.roll(LABELS, s, 0) for s in range(6)])
    ds = tf.data.Dataset.from_tensor_slices((x, y)).enumerate()
    ds = ds.map(
        lambda i, b: layer(*b, step=i), num_parallel_calls=tf.data.AUTOTUNE
    )
    assert [s.shape.as_list() for s in ds.element_spec] == [
        [8, 12, 10, 3],
        [8, 4],
    ]
    for epoch in (0, 3):
        layer.set_epoch(epoch)
        ours = list(ds.as_numpy_iterator())
        assert_same(ours, numpy_stream(layer, epoch=epoch))


def test_tf_data_with_a_ragged_last_batch():
    tf = pytest.importorskip("tensorflow")
    layer = CutMix(num_classes=4, per="sample")
    ds = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS[:, None])).batch(3)
    ds = ds.enumerate().map(lambda i, b: layer(*b, step=i))
    for step, (x, y) in enumerate(ds.as_numpy_iterator()):
        part = slice(3 * step, 3 * step + 3)
        expected = layer(IMAGES[part], LABELS[part], 0, step)
        assert_same([(x, y)], [expected])


def test_tf_data_of_unknown_size_is_refused():
    tf = pytest.importorskip("tensorflow")
    spec = tf.TensorSpec((None, None, None, 3), tf.uint8)
    ds = tf.data.Dataset.from_generator(
        lambda: iter(()),
        output_signature=(spec, tf.TensorSpec((None,), "int64")),
    )
    with pytest.raises(ValueError, match="with known H and W"):
        ds.map(CutMix(num_classes=4))


def test_copies_for_workers_keep_the_epoch():
    layer = CutMix(num_classes=4, seed=5, off_from_epoch=9)
    layer.set_epoch(4)
    copy = pickle.loads(pickle.dumps(layer))
    assert_same(numpy_stream(copy), numpy_stream(layer))
    assert copy.epoch == 4 and copy.get_config() == layer.get_config()


def test_config_round_trip():
    options = {"off_from_epoch": 3, "data_format": "channels_first"}
    layer = CutMix(0.3, "sample", 4, seed=9, name="c", **options)
    config = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is CutMix and copy.get_config() == layer.get_config()
    assert config["registered_name"] == "keras_tricks>CutMix"


def test_counter_without_step():
    layer = CutMix(num_classes=4)
    ours = [layer(IMAGES, LABELS) for _ in range(3)]
    assert_same(ours, [layer(IMAGES, LABELS, step=s) for s in range(3)])
    layer.set_epoch(0)
    assert_same([layer(IMAGES, LABELS)], ours[:1])


def test_exact_no_ops():
    def assert_off(pair):
        x, y = pair
        assert x.dtype == y.dtype == np.float32
        np.testing.assert_array_equal(x, IMAGES)
        np.testing.assert_array_equal(y, np.eye(4)[LABELS])

    assert_off(CutMix(0, num_classes=4)(IMAGES, LABELS, step=0))
    assert_off(CutMix(num_classes=4)(IMAGES, LABELS, training=False))
    layer = CutMix(num_classes=4, off_from_epoch=2)
    assert_off(layer(IMAGES, LABELS, epoch=2, step=0))
    layer.set_epoch(2)
    assert_off(layer(IMAGES, LABELS))
    lam, _, box = draw_cutmix(0, 0, 0, 3, 5, 5, alpha=0, per="sample")
    assert (lam == 1).all() and (box[:, 2:] == 0).all()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_changes_nothing(policy):
    images = keras.ops.convert_to_tensor(IMAGES)
    expected = CutMix(num_classes=4)(images, LABELS, step=0)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        ours = CutMix(num_classes=4)(images, LABELS, step=0)
    finally:
        keras.config.set_dtype_policy(before)
    for a, b in zip(ours, expected, strict=True):
        assert keras.backend.standardize_dtype(a.dtype) == "float32"
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b)
        )


def test_mixup_of_the_same_seed_has_other_partners():
    x, _ = MixUp(1.0, num_classes=4)(IMAGES, LABELS, step=0)
    u, _ = CutMix(1.0, num_classes=4)(IMAGES, LABELS, step=0)
    assert (x != u).any()


BAD = [
    (lambda: CutMix(alpha=-1), "alpha=-1"),
    (lambda: CutMix(per="image"), "`per` must be one of"),
    (lambda: CutMix(num_classes=1), "num_classes=1"),
    (lambda: CutMix(data_format="NCHW"), "`data_format` must be one of"),
    (lambda: CutMix()(IMAGES, LABELS), "must be given to `CutMix`"),
    (lambda: CutMix()(IMAGES), "since `CutMix` mixes them"),
    (
        lambda: CutMix()(IMAGES[0], np.zeros(12)),
        r"\(B, H, W, C\).*\(12, 10, 3\)",
    ),
    (lambda: draw_cutmix(0, 0, 0, 0, 4, 4), "`batch_size`"),
    (lambda: draw_cutmix(0, 0, 0, 2, 0, 4), "`height` must be"),
    (lambda: draw_cutmix(0, 0, 0, 2, 4, 4.5), "`width` must be"),
    (lambda: CutMix()(keras.Input((6, 5, 3)), keras.Input((4,))), "`CutMix` b"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_mistakes(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    size=st.integers(1, 6),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    alpha=st.floats(0, 3),
    per=st.sampled_from(["batch", "sample"]),
    step=st.integers(0, 2**33),
)
def test_every_pixel_is_of_one_of_both(size, height, width, alpha, per, step):
    # Each image has a color of its own, so the pixels can be counted.
    colors = np.arange(size, dtype="float32").reshape(-1, 1, 1, 1)
    images = np.broadcast_to(colors, (size, height, width, 1))
    lam, partner, box = draw_cutmix(7, 0, step, size, height, width, alpha, per)
    x = cut_and_paste(images, partner, box)
    share = (x == images).mean((1, 2, 3))
    other = partner != np.arange(size)
    expected = np.broadcast_to(lam, size)[other]
    np.testing.assert_allclose(share[other], expected, atol=1e-6)
    assert ((x == images) | (x == images[partner])).all()
