import keras
import pytest
from keras import layers, ops

from keras_tricks._model_facts.last_activation import last_activation


class OwnSoftmax(layers.Softmax):
    """A subclass is what its base is."""


def head(activation=None):
    return layers.Dense(3, activation=activation, name="head")


def functional(*steps):
    x = inputs = keras.Input((4,))
    for step in steps:
        x = step(x)
    return keras.Model(inputs, x)


def sequential(*steps):
    return keras.Sequential([keras.Input((4,)), *steps])


def pooled(x):
    """Logits by an operation of `keras.ops` that is no activation."""
    x = ops.reshape(x, (-1, 2, 2, 1))
    x = layers.Conv2D(3, 1)(x)
    return ops.reshape(ops.average_pool(x, 2), (-1, 3))


FOUND = {
    "argument": (lambda: [head("softmax")], "softmax"),
    "function": (lambda: [head(keras.activations.sigmoid)], "sigmoid"),
    "function of the user": (lambda: [head(lambda z: 2 * z)], "<lambda>"),
    "layer as argument": (lambda: [head(layers.Softmax())], "softmax"),
    "layer": (lambda: [head(), layers.Softmax()], "softmax"),
    "subclass of a layer": (lambda: [head(), OwnSoftmax()], "softmax"),
    "Activation": (lambda: [head(), layers.Activation("gelu")], "gelu"),
    "ReLU": (lambda: [head(), layers.ReLU()], "relu"),
    "LeakyReLU": (lambda: [head(), layers.LeakyReLU()], "leakyrelu"),
    "PReLU": (lambda: [head(), layers.PReLU()], "prelu"),
    "operation": (lambda: [head(), ops.softmax], "softmax"),
    "tanh": (lambda: [head(), ops.tanh], "tanh"),
    "cast behind it": (
        lambda: [head("softmax"), lambda x: ops.cast(x, "float16")],
        "softmax",
    ),
    "float32 behind it": (
        lambda: [
            head("softmax"),
            layers.Activation("linear", dtype="float32"),
            layers.Identity(),
        ],
        "softmax",
    ),
    "shapes behind it": (
        lambda: [
            head("softmax"),
            lambda x: ops.reshape(x, (-1, 3, 1)),
            lambda x: ops.squeeze(x, -1),
            layers.Reshape((3, 1)),
            layers.Flatten(),
        ],
        "softmax",
    ),
    "dropout behind it": (
        lambda: [head("softmax"), layers.Dropout(0.1)],
        "softmax",
    ),
    "model inside": (lambda: [functional(head("softmax"))], "softmax"),
    "layer inside": (
        lambda: [sequential(functional(head()), layers.Softmax())],
        "softmax",
    ),
}
LOGITS = {
    "dense": lambda: [head()],
    "linear": lambda: [head("linear"), layers.Activation("linear")],
    "softmax before": lambda: [layers.Softmax(), head()],
    "float32": lambda: [head(), layers.Activation("linear", dtype="float32")],
    "batch norm": lambda: [head(), layers.BatchNormalization()],
    "operation": lambda: [pooled],
    "scaled": lambda: [head(), lambda x: 2 * x],
    "model inside": lambda: [layers.Softmax(), functional(head())],
}


@pytest.mark.parametrize("case", FOUND)
def test_an_activation_is_found_in_the_graph(case):
    steps, expected = FOUND[case]
    assert last_activation(functional(*steps()))[1] == expected


@pytest.mark.parametrize("case", LOGITS)
def test_logits_are_taken_as_they_are(case):
    assert last_activation(functional(*LOGITS[case]())) is None


@pytest.mark.parametrize("built", [False, True])
def test_a_sequential_model_needs_no_graph(built):
    for steps, expected in (
        ([head("softmax")], ("head", "softmax")),
        ([head(), layers.Activation("relu", name="last")], ("last", "relu")),
        ([layers.Dense(4, activation="relu"), head()], None),
    ):
        start = [keras.Input((4,))] if built else []
        model = keras.Sequential([*start, *steps])
        assert model.built == built
        assert last_activation(model) == expected
    assert last_activation(keras.Sequential()) is None


def test_the_name_is_that_of_the_layer_that_has_it():
    inside = functional(head("softmax"))
    model = functional(inside, layers.Activation("linear", name="cast"))
    assert last_activation(model) == ("head", "softmax")


def test_a_layer_used_twice_is_followed_along_its_own_calls():
    shared = layers.Identity()
    inputs = keras.Input((4,))
    shared(layers.Softmax()(inputs))
    logits = layers.Identity()(shared(layers.Dense(3)(inputs)))
    assert last_activation(keras.Model(inputs, logits)) is None


def test_the_first_of_several_outputs_counts():
    inputs = keras.Input((4,))
    logits = head()(inputs)
    probabilities = ops.softmax(logits)
    assert last_activation(keras.Model(inputs, [logits, probabilities])) is None
    model = keras.Model(inputs, [probabilities, logits])
    assert last_activation(model)[1] == "softmax"


class Subclassed(keras.Model):
    """Its layers in the order of their making, which is that of no graph."""

    def __init__(self, *made):
        super().__init__()
        self.made = list(made)

    def call(self, x):
        return x


def test_of_a_subclassed_model_only_a_softmax_at_the_end_counts():
    for made, expected in (
        ([head(), layers.ReLU()], None),
        ([head(), layers.Activation("tanh")], None),
        ([head("sigmoid")], None),
        ([head("softmax")], "softmax"),
        ([head(), layers.Softmax()], "softmax"),
        ([sequential(head("softmax"))], "softmax"),
        ([sequential(head(), layers.ReLU())], None),
        ([layers.Softmax(), head()], None),
        ([], None),
    ):
        found = last_activation(Subclassed(*made))
        assert (found and found[1]) == expected


def test_a_functional_subclass_has_a_graph():
    class Own(keras.Model):
        def train_step(self, *args):
            return super().train_step(*args)

    inputs = keras.Input((4,))
    model = Own(inputs, layers.ReLU()(head()(inputs)))
    assert last_activation(model)[1] == "relu"
