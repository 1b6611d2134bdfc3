"""How fast is a training step of ResNet-50-D beside other ResNet-50s?

The peers are `keras.applications.ResNet50` on the same backend, with the same
optimizer and loss, and a ResNet-50 in plain torch (channels last, eager,
`torch.optim.SGD`), whatever the backend. The networks differ in their
multiply-accumulates, so the rate is also given per GMAC, counted from the
convolutions and dense layers at the given image size.

    KERAS_BACKEND=tensorflow python benchmarks/resnet50_step.py
"""

import contextlib
from unittest import mock

import _timing
import keras
import numpy as np
from _torch_resnet import TorchPeer
from absl import app, flags

from keras_tricks.models import ResNet
from keras_tricks.optimizers import SGD

_STEPS = flags.DEFINE_integer("steps", 2, "Steps in one measurement.")
_BATCH = flags.DEFINE_integer("batch_size", 16, "Images in a batch.")
_SIZE = flags.DEFINE_integer("image_size", 128, "Side in pixels.")
_CLASSES = flags.DEFINE_integer("classes", 1000, "Number of classes.")
_REPEATS = flags.DEFINE_integer("repeats", 8, "Measurements of each.")
_VARIANTS = flags.DEFINE_list("variants", ["D"], "Of our ResNet-50.")
_FORMAT = flags.DEFINE_string("data_format", "auto", "Of all Keras models.")
_JIT = flags.DEFINE_enum("jit_compile", "auto", ["auto", "on", "off"], "")

_PEER = "keras.applications"


def count_macs(model):
    """Count an image's multiply-accumulates in convolutions and dense."""
    macs = []

    def counting(layer):
        call = layer.call

        def counted(*args, **kwargs):
            outputs = call(*args, **kwargs)
            first = getattr(layer, "data_format", None) == "channels_first"
            channels = outputs.shape[1 if first else -1]
            positions = int(np.prod(outputs.shape[1:])) // channels
            macs.append(int(np.prod(layer.kernel.shape)) * positions)
            return outputs

        return mock.patch.object(layer, "call", counted)

    with contextlib.ExitStack() as stack:
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
                stack.enter_context(counting(layer))
        model(np.zeros((1, *model.input_shape[1:]), "float32"))
    return sum(macs)


def _models(data_format):
    shape = [_SIZE.value, _SIZE.value]
    shape.insert(2 if data_format == "channels_last" else 0, 3)
    shape = tuple(shape)
    models = {
        _PEER: keras.applications.ResNet50(
            weights=None,
            classes=_CLASSES.value,
            classifier_activation=None,
            input_shape=shape,
        )
    }
    for variant in _VARIANTS.value:
        models[f"keras_tricks {variant}"] = ResNet(
            50, variant, num_classes=_CLASSES.value, input_shape=shape
        )
    return models


def _rows(seconds, macs):
    """Add images per second and the ratios to both peers per GMAC."""
    names = [_PEER, "plain torch"]
    work = {
        name: [time / macs[name] for time in times]
        for name, times in seconds.items()
    }
    rows = []
    for name, times in seconds.items():
        low, median, high = _timing.quartiles(times)
        row = [
            name,
            f"{macs[name] / 1e9:.3f}",
            f"{median * 1e3:.0f}",
            f"{min(times) * 1e3:.0f}",
            f"{(high - low) / median:.1%}",
            f"{_BATCH.value / median:.2f}",
        ]
        for peer in names:
            # Rates, so the peer's time is above.
            middle, bottom, top = _timing.ratio(work[peer], work[name])
            row.append(f"{middle:.3f} ({bottom:.3f} to {top:.3f})")
        rows.append(row)
    return rows


def main(_):
    """Print the table."""
    data_format, jit_compile = _timing.settings(_FORMAT.value, _JIT.value)
    keras.config.set_image_data_format(data_format)
    x, y = _timing.random_batch(
        _BATCH.value, _SIZE.value, _CLASSES.value, data_format
    )
    contenders, macs = {}, {}
    for name, model in _models(data_format).items():
        macs[name] = count_macs(model)
        model.compile(
            SGD(0.01, weight_decay=1e-4),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=jit_compile,
        )
        data = _timing.Repeated(x, y, _STEPS.value)
        contenders[name] = _timing.Fit(model, data)
    if data_format == "channels_last":
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    torch_peer = TorchPeer(x, y, _CLASSES.value, _STEPS.value)
    contenders["plain torch"] = torch_peer
    macs["plain torch"] = torch_peer.macs
    print(_timing.environment() + f", peer torch {torch_peer.version}")
    seconds = _timing.interleave(contenders, _REPEATS.value)
    torch_peer.close()
    _timing.print_table(
        f"A step with {_BATCH.value} images of {_SIZE.value} pixels, "
        f"{data_format}, jit_compile={jit_compile}; the last two columns are "
        "multiply-accumulates per second, divided by the peer's",
        [
            *["", "GMAC", "median ms", "min ms", "spread", "images/s"],
            *["to keras.applications", "to plain torch"],
        ],
        _rows(seconds, macs),
    )


if __name__ == "__main__":
    app.run(main)
