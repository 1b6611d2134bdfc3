import dataclasses
from pathlib import Path

import pytest

from keras_tricks import Recipe
from keras_tricks.ablation import make_sweep, read_trick, recommend
from keras_tricks.ablation.recommend import write_recommendation
from keras_tricks.ablation.results import Results
from keras_tricks.ablation.sweep import load_sweep, whole_bag, with_rates
from keras_tricks.ablation.tricks import PAPER, TRICKS, find_tricks
from keras_tricks.report.contrasts import Rule
from keras_tricks.report.run_folder import Run

BASE = Recipe.preset("baseline", epochs=24, batch_size=64)
CHANGES = {
    "warmup": {"warmup_epochs": 1.0},
    "zero_gamma": {"zero_gamma": True},
    "no_bias_decay": {"decay": "kernels"},
    "resnet_d": {"variant": "D"},
    "cosine": {"schedule": "cosine"},
    "label_smoothing": {"label_smoothing": 0.1},
    "mixup": {"mixup_alpha": 0.2},
}


def changed(recipe, other):
    ours, theirs = map(dataclasses.asdict, (recipe, other))
    return {name: ours[name] for name in ours if ours[name] != theirs[name]}


@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_changes_its_own_fields(name):
    base = BASE
    if name in ("rand_augment", "trivial_augment", "aug_mix", "erasing"):
        base = base.replace(augmentation="crop")
    sweep = make_sweep(base, [name])
    assert list(sweep.recipes) == ["baseline", name]
    assert sweep.recipes["baseline"] == base
    fields = changed(sweep.recipes[name], base)
    expected = {k: v for k, v in TRICKS[name].items() if not callable(v)}
    if name == "linear_scaling":
        expected = {"learning_rate_scaling": "linear"}
    assert expected.items() <= fields.items()
    assert fields.keys() == TRICKS[name].keys()
    if name in CHANGES:
        assert fields == CHANGES[name]


def test_the_papers_tricks_are_the_bag():
    sweep = make_sweep(BASE, PAPER)
    assert tuple(sweep.recipes) == ("baseline", *CHANGES, "whole_bag")
    fields = {k: v for c in CHANGES.values() for k, v in c.items()}
    assert changed(sweep.recipes["whole_bag"], BASE) == fields
    assert whole_bag(sweep) == sweep.recipes["whole_bag"]


@pytest.mark.parametrize(
    "epochs, warmup", [(2, 0.25), (8, 1), (48, 2), (120, 5)]
)
def test_the_warmup_is_as_long_as_the_papers(epochs, warmup):
    sweep = make_sweep(BASE.replace(epochs=epochs), ["warmup"])
    assert sweep.recipes["warmup"].warmup_epochs == warmup


def test_seeds_count_from_that_of_the_base():
    sweep = make_sweep(BASE.replace(seed=4), ["cosine"])
    assert [sweep.recipe("cosine", i).seed for i in range(3)] == [4, 5, 6]


def test_splits_go_in_turn_over_the_seeds():
    base = BASE.replace(validation_share=0.2, split_seed=5)
    sweep = make_sweep(base, ["cosine"], splits=3)
    recipes = [sweep.recipe("cosine", index) for index in range(4)]
    assert [recipe.split_seed for recipe in recipes] == [5, 6, 7, 5]
    assert [recipe.seed for recipe in recipes] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="`splits` must be 1 with"):
        make_sweep(BASE, ["cosine"], splits=2)


def test_what_is_named_alone_is_not_in_the_bag():
    names = ["baseline", "cutmix", "whole_bag", "without_mixup"]
    sweep = make_sweep(BASE, ["cosine", "mixup"], names=names)
    assert list(sweep.recipes) == names
    bag = {"schedule": "cosine", "mixup_alpha": 0.2}
    assert changed(sweep.recipes["whole_bag"], BASE) == bag
    without = changed(sweep.recipes["without_mixup"], BASE)
    assert without == {"schedule": "cosine"}


def test_a_trick_of_ones_own():
    own = dict([read_trick("strong:mixup_alpha=0.4,mixup_off_epochs=3")])
    sweep = make_sweep(BASE, ["cosine"], "stacked", own)
    assert list(sweep.recipes) == ["baseline", "+cosine", "+strong"]
    fields = {"mixup_alpha": 0.4, "mixup_off_epochs": 3}
    assert changed(sweep.recipes["+strong"], BASE) == {
        **fields,
        "schedule": "cosine",
    }


@pytest.mark.parametrize(
    "text, fields",
    [
        ("n:nesterov=false", {"nesterov": False}),
        ("n:train_samples=none", {"train_samples": None}),
        ("n:depth=34,variant=B", {"depth": 34, "variant": "B"}),
        ("n:step_epochs=3+6", {"step_epochs": (3, 6)}),
        ("n:ema_decay=0.9", {"ema_decay": 0.9}),
        ("n:image_size=16x24", {"image_size": (16, 24)}),
        (
            "n:test_image_size=32,channels=1",
            {"test_image_size": 32, "channels": 1},
        ),
    ],
)
def test_values_are_read_by_their_kind(text, fields):
    assert read_trick(text) == ("n", fields)


@pytest.mark.parametrize(
    "text, message",
    [
        ("mixup", "must be name:field=value"),
        ("m:mixup_alpha", "must be name:field=value"),
        ("m:mixup_alfa=1", "is it 'mixup_alpha'"),
        ("m:epochs=x", "`epochs` must be int"),
        ("m:nesterov=yes", "`nesterov` must be bool"),
        ("m:image_size=8x", "`image_size` must be an integer or height x wid"),
        ("../m:epochs=1", "The name of a trick must be"),
        (".m:epochs=1", "The name of a trick must be"),
        (":epochs=1", "The name of a trick must be"),
    ],
)
def test_a_trick_that_is_none(text, message):
    with pytest.raises(ValueError, match=message):
        read_trick(text)


def test_a_sweep_of_images_that_are_no_squares_is_read_again(tmp_path):
    wide = {"image_size": (16, 24), "augmentation": "crop"}
    sweep = make_sweep(BASE.replace(**wide), ["aug_mix"])
    sweep.save(tmp_path)
    assert load_sweep(tmp_path) == sweep
    sweep.save(tmp_path)  # Continues.


def test_mistakes_name_the_configuration():
    message = r"Configuration m: `mixup_alpha` must be .*Received: .*-1"
    own = {"m": {"mixup_alpha": -1.0}}
    with pytest.raises(ValueError, match=message):
        make_sweep(BASE, [], own=own)
    message = r"`tricks` must be of .*warmup, .*\(is it 'cosine'\?\)"
    with pytest.raises(ValueError, match=message):
        make_sweep(BASE, ["cosin"])
    message = "`erasing` must be 0.0 .*does not use it .augmentation='crop' "
    with pytest.raises(ValueError, match=message):
        make_sweep(BASE, ["erasing"])
    with pytest.raises(ValueError, match="`tricks` must differ"):
        find_tricks(["mixup", "mixup"])
    with pytest.raises(ValueError, match="`design` must be one of"):
        make_sweep(BASE, ["mixup"], "factorial")
    with pytest.raises(ValueError, match="`tricks` must be a list of names"):
        make_sweep(BASE, ["mixup", "mixup"])
    with pytest.raises(ValueError, match="`tricks` must be a list of names"):
        make_sweep(BASE, "mixup")
    with pytest.raises(ValueError, match="`metric` must be one of"):
        make_sweep(BASE, ["mixup"], metric="val_acuracy")
    with pytest.raises(ValueError, match="`teacher` must be given"):
        make_sweep(BASE, ["distillation"])


def test_several_classes_have_a_metric_of_their_own():
    several = BASE.replace(multi_label=True, loss="binary_crossentropy")
    for base, other, own in (
        (BASE, "val_mean_ap", "val_accuracy"),
        (several, "val_accuracy", "val_mean_ap"),
    ):
        message = f"`metric` must be '{own}' or .* Received: metric='{other}'"
        with pytest.raises(ValueError, match=message):
            make_sweep(base, ["mixup"], metric=other)
        assert make_sweep(base, ["mixup"], metric=own).metric == own


def test_what_the_weights_fix_is_held_and_said():
    base = BASE.replace(weights="resnet50.weights.h5", depth=50)
    sweep = make_sweep(base, PAPER)
    assert "resnet_d" not in sweep.recipes
    assert "zero_gamma" not in sweep.recipes
    assert list(sweep.notes) == [
        "zero_gamma is left out: the weights fix zero_gamma.",
        "resnet_d is left out: the weights fix variant.",
    ]
    assert sweep.recipes["whole_bag"].variant == base.variant
    with pytest.raises(ValueError, match="Trick deep: `depth` must stay"):
        make_sweep(base, ["cosine"], own={"deep": {"depth": 101}})
    with pytest.raises(ValueError, match="that the base does not fix"):
        make_sweep(base, ["resnet_d"])


def test_distillation_takes_the_teacher_of_the_base():
    base = BASE.replace(teacher="teacher.keras", hard_weight=0.5)
    sweep = make_sweep(base, ["mixup", "distillation"])
    assert sweep.recipes["baseline"].teacher is None
    assert sweep.recipes["mixup"].teacher is None
    student = sweep.recipes["distillation"]
    assert (student.teacher, student.hard_weight) == ("teacher.keras", 0.5)


@pytest.mark.parametrize(
    "design, rates",
    [
        (
            "one_at_a_time",
            {"baseline": 1, "cosine": 1, "mixup": 1, "whole_bag": 2},
        ),
        (
            "leave_one_out",
            {
                "baseline": 1,
                "whole_bag": 2,
                "without_cosine": 2,
                "without_mixup": 2,
            },
        ),
        (
            "stacked",
            {"baseline": 1, "+cosine": 1, "+mixup": 1, "+own_rate": 2},
        ),
    ],
)
def test_each_end_has_its_own_rate(design, rates):
    sweep = with_rates(make_sweep(BASE, ["cosine", "mixup"], design), 1.0, 2.0)
    found = {n: r.base_learning_rate for n, r in sweep.recipes.items()}
    assert found == rates
    total = next(c for c in sweep.contrasts if c.name == "whole_bag")
    ends = [name for name, rate in rates.items() if rate == 2][:1]
    assert total.weights == {ends[0]: 1, "baseline": -1}


def test_a_folder_is_that_of_one_sweep(tmp_path):
    names = ["baseline", "cosine", "mixup"]
    sweep = make_sweep(BASE, PAPER, names=names)
    sweep.save(tmp_path)
    assert load_sweep(tmp_path) == sweep
    names.append("warmup")
    more = make_sweep(BASE, PAPER, names=names)
    more.save(tmp_path)
    with pytest.raises(ValueError, match="which has the configuration warmup"):
        sweep.save(tmp_path)
    longer = make_sweep(BASE.replace(epochs=25), PAPER, names=names)
    with pytest.raises(ValueError, match="where epochs is 24 and not 25"):
        longer.save(tmp_path)
    looser = dataclasses.replace(more, rule=Rule(smallest_effect=0.01))
    looser.save(tmp_path)
    assert load_sweep(tmp_path).rule == Rule(smallest_effect=0.01)


def test_a_damaged_sweep_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`folder` must hold the sweep.json"):
        load_sweep(tmp_path)
    (tmp_path / "sweep.json").write_text('{"recipes": []}')
    with pytest.raises(ValueError, match="`folder` must hold the sweep.json"):
        load_sweep(tmp_path)


def results_of(sweep, ends, noise=0.001, count=6):
    """Complete runs, as far as a recommendation looks at them."""
    runs = {}
    for name, end in ends.items():
        for seed in range(count):
            value = end + noise * ((7 * seed + len(name)) % 5)
            history = {"epoch": [0.0], sweep.metric: [value]}
            runs[name, seed] = Run(Path("none"), history, {}, {}, "")
    return Results(runs, {})


@pytest.mark.parametrize(
    "design, ends, kept",
    [
        # What helped most, beyond noise.
        (
            "one_at_a_time",
            {"baseline": 0.8, "cosine": 0.85, "mixup": 0.7, "whole_bag": 0.84},
            "cosine",
        ),
        # Only together.
        (
            "one_at_a_time",
            {"baseline": 0.8, "cosine": 0.8, "mixup": 0.8, "whole_bag": 0.9},
            "whole_bag",
        ),
        # Each helps, and together they hurt.
        (
            "one_at_a_time",
            {"baseline": 0.8, "cosine": 0.9, "mixup": 0.85, "whole_bag": 0.7},
            "cosine",
        ),
        (
            "leave_one_out",
            {
                "baseline": 0.5,
                "whole_bag": 0.7,
                "without_cosine": 0.7,
                "without_mixup": 0.75,
            },
            "without_mixup",
        ),
        (
            "stacked",
            {"baseline": 0.8, "+cosine": 0.9, "+mixup": 0.85},
            "+cosine",
        ),
        (
            "stacked",
            {"baseline": 0.8, "+cosine": 0.8, "+mixup": 0.8},
            "baseline",
        ),
    ],
)
def test_what_is_recommended_was_trained(design, ends, kept, tmp_path):
    sweep = make_sweep(BASE, ["cosine", "mixup"], design)
    sweep = with_rates(sweep, 0.05, 0.4)
    results = results_of(sweep, ends)
    assert recommend(sweep, results) == (kept, sweep.recipes[kept])
    with pytest.raises(ValueError, match="of a finished ablation"):
        Recipe.recommend(tmp_path)
    assert write_recommendation(sweep, results, tmp_path) == kept
    recipe = Recipe.recommend(tmp_path)
    assert recipe == sweep.recipes[kept]
    lines = (tmp_path / "recommended.flags").read_text().splitlines()
    assert f"--base_learning_rate={recipe.base_learning_rate}" in lines
    assert "--nozero_gamma" in lines and "--mixup_alpha=0.2" not in lines


def test_of_an_error_the_lowest_is_recommended():
    sweep = make_sweep(
        BASE,
        ["cosine", "mixup"],
        rule=Rule(higher_is_better=False),
        metric="val_crossentropy",
    )
    ends = {"baseline": 1.0, "cosine": 0.8, "mixup": 0.6, "whole_bag": 0.9}
    assert recommend(sweep, results_of(sweep, ends))[0] == "mixup"
