"""`swap_activations` on the models and layers that hold activations."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_tricks.layers import BasicBlock, ConvNorm
from keras_tricks.models import ResNet
from keras_tricks.surgery import swap_activations, zero_gamma


def images(model, seed=0):
    shape = (2, *model.input_shape[1:])
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def predict(model, x=None):
    x = images(model) if x is None else x
    return keras.ops.convert_to_numpy(model(x, training=False))


def assert_same_weights(new, old):
    assert new.weights is not old.weights
    for a, b in zip(new.weights, old.weights, strict=True):
        assert a is not b
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b)
        )


@keras.saving.register_keras_serializable("test_surgery")
def double(x):
    return 2.0 * x


def everywhere(act, layer=None, function=None, last="softmax"):
    """A model with an activation in every place that can hold one."""
    layer = layer or (lambda name: layers.Activation(act, name=name))
    function = function or layers.Activation(act, name="function")
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation=act, name="conv")(inputs)
    x = layers.Activation(act, name="activation")(x)
    x = layer("layer")(layers.BatchNormalization()(x))
    x = function(layers.Conv2D(4, 1)(x))
    x = layers.SeparableConv2D(4, 3, activation=act, name="separable")(x)
    x = ConvNorm(4, 3, activation=act, name="conv_norm")(x)
    x = BasicBlock(4, activation=act, name="block")(x)
    x = layers.Reshape((4, 4, 4))(x)
    x = layers.TimeDistributed(
        layers.Dense(4, activation=act), name="distributed"
    )(x)
    inner = keras.Sequential(
        [keras.Input((4, 4, 4)), layers.Dense(4, activation=act, name="dense")],
        name="inner",
    )
    x = layers.Flatten()(inner(x))
    x = layers.Dense(4, activation=layer("object"), name="object")(x)
    outputs = layers.Dense(3, activation=last, name="head")(x)
    return keras.Model(inputs, outputs, name="net")


PLACES = [
    "conv",
    "activation",
    "layer",
    "function",
    "separable",
    "conv_norm",
    "block",
    "distributed",
    "inner/dense",
    "object",
]


def test_every_place():
    model = everywhere(
        "relu", lambda name: layers.ReLU(name=name), keras.ops.relu
    )
    before = predict(model)
    changed, report = swap_activations(model, "silu")
    places = [
        "function" if path.startswith("relu") else path for path in report
    ]
    assert places == PLACES
    assert {(old, new) for _, old, new in report.changed} == {("relu", "silu")}
    assert not report.skipped
    assert_same_weights(changed, model)
    expected = everywhere("silu")
    expected.set_weights(model.get_weights())
    np.testing.assert_allclose(
        predict(changed), predict(expected), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(predict(model), before)
    assert np.abs(predict(changed) - before).max() > 1e-4
    assert str(report).startswith(
        "swapped relu for silu: 10 layers\n  conv: relu -> silu\n"
    )
    with pytest.raises(ValueError, match="must be an activation inside"):
        swap_activations(changed, "gelu")


def test_back_again_is_the_same():
    model = everywhere("relu")
    there, _ = swap_activations(model, double)
    back, report = swap_activations(there, "relu", old=double)
    assert len(report) == len(PLACES)
    np.testing.assert_array_equal(predict(back), predict(model))


@pytest.mark.parametrize(
    ("old", "found"),
    [
        ("relu", "relu"),
        ("relu6", "capped"),
        ("leaky_relu", "leaky"),
        ("elu", "elu"),
        ("silu", "function"),
        ("swish", "function"),
    ],
)
def test_only_the_same_function_is_swapped(old, found):
    inputs = keras.Input((4,))
    x = layers.ReLU(name="relu")(layers.Dense(4)(inputs))
    x = layers.ReLU(max_value=6, name="capped")(x)
    x = layers.ReLU(negative_slope=0.1, name="sloped")(x)
    x = layers.LeakyReLU(0.2, name="leaky")(x)
    x = layers.LeakyReLU(0.3, name="leakier")(x)
    x = layers.ELU(name="elu")(x)
    x = layers.ELU(alpha=0.5, name="flatter")(x)
    x = layers.PReLU(name="learned")(x)
    x = keras.ops.silu(x)
    model = keras.Model(inputs, layers.Dense(2)(x))
    changed, report = swap_activations(model, "gelu", old=old)
    assert len(report) == 1
    assert list(report)[0] == found or found == "function"
    assert_same_weights(changed, model)


@pytest.mark.parametrize("last", ["softmax", "sigmoid", "relu"])
def test_the_head_is_never_touched(last):
    for separate in (False, True):
        x = inputs = keras.Input((4,))
        x = layers.Dense(4, activation=last, name="hidden")(x)
        if separate:
            x = layers.Activation(last, name="head")(layers.Dense(3)(x))
        else:
            x = layers.Dense(3, activation=last, name="head")(x)
        x = layers.Reshape((3,))(x)
        model = keras.Model(inputs, x)
        changed, report = swap_activations(model, "silu", old=last)
        assert list(report) == ["hidden"]
        assert report.skipped == (("head", "it makes the output of the model"),)
        assert changed.get_layer("head").activation.__name__ == last
    only = keras.Sequential(
        [keras.Input((4,)), layers.Dense(2, activation=last, name="head")]
    )
    with pytest.raises(ValueError, match="head: it makes the output"):
        swap_activations(only, "silu", old=last)


def test_feature_maps_are_no_head_but_masks_are():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation="sigmoid", name="gate")(inputs)
    x = layers.Conv2D(4, 3, activation="relu", name="features")(x)
    assert list(swap_activations(keras.Model(inputs, x), "silu")[1]) == [
        "features"
    ]
    masks = layers.Conv2D(2, 1, activation="sigmoid", name="masks")(x)
    _, report = swap_activations(
        keras.Model(inputs, masks), "hard_sigmoid", old="sigmoid"
    )
    assert list(report) == ["gate"]


def test_our_own_network_keeps_its_class_and_policy():
    options = {"num_classes": 3, "width": 4, "input_shape": (32, 32, 3)}
    model = ResNet(18, dtype="mixed_bfloat16", **options)
    changed, report = swap_activations(model, "silu")
    assert len(report) == 9
    assert type(changed) is type(model)
    assert changed.dtype_policy.name == "mixed_bfloat16"
    expected = ResNet(18, dtype="mixed_bfloat16", activation="silu", **options)
    assert changed.get_config() == expected.get_config()
    assert_same_weights(changed, model)
    assert len(zero_gamma(changed)) == 8


def test_applications_resnet50(monkeypatch):
    monkeypatch.setattr(
        keras.initializers.GlorotUniform,
        "__call__",
        lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype),
    )
    model = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3))
    part = keras.Model(model.input, model.get_layer("conv2_block2_out").output)
    for index, variable in enumerate(part.weights):
        values = np.random.default_rng(index).uniform(0.01, 0.1, variable.shape)
        variable.assign(values)
    changed, report = swap_activations(part, "silu")
    assert len(report) == 7 and "conv2_block2_out" in report
    assert_same_weights(changed, part)
    names = {
        layer.activation.__name__
        for layer in changed.layers
        if isinstance(layer, layers.Activation)
    }
    assert names == {"silu"}
    assert len(zero_gamma(changed)) == 2


@pytest.fixture
def small():
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu", name="hidden"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.5),
            layers.Dense(3, name="head"),
        ],
        name="small",
    )


def test_compiled_functions_do_not_keep_the_old_one(small):
    small.compile("sgd", "mse")
    x, y = images(small), np.ones((2, 3))
    small.fit(x, y, verbose=0)
    small.evaluate(x, y, verbose=0)
    before = small.predict(x, verbose=0)
    changed, report = swap_activations(small, double)
    assert not changed.compiled
    assert report.notes == ("compile the new model before training",)
    weights = [
        keras.ops.convert_to_numpy(w)
        for w in changed.get_layer("hidden").weights
    ]
    hidden = 2.0 * (x @ weights[0] + weights[1])
    expected = predict(
        keras.Sequential(changed.layers[1:]), hidden.astype("float32")
    )
    np.testing.assert_allclose(
        changed.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-5
    )
    changed.compile("sgd", "mse")
    changed.fit(x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(small.predict(x, verbose=0), before)
    small.fit(x, y, verbose=0)


@pytest.mark.parametrize("new", ["silu", double])
def test_save_and_load(small, tmp_path, new):
    changed, _ = swap_activations(small, new)
    path = str(tmp_path / "model.keras")
    changed.save(path)
    loaded = keras.saving.load_model(path)
    np.testing.assert_array_equal(predict(loaded), predict(changed))
    layer = loaded.get_layer("hidden")
    assert layer.activation is keras.activations.get(new)


def test_mixed_float16_keeps_its_dtypes():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        inputs = keras.Input((4,))
        x = layers.ReLU(name="a")(layers.Dense(4)(inputs))
        x = keras.ops.relu(layers.Dense(4)(x))
        x = layers.Dense(3, dtype="float32")(x)
        model = keras.Model(inputs, x)
    finally:
        keras.config.set_dtype_policy("float32")
    changed, report = swap_activations(model, "silu")
    assert len(report) == 2
    for layer in changed.layers[1:-1]:
        assert layer.output.dtype == "float16"
    assert changed.output.dtype == "float32"
    assert changed.dtype_policy.name == "mixed_float16"
    changed.compile("sgd", "mse")
    assert hasattr(changed.optimizer, "inner_optimizer")
    changed.fit(images(changed), np.ones((2, 3)), verbose=0)


def test_frozen_and_shared_layers_and_several_inputs():
    shared = layers.Dense(4, activation="relu", name="shared")
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    x = layers.Concatenate()([shared(a), shared(b)])
    x = layers.BatchNormalization(name="norm")(x, training=False)
    model = keras.Model({"a": a, "b": b}, {"out": layers.Dense(2)(x)})
    model.get_layer("norm").trainable = False
    changed, report = swap_activations(model, "silu")
    assert list(report) == ["shared"]
    assert len(changed.weights) == len(model.weights)
    assert not changed.get_layer("norm").trainable
    data = {name: np.ones((2, 4), "float32") for name in "ab"}
    outputs = changed(data)
    assert list(outputs) == ["out"]


class Closed(layers.Layer):
    """A layer whose activation is not in its configuration."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.activation = keras.activations.relu

    def call(self, x):
        return self.activation(x)


def test_what_cannot_be_swapped_is_reported(small):
    inputs = keras.Input((6,))
    x = Closed(name="closed")(small(inputs))
    model = keras.Model(inputs, layers.Dense(2)(x))
    changed, report = swap_activations(model, "silu")
    assert list(report) == ["small/hidden"]
    assert report.skipped == (("closed", "its configuration does not have it"),)
    assert "left as they are: 1 layers\n  closed: its" in str(report)
    alone = keras.Model(inputs, layers.Dense(2)(Closed(name="closed")(inputs)))
    with pytest.raises(ValueError, match="closed: its configuration"):
        swap_activations(alone, "silu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no_such",), "`activation` must be the name"),
        ((layers.PReLU(),), "`activation` must be a name or a function"),
        (("silu", "linear"), "`old` must be an activation that is not linear"),
        (("silu", None), "`old` must be an activation that is not linear"),
        (("silu", "swish"), "`activation` must differ from `old`"),
        (("silu", "gelu"), "`old` must be an activation inside the model"),
    ],
)
def test_arguments(small, arguments, message):
    with pytest.raises(ValueError, match=message):
        swap_activations(small, *arguments)


@pytest.mark.parametrize("model", [None, "resnet", keras.Sequential()])
def test_not_a_functional_model(model):
    with pytest.raises(ValueError, match="`model` must be a functional"):
        swap_activations(model, "silu")
