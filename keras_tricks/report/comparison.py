import dataclasses
import os
import statistics

from keras_tricks.report.run_folder import Run, read_run
from keras_tricks.report.statistics import Difference, paired_difference


@dataclasses.dataclass(frozen=True)
class Group:
    """The runs of one configuration and its distance to the baseline.

    Attributes:
        name: Name of the configuration.
        runs: Its runs.
        values: The metric of each run after the last epoch.
        difference: Difference to the baseline, None for the baseline.
        by_seed: Whether the difference is paired by seed, not by position.
    """

    name: str
    runs: list[Run]
    values: list[float]
    difference: Difference | None = None
    by_seed: bool = True


def read_groups(runs: dict, metric: str) -> list[Group]:
    """Read the runs of each configuration; the first is the baseline.

    Args:
        runs: As for `comparison_table`.
        metric: Column of history.csv.

    Returns:
        A list of `Group`.

    Raises:
        ValueError: As `comparison_table`.
    """
    if not isinstance(runs, dict) or not runs:
        raise _wrong_runs(runs)
    groups: list[Group] = []
    for name, folders in runs.items():
        group = _read_group(str(name), folders, metric, runs)
        groups.append(_compare(group, groups[0]) if groups else group)
    return groups


def _wrong_runs(runs):
    return ValueError(
        "`runs` must be a dict of a name to a list of run folders, each of "
        f"them once. Received: runs={runs!r}"
    )


def _read_group(name, folders, metric, runs):
    if isinstance(folders, (str, os.PathLike)):
        folders = [folders]
    try:
        read = [read_run(folder) for folder in folders]
    except TypeError:
        raise _wrong_runs(runs) from None
    if not read or len({run.folder.resolve() for run in read}) < len(read):
        raise _wrong_runs(runs)
    return Group(name, read, [run.last(metric) for run in read])


def _compare(group, baseline):
    seeds, theirs = _seeds(group), _seeds(baseline)
    by_seed = _are_distinct(seeds) and _are_distinct(theirs)
    if by_seed:
        ours = dict(zip(seeds, group.values, strict=True))
        base = dict(zip(theirs, baseline.values, strict=True))
        common = [seed for seed in theirs if seed in ours]
        pairs = [ours[s] for s in common], [base[s] for s in common]
    elif len(group.values) == len(baseline.values):
        pairs = group.values, baseline.values
    else:
        pairs = [], []
    if not pairs[0]:
        raise ValueError(
            "`runs` must have a seed in common with the first configuration, "
            "or as many runs where seeds are unknown. "
            f"Received: seeds {seeds} and {theirs}"
        )
    difference = paired_difference(*pairs)
    return dataclasses.replace(group, difference=difference, by_seed=by_seed)


def _seeds(group):
    return [run.recipe.get("seed") for run in group.runs]


def _are_distinct(seeds):
    return None not in seeds and len(set(seeds)) == len(seeds)


def is_share(metric: str) -> bool:
    """Return whether a metric is a share, shown in percent.

    Example:
    >>> is_share("val_accuracy"), is_share("val_loss")
    (True, False)
    """
    return "accuracy" in metric


def lower_is_better(metric: str) -> bool:
    """Return whether a metric is an error.

    Example:
    >>> lower_is_better("val_crossentropy"), lower_is_better("val_accuracy")
    (True, False)
    """
    return any(word in metric for word in ("loss", "error", "entropy"))


def metric_name(metric: str) -> str:
    """Return a column of history.csv in words.

    Example:
    >>> metric_name("val_accuracy")
    'validation accuracy'
    """
    name = metric.replace("val_", "validation ", 1).replace("_", " ")
    return name.replace("crossentropy", "cross-entropy")


def format_value(value: float, metric: str) -> str:
    """Return a value of a metric as text.

    Example:
    >>> format_value(0.75, "accuracy"), format_value(0.75, "loss")
    ('75.00 %', '0.7500')
    """
    return f"{100 * value:.2f} %" if is_share(metric) else f"{value:.4f}"


def _format_spread(value, metric):
    return f"{100 * value:.2f}" if is_share(metric) else f"{value:.4f}"


def _format_signed(value, metric):
    return f"{100 * value:+z.2f}" if is_share(metric) else f"{value:+z.4f}"


def _format_interval(difference, metric):
    low = _format_signed(difference.low, metric)
    return f"{low} to {_format_signed(difference.high, metric)}"


def make_row(group: Group, metric: str) -> dict[str, str]:
    """Return a configuration's row of a table: a dict of column to text."""
    spread = "–"
    if len(group.values) > 1:
        spread = _format_spread(statistics.stdev(group.values), metric)
    epochs = sorted({run.epochs for run in group.runs})
    row = {
        "name": group.name,
        "seeds": str(len(group.values)),
        "epochs": ", ".join(str(count) for count in epochs),
        "mean": format_value(statistics.fmean(group.values), metric),
        "std": spread,
        "difference": "–",
        "interval": "–",
    }
    difference = group.difference
    if difference is not None:
        row["difference"] = _format_signed(difference.mean, metric)
        if difference.pairs > 1:
            row["difference"] += (
                f" ± {_format_spread(difference.error, metric)}"
            )
            row["interval"] = _format_interval(difference, metric)
    return row


def make_verdicts(groups: list[Group], metric: str) -> list[str]:
    """Return one sentence on each configuration after the first."""
    return [_verdict(group, groups[0], metric) for group in groups[1:]]


def _verdict(group, baseline, metric):
    difference = group.difference
    unit = " points" if is_share(metric) else ""
    way = "above" if difference.mean > 0 else "below"
    place = f"{_format_spread(abs(difference.mean), metric)}{unit} {way}"
    if difference.mean == 0:
        place = "level with"
    start = f"{group.name} ends {place} {baseline.name}"
    if difference.pairs < 2:
        return (
            f"{start} with one seed: without a spread over seeds, that "
            "shows nothing."
        )
    interval = _format_interval(difference, metric)
    start += f" (95 % interval {interval}, {difference.pairs} seeds)"
    if not difference.is_clear:
        return f"{start}: the difference is within the spread over seeds."
    what = _judge(difference.mean, metric)
    return f"{start}: a {what} beyond the spread over seeds."


def _judge(change, metric):
    if is_share(metric):
        return "gain" if change > 0 else "loss"
    if lower_is_better(metric):
        return "gain" if change < 0 else "loss"
    return "difference"


def make_notes(groups: list[Group], metric: str) -> list[str]:
    """Return what a reader must know to read the table: a list of sentences."""
    pairing = "paired by seed"
    if not all(group.by_seed for group in groups):
        pairing += ", or by position where the seeds are unknown"
    notes = [
        "The value after the last epoch, never the best epoch, which would "
        "favor noise. Differences are to the first configuration, "
        + ("in percentage points, " if is_share(metric) else "")
        + f"{pairing}; intervals are Student's t."
    ]
    counts = {len(group.runs) for group in groups}
    counts |= {group.difference.pairs for group in groups[1:]}
    if len(counts) > 1:
        notes.append(
            "Means are over all seeds of a configuration, differences only "
            "over those it shares with the first."
        )
    if len({run.epochs for group in groups for run in group.runs}) > 1:
        notes.append("Not at equal epochs: the runs differ in length.")
    if len(groups) > 2:
        notes.append(
            f"With {len(groups) - 1} comparisons, one interval in twenty "
            "leaves out zero by chance; the intervals are not corrected."
        )
    return notes
