"""What a distiller logs, takes and refuses beside plain batches."""

import keras
import numpy as np
import pytest

from keras_tricks.distillation import Distiller
from keras_tricks.losses import LabelSmoothedKD
from keras_tricks.metrics import Crossentropy, DominantLabelAccuracy

N, D, K = 10, 6, 4
RNG = np.random.default_rng(5)
X = RNG.normal(size=(N, D)).astype("float32")
TEACHER = 2 * RNG.normal(size=(D, K)).astype("float32")
STUDENT = RNG.normal(size=(D, K)).astype("float32")
Y = (X @ TEACHER).argmax(-1)
MIXED = (0.7 * np.eye(K)[Y] + 0.3 * np.eye(K)[Y[::-1]]).astype("float32")
W = RNG.uniform(0.5, 2, N).astype("float32")


def dense(kernel, shape=(D,)):
    layer = keras.layers.Dense(K, use_bias=False)
    model = keras.Sequential([keras.Input(shape), layer])
    layer.kernel.assign(kernel)
    return model


class Subclassed(keras.Model):
    def __init__(self, classes=K, outputs=1):
        super().__init__()
        self.head, self.count = keras.layers.Dense(classes), outputs

    def call(self, x):
        return self.head(x) if self.count == 1 else [self.head(x)] * self.count


def compiled(student=None, teacher=None, loss=None, **options):
    student = dense(STUDENT) if student is None else student
    model = Distiller(student, dense(TEACHER) if teacher is None else teacher)
    loss = loss or LabelSmoothedKD(0.1, 4.0)
    model.compile(keras.optimizers.SGD(0.0), loss, **options)
    return model


def fit(model, *data, **options):
    history = model.fit(*data, shuffle=False, verbose=0, **options).history
    return {name: values[-1] for name, values in history.items()}


@pytest.mark.parametrize("hard_weight", [None, 0.3])
@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "mean_with_sample_weight", "sum"]
)
def test_the_terms_add_up_to_the_loss_with_weights(hard_weight, reduction):
    """Batches of 4, 4 and 2: as the loss, a mean over the samples."""
    loss = LabelSmoothedKD(
        0.1, 4.0, hard_weight, form="kl", reduction=reduction
    )
    model = compiled(loss=loss)
    log = fit(model, X, Y, batch_size=4, sample_weight=W)
    w, v = (1, 1) if hard_weight is None else (hard_weight, 1 - hard_weight)
    total = w * log["hard_loss"] + v * log["kl"]
    assert log["loss"] == pytest.approx(total, rel=1e-5)
    plain = fit(model, X, Y, batch_size=4)
    assert plain["kl"] != pytest.approx(log["kl"], rel=1e-3)


def test_a_label_of_weight_0_may_be_anything():
    weights = (np.arange(N) % 3 > 0).astype("float32")
    odd = np.where(weights, Y, -1)
    model = compiled(weighted_metrics=[Crossentropy(), DominantLabelAccuracy()])
    expected = fit(model, X, Y, sample_weight=weights)
    assert fit(model, X, odd, sample_weight=weights) == expected
    batches = (batch for batch in [(X, odd, weights)])
    model.set_teacher(dense(TEACHER))  # Which is measured again.
    again = fit(model, batches, steps_per_epoch=1)
    assert again == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="integer labels from 0 to 3"):
        compiled().train_on_batch(X, odd, 1 - weights)


def test_labels_of_each_token():
    x = X.reshape(5, 2, D)
    model = compiled(dense(STUDENT, (2, D)), dense(TEACHER, (2, D)))
    log = fit(model, x, Y.reshape(5, 2))
    assert log == pytest.approx(fit(compiled(), X, Y), rel=1e-5)


def test_metrics_of_keras_are_refused_for_other_labels():
    model = compiled(metrics=["accuracy"])
    message = "`metrics` must be for the labels.*CategoricalAccuracy.*integer"
    with pytest.raises(ValueError, match=message):
        fit(model, X, MIXED, validation_data=(X, Y))
    dense_labels = np.eye(K, dtype="float32")[Y]
    model = compiled(metrics=["accuracy"])
    logs = fit(model, X, MIXED, validation_data=(X, dense_labels))
    hits = (X @ STUDENT).argmax(-1) == Y
    assert logs["val_accuracy"] == pytest.approx(hits.mean())


@pytest.mark.parametrize("kind", ["sequential", "subclassed"])
def test_a_teacher_without_weights_is_refused(kind):
    teacher = keras.Sequential([keras.layers.Dense(K)])
    if kind == "subclassed":
        teacher = Subclassed()
    with pytest.raises(ValueError, match="`teacher` must be built.*Received"):
        Distiller(dense(STUDENT), teacher)
    teacher(X)
    Distiller(dense(STUDENT), teacher)


def test_a_student_of_two_outputs_is_refused():
    inputs = keras.Input((D,))
    heads = [keras.layers.Dense(K)(inputs) for _ in range(2)]
    message = "`student` must have one output, the logits.*with 2 outputs"
    for outputs in (heads, dict(zip("ab", heads, strict=True))):
        with pytest.raises(ValueError, match=message):
            Distiller(keras.Model(inputs, outputs))
    with pytest.raises(ValueError, match=message):
        compiled(Subclassed(outputs=2)).fit(X, Y, verbose=0)


def test_a_student_of_other_classes_is_refused_when_it_is_called():
    message = "`teacher` must have the student's 7 classes.*with 4"
    with pytest.raises(ValueError, match=message):
        compiled(Subclassed(classes=7)).fit(X, Y, verbose=0)


def test_export_is_of_the_student(monkeypatch):
    model, given = compiled(), []
    monkeypatch.setattr(
        model.student, "export", lambda *a, **k: given.append(a)
    )
    model.fit(X, Y, verbose=0)
    model.export("somewhere")
    assert given == [("somewhere",)]
