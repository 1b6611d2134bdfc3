import pickle

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_tricks.layers import MixUp, draw_mixup, mix

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (8, 6, 5, 3)).astype("uint8")
LABELS = RNG.integers(0, 4, 8)


def reference(x, partner, lam):
    x = np.asarray(x, "float64")
    out = np.empty_like(x)
    for i in range(len(x)):
        weight = float(lam[i] if len(lam) > 1 else lam[0])
        out[i] = weight * x[i] + (1 - weight) * x[partner[i]]
    return out


def dataset(tf, steps=6):
    x = np.stack([np.roll(IMAGES, s, 0) for s in range(steps)])
    y = np.stack([np.roll(LABELS, s, 0) for s in range(steps)])
    return tf.data.Dataset.from_tensor_slices((x, y))


def numpy_stream(layer, steps=6, epoch=None):
    return [
        layer(np.roll(IMAGES, s, 0), np.roll(LABELS, s, 0), epoch, step=s)
        for s in range(steps)
    ]


def assert_same(ours, theirs, exact=True):
    assert len(ours) == len(theirs)
    for (x, y), (u, v) in zip(ours, theirs, strict=True):
        tolerance = {"rtol": 1e-6, "atol": 0 if exact else 1e-5}
        np.testing.assert_allclose(x, u, **tolerance)
        np.testing.assert_allclose(y, v, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("per", ["batch", "sample"])
@pytest.mark.parametrize("kind", ["numpy", "backend", "tf"])
def test_layer_against_float64(per, kind):
    images, labels = IMAGES, LABELS
    if kind == "backend":
        images = keras.ops.convert_to_tensor(images)
        labels = keras.ops.convert_to_tensor(labels)
    if kind == "tf":
        tf = pytest.importorskip("tensorflow")
        images, labels = tf.constant(images), tf.constant(labels)
    layer = MixUp(0.4, per, num_classes=4, seed=3)
    x, y = layer(images, labels, epoch=2, step=7)
    lam, partner = draw_mixup(3, 2, 7, 8, 0.4, per)
    assert lam.shape == ((1,) if per == "batch" else (8,))
    if kind == "numpy":
        assert type(x) is np.ndarray and type(y) is np.ndarray
    elif kind == "tf":
        assert tf.is_tensor(x) and tf.is_tensor(y)
    else:
        assert keras.ops.is_tensor(x) and keras.ops.is_tensor(y)
    for value in (x, y):
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
    if kind == "backend":
        x, y = keras.ops.convert_to_numpy(x), keras.ops.convert_to_numpy(y)
    x, y = np.asarray(x), np.asarray(y)
    np.testing.assert_allclose(
        x, reference(IMAGES, partner, lam), rtol=1e-6, atol=1e-4
    )
    np.testing.assert_allclose(
        y, reference(np.eye(4)[LABELS], partner, lam), atol=1e-6
    )
    assert y.shape == (8, 4)


def test_input_is_not_modified():
    images = IMAGES.astype("float32")
    before = images.copy()
    MixUp(num_classes=4)(images, LABELS, step=0)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(8, 3), (8, 5, 4), (8, 2, 3, 4, 1)])
def test_any_rank_and_dtype(dtype, shape):
    images = RNG.integers(0, 256, shape).astype(dtype)
    x, y = MixUp(num_classes=4)(images, LABELS[:, None], step=1)
    lam, partner = draw_mixup(0, 0, 1, 8)
    assert x.dtype == y.dtype == np.float32
    np.testing.assert_allclose(
        x, reference(images, partner, lam), rtol=1e-6, atol=1e-4
    )
    np.testing.assert_allclose(
        y, reference(np.eye(4)[LABELS], partner, lam), atol=1e-6
    )


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_dense_labels_are_mixed_as_they_are(dtype):
    dense = RNG.integers(0, 5, (8, 4)).astype(dtype)
    _, y = MixUp()(IMAGES, dense, step=1)
    lam, partner = draw_mixup(0, 0, 1, 8)
    np.testing.assert_allclose(y, reference(dense, partner, lam), atol=1e-5)


def test_lists_are_numpy():
    x, y = MixUp(num_classes=2)([[0.0, 1.0], [2.0, 3.0]], [0, 1], step=0)
    assert isinstance(x, np.ndarray) and y.shape == (2, 2)


def test_beta_moments():
    lam, _ = draw_mixup(0, 0, 0, 200_000, 0.2, "sample")
    assert abs(lam.mean() - 0.5) < 0.005
    assert abs(lam.var() - 0.25 / 1.4) < 0.002
    steps = np.array([draw_mixup(0, 0, s, 2)[0][0] for s in range(4000)])
    assert abs(steps.mean() - 0.5) < 0.03
    assert abs(steps.var() - 0.25 / 1.4) < 0.01


def test_draw_is_a_function_of_its_arguments():
    lam, partner = draw_mixup(1, 2, 3, 64, 0.2, "sample")
    again = draw_mixup(1, 2, 3, 64, 0.2, "sample")
    np.testing.assert_array_equal(lam, again[0])
    np.testing.assert_array_equal(partner, again[1])
    assert lam.dtype == np.float32 and partner.dtype == np.int32
    assert sorted(partner) == list(range(64))
    for other in [
        (2, 2, 3),
        (1, 3, 3),
        (1, 2, 4),
        (1, 3, 2),
        (2**32 + 1, 2, 3),
    ]:
        theirs = draw_mixup(*other, 64, 0.2, "sample")
        assert not np.array_equal(lam, theirs[0])
        assert not np.array_equal(partner, theirs[1])


def test_neighbors_are_not_correlated():
    def series(seed, shift=0):
        return [
            draw_mixup(seed, 0, s + shift, 1, 1.0)[0][0] for s in range(1000)
        ]

    for other in (series(1), series(0, 1), series(1, 1)):
        assert abs(np.corrcoef(series(0), other)[0, 1]) < 0.12
    assert not set(series(0)) & set(series(1))


def test_known_draw_never_changes():
    lam, partner = draw_mixup(0, 0, 0, 4, 0.2, "batch")
    assert partner.tolist() == [0, 2, 3, 1]
    np.testing.assert_allclose(lam, [0.06248915], rtol=1e-6)


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_tf_data_equals_numpy(per):
    tf = pytest.importorskip("tensorflow")
    layer = MixUp(per=per, num_classes=4, seed=5)
    for parallel in (None, tf.data.AUTOTUNE):
        ds = dataset(tf).enumerate()
        ds = ds.map(lambda i, b: layer(*b, step=i), num_parallel_calls=parallel)
        assert [s.shape.as_list() for s in ds.element_spec] == [
            [8, 6, 5, 3],
            [8, 4],
        ]
        for epoch in (0, 3):
            layer.set_epoch(epoch)
            ours = list(ds.as_numpy_iterator())
            expected = numpy_stream(layer, epoch=epoch)
            assert_same(ours, expected, exact=False)


def test_tf_data_with_a_ragged_last_batch():
    tf = pytest.importorskip("tensorflow")
    layer = MixUp(num_classes=4, per="sample")
    ds = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS[:, None])).batch(3)
    ds = ds.enumerate().map(lambda i, b: layer(*b, step=i))
    for step, (x, y) in enumerate(ds.as_numpy_iterator()):
        part = slice(3 * step, 3 * step + 3)
        u, v = layer(IMAGES[part], LABELS[part], 0, step)
        np.testing.assert_allclose(x, u, rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(y, v, atol=1e-6)


def test_tf_data_checks_labels_at_run_time():
    tf = pytest.importorskip("tensorflow")
    layer = MixUp(num_classes=3)
    ds = tf.data.Dataset.from_tensors((IMAGES, np.full(8, 3)))
    ds = ds.map(lambda x, y: layer(x, y, step=0))
    with pytest.raises(tf.errors.InvalidArgumentError, match="0 ... 2"):
        list(ds)


def test_grain_equals_numpy():
    grain = pytest.importorskip("grain")
    layer = MixUp(num_classes=4, seed=5)
    x = np.concatenate([np.roll(IMAGES, s, 0) for s in range(6)])
    y = np.concatenate([np.roll(LABELS, s, 0) for s in range(6)])
    rows = list(zip(x, y, strict=True))
    ds = grain.MapDataset.source(rows).batch(8)
    ds = ds.map_with_index(lambda i, b: layer(*b, step=i))
    assert_same(list(ds.to_iter_dataset()), numpy_stream(layer, epoch=0))


def test_copies_for_workers_keep_the_epoch():
    layer = MixUp(num_classes=4, seed=5, off_from_epoch=9)
    layer.set_epoch(4)
    copy = pickle.loads(pickle.dumps(layer))
    assert_same(numpy_stream(copy), numpy_stream(layer))
    assert copy.epoch == 4 and copy.get_config() == layer.get_config()


def test_counter_without_step():
    layer = MixUp(num_classes=4)
    ours = [layer(IMAGES, LABELS) for _ in range(3)]
    assert_same(ours, [layer(IMAGES, LABELS, step=s) for s in range(3)])
    layer.set_epoch(0)
    assert_same([layer(IMAGES, LABELS)], ours[:1])


def assert_off(pair, exact_images=IMAGES):
    x, y = (keras.ops.convert_to_numpy(value) for value in pair)
    assert x.dtype == y.dtype == np.float32
    np.testing.assert_array_equal(x, exact_images.astype("float32"))
    np.testing.assert_array_equal(y, np.eye(4, dtype="float32")[LABELS])


def test_exact_no_ops():
    assert_off(MixUp(0, num_classes=4)(IMAGES, LABELS, step=0))
    assert_off(MixUp(num_classes=4)(IMAGES, LABELS, training=False))
    layer = MixUp(num_classes=4, off_from_epoch=2)
    assert_off(layer(IMAGES, LABELS, epoch=2, step=0))
    assert_off(layer(IMAGES, LABELS, epoch=3, step=0))
    layer.set_epoch(2)
    assert_off(layer(IMAGES, LABELS))
    changed = [
        (layer(IMAGES, LABELS, epoch=1, step=s)[0] != IMAGES).any()
        for s in range(4)
    ]
    assert any(changed)


def test_off_acts_in_a_traced_pipeline():
    tf = pytest.importorskip("tensorflow")
    layer = MixUp(1.0, num_classes=4, off_from_epoch=2)
    ds = tf.data.Dataset.from_tensors((IMAGES, LABELS)).enumerate()
    ds = ds.map(lambda i, b: layer(*b, step=i), num_parallel_calls=2)
    layer.set_epoch(1)
    ((x, _),) = list(ds.as_numpy_iterator())
    assert (x != IMAGES).any()
    layer.set_epoch(2)
    ((x, y),) = list(ds.as_numpy_iterator())
    assert_off((x, y))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_changes_nothing(policy):
    images = keras.ops.convert_to_tensor(IMAGES)
    expected = MixUp(num_classes=4)(images, LABELS, step=0)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        ours = MixUp(num_classes=4)(images, LABELS, step=0)
    finally:
        keras.config.set_dtype_policy(before)
    for a, b in zip(ours, expected, strict=True):
        assert keras.backend.standardize_dtype(a.dtype) == "float32"
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b)
        )


def test_config_round_trip():
    layer = MixUp(0.3, "sample", 4, off_from_epoch=3, seed=9, name="m")
    config = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is MixUp and copy.get_config() == layer.get_config()
    assert config["registered_name"] == "keras_tricks>MixUp"
    assert_same(numpy_stream(copy), numpy_stream(layer))


BAD_ARGUMENTS = [
    ({"alpha": -0.1}, "alpha=-0.1"),
    ({"alpha": float("nan")}, "alpha=nan"),
    ({"alpha": "0.2"}, "alpha='0.2'"),
    ({"per": "image"}, "per='image'"),
    ({"num_classes": 1}, "num_classes=1"),
    ({"num_classes": 2.5}, "num_classes=2.5"),
    ({"off_from_epoch": -1}, "off_from_epoch=-1"),
    ({"seed": -3}, "seed=-3"),
    ({"seed": None}, "seed=None"),
]


@pytest.mark.parametrize("arguments, received", BAD_ARGUMENTS)
def test_bad_arguments(arguments, received):
    with pytest.raises(ValueError, match=received) as error:
        MixUp(**arguments)
    assert "\n" not in str(error.value)


BAD_CALLS = [
    ((IMAGES, None), {}, "`labels` must be given"),
    ((IMAGES, LABELS), {"num_classes": None}, "`num_classes` must be given"),
    ((IMAGES, LABELS + 4), {}, "in 0 ... 3. Received: labels from"),
    ((IMAGES, LABELS - 4), {}, "in 0 ... 3. Received"),
    ((IMAGES, LABELS * 0.5), {}, "must be integers.*float64"),
    ((IMAGES, LABELS[:7]), {}, "same batch size"),
    ((IMAGES, np.eye(5)[LABELS]), {}, "must have 4 columns"),
    ((IMAGES, np.zeros((8, 2, 2))), {}, r"\(B,\), \(B, 1\) or \(B, K\)"),
    ((IMAGES[:, 0, 0, 0], LABELS), {}, "rank 2 or more"),
    ((IMAGES, LABELS, -3), {}, "epoch=-3"),
    ((IMAGES, LABELS, 0, -2), {}, "step=-2"),
]


@pytest.mark.parametrize("args, config, message", BAD_CALLS)
def test_bad_calls(args, config, message):
    layer = MixUp(**{"num_classes": 4, **config})
    with pytest.raises(ValueError, match=message) as error:
        layer(*args)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bad", [-1, 4])
def test_bad_labels_as_tensors(bad):
    labels = keras.ops.convert_to_tensor(np.full(8, bad, "int32"))
    images = keras.ops.convert_to_tensor(IMAGES)
    with pytest.raises(ValueError, match="in 0 ... 3"):
        MixUp(num_classes=4)(images, labels)


def test_in_a_model_is_refused():
    images, labels = keras.Input((6, 5, 3)), keras.Input((4,))
    with pytest.raises(ValueError, match="data pipeline"):
        MixUp()(images, labels)
    with pytest.raises(ValueError, match="data pipeline"):
        keras.Sequential([keras.Input((6, 5, 3)), MixUp()])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    size=st.integers(1, 9),
    classes=st.integers(2, 5),
    alpha=st.floats(0, 3),
    per=st.sampled_from(["batch", "sample"]),
    seed=st.integers(0, 2**40),
    step=st.integers(0, 2**33),
)
def test_mixing_is_affine(size, classes, alpha, per, seed, step):
    rng = np.random.default_rng(size)
    images = rng.integers(0, 256, (size, 3, 2)).astype("uint8")
    labels = rng.integers(0, classes, size)
    layer = MixUp(alpha, per, classes, seed=seed)
    x, y = layer(images, labels, step=step)
    np.testing.assert_allclose(y.sum(1), 1, atol=1e-6)
    assert y.min() >= 0
    low, high = images.min(0), images.max(0)
    assert (x >= low - 1e-4).all() and (x <= high + 1e-4).all()
    lam, partner = draw_mixup(seed, 0, step, size, alpha, per)
    both = mix(2.0 * images + 3.0, partner, lam)
    np.testing.assert_allclose(both, 2 * x + 3, rtol=1e-5, atol=1e-4)
