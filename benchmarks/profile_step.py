"""What does a training step of ResNet-50 consist of on a CPU?

Time of the kernels of one step, by kind: our network, the same with core
Keras' batch norm, `keras.applications.ResNet50` (variant A), and on PyTorch
variant B in plain torch with channels-last memory. Kernels that run at the
same time add up. What JAX and TensorFlow write is read by JAX.

    KERAS_BACKEND=torch python benchmarks/profile_step.py
"""

import collections
import contextlib
import pathlib
import re
import tempfile

import _timing
import keras
from absl import app, flags

from keras_tricks.models import ResNet
from keras_tricks.optimizers import SGD

_BATCH = flags.DEFINE_integer("batch_size", 16, "Images in a batch.")
_SIZE = flags.DEFINE_integer("image_size", 128, "Side in pixels.")
_VARIANT = flags.DEFINE_string("variant", "B", "Of our ResNet-50.")
_STEPS = flags.DEFINE_integer("steps", 2, "Steps that are profiled.")

# The first kind of which a part is in the name of an operation, or, on JAX, of
# a fusion; "ynn" is the library of XLA's convolutions on CPUs.
KINDS = {
    "copies and layouts": (
        *("copy", "transpose", "fill_", "zero_", "pad", "cat", "reshape"),
    ),
    "convolution": ("conv", "ynn"),
    "batch norm, fused": ("batch_norm", "batchnorm"),
    "pooling": ("pool", "reduce-window", "scatter"),
    "ReLU": ("relu", "threshold", "clamp_min"),
    "elementwise": (
        *("add", "mul", "sub", "div", "pow", "sqrt", "where", "neg", "square"),
        *("broadcast", "select", "assign"),
    ),
    "sums and means": ("sum", "mean", "max", "reduce"),
    "matrix products": ("mm", "matmul", "dot"),
}


def _kind(name):
    for kind, parts in KINDS.items():
        if any(part in name for part in parts):
            return kind
    return "the rest, Python too"


def profile(step):
    """Return milliseconds of a step by kind of operation."""
    step()
    kinds = collections.Counter()
    for name, milliseconds in _events(step):
        kinds[_kind(name.lower())] += milliseconds / _STEPS.value
    return kinds


def _events(step):
    """Yield names of kernels and their milliseconds."""
    if keras.backend.backend() == "torch":
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            for _ in range(_STEPS.value):
                step()
        for event in profiler.key_averages():
            yield event.key, event.self_cpu_time_total / 1000
        return
    import jax

    with tempfile.TemporaryDirectory() as folder:
        with _trace(folder):
            for _ in range(_STEPS.value):
                step()
        (file,) = pathlib.Path(folder).rglob("*.xplane.pb")
        data = jax.profiler.ProfileData.from_file(str(file))
    for plane in data.planes:
        for line in plane.lines:
            if not line.name.startswith(("tf_XLA", "tf_Compute")):
                continue
            for event in line.events:
                # TensorFlow: path of the layer, then the operation.
                name = event.name.rpartition(":")[2]
                if not re.search(r"Execute|Executor|Await|::", event.name):
                    yield name, event.duration_ns / 1e6


@contextlib.contextmanager
def _trace(folder):
    if keras.backend.backend() == "jax":
        import jax

        with jax.profiler.trace(folder):
            yield
        return
    import tensorflow as tf

    tf.profiler.experimental.start(folder)
    try:
        yield
    finally:
        tf.profiler.experimental.stop()


def _keras_step(model, x, y, jit_compile):
    model.compile(
        SGD(0.01, weight_decay=1e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit_compile,
    )
    return lambda: model.train_on_batch(x, y)


def _torch_step(x, y):
    import torch
    from _torch_resnet import build

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
    data_format, jit_compile = _timing.settings("auto", "auto")
    keras.config.set_image_data_format(data_format)
    x, y = _timing.random_batch(_BATCH.value, _SIZE.value, 1000, data_format)
    shape = x.shape[1:]

    def ours():
        return ResNet(50, _VARIANT.value, num_classes=1000, input_shape=shape)

    def applications():
        return keras.applications.ResNet50(
            weights=None, classifier_activation=None, input_shape=shape
        )

    makers = {
        "keras.applications": lambda: _keras_step(
            applications(), x, y, jit_compile
        ),
        "ours, core's norm": lambda: _keras_step(
            _with_core_norms(ours()), x, y, jit_compile
        ),
        f"ours, {_VARIANT.value}": lambda: _keras_step(
            ours(), x, y, jit_compile
        ),
    }
    if keras.backend.backend() == "torch":
        makers["plain torch, B"] = lambda: _torch_step(x, y)
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
