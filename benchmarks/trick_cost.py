"""What does each trick add to a training step?

Trains one small ResNet-18-D per trick with `fit`, in turn, on the same random
images, and divides the time of a step by that of a baseline: hard integer
labels, a constant learning rate, decay of every variable, no callbacks. "The
baseline again" is the same once more: how far its ratio is from 1 is the
error to expect of the others.

    KERAS_BACKEND=tensorflow python benchmarks/trick_cost.py
"""

import _timing
import keras
import numpy as np
from absl import app, flags

from keras_tricks import callbacks, losses, schedules
from keras_tricks.data import Batches
from keras_tricks.layers import MixUp
from keras_tricks.models import ResNet
from keras_tricks.optimizers import SGD

_STEPS = flags.DEFINE_integer("steps", 4, "Steps in one measurement.")
_BATCH = flags.DEFINE_integer("batch_size", 64, "Images in a batch.")
_SIZE = flags.DEFINE_integer("image_size", 32, "Side in pixels.")
_WIDTH = flags.DEFINE_integer("width", 16, "Channels of the first stage.")
_DEPTH = flags.DEFINE_integer("depth", 18, "Depth of the ResNet-D.")
_CLASSES = flags.DEFINE_integer("classes", 100, "Number of classes.")
_REPEATS = flags.DEFINE_integer("repeats", 30, "Measurements of each.")
_FORMAT = flags.DEFINE_string("data_format", "auto", "Of the model.")
_JIT = flags.DEFINE_enum("jit_compile", "auto", ["auto", "on", "off"], "")
_ONLY = flags.DEFINE_list("only", [], "Parts of the names of tricks to run.")
_PRECISIONS = flags.DEFINE_list(
    "precisions",
    [],
    "Dtype policies to time as well, such as mixed_bfloat16. On a CPU a step "
    "in float16 can take many times as long.",
)

_BASELINE = "baseline"


def _schedule():
    cosine = schedules.CosineDecay(0.01, decay_steps=100_000)
    return schedules.Warmup(cosine, warmup_steps=100)


def _smoothing():
    return losses.LabelSmoothedCrossentropy(0.1)


def _mix_up():
    return MixUp(0.2, num_classes=_CLASSES.value)


def _loggers():
    return [callbacks.LearningRateLogger(), callbacks.Throughput(_BATCH.value)]


def _tricks():
    """Return the arguments of `_contender` for each trick."""
    everything = {
        "zero_gamma": True,
        "decay": "kernels",
        "learning_rate": _schedule(),
        "loss": _smoothing(),
        "mix_up": _mix_up(),
        "callbacks": _loggers(),
    }
    average = callbacks.ExponentialMovingAverage
    return {
        _BASELINE: {},
        "baseline again": {},
        "zero gamma": {"zero_gamma": True},
        "no bias decay": {"decay": "kernels"},
        "warmup, cosine": {"learning_rate": _schedule()},
        "smoothing, integer labels": {"loss": _smoothing()},
        "smoothing, dense labels": {"loss": _smoothing(), "labels": "dense"},
        "mixup and smoothing": {"loss": _smoothing(), "mix_up": _mix_up()},
        "packed distillation": {
            "loss": losses.LabelSmoothedKD(),
            "labels": "packed",
        },
        "learning rate, throughput": {"callbacks": _loggers()},
        "all above but distillation": everything,
        "moving average": {"callbacks": [average()]},
        "moving average, every=10": {"callbacks": [average(every=10)]},
        **{policy: {"dtype": policy} for policy in _PRECISIONS.value},
    }


class _Relabeled:
    """A `mix_up` of `Batches` that changes the form of the labels only."""

    def __init__(self, form):
        one_hot = np.eye(_CLASSES.value, dtype="float32")
        logits = np.random.default_rng(1).normal(size=one_hot.shape)
        if form == "packed":
            rows = np.arange(_CLASSES.value)
            one_hot = losses.pack_targets(rows, logits.astype("float32"))
        self.rows = one_hot

    def __call__(self, images, labels, epoch, step):
        return images, self.rows[labels]


def _data(labels, mix_up, data_format):
    rng = np.random.default_rng(0)
    count = _STEPS.value * _BATCH.value
    shape = (count, _SIZE.value, _SIZE.value, 3)
    images = rng.integers(0, 256, shape, "uint8")
    classes = rng.integers(0, _CLASSES.value, count)
    if labels != "integer":
        mix_up = _Relabeled(labels)
    return Batches(
        images, classes, _BATCH.value, mix_up=mix_up, data_format=data_format
    )


def _contender(
    zero_gamma=False,
    decay="all",
    learning_rate=0.01,
    loss=None,
    labels="integer",
    mix_up=None,
    callbacks=(),
    dtype="float32",
):
    data_format, jit_compile = _timing.settings(_FORMAT.value, _JIT.value)
    batches = _data(labels, mix_up, data_format)
    keras.utils.set_random_seed(0)
    model = ResNet(
        _DEPTH.value,
        "D",
        num_classes=_CLASSES.value,
        zero_gamma=zero_gamma,
        small_images=True,
        width=_WIDTH.value,
        input_shape=batches[0][0].shape[1:],
        data_format=data_format,
        dtype=dtype,
    )
    hard = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        SGD(learning_rate, weight_decay=1e-4, decay=decay),
        loss or hard,
        jit_compile=jit_compile,
    )
    return _timing.Fit(model, batches, callbacks)


def main(_):
    """Print the table."""
    print(_timing.environment())
    wanted = [_BASELINE, *_ONLY.value] if _ONLY.value else [""]
    contenders = {
        name: _contender(**options)
        for name, options in _tricks().items()
        if any(part in name for part in wanted)
    }
    seconds = _timing.interleave(contenders, _REPEATS.value)
    data_format, jit_compile = _timing.settings(_FORMAT.value, _JIT.value)
    _timing.print_table(
        f"A step of ResNet-{_DEPTH.value}-D of width {_WIDTH.value}, "
        f"{_BATCH.value} images of {_SIZE.value} pixels, {data_format}, "
        f"jit_compile={jit_compile}",
        _timing.COMPARISON_HEADER,
        _timing.comparison(seconds, _BASELINE),
    )


if __name__ == "__main__":
    app.run(main)
