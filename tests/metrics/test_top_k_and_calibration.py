import keras
import numpy as np
import pytest

from keras_tricks.losses import pack_targets
from keras_tricks.metrics import (
    CalibrationError,
    Crossentropy,
    TopKAccuracy,
    calibration_error,
    top_k_accuracy,
)
from keras_tricks.metrics.calibration_error import calibration_bins

RNG = np.random.default_rng(0)
Z = (3 * RNG.normal(size=(400, 7))).astype("float32")
Y = RNG.integers(0, 7, 400)
ONE_HOT = np.eye(7, dtype="float32")[Y]
MIXED = 0.7 * ONE_HOT + 0.3 * ONE_HOT[::-1]


def softmax(z):
    e = np.exp(z.astype("float64") - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def expected_error(z, y, bins, weights=None):
    p = softmax(z)
    weights = np.ones(len(z)) if weights is None else weights
    total = 0.0
    for b in range(bins):
        inside = (p.max(-1) > b / bins) & (p.max(-1) <= (b + 1) / bins)
        hits = (p.argmax(-1) == y)[inside]
        gap = weights[inside] * (hits - p.max(-1)[inside])
        total += abs(gap.sum())
    return total / weights.sum()


def test_a_label_that_is_no_class_is_no_hit():
    hits = top_k_accuracy(np.array([-1, 7, 0]), Z[:3], k=7)
    assert keras.ops.convert_to_numpy(hits).tolist() == [0, 0, 1]


@pytest.mark.parametrize("k", [1, 2, 5, 7, 9])
@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(Y, id="integers"),
        pytest.param(Y[:, None], id="column"),
        pytest.param(ONE_HOT, id="one_hot"),
        pytest.param(MIXED, id="mixed"),
        pytest.param("packed", id="packed"),
    ],
)
def test_top_k(k, labels):
    if isinstance(labels, str):
        labels = pack_targets(MIXED, RNG.normal(size=Z.shape))
    order = np.argsort(-Z.astype("float64"), axis=-1, kind="stable")
    expected = (order[:, :k] == Y[:, None]).any(-1)
    hits = keras.ops.convert_to_numpy(top_k_accuracy(labels, Z, k))
    np.testing.assert_array_equal(hits, expected)
    metric = TopKAccuracy(k)
    for part in np.array_split(np.arange(len(Z)), 3):
        metric.update_state(keras.ops.convert_to_numpy(labels)[part], Z[part])
    assert float(metric.result()) == pytest.approx(expected.mean())


def test_ties_are_not_hits():
    z = np.zeros((7, 7), "float32")
    y = np.arange(7)
    for k in (1, 3, 7):
        hits = keras.ops.convert_to_numpy(top_k_accuracy(y, z, k))
        np.testing.assert_array_equal(hits, y < k)


def test_nan_is_no_hit():
    z = np.full((2, 3), np.nan, "float32")
    assert not keras.ops.convert_to_numpy(top_k_accuracy([0, 1], z, 3)).any()


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration(bins):
    expected = expected_error(Z, Y, bins)
    p = softmax(Z)
    hits = p.argmax(-1) == Y
    error = calibration_error(p.max(-1), hits, bins)
    assert error == pytest.approx(expected, abs=1e-12)
    metric = CalibrationError(bins)
    for part in np.array_split(np.arange(len(Z)), 3):
        metric.update_state(Y[part], Z[part])
    assert float(metric.result()) == pytest.approx(expected, abs=1e-5)
    metric.reset_state()
    assert float(metric.result()) == 0
    weights = RNG.random(len(Z)).astype("float32")
    metric.update_state(Y, Z, sample_weight=weights)
    expected = expected_error(Z, Y, bins, weights)
    assert float(metric.result()) == pytest.approx(expected, abs=1e-5)


def test_the_ends_of_the_bins():
    confidences = np.array([0, 0.5, np.nextafter(0.5, 1), 1])
    count, confidence, right = calibration_bins(
        confidences, np.array([1, 0, 1, 1]), 2
    )
    np.testing.assert_array_equal(count, [2, 2])
    np.testing.assert_allclose(confidence, [0.5, 1.5])
    np.testing.assert_array_equal(right, [1, 2])
    assert np.isnan(calibration_error(np.array([]), np.array([])))


def test_a_calibrated_network_has_no_error():
    p = np.full((1000, 4), 0.1, "float32")
    p[:, 0] = 0.7
    y = np.where(np.arange(1000) < 700, 0, 1)
    metric = CalibrationError()
    metric.update_state(y, np.log(p))
    assert float(metric.result()) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("metric", [TopKAccuracy(3), CalibrationError(12)])
def test_inside_fit_and_back_from_its_configuration(metric):
    config = keras.saving.serialize_keras_object(metric)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == metric.get_config()
    layer = keras.layers.Dense(7)
    model = keras.Sequential([keras.Input((7,)), layer])
    model.compile("sgd", metrics=[again], loss="mse")
    layer.set_weights([np.eye(7), np.zeros(7)])
    values = model.evaluate(Z, ONE_HOT, verbose=0, return_dict=True)
    metric.update_state(Y, Z)
    assert values[metric.name] == pytest.approx(
        float(metric.result()), abs=1e-5
    )


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda: TopKAccuracy(0), "k"),
        (lambda: CalibrationError(0), "bins"),
        (lambda: top_k_accuracy(Y, Z, 1.5), "k"),
    ],
)
def test_wrong_arguments_are_refused(make, name):
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: "):
        make()


def test_nothing_is_broadcast():
    with pytest.raises(ValueError):
        top_k_accuracy(Y[:3], Z)


@pytest.mark.parametrize("metric", [CalibrationError, Crossentropy])
def test_probabilities_in_place_of_logits(metric):
    y, logits = np.array([0, 2]), np.array([[2.0, 1, 0], [0, 1, 3]], "float32")
    metric().update_state(y, logits)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    with pytest.raises(ValueError, match="`y_pred` must be logits"):
        metric().update_state(y, probabilities)


@pytest.mark.parametrize("metric", [CalibrationError, Crossentropy])
def test_probabilities_are_noticed_in_compiled_steps(metric):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, activation="softmax")]
    )
    model.compile(
        "sgd", "sparse_categorical_crossentropy", metrics=[metric(name="m")]
    )
    x = np.random.default_rng(0).standard_normal((4, 4)).astype("float32")
    try:
        result = model.evaluate(
            x, np.arange(4) % 3, verbose=0, return_dict=True
        )
    except Exception as error:
        assert "must be logits" in str(error)
    else:
        assert np.isnan(result["m"])
