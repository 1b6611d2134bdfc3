"""The page of an ablation: the decision first, then what it rests on."""

import csv
import io
from pathlib import Path

from keras_tricks._files import write_atomically
from keras_tricks.report import page
from keras_tricks.report.comparison_notes import comparison_notes
from keras_tricks.report.comparison_view import ComparisonView
from keras_tricks.report.contrasts import (
    HELPS,
    HURTS,
    OPEN,
    SMALL,
    UNSTABLE,
    Decision,
    Rule,
)
from keras_tricks.report.metric_text import (
    format_signed,
    is_share,
    metric_name,
)
from keras_tricks.report.run_folder import Run

_LABELS = {
    HELPS: "Keep",
    HURTS: "Drop",
    SMALL: "Too small to matter",
    OPEN: "Undecided, no evidence",
    UNSTABLE: "Unstable, for runs of it failed",
}


def write_comparison_report(
    folder: str | Path,
    runs: dict[str, dict[int, Run]],
    decisions: list[Decision],
    rule: Rule,
    metric: str = "val_accuracy",
    title: str = "Ablation",
    failed: dict[str, dict[int, str]] | None = None,
    notes: tuple[str, ...] = (),
    command: str = "",
) -> Path:
    """Write comparison.html, .md and .csv into a folder.

    The page needs no network and no scripts, and is for light and dark,
    desktop and phone.

    Args:
        folder: Where to.
        runs: Complete runs by configuration and seed; the first configuration
            is what costs are compared with.
        decisions: See `keras_tricks.report.decide`.
        rule: By which they were made.
        metric: Column of history.csv.
        title: Heading.
        failed: Why runs failed, by configuration and seed.
        notes: Further sentences for the reader.
        command: What to do next, as a command.

    Returns:
        The path of the page.

    Raises:
        ValueError: If there is no complete run.
        OSError: If the folder cannot be written.
        ImportError: If matplotlib, Jinja2 or SciPy is missing.

    Example:
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> history = {"epoch": [0.0], "val_accuracy": [0.5]}
    >>> run = Run(folder, history, {"seed": 0}, {}, "")
    >>> write_comparison_report(folder, {"base": {0: run}}, [], Rule()).name
    'comparison.html'
    """
    if not any(runs.values()):
        raise ValueError("`runs` must hold a complete run. Received: none")
    folder, failed = Path(folder), failed or {}
    view = ComparisonView(runs, decisions, rule, metric, failed, folder)
    lines = decision_lines(decisions, metric)
    all_notes = [*comparison_notes(view), *notes]
    html = page.render(
        "comparison_report.html",
        title=title,
        subtitle=view.subtitle(),
        decision=lines,
        command=command,
        gains=view.gains(),
        interval_name=view.interval_name,
        questions=view.questions(),
        metric_name=metric_name(metric),
        configurations=view.configurations(),
        notes=all_notes,
        figures=view.figures(),
        settings=view.settings(),
        runs=view.run_rows(),
    )
    text = _markdown(title, view, lines, all_notes, command)
    write_atomically(folder / "comparison.md", text)
    write_atomically(folder / "comparison.csv", _csv(view))
    return write_atomically(folder / "comparison.html", html)


def decision_lines(
    decisions: list[Decision], metric: str = "val_accuracy"
) -> list[dict[str, str]]:
    """Return the decision in a few lines: what to keep, to drop, to ask.

    Args:
        decisions: What was decided.
        metric: Column of history.csv.

    Returns:
        A list of dicts with a `label`, which may be empty, and a `text`.
    """
    lines = []
    for verdict, label in _LABELS.items():
        names = [
            _in_words(decision, metric)
            for decision in decisions
            if decision.verdict == verdict
        ]
        if names:
            lines.append({"label": label, "text": ", ".join(names)})
    if not decisions:
        lines.append({"label": "", "text": "Nothing to compare."})
    return lines


def _in_words(decision, metric):
    name = decision.contrast.name
    if decision.verdict in (HELPS, HURTS, SMALL):
        mean = format_signed(decision.difference.mean, metric)
        low = format_signed(decision.low, metric)
        high = format_signed(decision.high, metric)
        unit = " points" if is_share(metric) else ""
        return f"{name} ({mean}{unit}, {low} to {high})"
    if decision.verdict != OPEN:
        return name
    if decision.difference is None or decision.difference.pairs < 2:
        return f"{name} (two seeds at least are needed)"
    if decision.seeds is None:
        return name
    if decision.seeds > 100:
        return f"{name} (hundreds of seeds would show it)"
    return f"{name} (about {decision.seeds} seeds would show it)"


def _table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    cells = [[cell.replace("|", r"\|") for cell in row] for row in lines]
    return ["| " + " | ".join(row) + " |" for row in cells]


def _markdown(title, view, lines, notes, command):
    found = [f"# {title}", "", view.subtitle(), ""]
    found += [
        f"- **{line['label']}:** {line['text']}"
        if line["label"]
        else f"- {line['text']}"
        for line in lines
    ]
    if command:
        found += ["", "```sh", command, "```"]
    questions = view.questions()
    if questions:
        keys = ("name", "verdict", "difference", "interval", "p", "seeds")
        header = ["trick", "verdict", "difference", view.interval_name]
        header += ["p, corrected", "seeds", "seeds needed", "step time"]
        keys += ("needed", "time")
        rows = [[row[key] for key in keys] for row in questions]
        found += ["", *_table(header, rows)]
    keys = ("name", "mean", "std", "runs", "failed", "epochs", "speed")
    header = ["configuration", "mean", "std over seeds", "runs", "failed"]
    header += ["epochs", "images/s", "peak memory, MB"]
    keys += ("memory",)
    rows = [[row[key] for key in keys] for row in view.configurations()]
    found += ["", *_table(header, rows), ""]
    found += [f"- {note}" for note in notes]
    return "\n".join([*found, ""])


def _csv(view):
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["configuration", "seed", view.metric, "epochs", "seconds", "failed"]
    )
    for name, runs in view.runs.items():
        failures = view.failed.get(name, {})
        for seed in sorted({*runs, *failures}):
            run = runs.get(seed)
            if run is None:
                writer.writerow([name, seed, "", "", "", failures[seed]])
                continue
            seconds = run.result.get("wall_seconds", "")
            writer.writerow(
                [name, seed, run.last(view.metric), run.epochs, seconds, ""]
            )
    return file.getvalue()
