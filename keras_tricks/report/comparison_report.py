import dataclasses
import statistics
from pathlib import Path

from keras_tricks.report import figures, page
from keras_tricks.report.run_folder import Run, read_run
from keras_tricks.report.run_report import show
from keras_tricks.report.statistics import Difference, paired_difference


@dataclasses.dataclass(frozen=True)
class _Group:
    """The runs of one configuration and its distance to the baseline."""

    name: str
    runs: list[Run]
    values: list[float]
    difference: Difference | None


def _is_share(metric):
    return "accuracy" in metric


def _read_groups(runs, metric):
    if not isinstance(runs, dict) or not runs or not all(runs.values()):
        raise ValueError(
            "`runs` must be a dict of a name to a list of run folders. "
            f"Received: runs={runs!r}"
        )
    groups = []
    for name, folders in runs.items():
        if isinstance(folders, (str, Path)):
            folders = [folders]
        read = [read_run(folder) for folder in folders]
        values = [run.last(metric) for run in read]
        difference = None
        if groups:
            difference = _difference(read, values, groups[0])
        groups.append(_Group(str(name), read, values, difference))
    return groups


def _difference(runs, values, baseline):
    seeds = [run.recipe.get("seed") for run in runs]
    theirs = [run.recipe.get("seed") for run in baseline.runs]
    known = None not in seeds + theirs
    if known and len({*seeds}) == len(seeds) and len({*theirs}) == len(theirs):
        ours = dict(zip(seeds, values, strict=True))
        base = dict(zip(theirs, baseline.values, strict=True))
        common = sorted(set(ours) & set(base), key=str)
        pairs = [ours[s] for s in common], [base[s] for s in common]
    elif len(values) == len(baseline.values):
        pairs = values, baseline.values
    else:
        pairs = [], []
    if not pairs[0]:
        raise ValueError(
            "`runs` must have a seed in common with the first configuration, "
            f"or as many runs. Received: seeds {seeds} and {theirs}"
        )
    return paired_difference(*pairs)


def _format(value, metric):
    return f"{100 * value:.2f} %" if _is_share(metric) else f"{value:.4f}"


def _format_spread(value, metric, sign=False):
    plus = "+" if sign else ""
    if _is_share(metric):
        return f"{100 * value:{plus}.2f}"
    return f"{value:{plus}.4f}"


def _row(group, metric):
    spread = "–"
    if len(group.values) > 1:
        spread = _format_spread(statistics.stdev(group.values), metric)
    epochs = sorted({run.epochs for run in group.runs})
    row = {
        "name": group.name,
        "seeds": str(len(group.values)),
        "epochs": ", ".join(str(count) for count in epochs),
        "mean": _format(statistics.fmean(group.values), metric),
        "std": spread,
        "difference": "–",
        "interval": "–",
    }
    difference = group.difference
    if difference is not None:
        row["difference"] = _format_spread(difference.mean, metric, sign=True)
        if difference.pairs > 1:
            row["difference"] += (
                f" ± {_format_spread(difference.error, metric)}"
            )
            low = _format_spread(difference.low, metric, sign=True)
            high = _format_spread(difference.high, metric, sign=True)
            row["interval"] = f"{low} to {high}"
    return row


def _verdict(group, baseline, metric):
    difference = group.difference
    unit = " points" if _is_share(metric) else ""
    size = _format_spread(abs(difference.mean), metric) + unit
    way = "above" if difference.mean > 0 else "below"
    if difference.mean == 0:
        size, way = "no distance", "from"
    start = f"{group.name} ends {size} {way} {baseline.name}"
    if difference.pairs < 2:
        return (
            f"{start} with one seed: without a spread over seeds, that "
            "shows nothing."
        )
    low = _format_spread(difference.low, metric, sign=True)
    high = _format_spread(difference.high, metric, sign=True)
    seeds = f"95 % interval {low} to {high}, {difference.pairs} seeds"
    if not difference.is_clear:
        return (
            f"{start} ({seeds}): the difference is within the spread over "
            "seeds."
        )
    lower_is_better = "loss" in metric or "error" in metric
    better = (difference.mean > 0) != lower_is_better
    what = "gain" if better else "loss"
    return f"{start} ({seeds}): a {what} beyond the spread over seeds."


def _notes(groups, metric):
    notes = [
        "The value after the last epoch, never the best epoch, which would "
        "favor noise. Differences are to the first configuration, "
        + ("in percentage points, " if _is_share(metric) else "")
        + "paired by seed; intervals are Student's t."
    ]
    if len({run.epochs for group in groups for run in group.runs}) > 1:
        notes.append("Not at equal epochs: the runs differ in length.")
    if len(groups) > 2:
        notes.append(
            f"With {len(groups) - 1} comparisons, one interval in twenty "
            "leaves out zero by chance; the intervals are not corrected."
        )
    return notes


_HEADER = {
    "name": "configuration",
    "seeds": "seeds",
    "epochs": "epochs",
    "mean": "mean",
    "std": "std",
    "difference": "difference",
    "interval": "95 % interval",
}


def comparison_table(
    runs: dict, metric: str = "val_accuracy", markdown: bool = False
) -> str:
    r"""Compares configurations over their seeds, as plain text.

    Means and standard deviations over the seeds of the metric after the last
    epoch, the paired difference to the first configuration with its
    standard error and 95 % t-interval, and a sentence on each.

    Args:
        runs: Dict of a configuration's name to the list of its run folders,
            one for each seed; the first is the baseline. Runs are paired by
            the `seed` of their recipes, or by position.
        metric: Column of history.csv. Defaults to "val_accuracy".
        markdown: Whether to return a Markdown table. Defaults to False.

    Returns:
        The table, a blank line and the sentences.

    Raises:
        ValueError: If `runs` is empty, cannot be paired, or a folder or its
            history is missing or unreadable.

    Example:
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "history.csv").write_text(
    ...     "epoch,val_accuracy\n0,0.5\n1,0.75\n"
    ... )
    >>> print(comparison_table({"baseline": [folder]}))
    configuration  seeds  epochs     mean  std  difference  95 % interval
    baseline           1       2  75.00 %    –           –              –
    """
    groups = _read_groups(runs, metric)
    rows = [_HEADER] + [_row(group, metric) for group in groups]
    lines = _markdown(rows) if markdown else _plain(rows)
    verdicts = [
        ("- " if markdown else "") + _verdict(group, groups[0], metric)
        for group in groups[1:]
    ]
    return "\n".join(lines + [""] * bool(verdicts) + verdicts)


def _plain(rows):
    widths = {key: max(len(row[key]) for row in rows) for key in _HEADER}
    lines = []
    for row in rows:
        cells = [row["name"].ljust(widths["name"])]
        cells += [row[key].rjust(widths[key]) for key in list(_HEADER)[1:]]
        lines.append("  ".join(cells).rstrip())
    return lines


def _markdown(rows):
    lines = [
        "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
        for cells in (row.values() for row in rows)
    ]
    rule = "|---|" + "---:|" * (len(_HEADER) - 1)
    return [lines[0], rule, *lines[1:]]


def write_comparison_report(
    path: str | Path,
    runs: dict,
    title: str = "Comparison",
    metric: str = "val_accuracy",
) -> Path:
    r"""Writes a page that compares configurations over several seeds.

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
        ImportError: If matplotlib or Jinja2 is missing.

    Example:
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "history.csv").write_text(
    ...     "epoch,val_accuracy\n0,0.5\n1,0.75\n"
    ... )
    >>> write_comparison_report(folder / "all.html", {"base": [folder]}).name
    'all.html'
    """
    groups = _read_groups(runs, metric)
    name = _metric_name(metric)
    count = sum(len(group.runs) for group in groups)
    verdicts = [_verdict(g, groups[0], metric) for g in groups[1:]]
    html = page.render(
        "comparison_report.html",
        title=title,
        subtitle=f"{len(groups)} configurations, {count} runs",
        metric_name=name,
        verdicts=verdicts or ["One configuration: nothing to compare."],
        rows=[_row(group, metric) for group in groups],
        notes=_notes(groups, metric),
        dots=_dots(groups, metric),
        figures=_curves(groups, metric),
        settings=_settings(groups),
        runs=_run_rows(groups, metric),
    )
    return page.write_atomically(path, html)


def _metric_name(metric):
    return metric.replace("val_", "validation ").replace("_", " ")


def _dots(groups, metric):
    source = figures.dots_figure(
        {group.name: group.values for group in groups}, _is_share(metric)
    )
    parts = [
        f"{group.name}: "
        + ", ".join(_format(value, metric) for value in group.values)
        for group in groups
    ]
    alt = f"{_metric_name(metric)} of each seed. {'; '.join(parts)}."
    return {"source": source, "alt": alt}


def _curves(groups, metric):
    drawn = []
    for column in dict.fromkeys([metric, "val_accuracy", "val_loss"]):
        if not all(column in r.history for g in groups for r in g.runs):
            continue
        source = figures.band_figure(
            {g.name: [r.history[column] for r in g.runs] for g in groups},
            _is_share(column),
        )
        ends = ", ".join(
            f"{g.name} {_format(statistics.fmean(ends), column)}"
            for g in groups
            for ends in [[run.history[column][-1] for run in g.runs]]
        )
        name = _metric_name(column)
        drawn.append(
            {
                "title": name.capitalize(),
                "note": "Mean over the seeds; the band is their range.",
                "source": source,
                "alt": f"{name} over the epochs, means at the end: {ends}.",
            }
        )
    return drawn


def _settings(groups):
    recipes = [group.runs[0].recipe for group in groups]
    names = dict.fromkeys(name for recipe in recipes for name in recipe)
    rows = []
    for name in names:
        if name in ("seed", "name"):
            continue
        values = [
            show(recipe[name]) if name in recipe else "–" for recipe in recipes
        ]
        if len(set(values)) > 1:
            rows.append({"name": name, "values_": values})
    return rows


def _run_rows(groups, metric):
    return [
        {
            "name": group.name,
            "seed": show(run.recipe.get("seed", "–")),
            "value": _format(value, metric),
            "folder": str(run.folder),
        }
        for group in groups
        for run, value in zip(group.runs, group.values, strict=True)
    ]
