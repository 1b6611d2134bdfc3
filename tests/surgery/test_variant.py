"""`change_resnet_variant` against networks built as the variant."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_tricks.layers import BasicBlock, BottleneckBlock, ConvNorm, Stem
from keras_tricks.models import ResNet, resnet
from keras_tricks.surgery import (
    change_resnet_variant,
    freeze_batch_norm,
    swap_activations,
    zero_gamma,
)

FORMATS = ["channels_last", "channels_first"]
if keras.backend.backend() == "tensorflow":
    FORMATS.remove("channels_first")  # Not on a CPU.


@pytest.fixture(autouse=True)
def constant_weights(monkeypatch):
    """Models without the cost of random weights, which `randomize` sets."""
    monkeypatch.setattr(
        keras.initializers.GlorotUniform,
        "__call__",
        lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype),
    )


@pytest.fixture
def shallow(monkeypatch):
    """Our networks with fewer blocks."""
    monkeypatch.setitem(resnet.DEPTHS, 50, (BottleneckBlock, (1, 2, 1, 1)))
    monkeypatch.setitem(resnet.DEPTHS, 18, (BasicBlock, (1, 2, 1, 1)))


def randomize(model, seed=0, bias=0.0):
    """Gives every variable a value of the size that it has in training."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        shape, name = variable.shape, variable.path.split("/")[-1]
        if len(shape) > 1:
            fan_in = np.prod(shape[:-1])
            value = rng.normal(size=shape) * np.sqrt(2 / fan_in)
        elif name in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.normal(size=shape) * (bias if name == "bias" else 0.1)
        variable.assign(value.astype("float32"))
    return model


class Net:
    """Functional ResNets as users write them: in Keras' own style."""

    def __init__(self, data_format="channels_last", explicit=True, bias=True):
        self.format = {"data_format": data_format}
        self.axis = -1 if data_format == "channels_last" else 1
        self.explicit = explicit
        self.bias = bias

    def conv(self, x, filters, size, strides, name, activation=True):
        padding = "same"
        if size > 1 and (strides > 1 or size == 7) and self.explicit:
            x = layers.ZeroPadding2D(
                size // 2, name=f"{name}_pad", **self.format
            )(x)
            padding = "valid"
        x = layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding=padding,
            use_bias=self.bias,
            name=f"{name}_conv",
            **self.format,
        )(x)
        x = layers.BatchNormalization(
            axis=self.axis, epsilon=1e-5, momentum=0.9, name=f"{name}_bn"
        )(x)
        return layers.ReLU(name=f"{name}_relu")(x) if activation else x

    def block(self, x, filters, strides, project, name, size=3):
        shortcut = x
        if project:
            shortcut = self.conv(
                x, 4 * filters, 1, strides, f"{name}_0", activation=False
            )
        x = self.conv(x, filters, 1, strides, f"{name}_1")
        x = self.conv(x, filters, size, 1, f"{name}_2")
        x = self.conv(x, 4 * filters, 1, 1, f"{name}_3", activation=False)
        x = layers.Add(name=f"{name}_add")([shortcut, x])
        return layers.Activation("relu", name=f"{name}_out")(x)

    def basic_block(self, x, filters, strides, project, name):
        shortcut = x
        if project:
            shortcut = self.conv(
                x, filters, 1, strides, f"{name}_0", activation=False
            )
        x = self.conv(x, filters, 3, strides, f"{name}_1")
        x = self.conv(x, filters, 3, 1, f"{name}_2", activation=False)
        return keras.ops.relu(x + shortcut)

    def stem(self, x, filters, size=7, strides=2):
        x = self.conv(x, filters, size, strides, "conv1")
        if strides == 1:
            return x
        x = layers.ZeroPadding2D(1, name="pool1_pad", **self.format)(x)
        return layers.MaxPooling2D(3, 2, name="pool1", **self.format)(x)

    def inputs(self, height=48, width=40):
        shape = (height, width, 3) if self.axis == -1 else (3, height, width)
        return keras.Input(shape)

    def resnet(self, counts=(1, 2, 1, 1), width=4, block=None):
        inputs = self.inputs()
        x = self.stem(inputs, width)
        block = block or self.block
        for stage, count in enumerate(counts):
            for index in range(count):
                first = index == 0
                bottleneck = block == self.block
                x = block(
                    x,
                    width * 2**stage,
                    2 if first and stage else 1,
                    first and (bottleneck or stage > 0),
                    f"stage{stage + 1}_block{index + 1}",
                )
        x = layers.GlobalAveragePooling2D(**self.format)(x)
        return keras.Model(inputs, layers.Dense(3, name="head")(x), name="net")


def images(model, batch=2, seed=1):
    shape = (batch, *model.input_shape[1:])
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def predict(model, x=None):
    x = images(model) if x is None else x
    return keras.ops.convert_to_numpy(model(x, training=False))


def by_name(model):
    return {layer.name: layer for layer in model.layers}


def set_from(target, conv, norm):
    """Sets a `ConvNorm` of ours from a convolution and a norm."""
    target.conv.kernel.assign(keras.ops.convert_to_numpy(conv.kernel))
    target.norm.set_weights(norm.get_weights())


def ours_with_weights_of(model, depth, variant, data_format):
    """Our network of a variant, with the weights of a user's."""
    theirs = by_name(model)
    ours = ResNet(
        depth,
        variant,
        num_classes=3,
        width=4,
        input_shape=model.input_shape[1:],
        data_format=data_format,
    )
    stem = ours.get_layer("stem").convs
    suffixes = [f"_deep{i}" for i in (1, 2, 3)] if len(stem) > 1 else [""]
    norms = [*suffixes[:-1], ""]
    for conv, suffix, norm in zip(stem, suffixes, norms, strict=True):
        set_from(conv, theirs[f"conv1_conv{suffix}"], theirs[f"conv1_bn{norm}"])
    for block in ours.layers:
        parts = getattr(block, "shortcut", None) and [
            block.shortcut.projection,
            *block.convs,
        ]
        for index, part in enumerate(parts or ()):
            if part is not None:
                name = f"{block.name}_{index}"
                set_from(part, theirs[f"{name}_conv"], theirs[f"{name}_bn"])
    ours.get_layer("logits").set_weights(theirs["head"].get_weights())
    return ours


@pytest.mark.parametrize(
    ("variant", "data_format"),
    [
        ("B", FORMATS[-1]),
        ("C", "channels_last"),
        *[("D", data_format) for data_format in FORMATS],
    ],
)
def test_computes_what_our_network_of_the_variant_does(
    shallow, variant, data_format
):
    model = randomize(Net(data_format).resnet())
    before = predict(model)
    changed, report = change_resnet_variant(model, variant)
    counts = {"B": 6, "C": 7, "D": 10}
    assert len(report) == counts[variant]
    kept = by_name(changed)
    for layer in model.layers:
        if layer.name not in ("conv1_conv", "conv1_bn") or variant == "B":
            for old, new in zip(
                layer.get_weights(),
                kept[layer.name].get_weights(),
                strict=True,
            ):
                np.testing.assert_array_equal(new, old)
    fresh = {f"conv1_{kind}_deep{i}" for i in (1, 2) for kind in ("conv", "bn")}
    fresh |= {"conv1_conv_deep3", "conv1_bn"}
    assert set(report.fresh) == (set() if variant == "B" else fresh)
    randomize(changed, seed=2)
    expected = ours_with_weights_of(changed, 50, variant, data_format)
    actual = predict(changed)
    np.testing.assert_allclose(actual, predict(expected), rtol=1e-4, atol=1e-5)
    assert np.abs(actual).max() > 0.1
    np.testing.assert_array_equal(predict(model), before)


def test_basic_blocks(shallow):
    net = Net()
    model = randomize(net.resnet(block=net.basic_block))
    with pytest.raises(ValueError, match="must have what variant B changes"):
        change_resnet_variant(model, "B")
    changed, report = change_resnet_variant(model, "D")
    assert len(report) == 4
    randomize(changed, seed=2)
    expected = ours_with_weights_of(changed, 18, "D", "channels_last")
    np.testing.assert_allclose(
        predict(changed), predict(expected), rtol=1e-4, atol=1e-5
    )


def torch_block(torch, weights, variant):
    """A strided bottleneck in plain torch, from weights by layer name."""

    def conv(name, strides):
        kernel, bias = (np.asarray(w) for w in weights[f"{name}_conv"])
        layer = torch.nn.Conv2d(
            kernel.shape[2],
            kernel.shape[3],
            kernel.shape[0],
            strides,
            kernel.shape[0] // 2,
        )
        norm = torch.nn.BatchNorm2d(kernel.shape[3])
        values = weights[f"{name}_bn"]
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(kernel.transpose(3, 2, 0, 1)))
            layer.bias.copy_(torch.tensor(bias))
            targets = (norm.weight, norm.bias)
            targets += (norm.running_mean, norm.running_var)
            for target, value in zip(targets, values, strict=True):
                target.copy_(torch.tensor(value))
        return torch.nn.Sequential(layer, norm)

    relu = torch.nn.ReLU()
    branch = [conv("b_1", 1), relu, conv("b_2", 2), relu, conv("b_3", 1)]
    branch = torch.nn.Sequential(*branch).eval()
    shortcut = [conv("b_0", 1 if variant == "D" else 2)]
    if variant == "D":
        pool = torch.nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)
        shortcut.insert(0, pool)
    shortcut = torch.nn.Sequential(*shortcut).eval()
    return lambda x: relu(branch(x) + shortcut(x))


@pytest.mark.parametrize("size", [(8, 8), (7, 5)])
@pytest.mark.parametrize("variant", ["B", "D"])
def test_computes_what_a_torch_block_does(variant, size):
    torch = pytest.importorskip("torch", reason="torch is the peer here")
    inputs = keras.Input((*size, 6))
    model = keras.Model(inputs, Net().block(inputs, 4, 2, True, "b"))
    randomize(model, bias=0.2)
    changed, _ = change_resnet_variant(model, variant, keep_stem=True)
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    x = images(model)
    with torch.no_grad():
        peer = torch_block(torch, weights, variant)
        expected = peer(torch.tensor(x.transpose(0, 3, 1, 2))).numpy()
    np.testing.assert_allclose(
        predict(changed, x).transpose(0, 3, 1, 2),
        expected,
        rtol=1e-4,
        atol=1e-5,
    )
    assert not np.allclose(predict(model, x), predict(changed, x), atol=0.1)


@pytest.fixture(scope="module")
def resnet50():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            keras.initializers.GlorotUniform,
            "__call__",
            lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype),
        )
        return keras.applications.ResNet50(
            weights=None, input_shape=(32, 32, 3), classes=3
        )


def test_applications_resnet50(resnet50):
    model, report = change_resnet_variant(resnet50)
    blocks = [f"conv{stage}_block1" for stage in (3, 4, 5)]
    expected = ["conv1_conv"]
    for block in blocks:
        expected += [f"{block}_{index}_conv" for index in (1, 2, 0)]
    assert list(report) == expected
    assert report.changed[0][1:] == (
        "7x7 of stride 2",
        "3x3 of stride 2, 3x3, 3x3",
    )
    for block in blocks:
        assert model.get_layer(f"{block}_1_conv").strides == (1, 1)
        assert model.get_layer(f"{block}_2_conv").strides == (2, 2)
        assert resnet50.get_layer(f"{block}_1_conv").strides == (2, 2)
    assert model.get_layer("conv1_pad").padding == ((1, 1), (1, 1))
    assert model.get_layer("predictions").activation.__name__ == "softmax"
    assert len(zero_gamma(model)) == 16
    text = str(report)
    assert text.startswith("changed to variant D: 10 layers\n  conv1_conv: 7x7")
    assert "new weights: 6 layers\n  conv1_conv_deep1" in text
    with pytest.raises(ValueError, match="must have what variant D changes"):
        change_resnet_variant(model, "D")


def test_step_by_step_is_the_same():
    model = randomize(Net().resnet())
    steps, first = change_resnet_variant(model, "B")
    steps, second = change_resnet_variant(steps, "D", keep_stem=True)
    at_once, both = change_resnet_variant(model, "D", keep_stem=True)
    assert set(first) | set(second) == set(both)
    assert not both.fresh
    np.testing.assert_array_equal(predict(steps), predict(at_once))


@pytest.mark.parametrize(
    ("depth", "start", "variant"),
    [(50, "A", "B"), (50, "B", "C"), (50, "A", "D"), (18, "A", "D")],
)
def test_our_own_networks(shallow, depth, start, variant):
    options = {"num_classes": 3, "width": 4, "input_shape": (32, 32, 3)}
    model = randomize(ResNet(depth, start, name="net", **options))
    expected = ResNet(depth, variant, name="net", **options)
    changed, report = change_resnet_variant(model, variant)
    assert changed.get_config() == expected.get_config()
    assert type(changed) is type(model)
    assert report.fresh == (() if variant == "B" else ("stem",))
    for new, old in zip(changed.layers, model.layers, strict=True):
        if new.name != "stem" or variant == "B":
            for a, b in zip(new.get_weights(), old.get_weights(), strict=True):
                np.testing.assert_array_equal(a, b)
    expected.set_weights(changed.get_weights())
    np.testing.assert_array_equal(predict(changed), predict(expected))
    with pytest.raises(ValueError, match="must have what variant"):
        change_resnet_variant(changed, variant)


def test_the_stem_may_stay(shallow):
    model = ResNet(50, "A", num_classes=3, width=4, input_shape=(32, 32, 3))
    changed, report = change_resnet_variant(model, "D", keep_stem=True)
    assert list(report) == [f"stage{i}_block1" for i in (2, 3, 4)]
    assert not report.fresh
    assert changed.get_layer("stem").variant == "A"
    with pytest.raises(ValueError, match="must have what variant C changes"):
        change_resnet_variant(changed, "C", keep_stem=True)


def of_our_layers(variant):
    """A user's graph of `ConvNorm` and blocks."""
    x = inputs = keras.Input((32, 32, 3))
    stem = [(4, 7, 2)] if variant == "A" else [(2, 3, 2), (2, 3), (4, 3)]
    for index, args in enumerate(stem):
        x = ConvNorm(*args, activation="relu", name=f"stem{index}")(x)
    shortcut = x
    first, second = (2, 1) if variant == "A" else (1, 2)
    if variant == "D":
        shortcut = layers.AveragePooling2D(2, padding="same")(shortcut)
    shortcut = ConvNorm(8, 1, 1 if variant == "D" else 2, name="shortcut")(
        shortcut
    )
    x = ConvNorm(4, 1, first, activation="relu", name="a")(x)
    x = ConvNorm(4, 3, second, activation="relu", name="b")(x)
    x = ConvNorm(8, 1, name="c")(x)
    x = layers.ReLU()(x + shortcut)
    x = BottleneckBlock(4, strides=2, variant=variant, name="block")(x)
    return keras.Model(inputs, x)


def test_a_users_graph_of_our_layers():
    changed, report = change_resnet_variant(of_our_layers("A"), "D")
    assert list(report) == ["stem0", "a", "b", "shortcut", "block"]
    assert report.fresh == ("stem0_deep1", "stem0_deep2", "stem0_deep3")
    randomize(changed)
    expected = of_our_layers("D")
    expected.set_weights(changed.get_weights())
    np.testing.assert_array_equal(predict(changed), predict(expected))


@pytest.mark.parametrize("explicit", [True, False])
def test_padding_is_symmetric_however_the_stem_was_padded(explicit):
    net = Net(explicit=explicit)
    model = net.resnet((1, 1))
    changed, _ = change_resnet_variant(model, "C")
    pads = [x for x in changed.layers if isinstance(x, layers.ZeroPadding2D)]
    pads = [pad for pad in pads if not pad.name.startswith("pool")]
    assert len(pads) == 2
    assert all(pad.padding == ((1, 1), (1, 1)) for pad in pads)
    assert changed.output_shape == model.output_shape


def test_stem_for_small_images():
    net = Net()
    inputs = net.inputs()
    x = net.block(net.stem(inputs, 4, 3, 1), 4, 2, True, "b")
    model = keras.Model(inputs, x)
    changed, report = change_resnet_variant(model, "C")
    assert report.changed[0] == (
        "conv1_conv",
        "3x3 of stride 1",
        "3x3 of stride 1, 3x3, 3x3",
    )
    assert [changed.get_layer(f"conv1_conv_deep{i}").filters for i in (1, 2, 3)]
    with pytest.raises(ValueError, match="must have what variant C changes"):
        change_resnet_variant(changed, "C")


def test_grouped_convolutions_and_padding_layers():
    """ResNeXt, with explicit padding around every 3x3."""
    inputs = keras.Input((16, 16, 8))
    shortcut = layers.Conv2D(8, 1, strides=2)(inputs)
    x = layers.Conv2D(8, 1, strides=2, name="first")(inputs)
    x = layers.PReLU(shared_axes=[1, 2])(layers.BatchNormalization()(x))
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Conv2D(8, 3, groups=2, name="second")(x)
    x = layers.Conv2D(8, 1)(layers.ReLU()(layers.BatchNormalization()(x)))
    x = keras.activations.relu(layers.Dropout(0.1)(x + shortcut))
    model = randomize(keras.Model(inputs, x))
    changed, report = change_resnet_variant(model, "B")
    assert report.changed == (
        ("first", "1x1 of stride 2", "1x1 of stride 1"),
        ("second", "3x3 of stride 1", "3x3 of stride 2"),
    )
    assert len(changed.layers) == len(model.layers)
    assert changed.output_shape == model.output_shape


def test_nested_models_and_lambdas():
    net = Net()
    inner = net.resnet((1, 1))
    backbone = keras.Model(inner.input, inner.layers[-3].output, name="body")
    model = keras.Sequential(
        [
            net.inputs(),
            layers.Lambda(lambda x: x * np.float32(0.5), name="scale"),
            backbone,
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ],
        name="whole",
    )
    randomize(model)
    changed, report = change_resnet_variant(model, "D")
    assert list(report)[:2] == ["body/conv1_conv", "body/stage2_block1_1_conv"]
    assert "body/conv1_bn" in report.fresh
    alone, _ = change_resnet_variant(backbone, "D")
    body = changed.get_layer("body")
    assert type(body) is type(backbone)
    alone.set_weights(body.get_weights())
    x = images(model)
    features = predict(alone, x * np.float32(0.5)).mean((1, 2))
    kernel, bias = changed.layers[-1].get_weights()
    np.testing.assert_allclose(
        predict(changed, x), features @ kernel + bias, rtol=1e-4, atol=1e-5
    )


def test_a_model_that_is_called_twice():
    net = Net()
    inputs = net.inputs(16, 16)
    body = keras.Model(inputs, net.block(net.stem(inputs, 4), 4, 2, True, "b"))
    pair = [net.inputs(16, 16), net.inputs(16, 16)]
    model = keras.Model(pair, [body(pair[0]), body(pair[1])])
    changed, report = change_resnet_variant(model, "B")
    assert len(report) == 2
    assert len(changed.weights) == len(model.weights)
    with pytest.raises(ValueError, match="not call a layer that changes any"):
        change_resnet_variant(model, "D")


def test_mixed_float16_save_and_fit(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = graph()
    finally:
        keras.config.set_dtype_policy("float32")
    changed, _ = change_resnet_variant(model, "D")
    assert changed.dtype_policy.name == "mixed_float16"
    pools = (layers.Conv2D, layers.AveragePooling2D, layers.ZeroPadding2D)
    parts = [x for x in changed.layers if isinstance(x, pools)]
    assert len(parts) == 10
    assert {x.dtype_policy.name for x in parts} == {"mixed_float16"}
    randomize(changed)
    path = str(tmp_path / "model.keras")
    changed.save(path)
    loaded = keras.saving.load_model(path)
    np.testing.assert_array_equal(predict(loaded), predict(changed))
    sgd = keras.optimizers.SGD()
    changed.compile(
        keras.optimizers.LossScaleOptimizer(sgd, initial_scale=1.0), "mse"
    )
    before = changed.get_layer("conv1_conv_deep1").get_weights()[0]
    changed.fit(images(changed), np.ones((2, 4, 4, 4)), verbose=0)
    after = changed.get_layer("conv1_conv_deep1").get_weights()[0]
    assert np.isfinite(after).all() and (before != after).any()


def test_frozen_layers_stay_frozen_and_new_ones_are_not(shallow):
    model = Net().resnet((1, 1))
    freeze_batch_norm(model)
    model.get_layer("stage1_block1_1_conv").trainable = False
    changed, _ = change_resnet_variant(model, "D")
    old = {x.name: x.trainable for x in model.layers}
    for layer in changed.layers:
        if layer.name != "conv1_bn":
            assert layer.trainable == old.get(layer.name, True), layer.name
    assert changed.get_layer("conv1_bn").trainable
    ours = ResNet(50, "A", num_classes=3, width=2, input_shape=(32, 32, 3))
    freeze_batch_norm(ours)
    changed, _ = change_resnet_variant(ours, "D", keep_stem=True)
    count = 1 + 3 * 5 + 4 + 2  # Stem, branches, shortcuts, head.
    assert len(changed.trainable_weights) == count
    ours.trainable = False
    changed, _ = change_resnet_variant(ours, "D", keep_stem=True)
    assert not changed.trainable and not changed.trainable_weights


def test_training_the_new_model_leaves_the_old_one_alone():
    model = randomize(graph())
    model.compile("sgd", "mse")
    x, y = images(model), np.ones((2, 4, 4, 4))
    model.fit(x, y, verbose=0)
    before = model.predict(x, verbose=0)
    changed, report = change_resnet_variant(model, "B")
    assert not changed.compiled
    assert report.notes == ("compile the new model before training",)
    changed.compile("sgd", "mse")
    changed.fit(x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), before)
    model.fit(x, y, verbose=0)


def test_swapped_activations_are_activations():
    model = Net().resnet((1, 2))
    silu, _ = swap_activations(model, "silu")
    changed, report = change_resnet_variant(silu, "D")
    assert len(report) == 4
    assert changed.get_layer("conv1_relu_deep1").activation.__name__ == "silu"
    assert len(zero_gamma(changed)) == 3


@keras.saving.register_keras_serializable("test_surgery")
class Labeled(keras.Model):
    """A functional model with an attribute in its configuration."""

    labels = ()

    def get_config(self):
        return {**super().get_config(), "labels": list(self.labels)}


def test_the_class_of_a_model_and_its_configuration_are_kept():
    net = Net()
    inputs = net.inputs()
    x = net.block(net.stem(inputs, 4), 4, 2, True, "b")
    model = Labeled(inputs, {"map": x}, name="labeled")
    model.labels = ["cat", "dog"]
    changed, report = change_resnet_variant(model, "B")
    assert type(changed) is Labeled and list(changed.labels) == ["cat", "dog"]
    assert list(changed.output) == ["map"]
    assert len(report.notes) == 1


class Own(keras.Model):
    """A model that builds its own graph."""

    def __init__(self, filters):
        net = Net()
        inputs = net.inputs()
        x = net.block(net.stem(inputs, filters), filters, 2, True, "b")
        super().__init__(inputs, x, name="own")


def test_a_class_that_cannot_be_kept_is_reported():
    changed, report = change_resnet_variant(Own(4), "B")
    assert type(changed).__name__ == "Functional"
    assert report.notes[1] == (
        "own (Own) is now a Functional: only its layers are kept"
    )


def refused(model, message, variant="D", **options):
    layers_before = [layer.name for layer in model.layers]
    with pytest.raises(ValueError, match=message):
        change_resnet_variant(model, variant, **options)
    assert [layer.name for layer in model.layers] == layers_before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ResNet50V2", "only an activation follows.*'conv2_block1_out'"),
        ("VGG16", "a graph without residual additions"),
        ("MobileNetV2", "only an activation follows.*'block_2_add'"),
    ],
)
def test_other_networks_are_refused(name, message):
    build = getattr(keras.applications, name)
    options = {"alpha": 0.35} if name == "MobileNetV2" else {}
    model = build(
        weights=None, include_top=False, input_shape=(32, 32, 3), **options
    )
    refused(model, message, "B")


def graph(stem=None, shortcut=None, first=None, middle=None, second=None):
    """A small ResNet of one block, with a part that differs."""
    inputs = keras.Input((32, 32, 3))
    x = (stem or Net().stem)(inputs, 4)
    fork = x
    shortcut = shortcut or (lambda x: layers.Conv2D(4, 1, strides=2)(x))
    first = first or (lambda x: layers.Conv2D(4, 1, strides=2)(x))
    second = second or layers.Conv2D(4, 3, padding="same")
    x = layers.BatchNormalization()(first(x))
    x = (middle or layers.ReLU())(x)
    x = layers.BatchNormalization()(second(x))
    return keras.Model(inputs, layers.ReLU()(x + shortcut(fork)))


def test_the_small_graph_is_fine():
    assert len(change_resnet_variant(graph(), "D")[1]) == 4


def plain_stem(inputs, filters):
    x = layers.Conv2D(filters, 7, strides=2, padding="same")(inputs)
    return layers.MaxPooling2D(2)(x)


def unpadded_stem(inputs, filters):
    x = layers.Conv2D(filters, 7, strides=2, name="stem")(inputs)
    return layers.ReLU()(layers.BatchNormalization()(x))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            {"shortcut": lambda x: layers.MaxPooling2D(1, 2)(x)},
            "shortcuts of a 1x1 convolution.*MaxPooling2D",
        ),
        (
            {"shortcut": lambda x: x[:, ::2, ::2]},
            "shortcuts of a 1x1 convolution.*GetItem",
        ),
        (
            {
                "shortcut": lambda x: layers.Conv2D(
                    4, 3, strides=2, padding="same"
                )(x)
            },
            "one 1x1 convolution of stride 2.*3x3 of stride 2",
        ),
        (
            {"second": layers.Conv2D(4, 2, padding="same")},
            "padded by half its kernel.*2x2 of stride 1",
        ),
        (
            {"second": layers.DepthwiseConv2D(3, padding="same")},
            "only norms, activations and padding.*DepthwiseConv2D",
        ),
        (
            {"middle": lambda x: x * keras.ops.sigmoid(x)},
            "branches that do not fork",
        ),
        ({"stem": plain_stem}, "norm and an activation after its first"),
        ({"stem": unpadded_stem}, "pad its stem by half the kernel"),
        (
            {"stem": lambda x, _: layers.Conv2D(4, 5, padding="same")(x)},
            "start with a 7x7 or 3x3 convolution",
        ),
        (
            {"stem": lambda x, _: Net().stem(x, 5)},
            "even number of filters.*with 5",
        ),
    ],
)
def test_parts_that_cannot_be_changed_are_refused(part, message):
    refused(graph(**part), message)


def test_equally_long_paths_are_refused():
    inputs = keras.Input((8, 8, 4))
    x = layers.Conv2D(4, 1)(inputs) + layers.Conv2D(4, 3, padding="same")(
        inputs
    )
    refused(keras.Model(inputs, layers.ReLU()(x)), "a shortcut to one longer")


def test_arguments():
    for variant in ("A", "E", None):
        refused(graph(), "`variant` must be one of", variant)
    for model in (None, "resnet", keras.Sequential()):
        with pytest.raises(ValueError, match="`model` must be a functional"):
            change_resnet_variant(model, "B")


class Unclear(layers.Layer):
    """A layer that cannot be made again."""

    def __init__(self, table):
        super().__init__(name="unclear")
        self.table = object()

    def call(self, x):
        return x


def test_a_layer_without_a_configuration_is_refused():
    inputs = keras.Input((16, 16, 3))
    x = Net().stem(Unclear(object())(inputs), 4)
    model = keras.Model(inputs, Net().block(x, 4, 2, True, "b"))
    refused(model, "can be made again from their configuration.*'unclear'", "B")


def test_stem_layers_are_known():
    inputs = keras.Input((32, 32, 3))
    x = Stem("A", 4, name="stem")(inputs)
    model = keras.Model(inputs, Net().block(x, 4, 2, True, "b"))
    changed, report = change_resnet_variant(model, "D")
    assert "stem" in report and report.fresh == ("stem",)
    assert changed.get_layer("stem").variant == "D"


def test_keras_hub_backbone():
    hub = pytest.importorskip("keras_hub", reason="keras-hub is optional")
    options = {
        "stackwise_num_filters": [64, 128],
        "stackwise_num_blocks": [1, 2],
        "stackwise_num_strides": [1, 2],
        "block_type": "bottleneck_block",
        "image_shape": (32, 32, 3),
    }
    model = hub.models.ResNetBackbone(
        **options, input_conv_filters=[64], input_conv_kernel_sizes=[7]
    )
    silu, report = swap_activations(model, "silu")
    assert len(report) == 10
    changed, report = change_resnet_variant(silu, "D")
    assert [new for _, _, new in report.changed] == [
        "3x3 of stride 2, 3x3, 3x3",
        "2x2 average pool, 1x1 of stride 1",
    ]
    assert len(zero_gamma(changed)) == 3
    randomize(changed)
    expected = hub.models.ResNetBackbone(
        **{**options, "block_type": "bottleneck_block_vd"},
        input_conv_filters=[32, 32, 64],
        input_conv_kernel_sizes=[3, 3, 3],
    )
    expected, _ = swap_activations(expected, "silu")
    expected.set_weights(changed.get_weights())
    np.testing.assert_array_equal(predict(changed), predict(expected))
    (note,) = freeze_batch_norm(model).notes
    assert "saving may not keep 12 of them" in note
