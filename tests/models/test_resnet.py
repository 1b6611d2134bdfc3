"""The ResNet family: its sizes, its options, and that it trains."""

import keras
import numpy as np
import pytest

from keras_tricks import models
from keras_tricks.models import ResNet, ResNet18D

# Trainable parameters with 1000 classes: A and B, C and D.
PARAMETERS = {
    18: (11_689_512, 11_708_744),
    34: (21_797_672, 21_816_904),
    50: (25_557_032, 25_576_264),
    101: (44_549_160, 44_568_392),
    152: (60_192_808, 60_212_040),
}
SMALL = {"num_classes": 7, "width": 8, "input_shape": (32, 32, 3)}


def count(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


@pytest.mark.parametrize("variant", "ABCD")
@pytest.mark.parametrize("depth", PARAMETERS)
def test_parameters(unfilled, depth, variant):
    model = getattr(models, f"ResNet{depth}{variant}")(
        input_shape=(None, None, 3)
    )
    expected = PARAMETERS[depth][variant in "CD"]
    assert count(model.trainable_weights) == expected
    assert model.name == f"resnet{depth}_{variant.lower()}"


def test_parameters_with_statistics(unfilled):
    assert count(ResNet(50, input_shape=(64, 64, 3)).weights) == 25_629_512


def conv_macs(conv, shape):
    """Multiply-accumulates of a `ConvNorm` and the shape it gives."""
    output = conv.compute_output_shape(shape)
    size = conv.kernel_size**2 * shape[-1] * conv.filters
    return size * output[1] * output[2], output


def macs(model):
    """Multiply-accumulates of one image, from the shapes of the layers."""
    shape = (1, *model.input_shape[1:])
    total = 0
    for layer in model.layers[1:]:
        inner = shape
        for conv in getattr(layer, "convs", ()):
            added, inner = conv_macs(conv, inner)
            total += added
        shortcut = getattr(layer, "shortcut", None)
        if shortcut is not None and shortcut.projection is not None:
            before = shape
            if shortcut.pool is not None:
                before = shortcut.pool.compute_output_shape(shape)
            total += conv_macs(shortcut.projection, before)[0]
        if isinstance(layer, keras.layers.Dense):
            total += layer.units * shape[-1]
        shape = layer.compute_output_shape(shape)
    return total


@pytest.mark.parametrize(
    ("variant", "gigas"),
    [("A", 3.858), ("B", 4.089), ("C", 4.329), ("D", 4.329)],
)
def test_multiply_accumulates(unfilled, variant, gigas):
    assert round(macs(ResNet(50, variant)) / 1e9, 3) == gigas


def test_default_input_shapes(unfilled):
    assert ResNet(18).input_shape == (None, 224, 224, 3)
    first = ResNet(18, data_format="channels_first")
    assert first.input_shape == (None, 3, 224, 224)


def test_named_constructors_say_what_they_take():
    names = [n for n in vars(models) if n.startswith("ResNet") and n[6:]]
    assert len(names) == 20
    assert "zero_gamma" in str(ResNet18D.__signature__)
    assert "ResNet(18, " in ResNet18D.__doc__


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 20}, "`depth` must be one of 18, 34, 50, 101, 152"),
        ({"variant": "E"}, "`variant` must be one of 'A', 'B', 'C', 'D'"),
        ({"variant": "d"}, "Received: variant='d'"),
        ({"num_classes": 0}, "`num_classes` must be an integer of at least 1"),
        ({"num_classes": 2.5}, "Received: num_classes=2.5"),
        ({"width": 7}, "`width` must be even. Received: width=7"),
        ({"width": 0}, "`width` must be an integer of at least 2"),
        ({"pooling": "avg"}, "`pooling` must be None when include_top=True"),
        ({"pooling": "sum", "include_top": False}, "`pooling` must be one of"),
        ({"activation": "rellu"}, "Received: activation='rellu'"),
        ({"activation": keras.layers.ReLU()}, "not a layer"),
        ({"data_format": "NCHW"}, "`data_format` must be one of"),
        ({"input_shape": (224, 224)}, "must be (height, width, channels)"),
        ({"input_shape": (64, 64, None)}, "with the channels given"),
        ({"input_shape": (64, 31, 3)}, "at least 32 (8 with small_images"),
        ({"input_shape": (7, 8, 3), "small_images": True}, "at least 8"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ValueError) as caught:
        ResNet(**{"depth": 18, **options})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def images(batch=4, size=32, channels=3, seed=0):
    shape = (batch, size, size, channels)
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def shake(model, seed=0):
    """Gives gammas and statistics that hide no mistake."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))


def test_data_formats_agree():
    options = {"num_classes": 7, "width": 8, "activation": "silu"}
    last = ResNet(
        18, input_shape=(33, 39, 3), data_format="channels_last", **options
    )
    first = ResNet(
        18, input_shape=(3, 33, 39), data_format="channels_first", **options
    )
    shake(last)
    first.set_weights(last.get_weights())
    x = np.random.default_rng(1).normal(size=(3, 33, 39, 3)).astype("float32")
    expected = last.predict_on_batch(x)
    actual = first.predict_on_batch(x.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(actual, expected, atol=1e-4)
    assert np.ptp(expected) > 1e-2
    first.compile("sgd", "mean_squared_error")
    last.compile("sgd", "mean_squared_error")
    losses = [
        float(model.train_on_batch(batch, np.ones((3, 7), "float32")))
        for model, batch in ((last, x), (first, x.transpose(0, 3, 1, 2)))
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    model = ResNet(18, dtype=policy, small_images=True, **SMALL)
    assert model.output.dtype == "float32"
    block = model.get_layer("stage2_block1")
    assert block.compute_dtype == policy[6:]
    assert block.shortcut.projection.conv.compute_dtype == policy[6:]
    assert block.convs[0].conv.kernel.dtype == "float32"
    model.compile(
        keras.optimizers.SGD(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    before = keras.ops.convert_to_numpy(model.get_layer("logits").kernel)
    assert np.isfinite(model.train_on_batch(images(), np.arange(4)))
    after = keras.ops.convert_to_numpy(model.get_layer("logits").kernel)
    assert model.predict_on_batch(images()).dtype == np.float32
    if policy == "mixed_bfloat16":
        assert np.abs(after - before).max() > 0


def test_a_loaded_float16_network_trains_on_with_its_loss_scale(tmp_path):
    model = ResNet(18, dtype="mixed_float16", small_images=True, **SMALL)
    model.compile(keras.optimizers.SGD(0.01), "mse")
    target = np.zeros((4, model.output_shape[-1]), "float32")
    model.train_on_batch(images(), target)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.dtype_policy.name == "mixed_float16"
    for network in (model, again):
        network.train_on_batch(images(), target)
    for a, b in zip(
        model.optimizer.variables, again.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(
            *map(keras.ops.convert_to_numpy, (a, b)), err_msg=a.path
        )


@pytest.mark.parametrize(
    ("pooling", "shape"),
    [(None, (None, 2, 2, 64)), ("avg", (None, 64)), ("max", (None, 64))],
)
def test_features(unfilled, pooling, shape):
    model = ResNet(
        18,
        include_top=False,
        pooling=pooling,
        width=8,
        input_shape=(33, 64, 3),
    )
    assert model.output_shape == shape


def test_images_of_unknown_size():
    model = ResNet(18, **{**SMALL, "input_shape": (None, None, 3)})
    assert model.predict_on_batch(images(2, 40)).shape == (2, 7)
    assert model.predict_on_batch(images(2, 33)).shape == (2, 7)


def test_smallest_images():
    model = ResNet(
        18,
        "B",
        small_images=True,
        num_classes=10,
        width=4,
        input_shape=(8, 8, 1),
    )
    assert model.predict_on_batch(images(2, 8, 1)).shape == (2, 10)
    shapes = [
        model.get_layer(f"stage{stage}_block1").compute_output_shape(
            (1, size, size, 4)
        )[1]
        for stage, size in ((1, 8), (2, 8), (3, 4), (4, 2))
    ]
    assert shapes == [8, 4, 2, 1]


def test_blocks_start_as_their_shortcut():
    model = ResNet(50, zero_gamma=True, **SMALL)
    block = model.get_layer("stage2_block2")
    x = np.abs(images(2, 4, 64))
    for training in (False, True):
        y = keras.ops.convert_to_numpy(block(x, training=training))
        np.testing.assert_allclose(y, x, rtol=1e-6)
