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
        images = torch.randn(4, 3, 96, 96, generator=generator)
        model.train()(images)
    for module in norms:
        module.momentum = 0.1
    return model.eval()
