from keras_tricks.report.comparison import (
    make_row,
    make_verdicts,
    read_groups,
)

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
    r"""Compare configurations over their seeds, as plain text.

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
        ValueError: If `runs` is empty, names a folder twice, cannot be
            paired, or a folder or its history is missing or unreadable.
        ImportError: If SciPy is missing.

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
    groups = read_groups(runs, metric)
    rows = [_HEADER] + [make_row(group, metric) for group in groups]
    lines = _markdown(rows) if markdown else _plain(rows)
    bullet = "- " if markdown else ""
    verdicts = [bullet + text for text in make_verdicts(groups, metric)]
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
