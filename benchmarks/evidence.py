"""Trains what docs/results.md shows, and writes that page from what is stored.

    python benchmarks/evidence.py --only=digits            # hours; resumable
    python benchmarks/evidence.py --only=digits --store    # seconds, meanwhile
    python benchmarks/evidence.py --docs                   # seconds

Each study is a command of `recipes/ablate.py`. What its runs came to is kept in
docs/results/, from where another machine goes on; the tables between the marks
of docs/results.md are made of these files.
"""

import base64
import subprocess
import sys
from pathlib import Path

from _evidence_store import STORED, judge, restore, store
from absl import app, flags

from keras_tricks.report.figures import COLORS, as_svg

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
_MARKS = "<!-- evidence: {} -->", "<!-- end of evidence -->"
# Gains of the paper on ResNet-50-D, each over the row before.
PAPER = {"cosine": 0.75, "label_smoothing": 0.40, "mixup": 0.84}
_BAG = (
    "--tricks=warmup,zero_gamma,no_bias_decay,resnet_d,cosine,"
    "label_smoothing,mixup,ema,cutmix,drop_path"
)
_CIFAR10 = [
    _BAG,
    "--data_dir={cifar10}",
    "--augmentation=shift_flip",
    "--train_samples=5000",
    "--test_samples=2000",
    "--width=16",
    "--tune=base_learning_rate",
]
_MIXUP = [
    *_CIFAR10[1:],
    "--tricks=warmup,zero_gamma,no_bias_decay,resnet_d,cosine,"
    "label_smoothing,mixup",
    "--configurations=without_mixup,whole_bag",
    "--seeds=5",
]
_FINE_TUNING = [
    "--design=one_at_a_time",
    "--tricks=warmup,no_bias_decay,cosine,label_smoothing,mixup,ema",
    "--weights={resnet50}",
    "--model=resnet",
    "--depth=50",
    "--variant=A",
    "--width=64",
    "--small_images=false",
    "--skip_head",
    "--image_size=64",
    "--augmentation=shift_flip",
    "--batch_size=64",
    "--base_learning_rate=0.02",
    "--epochs=4",
    "--seeds=3",
]
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
    # Capacity above the data: each regularizer has something to prevent.
    "cifar10_ends": [
        *_CIFAR10,
        "--configurations=baseline,whole_bag",
        "--epochs=60",
        "--seeds=5",
    ],
    "cifar10_stacked": [
        *_CIFAR10,
        "--design=stacked",
        "--epochs=60",
        "--seeds=5",
    ],
    "cifar10_leave_one_out": [
        *_CIFAR10,
        "--design=leave_one_out",
        "--epochs=60",
        "--seeds=5",
    ],
    # Does mixup want long runs?
    "cifar10_mixup_short": [*_MIXUP, "--epochs=20"],
    "cifar10_mixup_long": [*_MIXUP, "--epochs=80"],
    "cifar10_distillation": [
        *_CIFAR10[1:],
        "--tricks=warmup,zero_gamma,no_bias_decay,resnet_d,cosine,"
        "label_smoothing,distillation",
        "--configurations=without_distillation,whole_bag",
        "--teacher={teacher}",
        "--temperature=4",
        "--epochs=60",
        "--seeds=5",
    ],
    "flowers_fine_tuning": ["--data_dir={flowers}", *_FINE_TUNING],
    "imagenette_fine_tuning": ["--data_dir={imagenette}", *_FINE_TUNING],
}

_ONLY = flags.DEFINE_list("only", [], "Parts of the names of studies.")
_RUNS = flags.DEFINE_string("runs", "runs/evidence", "Folder of the runs.")
_PATHS = flags.DEFINE_list(
    "paths",
    [],
    "Where data and weights lie: cifar10=FILE.npz, flowers=FOLDER, "
    "imagenette=FOLDER, resnet50=FILE, teacher=FILE.keras.",
)
_STORE = flags.DEFINE_bool(
    "store", False, "Only store what the runs have come to so far."
)
_MORE = flags.DEFINE_multi_string(
    "more", [], "Flags of ablate.py behind those of a study, such as seeds=6."
)
_DOCS = flags.DEFINE_bool("docs", False, "Only write the page.")


def study_flags(name):
    """Return the flags of a study, or None if a path of it is not given."""
    paths = dict(one.partition("=")[::2] for one in _PATHS.value)
    try:
        return [flag.format(**paths) for flag in STUDIES[name]]
    except KeyError as error:
        print(f"{name} is left out: it needs --paths={error.args[0]}=...")
        return None


def run(name):
    """Train a study as far as it is not complete; store what it says."""
    own = study_flags(name)
    if own is None:
        return
    folder = Path(_RUNS.value) / name
    count = restore(name, folder, STUDIES[name])
    if count:
        print(f"{name}: goes on after {count} runs that are stored")
    command = [
        sys.executable,
        str(ROOT / "recipes" / "ablate.py"),
        *own,
        f"--folder={folder}",
        f"--title={name}",
        *(f"--{flag}" for flag in _MORE.value),
    ]
    print(" ".join(command[1:]), flush=True)
    subprocess.run(command, check=True)
    store(name, folder, STUDIES[name])


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
    for name in names:
        folder = Path(_RUNS.value) / name
        if _STORE.value and (folder / "sweep.json").exists():
            store(name, folder, STUDIES[name])
        elif not _STORE.value and not _DOCS.value:
            run(name)
    write_page()


if __name__ == "__main__":
    app.run(main)
