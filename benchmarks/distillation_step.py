"""What does a teacher add to a training step?

Times, in turn and on the same random images: the student's step of `fit` on
labels alone, the teacher's inference as the backend runs it fastest, the step
of a `Distiller`, and that of core Keras' one. The peer is the sum of the
first two: more than that is what distillation costs beside the teacher.

    KERAS_BACKEND=tensorflow python benchmarks/distillation_step.py
"""

import time

import _timing
import keras
from absl import app, flags
from keras import ops

from keras_tricks import losses
from keras_tricks.distillation import Distiller
from keras_tricks.models import ResNet

_STEPS = flags.DEFINE_integer("steps", 4, "Steps in one measurement.")
_BATCH = flags.DEFINE_integer("batch_size", 64, "Images in a batch.")
_SIZE = flags.DEFINE_integer("image_size", 32, "Side in pixels.")
_WIDTH = flags.DEFINE_integer("width", 16, "Of the student's first stage.")
_TEACHER = flags.DEFINE_integer("teacher_depth", 34, "Depth of the teacher.")
_CLASSES = flags.DEFINE_integer("classes", 100, "Number of classes.")
_REPEATS = flags.DEFINE_integer("repeats", 30, "Measurements of each.")
_FORMAT = flags.DEFINE_string("data_format", "auto", "Of the models.")
_JIT = flags.DEFINE_enum("jit_compile", "auto", ["auto", "on", "off"], "")

PEER = "student step + teacher inference"


def _network(depth, data_format):
    shape = [_SIZE.value, _SIZE.value]
    shape.insert(2 if data_format == "channels_last" else 0, 3)
    return ResNet(
        depth,
        num_classes=_CLASSES.value,
        small_images=True,
        width=_WIDTH.value,
        input_shape=shape,
        data_format=data_format,
    )


def _inference(teacher, images, jit):
    """Return a contender: the teacher on the batch, in seconds per batch."""
    x = ops.convert_to_tensor(images)

    def plain(x):
        return teacher(x, training=False)

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        run = tf.function(plain, jit_compile=jit is True)
    elif backend == "jax":
        import jax

        compiled = jax.jit(
            lambda state, rest, x: teacher.stateless_call(
                state, rest, x, training=False
            )[0]
        )

        def run(x):
            # Read anew: a step of core Keras' Distiller donates them.
            state = [v.value for v in teacher.trainable_variables]
            rest = [v.value for v in teacher.non_trainable_variables]
            return compiled(state, rest, x)

    else:
        import torch

        run = torch.no_grad()(plain)

    def contender():
        start = time.perf_counter()
        for _ in range(_STEPS.value):
            ops.convert_to_numpy(run(x))
        return (time.perf_counter() - start) / _STEPS.value

    return contender


def _compile(model, jit, **options):
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer, jit_compile=jit, **options)
    return model


def main(argv):
    """Print the table."""
    data_format, jit = _timing.settings(_FORMAT.value, _JIT.value)
    images, labels = _timing.random_batch(
        _BATCH.value, _SIZE.value, _CLASSES.value, data_format
    )
    data = _timing.Repeated(images, labels, _STEPS.value)
    teacher = _network(_TEACHER.value, data_format)
    alone = _compile(
        _network(18, data_format),
        jit,
        loss=losses.LabelSmoothedCrossentropy(0.1),
    )
    ours = _compile(
        Distiller(_network(18, data_format), teacher, check_teacher=False),
        jit,
        loss=losses.LabelSmoothedKD(0.1, temperature=20.0),
    )
    core = keras.distillation.Distiller(
        teacher,
        _network(18, data_format),
        keras.distillation.LogitsDistillation(),
    )
    core = _compile(
        core, jit, loss=keras.losses.SparseCategoricalCrossentropy(True)
    )
    seconds = _timing.interleave(
        {
            "student step": _timing.Fit(alone, data),
            "teacher inference": _inference(teacher, images, jit),
            "Distiller": _timing.Fit(ours, data),
            "core Keras' Distiller": _timing.Fit(core, data),
        },
        _REPEATS.value,
    )
    parts = seconds["student step"], seconds["teacher inference"]
    seconds = {PEER: [sum(pair) for pair in zip(*parts, strict=True)]} | seconds
    _timing.print_table(
        f"Student ResNet-18-D, teacher ResNet-{_TEACHER.value}-D, width "
        f"{_WIDTH.value}, {_BATCH.value} images of {_SIZE.value} pixels, "
        f"{data_format}, jit_compile={jit}\n{_timing.environment()}",
        _timing.COMPARISON_HEADER,
        _timing.comparison(seconds, PEER),
    )


if __name__ == "__main__":
    app.run(main)
