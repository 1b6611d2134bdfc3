"""Compares the plain baseline, each trick and the whole bag over seeds.

    python recipes/ablate.py
    python recipes/ablate.py --configurations=baseline,cosine --seeds=5

Every configuration is trained at equal epochs with the same seeds. Flags of
`Recipe`, such as --epochs or --dataset, hold for all; a trick changes its
own fields on top of them. Runs that are complete are not repeated, so an
interrupted comparison continues. The folder gets comparison.html.
"""

import sys
import time
from pathlib import Path

import keras_backend as keras_backend  # Before Keras: it picks the backend.
import keras
import one_line
import recipe_flags
from absl import app, flags
from run_progress import RunProgress, print_classes

from keras_tricks import Recipe, training
from keras_tricks._lock import FolderLock
from keras_tricks.report import comparison_table, write_comparison_report

# What each trick changes in the preset `baseline`; a callable gets the
# number of epochs: the paper warms up for 5 of 120, short runs for an epoch
# or an eighth of all, which is before the first step of the schedule.
TRICKS = {
    "linear_scaling": {"scale_learning_rate": True},
    "warmup": {
        "warmup_epochs": lambda epochs: max(
            min(1.0, epochs / 8), epochs * 5 // 120
        )
    },
    "zero_gamma": {"zero_gamma": True},
    "no_bias_decay": {"decay": "kernels"},
    "resnet_d": {"variant": "D"},
    "cosine": {"schedule": "cosine"},
    "label_smoothing": {"label_smoothing": 0.1},
    "mixup": {"mixup_alpha": 0.2},
}
CONFIGURATIONS = {
    "baseline": {},
    **TRICKS,
    "whole_bag": {k: v for trick in TRICKS.values() for k, v in trick.items()},
    "bag_without_mixup": {
        field: value
        for name, trick in TRICKS.items()
        for field, value in trick.items()
        if name != "mixup"
    },
    "float16": {"precision": "mixed_float16"},
}
_DEFAULT = ["baseline", *TRICKS, "whole_bag"]

_CONFIGURATIONS = flags.DEFINE_list(
    "configurations",
    _DEFAULT,
    f"Which to compare, of {', '.join(CONFIGURATIONS)}; the first is what "
    "the others are compared with.",
)
_SEEDS = flags.DEFINE_integer(
    "seeds", 3, "Number of seeds for each configuration.", lower_bound=1
)
_FOLDER = flags.DEFINE_string(
    "folder", "runs/ablation", "Folder for the runs and the comparison."
)
_TITLE = flags.DEFINE_string(
    "title", "Bag of tricks", "Heading of the comparison."
)
recipe_flags.define(preset=False)
flags.adopt_module_key_flags(recipe_flags)


def make_recipes(names, seeds, changes):
    """Return the recipes of a comparison.

    Args:
        names: Names of configurations.
        seeds: Number of seeds, counted from `changes["seed"]` or 0.
        changes: Fields of `Recipe` that hold for all.

    Returns:
        Dict of (name, seed) to `Recipe`: all of the first seed come first.

    Raises:
        ValueError: If a name is unknown, or as `Recipe` does.
    """
    for name in names:
        if name not in CONFIGURATIONS:
            raise ValueError(
                f"`configurations` must be of {', '.join(CONFIGURATIONS)}. "
                f"Received: {name}"
            )
    changes = {"epochs": Recipe().epochs, "batch_size": 64, **changes}
    first = changes.pop("seed", 0)
    recipes = {}
    for seed in range(first, first + seeds):
        for name in names:
            trick = {
                field: value(changes["epochs"]) if callable(value) else value
                for field, value in CONFIGURATIONS[name].items()
            }
            recipes[name, seed] = Recipe.preset(
                "baseline", **{**changes, **trick, "seed": seed}
            )
    return recipes


def run_all(recipes, folder):
    """Train what is not complete; return the folders by configuration."""
    folders = {}
    for number, ((name, seed), recipe) in enumerate(recipes.items(), start=1):
        run_folder = folder / f"{name}_seed{seed}"
        folders.setdefault(name, []).append(run_folder)
        label = f"[{number}/{len(recipes)}] {name}, seed {seed}"
        if (run_folder / "result.json").exists():
            print(f"{label}: complete, kept")
            training.check_same(recipe, run_folder)
            continue
        print(label, flush=True)
        start = time.perf_counter()
        keras.utils.clear_session()  # Frees the models of the runs before.
        run = training.prepare(recipe, run_folder)
        print_classes(run.data.class_names)
        result = run.fit(verbose=0, extra_callbacks=[RunProgress()])
        print(
            f"  validation accuracy {result['val_accuracy']:.2%}, "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
    return folders


def main(argv):
    """Train, print the table and write the comparison."""
    if len(argv) > 1:
        sys.exit(f"Arguments must be flags. Received: {' '.join(argv[1:])}")
    folder = Path(_FOLDER.value)
    path = folder / "comparison.html"
    try:
        recipes = make_recipes(
            _CONFIGURATIONS.value, _SEEDS.value, recipe_flags.given()
        )
        with FolderLock(folder, "folder"):
            folders = run_all(recipes, folder)
            write_comparison_report(path, folders, title=_TITLE.value)
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        one_line.stop(error)
    print(f"\n{comparison_table(folders)}\n\nReport: {path}")


if __name__ == "__main__":
    app.run(main, flags_parser=recipe_flags.parse)
