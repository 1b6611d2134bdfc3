"""Trains what docs/results.md shows, and writes that page from what is stored.

    python benchmarks/evidence.py --only=digits            # hours; resumable
    python benchmarks/evidence.py --docs                   # seconds

Each study is a command of `recipes/ablate.py`. A complete or growing one leaves
its comparison.csv, and what decided it, in docs/results/; the tables between
the marks of docs/results.md are made of these files.
"""

import base64
import csv
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import keras
from absl import app, flags

from keras_tricks import __version__
from keras_tricks.ablation import load_sweep
from keras_tricks.report import Contrast, Rule, decide
from keras_tricks.report.figures import COLORS, as_svg

ROOT = Path(__file__).parents[1]
STORED = ROOT / "docs" / "results"
PAGE = ROOT / "docs" / "results.md"
_MARKS = "<!-- evidence: {} -->", "<!-- end of evidence -->"
# Gains of the paper on ResNet-50-D, each over the row before.
PAPER = {"cosine": 0.75, "label_smoothing": 0.40, "mixup": 0.84}
_BAG = (
    "--tricks=warmup,zero_gamma,no_bias_decay,resnet_d,cosine,"
    "label_smoothing,mixup,ema,cutmix,drop_path"
)
STUDIES = {
    "digits_stacked": [
        "--design=stacked",
        _BAG,
        "--epochs=15",
        "--tune=base_learning_rate",
        "--seeds=20",
    ],
    "digits_leave_one_out": [
        "--design=leave_one_out",
        _BAG,
        "--epochs=15",
        "--tune=base_learning_rate",
        "--seeds=20",
    ],
    "cifar10_stacked": [
        "--design=stacked",
        _BAG,
        "--dataset=cifar10",
        "--augmentation=shift_flip",
        "--train_samples=5000",
        "--width=16",
        "--epochs=60",
        "--tune=base_learning_rate",
        "--seeds=5",
    ],
}

_ONLY = flags.DEFINE_list("only", [], "Parts of the names of studies.")
_RUNS = flags.DEFINE_string("runs", "runs/evidence", "Folder of the runs.")
_MORE = flags.DEFINE_multi_string(
    "more", [], "Flags of ablate.py behind those of a study, such as seeds=6."
)
_DOCS = flags.DEFINE_bool("docs", False, "Only write the page.")


def run(name):
    """Train a study as far as it is not complete; store what it says."""
    folder = Path(_RUNS.value) / name
    command = [
        sys.executable,
        str(ROOT / "recipes" / "ablate.py"),
        *STUDIES[name],
        f"--folder={folder}",
        f"--title={name}",
        *(f"--{flag}" for flag in _MORE.value),
    ]
    print(" ".join(command[1:]), flush=True)
    subprocess.run(command, check=True)
    store(name, folder)


def store(name, folder):
    """Keep the results of each run, and how they are judged."""
    STORED.mkdir(exist_ok=True)
    sweep = load_sweep(folder)
    text = (folder / "comparison.csv").read_text("utf-8")
    (STORED / f"{name}.csv").write_text(text, "utf-8")
    backend = keras.backend.backend()
    judged = {
        "metric": sweep.metric,
        "level": sweep.rule.level,
        "sequential": sweep.rule.sequential,
        "contrasts": [[c.name, c.weights] for c in sweep.contrasts],
        "notes": list(sweep.notes),
        "flags": STUDIES.get(name, []),
        "versions": {
            "keras_tricks": __version__,
            "keras": keras.__version__,
            backend: __import__(backend).__version__,
            "python": platform.python_version(),
            "machine": f"{platform.machine()}, "
            f"{len(os.sched_getaffinity(0))} cores",
        },
    }
    (STORED / f"{name}.json").write_text(
        json.dumps(judged, indent=1) + "\n", "utf-8"
    )


def table(name):
    """Return the Markdown of a study, from what is stored."""
    judged, values, decisions = judge(name)
    lines = [
        "| trick | difference, points | 95 % interval | p, corrected | "
        "seeds | verdict |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for found in decisions:
        difference = found.difference
        if difference is None:
            continue
        lines.append(
            f"| {found.contrast.name} | {100 * difference.mean:+.2f} | "
            f"{100 * found.low:+.2f} to {100 * found.high:+.2f} | "
            f"{found.corrected:.3f} | {difference.pairs} | "
            f"{found.verdict} |"
        )
    means = ", ".join(
        f"{configuration} {100 * sum(own.values()) / len(own):.2f} %"
        for configuration, own in values.items()
        if own
    )
    versions = ", ".join(f"{k} {v}" for k, v in judged["versions"].items())
    lines += ["", f"Means: {means}. {versions}.", ""]
    lines += [f"- {note}" for note in judged["notes"]]
    return "\n".join(lines)


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


def draw_order(name):
    """Draw the paper's gains beside those of a stacked study."""
    _, _, decisions = judge(name)
    ours = {d.contrast.name: d for d in decisions if d.difference is not None}
    names = [trick for trick in PAPER if trick in ours]

    def draw(axes):
        for row, trick in enumerate(names):
            mean = 100 * ours[trick].difference.mean
            ends = [100 * ours[trick].low, 100 * ours[trick].high]
            axes.barh(row + 0.2, mean, 0.36, color=COLORS[1], alpha=0.5)
            axes.plot(ends, [row + 0.2] * 2, color=COLORS[1])
            axes.barh(row - 0.2, PAPER[trick], 0.36, color=COLORS[2])
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.axvline(0, color="#8a95a3", linewidth=1)
        axes.set_xlabel("percentage points over the row before")
        handles = [
            axes.barh(0, 0, color=COLORS[2], label="paper, ImageNet"),
            axes.barh(0, 0, color=COLORS[1], alpha=0.5, label=f"here, {name}"),
        ]
        axes.legend(handles=handles, loc="upper left")

    code = as_svg(draw, (7.5, 1.0 + 0.7 * len(names)))
    data = base64.b64decode(code.partition(",")[2])
    (STORED / f"{name}.svg").write_bytes(data)


def write_page():
    """Put the tables of all stored studies between their marks."""
    text = PAGE.read_text("utf-8")
    for path in sorted(STORED.glob("*.json")):
        start, end = (mark.format(path.stem) for mark in _MARKS)
        if start not in text:
            print(f"{PAGE.name} has no {start}")
            continue
        before, _, rest = text.partition(start)
        after = rest.partition(end)[2]
        if path.stem.endswith("stacked"):
            draw_order(path.stem)
        text = f"{before}{start}\n\n{table(path.stem)}\n\n{end}{after}"
    PAGE.write_text(text, "utf-8")
    print(f"wrote {PAGE}")


def main(argv):
    """Train and store the studies, write the page."""
    del argv
    names = [
        name
        for name in STUDIES
        if not _ONLY.value or any(part in name for part in _ONLY.value)
    ]
    if not _DOCS.value:
        for name in names:
            run(name)
    write_page()


if __name__ == "__main__":
    app.run(main)
