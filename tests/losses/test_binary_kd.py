"""Distillation of yes or no to each class, against float64."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks.distillation import Distiller, check_teacher
from keras_tricks.losses import (
    LabelSmoothedBinaryKD,
    LabelSmoothedKD,
    binary_distillation_loss,
    pack_targets,
)

RNG = np.random.default_rng(0)
TEACHER = RNG.normal(0, 4, (6, 5)).astype("float32")
STUDENT = RNG.normal(0, 4, (6, 5)).astype("float32")
LABELS = (RNG.random((6, 5)) < 0.4).astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, "float64")))


def soft_reference(teacher, student, t, form="crossentropy"):
    q, p = sigmoid(teacher / t), sigmoid(student / t)
    terms = -q * np.log(p) - (1 - q) * np.log(1 - p)
    if form == "kl":
        terms += q * np.log(q) + (1 - q) * np.log(1 - q)
    return t**2 * terms


def hard_reference(labels, student, epsilon):
    targets = (1 - epsilon) * labels.astype("float64") + epsilon / 2
    p = sigmoid(student)
    return -targets * np.log(p) - (1 - targets) * np.log(1 - p)


@pytest.mark.parametrize("form", ["crossentropy", "kl"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("t", [1.0, 3.0, 20.0])
def test_the_function(t, form, reduction):
    loss = binary_distillation_loss(TEACHER, STUDENT, t, form, reduction)
    expected = soft_reference(TEACHER, STUDENT, t, form)
    expected = getattr(expected, reduction)(-1)
    # A divergence at T = 20 has lost nothing to cancellation.
    np.testing.assert_allclose(ops.convert_to_numpy(loss), expected, rtol=2e-5)


def test_far_logits_stay_finite():
    far = np.array([[200.0, -200.0]], "float32")
    for form in ("crossentropy", "kl"):
        value = binary_distillation_loss(far, -far, 1.0, form)
        assert float(value[0]) == pytest.approx(200.0)


@pytest.mark.parametrize("weight", [None, 0.0, 0.3])
def test_the_loss_is_the_sum_of_both_terms(weight):
    loss = LabelSmoothedBinaryKD(0.1, 3.0, weight, class_reduction="sum")
    packed = pack_targets(LABELS, TEACHER, activation="sigmoid")
    assert packed.tolist() == np.concatenate([LABELS, TEACHER], 1).tolist()
    hard = hard_reference(LABELS, STUDENT, 0.1).sum(-1).mean()
    soft = soft_reference(TEACHER, STUDENT, 3.0).sum(-1).mean()
    expected = hard + soft
    if weight is not None:
        expected = weight * hard + (1 - weight) * soft
    assert float(loss(packed, STUDENT)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(LABELS, STUDENT)) == pytest.approx(hard, rel=1e-5)


def test_config():
    loss = LabelSmoothedBinaryKD(0.1, 3.0, 0.5, "paper", 0.4, "sum", "kl")
    config = keras.saving.serialize_keras_object(loss)
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.get_config() == loss.get_config()


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (np.arange(6) % 5, "`y_true` must have a column for each class"),
        (3 * LABELS, "must hold a share from 0 to 1 for each class"),
        (
            pack_targets(np.eye(6, 5)[[0, 1, 2, 3, 4, 0]], TEACHER),
            "`y_true` must be packed with `pack_targets",
        ),
    ],
    ids=["integers", "no shares", "of a softmax"],
)
def test_wrong_targets(targets, message):
    with pytest.raises(ValueError, match=message):
        LabelSmoothedBinaryKD()(targets, STUDENT)


def dense():
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(5)])


def test_a_distiller_logs_both_terms():
    teacher, student = dense(), dense()
    teacher.layers[0].set_weights([3 * np.eye(5), np.full(5, -1.0)])
    model = Distiller(student, teacher)
    model.compile("sgd", LabelSmoothedBinaryKD(0.1, 2.0, form="kl"))
    x = LABELS[:4]
    said = ops.convert_to_numpy(student(x))
    logs = model.train_on_batch(x, LABELS[:4], return_dict=True)
    t = 3 * x - 1
    hard = hard_reference(LABELS[:4], said, 0.1).mean()
    soft = soft_reference(t, said, 2.0, "kl").mean()
    assert logs["hard_loss"] == pytest.approx(hard, rel=1e-4)
    assert logs["kl"] == pytest.approx(soft, rel=1e-4)
    assert logs["loss"] == pytest.approx(hard + soft, rel=1e-4)
    same = ((t > 0) == (said > 0)).mean()
    assert logs["teacher_agreement"] == pytest.approx(same, rel=1e-5)


def test_a_teacher_of_several_classes_is_measured():
    teacher = dense()
    teacher.layers[0].set_weights([3 * np.eye(5), np.full(5, -1.0)])
    report = check_teacher(teacher, LABELS, LABELS, several=True)
    assert report.accuracy == 1.0 and not report.at_chance
    assert report.chance == pytest.approx(LABELS.mean())
    assert "average precision 100.0 % on 6 samples" in str(report)
    teacher.layers[0].set_weights([-3 * np.eye(5), np.zeros(5)])
    with pytest.warns(UserWarning, match="no better than chance"):
        check_teacher(teacher, LABELS, LABELS, several=True)


def test_probabilities_are_not_averaged():
    model = Distiller(dense(), [dense(), dense()], ensemble="probabilities")
    model.compile("sgd", LabelSmoothedBinaryKD())
    with pytest.raises(ValueError, match="`ensemble` must be 'logits' with"):
        model.fit(LABELS, LABELS, verbose=0)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="`loss` of a Distiller must be"):
        model.fit(LABELS, LABELS, verbose=0)


def test_a_softmax_still_packs_as_before():
    labels = np.arange(6) % 5
    packed = pack_targets(labels, TEACHER)
    assert packed[:, 5:].max() == 0
    assert float(LabelSmoothedKD()(packed, STUDENT)) > 0
    with pytest.raises(ValueError, match="class weights that sum to 1"):
        pack_targets(LABELS, TEACHER)
    with pytest.raises(ValueError, match="`activation` must be one of"):
        pack_targets(labels, TEACHER, activation="tanh")
