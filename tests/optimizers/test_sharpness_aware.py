import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_tricks.optimizers import (
    SGD,
    AdamW,
    sharpest_step,
    sharpness_aware,
)

RHO, RATE, MOMENTUM, STEPS, ROWS = 0.1, 0.2, 0.9, 20, 6


def make_model(*hidden, optimizer=None, **options):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(2)])
    optimizer = optimizer or SGD(RATE, MOMENTUM, weight_decay=0.01)
    model.compile(optimizer, "mse", **options)
    return model


def make_data(rows=STEPS * ROWS):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 4)).astype("float32")
    return x, rng.normal(size=(rows, 2)).astype("float32")


def weights(model):
    return [ops.convert_to_numpy(w).astype("float64") for w in model.weights]


def fit(model, batch_size=ROWS, rows=STEPS * ROWS, **options):
    x, y = make_data(rows)
    options = {"batch_size": batch_size, "shuffle": False, **options}
    return model.fit(x, y, verbose=0, **options).history


def gradients(w, b, x, y):
    """Those of the mean squared error of a linear model."""
    error = 2 * (x @ w + b - y) / y.size
    return x.T @ error, error.sum(axis=0)


@pytest.mark.parametrize("eager", [False, True])
def test_against_float64(eager):
    model = sharpness_aware(make_model(run_eagerly=eager), RHO)
    w, b = weights(model)
    history = fit(model)
    x, y = (part.astype("float64") for part in make_data())
    m = [0.0, 0.0]
    losses = []
    for first in range(0, len(x), ROWS):
        part = slice(first, first + ROWS)
        losses.append(np.mean((x[part] @ w + b - y[part]) ** 2))
        g = gradients(w, b, x[part], y[part])
        norm = np.sqrt(sum((one**2).sum() for one in g))
        above = [v + RHO * one / norm for v, one in zip((w, b), g, strict=True)]
        g = gradients(*above, x[part], y[part])
        g = g[0] + 0.01 * w, g[1]
        m = [MOMENTUM * old + new for old, new in zip(m, g, strict=True)]
        w = w - RATE * (g[0] + MOMENTUM * m[0])
        b = b - RATE * (g[1] + MOMENTUM * m[1])
    for got, want in zip(weights(model), (w, b), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)
    assert history["loss"][0] == pytest.approx(np.mean(losses), rel=1e-5)
    assert int(model.optimizer.iterations) == STEPS


def test_moving_statistics_and_metrics_are_those_of_the_first_pass():
    """Of one step, with a rate of 0: as without it."""
    results = []
    for aware in (False, True):
        model = make_model(
            layers.Dense(3),
            layers.BatchNormalization(),
            layers.Dropout(0.5, seed=1),
            optimizer=SGD(0.0),
            metrics=["mae"],
        )
        if aware:
            sharpness_aware(model, rho=0.5)
        history = fit(model, rows=2 * ROWS)
        results.append((weights(model), history))
    (plain, logs), (aware, aware_logs) = results
    for a, b in zip(plain, aware, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    for name, value in logs.items():
        assert aware_logs[name] == pytest.approx(value, rel=1e-5)


def test_parts_of_a_batch_climb_on_their_own():
    """As plain updates with gradients above the same weights."""
    model = make_model(
        optimizer=AdamW(0.01, gradient_accumulation_steps=2, weight_decay=0.1)
    )
    w, b = weights(model)
    fit(sharpness_aware(model, RHO), rows=2 * ROWS)
    x, y = (part.astype("float64") for part in make_data(2 * ROWS))
    total = [0.0, 0.0]
    for part in (slice(0, ROWS), slice(ROWS, 2 * ROWS)):
        g = gradients(w, b, x[part], y[part])
        norm = np.sqrt(sum((one**2).sum() for one in g))
        above = [v + RHO * one / norm for v, one in zip((w, b), g, strict=True)]
        g = gradients(*above, x[part], y[part])
        total = [t + one / 2 for t, one in zip(total, g, strict=True)]
    want = []
    for value, g, decay in ((w, total[0], 0.1), (b, total[1], 0.0)):
        want.append(value * (1 - 0.01 * decay) - 0.01 * np.sign(g))
    for got, one in zip(weights(model), want, strict=True):
        np.testing.assert_allclose(got, one, rtol=1e-4, atol=1e-4)


def test_a_loss_scale_changes_nothing_and_an_overflow_is_skipped():
    results = []
    for scale in (None, 2.0**10):
        optimizer = SGD(RATE, weight_decay=0.0)
        if scale:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, scale)
        model = sharpness_aware(make_model(optimizer=optimizer), RHO)
        fit(model, rows=5 * ROWS)
        results.append(weights(model))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    before = weights(model)
    x, y = make_data(ROWS)
    model.train_on_batch(np.full_like(x, 1e30), y)
    for a, b in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(model.optimizer.iterations) == 5


def test_what_is_saved_is_the_plain_model(tmp_path):
    model = sharpness_aware(make_model(), RHO)
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == STEPS
    sharpness_aware(loaded, RHO)
    for one in (model, loaded):
        fit(one)
    for a, b in zip(weights(model), weights(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_gradient_is_no_step():
    zeros, nan = ops.zeros((2,)), ops.full((2,), float("nan"))
    assert sharpest_step([None], 0.1) == [None]
    for value in (zeros, nan):
        (step,) = sharpest_step([value], 0.1)
        np.testing.assert_array_equal(ops.convert_to_numpy(step), 0.0)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"`rho`.*\(0, inf\).*rho=0"):
        sharpness_aware(make_model(), 0)
    plain = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="`model` must be compiled.*Received"):
        sharpness_aware(plain)
    model = sharpness_aware(make_model(), 0.1)
    with pytest.raises(ValueError, match="`model` must be given once.*0.1"):
        sharpness_aware(model)
