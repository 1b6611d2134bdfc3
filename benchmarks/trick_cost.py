"""What does each trick add to a training step?

Trains one small ResNet-18-D per trick with `fit`, in turn, on the same random
images, and divides the time of a step by that of a baseline: hard integer
labels, a constant learning rate, decay of every variable, no callbacks. "The
baseline again" is the same once more: how far its ratio is from 1 is the
error to expect of the others.

    KERAS_BACKEND=tensorflow python benchmarks/trick_cost.py

With --on_device the same uint8 batch comes again and again, and the step
normalizes and mixes it, as on an accelerator.
"""

import json
import math
import statistics
import time
from pathlib import Path

import _timing
import keras
import numpy as np
from absl import app, flags

from keras_tricks import callbacks, losses, schedules, training
from keras_tricks.data import Batches, Preprocessing
from keras_tricks.layers import MixUp
from keras_tricks.models import ResNet
from keras_tricks.optimizers import SGD

_STEPS = flags.DEFINE_integer("steps", 4, "Steps in one measurement.")
_BATCH = flags.DEFINE_integer("batch_size", 64, "Images in a batch.")
_SIZE = flags.DEFINE_integer("image_size", 32, "Side in pixels.")
_WIDTH = flags.DEFINE_integer("width", 16, "Channels of the first stage.")
_DEPTH = flags.DEFINE_integer("depth", 18, "Depth of the ResNet-D.")
_CLASSES = flags.DEFINE_integer("classes", 100, "Number of classes.")
_SMALL = flags.DEFINE_bool("small_images", True, "Stem for small images.")
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
_DTYPE = flags.DEFINE_string("dtype", "float32", "Policy of all others.")
_ON_DEVICE = flags.DEFINE_bool("on_device", False, "See above.")
_SECONDS = flags.DEFINE_float(
    "seconds", math.inf, "For all; what is not built in 3/4 of it is left out."
)
_OUT = flags.DEFINE_string("out", None, "JSON file for the rows.")

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
    count = _BATCH.value * (1 if _ON_DEVICE.value else _STEPS.value)
    shape = (count, _SIZE.value, _SIZE.value, 3)
    images = rng.integers(0, 256, shape, "uint8")
    classes = rng.integers(0, _CLASSES.value, count)
    if labels != "integer":
        mix_up = _Relabeled(labels)
    if not _ON_DEVICE.value:
        return Batches(
            images,
            classes,
            _BATCH.value,
            mix_up=mix_up,
            data_format=data_format,
        )
    lam, partner = np.ones(count, "float32"), np.arange(count, dtype="int32")
    if isinstance(mix_up, _Relabeled):
        images, classes = mix_up(images, classes, epoch=0, step=0)
    elif mix_up is not None:
        lam[:], partner = mix_up.draw(count, epoch=0, step=0)
    batch = {"images": images, "lam": lam, "partner": partner}
    return _timing.Repeated(batch, classes, _STEPS.value)


def _contender(
    zero_gamma=False,
    decay="all",
    learning_rate=0.01,
    loss=None,
    labels="integer",
    mix_up=None,
    callbacks=(),
    dtype=None,
):
    data_format, jit_compile = _timing.settings(_FORMAT.value, _JIT.value)
    batches = _data(labels, mix_up, data_format)
    shape = [_SIZE.value, _SIZE.value]
    shape.insert(2 if data_format == "channels_last" else 0, 3)
    keras.utils.set_random_seed(0)
    model = ResNet(
        _DEPTH.value,
        "D",
        num_classes=_CLASSES.value,
        zero_gamma=zero_gamma,
        small_images=_SMALL.value,
        width=_WIDTH.value,
        input_shape=tuple(shape),
        data_format=data_format,
        dtype=dtype or _DTYPE.value,
    )
    hard = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        SGD(learning_rate, weight_decay=1e-4, decay=decay),
        loss or hard,
        jit_compile=jit_compile,
    )
    if _ON_DEVICE.value:
        finish = training.DeviceFinish(
            Preprocessing(_SIZE.value),
            _CLASSES.value if mix_up is not None else None,
            data_format,
        )
        training.finish_on_device(model, finish, batches[0])
    return _timing.Fit(model, batches, callbacks)


def _build(deadline):
    """Return contenders that are compiled, and the reasons of the others."""
    wanted = [_BASELINE, *_ONLY.value] if _ONLY.value else [""]
    built, reasons = {}, {}
    for name, options in _tricks().items():
        if not any(part in name for part in wanted):
            continue
        if time.monotonic() > deadline:
            reasons[name] = "no time left"
            continue
        try:
            contender = _contender(**options)
            contender()
            built[name] = contender
        except Exception as error:
            if name == _BASELINE:
                raise
            first = (str(error).splitlines() or [""])[0]
            reasons[name] = f"{type(error).__name__}: {first}"[:200]
    return built, reasons


def _write(seconds, reasons):
    """Write numbers, and reasons where there are none."""
    rows = [{"name": name, "error": why} for name, why in reasons.items()]
    for name, times in seconds.items():
        middle, low, high = _timing.ratio(times, seconds[_BASELINE])
        row = {"name": name, "step": statistics.median(times)}
        rows.append(row | {"ratio": middle, "low": low, "high": high})
    Path(_OUT.value).write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


def main(_):
    """Print the table."""
    print(_timing.environment())
    start = time.monotonic()
    contenders, reasons = _build(start + 0.75 * _SECONDS.value)
    before = time.monotonic()
    # Once more: the first steps after compilation are not the usual ones.
    _timing.interleave(contenders, 1, warmup=0)
    round_seconds = time.monotonic() - before
    left = _SECONDS.value - (time.monotonic() - start)
    repeats = int(max(2, min(_REPEATS.value, left / round_seconds)))
    seconds = _timing.interleave(contenders, repeats, warmup=0)
    if _OUT.value:
        _write(seconds, reasons)
    data_format, jit_compile = _timing.settings(_FORMAT.value, _JIT.value)
    _timing.print_table(
        f"A step of ResNet-{_DEPTH.value}-D of width {_WIDTH.value}, "
        f"{_BATCH.value} images of {_SIZE.value} pixels, {data_format}, "
        f"jit_compile={jit_compile}",
        _timing.COMPARISON_HEADER,
        _timing.comparison(seconds, _BASELINE),
    )
    for name, why in reasons.items():
        print(f"{name}: {why}")


if __name__ == "__main__":
    app.run(main)
