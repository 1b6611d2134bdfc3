"""Whole ablations by the command, small enough to train."""

import json
import re
import shlex
import sys

import numpy as np
import pytest
from PIL import Image

from keras_tricks import Recipe
from keras_tricks.ablation import load_sweep

SMALL = (
    "--epochs=2",
    "--width=2",
    "--train_samples=128",
    "--test_samples=64",
)


@pytest.fixture(scope="session")
def ablate(load_script):
    """The script as a module; loading it defines global flags."""
    return load_script("ablate")


def test_the_baseline_is_the_preset_in_small(ablate):
    small = {
        "epochs": Recipe().epochs,
        "batch_size": 64,
        "learning_rate_scaling": "linear",
    }
    assert ablate.base_recipe({}) == Recipe.preset("baseline", **small)
    # The paper's own batch: the peak is the paper's.
    paper = ablate.base_recipe({"batch_size": 256})
    assert paper.learning_rate == Recipe.preset("baseline").learning_rate


def test_the_next_command_is_a_line_for_a_shell(ablate, monkeypatch):
    given = ["--seeds", "2", "--title=it's $HOME & ok", "--nozero_gamma"]
    monkeypatch.setattr(sys, "argv", ["ablate.py", *given, "--parallel", "2"])
    kept = ablate.arguments_without("parallel")
    assert kept == ["--seeds=2", *given[2:]]
    line = ablate._command("ablate", *kept)
    backend, command, *arguments = shlex.split(line)
    assert backend.startswith("KERAS_BACKEND=")
    assert [command, *arguments] == ["keras-tricks", "ablate", *kept]


@pytest.fixture(scope="module")
def ablation(run_script, tmp_path_factory):
    """A whole one, with tuned rates."""
    folder = tmp_path_factory.mktemp("ablation")
    arguments = (
        "--configurations=baseline,label_smoothing,whole_bag",
        "--seeds=2",
        "--tune=base_learning_rate",
        *SMALL,
        f"--folder={folder}",
    )
    done = run_script("ablate.py", *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, arguments, done


def test_it_says_how_long_tunes_trains_and_decides(ablation):
    folder, _, done = ablation
    lines = done.stdout.splitlines()
    plan = "3 configurations, 2 seeds of 2 epochs: 6 runs, about "
    assert lines[0] == "Timing some steps ..."
    assert lines[1].startswith(plan)
    assert len(re.findall("tuning (baseline|whole_bag): rate", done.stdout)) > 9
    assert re.search(r"\[1/6\] baseline, seed 0, about .* left", done.stdout)
    assert "| label_smoothing | " in done.stdout
    page = (folder / "comparison.html").read_text("utf-8")
    assert "label_smoothing" in page and "successive halving" in page
    sweep = load_sweep(folder)
    rates = json.loads((folder / "plan.json").read_text())["rates"]
    found = {n: r.base_learning_rate for n, r in sweep.recipes.items()}
    assert found == {
        "baseline": rates["baseline"],
        "label_smoothing": rates["baseline"],
        "whole_bag": rates["whole_bag"],
    }
    Recipe.recommend(folder)


def test_complete_runs_are_kept(ablation, run_script):
    folder, arguments, first = ablation
    models = sorted(folder.glob("*/last.keras"))
    assert [path.parent.name for path in models] == [
        f"{name}_seed{seed}"
        for name in ("baseline", "label_smoothing", "whole_bag")
        for seed in (0, 1)
    ]
    times = [path.stat().st_mtime_ns for path in models]
    table = (folder / "comparison.csv").read_text()
    again = run_script("ablate.py", *arguments)
    assert again.returncode == 0, again.stderr[-2000:]
    assert "tuning" not in again.stdout
    assert [path.stat().st_mtime_ns for path in models] == times
    assert (folder / "comparison.csv").read_text() == table
    other = run_script("ablate.py", *arguments, "--momentum=0.8")
    assert other.returncode == 1
    assert "where momentum is 0.9 and not 0.8" in other.errors[-1]


def test_the_report_again_and_of_any_runs(ablation, run_script, tmp_path):
    folder, _, _ = ablation
    page = (folder / "comparison.html").read_text("utf-8")
    (folder / "comparison.html").unlink()
    done = run_script("report.py", f"--folder={folder}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (folder / "comparison.html").read_text("utf-8") == page
    runs = [
        f"--runs={name}={folder}/{name}_seed0,{folder}/{name}_seed1"
        for name in ("baseline", "whole_bag")
    ]
    done = run_script("report.py", f"--folder={tmp_path / 'own'}", *runs)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "own" / "comparison.md").exists()
    done = run_script("report.py", f"--folder={tmp_path / 'own'}", runs[0])
    assert done.returncode == 1
    assert "two configurations or more" in done.errors[-1]


def test_what_is_recommended_trains(ablation, run_script, tmp_path):
    folder, _, _ = ablation
    recommended = f"--recipe={folder / 'recommended.json'}"
    for how in ([recommended], [f"--flagfile={folder / 'recommended.flags'}"]):
        run = tmp_path / str(len(list(tmp_path.iterdir())))
        done = run_script(
            "train.py", *how, "--epochs=1", f"--run_folder={run}", "--verbose=0"
        )
        assert done.returncode == 0, done.stderr[-2000:]
        recipe = Recipe.load(run / "recipe.json")
        assert recipe == Recipe.recommend(folder).replace(epochs=1)
    done = run_script("train.py", recommended, "--preset=baseline")
    assert done.returncode == 1
    assert "`preset` must be None with --recipe" in done.errors[-1]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--configuration=m:mixup_alfa=1"], "is it 'mixup_alpha'"),
        (
            ["--tricks=m", "--configuration=m:label_smoothing=2"],
            "Configuration m: `label_smoothing` must be",
        ),
        (
            ["--weights=a.keras", "--configuration=m:depth=34"],
            "Trick m: `depth` must stay as it is, since the weights fix it",
        ),
        (["--budget=1s", *SMALL], "`budget` must be"),
        (["--budget=soon"], "`budget` must be a time such as"),
        (["--shard=2/2"], "`shard` must be i/n"),
        (["--parallel=many"], "`parallel` must be auto or a number"),
        (["--tricks=cosin"], "`tricks` must be of"),
        (["--seeds=3", "--until=0.9"], "`seeds` must not be given with"),
        (["--configurations=baseline,nothing"], "`tricks` must be of"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, run_script, tmp_path):
    done = run_script("ablate.py", *arguments, f"--folder={tmp_path / 'new'}")
    assert done.returncode == 1
    assert len(done.errors) == 1 and message in done.errors[0], done.stderr


def test_the_data_decide_what_is_no_trick(run_script, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("first", "second"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(20):
            pixels = rng.integers(0, 256, (24, 30, 3), "uint8")
            file = tmp_path / "photos" / name / f"{index}.png"
            Image.fromarray(pixels).save(file)
    arguments = (
        f"--data_dir={tmp_path / 'photos'}",
        "--configurations=baseline,warmup",
        "--seeds=1",
        "--epochs=2",
        "--width=2",
        f"--folder={tmp_path / 'ablation'}",
    )
    done = run_script("ablate.py", *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [x for x in done.stdout.splitlines() if x.startswith("chosen ")]
    reasons = ["short side of the middle image", "colors", "training images"]
    assert len(lines) == 3
    for line, reason in zip(lines, reasons, strict=True):
        assert reason in line
    recipe = Recipe.load(tmp_path / "ablation/warmup_seed0/recipe.json")
    assert recipe.image_size == 24 and recipe.augmentation == "shift_flip"
    assert (recipe.batch_size, recipe.warmup_epochs) == (2, 0.25)
    baseline = Recipe.load(tmp_path / "ablation/baseline_seed0/recipe.json")
    assert baseline.warmup_epochs == 0
    table = (tmp_path / "ablation" / "comparison.csv").read_text()
    again = run_script("ablate.py", *arguments)
    assert again.returncode == 0, again.stderr[-2000:]
    assert (tmp_path / "ablation" / "comparison.csv").read_text() == table


def test_two_processes_share_an_ablation(run_script, tmp_path):
    done = run_script(
        "ablate.py",
        "--configurations=baseline,cosine",
        "--until=0.9",
        "--most_seeds=2",
        "--parallel=2",
        *SMALL,
        f"--folder={tmp_path}",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(list(tmp_path.glob("*/result.json"))) == 4
    assert "[0] Report: " in done.stdout
    page = (tmp_path / "comparison.html").read_text("utf-8")
    assert "however often one looks" in page
