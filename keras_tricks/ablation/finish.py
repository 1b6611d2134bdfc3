"""What a sweep leaves behind: the page and the recommended recipe."""

import json
from collections.abc import Callable
from pathlib import Path

from keras_tricks._files import write_atomically
from keras_tricks._untrusted import parse_json
from keras_tricks.ablation.recommend import write_recommendation
from keras_tricks.ablation.results import read_results
from keras_tricks.ablation.sweep import Sweep
from keras_tricks.report.comparison_report import write_comparison_report
from keras_tricks.report.contrasts import Decision

_HEADING = "heading.json"


def finish_sweep(
    sweep: Sweep,
    folder: Path,
    title: str | None = None,
    next_command: Callable[[list[Decision]], str] | None = None,
    notes: tuple[str, ...] = (),
) -> tuple[list[Decision], str]:
    """Write the report of what is complete, and the recommended recipe.

    Args:
        sweep: The sweep.
        folder: Its folder.
        title: Heading of the page. Defaults to that of the page before.
        next_command: Returns what to do next, as a command. Defaults to the
            command of the page before.
        notes: Further sentences for the reader.

    Returns:
        What the runs decided, and the command.

    Raises:
        ValueError: If no run is complete.

    Example:
    >>> import tempfile
    >>> from keras_tricks import Recipe
    >>> from keras_tricks.ablation import make_sweep, run_sweep
    >>> base = Recipe.preset(
    ...     "baseline", epochs=1, batch_size=64, width=2, train_samples=64
    ... )
    >>> sweep = make_sweep(base, ["label_smoothing"])
    >>> folder = Path(tempfile.mkdtemp())
    >>> run_sweep(sweep, folder, seeds=1, say=lambda line: None)
    True
    >>> decisions, _ = finish_sweep(sweep, folder)
    >>> decisions[0].verdict  # Of one seed.
    'no evidence'
    """
    results = read_results(sweep, folder)
    decisions = results.decisions(sweep)
    runs: dict = {name: {} for name in sweep.recipes}
    failed: dict = {name: {} for name in sweep.recipes}
    for (name, seed), run in sorted(results.runs.items()):
        runs[name][seed] = run
    for (name, seed), why in sorted(results.failed.items()):
        failed[name][seed] = why
    kept = write_recommendation(sweep, results, folder)
    before = _read_heading(folder)
    command = before["command"]
    if next_command is not None:
        command = next_command(decisions)
    heading = {"title": title or before["title"], "command": command}
    text = json.dumps(heading, indent=1) + "\n"
    write_atomically(Path(folder) / _HEADING, text)
    backends = {run.result.get("backend") for run in results.runs.values()}
    said = [
        f"recommended.json is {kept}, as it was trained: the best mean of what "
        f"is beyond noise better than {next(iter(sweep.recipes))}."
    ]
    if len(backends) > 1:
        said.append(f"Runs are of {' and '.join(sorted(map(str, backends)))}.")
    write_comparison_report(
        folder,
        runs,
        decisions,
        sweep.rule,
        sweep.metric,
        heading["title"],
        failed,
        (*said, *sweep.notes, *notes),
        command,
    )
    return decisions, command


def _read_heading(folder):
    path = Path(folder) / _HEADING
    if not path.exists():
        return {"title": "Ablation", "command": ""}
    return parse_json(path.read_text("utf-8"))
