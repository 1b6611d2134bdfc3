"""What an ablation consists of: recipes, seeds and questions."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_tricks._checks import check_choice
from keras_tricks._files import write_atomically
from keras_tricks._untrusted import parse_json
from keras_tricks.ablation.designs import BAG, BASELINE, DESIGNS, listed
from keras_tricks.ablation.tricks import (
    DISTILLATION,
    FIXED_BY_WEIGHTS,
    find_tricks,
    settle,
)
from keras_tricks.networks.names import OF_OURS, brings_weights, is_ours
from keras_tricks.recipe import Recipe
from keras_tricks.report.contrasts import Contrast, Rule, versus
from keras_tricks.training.run_folder import check_equal

SWEEP = "sweep.json"
# Not the loss: what is smoothed or distilled has another one.
METRICS = ("val_accuracy", "val_crossentropy", "val_mean_ap")
# So that runs on which choices are made share no draw with those reported.
TUNING_SEED = 1_000_000


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The runs of an ablation and what is asked of them.

    Args:
        recipes: A `Recipe` by the name of its configuration; the seed is that
            of the first run.
        contrasts: The questions.
        rule: How they are decided.
        metric: One of `METRICS`, after the last epoch.
        tricks: Fields by trick, for the recommendation.
        notes: Sentences that a reader of the result must know.
        splits: How many draws of what `validation_share` holds out, in turn
            over the seeds, so that their spread can be told from the seeds'.

    Raises:
        ValueError: If there are several splits and nothing is held out.

    Example:
    >>> base = Recipe.preset("baseline", epochs=8, batch_size=64)
    >>> sweep = make_sweep(base, ["cosine", "mixup"])
    >>> list(sweep.recipes)
    ['baseline', 'cosine', 'mixup', 'whole_bag']
    >>> sweep.recipe("cosine", 3).seed, sweep.recipe("cosine", 3).schedule
    (3, 'cosine')
    """

    recipes: dict[str, Recipe]
    contrasts: list[Contrast]
    rule: Rule = Rule()
    metric: str = "val_accuracy"
    tricks: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    splits: int = 1

    def __post_init__(self):
        share = next(iter(self.recipes.values())).validation_share
        if self.splits > 1 and not share:
            raise ValueError(
                "`splits` must be 1 with validation_share=0, which holds "
                f"nothing out. Received: splits={self.splits}"
            )

    def recipe(self, name: str, index: int) -> Recipe:
        """Return the recipe of the run number `index` of a configuration."""
        recipe = self.recipes[name]
        changes = {"seed": recipe.seed + index}
        if self.splits > 1:
            changes["split_seed"] = recipe.split_seed + index % self.splits
        return recipe.replace(**changes)

    def save(self, folder: Path) -> None:
        """Write sweep.json, unless it is that of another sweep.

        Raises:
            ValueError: If the folder holds another sweep; the message names
                what differs.
        """
        path = folder / SWEEP
        if path.exists():
            check_same_sweep(self, load_sweep(folder), folder)
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "recipes": {
                name: dataclasses.asdict(recipe)
                for name, recipe in self.recipes.items()
            },
            "contrasts": [
                {"name": contrast.name, "weights": contrast.weights}
                for contrast in self.contrasts
            ],
            "rule": dataclasses.asdict(self.rule),
            "metric": self.metric,
            "tricks": self.tricks,
            "notes": list(self.notes),
            "splits": self.splits,
        }
        write_atomically(path, json.dumps(content, indent=1) + "\n")


def load_sweep(folder: Path) -> Sweep:
    """Read the sweep.json of a folder.

    Raises:
        ValueError: If there is none, or it is damaged.

    Example:
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> sweep = make_sweep(Recipe.preset("baseline"), ["cosine"])
    >>> sweep.save(folder)
    >>> load_sweep(folder) == sweep
    True
    """
    path = Path(folder) / SWEEP
    try:
        content = parse_json(path.read_text("utf-8"))
        return Sweep(
            {
                name: Recipe.from_json(json.dumps(fields))
                for name, fields in content["recipes"].items()
            },
            [Contrast(**one) for one in content["contrasts"]],
            Rule(**content["rule"]),
            content["metric"],
            content["tricks"],
            tuple(content["notes"]),
            content["splits"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"`folder` must hold the {SWEEP} of an ablation ({error}). "
            f"Received: folder={str(folder)!r}"
        ) from None


def check_same_sweep(sweep: Sweep, other: Sweep, folder: Path) -> None:
    """Refuse the folder of another sweep.

    More configurations and questions may come in, and the rule may change:
    none of it makes a finished run another one.

    Raises:
        ValueError: If a configuration of the same name has another recipe, or
            one of the folder is missing.
    """
    for name, recipe in other.recipes.items():
        if name not in sweep.recipes:
            raise ValueError(
                "`folder` must be new or of the same ablation. Received: "
                f"folder={str(folder)!r}, which has the configuration {name} "
                "too; name another --folder"
            )
        try:
            check_equal(sweep.recipes[name], recipe, folder)
        except ValueError as error:
            difference = str(error).partition("where ")[2]
            raise ValueError(
                "`folder` must be new or of the same ablation. Received: "
                f"folder={str(folder)!r}, where {difference} in {name}; "
                "name another --folder"
            ) from None


def make_sweep(
    base: Recipe,
    tricks: list[str] | tuple[str, ...],
    design: str = "one_at_a_time",
    own: Mapping[str, Mapping[str, Any]] | None = None,
    names: list[str] | None = None,
    rule: Rule | None = None,
    metric: str = "val_accuracy",
    splits: int = 1,
) -> Sweep:
    """Return the sweep of a design.

    Args:
        base: The baseline; a `teacher` in it is for the trick `distillation`.
        tricks: Names of `TRICKS` or `own`.
        design: `"one_at_a_time"`, `"stacked"`, `"leave_one_out"` or
            `"pairs"`.
        own: Fields of tricks that are not in `TRICKS`.
        names: Compare these configurations with the first of them, in place
            of a design.
        rule: How questions are decided.
        metric: `"val_accuracy"` or `"val_crossentropy"`; of several classes
            in an image `"val_mean_ap"` in place of the first.
        splits: See `Sweep`.

    Returns:
        A `Sweep`. Tricks whose fields the weights of `base` fix are left out,
        and its notes say so.

    Raises:
        ValueError: If a name or a field is unknown, a value is out of its
            range, or values do not fit together; the message names the
            configuration.

    Example:
    >>> base = Recipe.preset("baseline")
    >>> list(make_sweep(base, ["cosine", "mixup"], "leave_one_out").recipes)
    ['baseline', 'whole_bag', 'without_cosine', 'without_mixup']
    """
    check_choice("metric", metric, METRICS)
    if metric not in (base.measure, "val_crossentropy"):
        raise ValueError(
            f"`metric` must be {base.measure!r} or 'val_crossentropy' with "
            f"multi_label={base.multi_label}. Received: metric={metric!r}"
        )
    if isinstance(tricks, str) or len(set(tricks)) < len(tricks):
        raise ValueError(
            "`tricks` must be a list of names, each once. "
            f"Received: tricks={tricks!r}"
        )
    own = dict(own or {})
    # Those that are named alone are not in the bag.
    more = list(own)
    if names is not None:
        more = [name.removeprefix("without_") for name in names]
        more = [name for name in more if name not in (BASELINE, BAG)]
    all_tricks = [*tricks, *(n for n in more if n not in tricks)]
    found = find_tricks(dict.fromkeys(all_tricks), own)
    base, found = _with_teacher(base, found)
    found = {name: settle(f, base.epochs) for name, f in found.items()}
    found, notes = _without_held(base, found, own)
    if not found:
        raise ValueError(
            "`tricks` must hold one that the base does not fix. "
            f"Received: {', '.join(tricks)}"
        )
    if names is None:
        if design not in DESIGNS:
            raise ValueError(
                f"`design` must be one of {', '.join(DESIGNS)}. "
                f"Received: design={design!r}"
            )
        rows, contrasts = DESIGNS[design](found)
    else:
        bag = {name: found[name] for name in tricks if name in found}
        held = found.keys() | {BASELINE, BAG}
        kept = [n for n in names if n.removeprefix("without_") in held]
        rows, contrasts = listed(found, kept, bag)
        found = bag
    recipes = {name: _change(base, name, f) for name, f in rows.items()}
    return Sweep(
        recipes,
        contrasts,
        rule or Rule(),
        metric,
        found,
        tuple(notes),
        splits,
    )


def _change(base, name, fields):
    try:
        return base.replace(**fields)
    except ValueError as error:
        raise ValueError(f"Configuration {name}: {error}") from None


def _with_teacher(base, tricks):
    """Move the teacher of the base into the trick `distillation`."""
    if "distillation" not in tricks:
        return base, tricks
    if base.teacher is None:
        raise ValueError(
            "`teacher` must be given for the trick distillation. "
            "Received: teacher=None"
        )
    fields = {name: getattr(base, name) for name in DISTILLATION}
    plain = base.replace(teacher=None, teacher_weights=None, hard_weight=None)
    return plain, {**tricks, "distillation": fields}


def _without_held(base, tricks, own):
    """Leave out what weights or the network of the base fix, and say so."""
    has_weights = base.weights is not None or brings_weights(base.model)
    fixed = dict.fromkeys(FIXED_BY_WEIGHTS if has_weights else (), "weights")
    if not is_ours(base.model):
        fixed = {**fixed, **dict.fromkeys(OF_OURS, "network")}
    kept, notes = {}, []
    for name, fields in tricks.items():
        held = [field for field in fields if field in fixed]
        if not held:
            kept[name] = fields
            continue
        what = fixed[held[0]]
        fix = "the weights fix" if what == "weights" else "the network fixes"
        if name in own:
            raise ValueError(
                f"Trick {name}: `{held[0]}` must stay as it is, since {fix} "
                f"it. Received: {held[0]}={fields[held[0]]!r}"
            )
        notes.append(f"{name} is left out: {fix} {', '.join(held)}.")
    return kept, notes


def only(sweep: Sweep, names: list[str]) -> Sweep:
    """Return a sweep with fewer configurations, and the questions they answer.

    Example:
    >>> sweep = make_sweep(Recipe.preset("baseline"), ["cosine", "mixup"])
    >>> [c.name for c in only(sweep, ["baseline", "mixup"]).contrasts]
    ['mixup']
    """
    return dataclasses.replace(
        sweep,
        recipes={name: sweep.recipes[name] for name in names},
        contrasts=[
            contrast
            for contrast in sweep.contrasts
            if contrast.weights.keys() <= set(names)
        ],
    )


OWN_RATE = "own_rate"


def with_rates(sweep: Sweep, baseline: float, bag: float) -> Sweep:
    """Return a sweep whose two ends have the peak rates tuned for them.

    The whole bag and what lacks one trick of it take the bag's rate; all else
    the baseline's. Rows that add up keep the baseline's, and a last row
    `+own_rate` goes over to the bag's, so that the table shows what the rate
    alone brings.

    Args:
        sweep: From `make_sweep`.
        baseline: `base_learning_rate` of the baseline.
        bag: That of the whole bag.

    Example:
    >>> sweep = make_sweep(Recipe.preset("baseline"), ["cosine"], "stacked")
    >>> list(with_rates(sweep, 0.1, 0.2).recipes)
    ['baseline', '+cosine', '+own_rate']
    """
    recipes = {
        name: recipe.replace(
            base_learning_rate=bag if _is_bag(name) else baseline
        )
        for name, recipe in sweep.recipes.items()
    }
    contrasts, tricks = list(sweep.contrasts), dict(sweep.tricks)
    last = list(recipes)[-1]
    if last.startswith("+"):
        row = f"+{OWN_RATE}"
        tricks[OWN_RATE] = {"base_learning_rate": bag}
        recipes[row] = recipes[last].replace(base_learning_rate=bag)
        contrasts = [c for c in contrasts if c.name != BAG]
        contrasts += [versus(OWN_RATE, row, last), versus(BAG, row, BASELINE)]
    return dataclasses.replace(
        sweep, recipes=recipes, contrasts=contrasts, tricks=tricks
    )


def _is_bag(name):
    return name == BAG or name.startswith("without_")


def whole_bag(sweep: Sweep) -> Recipe:
    """Return the baseline of a sweep with all of its tricks."""
    recipe = next(iter(sweep.recipes.values()))
    for name, fields in sweep.tricks.items():
        recipe = _change(recipe, name, fields)
    return recipe
