"""Average precision: against scikit-learn, and from binned logits."""

import keras
import numpy as np
import pytest
from keras import ops
from sklearn.metrics import average_precision_score

from keras_tricks.losses import pack_targets
from keras_tricks.metrics import MeanAveragePrecision, average_precision


def draw(seed=0, samples=90, classes=4):
    rng = np.random.default_rng(seed)
    labels = rng.random((samples, classes)) < (0.5, 0.2, 0.05, 0.0)
    scores = rng.normal(size=labels.shape) + 1.5 * labels
    return labels.astype("float32"), scores.astype("float32")


@pytest.mark.parametrize("digits", [8, 1, 0])
def test_is_that_of_scikit_learn(digits):
    labels, scores = draw()
    scores = scores.round(digits)  # The fewer, the more are equal.
    expected = [
        average_precision_score(labels[:, k], scores[:, k]) for k in range(3)
    ]
    found = average_precision(labels, scores)
    np.testing.assert_allclose(found[:3], expected, rtol=1e-12)
    assert np.isnan(found[3])


def test_shapes():
    with pytest.raises(ValueError, match="must both have shape"):
        average_precision(np.zeros((2, 3)), np.zeros((2, 1)))


def binned(scores):
    """The same bins, in float64."""
    bins = np.floor(np.arcsinh(np.asarray(scores, "float64")) * 2048 / 12)
    return np.clip(bins, -1024, 1023)


def reference(labels, scores, weights):
    """By the formula, a threshold at a time; shares count as they are."""
    total = (weights * labels).sum()
    area, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = scores >= threshold
        hits = (weights * labels)[chosen].sum()
        recall = hits / total
        area += (recall - before) * hits / max(weights[chosen].sum(), 1)
        before = recall
    return area


@pytest.mark.parametrize("mixed", [False, True])
def test_the_metric_is_exact_for_binned_logits(mixed):
    labels, scores = draw()
    scores[0] = (-400.0, 250.0, -170.0, 160.0)
    scores[1] = (-400.5, 1e6, -1e6, 170.0)
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 3, len(labels)).astype("float32")
    if mixed:
        labels = 0.75 * labels + 0.25 * labels[::-1]
    metric = MeanAveragePrecision(4)
    for rows in np.array_split(np.arange(len(labels)), 3):
        metric.update_state(labels[rows], scores[rows], weights[rows])
    expected = [
        reference(labels[:, k], binned(scores[:, k]), weights) for k in range(3)
    ]
    found = ops.convert_to_numpy(metric.per_class())
    np.testing.assert_allclose(found[:3], expected, rtol=1e-5)
    assert np.isnan(found[3])
    assert float(metric.result()) == pytest.approx(np.mean(expected), rel=1e-5)
    # What the bins cost.
    exact = np.nanmean(average_precision(labels >= 0.5, scores))
    if not mixed:
        metric.reset_state()
        metric.update_state(labels, scores)
        assert float(metric.result()) == pytest.approx(exact, abs=0.005)


def test_packed_targets_and_config():
    labels, scores = draw()
    packed = pack_targets(labels, scores, activation="sigmoid")
    metrics = [MeanAveragePrecision(4) for _ in range(2)]
    metrics[0].update_state(labels, scores)
    metrics[1].update_state(packed, scores)
    assert float(metrics[0].result()) == float(metrics[1].result())
    config = keras.saving.serialize_keras_object(MeanAveragePrecision(4))
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.num_classes == 4 and copy.name == "mean_ap"
    with pytest.raises(ValueError, match="a column for each of 4 classes"):
        metrics[0].update_state(np.arange(90) % 4, scores)


def test_within_fit():
    labels, scores = draw(samples=8)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.layers[0].set_weights([np.eye(4), np.zeros(4)])
    model.compile("sgd", "mse", metrics=[MeanAveragePrecision(4)])
    logs = model.evaluate(scores, labels, 4, verbose=0, return_dict=True)
    expected = np.nanmean(average_precision(labels, binned(scores)))
    assert logs["mean_ap"] == pytest.approx(expected, rel=1e-5)


def test_a_logit_that_is_nan_is_in_the_result():
    metric = MeanAveragePrecision(2)
    labels = np.array([[1, 0], [0, 1]])
    metric.update_state(labels, np.array([[1.0, 2.0], [np.nan, 0.0]]))
    assert np.isnan(float(metric.result()))
