import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_tricks import Recipe
from keras_tricks.recipe.plan import make_plan, make_schedule
from keras_tricks.recipe.recipe import PRESETS, TEACHER_PRESETS

# The rows of the paper's tables: the first, and what each adds to the one
# before. Everything else is as in the defaults.
FIRST_ROW = {
    "variant": "A",
    "zero_gamma": False,
    "epochs": 120,
    "batch_size": 256,
    "learning_rate_scaling": "none",
    "warmup_epochs": 0.0,
    "schedule": "step",
    "decay": "all",
    "label_smoothing": 0.0,
    "mixup_alpha": 0.0,
}
ADDED = {
    "efficient": {
        "variant": "D",
        "batch_size": 1024,
        "precision": "mixed_float16",
        "learning_rate_scaling": "linear",
        "warmup_epochs": 5.0,
        "zero_gamma": True,
        "decay": "kernels",
    },
    "+cosine": {"schedule": "cosine"},
    "+label_smoothing": {"label_smoothing": 0.1},
    "+mixup": {"mixup_alpha": 0.2, "epochs": 200},
}
RECIPES = {
    "defaults": Recipe(),
    **{
        name: Recipe.preset(name)
        for name in PRESETS
        if name not in TEACHER_PRESETS
    },
    "teacher": Recipe.preset("+distillation", teacher="t.keras"),
    "options": Recipe(data_dir="a", schedule="step", step_epochs=[3, 7]),
}


def changed(recipe, other):
    """Fields of `recipe` that differ from those of `other`."""
    theirs = dataclasses.asdict(other)
    ours = dataclasses.asdict(recipe)
    return {name: ours[name] for name in ours if ours[name] != theirs[name]}


@pytest.mark.parametrize("name", RECIPES)
def test_json_keeps_every_field(name, tmp_path):
    recipe, path = RECIPES[name], tmp_path / "recipe.json"
    path.write_text(recipe.to_json())
    assert Recipe.from_json(recipe.to_json()) == recipe == Recipe.load(path)
    names = [field.name for field in dataclasses.fields(Recipe)]
    assert list(json.loads(recipe.to_json())) == names


def test_fields_that_json_lacks_take_the_defaults():
    assert Recipe.from_json('{"epochs": 3}') == Recipe(epochs=3)


BAD_JSON = {
    "{": r"`text` must be a JSON object \(.*\)\. Received: '\{'",
    "[1]": r"`text` must be a JSON object\. Received: '\[1\]'",
    '{"epoch": 3}': r"is it 'epochs'\?.*Received: epoch$",
    '{"scale_learning_rate": true}': "learning_rate_scaling='linear' stands.*"
    "Received: scale_learning_rate$",
    '{"epochs": 0}': "`epochs` must be .* at least 1. Received: epochs=0",
}


@pytest.mark.parametrize("text", BAD_JSON)
def test_json_that_is_no_recipe_is_refused(text, tmp_path):
    with pytest.raises(ValueError, match=BAD_JSON[text]):
        Recipe.from_json(text)
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(ValueError, match="^`path` must be the file.*Received"):
        Recipe.load(tmp_path / "recipe.json")


def test_a_missing_file_is_refused_by_its_path(tmp_path):
    with pytest.raises(ValueError, match="`path`.*Received: path='.*none'"):
        Recipe.load(tmp_path / "none")


def test_a_recipe_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().epochs = 3


def test_replace_makes_a_checked_copy():
    recipe = Recipe()
    assert recipe.replace(epochs=5) == Recipe(epochs=5)
    assert recipe == Recipe()
    with pytest.raises(ValueError, match="`epochs`.*Received: epochs=0"):
        recipe.replace(epochs=0)
    with pytest.raises(ValueError, match="`warmup_epochs` must be at most"):
        recipe.replace(epochs=1)
    with pytest.raises(ValueError, match="is it 'epochs'.*Received: epoch$"):
        recipe.replace(epoch=3)


def test_presets_are_the_rows_of_the_paper():
    assert PRESETS == ("baseline", *ADDED, *TEACHER_PRESETS)
    before = Recipe.preset("baseline")
    assert before == Recipe(**FIRST_ROW)
    for name, added in ADDED.items():
        recipe = Recipe.preset(name)
        assert changed(recipe, before) == added
        before = recipe


def test_presets_with_a_teacher():
    given = {"teacher": "t.keras"}
    for name in TEACHER_PRESETS:
        with pytest.raises(
            ValueError, match=f"`teacher` must be .*{name[1:3]}"
        ):
            Recipe.preset(name)
    for name, before in (
        ("+distillation", "+label_smoothing"),
        ("+mixup+distillation", "+mixup"),
    ):
        recipe = Recipe.preset(name, **given)
        assert changed(recipe, Recipe.preset(before)) == given
        assert (recipe.temperature, recipe.hard_weight) == (20.0, None)
    patient = Recipe.preset("patient_consistent", **given)
    assert (patient.hard_weight, patient.temperature) == (0.0, 1.0)
    assert patient.mixup_alpha and not patient.mixup_off_epochs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0}, "`temperature` must be above 0"),
        ({"hard_weight": 0.5}, "`hard_weight` must be None without a teacher"),
        ({"teacher": "t", "hard_weight": 2}, "`hard_weight` must be a number"),
        ({"teacher_weights": "w"}, "`teacher_weights` must be None without"),
        ({"teacher": ""}, "`teacher` must be a path"),
    ],
)
def test_a_teacher_that_cannot_be_meant_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**changes)


def test_a_preset_takes_changes_and_no_other_name():
    recipe = Recipe.preset("+cosine", epochs=30)
    assert changed(recipe, Recipe.preset("+cosine")) == {"epochs": 30}
    with pytest.raises(ValueError, match="'\\+mixup', .*: name='mixup'"):
        Recipe.preset("mixup")


@pytest.mark.parametrize("base, batch", [(0.1, 256), (0.1, 1024), (0.3, 64)])
def test_the_peak_is_linear_in_the_batch(base, batch):
    recipe = Recipe(base_learning_rate=base, batch_size=batch)
    assert recipe.learning_rate == pytest.approx(base * batch / 256, rel=1e-15)
    unscaled = recipe.replace(learning_rate_scaling="none")
    assert unscaled.learning_rate == base
    root = recipe.replace(learning_rate_scaling="sqrt")
    assert root.learning_rate == pytest.approx(base * (batch / 256) ** 0.5)


@pytest.mark.parametrize(
    "epochs, quarters",
    [(120, (30, 60, 90)), (20, (5, 10, 15)), (3, (1, 2)), (2, (1,)), (1, ())],
)
def test_steps_are_at_the_quarters(epochs, quarters):
    recipe = Recipe(epochs=epochs, schedule="step", warmup_epochs=0)
    assert recipe.boundaries == quarters


def reference_rates(recipe, size):
    """The learning rate of every update, in float64."""
    per_epoch = size // recipe.batch_size
    updates = per_epoch * recipe.epochs
    warmup = round(per_epoch * recipe.warmup_epochs)
    step = np.arange(updates, dtype="float64")
    peak = recipe.base_learning_rate * recipe.batch_size / 256
    if recipe.schedule == "constant":
        main = np.full(updates, peak)
    elif recipe.schedule == "cosine":
        progress = (step - warmup) / max(updates - warmup, 1)
        main = peak * (1 + np.cos(np.pi * progress)) / 2
    else:
        epoch = step // per_epoch
        steps = [epoch >= boundary for boundary in recipe.boundaries]
        main = peak * 0.1 ** np.sum(steps, axis=0)
    ramp = peak * (step + 1) / max(warmup, 1)
    return np.where(step < warmup, ramp, main)


SCHEDULES = {
    "cosine": {},
    "cosine, no warmup": {"warmup_epochs": 0},
    "cosine, part of an epoch": {"warmup_epochs": 0.4},
    "constant after a warmup": {"schedule": "constant"},
    "warmup alone": {"warmup_epochs": 8},
    "steps": {"schedule": "step", "warmup_epochs": 0},
    "steps after a warmup": {"schedule": "step", "warmup_epochs": 1.5},
    "given steps": {"schedule": "step", "step_epochs": (3, 7)},
    "parts of a batch": {"gradient_accumulation_steps": 4},
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_update_has_the_rate_of_the_formula(name):
    recipe, size = Recipe(epochs=8, batch_size=32, **SCHEDULES[name]), 200
    plan = make_plan(recipe, size)
    want = reference_rates(recipe, size)
    assert (plan.updates_per_epoch, plan.updates) == (6, 48)
    assert plan.warmup_updates == round(6 * recipe.warmup_epochs)
    assert plan.batch_size * recipe.gradient_accumulation_steps == 32
    schedule = make_schedule(recipe, plan)
    got = [float(schedule(step)) for step in range(plan.updates)]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("warmup", [0, 1, 1.5])
def test_a_warmup_does_not_move_the_steps(warmup):
    recipe = Recipe(epochs=8, schedule="step", warmup_epochs=warmup)
    schedule = make_schedule(recipe, make_plan(recipe, 640))
    for epoch in (2, 4, 6):
        before, after = float(schedule(epoch * 10 - 1)), schedule(epoch * 10)
        assert float(after) == pytest.approx(before / 10, rel=1e-6)


@pytest.mark.parametrize("size", [64, 127, 128, 1438])
def test_an_epoch_has_the_whole_batches(size):
    assert make_plan(Recipe(), size).updates_per_epoch == size // 64


def small_model(dtype="float32"):
    """220 values in three kernels, 30 in six other variables."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, use_bias=False, name="first", dtype=dtype),
            layers.BatchNormalization(name="norm", dtype=dtype),
            layers.Conv2D(4, 3, name="second", dtype=dtype),
            layers.BatchNormalization(
                gamma_initializer="zeros", name="zero", dtype=dtype
            ),
            layers.GlobalAveragePooling2D(dtype=dtype),
            layers.Dense(10, name="logits", dtype="float32"),
        ],
        name="small",
    )


def explained(recipe):
    model = small_model(recipe.precision)
    lines = recipe.explain(model, 200).splitlines()
    return [line[10:] for line in lines]


def test_explain_counts_what_will_happen():
    recipe = Recipe(epochs=8, batch_size=32, warmup_epochs=1.5)
    lines = explained(recipe)
    curve = lines.pop(5)
    assert lines == [
        "6 an epoch x 8 epochs = 48, each of 32 images",
        "8 of 200 images, others in each epoch, are left out of the last batch",
        "peak 0.0125 (0.1 x 32 / 256)",
        f"warmup from {0.0125 / 9:g} over 9 updates",
        "then a cosine to 0 over 39 updates",
        "sgd: momentum 0.9, nesterov True, momentum_form pytorch",
        "0.0001, coupled, of 'kernels'",
        "decayed: 3 variables, 220 values",
        "not decayed: 6 variables, 30 values",
        "decayed: small/first/kernel, small/second/kernel, small/logits/kernel",
        "not decayed: small/norm/gamma, small/norm/beta, small/second/bias, "
        "...",
        "small: 250 trainable values, 16 others",
        "gamma is 0 in 1 of 2 batch norms",
        "computes in float32, weights in float32, gives float32 logits",
        "cross-entropy with label smoothing 0.1 (paper convention)",
        "in memory, augmentation shift",
        "mixup with Beta(0.2, 0.2), one weight for each batch",
        "those of the last update",
    ]
    rates = reference_rates(recipe, 200)
    assert curve.endswith(f"  first {rates[0]:.3g}, last {rates[-1]:.3g}")


def test_explain_says_what_is_off():
    changes = {"batch_size": 32, "ema_decay": 0.9, "weight_decay": 0}
    lines = explained(Recipe.preset("baseline", **changes))
    assert lines[1:4] == [
        "8 of 200 images, others in each epoch, are left out of the last batch",
        "peak 0.1 (not scaled with the batch)",
        "no warmup",
    ]
    assert "divided by 10 at epochs 30, 60, 90" in lines
    assert lines.count("none") == 2  # Decay and mixup.
    assert "cross-entropy" in lines
    assert lines[-1].startswith(
        "validated and saved: their moving average, 0.9,"
    )


def test_explain_says_what_an_adaptive_optimizer_does():
    recipe = Recipe(
        optimizer="muon",
        base_learning_rate=0.001,
        beta_2=0.95,
        global_clipnorm=1.0,
    )
    lines = explained(recipe)
    assert "peak 0.0005 (0.001 x sqrt(64 / 256))" in lines
    assert "muon: beta_1 0.9, beta_2 0.95, epsilon 1e-07" in lines
    assert "all gradients together clipped to norm 1" in lines
    assert "0.0001, decoupled, of 'kernels'" in lines
    assert "left to Adam: 7 variables, 70 values" in lines
    lines = explained(recipe.replace(weight_decay=0))
    assert any(line.startswith("left to Adam: small/norm/g") for line in lines)
    free = {"base_learning_rate": 0.001, "schedule": "constant"}
    lines = explained(Recipe(optimizer="schedule_free_adamw", **free))
    assert "then constant" in lines
    lines = explained(Recipe(agc_clipping=0.01))
    assert any("of the weights x 0.01" in line for line in lines)
    lines = explained(Recipe(sam_rho=0.05))
    assert any("sharpest, at distance 0.05" in line for line in lines)


def test_explain_says_what_else_is_on():
    lines = explained(Recipe(gradient_accumulation_steps=4, mixup_off_epochs=3))
    assert "in 4 batches of 16, whose gradients are averaged" in lines
    assert "dynamic loss scaling" not in lines
    assert any(line.endswith("off for the last 3 epochs") for line in lines)


def test_explain_says_that_float16_has_float32_logits_and_loss_scaling():
    lines = explained(Recipe(precision="mixed_float16"))
    dtypes = "computes in float16, weights in float32, gives float32 logits"
    assert dtypes in lines
    assert "dynamic loss scaling" in lines


# `tests/mistakes_in_runs.py` has more of them.
STEP = {"schedule": "step"}
ADAMW = {"optimizer": "adamw", "base_learning_rate": 0.001}
CLASHES = [
    ({"width": 15}, "`width` must be even. Received: width=15"),
    ({"momentum": 0}, "`nesterov` must be False with momentum=0"),
    (ADAMW | {"momentum": 0.8}, "`momentum` must be 0.9 with .*'adamw'"),
    (ADAMW | {"nesterov": False}, "`nesterov` must be True with .*'adamw'"),
    (ADAMW | {"trust_ratio": "decayed"}, "`trust_ratio` must be 'all' with"),
    ({"beta_1": 0.9}, "`beta_1` must be None with optimizer='sgd', which does"),
    (
        ADAMW | {"optimizer": "lion", "epsilon": 1e-3},
        "`epsilon` must be None with optimizer='lion'",
    ),
    (
        {"optimizer": "adamw"},
        "`base_learning_rate` must be below 0.1, a rate of SGD, with .*'adamw'"
        ", say 0.001. Received: base_learning_rate=0.1, the default",
    ),
    (
        ADAMW | {"optimizer": "schedule_free_adamw"},
        "`schedule` must be 'constant' .* Received: schedule='cosine'",
    ),
    (ADAMW | {"optimizer": "lion", "beta_1": 0}, "`beta_1` must be above 0"),
    ({"optimizer": "adam"}, "`optimizer` must be one of 'sgd', 'adamw'"),
    (
        {"sam_rho": 0.1, "freeze": "backbone", "weights": "w.npz"}
        | {"unfreeze_epoch": 2, "zero_gamma": False},
        "`sam_rho` must be 0 with unfreeze_epoch",
    ),
    ({"clipnorm": 0}, "`clipnorm` must be above 0, or None"),
    (
        {"clipnorm": 1, "global_clipnorm": 1},
        "`global_clipnorm` must be None with clipnorm, which clips too",
    ),
    (
        {"clipnorm": 1, "agc_clipping": 0.01},
        "`agc_clipping` must be 0.0 with clipnorm",
    ),
    ({"step_epochs": (5,)}, "`step_epochs` must be None with schedule='cos"),
    ({"step_epochs": 5}, "`step_epochs` must be a tuple of integers"),
    (STEP | {"step_epochs": (7, 5)}, "`step_epochs` must be strictly incr"),
    (STEP | {"step_epochs": (5, 20)}, "`step_epochs` must be below epochs=20"),
    (STEP | {"warmup_epochs": 5}, "`warmup_epochs`.* first .* epoch 5. Rec"),
    ({"mixup_off_epochs": 21}, "`mixup_off_epochs` must be at most epochs=20"),
    ({"mixup_off_epochs": 20}, "`mixup_off_epochs` must be below epochs=20"),
    ({"mixup_off_epochs": 1, "mixup_alpha": 0}, "must be 0 with mixup_alpha"),
    (
        {"model": "mobilenet", "drop_path": 0.1},
        "`drop_path` must be 0 with model='mobilenet', .* Received: drop_path=",
    ),
    ({"model": "vgg"}, "`model` must be one of 'resnet', .*Received: model="),
    ({"dropout": 1.0}, r"`dropout` must be .*\[0, 1\). Received: dropout=1"),
    ({"skip_head": True}, "`skip_head` must be False without weights"),
    ({"frozen_norm": True, "zero_gamma": False}, "`frozen_norm` must be Fal"),
    (
        {"frozen_norm": True, "weights": "w.npz"},
        "`zero_gamma` must be False with frozen_norm=True",
    ),
    ({"weights": ""}, "`weights` must be a file, a name on the hub or None"),
    ({"depth": 20}, "`depth` must be one of 18, .*Received: depth=20"),
    ({"epochs": 1.5}, "`epochs` must be an integer .*Received: epochs=1.5"),
    ({"epochs": True}, "`epochs` must be an integer .*Received: epochs=True"),
    ({"nesterov": 1}, "`nesterov` must be True or False. Received: nesterov=1"),
    ({"dataset": 3}, "`dataset` must be a string. Received: dataset=3"),
    ({"momentum": 1.0}, r"`momentum` must be .*\[0, 1\). Received"),
    ({"base_learning_rate": float("nan")}, "`base_learning_rate`.*Received"),
    ({"image_size": 4}, "`image_size` must be .* at least 8. Received"),
]


@pytest.mark.parametrize("fields, message", CLASHES)
def test_values_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**fields)


@pytest.mark.parametrize(
    "name", [field.name for field in dataclasses.fields(Recipe)]
)
def test_the_docstring_lists_each_field(name):
    assert f"\n        {name}: " in Recipe.__doc__
