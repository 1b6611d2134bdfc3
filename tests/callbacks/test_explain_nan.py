import keras
import numpy as np
import pytest

from keras_tricks.callbacks import ExplainNaN
from keras_tricks.losses import (
    LabelSmoothedCrossentropy,
    LabelSmoothedKD,
    pack_targets,
)
from keras_tricks.metrics import DominantLabelAccuracy

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = np.arange(16) % 3


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = keras.layers.Dense(3, activation="softmax", name="head")

    def call(self, x):
        return self.head(x)


def functional(activation):
    inputs = keras.Input((4,))
    x = keras.layers.Dense(3, activation=activation, name="head")(inputs)
    return keras.Model(inputs, x)


def sequential(activation):
    layers = [keras.Input((4,)), keras.layers.Dense(3)]
    return keras.Sequential(
        [*layers, keras.layers.Activation(activation, name="head")]
    )


def fit(model, loss, labels=Y, **options):
    model.compile(options.pop("optimizer", "sgd"), loss, **options)
    model.fit(
        X, labels, batch_size=8, epochs=4, verbose=0, callbacks=[ExplainNaN()]
    )


@pytest.mark.parametrize("loss", [LabelSmoothedCrossentropy, LabelSmoothedKD])
@pytest.mark.parametrize(
    "make",
    [lambda: functional("softmax"), lambda: sequential("softmax"), Subclassed],
)
def test_a_network_that_ends_in_softmax_is_refused(make, loss):
    message = "`model` must end in logits.*model=.*'head' has softmax"
    with pytest.raises(ValueError, match=message):
        fit(make(), loss())


def test_a_softmax_that_the_loss_wants_is_no_mistake():
    fit(functional("softmax"), LabelSmoothedCrossentropy(from_logits=False))
    fit(functional("softmax"), "sparse_categorical_crossentropy")


def test_a_first_step_without_a_number_comes_of_what_goes_in():
    with pytest.raises(FloatingPointError, match="nan from the first step"):
        fit(functional(None), "mse", np.nan * X[:, :3])


def test_a_later_one_comes_of_the_steps():
    with pytest.raises(FloatingPointError, match="(nan|inf) in epoch [234]:"):
        fit(
            functional(None),
            "mse",
            X[:, :3],
            optimizer=keras.optimizers.SGD(1e18),
        )


ONE_HOT = np.eye(3, dtype="float32")[Y]
MIXED = 0.6 * ONE_HOT + 0.4 * ONE_HOT[::-1]
PACKED = pack_targets(Y, X[:, :3])


@pytest.mark.parametrize(
    ("metric", "labels", "others", "kind"),
    [
        ("accuracy", MIXED, Y, "CategoricalAccuracy as 'acc"),
        ("accuracy", PACKED, Y, "CategoricalAccuracy as 'acc"),
        # As many samples as columns, so that Keras can compare them.
        ("acc", Y, PACKED[:6], "SparseCategoricalAccuracy as 'acc'"),
        ("accuracy", MIXED, ONE_HOT, None),
        ("accuracy", Y, Y, None),
        (DominantLabelAccuracy(), MIXED, Y, None),
    ],
)
def test_metrics_of_keras_for_other_labels(metric, labels, others, kind):
    model, loss = functional(None), LabelSmoothedKD()
    for other in (Y, MIXED):
        loss(other, model(X))  # It is the loss of another model, too.
    model.compile("sgd", loss, metrics=[metric])
    data = {"validation_data": (X[: len(others)], others), "verbose": 0}
    if kind is None:
        model.fit(X, labels, **data, callbacks=[ExplainNaN()])
        model.evaluate(X, others, verbose=0, callbacks=[ExplainNaN()])
    else:
        with pytest.raises(ValueError, match=f"`metrics` must.*: {kind}"):
            model.fit(X, labels, **data, callbacks=[ExplainNaN()])


def test_a_softmax_is_refused_in_evaluate_too():
    model = functional("softmax")
    model.compile("sgd", LabelSmoothedCrossentropy())
    with pytest.raises(ValueError, match="`model` must end in logits"):
        model.evaluate(X, Y, verbose=0, callbacks=[ExplainNaN()])


def test_an_evaluation_without_a_number_is_warned_of():
    model = functional(None)
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="evaluation is nan: something"):
        model.evaluate(
            X, np.nan * X[:, :3], verbose=0, callbacks=[ExplainNaN()]
        )


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="XLA drops assertions"
)
def test_what_a_compiled_step_cannot_raise_is_told():
    with pytest.raises(FloatingPointError, match="from the first step"):
        fit(functional(None), LabelSmoothedKD(), Y + 1, jit_compile=True)
