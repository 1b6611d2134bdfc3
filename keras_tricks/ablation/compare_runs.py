"""Any run folders, of different commands too, as a comparison."""

from pathlib import Path

from keras_tricks.report.comparison_report import write_comparison_report
from keras_tricks.report.contrasts import Decision, Rule, decide, versus
from keras_tricks.report.metric_text import is_share, lower_is_better
from keras_tricks.report.run_folder import Run, read_run

# Fields that should be the same, and what they are not where they differ.
_SAME = {
    "dataset": "the same images",
    "data_dir": "the same images",
    "test_samples": "validated on the same images",
    "validation_share": "validated on the same images",
    "split_seed": "validated on the same images",
    "train_samples": "as many training images",
    "epochs": "at equal epochs",
    "backend": "on one backend",
}


def compare_runs(
    folder: str | Path,
    folders: dict[str, list],
    metric: str = "val_accuracy",
    smallest_effect: float = 0.0,
    title: str = "Comparison",
) -> list[Decision]:
    r"""Compare runs that were trained before, and write the report.

    Args:
        folder: Where the report goes.
        folders: Run folders by the name of a configuration; the others are
            compared with the first. They are paired by seed, those without a
            seed by their place.
        metric: Column of history.csv.
        smallest_effect: What is too small to matter, in percentage points of
            a share, otherwise in the metric's unit.
        title: Heading.

    Returns:
        The decisions.

    Raises:
        ValueError: If a folder is no run, a seed is there twice, or there is
            no seed in common.

    Example:
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, end in (("a", 0.5), ("b", 0.75)):
    ...     (folder / name).mkdir()
    ...     text = f"epoch,val_accuracy\n0,{end}\n"
    ...     _ = (folder / name / "history.csv").write_text(text)
    >>> runs = {name: [folder / name] for name in "ab"}
    >>> compare_runs(folder, runs)[0].difference.mean
    0.25
    """
    runs = {name: _by_seed(name, paths) for name, paths in folders.items()}
    names = list(runs)
    if len(names) < 2:
        raise ValueError(
            "`runs` must hold two configurations or more. "
            f"Received: {', '.join(names) or 'none'}"
        )
    values = {
        name: {seed: run.last(metric) for seed, run in some.items()}
        for name, some in runs.items()
    }
    for name in names[1:]:
        if not runs[name].keys() & runs[names[0]].keys():
            raise ValueError(
                f"`runs` of {name} must have a seed in common with those of "
                f"{names[0]}. Received: {sorted(runs[name])} and "
                f"{sorted(runs[names[0]])}"
            )
    scale = 0.01 if is_share(metric) else 1.0
    rule = Rule(
        smallest_effect=smallest_effect * scale,
        higher_is_better=not lower_is_better(metric),
    )
    contrasts = [versus(name, name, names[0]) for name in names[1:]]
    decisions = decide(contrasts, values, rule)
    notes = tuple(_unlike(runs))
    write_comparison_report(
        folder, runs, decisions, rule, metric, title, notes=notes
    )
    return decisions


def _unlike(runs):
    """Say what makes a comparison unfair."""
    for field, words in _SAME.items():
        found = {
            str(source.get(field))
            for some in runs.values()
            for run in some.values()
            for source in (run.recipe | {"backend": run.result.get("backend")},)
            if field in source
        }
        if len(found) > 1:
            yield f"Not {words}: {field} is {' and '.join(sorted(found))}."


def _by_seed(name, paths):
    found: dict[int, Run] = {}
    for index, path in enumerate(paths):
        run = read_run(path)
        seed = run.recipe.get("seed", index)
        if seed in found:
            raise ValueError(
                f"`runs` of {name} must have each seed once. "
                f"Received: {path} and {found[seed].folder}, both of {seed}"
            )
        found[seed] = run
        first = next(iter(found.values()))
        for field in first.recipe.keys() & run.recipe.keys() - {"seed"}:
            ours, theirs = run.recipe[field], first.recipe[field]
            if ours != theirs:
                raise ValueError(
                    f"`runs` of {name} must be of one recipe but for the seed. "
                    f"Received: {path}, where {field} is {ours!r}, and "
                    f"{first.folder}, where it is {theirs!r}"
                )
    return found
