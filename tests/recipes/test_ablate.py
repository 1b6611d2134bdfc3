import dataclasses
import re

import pytest

from keras_tricks import Recipe

from ..test_lock import in_use

# What each configuration changes in the plain baseline, at 24 epochs.
CHANGES = {
    "baseline": {},
    "linear_scaling": {"scale_learning_rate": True},
    "warmup": {"warmup_epochs": 1.0},
    "zero_gamma": {"zero_gamma": True},
    "no_bias_decay": {"decay": "kernels"},
    "resnet_d": {"variant": "D"},
    "cosine": {"schedule": "cosine"},
    "label_smoothing": {"label_smoothing": 0.1},
    "mixup": {"mixup_alpha": 0.2},
    "float16": {"precision": "mixed_float16"},
}
TRICKS = [name for name in CHANGES if name not in ("baseline", "float16")]
BAG = {key: value for name in TRICKS for key, value in CHANGES[name].items()}
CHANGES |= {
    "whole_bag": BAG,
    "bag_without_mixup": {**BAG, "mixup_alpha": 0.0},
}


@pytest.fixture(scope="session")
def ablate(load_script):
    """The script as a module; loading it defines global flags."""
    return load_script("ablate")


def changed(recipe, other):
    ours, theirs = map(dataclasses.asdict, (recipe, other))
    return {name: ours[name] for name in ours if ours[name] != theirs[name]}


def test_the_table_has_every_configuration(ablate):
    assert set(ablate.CONFIGURATIONS) == set(CHANGES)
    assert ablate._DEFAULT == ["baseline", *TRICKS, "whole_bag"]


@pytest.mark.parametrize("name", CHANGES)
def test_a_configuration_changes_its_own_fields(name, ablate):
    recipes = ablate.make_recipes(["baseline", name], 1, {"epochs": 24})
    baseline = recipes["baseline", 0]
    expected = {k: v for k, v in CHANGES[name].items() if k != "mixup_alpha"}
    if CHANGES[name].get("mixup_alpha"):
        expected["mixup_alpha"] = 0.2
    assert changed(recipes[name, 0], baseline) == expected


def test_the_baseline_is_the_preset_in_small(ablate):
    recipes = ablate.make_recipes(["baseline"], 1, {})
    small = {"epochs": Recipe().epochs, "batch_size": 64}
    assert recipes["baseline", 0] == Recipe.preset("baseline", **small)


def test_seeds_and_epochs_are_the_same_for_all(ablate):
    names = ["cosine", "baseline"]
    changes = {"epochs": 9, "seed": 4, "width": 8}
    recipes = ablate.make_recipes(names, 2, changes)
    assert list(recipes) == [(name, seed) for seed in (4, 5) for name in names]
    for (_, seed), recipe in recipes.items():
        assert (recipe.seed, recipe.epochs, recipe.width) == (seed, 9, 8)
    assert changes == {"epochs": 9, "seed": 4, "width": 8}


@pytest.mark.parametrize(
    "epochs, warmup", [(2, 0.25), (8, 1), (48, 2), (120, 5)]
)
def test_the_warmup_is_as_long_as_the_papers(epochs, warmup, ablate):
    recipes = ablate.make_recipes(["warmup"], 1, {"epochs": epochs})
    assert recipes["warmup", 0].warmup_epochs == warmup


def test_an_unknown_configuration_is_refused(ablate):
    message = "`configurations` must be of baseline, .*Received: cosin$"
    with pytest.raises(ValueError, match=message):
        ablate.make_recipes(["baseline", "cosin"], 1, {})


def test_a_comparison_is_written_and_complete_runs_are_kept(
    run_script, tmp_path
):
    arguments = (
        "--configurations=baseline,label_smoothing",
        "--seeds=2",
        "--epochs=1",
        "--width=2",
        "--train_samples=128",
        "--test_samples=64",
        f"--folder={tmp_path}",
    )
    first = run_script("ablate.py", *arguments)
    assert first.returncode == 0, first.stderr[-2000:]
    page = (tmp_path / "comparison.html").read_text("utf-8")
    assert "label_smoothing" in page
    models = sorted(tmp_path.glob("*/last.keras"))
    assert [path.parent.name for path in models] == [
        f"{name}_seed{seed}"
        for name in ("baseline", "label_smoothing")
        for seed in (0, 1)
    ]
    times = [path.stat().st_mtime_ns for path in models]
    second = run_script("ablate.py", *arguments)
    assert second.returncode == 0, second.stderr[-2000:]
    assert [path.stat().st_mtime_ns for path in models] == times
    assert len(re.findall("complete, kept", second.stdout)) == 4
    with in_use(tmp_path):
        third = run_script("ablate.py", *arguments)
    assert third.returncode == 1
    assert "`folder` must have one writer at a time" in third.stderr
    tables = [done.stdout.split("\n\n")[-2] for done in (first, second)]
    assert tables[0] == tables[1]
    assert "baseline" in tables[0]
