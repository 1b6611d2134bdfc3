"""The paper's networks in plain torch, with the parameter names of timm.

They are written from the papers and know nothing of Keras: the peers of
parity tests, and sources of state dictionaries.
"""

import pytest

torch = pytest.importorskip("torch", reason="torch is the peer here")
nn = torch.nn

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


def conv(inputs, outputs, kernel_size, stride=1):
    return nn.Conv2d(
        inputs, outputs, kernel_size, stride, kernel_size // 2, bias=False
    )


class Block(nn.Module):
    """A residual block: two 3x3, or 1x1, 3x3 and 1x1."""

    def __init__(self, inputs, width, stride, variant, bottleneck):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        if bottleneck:
            first, second = (stride, 1) if variant == "A" else (1, stride)
            self.conv1, self.bn1 = conv(inputs, width, 1, first), norm(width)
            self.conv2, self.bn2 = conv(width, width, 3, second), norm(width)
            self.conv3, self.bn3 = conv(width, outputs, 1), norm(outputs)
        else:
            self.conv1, self.bn1 = conv(inputs, width, 3, stride), norm(width)
            self.conv2, self.bn2 = conv(width, width, 3), norm(width)
        self.bottleneck = bottleneck
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = downsample(inputs, outputs, stride, variant)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        if self.bottleneck:
            x = self.bn3(self.conv3(torch.relu(x)))
        return torch.relu(x + shortcut)


def norm(channels):
    return nn.BatchNorm2d(channels)


def downsample(inputs, outputs, stride, variant):
    if variant != "D":
        return nn.Sequential(conv(inputs, outputs, 1, stride), norm(outputs))
    pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(
        pool if stride > 1 else nn.Identity(),
        conv(inputs, outputs, 1),
        norm(outputs),
    )


class TorchResNet(nn.Module):
    """A ResNet of any depth and variant; timm has B, C and D.

    timm's names: `resnet50` is variant B, `resnet50c` C, `resnet50d` D.
    """

    def __init__(self, depth, variant="D", classes=1000, width=64):
        super().__init__()
        half = width // 2
        self.conv1 = conv(3, width, 7, 2)
        if variant in "CD":
            self.conv1 = nn.Sequential(
                conv(3, half, 3, 2),
                norm(half),
                nn.ReLU(),
                conv(half, half, 3),
                norm(half),
                nn.ReLU(),
                conv(half, width, 3),
            )
        self.bn1 = norm(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = width
        for stage, count in enumerate(BLOCKS[depth]):
            blocks = []
            for index in range(count):
                block = Block(
                    channels,
                    width * 2**stage,
                    2 if stage and not index else 1,
                    variant,
                    depth >= 50,
                )
                channels = width * 2**stage * (4 if depth >= 50 else 1)
                blocks.append(block)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.fc(x.mean((2, 3)))


class ConvBN(nn.Module):
    """Convolution, batch norm of epsilon 0.001 and ReLU."""

    def __init__(self, inputs, outputs, kernel_size, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel_size, stride, padding, bias=False
        )
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Parallel branches of named convolutions, concatenated.

    A branch is a list of `(name, outputs, kernel, stride)`, the stride 1 if
    left out, and of the names of pools. Convolutions of stride 1 are padded.
    Branches with convolutions of the same name share them.
    """

    def __init__(self, inputs, branches):
        super().__init__()
        self.branches = branches
        self.outputs = 0
        for branch in branches:
            channels = inputs
            for step in branch:
                if not isinstance(step, str):
                    name, outputs, kernel, *stride = step
                    if isinstance(kernel, int):
                        kernel = (kernel, kernel)
                    same = [0 if stride else size // 2 for size in kernel]
                    conv = ConvBN(
                        channels, outputs, kernel, *stride or [1], same
                    )
                    if name not in self._modules:
                        self.add_module(name, conv)
                    channels = outputs
            self.outputs += channels

    def forward(self, x):
        return torch.cat([self.run(branch, x) for branch in self.branches], 1)

    def run(self, branch, x):
        for step in branch:
            if step == "max pool":
                x = nn.functional.max_pool2d(x, 3, 2)
            elif step == "average pool":
                x = nn.functional.avg_pool2d(x, 3, 1, 1)
            else:
                x = getattr(self, step[0])(x)
        return x


def mixed_a(width, pool):
    return [
        [("branch1x1", width(64), 1)],
        [("branch5x5_1", width(48), 1), ("branch5x5_2", width(64), 5)],
        [
            ("branch3x3dbl_1", width(64), 1),
            ("branch3x3dbl_2", width(96), 3),
            ("branch3x3dbl_3", width(96), 3),
        ],
        ["average pool", ("branch_pool", width(pool), 1)],
    ]


def mixed_b(width):
    return [
        [("branch3x3", width(384), 3, 2)],
        [
            ("branch3x3dbl_1", width(64), 1),
            ("branch3x3dbl_2", width(96), 3),
            ("branch3x3dbl_3", width(96), 3, 2),
        ],
        ["max pool"],
    ]


def mixed_c(width, inner):
    inner = width(inner)
    return [
        [("branch1x1", width(192), 1)],
        [
            ("branch7x7_1", inner, 1),
            ("branch7x7_2", inner, (1, 7)),
            ("branch7x7_3", width(192), (7, 1)),
        ],
        [
            ("branch7x7dbl_1", inner, 1),
            ("branch7x7dbl_2", inner, (7, 1)),
            ("branch7x7dbl_3", inner, (1, 7)),
            ("branch7x7dbl_4", inner, (7, 1)),
            ("branch7x7dbl_5", width(192), (1, 7)),
        ],
        ["average pool", ("branch_pool", width(192), 1)],
    ]


def mixed_d(width):
    return [
        [("branch3x3_1", width(192), 1), ("branch3x3_2", width(320), 3, 2)],
        [
            ("branch7x7x3_1", width(192), 1),
            ("branch7x7x3_2", width(192), (1, 7)),
            ("branch7x7x3_3", width(192), (7, 1)),
            ("branch7x7x3_4", width(192), 3, 2),
        ],
        ["max pool"],
    ]


def mixed_e(width):
    first = ("branch3x3_1", width(384), 1)
    double = [
        ("branch3x3dbl_1", width(448), 1),
        ("branch3x3dbl_2", width(384), 3),
    ]
    return [
        [("branch1x1", width(320), 1)],
        [first, ("branch3x3_2a", width(384), (1, 3))],
        [first, ("branch3x3_2b", width(384), (3, 1))],
        [*double, ("branch3x3dbl_3a", width(384), (1, 3))],
        [*double, ("branch3x3dbl_3b", width(384), (3, 1))],
        ["average pool", ("branch_pool", width(192), 1)],
    ]


class TorchInceptionV3(nn.Module):
    """Inception-V3 without its auxiliary head; timm's `inception_v3`."""

    def __init__(self, classes=1000, width_multiplier=1.0):
        super().__init__()

        def width(channels):
            return int(channels * width_multiplier)

        self.Conv2d_1a_3x3 = ConvBN(3, width(32), 3, 2)
        self.Conv2d_2a_3x3 = ConvBN(width(32), width(32), 3)
        self.Conv2d_2b_3x3 = ConvBN(width(32), width(64), 3, padding=1)
        self.Conv2d_3b_1x1 = ConvBN(width(64), width(80), 1)
        self.Conv2d_4a_3x3 = ConvBN(width(80), width(192), 3)
        channels = width(192)
        for name, branches in (
            ("5b", mixed_a(width, 32)),
            ("5c", mixed_a(width, 64)),
            ("5d", mixed_a(width, 64)),
            ("6a", mixed_b(width)),
            ("6b", mixed_c(width, 128)),
            ("6c", mixed_c(width, 160)),
            ("6d", mixed_c(width, 160)),
            ("6e", mixed_c(width, 192)),
            ("7a", mixed_d(width)),
            ("7b", mixed_e(width)),
            ("7c", mixed_e(width)),
        ):
            block = Mixed(channels, branches)
            self.add_module(f"Mixed_{name}", block)
            channels = block.outputs
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        for name, module in self.named_children():
            if name in ("Conv2d_3b_1x1", "Mixed_5b"):
                x = nn.functional.max_pool2d(x, 3, 2)
            if module is not self.fc:
                x = module(x)
        return self.fc(x.mean((2, 3)))


class Separable(nn.Module):
    """Depthwise and pointwise convolution, each with norm and activation."""

    def __init__(self, inputs, outputs, stride, activation):
        super().__init__()
        self.conv_dw = nn.Conv2d(
            inputs, inputs, 3, stride, 1, groups=inputs, bias=False
        )
        self.bn1 = norm(inputs)
        self.conv_pw = conv(inputs, outputs, 1)
        self.bn2 = norm(outputs)
        self.activation = activation

    def forward(self, x):
        x = self.activation(self.bn1(self.conv_dw(x)))
        return self.activation(self.bn2(self.conv_pw(x)))


class TorchMobileNet(nn.Module):
    """MobileNet-V1; timm's `mobilenetv1_100` is this with `relu6`."""

    def __init__(self, classes=1000, width_multiplier=1.0, activation="relu"):
        super().__init__()
        self.activation = getattr(nn.functional, activation)
        channels = int(32 * width_multiplier)
        self.conv_stem = conv(3, channels, 3, 2)
        self.bn1 = norm(channels)
        stages = []
        for stage, count in enumerate((1, 2, 2, 6, 2)):
            blocks = []
            for index in range(count):
                outputs = int(64 * 2**stage * width_multiplier)
                stride = 2 if stage and not index else 1
                blocks.append(
                    Separable(channels, outputs, stride, self.activation)
                )
                channels = outputs
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.activation(self.bn1(self.conv_stem(x)))
        return self.classifier(self.blocks(x).mean((2, 3)))


def randomize(model, seed=0):
    """Gives weights and batch norm statistics that hide no mistake.

    The statistics are those of random images. With random ones the features
    would hardly depend on the image.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor, low, high):
        noise = torch.rand(tensor.shape, generator=generator)
        tensor.copy_(low + (high - low) * noise)

    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                bound = (6 / module.weight[0].numel()) ** 0.5
                uniform(module.weight, -bound, bound)
        for module in norms:
            uniform(module.weight, 0.5, 1.5)
            uniform(module.bias, -0.2, 0.2)
            module.momentum = 1.0
        images = torch.randn(4, 3, 128, 128, generator=generator)
        model.train()(images)
    for module in norms:
        module.momentum = 0.1
        module.running_var.clamp_(min=0.1)
    return model.eval()
