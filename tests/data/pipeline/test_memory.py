import keras
import numpy as np
import pytest

from keras_tricks.callbacks import SetEpoch
from keras_tricks.data import Batches, Preprocessing
from keras_tricks.data.pipeline.sample_order import epoch_order
from keras_tricks.data.transforms import (
    augmentation,
    channel_statistics,
    random_shift_flip,
)
from keras_tricks.layers import MixUp, draw_mixup

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (26, 6, 6, 3)).astype("uint8")
LABELS = np.arange(26) % 4


class SeenByModel(keras.layers.Layer):
    """Gives the mean of each image, so that a metric tells the batch."""

    def build(self, shape):
        self.bias = self.add_weight(shape=(3,), initializer="zeros")

    def call(self, x):
        return keras.ops.mean(x, axis=(1, 2)) + self.bias


def make(**kwargs):
    options = {"seed": 3, "augment": augmentation("shift_flip")}
    options["mix_up"] = MixUp(0.4, num_classes=4, seed=3)
    return Batches(IMAGES, LABELS, 8, **{**options, **kwargs})


def reference_batch(epoch, step, alpha=0.4):
    order = epoch_order(3, epoch, 26)[8 * step : 8 * step + 8]
    pixels = IMAGES.astype("float64")
    mean, std = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))
    x = (pixels[order] - mean) / std
    y = np.eye(4)[LABELS[order]]
    lam, partner = draw_mixup(3, epoch, step, 8, alpha)
    lam = float(lam[0])
    return lam * x + (1 - lam) * x[partner], lam * y + (1 - lam) * y[partner]


@pytest.mark.parametrize("epoch, step", [(0, 0), (0, 2), (5, 1)])
def test_batch_against_float64(epoch, step):
    x, y = make(augment=None).batch(epoch, step)
    u, v = reference_batch(epoch, step)
    assert x.dtype == y.dtype == np.float32
    np.testing.assert_allclose(x, u, atol=2e-6)
    np.testing.assert_allclose(y, v, atol=1e-6)


def test_without_mixing_labels_stay_integers():
    batches = make(mix_up=None, augment=None, mean=0, std=1)
    x, y = batches[1]
    order = epoch_order(3, 0, 26)[8:16]
    assert y.dtype == np.int32 and x.dtype == np.float32
    np.testing.assert_array_equal(y, LABELS[order])
    np.testing.assert_array_equal(x, IMAGES[order].astype("float32"))


def test_another_normalization_takes_the_place_of_the_statistics():
    own = Preprocessing(6, channels="BGR")
    batches = make(mix_up=None, augment=None, normalize=own.normalize)
    x, _ = batches[1]
    expected = (
        IMAGES[batches.indices(0, 1)][..., ::-1] - np.array(own.mean)
    ) / own.std
    np.testing.assert_allclose(x, expected, atol=1e-5)


def test_order_is_a_new_permutation_each_epoch():
    orders = [epoch_order(s, e, 50) for s in range(3) for e in range(3)]
    for order in orders:
        assert sorted(order) == list(range(50))
    assert len({tuple(order) for order in orders}) == 9
    np.testing.assert_array_equal(orders[4], epoch_order(1, 1, 50))


def test_lengths_and_remainder():
    assert len(make()) == 3
    batches = make(drop_remainder=False, mix_up=None)
    assert len(batches) == 4
    labels = np.concatenate([y for _, y in batches])
    assert sorted(labels) == sorted(LABELS)
    assert batches[-1][1].shape == (2,)
    with pytest.raises(IndexError):
        batches[4]


def test_no_shuffle_keeps_the_order():
    batches = make(shuffle=False, mix_up=None, drop_remainder=False)
    for epoch in range(2):
        batches.set_epoch(epoch)
        labels = np.concatenate([y for _, y in batches])
        np.testing.assert_array_equal(labels, LABELS)


def test_workers_change_nothing():
    one, many = make(), make(workers=3)
    for epoch in (0, 1, 0):
        one.set_epoch(epoch)
        many.set_epoch(epoch)
        for (x, y), (u, v) in zip(one, many, strict=True):
            np.testing.assert_array_equal(x, u)
            np.testing.assert_array_equal(y, v)


def test_mix_up_off_reaches_the_batches():
    layer = MixUp(0.4, num_classes=4, off_from_epoch=2, seed=3)
    batches = make(mix_up=layer)
    batches.set_epoch(2)
    assert set(np.unique(batches[0][1])) == {0.0, 1.0}


def test_channel_statistics_against_float64():
    mean, std = channel_statistics(IMAGES)
    pixels = IMAGES.astype("float64").reshape(-1, 3)
    np.testing.assert_allclose(mean, pixels.mean(0), rtol=1e-6)
    np.testing.assert_allclose(std, pixels.std(0), rtol=1e-6)
    constant = np.full((2, 3, 3, 1), 7, "uint8")
    assert [s.item() for s in channel_statistics(constant)] == [7.0, 1.0]


def fit(batches, epochs, initial_epoch=0, callback=True):
    """Returns what the model was given, batch by batch."""
    given = []

    class Loss(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.sum(keras.ops.square(y_pred), axis=-1)

    class Note(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            given.append((batch, float(logs["given"])))

    def given_metric(y_true, y_pred):
        rows = keras.ops.cast(keras.ops.arange(1, 9), "float32")
        return keras.ops.sum(rows * keras.ops.mean(y_pred, axis=-1))

    model = keras.Sequential([keras.Input((6, 6, 3)), SeenByModel()])
    model.compile(
        keras.optimizers.SGD(0.0),
        Loss(),
        metrics=[keras.metrics.MeanMetricWrapper(given_metric, name="given")],
    )
    callbacks = [Note()] + ([SetEpoch(batches)] if callback else [])
    model.fit(
        batches,
        epochs=epochs,
        initial_epoch=initial_epoch,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )
    return given


def expected_given(batches, epochs):
    rows, expected = np.arange(1, 9), []
    for epoch in epochs:
        means = []
        for step in range(len(batches)):
            x, _ = batches.batch(epoch, step)
            means.append(np.sum(rows * x.astype("float64").mean((1, 2, 3))))
            expected.append((step, np.mean(means)))
    return expected


@pytest.mark.parametrize("workers", [1, 2])
def test_fit_meets_the_exact_sequence(workers):
    batches = make(workers=workers)
    np.testing.assert_allclose(
        fit(batches, 3), expected_given(batches, range(3)), atol=1e-4
    )
    np.testing.assert_allclose(
        fit(make(workers=workers), 5, initial_epoch=2),
        expected_given(batches, range(2, 5)),
        atol=1e-4,
    )


def test_fit_without_callback_reshuffles():
    batches = make()
    given = fit(batches, 3, callback=False)
    first = batches.epoch - 3
    assert first in (0, 1)
    np.testing.assert_allclose(
        given, expected_given(batches, range(first, first + 3)), atol=1e-4
    )


def test_only_a_whole_pass_in_any_order_advances_the_epoch():
    batches = make()
    for steps, epoch in (((2,), 0), ((2, 2, 1), 0), ((2, 0, 1), 1)):
        batches.on_epoch_begin()
        for step in steps:
            batches[step]
        batches.on_epoch_end()
        assert batches.epoch == epoch


BAD = [
    ({"batch_size": 0}, "batch_size=0"),
    ({"batch_size": 27}, "`batch_size` times .*26.*batch_size=27"),
    ({"batch_size": 2.5}, "batch_size=2.5"),
    ({"seed": -1}, "seed=-1"),
    ({"workers": 0}, "workers=0"),
    ({"mean": float("nan")}, "mean=nan"),
    ({"std": 0.0}, "std=0.0"),
    ({"std": [1.0, 1.0]}, "each of the 3 channels"),
    ({"augment": "shift"}, "augment='shift'"),
    ({"mix_up": 0.2}, "mix_up=0.2"),
    ({"normalize": "imagenet"}, "normalize='imagenet'"),
    ({"normalize": np.asarray, "std": 2.0}, "must be None with `normalize`"),
    ({"images": IMAGES / 255}, "must be uint8"),
    ({"images": IMAGES[..., 0]}, "must be uint8 of shape"),
    ({"images": IMAGES[:0]}, "at least one image"),
    ({"labels": LABELS[:5]}, r"shape \(26,\)"),
    ({"labels": LABELS * 1.0}, "labels.dtype=float64"),
]


@pytest.mark.parametrize("bad, message", BAD)
def test_bad_arguments(bad, message):
    good = {"images": IMAGES, "labels": LABELS, "batch_size": 8}
    with pytest.raises(ValueError, match=message) as error:
        Batches(**{**good, **bad})
    assert "\n" not in str(error.value)


def test_bad_epoch():
    with pytest.raises(ValueError, match="epoch=-1"):
        make().set_epoch(-1)


@pytest.mark.parametrize("fill", ["reflect", "zeros"])
def test_shift_flip_against_a_loop(fill):
    ours = random_shift_flip(IMAGES, np.random.default_rng(5), 2, True, fill)
    rng = np.random.default_rng(5)
    offsets, flips = rng.integers(0, 5, (2, 26)), rng.random(26) < 0.5
    mode = {"reflect": "reflect", "zeros": "constant"}[fill]
    for i, image in enumerate(IMAGES):
        wide = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode)
        top, left = offsets[:, i]
        crop = wide[top : top + 6, left : left + 6]
        crop = crop[:, ::-1] if flips[i] else crop
        np.testing.assert_array_equal(ours[i], crop)
    assert ours.dtype == np.uint8 and 0 < flips.sum() < 26


def test_the_default_shift_is_an_eighth_of_each_side():
    images = np.random.default_rng(0).integers(0, 256, (200, 16, 24, 1))
    ours = augmentation("shift_flip")(images, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    tops, lefts = rng.integers(0, 5, 200), rng.integers(0, 7, 200)
    flips = rng.random(200) < 0.5
    for i, image in enumerate(images):
        wide = np.pad(image, ((2, 2), (3, 3), (0, 0)), "reflect")
        crop = wide[tops[i] :, lefts[i] :][:16, :24]
        np.testing.assert_array_equal(
            ours[i], crop[:, ::-1] if flips[i] else crop
        )


def test_augmentation_names():
    rng = np.random.default_rng(0)
    assert augmentation("none") is None
    symmetric = np.full((4, 6, 6, 1), 9, "uint8")
    for name in ("shift", "shift_flip"):
        result = augmentation(name)(symmetric, rng)
        np.testing.assert_array_equal(result, symmetric)
    with pytest.raises(ValueError, match="name='mirror'"):
        augmentation("mirror")
    with pytest.raises(ValueError, match="padding=6"):
        random_shift_flip(IMAGES, rng, padding=6)
    with pytest.raises(ValueError, match="fill='wrap'"):
        random_shift_flip(IMAGES, rng, fill="wrap")
    with pytest.raises(ValueError, match=r"\(B, H, W, C\)"):
        random_shift_flip(IMAGES[0], rng)
