"""What does a training step of ResNet-50 consist of on PyTorch?

Self time on the CPU of one step by kind of operation: our network, the same
with core Keras' batch norm, `keras.applications.ResNet50` (variant A), and
variant B in plain torch with channels-last memory. What is left between ours
and plain torch, operation by operation.

    KERAS_BACKEND=torch python benchmarks/profile_step.py
"""

import collections

import _timing
import keras
import torch
from _torch_resnet import build
from absl import app, flags

from keras_tricks.models import ResNet
from keras_tricks.optimizers import SGD

_BATCH = flags.DEFINE_integer("batch_size", 16, "Images in a batch.")
_SIZE = flags.DEFINE_integer("image_size", 128, "Side in pixels.")
_VARIANT = flags.DEFINE_string("variant", "B", "Of our ResNet-50.")
_STEPS = flags.DEFINE_integer("steps", 2, "Steps that are profiled.")

KINDS = {
    "convolution": ("conv",),
    "batch norm, fused": ("batch_norm",),
    "pooling": ("pool",),
    "ReLU": ("relu", "threshold", "clamp_min"),
    "copies and layouts": ("copy_", "fill_", "zero_", "pad", "cat"),
    "elementwise": ("add", "mul", "sub", "div", "pow", "sqrt", "where", "neg"),
    "sums and means": ("sum", "mean", "max"),
    "matrix products": ("mm",),
}


def _kind(name):
    for kind, parts in KINDS.items():
        if any(part in name for part in parts):
            return kind
    return "the rest, Python too"


def profile(step):
    """Return milliseconds of a step by kind of operation."""
    step()
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities) as profiler:
        for _ in range(_STEPS.value):
            step()
    kinds = collections.Counter()
    for event in profiler.key_averages():
        kinds[_kind(event.key.lower())] += (
            event.self_cpu_time_total / 1000 / _STEPS.value
        )
    return kinds


def _keras_step(model, x, y):
    model.compile(
        SGD(0.01, weight_decay=1e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return lambda: model.train_on_batch(x, y)


def _torch_step(x, y):
    model = build(1000).to(memory_format=torch.channels_last)
    x = torch.from_numpy(x).contiguous(memory_format=torch.channels_last)
    y = torch.from_numpy(y).long()
    optimizer = torch.optim.SGD(
        model.parameters(), 0.01, 0.9, weight_decay=1e-4, nesterov=True
    )

    def step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def _with_core_norms(model):
    """Let the norms of a model compute what core Keras' compute."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.__class__ = keras.layers.BatchNormalization
    return model


def main(_):
    """Print the table."""
    if keras.backend.backend() != "torch":
        raise app.UsageError("KERAS_BACKEND must be torch")
    keras.config.set_image_data_format("channels_first")
    shape = (3, _SIZE.value, _SIZE.value)
    x, y = _timing.random_batch(
        _BATCH.value, _SIZE.value, 1000, "channels_first"
    )

    def ours():
        return ResNet(50, _VARIANT.value, num_classes=1000, input_shape=shape)

    def applications():
        return keras.applications.ResNet50(
            weights=None, classifier_activation=None, input_shape=shape
        )

    makers = {
        "keras.applications": lambda: _keras_step(applications(), x, y),
        "ours, core's norm": lambda: _keras_step(
            _with_core_norms(ours()), x, y
        ),
        f"ours, {_VARIANT.value}": lambda: _keras_step(ours(), x, y),
        "plain torch, B": lambda: _torch_step(x, y),
    }
    profiles = {name: profile(make()) for name, make in makers.items()}
    kinds = [*KINDS, _kind("")]
    rows = [
        [kind, *(f"{found[kind]:.0f}" for found in profiles.values())]
        for kind in kinds
    ]
    rows.append(
        ["all", *(f"{found.total():.0f}" for found in profiles.values())]
    )
    print(_timing.environment())
    _timing.print_table(
        f"Milliseconds of a step with {_BATCH.value} images of {_SIZE.value} "
        "pixels, by the kernels themselves",
        ["", *profiles],
        rows,
    )


if __name__ == "__main__":
    app.run(main)
