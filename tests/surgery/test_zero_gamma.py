"""`zero_gamma` on networks that are ours and on ones that are not."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_tricks.layers import BasicBlock, ConvNorm
from keras_tricks.models import ResNet
from keras_tricks.surgery import zero_gamma


@pytest.fixture
def constant_weights(monkeypatch):
    """Large models without the cost of random weights."""
    monkeypatch.setattr(
        keras.initializers.GlorotUniform,
        "__call__",
        lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype),
    )


def gammas(model):
    return {
        layer.path: keras.ops.convert_to_numpy(layer.gamma)
        for layer in model._flatten_layers()
        if isinstance(layer, layers.BatchNormalization)
    }


def zeroed(model):
    return [path for path, gamma in gammas(model).items() if not gamma.any()]


def branch(x, end="norm", filters=4, name="last"):
    """Two convolutions and what ends the branch."""
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    if end == "norm":
        x = layers.BatchNormalization(name=name)(x)
    return x


def test_applications_resnet50(constant_weights):
    model = keras.applications.ResNet50(weights=None)
    report = zero_gamma(model)
    assert len(report) == 16
    assert sorted(report) == sorted(zeroed(model))
    assert all(path.endswith("_3_bn") for path in report)
    assert not report.skipped


def test_applications_mobilenet_v2(constant_weights):
    model = keras.applications.MobileNetV2(
        weights=None, alpha=0.35, input_shape=(32, 32, 3)
    )
    blocks = (2, 4, 5, 7, 8, 9, 11, 12, 14, 15)
    expected = [f"block_{block}_project_BN" for block in blocks]
    assert list(zero_gamma(model)) == expected == zeroed(model)


def test_applications_efficientnet_passes_through_dropout(constant_weights):
    model = keras.applications.EfficientNetB0(
        weights=None, input_shape=(32, 32, 3)
    )
    assert list(zero_gamma(model)) == zeroed(model)
    assert len(zeroed(model)) == 9


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ResNet50V2", "ends in Conv2D 'conv2_block1_3_conv'"),
        ("VGG16", "a graph without residual additions"),
    ],
)
def test_networks_without_such_norms_are_refused(
    constant_weights, name, message
):
    build = getattr(keras.applications, name)
    model = build(weights=None, include_top=False, input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match="must have residual branches") as e:
        zero_gamma(model)
    assert message in str(e.value)
    assert not zeroed(model)


def test_our_own_model():
    options = {"num_classes": 3, "width": 4, "input_shape": (32, 32, 3)}
    model = ResNet(18, zero_gamma=False, **options)
    assert not zeroed(model)
    report = zero_gamma(model)
    assert len(report) == 8
    expected = gammas(ResNet(18, zero_gamma=True, **options))
    actual = gammas(model)
    assert actual.keys() == expected.keys()
    for path, gamma in expected.items():
        np.testing.assert_array_equal(actual[path], gamma)
    assert list(report)[0] == "stage1_block1/conv2/norm"


def test_identity_and_projection():
    inputs = keras.Input((6, 6, 4))
    x = layers.ReLU()(layers.Add()([branch(inputs, name="first"), inputs]))
    shortcut = layers.Conv2D(8, 1)(x)
    shortcut = layers.BatchNormalization(name="shortcut")(shortcut)
    x = layers.ReLU()(shortcut + branch(x, filters=8, name="second"))
    model = keras.Model(inputs, x)
    report = zero_gamma(model)
    assert list(report) == ["first", "second"] == zeroed(model)
    images = np.random.default_rng(0).uniform(size=(2, 6, 6, 4))
    expected = np.maximum(
        keras.ops.convert_to_numpy(
            model.get_layer("shortcut")(
                shortcut_conv(model)(images.astype("float32"))
            )
        ),
        0,
    )
    np.testing.assert_allclose(
        model.predict_on_batch(images), expected, atol=1e-6
    )
    assert str(report).splitlines() == [
        "zeroed the gamma of 2 norms:",
        "  first",
        "  second",
    ]


def shortcut_conv(model):
    return next(
        layer
        for layer in model.layers
        if isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1)
    )


@pytest.mark.parametrize(
    "between",
    [
        layers.Dropout(0.2),
        layers.Identity(),
        layers.Rescaling(0.5),
        layers.Activation("linear"),
        lambda x: x * 0.3,
    ],
)
def test_linear_layers_may_follow_the_norm(between):
    inputs = keras.Input((6, 6, 4))
    model = keras.Model(inputs, inputs + between(branch(inputs)))
    assert list(zero_gamma(model)) == ["last"]


@pytest.mark.parametrize(
    "between",
    [
        layers.ReLU(),
        layers.Activation("silu"),
        keras.ops.relu,
        keras.activations.relu,
    ],
)
def test_an_activation_before_the_addition_is_refused(between):
    inputs = keras.Input((6, 6, 4))
    x = branch(inputs, name="good") + inputs
    model = keras.Model(inputs, x + between(branch(x, name="bad")))
    with pytest.raises(ValueError, match="no activation.*norm='bad'"):
        zero_gamma(model)
    assert not zeroed(model)


def test_nested_models_are_entered():
    inner = keras.Input((6, 6, 4))
    whole = keras.Model(inner, inner + branch(inner), name="block")
    tail = keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            layers.Conv2D(4, 3, padding="same"),
            layers.BatchNormalization(name="norm"),
        ],
        name="tail",
    )
    inputs = keras.Input((6, 6, 4))
    x = whole(inputs)
    net = keras.Model(inputs, x + tail(x), name="net")
    model = keras.Sequential([keras.Input((6, 6, 4)), net])
    assert list(zero_gamma(model)) == ["net/block/last", "net/tail/norm"]


def test_our_layers_in_the_users_graph():
    inputs = keras.Input((6, 6, 4))
    x = BasicBlock(4, zero_gamma=False, name="block")(inputs)
    x = x + ConvNorm(4, name="conv")(x)
    model = keras.Model(inputs, x)
    assert len(zero_gamma(model)) == 2 == len(zeroed(model))
    bad = keras.Model(inputs, inputs + ConvNorm(4, activation="relu")(inputs))
    with pytest.raises(ValueError, match="no activation"):
        zero_gamma(bad)


@pytest.mark.parametrize(
    "norm", [layers.GroupNormalization(2), layers.LayerNormalization()]
)
def test_other_norms(norm):
    inputs = keras.Input((6, 6, 4))
    model = keras.Model(inputs, inputs + norm(branch(inputs, end="conv")))
    assert list(zero_gamma(model)) == [norm.name]
    assert not keras.ops.convert_to_numpy(norm.gamma).any()


def test_frozen_layers_have_their_length_all_the_same():
    inputs = keras.Input((6, 6, 4))
    shortcut = layers.Conv2D(4, 1)(inputs)
    shortcut = layers.BatchNormalization(name="shortcut")(shortcut)
    model = keras.Model(
        inputs, keras.activations.relu(branch(inputs) + shortcut)
    )
    model.trainable = False
    assert list(zero_gamma(model)) == ["last"]


def test_a_norm_without_gamma_is_refused():
    inputs = keras.Input((6, 6, 4))
    x = branch(inputs, end="conv")
    x = layers.BatchNormalization(scale=False, name="plain")(x)
    model = keras.Model(inputs, inputs + x)
    with pytest.raises(ValueError, match="scale=True.*norm='plain'"):
        zero_gamma(model)


def test_a_norm_that_is_used_twice_is_left_alone():
    inputs = keras.Input((6, 6, 4))
    x = branch(inputs)
    model = keras.Model(inputs, [inputs + x, x])
    with pytest.raises(ValueError, match="'last' is used elsewhere too"):
        zero_gamma(model)
    shared = layers.BatchNormalization(name="shared")
    x = layers.ReLU()(shared(layers.Conv2D(4, 1)(inputs)))
    x = x + shared(branch(x, end="conv"))
    with pytest.raises(ValueError, match="the norm is called elsewhere too"):
        zero_gamma(keras.Model(inputs, x))


def test_equally_long_branches_have_no_shortcut():
    inputs = keras.Input((6, 6, 4))
    x = layers.Add(name="sum")(
        [branch(inputs, name="a"), branch(inputs, name="b")]
    )
    with pytest.raises(ValueError, match="equally long"):
        zero_gamma(keras.Model(inputs, x))


@pytest.mark.parametrize("model", [None, keras.Sequential(), "resnet"])
def test_not_a_built_model(model):
    with pytest.raises(ValueError, match="must be a Keras model that is built"):
        zero_gamma(model)
