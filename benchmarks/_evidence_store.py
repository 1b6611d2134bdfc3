"""Keeps what the runs of `evidence.py` came to, small enough for the repo.

Of a study there are in docs/results/

- `NAME.csv`: the result of each run;
- `NAME.history.csv`: its curves, of which another machine goes on;
- `NAME.json`: what was asked, how it is judged, and with which versions.
"""

import csv
import importlib
import json
import os
import platform
from pathlib import Path

import keras

from keras_tricks import __version__
from keras_tricks.ablation import load_sweep, read_results
from keras_tricks.report import Contrast, Rule, decide

STORED = Path(__file__).parents[1] / "docs" / "results"
_CURVES = ("val_accuracy", "val_crossentropy", "images_per_second")
_FACTS = ("wall_seconds", "parameters")


def store(name, folder, given):
    """Keep the results of a sweep and what is needed to go on with it."""
    STORED.mkdir(exist_ok=True)
    sweep = load_sweep(folder)
    results = read_results(sweep, folder)
    _store_results(name, sweep, results)
    _store_curves(name, results)
    backend = keras.backend.backend()
    judged = {
        "metric": sweep.metric,
        "level": sweep.rule.level,
        "sequential": sweep.rule.sequential,
        "contrasts": [[c.name, c.weights] for c in sweep.contrasts],
        "notes": list(sweep.notes),
        "flags": given,
        "plan": json.loads((folder / "plan.json").read_text("utf-8")),
        "versions": {
            "keras_tricks": __version__,
            "keras": keras.__version__,
            backend: importlib.import_module(backend).__version__,
            "python": platform.python_version(),
            "machine": f"{platform.machine()}, "
            f"{len(os.sched_getaffinity(0))} cores",
        },
    }
    (STORED / f"{name}.json").write_text(
        json.dumps(judged, indent=1) + "\n", "utf-8"
    )


def _write(path, names, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)


def _store_results(name, sweep, results):
    rows = [
        [*key, run.last(sweep.metric), run.epochs, run.result["wall_seconds"]]
        for key, run in results.runs.items()
    ]
    rows += [[*key, "", "", "", why] for key, why in results.failed.items()]
    order = list(sweep.recipes)
    rows.sort(key=lambda row: (order.index(row[0]), row[1]))
    names = ["configuration", "seed", sweep.metric, "epochs", "seconds"]
    rows = [row if len(row) > 5 else [*row, ""] for row in rows]
    _write(STORED / f"{name}.csv", [*names, "failed"], rows)


def _store_curves(name, results):
    rows = []
    for key, run in sorted(results.runs.items()):
        facts = [run.result[fact] for fact in _FACTS]
        columns = [run.history[column] for column in ("epoch", *_CURVES)]
        for epoch, *values in zip(*columns, strict=True):
            shown = [f"{value:.6g}" for value in values]
            rows.append([*key, int(epoch), *shown, *facts])
    names = ["configuration", "seed", "epoch", *_CURVES, *_FACTS]
    _write(STORED / f"{name}.history.csv", names, rows)


def restore(name, folder, given):
    """Make the folders of runs that another machine did.

    Returns:
        How many; 0 if the folder has a plan, or the study had other flags.
    """
    source = STORED / f"{name}.history.csv"
    if (folder / "plan.json").exists() or not source.exists():
        return 0
    judged = json.loads((STORED / f"{name}.json").read_text("utf-8"))
    if judged["flags"] != given or "plan" not in judged:
        return 0
    runs = {}
    with open(source, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            key = f"{row['configuration']}_seed{row['seed']}"
            runs.setdefault(key, []).append(row)
    for key, rows in runs.items():
        run = folder / key
        run.mkdir(parents=True)
        names = ("epoch", *_CURVES)
        _write(
            run / "history.csv",
            names,
            ([row[column] for column in names] for row in rows),
        )
        facts = {fact: float(rows[-1][fact]) for fact in _FACTS}
        facts["parameters"] = int(facts["parameters"])
        (run / "result.json").write_text(json.dumps(facts))
    (folder / "plan.json").write_text(json.dumps(judged["plan"]))
    return len(runs)


def judge(name):
    """Return the decisions of a study, from what is stored."""
    judged = json.loads((STORED / f"{name}.json").read_text("utf-8"))
    values, failed = {}, {}
    with open(STORED / f"{name}.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            own = values.setdefault(row["configuration"], {})
            if row["failed"]:
                count = failed.get(row["configuration"], 0)
                failed[row["configuration"]] = count + 1
            else:
                own[int(row["seed"])] = float(row[judged["metric"]])
    rule = Rule(level=judged["level"], sequential=judged["sequential"])
    contrasts = [Contrast(*one) for one in judged["contrasts"]]
    return judged, values, decide(contrasts, values, rule, failed)
