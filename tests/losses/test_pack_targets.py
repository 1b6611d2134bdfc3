"""Labels and a teacher's logits in one target, which Keras reads right too."""

import keras
import numpy as np
import pytest

from keras_tricks.losses import LabelSmoothedKD, pack_targets

N, K = 12, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4)).astype("float32")
KERNEL = RNG.normal(size=(4, K)).astype("float32")
Z = X @ KERNEL
Y = np.where(np.arange(N) % 3, Z.argmax(-1), RNG.integers(0, K, N))
ONE_HOT = np.eye(K)[Y]
MIXED = 0.6 * ONE_HOT + 0.4 * ONE_HOT[::-1]
R = (4 * RNG.normal(size=(N, K)) + 9).astype("float32")
SHIFTED = R - R.max(-1, keepdims=True)
LABELS = {
    "integer": Y,
    "column": Y[:, None],
    "one-hot": ONE_HOT,
    "mixed": MIXED,
    "even": np.full((N, K), 1 / K),
}


def network(**options):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(K)])
    model.layers[0].set_weights([KERNEL, np.zeros(K)])
    model.compile(keras.optimizers.SGD(0.0), **options)
    return model


@pytest.mark.parametrize("kind", ["numpy", "backend", "tf.data"])
@pytest.mark.parametrize("name", LABELS)
def test_class_weights_then_logits_below_zero(name, kind):
    labels = LABELS[name]
    p = labels if labels.shape == (N, K) else ONE_HOT
    if kind == "numpy":
        packed = pack_targets(labels, R)
    elif kind == "backend":
        packed = pack_targets(*map(keras.ops.convert_to_tensor, (labels, R)))
        packed = keras.ops.convert_to_numpy(packed)
    else:
        tf = pytest.importorskip("tensorflow")
        data = tf.data.Dataset.from_tensor_slices((labels, R)).batch(N)
        (packed,) = data.map(pack_targets).as_numpy_iterator()
    assert packed.dtype == "float32"
    expected = np.concatenate([p, SHIFTED], 1).astype("float32")
    np.testing.assert_array_equal(packed, expected)
    np.testing.assert_array_equal(packed.argmax(-1), p.argmax(-1))


@pytest.mark.parametrize("name", ["integer", "mixed"])
def test_keras_counts_and_weights_by_the_label(name):
    """Its "accuracy" and `class_weight` take the largest of 2K values."""
    dominant = Y if name == "integer" else MIXED.argmax(-1)
    hits = Z.argmax(-1) == dominant
    class_weight = {0: 1.0, 1: 5.0, 2: 2.0, 3: 0.5, 4: 3.0}
    weights = np.array([class_weight[y] for y in dominant])
    model = network(
        loss=LabelSmoothedKD(0.1, 4.0),
        metrics=["accuracy"],
        weighted_metrics=["acc"],
    )
    packed = pack_targets(LABELS[name], R)
    options = {"class_weight": class_weight, "batch_size": 8, "verbose": 0}
    logs = model.fit(X, packed, **options).history
    each = LabelSmoothedKD(0.1, 4.0, reduction=None)(packed, Z)
    loss = (keras.ops.convert_to_numpy(each) * weights).mean()
    assert logs["loss"][0] == pytest.approx(loss, rel=1e-5)
    assert logs["accuracy"][0] == pytest.approx(hits.mean())
    weighted = np.average(hits, weights=weights)
    assert logs["acc"][0] == pytest.approx(weighted, rel=1e-5)


def test_labels_of_each_token():
    shape = (3, 4)
    expected = pack_targets(Y, R).reshape(*shape, 2 * K)
    logits, z = R.reshape(*shape, K), Z.reshape(*shape, K)
    for labels in (Y.reshape(shape), Y.reshape(*shape, 1)):
        packed = pack_targets(labels, logits)
        np.testing.assert_array_equal(packed, expected)
    loss = LabelSmoothedKD(0.1, 4.0)
    flat = float(loss(pack_targets(Y, R), Z))
    assert float(loss(packed, z)) == pytest.approx(flat, rel=1e-6)


@pytest.mark.parametrize("shape", [(N,), (N, 1), (3, 4)])
def test_a_label_of_weight_0_may_be_anything(shape):
    weights = (np.arange(N) % 3 > 0).astype("float32")
    labels = np.where(weights, Y, -1).reshape(shape)
    lead = (3, 4) if shape == (3, 4) else (N,)
    logits, weights = R.reshape(*lead, K), weights.reshape(lead)
    packed = pack_targets(labels, logits, weights)
    expected = pack_targets(np.where(labels < 0, 0, labels), logits)
    np.testing.assert_array_equal(packed, expected)
    with pytest.raises(ValueError, match="integer labels from 0 to 4"):
        pack_targets(labels, logits, 1 - weights)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="compiles none")
def test_probabilities_packed_in_a_compiled_step_are_nan():
    p = keras.ops.softmax(R)
    if keras.backend.backend() == "jax":
        import jax

        packed = jax.jit(pack_targets)(Y, p)
    else:
        import tensorflow as tf

        packed = tf.function(pack_targets, jit_compile=True)(Y, p)
    logits = keras.ops.convert_to_numpy(packed)[:, K:]
    assert np.isnan(logits).all()
