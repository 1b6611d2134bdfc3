"""Our networks against the same networks written in plain torch."""

import keras
import numpy as np
import pytest

from keras_tricks.layers import ConvNorm
from keras_tricks.models import ResNet

torch = pytest.importorskip("torch", reason="torch is the peer here")

LAYERS = {
    18: (2, 2, 2, 2),
    50: (3, 4, 6, 3),
}


def conv_bn(inputs, outputs, kernel, stride=1):
    return torch.nn.Sequential(
        torch.nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, bias=False
        ),
        torch.nn.BatchNorm2d(outputs),
    )


class Block(torch.nn.Module):
    """The residual block as torchvision and the paper describe it."""

    def __init__(self, inputs, width, stride, variant, bottleneck):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        if bottleneck:
            first, second = (stride, 1) if variant == "A" else (1, stride)
            self.branch = torch.nn.ModuleList(
                [
                    conv_bn(inputs, width, 1, first),
                    conv_bn(width, width, 3, second),
                    conv_bn(width, outputs, 1),
                ]
            )
        else:
            self.branch = torch.nn.ModuleList(
                [
                    conv_bn(inputs, width, 3, stride),
                    conv_bn(width, width, 3),
                ]
            )
        self.pool, self.project = None, None
        if stride > 1 and variant == "D":
            self.pool = torch.nn.AvgPool2d(
                2, 2, ceil_mode=True, count_include_pad=False
            )
        if stride > 1 or inputs != outputs:
            self.project = conv_bn(
                inputs, outputs, 1, 1 if self.pool else stride
            )
        self.outputs = outputs

    def forward(self, x):
        shortcut = self.pool(x) if self.pool else x
        if self.project:
            shortcut = self.project(shortcut)
        for conv in self.branch[:-1]:
            x = torch.relu(conv(x))
        return torch.relu(self.branch[-1](x) + shortcut)


class TorchResNet(torch.nn.Module):
    """A ResNet of any variant, channels first."""

    def __init__(self, depth, variant, classes, width):
        super().__init__()
        half = width // 2
        if variant in "AB":
            self.stem = torch.nn.ModuleList([conv_bn(3, width, 7, 2)])
        else:
            self.stem = torch.nn.ModuleList(
                [
                    conv_bn(3, half, 3, 2),
                    conv_bn(half, half, 3),
                    conv_bn(half, width, 3),
                ]
            )
        self.pool = torch.nn.MaxPool2d(3, 2, 1)
        self.blocks = torch.nn.ModuleList()
        channels = width
        for stage, count in enumerate(LAYERS[depth]):
            for index in range(count):
                stride = 2 if stage and not index else 1
                block = Block(
                    channels, width * 2**stage, stride, variant, depth >= 50
                )
                channels = block.outputs
                self.blocks.append(block)
        self.head = torch.nn.Linear(channels, classes)

    def forward(self, x):
        for conv in self.stem:
            x = torch.relu(conv(x))
        x = self.pool(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))

    def pairs(self):
        """Each convolution with its norm, in the order of `ours`."""
        found = list(self.stem)
        for block in self.blocks:
            found += list(block.branch)
            if block.project:
                found.append(block.project)
        return found


def ours(model):
    """Each `ConvNorm` of our model: stem, then branch and shortcut."""
    found = list(model.get_layer("stem").convs)
    for layer in model.layers:
        if hasattr(layer, "residual_norm"):
            found += list(layer.convs)
            if layer.shortcut.projection is not None:
                found.append(layer.shortcut.projection)
    assert len(found) == sum(
        isinstance(layer, ConvNorm) for layer in model._flatten_layers()
    )
    return found


def randomize(model, seed=0):
    """Gives a model weights and batch norm statistics far from trivial."""
    rng = np.random.default_rng(seed)
    for conv in ours(model):
        norm, channels = conv.norm, conv.filters
        norm.gamma.assign(rng.uniform(0.5, 1.0, channels))
        norm.beta.assign(rng.normal(0, 0.1, channels))
        norm.moving_mean.assign(rng.normal(0, 0.1, channels))
        norm.moving_variance.assign(rng.uniform(0.5, 2.0, channels))
    head = model.get_layer("logits")
    head.bias.assign(rng.normal(0, 1, head.units))


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def to_torch(model, depth, variant):
    """A torch network with the weights of ours."""
    width = model.get_layer("stem").filters
    head = model.get_layer("logits")
    peer = TorchResNet(depth, variant, head.units, width)
    convs = ours(model)
    assert len(convs) == len(peer.pairs())
    with torch.no_grad():
        for conv, (kernel, norm) in zip(convs, peer.pairs(), strict=True):
            for target, source in (
                (kernel.weight, numpy(conv.conv.kernel).transpose(3, 2, 0, 1)),
                (norm.weight, numpy(conv.norm.gamma)),
                (norm.bias, numpy(conv.norm.beta)),
                (norm.running_mean, numpy(conv.norm.moving_mean)),
                (norm.running_var, numpy(conv.norm.moving_variance)),
            ):
                target.copy_(torch.from_numpy(np.array(source)))
        peer.head.weight.copy_(torch.from_numpy(numpy(head.kernel).T.copy()))
        peer.head.bias.copy_(torch.from_numpy(numpy(head.bias).copy()))
    return peer


def build(depth, variant, size, data_format="channels_last", **options):
    shape = (*size, 3) if data_format == "channels_last" else (3, *size)
    model = ResNet(
        depth,
        variant,
        input_shape=shape,
        data_format=data_format,
        **{"classes": 10, "width": 16, **options},
    )
    randomize(model)
    return model


def images(size, batch=2, seed=1):
    return (
        np.random.default_rng(seed)
        .normal(size=(batch, 3, *size))
        .astype("float32")
    )


def logits(model, x, data_format="channels_last"):
    if data_format == "channels_last":
        x = x.transpose(0, 2, 3, 1)
    return model.predict_on_batch(x)


@pytest.mark.parametrize(
    ("depth", "variant", "size"),
    [
        (50, "A", (65, 65)),
        (50, "B", (65, 65)),
        (50, "C", (65, 65)),
        (50, "D", (67, 97)),
        (18, "D", (65, 65)),
    ],
)
def test_logits(depth, variant, size):
    model = build(depth, variant, size)
    peer = to_torch(model, depth, variant).eval()
    x = images(size)
    with torch.no_grad():
        expected = peer(torch.from_numpy(x)).numpy()
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(logits(model, x), expected, atol=1e-4)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_full_width_50_d(data_format):
    model = build(
        50, "D", (65, 65), data_format=data_format, classes=1000, width=64
    )
    peer = to_torch(model, 50, "D").eval()
    x = images((65, 65))
    with torch.no_grad():
        expected = peer(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(
        logits(model, x, data_format), expected, atol=1e-4
    )
    assert np.ptp(expected) > 0.5


def our_gradients(model, x, weights):
    """Gradients of the mean squared logit, in training mode."""
    optimizer = keras.optimizers.SGD(1.0)
    before = [numpy(weight).copy() for weight in weights]
    model.compile(optimizer, "mean_squared_error")
    target = np.zeros((len(x), model.output_shape[-1]), "float32")
    model.train_on_batch(x.transpose(0, 2, 3, 1), target)
    return [
        old - numpy(weight) for old, weight in zip(before, weights, strict=True)
    ]


def test_gradients_in_training_mode():
    variant, size = "D", (33, 33)
    model = build(18, variant, size, width=8)
    peer = to_torch(model, 18, variant).train()
    x = images(size, batch=8)
    convs, pairs = ours(model), peer.pairs()
    chosen = [0, 3, len(convs) - 2, len(convs) - 1]
    actual = our_gradients(
        model,
        x,
        [convs[i].conv.kernel for i in chosen]
        + [convs[i].norm.gamma for i in chosen],
    )
    peer(torch.from_numpy(x)).square().mean().backward()
    expected = [
        pairs[i][0].weight.grad.numpy().transpose(2, 3, 1, 0) for i in chosen
    ] + [pairs[i][1].weight.grad.numpy() for i in chosen]
    for ours_, theirs in zip(actual, expected, strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours_, theirs, atol=2e-3 * scale)
