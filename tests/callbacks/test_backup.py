import math

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_tricks.callbacks import Backup, ExponentialMovingAverage
from keras_tricks.optimizers import SGD
from keras_tricks.schedules import CosineDecay


def make_model(width=4, dtype="float32", momentum=0.9):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(width, dtype=dtype),
            layers.BatchNormalization(dtype=dtype),
            layers.Dense(2, dtype="float32"),
        ]
    )
    optimizer = SGD(CosineDecay(0.05, 40), momentum, nesterov=momentum > 0)
    if dtype == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, 8.0, 3)
    model.compile(optimizer, "mse", run_eagerly=True)
    return model


def data():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(16, 3)).astype("float32")
    return x, x[:, :2]


def fit(model, callbacks, epochs=3, initial_epoch=0):
    model.fit(
        *data(),
        batch_size=4,
        epochs=epochs,
        initial_epoch=initial_epoch,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    )


def state(model):
    """All values that decide how training goes on."""
    variables = model.weights + model.optimizer.variables
    return [ops.convert_to_numpy(variable) for variable in variables]


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_without_a_backup_changes_nothing(tmp_path):
    model = make_model()
    before = model.get_weights()
    assert Backup(tmp_path / "none").restore(model) == 0
    assert_same(model.get_weights(), before)


@pytest.mark.parametrize("keep", [1, 2])
def test_the_last_backups_are_kept(keep, tmp_path):
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: seen.append(names(tmp_path))
    )
    fit(make_model(), [Backup(tmp_path, keep=keep), look])
    every = ["epoch_00001", "epoch_00002", "epoch_00003"]
    assert seen == [every[max(0, n - keep) : n] for n in (1, 2, 3)]


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_all_of_the_state_comes_back(dtype, tmp_path):
    model = make_model(dtype=dtype)
    average = ExponentialMovingAverage(0.5, apply_at_end=False)
    fit(model, [Backup(tmp_path, average), average])
    again = make_model(dtype=dtype)
    restored = ExponentialMovingAverage()
    assert Backup(tmp_path, restored).restore(again) == 3
    assert_same(state(again), state(model))
    assert int(again.optimizer.iterations) == 12
    if dtype == "mixed_float16":
        assert float(again.optimizer.dynamic_scale) == 8 * 2**4
    ours, theirs = restored.get_state(), average.get_state()
    assert ours["updates"] == 12
    assert_same(ours.values(), theirs.values())


def test_training_goes_on_as_if_never_interrupted(tmp_path):
    whole = make_model()
    fit(whole, [])
    fit(make_model(), [Backup(tmp_path)], epochs=2)
    model = make_model()
    backup = Backup(tmp_path)
    fit(model, [backup], initial_epoch=backup.restore(model))
    assert_same(state(model), state(whole))
    assert names(tmp_path) == ["epoch_00002", "epoch_00003"]


def test_a_model_that_has_trained_goes_back_to_the_backup(tmp_path):
    model = make_model(dtype="mixed_float16")
    fit(model, [Backup(tmp_path)], epochs=1)
    saved = state(model)
    fit(model, [], epochs=1)
    assert Backup(tmp_path).restore(model) == 1
    assert_same(state(model), saved)


def test_a_backup_that_is_half_written_does_not_count(tmp_path):
    model = make_model()
    fit(model, [Backup(tmp_path)], epochs=1)
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "state.npz").write_bytes(b"half")
    backup = Backup(tmp_path)
    again = make_model()
    assert backup.restore(again) == 1
    assert_same(state(again), state(model))
    fit(again, [backup], epochs=2, initial_epoch=1)
    assert names(tmp_path) == ["epoch_00001", "epoch_00002"]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_an_epoch_that_is_not_finite_is_not_saved(loss, tmp_path):
    model, backup = make_model(), Backup(tmp_path)
    fit(model, [backup], epochs=1)
    backup.on_epoch_end(1, {"loss": loss})
    assert names(tmp_path) == ["epoch_00001"]
    backup.on_epoch_end(1, {"loss": 0.5})
    assert names(tmp_path) == ["epoch_00001", "epoch_00002"]


@pytest.mark.parametrize("change", [{"width": 5}, {"momentum": 0}])
def test_a_backup_of_another_model_or_optimizer_is_refused(change, tmp_path):
    fit(make_model(), [Backup(tmp_path)], epochs=1)
    message = "`folder` must hold backups of this very .*Received: folder="
    model = make_model(**change)
    model.optimizer.build(model.trainable_variables)
    before = state(model)
    with pytest.raises(ValueError, match=message):
        Backup(tmp_path).restore(model)
    assert_same(state(model), before)


def test_the_average_comes_back_behind_a_backup(tmp_path):
    model, seen = make_model(), []
    average = ExponentialMovingAverage(0.5)
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.get_weights())
    )
    fit(model, [average, Backup(tmp_path, average), look], epochs=1)
    for weight, averaged in zip(seen[0], model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, averaged)


def test_a_backup_that_does_not_know_the_average_is_refused(tmp_path):
    callbacks = [ExponentialMovingAverage(), Backup(tmp_path)]
    with pytest.raises(ValueError, match="`average` .* average=None$"):
        fit(make_model(), callbacks)


def test_a_backup_without_its_average_is_refused(tmp_path):
    fit(make_model(), [Backup(tmp_path)], epochs=1)
    backup = Backup(tmp_path, ExponentialMovingAverage())
    with pytest.raises(ValueError, match="no average in it"):
        backup.restore(make_model())
