"""Runs that freeze a part of their network, for some epochs or for all."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_tricks import Recipe, training
from keras_tricks.report import run_report


class Stop(keras.callbacks.Callback):
    """Ends `fit` with an error behind a batch of an epoch."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise RuntimeError


def network(recipe, image_shape, num_classes):
    """Two convolutions and a head, in groups as those of a ResNet."""
    keras.utils.set_random_seed(recipe.seed)
    options = {"dtype": recipe.precision, "use_bias": False, "strides": 2}
    images = x = keras.Input(image_shape)
    for name in ("stem", "stage1"):
        x = layers.Conv2D(4, 3, name=f"{name}_conv", **options)(x)
        x = layers.BatchNormalization(
            name=f"{name}_norm", dtype=recipe.precision
        )(x)
        x = layers.ReLU(dtype=recipe.precision)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.3)(x)
    x = layers.Dense(num_classes, name="logits", dtype="float32")(x)
    return keras.Model(images, x)


@pytest.fixture(scope="module", autouse=True)
def small():
    """Puts the network in the place of every recipe's; no pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.run, "build_model", network)
        patch.setattr(run_report, "_figures", lambda run: [])
        yield


def recipe_of(**changes):
    fields = {
        "train_samples": 96,
        "test_samples": 32,
        "epochs": 3,
        "warmup_epochs": 1,
        "batch_size": 32,
        "weights": "those of the seed",
        "freeze": "backbone",
        "ema_decay": 0.9,
        "data_format": "channels_last",
    }
    return Recipe(**{**fields, **changes})


def arrays(model):
    return [np.array(keras.ops.convert_to_numpy(w)) for w in model.weights]


def equal(ours, theirs):
    return [
        np.array_equal(one, other)
        for one, other in zip(ours, theirs, strict=True)
    ]


def saved(folder):
    model = keras.saving.load_model(folder / "last.keras", compile=False)
    return arrays(model)


def test_the_head_alone_changes(tmp_path):
    recipe = recipe_of(epochs=2)
    run = training.prepare(recipe, tmp_path / "run")
    before = arrays(run.model)
    # Not even the statistics of batch norms, nor the momentum of others.
    assert len(run.model.optimizer.momentums) == 2
    run.fit(verbose=0)
    same = equal(before, saved(tmp_path / "run"))
    assert same == [True] * (len(same) - 2) + [False] * 2
    for text in (
        "frozen    backbone, in all epochs",
        "stem to stage1_conv, 2 groups: 0 of 212 values train",
        "head: 50 of 50 values train",
        "computed in each epoch: augmentation='shift'",
    ):
        assert text in run.explanation


def test_all_trains_from_the_epoch_on(tmp_path):
    class Weights(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(arrays(self.model))
            moments = self.model.optimizer.momentums
            counts.append((len(moments), int(self.model.optimizer.iterations)))

    seen, counts = [], []
    recipe = recipe_of(unfreeze_epoch=1, ema_decay=0.0)
    run = training.prepare(recipe, tmp_path / "run")
    seen.append(arrays(run.model))
    run.fit(verbose=0, extra_callbacks=[Weights()])
    variables = len(run.model.trainable_variables)
    assert counts == [(2, 3), (variables, 6), (variables, 9)]
    same = equal(seen[0], seen[1])
    assert same == [True] * (len(same) - 2) + [False] * 2
    assert not any(equal(seen[1], seen[2]))
    assert "until epoch 1, then all trains" in run.explanation


@pytest.mark.parametrize(
    "precision, at",
    [
        ("float32", (0, 1)),
        ("float32", (1, 0)),
        ("float32", (2, 1)),
        ("mixed_float16", (1, 1)),
    ],
)
def test_a_stopped_run_continues_bit_for_bit(tmp_path, precision, at):
    recipe = recipe_of(unfreeze_epoch=1, precision=precision)
    whole = training.prepare(recipe, tmp_path / "whole").fit(verbose=0)
    folder = tmp_path / "stopped"
    run = training.prepare(recipe, folder, backup_every_steps=1)
    with pytest.raises(RuntimeError):
        run.fit(verbose=0, extra_callbacks=[Stop(*at)])
    run = training.prepare(recipe, folder, resume="must")
    result = run.fit(verbose=0)
    assert all(equal(saved(tmp_path / "whole"), saved(folder)))
    assert result["val_crossentropy"] == whole["val_crossentropy"]


def test_with_gradient_accumulation_and_a_frozen_stage(tmp_path):
    recipe = recipe_of(
        freeze="stem",
        unfreeze_epoch=2,
        gradient_accumulation_steps=2,
    )
    run = training.prepare(recipe, tmp_path / "run")
    before = arrays(run.model)
    names = [weight.path for weight in run.model.weights]
    frozen = [name.startswith("stem") for name in names]
    with pytest.raises(RuntimeError):
        run.fit(verbose=0, extra_callbacks=[Stop(1, 2)])
    assert equal(before, arrays(run.model)) == frozen
    run = training.prepare(recipe, tmp_path / "run", resume="must")
    assert run.fit(verbose=0)["epochs"] == 3
    assert int(run.model.optimizer.iterations) == 9


RATES = {"layer_decay": 0.5, "head_learning_rate": 0.4}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_rates_by_depth_are_those_of_what_trains(tmp_path, optimizer):
    """In both parts of a run, one of which stops within an epoch."""
    rates = RATES
    if optimizer == "adamw":
        rates = {"layer_decay": 0.5, "head_learning_rate": 0.004}
        rates |= {"optimizer": "adamw", "base_learning_rate": 0.001}
    recipe = recipe_of(freeze="stem", unfreeze_epoch=1, **rates)
    factors = {"stem": 0.25, "stage1": 0.5, "logits": 4.0}
    whole = training.prepare(recipe, tmp_path / "whole")
    seen = []
    for trained in ({"stage1", "logits"}, set(factors)):
        scales = whole.model.optimizer.rate_scales
        assert {
            path.partition("_")[0].partition("/")[0] for path in scales
        } == (trained)
        for path, factor in scales.items():
            assert factor == factors[path.partition("_")[0].partition("/")[0]]
        seen.append(len(scales))
        if len(seen) == 1:
            whole.fit(verbose=0)
    assert seen == [5, 8]
    folder = tmp_path / "stopped"
    run = training.prepare(recipe, folder, backup_every_steps=1)
    with pytest.raises(RuntimeError):
        run.fit(verbose=0, extra_callbacks=[Stop(2, 1)])
    training.prepare(recipe, folder, resume="must").fit(verbose=0)
    assert all(equal(saved(tmp_path / "whole"), saved(folder)))


@pytest.mark.parametrize(
    "epoch, rate", [(None, ["frozen"]), (1, ["0.00625", "later"])]
)
def test_rates_by_depth_are_explained(tmp_path, epoch, rate):
    recipe = recipe_of(
        freeze="stem",
        unfreeze_epoch=epoch,
        batch_size=64,
        epochs=2,
        warmup_epochs=0,
        **RATES,
    )
    text = training.prepare(recipe, tmp_path / "run").explanation
    # The peak for 64 of 256 images is a quarter of 0.1.
    table = text[text.index("rates ") :].splitlines()[:5]
    assert [line.split() for line in table] == [
        ["rates", "layer_decay", "0.5,", "head_learning_rate", "0.4"],
        ["group", "factor", "peak", "rate"],
        ["stem", "0.25", *rate],
        ["stage1_conv", "0.5", "0.0125"],
        ["head", "4", "0.1"],
    ]


def test_frozen_norms_keep_what_they_have(tmp_path):
    recipe = recipe_of(freeze="norms", epochs=1, warmup_epochs=0)
    run = training.prepare(recipe, tmp_path / "run")
    before = arrays(run.model)
    names = [weight.path for weight in run.model.weights]
    run.fit(verbose=0)
    same = equal(before, saved(tmp_path / "run"))
    assert same == ["_norm/" in name for name in names]


def teacher_of(tmp_path):
    keras.utils.set_random_seed(7)
    images = keras.Input((8, 8, 1))
    x = layers.Dense(10)(layers.Flatten()(images))
    keras.Model(images, x).save(tmp_path / "teacher.keras")
    return {"teacher": str(tmp_path / "teacher.keras"), "temperature": 2.0}


@pytest.mark.filterwarnings("ignore:The teacher is no better")
def test_a_frozen_student_takes_the_other_steps_of_a_free_one(tmp_path):
    recipe = recipe_of(
        train_samples=32, epochs=1, warmup_epochs=0, **teacher_of(tmp_path)
    )
    found = []
    for index, what in enumerate(("stem_conv/kernel", None)):
        run = training.prepare(
            recipe.replace(freeze=what), tmp_path / f"{index}"
        )
        before = arrays(run.model.student)
        run.fit(verbose=0)
        found.append(arrays(run.model.student))
    names = [weight.path for weight in run.model.student.weights]
    frozen = [name == "stem_conv/kernel" for name in names]
    assert equal(before, found[0]) == frozen
    assert not any(equal(before, found[1]))
    for kept, one, other in zip(frozen, *found, strict=True):
        if not kept:
            np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The teacher is no better")
def test_a_student_that_thaws_continues_bit_for_bit(tmp_path):
    recipe = recipe_of(unfreeze_epoch=1, **teacher_of(tmp_path))
    whole = training.prepare(recipe, tmp_path / "whole")
    assert len(whole.model.optimizer.momentums) == 2
    result = whole.fit(verbose=0)
    assert len(whole.model.optimizer.momentums) == 8
    folder = tmp_path / "stopped"
    run = training.prepare(recipe, folder, backup_every_steps=1)
    with pytest.raises(RuntimeError):
        run.fit(verbose=0, extra_callbacks=[Stop(1, 1)])
    again = training.prepare(recipe, folder, resume="must").fit(verbose=0)
    assert all(equal(saved(tmp_path / "whole"), saved(folder)))
    assert again["val_crossentropy"] == result["val_crossentropy"]
