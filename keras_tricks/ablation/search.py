"""The best recipe rather than the reasons: a search with Optuna."""

import dataclasses
import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_tricks import training
from keras_tricks._files import write_atomically
from keras_tricks.ablation.sweep import TUNING_SEED
from keras_tricks.recipe import Recipe
from keras_tricks.recipe.recipe_file import RECOMMENDED
from keras_tricks.report.metric_text import lower_is_better
from keras_tricks.report.run_folder import read_run

_SHARE = 0.2


def searchable() -> dict[str, tuple]:
    """Return the fields of `Recipe` that declare a range to search.

    Returns:
        Dict of name to (low, high, whether on a logarithmic scale).

    Example:
    >>> searchable()["mixup_alpha"]
    (0.0, 1.0, False)
    """
    return {
        field.name: field.metadata["search"]
        for field in dataclasses.fields(Recipe)
        if field.metadata.get("search")
    }


def search(
    base: Recipe,
    fields: Sequence[str],
    folder: str | Path,
    trials: int,
    metric: str = "val_accuracy",
    callbacks: Callable[[], list[keras.callbacks.Callback]] = list,
    say: Callable[[str], None] = print,
) -> Recipe:
    """Search the ranges of some fields for the best value of a metric.

    Optuna's tree-structured Parzen estimator draws the values, and a trial
    that is below the median of the others at the same epoch is stopped, from
    its third epoch and the fifth trial on; a line says so. As in `tune`, a
    fifth of the training images decides, and the test images are not seen.
    What it finds is the best of many, so its own value is too good: train it
    with other seeds, or compare it by an ablation.

    The trials are in `search.log`, so that an interrupted search goes on, and
    several processes may work on one folder.

    Args:
        base: The recipe.
        fields: Of `searchable`.
        folder: Where the trials go, and recommended.json.
        trials: Number of trials in all.
        metric: Column of history.csv.
        callbacks: Returns further callbacks for a trial.
        say: Takes a line for each trial.

    Returns:
        The best recipe, for all training images.

    Raises:
        ValueError: If a field has no range, or no trial is complete.
        ImportError: If Optuna is missing.

    Example:
    >>> import tempfile
    >>> base = Recipe(
    ...     epochs=1, warmup_epochs=0, width=2, train_samples=160
    ... )
    >>> best = search(
    ...     base, ["momentum"], tempfile.mkdtemp(), 1, say=lambda line: None
    ... )  # doctest: +SKIP
    >>> 0.8 <= best.momentum <= 0.98  # doctest: +SKIP
    True

    Reference:
        - [Akiba et al., 2019](https://arxiv.org/abs/1907.10902)
    """
    known = searchable()
    for name in fields:
        if name not in known:
            raise ValueError(
                f"`search_fields` must be of {', '.join(known)}. "
                f"Received: {name}"
            )
    optuna = _import_optuna()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    study = _open_study(optuna, folder, metric, base, fields)

    def objective(trial):
        values = {name: _draw(trial, name, *known[name]) for name in fields}
        shown = ", ".join(f"{k}={v:.4g}" for k, v in values.items())
        say(f"[{trial.number + 1}/{trials}] {shown}")
        recipe = base.replace(
            **values, validation_share=_SHARE, seed=TUNING_SEED
        )
        report = _Report(trial, metric, optuna)
        keras.utils.clear_session()
        place = folder / f"trial{trial.number}"
        try:
            training.train(recipe, place, 0, [*callbacks(), report])
        except FloatingPointError as error:
            say(f"  failed: {error}")
            raise optuna.TrialPruned from None
        except optuna.TrialPruned:
            say("  stopped: below the median of the others at this epoch")
            raise
        value = read_run(place).last(metric)
        say(f"  {metric} {value:.4f}")
        return value

    while (left := trials - len(_finished(study, optuna))) > 0:
        study.optimize(objective, n_trials=min(left, 1))
    best = _best(study, optuna)
    recipe = base.replace(**{name: best.params[name] for name in fields})
    write_atomically(folder / RECOMMENDED, recipe.to_json())
    return recipe


def _import_optuna():
    try:
        optuna = importlib.import_module("optuna")
    except ImportError as error:
        raise ImportError(
            'A search needs `pip install "keras_tricks[tune]"`. '
            f"Received: {error}"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _open_study(optuna, folder, metric, base, fields):
    """Return the study of a folder, if it is of the same search."""
    asked = {"base": json.loads(base.to_json()), "fields": list(fields)}
    asked["metric"] = metric
    path = folder / "search.json"
    if path.exists() and json.loads(path.read_text("utf-8")) != asked:
        raise ValueError(
            "`folder` must be new or of the same search. "
            f"Received: folder={str(folder)!r}, another base, fields or metric"
        )
    write_atomically(path, json.dumps(asked, indent=1) + "\n")
    journal = optuna.storages.journal
    storage = optuna.storages.JournalStorage(
        journal.JournalFileBackend(str(folder / "search.log"))
    )
    return optuna.create_study(
        storage=storage,
        study_name="keras_tricks",
        direction="minimize" if lower_is_better(metric) else "maximize",
        sampler=optuna.samplers.TPESampler(seed=base.seed),
        pruner=optuna.pruners.MedianPruner(4, 2),
        load_if_exists=True,
    )


def _draw(trial, name, low, high, log) -> Any:
    kind = type(getattr(Recipe, name))
    if kind is int:
        return trial.suggest_int(name, low, high, log=log)
    return trial.suggest_float(name, low, high, log=log)


def _finished(study, optuna):
    states = optuna.trial.TrialState
    done = states.COMPLETE, states.PRUNED
    return study.get_trials(deepcopy=False, states=done)


def _best(study, optuna):
    complete = optuna.trial.TrialState.COMPLETE
    if not study.get_trials(deepcopy=False, states=(complete,)):
        raise ValueError(
            "`trials` must be more: none is complete. "
            f"Received: {len(study.trials)} trials that failed or were stopped"
        )
    return study.best_trial


class _Report(keras.callbacks.Callback):
    """Tells Optuna the metric of each epoch, and stops a bad trial."""

    def __init__(self, trial, metric, optuna):
        super().__init__()
        self.trial, self.metric, self.optuna = trial, metric, optuna

    def on_epoch_end(self, epoch, logs=None):
        value = (logs or {}).get(self.metric)
        if value is None:
            raise ValueError(
                "`metric` must be among those of each epoch. "
                f"Received: metric={self.metric!r}"
            )
        self.trial.report(float(value), epoch)
        if self.trial.should_prune():
            raise self.optuna.TrialPruned
