import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_tricks.optimizers import (
    SGD,
    AdamW,
    AdaptiveGradientClipping,
    clip_adaptively,
)

CLIPPING, EPSILON, STEPS, RATE, MOMENTUM, DECAY = 0.3, 1e-3, 20, 0.5, 0.9, 0.1
SHAPES = {
    "conv/kernel": (2, 2, 2, 3),
    "depthwise/kernel": (2, 2, 3, 2),
    "norm/gamma": (3,),
    "dense/kernel": (4, 3),
    "logits/kernel": (3, 5),
    "logits/bias": (5,),
}


def make_variables():
    rng = np.random.default_rng(0)
    variables = []
    for path, shape in SHAPES.items():
        scope, name = path.split("/")
        value = rng.normal(size=shape).astype("float32")
        with keras.name_scope(scope):
            variables.append(keras.Variable(value, name=name))
    # A unit of zeros, whose norm is replaced.
    dense = ops.convert_to_numpy(variables[3]).copy()
    dense[:, 1] = 0
    variables[3].assign(dense)
    return variables


def units(path):
    """Indices of what makes one output each."""
    shape = SHAPES[path]
    if len(shape) == 1:
        return [...]
    last = 2 if path == "depthwise/kernel" else 1
    return [(..., *index) for index in np.ndindex(shape[-last:])]


def clip(path, g, w):
    """The formula, one unit after the other, in float64."""
    g = g.copy()
    for unit in units(path):
        size = np.sqrt((g[unit] ** 2).sum())
        limit = CLIPPING * max(np.sqrt((w[unit] ** 2).sum()), EPSILON)
        if size > limit:
            g[unit] = g[unit] * limit / size
    return g


def make_gradients(scale):
    rng = np.random.default_rng(1)
    return [
        [
            scale * rng.normal(size=shape).astype("float32")
            for shape in SHAPES.values()
        ]
        for _ in range(STEPS)
    ]


@pytest.mark.parametrize("accumulation", [None, 2])
@pytest.mark.parametrize("exclude", ["last", None, "dense"])
def test_against_float64_in_sgd(exclude, accumulation):
    variables = make_variables()
    weights = [ops.convert_to_numpy(v).astype("float64") for v in variables]
    moments = [np.zeros_like(w) for w in weights]
    optimizer = SGD(
        RATE,
        MOMENTUM,
        weight_decay=DECAY,
        adaptive_clipping=AdaptiveGradientClipping(CLIPPING, EPSILON, exclude),
        gradient_accumulation_steps=accumulation,
    )
    batches = make_gradients(0.4)
    for batch in batches:
        optimizer.apply([ops.convert_to_tensor(g) for g in batch], variables)
    parts = accumulation or 1
    clipped = 0
    for first in range(0, STEPS, parts):
        for i, path in enumerate(SHAPES):
            some = [batch[i] for batch in batches[first : first + parts]]
            g = np.mean(some, axis=0, dtype="float64")
            left_out = {"last": "logits", "dense": "dense"}.get(exclude, "-")
            if not path.startswith(left_out):
                before, g = g, clip(path, g, weights[i])
                clipped += not np.array_equal(before, g)
            g = g + DECAY * weights[i] * path.endswith("kernel")
            moments[i] = MOMENTUM * moments[i] + g
            weights[i] = weights[i] - RATE * (g + MOMENTUM * moments[i])
    assert clipped > STEPS // parts
    for variable, want in zip(variables, weights, strict=True):
        got = ops.convert_to_numpy(variable)
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)


def test_small_gradients_stay_as_they_are_and_zeros_are_finite():
    for scale in (1e-6, 0.0):
        weights = np.ones((2, 3), "float32")
        g = np.full((2, 3), scale, "float32")
        got = ops.convert_to_numpy(clip_adaptively(g, weights))
        np.testing.assert_array_equal(got, g)


def make_model(precision="float32"):
    keras.utils.set_random_seed(3)
    kind = {"dtype": precision}
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.DepthwiseConv2D(3, depth_multiplier=2, **kind),
            layers.Flatten(**kind),
            layers.Dense(3, dtype="float32"),
        ]
    )


def fit(model):
    x = np.random.default_rng(0).normal(size=(8, 4, 4, 1))
    model.fit(x, np.arange(8) % 3, batch_size=4, shuffle=False, verbose=0)
    return [ops.convert_to_numpy(w) for w in model.weights]


def test_a_scaled_loss_is_clipped_as_one_that_is_not(tmp_path):
    """Also after the model was saved and loaded."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    results = []
    for scale in (None, 2.0**12):
        clipping = AdaptiveGradientClipping(0.01, exclude=None)
        optimizer = AdamW(0.01, adaptive_clipping=clipping)
        if scale:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, scale)
        model = make_model()
        model.compile(optimizer, loss, jit_compile=False)
        results.append(fit(model))
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        config = model.optimizer.get_config()
        assert loaded.optimizer.get_config() == config
        inner = getattr(loaded.optimizer, "inner_optimizer", loaded.optimizer)
        assert inner.adaptive_clipping.clipping == 0.01
        for a, b in zip(fit(model), fit(loaded), strict=True):
            np.testing.assert_array_equal(a, b)
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: AdaptiveGradientClipping(0), r"`clipping`.*\(0, inf\).*Rec"),
        (lambda: AdaptiveGradientClipping(epsilon=0), "`epsilon`.*Received"),
        (lambda: AdaptiveGradientClipping(exclude="(["), "`exclude` must be"),
        (lambda: SGD(adaptive_clipping=0.1), "`adaptive_clipping` must be an"),
        (
            lambda: SGD(
                adaptive_clipping=AdaptiveGradientClipping(),
                global_clipnorm=1.0,
            ),
            "`global_clipnorm` must be None with `adaptive_clipping`",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
