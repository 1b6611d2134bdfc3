import pickle

import keras
import numpy as np
import pytest
from scipy import stats

from keras_tricks.callbacks import MixUpOff, SetEpoch
from keras_tricks.data import Batches
from keras_tricks.layers import CutMix, MixUp, MixUpOrCutMix

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 12, 10, 3)).astype("uint8")
LABELS = RNG.integers(0, 4, 6)


def make(share=0.5, seed=0, **options):
    mix_up = MixUp(0.8, num_classes=4, seed=1, **options)
    cut_mix = CutMix(num_classes=4, seed=1, **options)
    return MixUpOrCutMix(mix_up, cut_mix, share, seed)


def same(a, b):
    arrays = [
        [keras.ops.convert_to_numpy(value) for value in pair] for pair in (a, b)
    ]
    return all(
        u.shape == v.shape and np.allclose(u, v, rtol=1e-6, atol=1e-4)
        for u, v in zip(*arrays, strict=True)
    )


def choices(layer, epoch, steps):
    """For each step, whether the batch was cut; it is one of both."""
    found = []
    for step in range(steps):
        ours = layer(IMAGES, LABELS, epoch, step)
        cut = same(ours, layer.cut_mix(IMAGES, LABELS, epoch, step))
        assert cut or same(ours, layer.mix_up(IMAGES, LABELS, epoch, step))
        found.append(cut)
    return found


def test_the_share_of_cut_batches():
    layer = make(0.3)
    cut = sum(layer._choose(0, step)[0] for step in range(4_000))
    assert stats.binomtest(cut, 4_000, 0.3).pvalue > 1e-3
    assert not any(choices(make(0.0), 0, 10)) and all(choices(make(1), 0, 10))


def test_the_choice_is_a_function_of_seed_epoch_and_step():
    ours = choices(make(), 0, 40)
    assert 5 < sum(ours) < 35
    assert choices(make(), 0, 40) == ours
    assert choices(make(), 1, 40) != ours
    assert choices(make(seed=1), 0, 40) != ours


@pytest.mark.parametrize("kind", ["backend", "tf"])
def test_tensors(kind):
    layer = make()
    images, labels = IMAGES, LABELS
    if kind == "tf":
        tf = pytest.importorskip("tensorflow")
        images, labels = tf.constant(images), tf.constant(labels)
    else:
        images = keras.ops.convert_to_tensor(images)
        labels = keras.ops.convert_to_tensor(labels)
    for step in range(8):
        x, y = layer(images, labels, 0, step)
        if kind == "tf":
            assert tf.is_tensor(x) and tf.is_tensor(y)
            x, y = x.numpy(), y.numpy()
        assert same((x, y), layer(IMAGES, LABELS, 0, step))


def test_tf_data_equals_numpy():
    tf = pytest.importorskip("tensorflow")
    layer = make()
    ds = tf.data.Dataset.from_tensors((IMAGES, LABELS)).repeat(12).enumerate()
    ds = ds.map(lambda i, b: layer(*b, step=i), num_parallel_calls=2)
    assert [s.shape.as_list() for s in ds.element_spec] == [
        [6, 12, 10, 3],
        [6, 4],
    ]
    for epoch in (0, 2):
        layer.set_epoch(epoch)
        for step, pair in enumerate(ds.as_numpy_iterator()):
            assert same(pair, layer(IMAGES, LABELS, epoch, step))


def test_the_counter_and_copies():
    layer = make()
    layer.set_epoch(3)
    ours = [layer(IMAGES, LABELS) for _ in range(4)]
    for step, pair in enumerate(ours):
        assert same(pair, layer(IMAGES, LABELS, 3, step))
    copy = pickle.loads(pickle.dumps(layer))
    assert copy.epoch == 3 and copy.get_config() == layer.get_config()
    assert same(copy(IMAGES, LABELS), layer(IMAGES, LABELS, 3, 4))


def test_config_round_trip():
    layer = make(0.3, seed=5, off_from_epoch=7)
    config = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is MixUpOrCutMix
    assert copy.get_config() == layer.get_config()
    assert config["registered_name"] == "keras_tricks>MixUpOrCutMix"
    assert choices(copy, 0, 10) == choices(layer, 0, 10)


def is_off(pair):
    return same(pair, (IMAGES.astype("float32"), np.eye(4)[LABELS]))


def test_it_turns_off():
    layer = make()
    assert is_off(layer(IMAGES, LABELS, 0, 0, training=False))
    assert layer.off_from_epoch is None
    callback = MixUpOff(layer, 2, total_epochs=5)
    callback.on_train_begin()
    assert layer.off_from_epoch == 3
    for step in range(8):
        assert not is_off(layer(IMAGES, LABELS, 2, step))
        assert is_off(layer(IMAGES, LABELS, 3, step))
    layer.mix_up.off_from_epoch = 4
    assert layer.off_from_epoch == 4


def test_in_batches():
    layer = make()
    images, labels = np.repeat(IMAGES, 4, 0), np.repeat(LABELS, 4)
    batches = Batches(images, labels, 6, mix_up=layer)
    plain = Batches(images, labels, 6)
    SetEpoch(batches).on_epoch_begin(1)
    for step in range(4):
        x, y = plain.batch(1, step)
        assert same(batches[step], layer(x, y, 1, step))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MixUpOrCutMix(CutMix(), CutMix()), "`mix_up` must be a"),
        (lambda: MixUpOrCutMix(MixUp(), MixUp()), "`cut_mix` must be a"),
        (
            lambda: MixUpOrCutMix(MixUp(num_classes=3), CutMix()),
            "`num_classes` of `mix_up`, which is 3. Received.*None",
        ),
        (lambda: make(1.5), r"`cut_mix_share` .*\[0, 1\]"),
        (lambda: make(seed=-1), "seed=-1"),
        (lambda: make()(IMAGES), "`labels` must be given"),
        (
            lambda: keras.Sequential([keras.Input((6, 5, 3)), make()]),
            "data pipeline",
        ),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
