"""Trains an image classifier with the bag of tricks.

    python recipes/train.py
    python recipes/train.py --dataset=cifar10 --augmentation=shift_flip
    python recipes/train.py --flagfile=refinement_3_mixup
    python recipes/train.py --recipe=runs/ablation/recommended.json

Every field of `keras_tricks.Recipe` is a flag; `--help` lists them. The
flagfiles of recipes/flags, one for each row of the paper's tables, are found
by name.
KERAS_BACKEND=tensorflow, jax or torch chooses the backend.

At SIGTERM or Ctrl-C it saves and exits with the code 75: the same command
with the same --run_folder continues. Other failures exit with 1.
"""

import contextlib
import os
import sys

import keras_backend as keras_backend  # Before Keras: it picks the backend.
import one_line
import recipe_flags
from absl import app, flags
from new_run_folder import new_run_folder

from keras_tricks import Recipe, training
from keras_tricks.data import TooManyBadRecords
from keras_tricks.distribute import ProcessFailed, distribute
from keras_tricks.report.metric_text import metric_name

_FAILURES = FloatingPointError, OSError, ProcessFailed, TooManyBadRecords

_RUN_FOLDER = flags.DEFINE_string(
    "run_folder",
    None,
    "Folder for the results; runs/<date>-<time> by default. An interrupted "
    "run in it continues.",
)
_RESUME = flags.DEFINE_enum(
    "resume",
    "auto",
    ["auto", "must", "never"],
    "Whether to continue the run in --run_folder: auto if there is one; must "
    "refuses to begin a new one, never refuses a folder that is not empty.",
)
_BACKUP_EVERY_STEPS = flags.DEFINE_integer(
    "backup_every_steps",
    None,
    "Batches between backups within an epoch; by default only after each.",
    lower_bound=1,
)
_DISTRIBUTE = flags.DEFINE_string(
    "distribute",
    "auto",
    "On what to train: auto, none, mirrored[:N], multi_worker, tpu[:NAME], "
    "jax[:N], jax_multi or torch_ddp. recipes/launch.py starts several "
    "processes.",
)
_VERBOSE = flags.DEFINE_enum(
    "verbose",
    "auto",
    ["auto", "0", "1", "2"],
    "Progress: 0 silent, 1 bars, 2 a line for each epoch.",
)
_FIND_LEARNING_RATE = flags.DEFINE_bool(
    "find_learning_rate",
    False,
    "Train a few steps with a rising rate in place of the run, and say which "
    "--base_learning_rate to begin from.",
)
recipe_flags.define()
flags.adopt_module_key_flags(recipe_flags)


def main(argv):
    """Train, or say in one line why it cannot."""
    if len(argv) > 1:
        sys.exit(f"Arguments must be flags. Received: {' '.join(argv[1:])}")
    folder, made = _RUN_FOLDER.value, None
    verbose = _VERBOSE.value
    try:
        finds_batch = flags.FLAGS.batch_size == "auto"
        if finds_batch:
            _leave_batch_size()
        recipe, chosen = recipe_flags.fitted_recipe()
        distribution = distribute(
            _DISTRIBUTE.value, "sync" if recipe.sync_batch_norm else "local"
        )
        if folder is None:
            # Clocks of several processes differ.
            made = distribution.together(
                lambda: new_run_folder() if distribution.is_chief else None
            )
            folder = distribution.gather(made)[0]
        if finds_batch:
            batch = _find_batch_size(recipe, folder, distribution)
            recipe = recipe.replace(batch_size=batch.value)
            chosen = [c for c in chosen if c.field != batch.field] + [batch]
        if _FIND_LEARNING_RATE.value:
            _find_learning_rate(recipe, folder, distribution)
            return
        run = training.prepare(
            recipe,
            folder,
            _RESUME.value,
            _BACKUP_EVERY_STEPS.value,
            distribution,
        )
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        if made is not None:
            with contextlib.suppress(OSError):  # There is something in it.
                os.rmdir(made)
        one_line.stop(error)
    if distribution.is_chief:
        for choice in chosen:
            print(f"chosen    {choice}")
        _say(run, folder)
    try:
        result = run.fit(verbose if verbose == "auto" else int(verbose))
    except _FAILURES as error:
        one_line.stop(error)
    if distribution.is_chief:
        name = metric_name(recipe.measure).capitalize()
        print(
            f"{name} {result[recipe.measure]:.2%} after "
            f"{result['epochs']} epochs, best "
            f"{result[f'best_{recipe.measure}']:.2%}\n"
            f"Report: {folder}/report.html"
        )


def _leave_batch_size():
    """Let no flag say the batch, where it is found once the recipe is made."""
    values = flags.FLAGS
    if values.recipe is None and values.preset is None:
        # In place of the default, which may be no multiple.
        values["batch_size"].value = values.gradient_accumulation_steps
    else:
        values["batch_size"].unparse()


def _find_batch_size(recipe, folder, distribution):
    """Return the batch of the run in a folder, or of one that begins."""
    begun = os.path.join(folder, "recipe.json")
    if os.path.exists(begun):
        kept = Recipe.load(begun).batch_size
        return training.Choice("batch_size", kept, f"that of {begun}")
    return training.find_batch_size(recipe, distribution)


def _find_learning_rate(recipe, folder, distribution):
    if distribution.num_processes > 1:
        raise ValueError(
            "`find_learning_rate` must be false with several processes. "
            f"Received: {distribution.num_processes} processes"
        )
    verbose = _VERBOSE.value
    verbose = verbose if verbose == "auto" else int(verbose)
    found = training.find_learning_rate(recipe, folder, verbose=verbose)
    lowest = found.rates[found.smoothed.argmin()]
    print(
        f"The smoothed loss is lowest at a learning rate of {lowest:.2g} "
        f"(batches of {recipe.batch_size} images); a tenth of it:\n"
        f"--base_learning_rate={found.base_learning_rate:.2g}\n"
        f"Report: {folder}/learning_rate.html"
    )


def _say(run, folder):
    print(run.explanation)
    if not _RUN_FOLDER.value:
        print(f"To continue it after a stop: --run_folder={folder}\n")
    if run.backup.step:
        print(
            f"Continues {folder} in epoch {run.epochs_done + 1} after step "
            f"{run.backup.step}\n"
        )
    elif run.epochs_done:
        print(f"Continues {folder} after epoch {run.epochs_done}\n")


if __name__ == "__main__":
    app.run(main, flags_parser=recipe_flags.parse)
