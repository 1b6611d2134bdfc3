r"""Writes the report of an ablation again, or compares any run folders.

    python recipes/report.py --folder=runs/ablation
    python recipes/report.py --folder=runs/compared \\
      --runs=baseline=runs/a,runs/b --runs=mine=runs/c,runs/d

The folder gets comparison.html, .md and .csv. Of --runs the first is what the
others are compared with; they are paired by their seeds, and may come from
different commands.
"""

import sys
from pathlib import Path

import keras_backend as keras_backend  # Before Keras: it picks the backend.
import one_line
from absl import app, flags

from keras_tricks.ablation import compare_runs, finish_sweep, load_sweep
from keras_tricks.report.comparison_report import decision_lines

_FOLDER = flags.DEFINE_string("folder", None, "Of the report.", required=True)
_RUNS = flags.DEFINE_multi_string(
    "runs", [], "name=folder,folder: run folders of one configuration."
)
_METRIC = flags.DEFINE_string(
    "metric", "val_accuracy", "With --runs, the column that decides."
)
_SMALLEST_EFFECT = flags.DEFINE_float(
    "smallest_effect",
    0.0,
    "With --runs, what is too small to matter, as of ablate.py.",
    lower_bound=0,
)
_TITLE = flags.DEFINE_string("title", None, "Heading; that of before.")


def read_runs(texts: list[str]) -> dict[str, list[str]]:
    """Read `name=folder,folder` of each configuration.

    Raises:
        ValueError: If one is not of this form, or a name is there twice.
    """
    found = {}
    for text in texts:
        name, _, folders = text.partition("=")
        paths = [path for path in folders.split(",") if path]
        if not (name and paths) or name in found:
            raise ValueError(
                "`runs` must be name=folder,folder, each name once. "
                f"Received: {text!r}"
            )
        found[name] = paths
    return found


def main(argv):
    """Write the report."""
    if len(argv) > 1:
        sys.exit(f"Arguments must be flags. Received: {' '.join(argv[1:])}")
    folder, metric = Path(_FOLDER.value), _METRIC.value
    try:
        if _RUNS.value:
            folder.mkdir(parents=True, exist_ok=True)
            decisions = compare_runs(
                folder,
                read_runs(_RUNS.value),
                _METRIC.value,
                _SMALLEST_EFFECT.value,
                _TITLE.value or "Comparison",
            )
        else:
            sweep = load_sweep(folder)
            if _TITLE.value is None:
                decisions, _ = finish_sweep(sweep, folder)
            else:
                decisions, _ = finish_sweep(sweep, folder, _TITLE.value)
            metric = sweep.metric
    except (ValueError, OSError, ImportError) as error:
        one_line.stop(error)
    for line in decision_lines(decisions, metric):
        print(f"{line['label']}: {line['text']}".removeprefix(": "))
    print(f"Report: {folder / 'comparison.html'}")


if __name__ == "__main__":
    app.run(main)
