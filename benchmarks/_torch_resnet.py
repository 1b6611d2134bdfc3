"""ResNet-50 (variant B) in plain torch, as a peer in a process of its own.

A process of its own keeps torch's threads and memory apart from those of the
Keras backend; it trains only when asked to.
"""

import multiprocessing
import time


def build(classes):
    """Return the network; the usual torch defaults."""
    from torch import nn

    def conv_norm(inputs, outputs, kernel, strides=1, relu=True):
        layers = [
            nn.Conv2d(
                inputs, outputs, kernel, strides, kernel // 2, bias=False
            ),
            nn.BatchNorm2d(outputs),
        ]
        return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] * relu))

    class Bottleneck(nn.Module):
        def __init__(self, inputs, filters, strides):
            super().__init__()
            outputs = 4 * filters
            self.branch = nn.Sequential(
                conv_norm(inputs, filters, 1),
                conv_norm(filters, filters, 3, strides),
                conv_norm(filters, outputs, 1, relu=False),
            )
            self.shortcut = nn.Identity()
            if strides > 1 or inputs != outputs:
                self.shortcut = conv_norm(
                    inputs, outputs, 1, strides, relu=False
                )
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            return self.relu(self.branch(x) + self.shortcut(x))

    layers = [conv_norm(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stage, count in enumerate((3, 4, 6, 3)):
        filters = 64 * 2**stage
        for index in range(count):
            strides = 2 if stage and not index else 1
            layers.append(Bottleneck(inputs, filters, strides))
            inputs = 4 * filters
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)]
    return nn.Sequential(*layers, *head)


def count_macs(model, image_size):
    """Count an image's multiply-accumulates in convolutions and dense."""
    import torch

    macs = []

    def count(layer, _, outputs):
        macs.append(layer.weight.numel() * outputs[0, 0].numel())

    hooks = [
        layer.register_forward_hook(count)
        for layer in model.modules()
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear))
    ]
    training = model.training
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, image_size, image_size))
    model.train(training)
    for hook in hooks:
        hook.remove()
    return sum(macs)


def _work(pipe, images, labels, classes):
    """Train one step whenever asked, and answer with its seconds."""
    import torch

    model = build(classes).to(memory_format=torch.channels_last)
    x = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
    y = torch.from_numpy(labels).long()
    loss_function = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(
        model.parameters(), 0.01, 0.9, weight_decay=1e-4, nesterov=True
    )
    pipe.send((torch.__version__, count_macs(model, x.shape[-1])))
    while (steps := pipe.recv()) is not None:
        start = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad()
            loss = loss_function(model(x), y)
            loss.backward()
            optimizer.step()
            loss.item()
        pipe.send((time.perf_counter() - start) / steps)


class TorchPeer:
    """A contender: training steps of plain torch, in seconds per step.

    Args:
        images: float32, shape `(B, 3, H, W)`.
        labels: Integers, shape `(B,)`.
        classes: Number of classes.
        steps: Steps in one measurement.
    """

    def __init__(self, images, labels, classes, steps):
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.steps = steps
        self.process = context.Process(
            target=_work, args=(other, images, labels, classes), daemon=True
        )
        self.process.start()
        other.close()
        self.version, self.macs = self.pipe.recv()

    def __call__(self):
        self.pipe.send(self.steps)
        return self.pipe.recv()

    def close(self):
        """End the process."""
        self.pipe.send(None)
        self.process.join()
