"""Our networks against the same networks written in plain torch."""

import re

import keras
import numpy as np
import pytest

from keras_tricks.layers import ConvNorm, SeparableBlock
from keras_tricks.models import InceptionV3, MobileNet, ResNet

from . import torch_models
from .torch_models import TorchInceptionV3, TorchMobileNet, TorchResNet, torch

pytestmark = pytest.mark.usefixtures("numpy_kernels")


def resnet(depth, variant, width=16):
    return (
        lambda **options: ResNet(depth, variant, width=width, **options),
        lambda classes: TorchResNet(depth, variant, classes, width),
    )


def inception(width_multiplier):
    return (
        lambda **options: InceptionV3(
            width_multiplier=width_multiplier, **options
        ),
        lambda classes: TorchInceptionV3(classes, width_multiplier),
    )


def mobilenet(width_multiplier, activation="relu"):
    return (
        lambda **options: MobileNet(
            width_multiplier=width_multiplier, activation=activation, **options
        ),
        lambda classes: TorchMobileNet(classes, width_multiplier, activation),
    )


def numpy(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))


def stem_names(stem):
    """The names of the stem's convolutions and norms in timm."""
    if len(stem.convs) == 1:
        return [("conv1", "bn1")]
    return [("conv1.0", "conv1.1"), ("conv1.3", "conv1.4"), ("conv1.6", "bn1")]


def residual_names(layer, prefix):
    """Yields each `ConvNorm` of a block with its names in timm."""
    for index, conv in enumerate(layer.convs, start=1):
        yield conv, f"{prefix}.conv{index}", f"{prefix}.bn{index}"
    projection = layer.shortcut.projection
    if projection is not None:
        first = 1 if layer.variant == "D" else 0
        prefix += ".downsample"
        yield projection, f"{prefix}.{first}", f"{prefix}.{first + 1}"


def names(model):
    """Yields each `ConvNorm` with its convolution's and norm's names."""
    for layer in model.layers:
        place = re.fullmatch(r"stage(\d)_block(\d+)", layer.name)
        stage, block = map(int, place.groups()) if place else (0, 0)
        if hasattr(layer, "residual_norm"):
            yield from residual_names(layer, f"layer{stage}.{block - 1}")
        elif isinstance(layer, SeparableBlock):
            prefix = f"blocks.{stage - 1}.{block - 1}"
            yield layer.depthwise, f"{prefix}.conv_dw", f"{prefix}.bn1"
            yield layer.pointwise, f"{prefix}.conv_pw", f"{prefix}.bn2"
        elif layer.name == "stem" and isinstance(layer, ConvNorm):
            yield layer, "conv_stem", "bn1"
        elif layer.name == "stem":
            for conv, pair in zip(layer.convs, stem_names(layer), strict=True):
                yield conv, *pair
        elif isinstance(layer, ConvNorm):
            name = re.sub(r"(mixed_..)_", r"\1.", layer.name).capitalize()
            yield layer, f"{name}.conv", f"{name}.bn"


def variables(model):
    """Our variables by timm's names, and how kernels are transposed."""
    found = {}
    for layer, conv, norm in names(model):
        axes = (2, 3, 0, 1) if layer.depthwise else (2, 3, 1, 0)
        found[f"{conv}.weight"] = (layer.conv.kernel, axes)
        found[f"{norm}.weight"] = (layer.norm.gamma, (0,))
        found[f"{norm}.bias"] = (layer.norm.beta, (0,))
        found[f"{norm}.running_mean"] = (layer.norm.moving_mean, (0,))
        found[f"{norm}.running_var"] = (layer.norm.moving_variance, (0,))
    head = model.get_layer("logits")
    name = "classifier" if "conv_stem.weight" in found else "fc"
    found[f"{name}.weight"] = (head.kernel, (1, 0))
    found[f"{name}.bias"] = (head.bias, (0,))
    assert len(found) == len(model.weights)
    return found


def pair(network, size, data_format="channels_last", classes=10):
    """Our network and the torch peer whose random weights it has."""
    ours, peer = network
    peer = torch_models.randomize(peer(classes))
    last = data_format == "channels_last"
    model = ours(
        num_classes=classes,
        input_shape=(*size, 3) if last else (3, *size),
        data_format=data_format,
    )
    state = {
        name: value.numpy()
        for name, value in peer.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    targets = variables(model)
    assert targets.keys() == state.keys()
    for name, (variable, axes) in targets.items():
        variable.assign(state[name].transpose(axes))
    return model, peer


def images(size, batch=2, seed=1):
    return (
        np.random.default_rng(seed)
        .normal(size=(batch, 3, *size))
        .astype("float32")
    )


def check(network, size, data_format="channels_last", classes=10):
    model, peer = pair(network, size, data_format, classes)
    x = images(size)
    with torch.no_grad():
        expected = peer(torch.from_numpy(x)).numpy()
    # The two images must differ in their logits: else little is compared.
    scale = np.abs(expected[0] - expected[1]).max()
    assert scale > 0.1 * np.abs(expected).max()
    if data_format == "channels_last":
        x = x.transpose(0, 2, 3, 1)
    actual = model.predict_on_batch(x)
    np.testing.assert_allclose(actual, expected, atol=1e-3 * scale)


@pytest.mark.parametrize(
    ("network", "size"),
    [
        pytest.param(resnet(18, "D"), (65, 65), id="resnet18d"),
        pytest.param(resnet(34, "D"), (33, 65), id="resnet34d"),
        pytest.param(resnet(50, "A"), (65, 65), id="resnet50a"),
        pytest.param(resnet(50, "B"), (65, 65), id="resnet50"),
        pytest.param(resnet(50, "C"), (65, 65), id="resnet50c"),
        pytest.param(resnet(152, "D", 8), (33, 65), id="resnet152d"),
        pytest.param(mobilenet(0.25), (67, 97), id="mobilenet"),
    ],
)
def test_logits(network, size):
    check(network, size)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("network", "size"),
    [
        pytest.param(resnet(50, "D", 64), (67, 97), id="resnet50d"),
        pytest.param(inception(1), (107, 139), id="inception_v3"),
        pytest.param(mobilenet(1, "relu6"), (67, 97), id="mobilenetv1_100"),
    ],
)
def test_full_width(network, size, data_format):
    check(network, size, data_format, classes=1000)


@pytest.mark.parametrize(
    ("peer", "count"),
    [
        (lambda: TorchResNet(18, "D"), 11_708_744),
        (lambda: TorchResNet(50, "B"), 25_557_032),
        (TorchInceptionV3, 23_834_568),
        (TorchMobileNet, 4_231_976),
    ],
)
def test_parameters_of_the_peers(peer, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in peer().parameters()) == count


def our_gradients(model, x, weights):
    """Gradients of the mean squared logit, in training mode."""
    before = [numpy(weight) for weight in weights]
    model.compile(keras.optimizers.SGD(1.0), "mean_squared_error")
    target = np.zeros((len(x), model.output_shape[-1]), "float32")
    model.train_on_batch(x.transpose(0, 2, 3, 1), target)
    return [
        old - numpy(weight) for old, weight in zip(before, weights, strict=True)
    ]


def test_gradients_in_training_mode():
    size = (33, 33)
    model, peer = pair(resnet(18, "D", 8), size)
    x = images(size, batch=8)
    targets = variables(model)
    chosen = [
        f"{name}.weight"
        for name in (
            "conv1.0",
            "layer1.0.conv1",
            "layer4.0.downsample.1",
            "bn1",
        )
    ]
    actual = our_gradients(model, x, [targets[name][0] for name in chosen])
    peer.train()(torch.from_numpy(x)).square().mean().backward()
    expected = dict(peer.named_parameters())
    for name, gradient in zip(chosen, actual, strict=True):
        theirs = expected[name].grad.numpy().transpose(targets[name][1])
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(gradient, theirs, atol=2e-3 * scale)
