r"""Which tricks help on your data: trains with and without, and decides.

    python recipes/ablate.py
    python recipes/ablate.py --data_dir=photos --budget=1h
    python recipes/ablate.py --design=leave_one_out --seeds=5 --tune=base_learning_rate
    python recipes/ablate.py --search=optuna --trials=40
    python recipes/ablate.py --tricks=cosine,mixup,mine --until=0.95 \\
      --configuration=mine:cutmix_alpha=1.0,mixup_off_epochs=2

Designs: one_at_a_time compares each trick with the baseline, stacked adds one
after the other, leave_one_out takes each out of the whole bag, pairs asks for
interactions. Flags of `Recipe`, such as --epochs, hold for all, and so does
what is chosen for the data as by train.py, but for what are tricks; a trick
changes its own fields on top of them. Runs that are complete are not repeated,
so an interrupted ablation continues. The folder gets comparison.html, .md and
.csv, and the recipe that keeps what helped, recommended.json and .flags.
"""  # noqa: E501

import functools
import os
import shlex
import sys
import time
from pathlib import Path

import keras_backend as keras_backend  # Before Keras: it picks the backend.
import one_line
import recipe_flags
from absl import app, flags
from process_group import launch
from run_progress import RunProgress

from keras_tricks import Recipe
from keras_tricks.ablation import (
    PAPER,
    TRICKS,
    Budget,
    finish_sweep,
    make_sweep,
    plan_sweep,
    read_budget,
    read_trick,
    run_sweep,
    search,
)
from keras_tricks.ablation.designs import DESIGNS
from keras_tricks.ablation.sweep import METRICS
from keras_tricks.ablation.tune import FACTORS
from keras_tricks.report.comparison_report import decision_lines
from keras_tricks.report.contrasts import Rule
from keras_tricks.report.metric_text import is_share, lower_is_better

_TRICKS = flags.DEFINE_list(
    "tricks",
    list(PAPER),
    f"Names of tricks: {', '.join(TRICKS)}, distillation with --teacher, or of "
    "a --configuration.",
)
_DESIGN = flags.DEFINE_enum(
    "design", "one_at_a_time", list(DESIGNS), "What is compared with what."
)
_CONFIGURATION = flags.DEFINE_multi_string(
    "configuration",
    [],
    "A trick of your own: name:field=value,field=value with fields of Recipe.",
)
_CONFIGURATIONS = flags.DEFINE_list(
    "configurations",
    None,
    "Compare these with the first of them, in place of a design: baseline, "
    "whole_bag, without_NAME, or names of tricks.",
)
_SEEDS = flags.DEFINE_integer(
    "seeds", 3, "Number of seeds for each configuration.", lower_bound=1
)
_UNTIL = flags.DEFINE_float(
    "until",
    None,
    "Add seeds until each question is decided with this confidence, such as "
    "0.95, or there are --most_seeds.",
    lower_bound=0.5,
    upper_bound=0.999999,
)
_MOST_SEEDS = flags.DEFINE_integer(
    "most_seeds", 30, "Number of seeds at which --until ends.", lower_bound=2
)
_SMALLEST_EFFECT = flags.DEFINE_float(
    "smallest_effect",
    0.0,
    "What is too small to matter: percentage points of a metric that is a "
    "share, otherwise its own unit.",
    lower_bound=0,
)
_SPLITS = flags.DEFINE_integer(
    "splits",
    1,
    "Number of draws of what --validation_share holds out, in turn over the "
    "seeds: the report says how far they differ.",
    lower_bound=1,
)
_METRIC = flags.DEFINE_enum(
    "metric", METRICS[0], list(METRICS), "What decides, after the last epoch."
)
_TUNE = flags.DEFINE_enum(
    "tune",
    None,
    ["base_learning_rate"],
    "Choose the peak rate of the baseline and of the whole bag, each for "
    "itself, on a fifth of the training images.",
)
_TUNE_FACTORS = flags.DEFINE_list(
    "tune_factors",
    [str(factor) for factor in FACTORS],
    "What --tune multiplies the rate by.",
)
_SEARCH = flags.DEFINE_enum(
    "search",
    None,
    ["optuna"],
    "Search --search_fields for the best recipe, in place of an ablation.",
)
_SEARCH_FIELDS = flags.DEFINE_list(
    "search_fields",
    ["base_learning_rate", "weight_decay", "label_smoothing", "mixup_alpha"],
    "Fields of Recipe that --search varies.",
)
_TRIALS = flags.DEFINE_integer(
    "trials", 30, "Number of trials of --search.", lower_bound=1
)
_BUDGET = flags.DEFINE_string(
    "budget",
    None,
    "Time for this start, such as 30m or 2h: there are as many seeds and "
    "epochs as fit, and no run begins that would not end in time.",
)
_PARALLEL = flags.DEFINE_string(
    "parallel",
    "1",
    "Processes that share the work; auto: one for each GPU of this machine.",
)
_SHARD = flags.DEFINE_string(
    "shard",
    None,
    "i/n, from 0/n on: this process of several on one shared folder. "
    "keras-tricks launch says it by itself.",
)
_FOLDER = flags.DEFINE_string(
    "folder", "runs/ablation", "Folder for the runs and the comparison."
)
_TITLE = flags.DEFINE_string(
    "title", "Bag of tricks", "Heading of the comparison."
)
recipe_flags.define(preset=False)
flags.adopt_module_key_flags(recipe_flags)

# The paper's baseline at its batch of 256, in small: the peak rate is scaled
# with the batch, or it would be four times as high for 64 images.
# So many times the seeds are worth a question that is open.
_FAR = 4
# What the data decide in a single run, and an ablation asks.
_TRICKS_OF_DATA = "warmup_epochs", "mixup_alpha"
_BASE = {"batch_size": 64, "learning_rate_scaling": "linear"}


def base_recipe(changes: dict, epochs: int | None = None) -> Recipe:
    """Return the baseline of an ablation.

    Args:
        changes: Fields of `Recipe` that hold for all.
        epochs: In place of those of `changes` or the default.
    """
    fields = {**_BASE, "epochs": Recipe().epochs, **changes}
    if epochs is not None:
        fields["epochs"] = epochs
    return Recipe.preset("baseline", **fields)


def read_shard(text: str | None) -> tuple[int, int]:
    """Read `i/n`; without it, what `launch` says of this process.

    Raises:
        ValueError: If it is not of this form.
    """
    if text is None:
        ranks = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
        text = "/".join(ranks)
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise ValueError(
            "`shard` must be i/n with i from 0 to n - 1. "
            f"Received: shard={text!r}"
        )
    return int(index), int(count)


def _factor(text):
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(
            "`tune_factors` must be numbers above 0. "
            f"Received: tune_factors={text!r}"
        )
    return value


def _processes(text):
    """Return how many processes share the work, and the GPUs of each."""
    if text != "auto":
        if not text.isdigit() or text == "0":
            raise ValueError(
                "`parallel` must be auto or a number from 1 on. "
                f"Received: parallel={text!r}"
            )
        return int(text), None
    count = len(list(Path("/dev").glob("nvidia[0-9]*")))
    return max(count, 1), 1 if count > 1 else None


def arguments_without(*names: str) -> list[str]:
    """Return this command's arguments without some flags, each in one piece."""
    found, given = [], sys.argv[1:]
    while given:
        argument, given = given[0], given[1:]
        name, sign, _ = argument.lstrip("-").partition("=")
        known = name in flags.FLAGS and not flags.FLAGS[name].boolean
        if known and not sign and given:
            argument, given = f"{argument}={given[0]}", given[1:]
        if name not in names:
            found.append(argument)
    return found


def _launch(count, gpus):
    """Start this command in several processes; return their exit code."""
    own = arguments_without("parallel")
    command = [sys.executable, sys.argv[0], *own, "--parallel=1"]
    return launch(command, count, gpus_per_process=gpus)


def _make(fields, epochs=None):
    """Return the sweep that the flags ask for, with fields for all."""
    scale = 0.01 if is_share(_METRIC.value) else 1.0
    rule = Rule(
        level=round(1 - (_UNTIL.value or 0.95), 6),
        smallest_effect=_SMALLEST_EFFECT.value * scale,
        sequential=_UNTIL.value is not None,
        higher_is_better=not lower_is_better(_METRIC.value),
    )
    return make_sweep(
        base_recipe(fields, epochs),
        _TRICKS.value,
        _DESIGN.value,
        dict(map(read_trick, _CONFIGURATION.value)),
        _CONFIGURATIONS.value,
        rule,
        _METRIC.value,
        _SPLITS.value,
    )


def next_command(decisions: list, complete: bool) -> str:
    """Return the command that a reader of the result wants next.

    Args:
        decisions: What was decided.
        complete: Whether all runs were done.
    """
    sequential = _UNTIL.value is not None
    far = _FAR * (_MOST_SEEDS.value if sequential else _SEEDS.value)
    needed = [d.seeds for d in decisions if d.seeds and d.seeds <= far]
    if not complete:
        return _command("ablate", *arguments_without("shard", "parallel"))
    if needed and not sequential:
        kept = arguments_without("shard", "parallel", "seeds")
        return _command("ablate", *kept, f"--seeds={max(needed)}")
    if needed and max(needed) > _MOST_SEEDS.value:
        kept = arguments_without("shard", "parallel", "most_seeds")
        return _command("ablate", *kept, f"--most_seeds={max(needed)}")
    recommended = Path(_FOLDER.value) / "recommended.json"
    return _command("train", f"--recipe={recommended}")


def _command(name, *arguments):
    line = shlex.join(["keras-tricks", name, *arguments])
    # All runs of a folder are of one backend.
    backend = f"KERAS_BACKEND={os.environ['KERAS_BACKEND']} "
    return f"{backend if name == 'ablate' else ''}{line}"


def main(argv):
    """Plan, train, decide, and write it down."""
    if len(argv) > 1:
        sys.exit(f"Arguments must be flags. Received: {' '.join(argv[1:])}")
    start = time.monotonic()
    folder = Path(_FOLDER.value)
    try:
        if _UNTIL.value is not None and flags.FLAGS["seeds"].present:
            raise ValueError(
                "`seeds` must not be given with --until, which ends at "
                f"--most_seeds. Received: seeds={_SEEDS.value}"
            )
        count, gpus = _processes(_PARALLEL.value)
        shard = read_shard(_SHARD.value)
        seconds = _BUDGET.value and read_budget(_BUDGET.value)
        if _SEARCH.value is not None:
            _search(folder)
            return
        fields, chosen = recipe_flags.fitted_fields(leave=_TRICKS_OF_DATA)
        make = functools.partial(_make, fields)
        sweep = make()  # All that can be refused is refused here.
        for choice in chosen:
            print(f"chosen    {choice}")
        for note in sweep.notes:
            print(note)
        if count > 1:
            sys.exit(_launch(count, gpus))
        plan = plan_sweep(
            make,
            folder,
            next(iter(sweep.recipes.values())).epochs,
            _MOST_SEEDS.value if _UNTIL.value is not None else _SEEDS.value,
            seconds,
            _TUNE.value is not None,
            tuple(map(_factor, _TUNE_FACTORS.value)),
            _say,
        )
        if seconds is not None:
            seconds = max(0.0, seconds - (time.monotonic() - start))
        complete = run_sweep(
            plan.sweep,
            folder,
            plan.seeds,
            Budget(seconds, plan.expected),
            shard,
            callbacks=lambda: [RunProgress()],
            say=_say,
        )
        notes = () if complete else ("The time ran out before all runs.",)
        decisions, command = finish_sweep(
            plan.sweep,
            folder,
            _TITLE.value,
            lambda decisions: next_command(decisions, complete),
            notes,
        )
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        one_line.stop(error)
    if shard[0]:
        return  # The first process says it for all.
    text = (folder / "comparison.md").read_text("utf-8")
    tables = [line for line in text.splitlines() if line[:1] in ("|", "")]
    _say("\n".join(tables).strip() + "\n")
    for line in decision_lines(decisions, _METRIC.value):
        _say(f"{line['label']}: {line['text']}")
    _say(f"Next: {command}\nReport: {folder / 'comparison.html'}")


def _search(folder):
    """Search for the best recipe, from the whole bag on."""
    fields, chosen = recipe_flags.fitted_fields(leave=_SEARCH_FIELDS.value)
    for choice in chosen:
        _say(f"chosen    {choice}")
    search(
        Recipe(**{"batch_size": 64, **fields}),
        _SEARCH_FIELDS.value,
        folder,
        _TRIALS.value,
        _METRIC.value,
        lambda: [RunProgress()],
        _say,
    )
    _say(
        "The best of many looks better than it is: compare it with other "
        "seeds.\nNext: "
        + _command("train", f"--recipe={folder / 'recommended.json'}")
    )


def _say(text):
    print(text, flush=True)


if __name__ == "__main__":
    app.run(main, flags_parser=recipe_flags.parse)
