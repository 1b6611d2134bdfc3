"""Every pair of tricks, against one float64 reference of all of them."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks.layers import MixUp, draw_mixup
from keras_tricks.losses import (
    LabelSmoothedCrossentropy,
    LabelSmoothedKD,
    pack_targets,
)
from keras_tricks.optimizers import SGD
from keras_tricks.schedules import CosineDecay, Warmup

TRICKS = (
    "mixup",
    "smoothing",
    "distillation",
    "no_bias_decay",
    "warmup",
    "cosine",
    "accumulation",
    "mixed_float16",
)
PAIRS = list(itertools.combinations(TRICKS, 2))
FEATURES, CLASSES, BATCH, PARTS, UPDATES = 5, 4, 12, 3, 6
PEAK, MOMENTUM, DECAY, WARMUP = 0.2, 0.9, 0.1, 2
SMOOTHING, TEMPERATURE, ALPHA, SEED = 0.2, 3.0, 0.7, 11
# What float32 rounds away in six updates, and float16, whose unit roundoff
# of 5e-4 enters with the inputs, the weights and the logits.
TOLERANCE = {False: 1e-5, True: 2e-3}

rng = np.random.default_rng(3)
IMAGES = rng.uniform(-1, 1, (UPDATES * BATCH, FEATURES)).astype("float32")
LABELS = rng.integers(0, CLASSES, UPDATES * BATCH)
KERNEL = rng.normal(size=(FEATURES, CLASSES)).astype("float32")
BIAS = rng.normal(size=CLASSES).astype("float32")
TEACHER = rng.normal(size=(FEATURES, CLASSES)).astype("float32")


def batches(on):
    """The images and labels of each step; an update has one or more."""
    count = UPDATES * (PARTS if "accumulation" in on else 1)
    return zip(np.split(IMAGES, count), np.split(LABELS, count), strict=True)


# The reference.


def softmax(z):
    powers = np.exp(z - z.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def reference_rate(on, update):
    warmup = WARMUP if "warmup" in on else 0
    if update < warmup:
        return PEAK * (update + 1) / warmup
    if "cosine" not in on:
        return PEAK
    progress = (update - warmup) / (UPDATES - warmup)
    return PEAK * (1 + np.cos(np.pi * progress)) / 2


def mixed(on, step, x, p):
    if "mixup" not in on:
        return x, p
    lam, partner = draw_mixup(SEED, 0, step, len(x), ALPHA)
    lam = lam.astype("float64")
    return lam * x + (1 - lam) * x[partner], lam * p + (1 - lam) * p[partner]


def reference_gradient(on, step, x, labels, kernel, bias):
    """Of CE(smooth(mix(p)), S(z)) + T^2 CE(S(r / T), S(z / T)), S softmax."""
    x, q = mixed(on, step, x.astype("float64"), np.eye(CLASSES)[labels])
    if "smoothing" in on:
        share = SMOOTHING / (CLASSES - 1)
        q = (1 - SMOOTHING) * q + share * (1 - q)
    z = x @ kernel + bias
    error = softmax(z) - q
    if "distillation" in on:
        teacher = softmax(x @ TEACHER.astype("float64") / TEMPERATURE)
        error += TEMPERATURE * (softmax(z / TEMPERATURE) - teacher)
    return x.T @ error / len(x), error.mean(0)


def reference(on):
    """The kernel and the bias after all updates, in float64."""
    weights = [KERNEL.astype("float64"), BIAS.astype("float64")]
    moments = [0.0, 0.0]
    decays = [DECAY, 0.0 if "no_bias_decay" in on else DECAY]
    steps = enumerate(batches(on))
    for update in range(UPDATES):
        parts = itertools.islice(steps, PARTS if "accumulation" in on else 1)
        gradients = [
            reference_gradient(on, step, *batch, *weights)
            for step, batch in parts
        ]
        rate = reference_rate(on, update)
        for i, parts in enumerate(zip(*gradients, strict=True)):
            gradient = np.mean(parts, axis=0) + decays[i] * weights[i]
            moments[i] = MOMENTUM * moments[i] + gradient
            change = gradient + MOMENTUM * moments[i]
            weights[i] = weights[i] - rate * change
    return weights


# The library.


def make_schedule(on):
    warmup = WARMUP if "warmup" in on else 0
    main = CosineDecay(PEAK, UPDATES - warmup) if "cosine" in on else PEAK
    return Warmup(main, warmup) if warmup else main


def make_model(on):
    dtype = "mixed_float16" if "mixed_float16" in on else "float32"
    optimizer = SGD(
        make_schedule(on),
        momentum=MOMENTUM,
        weight_decay=DECAY,
        decay="kernels" if "no_bias_decay" in on else "all",
        gradient_accumulation_steps=PARTS if "accumulation" in on else None,
    )
    if "mixed_float16" in on:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, 2.0**10)
    smoothing = SMOOTHING if "smoothing" in on else 0.0
    loss = LabelSmoothedCrossentropy(smoothing)
    if "distillation" in on:
        loss = LabelSmoothedKD(smoothing, TEMPERATURE)
    dense = keras.layers.Dense(CLASSES, dtype=dtype)
    model = keras.Sequential([keras.Input((FEATURES,)), dense])
    dense.set_weights([KERNEL, BIAS])
    model.compile(optimizer, loss, jit_compile=keras.backend.backend() == "jax")
    return model


def train(on):
    model = make_model(on)
    mix_up = MixUp(ALPHA, num_classes=CLASSES, seed=SEED)
    for step, (x, targets) in enumerate(batches(on)):
        if "mixup" in on:
            x, targets = mix_up(x, targets, epoch=0, step=step)
        if "distillation" in on:
            targets = pack_targets(targets, x @ TEACHER)
        model.train_on_batch(x, targets)
    optimizer = model.optimizer
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    assert int(optimizer.iterations) == UPDATES  # No overflow was skipped.
    return [ops.convert_to_numpy(weight) for weight in model.weights]


def check(on):
    tolerance = TOLERANCE["mixed_float16" in on]
    for got, want in zip(train(on), reference(on), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_two_tricks_together_do_what_both_say(pair):
    check(pair)


def test_all_tricks_together_do_what_all_say():
    check(TRICKS)


# Parts of a batch and float16 are to give the same weights.
@pytest.mark.parametrize("trick", TRICKS[:-2])
def test_the_reference_tells_each_trick_from_its_absence(trick):
    for others in (set(), set(TRICKS)):
        pairs = zip(
            reference(others | {trick}),
            reference(others - {trick}),
            strict=True,
        )
        far = max(np.abs(a - b).max() for a, b in pairs)
        assert far > 5 * TOLERANCE[True]
