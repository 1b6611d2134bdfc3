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
        classes=5, small_images=True, input_shape=(size, size, 3), **options
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
        (MobileNet, {"width_multiplier": 0}, "`width_multiplier` must be a nu"),
        (MobileNet, {"input_shape": (31, 32, 3)}, "at least 32 (8 with small_"),
        (MobileNet, {"activation": "no"}, "Received: activation='no'"),
        (InceptionV3, {"zero_gamma": True}, "no residual branches. Received: "),
        (InceptionV3, {"drop_path": 0.1}, "Received: drop_path=0.1"),
        (InceptionV3, {"output_stride": 16}, "`output_stride` must be 32 for"),
        (InceptionV3, {"width_multiplier": "1"}, "Received: width_multiplier="),
        (InceptionV3, {"input_shape": (75, 74, 3)}, "at least 75 (8 with smal"),
        (InceptionV3, {"classes": 0}, "`classes` must be an integer of at lea"),
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
def test_trains_and_survives_saving(family, tmp_path):
    residual = {"drop_path": 0.5} if family.startswith("resnet") else {}
    model = small(
        family,
        dtype="mixed_float16",
        activation="silu",
        dropout=0.2,
        **residual,
    )
    shake(model)
    assert model.output.dtype == "float32"
    assert model.pyramid["P2"].dtype == "float16"
    compile_quickly(model)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    x, y = images(), np.arange(4)
    history = model.fit(x, y, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    expected = model.predict_on_batch(x)
    assert expected.dtype == np.float32
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.dtype_policy.name == "mixed_float16"
    assert list(again.pyramid) == LEVELS
    levels = keras.Model(again.input, {**again.pyramid, "logits": again.output})
    compile_quickly(levels)
    levels = levels.predict_on_batch(x)
    np.testing.assert_array_equal(levels["logits"], expected)
    pooled = levels["P5"].astype("float32").mean((1, 2))
    head = again.get_layer("logits")
    logits = pooled @ numpy(head.kernel) + numpy(head.bias)
    np.testing.assert_allclose(logits, expected, rtol=2e-2, atol=2e-2)
    activations = {
        layer.activation
        for layer in again._flatten_layers()
        if isinstance(layer, ConvNorm)
    }
    linear = {keras.activations.linear} if residual else set()
    assert activations == {keras.activations.silu} | linear


def frozen_and_free(model):
    """Values of what must stay and of what must move."""
    free = [weight.path for weight in model.trainable_weights]
    values = {weight.path: numpy(weight) for weight in model.weights}
    return {p: v for p, v in values.items() if p not in free}, {
        p: values[p] for p in free
    }


def test_frozen_norms_stay(tmp_path):
    model = small("mobilenet", frozen_norm=True, width_multiplier=0.25)
    shake(model)
    model.trainable = True
    frozen, free = frozen_and_free(model)
    assert all(path.endswith(("kernel", "logits/bias")) for path in free)
    assert sum("norm/" in path for path in frozen) == len(frozen)
    compile_quickly(model)
    x = images()
    model.fit(x, np.arange(4), epochs=2, verbose=0)
    still, moved = frozen_and_free(model)
    for path, value in frozen.items():
        np.testing.assert_array_equal(still[path], value, err_msg=path)
    assert sum((moved[path] != value).any() for path, value in free.items()) > 9
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    again.trainable = True
    assert len(again.trainable_weights) == len(free)
    np.testing.assert_array_equal(
        again.predict_on_batch(x), model.predict_on_batch(x)
    )


@every_family
def test_every_norm_is_frozen(unfilled, family):
    norms = [
        type(layer)
        for layer in small(family, frozen_norm=True)._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert set(norms) == {FrozenBatchNormalization}
    assert len(norms) > 15


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
