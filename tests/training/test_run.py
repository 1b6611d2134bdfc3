import csv
import json
import math
import os
import subprocess
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_tricks import Recipe, callbacks, training
from keras_tricks.distribute import Distribution
from keras_tricks.recipe.plan import make_plan, make_schedule
from keras_tricks.report import read_run
from keras_tricks.training import build_data, run_callbacks

SIZE = {"train_samples": 128, "test_samples": 64, "width": 2}
LENGTH = {"epochs": 3, "warmup_epochs": 1, "batch_size": 32}
PLAIN = Recipe(**SIZE, **LENGTH, mixup_alpha=0)
BAG = Recipe(
    **SIZE,
    **LENGTH,
    ema_decay=0.9,
    precision="mixed_float16",
    mixup_off_epochs=1,
)
# Its second epoch, behind whose backup it is killed, is its best.
AVERAGED = PLAIN.replace(ema_decay=0.9, base_learning_rate=1.0, seed=4)
# The recipe, and how many epochs are done when the process dies.
KILLED = {
    "in an epoch": (BAG, 1),
    "behind the backup": (AVERAGED, 2),
    "with a teacher": (BAG.replace(teacher="teacher.keras"), 1),
}


def small_network(recipe, image_shape, num_classes):
    """Stands in for a ResNet where the run around it is what matters."""
    keras.utils.set_random_seed(recipe.seed)
    first = build_data(recipe)[1].data_format == "channels_first"
    shape = (image_shape[2], *image_shape[:2]) if first else image_shape
    form = {"data_format": "channels_first" if first else "channels_last"}
    kind = {"dtype": recipe.precision}
    images = keras.Input(shape)
    x = layers.Conv2D(4, 3, strides=2, **form, **kind)(images)
    x = layers.BatchNormalization(axis=1 if first else -1, **kind)(x)
    x = layers.Flatten(**kind)(layers.ReLU(**kind)(x))
    logits = layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(images, logits, name="small")


@pytest.fixture(scope="module", autouse=True)
def small():
    """Puts a small network in the place of every recipe's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.run, "build_model", small_network)
        yield


def recipe_of(name, root):
    """The recipe of a killed run; its teacher lies in the root folder."""
    recipe = KILLED[name][0]
    if recipe.teacher is None:
        return recipe
    return recipe.replace(teacher=str(root / recipe.teacher))


def save_teacher(root):
    """Trains a network as long as it takes to be better than chance."""
    data, train, _ = build_data(PLAIN)
    teacher = small_network(PLAIN, data.image_shape, data.num_classes)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    teacher.compile(keras.optimizers.Adam(0.02), loss)
    teacher.fit(train, epochs=15, verbose=0)
    teacher.save(root / "teacher.keras")


class Kill(keras.callbacks.Callback):
    """Ends the process as a power cut would, within the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch >= 1:
            os._exit(9)


class KillBehind(callbacks.Backup):
    """Ends the process right after the backup of the second epoch."""

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if epoch == 1:
            os._exit(9)


def run_and_be_killed(name, folder):
    """Trains in a process that does not outlive it."""
    training.run.build_model = small_network
    run = training.prepare(recipe_of(name, Path(folder).parent), folder)
    if name == "behind the backup":
        run.backup.__class__ = KillBehind
        run.fit(0)
    run.fit(0, [Kill()])


def start(name, folder):
    script = f"""
import sys
import types
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_run
test_run.run_and_be_killed({name!r}, {str(folder)!r})
"""
    environment = {"KERAS_BACKEND": keras.backend.backend()}
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A function that gives the folder of a run that was killed."""
    root = tmp_path_factory.mktemp("killed")
    save_teacher(root)
    started = {name: start(name, root / name) for name in KILLED}

    def wait(name):
        _, errors = started[name].communicate()
        assert started[name].returncode == 9, errors[-2000:]
        return root / name

    yield wait
    for process in started.values():
        with process:  # Closes its pipes, whoever has waited for it.
            process.kill()


@pytest.fixture(scope="module")
def whole_run(killed, tmp_path_factory):
    """A run from beginning to end, and its result."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run = training.prepare(BAG, folder)
    return run, run.fit(verbose=0)


def test_every_file_holds_what_it_should(whole_run):
    run, result = whole_run
    names = "recipe.json explain.txt classes.json history.csv events"
    names += " best.keras last.keras result.json report.html"
    assert {path.name for path in run.folder.iterdir()} == {*names.split()}
    assert Recipe.load(run.folder / "recipe.json") == run.recipe
    explain = (run.folder / "explain.txt").read_text("utf-8")
    assert explain == run.explanation
    assert explain.splitlines()[1] == (
        "classes   10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    )
    assert explain.startswith("data      ImageData(name='digits', train=128")
    assert json.loads((run.folder / "result.json").read_text()) == result
    for part in ("train", "validation"):
        assert len([*(run.folder / "events" / part).iterdir()]) == 1
    report = (run.folder / "report.html").read_text("utf-8")
    assert f"{result['val_accuracy']:.2%}"[:-1] in report


def test_the_result_is_the_last_row_of_the_history(whole_run):
    run, result = whole_run
    with open(run.folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    for name in ("val_accuracy", "val_crossentropy"):
        assert result[name] == float(rows[-1][name])
    accuracies = [float(row["val_accuracy"]) for row in rows]
    assert result["best_val_accuracy"] == max(accuracies)
    assert accuracies[result["best_epoch"] - 1] == max(accuracies)
    assert result["epochs"] == 3
    assert result["parameters"] == run.model.count_params()


def test_the_history_has_the_loss_scale_and_the_rate(whole_run):
    run, _ = whole_run
    history = read_run(run.folder).history
    # Each overflow halves the scale of 2^15, and is no update.
    skipped = 15 - np.log2(history["loss_scale"])
    assert set(skipped) <= {0, 1, 2, 3}
    schedule = make_schedule(run.recipe, make_plan(run.recipe, 128))
    rates = [float(schedule(int(step))) for step in (3, 7, 11) - skipped]
    np.testing.assert_allclose(history["learning_rate"], rates, rtol=1e-6)
    assert all(map(math.isfinite, history["images_per_second"]))


def test_the_saved_models_need_no_custom_objects(whole_run):
    run, result = whole_run
    last = keras.saving.load_model(run.folder / "last.keras")
    assert_same_weights(last, run.model)
    values = last.evaluate(run.validation_batches, verbose=0, return_dict=True)
    assert values["accuracy"] == pytest.approx(result["val_accuracy"])
    best = keras.saving.load_model(run.folder / "best.keras")
    x, y = run.validation_batches.batch(0, 0)
    logits = ops.convert_to_numpy(best(x, training=False))
    assert logits.shape == (len(y), 10)


@pytest.mark.parametrize("is_chief", [True, False])
def test_all_processes_save_the_best_model_or_none(is_chief, tmp_path):
    """The first one's folder decides: to save may need all of them."""

    class Process(Distribution):
        def any(self, flag):
            return flag  # Of the others none says so.

    Process.is_chief = is_chief
    run = types.SimpleNamespace(
        folder=tmp_path, distribution=Process(), recipe=Recipe()
    )
    callback = run_callbacks._BestModel(run, best_so_far=0.5)
    callback.set_model(keras.Sequential([keras.Input((2,)), layers.Dense(1)]))
    callback.on_epoch_end(1, {"val_accuracy": 0.4})
    assert (tmp_path / "best.keras").exists() == is_chief


def assert_same_weights(model, other):
    for a, b in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (a, b)))


def assert_same_run(run, whole):
    """Checks weights, optimizer and history, bit for bit."""
    assert_same_weights(run.model, whole.model)
    pairs = zip(
        run.model.optimizer.variables,
        whole.model.optimizer.variables,
        strict=True,
    )
    for a, b in pairs:
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (a, b)))
    ours, theirs = (read_run(r.folder).history for r in (run, whole))
    for history in (ours, theirs):
        del history["images_per_second"]
    assert ours == theirs


@pytest.mark.parametrize("name", KILLED)
def test_a_killed_run_continues_bit_for_bit(name, killed, whole_run, tmp_path):
    folder, epochs_done = killed(name), KILLED[name][1]
    recipe = recipe_of(name, folder.parent)
    whole, _ = whole_run
    if whole.recipe != recipe:
        whole = training.prepare(recipe, tmp_path)
        whole.fit(verbose=0)
    run = training.prepare(recipe, folder)
    assert run.epochs_done == epochs_done
    run.fit(verbose=0)
    assert_same_run(run, whole)
    assert not (run.folder / "backup").exists()
    for model in ("best.keras", "last.keras"):
        paths = run.folder / model, whole.folder / model
        saved = [*map(keras.saving.load_model, paths)]
        assert_same_weights(*saved)
        assert saved[0].name == "small"


def test_a_complete_run_is_refused(whole_run):
    run, _ = whole_run
    with pytest.raises(ValueError, match="`run_folder`.*a complete run$"):
        training.train(run.recipe, run.folder)


def test_another_recipe_is_refused(tmp_path):
    run = training.prepare(PLAIN, tmp_path)
    other = run.recipe.replace(epochs=4)
    message = "`run_folder`.*same recipe.*where epochs is 3 and not 4"
    with pytest.raises(ValueError, match=message):
        training.prepare(other, tmp_path)
    assert training.prepare(run.recipe, tmp_path).epochs_done == 0


def test_a_rule_that_decays_nothing_is_refused_before_training(tmp_path):
    recipe = PLAIN.replace(decay="kernle")
    with pytest.raises(ValueError, match="`decay` must match.*kernle"):
        training.prepare(recipe, tmp_path)


def test_a_run_that_diverges_says_so(tmp_path):
    recipe = PLAIN.replace(
        base_learning_rate=1e38, learning_rate_scaling="none", warmup_epochs=0
    )
    message = "The loss became (nan|inf) in epoch 1: .*learning_rate"
    with pytest.raises(FloatingPointError, match=message):
        training.train(recipe, tmp_path, verbose=0)
    assert not (tmp_path / "result.json").exists()
    assert not (tmp_path / "backup").exists()


class Spoil(keras.callbacks.Callback):
    """Makes the weights NaN in the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            kernel = self.model.layers[-1].kernel
            kernel.assign(kernel * float("nan"))


def test_the_last_good_backup_outlives_divergence(tmp_path):
    recipe = PLAIN
    run = training.prepare(recipe, tmp_path)
    with pytest.raises(FloatingPointError, match="nan in epoch 2.*_00001$"):
        run.fit(verbose=0, extra_callbacks=[Spoil()])
    assert [p.name for p in run.backup.backups()] == ["epoch_00001"]
    again = training.prepare(recipe, tmp_path)
    assert again.epochs_done == 1
    assert math.isfinite(again.fit(verbose=0)["val_crossentropy"])


def test_the_average_does_not_replace_restored_weights(tmp_path):
    restore = keras.callbacks.EarlyStopping(
        "val_accuracy", mode="max", patience=9, restore_best_weights=True
    )
    training.train(AVERAGED, tmp_path, verbose=0, extra_callbacks=[restore])
    last, best = (
        keras.models.load_model(tmp_path / name).get_weights()
        for name in ("last.keras", "best.keras")
    )
    for weight, expected in zip(last, best, strict=True):
        np.testing.assert_array_equal(weight, expected)
