"""What `accelerator.py` prints and writes: rows, and tables of them."""

import json
import time

from _sections import SECTIONS

TITLES = {
    "versions": "Card and versions",
    "speed": "Training of ResNet-50-D, 224 px",
    "tricks": "What each trick adds to a step",
    "input": "Whether a step waits for JPEG files",
    "tests": "Tests on the device",
    "cifar": "CIFAR-10, baseline and whole bag",
}
# By section: key of a row, heading, format. The first is the name.
COLUMNS = {
    "versions": [("name", "", ""), ("version", "version", "")],
    "speed": [
        ("name", "contender", ""),
        ("precision", "precision", ""),
        ("batch_size", "batch", "d"),
        ("images_per_second", "images/s", ",.1f"),
        ("lowest", "lowest", ",.1f"),
        ("highest", "highest", ",.1f"),
        ("to_applications", "to keras.applications", ".2f"),
        ("to_timm", "to timm, eager", ".2f"),
        ("device_gib", "peak GiB", ".1f"),
        ("host_gib", "host GiB", ".1f"),
        ("copy_share", "copy / step", ".1%"),
        ("loss", "loss", ".2f"),
        ("device", "device", ""),
    ],
    "tricks": [
        ("name", "trick", ""),
        ("backend", "backend", ""),
        ("step", "step, s", ".4f"),
        ("ratio", "of baseline", ".3f"),
        ("low", "lowest", ".3f"),
        ("high", "highest", ".3f"),
    ],
    "input": [
        ("name", "backend", ""),
        ("batch_size", "batch", "d"),
        ("same", "same batch, images/s", ",.1f"),
        ("files", "JPEG files, images/s", ",.1f"),
        ("alone", "reading alone, images/s", ",.1f"),
        ("waits", "waits", ".1%"),
    ],
    "tests": [
        ("name", "tests", ""),
        ("backend", "backend", ""),
        ("passed", "passed", "d"),
        ("failed", "failed", "d"),
        ("skipped", "skipped", "d"),
        ("not_run", "not run", "d"),
        ("failures", "failures", ""),
    ],
    "cifar": [
        ("name", "run", ""),
        ("backend", "backend", ""),
        ("val_accuracy", "accuracy", ".2%"),
        ("epochs", "epochs", "d"),
        ("images_per_second", "images/s", ",.0f"),
        ("wall_seconds", "seconds", ",.0f"),
        ("seeds", "seeds", "d"),
    ],
}


def table(section, rows):
    """Return the lines of a table of Markdown."""
    columns = [
        column
        for column in COLUMNS[section]
        if column[0] == "name" or any(column[0] in row for row in rows)
    ]
    kinds = ["---:" if kind else "---" for _, _, kind in columns]
    lines = [[heading for _, heading, _ in columns], kinds]
    lines += [[_cell(row, *column) for column in columns] for row in rows]
    text = [f"| {' | '.join(line)} |" for line in lines]
    reasons = [row for row in rows if "error" in row or "stopped" in row]
    return text + [""] * bool(reasons) + [_reason(row) for row in reasons]


def _cell(row, key, _, kind):
    value = row.get(key)
    if value is None:
        return ""
    if isinstance(value, list):
        value = ", ".join(f"`{one}`" for one in value)
    return format(value, kind).replace("|", "\\|")


def _reason(row):
    """Return an item of a list that says what is missing in a row, and why."""
    keys = "name", "backend", "precision", "batch_size"
    which = ", ".join(str(row[key]) for key in keys if key in row)
    why = row.get("error") or row["stopped"]
    return f"- {which}: {why}".replace("|", "\\|")


def write(path, report):
    """Write the rows, and the tables beside them."""
    path.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    lines = [f"`{report['command']}`", ""]
    if report["quick"]:
        lines[0] += ": small networks and images, whose figures say nothing."
    for name, section in report["sections"].items():
        lines += [f"### {TITLES[name]}", ""]
        lines += table(name, section["rows"])
        lines += ["", f"({section['seconds']:.0f} s)", ""]
    text = "\n".join(lines[:-1]) + "\n"
    path.with_suffix(".md").write_text(text, "utf-8")
    return text


def measure(name, options, deadline):
    """Return the rows of a section; an error in it is the last of them."""
    rows = []
    try:
        for row in SECTIONS[name][0](options, deadline):
            row.pop("kept", None)
            rows.append(row)
            why = row.get("error") or row.get("stopped", "")
            cells = [_cell(row, *column) for column in COLUMNS[name]]
            print("  ".join([*filter(None, cells), why]), flush=True)
    except Exception as error:
        rows.append({"name": name, "error": f"{type(error).__name__}: {error}"})
        print(rows[-1]["error"], flush=True)
    return rows


def measure_all(options, names, end, command, out=None):
    """Run sections and return the report, which is written after each.

    Args:
        options: `Options`.
        names: Names of sections.
        end: When all is to end, of `time.monotonic`. What a section leaves of
            its share goes to those behind it.
        command: What the report says it is of.
        out: Path of the JSON file, or None.
    """
    report = {"command": command, "quick": options.quick, "sections": {}}
    for index, name in enumerate(names):
        start = time.monotonic()
        rest = sum(SECTIONS[other][1] for other in names[index:])
        share = (end - start) * SECTIONS[name][1] / rest
        print(f"\n{TITLES[name]}", flush=True)
        rows = measure(name, options, start + share)
        seconds = round(time.monotonic() - start, 1)
        report["sections"][name] = {"seconds": seconds, "rows": rows}
        if out is not None:
            write(out, report)
    return report
