"""Balanced accuracy, and metrics without a label that is to be ignored."""

import keras
import numpy as np
import pytest

from keras_tricks.losses import LabelSmoothedCrossentropy
from keras_tricks.metrics import (
    BalancedAccuracy,
    Crossentropy,
    DominantLabelAccuracy,
    TopKAccuracy,
    balanced_accuracy,
)

K = 4
RNG = np.random.default_rng(0)
Y = RNG.choice(3, 40, p=[0.7, 0.2, 0.1])  # None of the last class.
Z = RNG.normal(size=(40, K)).astype("float32") + 2 * np.eye(K)[Y]
W = RNG.uniform(0.2, 2, 40).astype("float32")


def recalls(y, z, w):
    hits = z.argmax(-1) == y
    return np.mean([(w * hits)[y == c].sum() / w[y == c].sum() for c in set(y)])


def result_of(metric, *batches):
    for batch in batches:
        metric.update_state(*batch)
    return float(metric.result())


@pytest.mark.parametrize("labels", ["ids", "column", "dense", "packed"])
def test_balanced_accuracy(labels):
    one_hot = np.eye(K, dtype="float32")[Y]
    y = {
        "ids": Y,
        "column": Y[:, None],
        "dense": 0.6 * one_hot + 0.1,
        "packed": np.concatenate([one_hot, Z - Z.max()], 1),
    }[labels]
    want = recalls(Y, Z, np.ones(40))
    batches = (y[:25], Z[:25]), (y[25:], Z[25:])
    assert result_of(BalancedAccuracy(K), *batches) == pytest.approx(want)
    assert balanced_accuracy(Y, Z.argmax(-1), K) == pytest.approx(want)
    got = result_of(BalancedAccuracy(K), (y, Z, W))
    assert got == pytest.approx(recalls(Y, Z, W), rel=1e-6)


def test_of_nothing():
    assert float(BalancedAccuracy(K).result()) == 0
    assert np.isnan(balanced_accuracy([], [], K))


METRICS = [
    BalancedAccuracy(K, ignore_label=-1),
    DominantLabelAccuracy(ignore_label=-1),
    TopKAccuracy(2, ignore_label=-1),
    Crossentropy(ignore_label=-1),
]


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
@pytest.mark.parametrize("weighted", [False, True])
def test_an_ignored_label_counts_nowhere(metric, weighted):
    again = type(metric).from_config(metric.get_config())
    kept = np.arange(40) % 3 > 0
    y = np.where(kept, Y, -1)
    w = (W,) if weighted else ()
    got = result_of(again, (y, Z, *w))
    config = {**metric.get_config(), "ignore_label": None}
    plain = type(metric).from_config(config)
    few = [values[kept] for values in (y, Z, *w)]
    assert got == pytest.approx(result_of(plain, few), rel=1e-6)
    for wrong in (y[:, None], y.astype("float32")):
        again.reset_state()
        assert result_of(again, (wrong, Z, *w)) == pytest.approx(got)


def test_in_fit_beside_the_loss(tmp_path):
    layer = keras.layers.Dense(K)
    model = keras.Sequential([keras.Input((K,)), layer])
    layer.set_weights([np.eye(K), np.zeros(K)])
    y = np.where(np.arange(40) % 3, Y, -1)
    model.compile(
        keras.optimizers.SGD(0.0),
        LabelSmoothedCrossentropy(0.0, ignore_label=-1),
        metrics=[type(m).from_config(m.get_config()) for m in METRICS],
    )
    logs = model.evaluate(Z, y, batch_size=40, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(logs["crossentropy"], rel=1e-6)
    kept = y >= 0
    want = recalls(y[kept], Z[kept], np.ones(kept.sum()))
    assert logs["balanced_accuracy"] == pytest.approx(want, rel=1e-6)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    again = loaded.evaluate(Z, y, batch_size=40, verbose=0, return_dict=True)
    assert again == pytest.approx(logs, rel=1e-6)


def test_another_number_of_classes():
    with pytest.raises(ValueError, match="`num_classes`.* 4. Received: .*=3"):
        BalancedAccuracy(3).update_state(Y, Z)


def test_balanced_accuracy_of_a_label_of_weight_zero():
    """Padding may be of any label."""
    metric = BalancedAccuracy(3)
    z = np.eye(3)[[0, 1, 2, 0]]
    metric.update_state(np.array([0, 1, 3, -1]), z, np.array([1, 1, 0, 0]))
    assert float(metric.result()) == 1
