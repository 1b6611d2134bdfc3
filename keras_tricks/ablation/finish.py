"""What a sweep leaves behind: the page and the recommended recipe."""

from collections.abc import Callable
from pathlib import Path

from keras_tricks.ablation.recommend import write_recommendation
from keras_tricks.ablation.results import read_results
from keras_tricks.ablation.sweep import Sweep
from keras_tricks.report.comparison_report import write_comparison_report
from keras_tricks.report.contrasts import Decision


def finish_sweep(
    sweep: Sweep,
    folder: Path,
    title: str = "Ablation",
    next_command: Callable[[list[Decision]], str] = lambda decisions: "",
    notes: tuple[str, ...] = (),
) -> tuple[list[Decision], str]:
    """Write the report of what is complete, and the recommended recipe.

    Args:
        sweep: The sweep.
        folder: Its folder.
        title: Heading of the page.
        next_command: Returns what to do next, as a command.
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
    command = next_command(decisions)
    write_recommendation(sweep, decisions, folder)
    write_comparison_report(
        folder,
        runs,
        decisions,
        sweep.rule,
        sweep.metric,
        title,
        failed,
        (*sweep.notes, *notes),
        command,
    )
    return decisions, command
