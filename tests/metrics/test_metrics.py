import keras
import numpy as np
import pytest

from keras_tricks.losses import (
    KnowledgeDistillation,
    LabelSmoothedKD,
    pack_targets,
)
from keras_tricks.metrics import (
    Crossentropy,
    DominantLabelAccuracy,
    TeacherAgreement,
    TeacherKL,
    TopKAccuracy,
    teacher_agreement,
)

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(6, 4)).astype("float32")
Y = np.array([0, 1, 2, 3, 0, 1])
ONE_HOT = np.eye(4)[Y]
R = 2 * Z + 2 * RNG.normal(size=(6, 4)).astype("float32")
W = np.arange(6.0)
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


@pytest.mark.parametrize("labels", [Y, Y[:, None]])
def test_a_label_of_weight_0_may_be_anything(labels):
    weights = np.array([1.0, 0.0, 2.0, 0.0, 1.0, 3.0])
    odd = np.where(weights.reshape(labels.shape) == 0, [[-1]], labels)
    odd = odd.reshape(labels.shape)
    for metric in (Crossentropy(), DominantLabelAccuracy(), TopKAccuracy(2)):
        results = []
        for each in (labels, odd):
            metric.reset_state()
            metric.update_state(each, Z, weights)
            results.append(float(metric.result()))
        assert results[1] == results[0] > 0


@pytest.mark.parametrize(
    "metric",
    [DominantLabelAccuracy, Crossentropy, TeacherAgreement, TeacherKL],
)
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


# How near to the teacher.


def log_softmax(z):
    z = np.asarray(z, "float64")
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def teacher_reference(temperature):
    """Agreement and divergence of each sample."""
    p, q = (log_softmax(x.astype("float64") / temperature) for x in (R, Z))
    divergence = temperature**2 * (np.exp(p) * (p - q)).sum(-1)
    return (R.argmax(-1) == Z.argmax(-1)).astype("float64"), divergence


@pytest.mark.parametrize("temperature", [1.0, 20.0])
@pytest.mark.parametrize("labels", [Y, Y[:, None], MIXED])
@pytest.mark.parametrize("weights", [None, W])
def test_the_teacher_is_read_from_packed_targets(temperature, labels, weights):
    packed = pack_targets(labels, R)
    for metric, rows in zip(
        (TeacherAgreement(), TeacherKL(temperature)),
        teacher_reference(temperature),
        strict=True,
    ):
        # Two batches of unequal size: a mean over samples.
        for part in (slice(0, 4), slice(4, 6)):
            weight = None if weights is None else weights[part]
            metric.update_state(packed[part], Z[part], weight)
        expected = np.average(rows, weights=weights)
        assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
        metric.reset_state()
        assert metric.result() == {}


def test_agreement_of_each_sample():
    got = keras.ops.convert_to_numpy(teacher_agreement(R, Z))
    np.testing.assert_array_equal(got, teacher_reference(1.0)[0])
    assert got.dtype == "float32"
    assert 0 < got.sum() < 6
    shifted = keras.ops.convert_to_numpy(teacher_agreement(R + 7, 3 * R))
    np.testing.assert_array_equal(shifted, np.ones(6))
    maps = teacher_agreement(R.reshape(3, 2, 4), Z.reshape(3, 2, 4))
    assert tuple(maps.shape) == (3, 2)


@pytest.mark.parametrize(
    ("teacher", "student", "message"),
    [
        (R[:1], Z, r"`teacher_logits`.*\(6, 4\).*\(1, 4\)"),
        (R[:, :3], Z, r"`teacher_logits`.*\(6, 4\).*\(6, 3\)"),
        (R.argmax(-1), Z, r"`teacher_logits`.*\(6, 4\).*\(6,\)"),
        (R[0], Z[0], r"`student_logits` must have shape.*\(4,\)"),
    ],
)
def test_agreement_broadcasts_nothing(teacher, student, message):
    with pytest.raises(ValueError, match=message):
        teacher_agreement(teacher, student)


def test_the_divergence_is_what_the_loss_has_above_its_least():
    packed = pack_targets(Y, R)
    metric = TeacherKL(4.0)
    metric.update_state(packed, Z)
    loss = KnowledgeDistillation(4.0)
    excess = float(loss(R, Z)) - float(loss(R, R))
    assert float(metric.result()) == pytest.approx(excess, rel=1e-4)


@pytest.mark.parametrize("labels", [Y, Y[:, None], MIXED])
def test_labels_without_a_teacher_count_for_nothing(labels):
    for metric in (TeacherAgreement(), TeacherKL()):
        metric.update_state(labels, Z)
        assert metric.result() == {}
        metric.update_state(pack_targets(Y, Z), Z)
        expected = 1.0 if isinstance(metric, TeacherAgreement) else 0.0
        assert float(metric.result()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("metric", "best"), [(TeacherAgreement(), 0.9), (TeacherKL(name="kl"), 0.1)]
)
def test_auto_monitors_what_is_better(metric, best):
    """`mode="auto"` of callbacks asks the metric for its direction."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    model.compile("sgd", LabelSmoothedKD(), metrics=[metric])
    model.train_on_batch(np.ones((6, 3)), pack_targets(Y, R))
    stopping = keras.callbacks.EarlyStopping(metric.name)
    stopping.set_model(model)
    stopping.on_train_begin()
    for epoch, value in enumerate((0.5, 0.9, 0.1)):
        stopping.on_epoch_end(epoch, {metric.name: value})
    assert stopping.best == best


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), "20"])
def test_a_temperature_that_cannot_be_meant(temperature):
    with pytest.raises(ValueError, match="`temperature` must be a number"):
        TeacherKL(temperature)


def test_the_teacher_in_fit_and_after_loading(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    model.compile(
        keras.optimizers.SGD(0.0),
        LabelSmoothedKD(0.1, 4.0),
        metrics=[TeacherAgreement(), TeacherKL(4.0)],
    )
    x = RNG.normal(size=(6, 3)).astype("float32")
    packed = pack_targets(Y, R)
    ours = ("teacher_agreement", "kl")
    # Three epochs, as no Python runs in steps that are compiled already.
    history = model.fit(
        x, packed, batch_size=4, validation_data=(x, Y), epochs=3, verbose=0
    ).history
    assert set(history) == {"loss", "val_loss", *ours}
    for name in ours:
        assert history[name] == pytest.approx([history[name][0]] * 3, rel=1e-5)
    assert isinstance(model.evaluate(x, Y, verbose=0), float)
    assert model.test_on_batch(x, Y, return_dict=True).keys() == {"loss"}
    before = model.evaluate(x, packed, verbose=0, return_dict=True)
    for name in ours:
        assert history[name][0] == pytest.approx(before[name], rel=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    after = loaded.evaluate(x, packed, verbose=0, return_dict=True)
    assert after == pytest.approx(before, rel=1e-6)
