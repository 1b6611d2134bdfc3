"""What all three families share: options, pyramid, training and saving."""

import keras
import numpy as np
import pytest

from keras_tricks.layers import ConvNorm, DropPath, FrozenBatchNormalization
from keras_tricks.models import InceptionV3, MobileNet, ResNet

FAMILIES = {
    "resnet18_d": lambda **options: ResNet(18, **{"width": 8, **options}),
    "inception_v3": lambda **options: InceptionV3(
        **{"width_multiplier": 0.125, **options}
    ),
    "mobilenet": lambda **options: MobileNet(
        **{"width_multiplier": 0.125, **options}
    ),
}
LEVELS = ["P2", "P3", "P4", "P5"]
every_family = pytest.mark.parametrize("family", list(FAMILIES))


def small(family, size=16, **options):
    """A narrow network for small images with 5 classes."""
    return FAMILIES[family](
        num_classes=5, small_images=True, input_shape=(size, size, 3), **options
    )


def images(batch=4, size=16, seed=0):
    shape = (batch, size, size, 3)
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def shake(model, seed=0):
    """Gives weights and statistics that hide no mistake."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))


def compile_quickly(model):
    """Compiles for steps that start soon: one step is all there is."""
    backend = keras.backend.backend()
    model.compile(
        keras.optimizers.SGD(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=backend == "jax",
        run_eagerly=backend == "tensorflow",
    )


def numpy(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))


def count(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


def test_parameters(unfilled):
    for build, trainable, statistics in (
        (InceptionV3, 23_834_568, 34_432),
        (MobileNet, 4_231_976, 21_888),
    ):
        model = build()
        assert count(model.trainable_weights) == trainable
        assert count(model.weights) == trainable + statistics


def test_defaults(unfilled):
    inception, mobilenet = InceptionV3(), MobileNet()
    assert inception.input_shape == (None, 299, 299, 3)
    assert mobilenet.input_shape == (None, 224, 224, 3)
    assert (inception.name, mobilenet.name) == ("inception_v3", "mobilenet")
    assert inception.get_layer("dropout").rate == 0.5
    assert "dropout" not in [layer.name for layer in mobilenet.layers]
    norms = [
        (layer.norm.epsilon, layer.norm.momentum)
        for layer in inception._flatten_layers()
        if isinstance(layer, ConvNorm)
    ]
    assert norms == [(1e-3, 0.9)] * 94
    assert mobilenet.get_layer("stem").norm.epsilon == 1e-5


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        (MobileNet, {"zero_gamma": True}, "`zero_gamma` must be False for Mob"),
        (MobileNet, {"drop_path": 0.1}, "`drop_path` must be 0.0 for MobileNe"),
        (MobileNet, {"output_stride": 4}, "`output_stride` must be one of 8, "),
        (MobileNet, {"padding": "valid"}, "`padding` must be one of 'same', "),
        (
            MobileNet,
            {"padding": "end", "output_stride": 16},
            "`output_stride` must be 32 with padding='end'. Received: output_s",
        ),
        (MobileNet, {"width_multiplier": 0}, "`width_multiplier` must be a nu"),
        (MobileNet, {"input_shape": (31, 32, 3)}, "at least 32 (8 with small_"),
        (MobileNet, {"activation": "no"}, "Received: activation='no'"),
        (InceptionV3, {"zero_gamma": True}, "no residual branches. Received: "),
        (InceptionV3, {"drop_path": 0.1}, "Received: drop_path=0.1"),
        (InceptionV3, {"output_stride": 16}, "`output_stride` must be 32 for"),
        (InceptionV3, {"width_multiplier": "1"}, "Received: width_multiplier="),
        (InceptionV3, {"input_shape": (75, 74, 3)}, "at least 75 (8 with smal"),
        (
            InceptionV3,
            {"num_classes": 0},
            "`num_classes` must be an integer",
        ),
        (InceptionV3, {"dropout": 1}, "`dropout` must be a number in [0, 1)"),
        (InceptionV3, {"pooling": "avg"}, "`pooling` must be None when inclu"),
        (InceptionV3, {"data_format": "NCHW"}, "`data_format` must be one of"),
    ],
)
def test_mistakes(family, options, message):
    with pytest.raises(ValueError) as caught:
        family(**options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# Height of each level at the default size, at 97 and at 9 pixels.
SIZES = {
    "resnet18_d": ((56, 28, 14, 7), (25, 13, 7, 4), (9, 5, 3, 2)),
    "inception_v3": ((71, 35, 17, 8), (20, 9, 4, 1), (9, 5, 3, 2)),
    "mobilenet": ((56, 28, 14, 7), (25, 13, 7, 4), (9, 5, 3, 2)),
}


@every_family
def test_pyramid_shapes(unfilled, family):
    build = FAMILIES[family]
    for options, sizes in zip(
        (
            {},
            {"input_shape": (97, 97, 3), "include_top": False},
            {"input_shape": (9, 9, 3), "small_images": True},
        ),
        SIZES[family],
        strict=True,
    ):
        model = build(**options)
        pyramid = model.pyramid
        assert list(pyramid) == LEVELS
        assert tuple(level.shape[1] for level in pyramid.values()) == sizes
    first = build(data_format="channels_first", input_shape=(3, 97, 97))
    assert [level.shape[2] for level in first.pyramid.values()] == list(
        SIZES[family][1]
    )


@every_family
@pytest.mark.parametrize("pooling", [None, "avg", "max"])
def test_without_the_top(unfilled, family, pooling):
    model = small(family, include_top=False, pooling=pooling)
    channels = {"resnet18_d": 64, "inception_v3": 256, "mobilenet": 128}
    expected = (None, 2, 2, channels[family])
    assert model.output_shape == (expected[::3] if pooling else expected)


@every_family
def test_low_precision(unfilled, family):
    model = small(family, dtype="mixed_float16")
    assert model.output.dtype == "float32"
    assert model.pyramid["P2"].dtype == "float16"
    layers = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if layer.name not in ("images", "logits")
    ]
    assert {layer.compute_dtype for layer in layers} == {"float16"}
    assert {weight.dtype for weight in model.weights} == {"float32"}
    # By it `compile` decides whether to scale the loss.
    assert model.dtype_policy.name == "mixed_float16"


# One in float16: on JAX it takes as long to compile as the others together.
@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("resnet18_d", {"drop_path": 0.5, "frozen_norm": True}),
        ("inception_v3", {}),
        ("mobilenet", {"dtype": "mixed_float16"}),
    ],
)
def test_trains_and_survives_saving(family, options, tmp_path):
    model = small(family, activation="silu", dropout=0.2, **options)
    shake(model)
    compile_quickly(model)
    x, y = images(), np.arange(4)
    before = {weight.path: numpy(weight) for weight in model.weights}
    # Several steps: the first in float16 may overflow.
    history = model.fit(x, y, epochs=4, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    moved = [
        weight.path
        for weight in model.weights
        if (numpy(weight) != before[weight.path]).any()
    ]
    assert "logits/kernel" in moved
    assert any("/norm/" in path for path in moved) != ("frozen_norm" in options)
    expected = model.predict_on_batch(x)
    assert expected.dtype == np.float32
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.dtype_policy.name == options.get("dtype", "float32")
    assert list(again.pyramid) == LEVELS
    levels = keras.Model(again.input, {**again.pyramid, "logits": again.output})
    compile_quickly(levels)
    levels = levels.predict_on_batch(x)
    np.testing.assert_allclose(levels["logits"], expected, rtol=1e-3, atol=1e-3)
    pooled = levels["P5"].astype("float32").mean((1, 2))
    head = again.get_layer("logits")
    logits = pooled @ numpy(head.kernel) + numpy(head.bias)
    np.testing.assert_allclose(logits, expected, rtol=2e-2, atol=2e-2)
    activations = {
        layer.activation
        for layer in again._flatten_layers()
        if isinstance(layer, ConvNorm)
    }
    # The last convolution of a residual branch is linear.
    activations.discard(keras.activations.linear)
    assert activations == {keras.activations.silu}


@every_family
def test_frozen_norms_stay_frozen(unfilled, family):
    model = small(family, frozen_norm=True)
    again = type(model).from_config(model.get_config())
    for network in (model, again):
        network.trainable = True
        norms = [
            type(layer)
            for layer in network._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        assert set(norms) == {FrozenBatchNormalization}
        paths = [weight.path for weight in network.trainable_weights]
        assert len(paths) == len(norms) + 2
        assert all(path.endswith(("/kernel", "logits/bias")) for path in paths)


def test_frozen_branches_are_not_silent():
    model = small("resnet18_d", frozen_norm=True)
    assert numpy(model.get_layer("stage1_block1").residual_norm.gamma).all()
    with pytest.raises(ValueError, match="`zero_gamma` must not be True"):
        small("resnet18_d", frozen_norm=True, zero_gamma=True)
    model = small("resnet18_d")
    assert not numpy(model.get_layer("stage1_block1").residual_norm.gamma).any()


def test_drop_path_grows_linearly():
    model = small("resnet18_d", drop_path=0.7)
    shake(model)
    rates = [
        layer.drop_path for layer in model.layers if hasattr(layer, "drop_path")
    ]
    np.testing.assert_allclose(rates, [i / 10 for i in range(8)], rtol=1e-6)
    dropping = [
        layer.rate
        for layer in model._flatten_layers()
        if isinstance(layer, DropPath)
    ]
    assert dropping == rates[1:]
    plain = small("resnet18_d")
    plain.set_weights(model.get_weights())
    x = images()
    np.testing.assert_array_equal(
        model.predict_on_batch(x), plain.predict_on_batch(x)
    )


def test_a_dropped_branch_leaves_the_shortcut():
    block = small("resnet18_d", drop_path=0.5).get_layer("stage4_block2")
    x = np.abs(np.random.default_rng(0).normal(size=(64, 2, 2, 64)))
    x = x.astype("float32")
    block.residual_norm.beta.assign(np.ones(64, "float32"))
    y = numpy(block(x, training=True))
    dropped = (y == x).all((1, 2, 3))
    assert 15 < dropped.sum() < 49
    np.testing.assert_allclose(y[~dropped], x[~dropped] + 2, rtol=1e-5)
