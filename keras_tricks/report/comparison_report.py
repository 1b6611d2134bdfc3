import math
import statistics
from pathlib import Path

from keras_tricks._files import write_atomically
from keras_tricks.report import figures, page
from keras_tricks.report.comparison import (
    format_value,
    is_share,
    make_notes,
    make_row,
    make_verdicts,
    metric_name,
    read_groups,
)


def write_comparison_report(
    path: str | Path,
    runs: dict,
    title: str = "Comparison",
    metric: str = "val_accuracy",
) -> Path:
    r"""Write a page that compares configurations over several seeds.

    The page needs no network: pictures and style are inside it.

    Args:
        path: HTML file to write.
        runs: As for `comparison_table`.
        title: Heading of the page.
        metric: Column of history.csv that decides.

    Returns:
        The path.

    Raises:
        ValueError: As `comparison_table`, or if the folder of `path` does
            not exist.
        ImportError: If matplotlib, Jinja2 or SciPy is missing.

    Example:
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "history.csv").write_text(
    ...     "epoch,val_accuracy\n0,0.5\n1,0.75\n"
    ... )
    >>> write_comparison_report(folder / "all.html", {"base": [folder]}).name
    'all.html'
    """
    groups = read_groups(runs, metric)
    verdicts = make_verdicts(groups, metric)
    html = page.render(
        "comparison_report.html",
        title=title,
        subtitle=_subtitle(groups),
        metric_name=metric_name(metric),
        verdicts=verdicts or ["One configuration: nothing to compare."],
        rows=[make_row(group, metric) for group in groups],
        notes=make_notes(groups, metric),
        dots=_dots(groups, metric),
        figures=_curves(groups, metric),
        settings=_settings(groups),
        runs=_run_rows(groups, metric),
    )
    return write_atomically(path, html)


def _subtitle(groups):
    runs = sum(len(group.runs) for group in groups)
    return (
        f"{len(groups)} configuration{'s' * (len(groups) != 1)}, "
        f"{runs} run{'s' * (runs != 1)}"
    )


def _dots(groups, metric):
    source = figures.dots_figure(
        {group.name: group.values for group in groups}, is_share(metric)
    )
    parts = [
        f"{group.name}: "
        + ", ".join(format_value(value, metric) for value in group.values)
        for group in groups
    ]
    alt = f"{metric_name(metric)} of each seed. {'; '.join(parts)}."
    return {"source": source, "alt": alt}


def _curves(groups, metric):
    columns = [metric, "val_accuracy", "val_crossentropy", "val_loss"]
    return [
        _curve(groups, column)
        for column in dict.fromkeys(columns)
        if all(_has_numbers(r, column) for g in groups for r in g.runs)
    ]


def _has_numbers(run, column):
    return any(not math.isnan(x) for x in run.history.get(column, []))


def _curve(groups, column):
    source = figures.band_figure(
        {g.name: [r.history[column] for r in g.runs] for g in groups},
        is_share(column),
    )
    ends = [
        (g.name, statistics.fmean(r.history[column][-1] for r in g.runs))
        for g in groups
    ]
    parts = [f"{name} {format_value(end, column)}" for name, end in ends]
    name = metric_name(column)
    note = "Mean over the seeds; the band is their range."
    if column == "val_loss":
        note += (
            " Losses can be compared only between configurations with the "
            "same label smoothing."
        )
    return {
        "title": name[0].upper() + name[1:],
        "note": note,
        "source": source,
        "alt": f"{name} over the epochs, means at the end: {', '.join(parts)}.",
    }


def _settings(groups):
    names = dict.fromkeys(
        name for group in groups for run in group.runs for name in run.recipe
    )
    rows = []
    for name in names:
        if name in ("seed", "name"):
            continue
        cells = [_setting(group, name) for group in groups]
        if len(set(cells)) > 1 or any(" / " in cell for cell in cells):
            rows.append({"name": name, "cells": cells})
    return rows


def _setting(group, name):
    """Return a setting's values in the runs of a configuration, as text."""
    values = [
        page.show(run.recipe[name]) if name in run.recipe else "–"
        for run in group.runs
    ]
    return " / ".join(dict.fromkeys(values))


def _run_rows(groups, metric):
    return [
        {
            "name": group.name,
            "seed": page.show(run.recipe.get("seed", "–")),
            "value": format_value(value, metric),
            "folder": str(run.folder),
        }
        for group in groups
        for run, value in zip(group.runs, group.values, strict=True)
    ]
