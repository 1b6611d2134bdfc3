import keras
import numpy as np
import pytest

from keras_tricks.losses import pack_targets
from keras_tricks.metrics import Crossentropy, DominantLabelAccuracy

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(6, 4)).astype("float32")
Y = np.array([0, 1, 2, 3, 0, 1])
ONE_HOT = np.eye(4)[Y]
MIXED = (0.7 * ONE_HOT + 0.3 * ONE_HOT[::-1]).astype("float32")


def reference(p):
    z = Z.astype("float64")
    log_q = z - np.log(np.exp(z).sum(-1, keepdims=True))
    hits = z.argmax(-1) == p.argmax(-1)
    return hits.mean(), -(p * log_q).sum(-1).mean()


@pytest.mark.parametrize(
    "labels, p",
    [
        (Y, ONE_HOT),
        (Y[:, None], ONE_HOT),
        (ONE_HOT.astype("float32"), ONE_HOT),
        (MIXED, MIXED),
        ("packed", MIXED),
    ],
)
def test_values(labels, p):
    if isinstance(labels, str):
        labels = pack_targets(MIXED, RNG.normal(size=(6, 4)))
    accuracy, crossentropy = reference(np.asarray(p, "float64"))
    for metric, expected in (
        (DominantLabelAccuracy(), accuracy),
        (Crossentropy(), crossentropy),
    ):
        metric.update_state(labels, Z)
        assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


def test_sample_weight():
    weight = np.arange(6.0)
    metric = DominantLabelAccuracy()
    metric.update_state(Y, Z, weight)
    expected = np.average(Z.argmax(-1) == Y, weights=weight)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("metric", [DominantLabelAccuracy, Crossentropy])
def test_wrong_shapes_are_refused(metric):
    with pytest.raises(ValueError, match="Received: y_true.shape="):
        metric().update_state(np.zeros((6, 3)), Z)


@pytest.mark.parametrize("metric", [DominantLabelAccuracy, Crossentropy])
def test_in_fit_and_after_loading(metric, tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=[metric(name="it")])
    x = RNG.normal(size=(6, 3)).astype("float32")
    model.fit(x, Y, verbose=0)
    before = model.evaluate(x, Y, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    after = loaded.evaluate(x, Y, verbose=0, return_dict=True)
    assert after == pytest.approx(before, rel=1e-6)
    if metric is Crossentropy:
        assert before["it"] == pytest.approx(before["loss"], rel=1e-5)
