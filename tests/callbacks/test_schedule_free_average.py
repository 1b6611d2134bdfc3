"""Schedule-free training: what is trained, and what is scored and saved."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks import Recipe, training
from keras_tricks.callbacks import (
    Backup,
    ExponentialMovingAverage,
    ScheduleFreeAverage,
)
from keras_tricks.optimizers import ScheduleFreeAdamW

RATE, BETA_1, BETA_2, EPSILON, DECAY = 0.1, 0.8, 0.95, 1e-3, 0.01
rng = np.random.default_rng(0)
X = rng.normal(1.0, 2.0, (12, 3)).astype("float32")
Y = rng.normal(size=(12, 2)).astype("float32")
BATCH = 4


def make_model(precision="float32"):
    keras.utils.set_random_seed(1)
    layer = keras.layers.Dense(2, use_bias=False, dtype=precision)
    model = keras.Sequential([keras.Input((3,)), layer])
    optimizer = ScheduleFreeAdamW(RATE, DECAY, BETA_1, BETA_2, EPSILON)
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, "mse", jit_compile=False)
    return model


def fit(model, callbacks, epochs=3, **kwargs):
    return model.fit(
        X,
        Y,
        batch_size=BATCH,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        validation_data=(X, Y),
        callbacks=callbacks,
        **kwargs,
    ).history


def loss(w):
    return np.mean((X.astype("float64") @ w - Y) ** 2)


def reference(w, epochs):
    """Return x and y after each epoch, in float64."""
    x = y = z = w.astype("float64")
    v, seen = 0.0, []
    for step in range(epochs * 3):
        part = slice(step % 3 * BATCH, step % 3 * BATCH + BATCH)
        images, targets = X[part].astype("float64"), Y[part]
        g = images.T @ (images @ y - targets) * 2 / targets.size
        v = BETA_2 * v + (1 - BETA_2) * g**2
        spread = np.sqrt(v / (1 - BETA_2 ** (step + 1))) + EPSILON
        z = z - RATE * (g / spread + DECAY * y)
        x = x + (z - x) / (step + 1)  # As all rates are the same.
        y = (1 - BETA_1) * z + BETA_1 * x
        if step % 3 == 2:
            seen.append((x, y))
    return seen


def state(model):
    inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    return [
        np.array(ops.convert_to_numpy(v))
        for v in (*model.weights, *inner.variables)
    ]


def assert_same(some, others):
    for a, b in zip(some, others, strict=True):
        np.testing.assert_array_equal(a, b)


def test_validation_and_what_is_left_are_the_average(tmp_path):
    model, plain = make_model(), make_model()
    expected = reference(model.get_weights()[0], 3)
    saved = tmp_path / "{epoch}.weights.h5"
    checkpoint = keras.callbacks.ModelCheckpoint(saved, save_weights_only=True)
    history = fit(model, [ScheduleFreeAverage(), checkpoint])
    wrong = fit(plain, [])["val_loss"]
    for epoch, (x, y) in enumerate(expected):
        assert history["val_loss"][epoch] == pytest.approx(loss(x), rel=1e-5)
        assert wrong[epoch] == pytest.approx(loss(y), rel=1e-5)
        plain.load_weights(tmp_path / f"{epoch + 1}.weights.h5")
        np.testing.assert_allclose(plain.get_weights()[0], x, atol=1e-5)
    assert abs(loss(expected[0][0]) - loss(expected[0][1])) > 1e-2
    # Training anew begins from x, also from a file.
    model.save(tmp_path / "model.keras")
    for some in model, keras.saving.load_model(tmp_path / "model.keras"):
        (x,) = some.optimizer.averaged_values()
        for found in x, some.get_weights()[0]:
            found = ops.convert_to_numpy(found)
            np.testing.assert_allclose(found, expected[-1][0], atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_training_goes_on_with_the_same_bits(precision):
    model, plain = make_model(precision), make_model(precision)
    fit(model, [ScheduleFreeAverage(apply_at_end=False)])
    fit(plain, [])
    assert_same(state(model), state(plain))


def test_a_backup_holds_what_is_trained(tmp_path):
    def parts():
        average = ScheduleFreeAverage(apply_at_end=False)
        return [average, Backup(tmp_path, average)]

    whole, first, second = make_model(), make_model(), make_model()
    scores = fit(whole, [ScheduleFreeAverage(apply_at_end=False)], 4)
    fit(first, parts(), 2)
    average, backup = parts()
    assert backup.restore(second) == 2
    history = fit(second, [average, backup], 4, initial_epoch=2)
    assert history["val_loss"] == scores["val_loss"][2:]
    assert_same(state(second), state(whole))


def test_what_does_not_go_with_it_is_refused(tmp_path):
    average, other = ScheduleFreeAverage(), ExponentialMovingAverage()
    with pytest.raises(ValueError, match="beside `ScheduleFreeAverage`"):
        fit(make_model(), [average, other])
    stop = keras.callbacks.EarlyStopping(restore_best_weights=True)
    with pytest.raises(ValueError, match="behind `ScheduleFreeAverage"):
        fit(make_model(), [stop, average])
    with pytest.raises(ValueError, match="be the `ScheduleFreeAverage` among"):
        fit(make_model(), [average, Backup(tmp_path)])


class Look(keras.callbacks.Callback):
    """Keeps y and x of the last batch."""

    def on_train_batch_end(self, batch, logs=None):
        optimizer = self.model.optimizer
        pairs = zip(
            self.model.trainable_variables,
            optimizer.averaged_values(),
            strict=True,
        )
        self.last = [
            tuple(np.array(ops.convert_to_numpy(part)) for part in pair)
            for pair in pairs
        ]


def test_a_recipe_scores_and_saves_the_average(tmp_path):
    recipe = Recipe(
        optimizer="schedule_free_adamw",
        schedule="constant",
        base_learning_rate=0.05,
        train_samples=128,
        test_samples=64,
        width=2,
        epochs=2,
        warmup_epochs=0,
        mixup_alpha=0,
        batch_size=32,
    )
    run = training.prepare(recipe, tmp_path / "run")
    assert "average of the fast weights" in run.explanation
    look = Look()
    result = run.fit(0, [look])
    saved = keras.saving.load_model(tmp_path / "run" / "last.keras")
    for found, (_, x) in zip(saved.trainable_variables, look.last, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(found), x, atol=1e-6)
    assert max(np.abs(y - x).max() for y, x in look.last) > 1e-3
    losses = saved.evaluate(run.validation_batches, verbose=0, return_dict=True)
    assert losses["crossentropy"] == pytest.approx(
        result["val_crossentropy"], rel=1e-4
    )
