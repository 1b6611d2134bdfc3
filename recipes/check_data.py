r"""Checks a data set: what is damaged, odd, unequal or there twice.

    python recipes/check_data.py --data_dir=photos
    python recipes/check_data.py --data_dir=shards --out_dir=checks/shards \
      --max_bad_records=10

Takes all that training takes: a folder, shards, an .npz, the name of a data
set. The folder gets report.html, bad_records.tsv and data.json. The script
ends with the code 1 if more records than allowed cannot be used.
"""

import contextlib
import json
import pathlib
import sys

import keras_backend as keras_backend  # Before Keras: it picks the backend.
import keras
import one_line
import source_flags
from absl import app, flags

from keras_tricks import __version__
from keras_tricks._files import write_atomically
from keras_tricks._text import as_table
from keras_tricks.data import inspect_images, open_images
from keras_tricks.report import verdicts, write_data_report

_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of class folders, folder of shards, or an .npz."
)
_DATASET = flags.DEFINE_string(
    "dataset",
    "digits",
    "Name of a data set, also tfds/NAME or huggingface/NAME, without data_dir.",
)
_OUT_DIR = flags.DEFINE_string(
    "out_dir",
    "data_check",
    "Folder for report.html, bad_records.tsv and data.json.",
)
_WORKERS = flags.DEFINE_integer(
    "workers",
    None,
    "Images decoded at a time; by default one for each core.",
    lower_bound=1,
)
_MAX_BAD_RECORDS = flags.DEFINE_integer(
    "max_bad_records",
    0,
    "How many records may be unusable before the exit code is 1.",
    lower_bound=0,
)
_VERBOSE = flags.DEFINE_bool("verbose", True, "Show a progress bar.")
flags.adopt_module_key_flags(source_flags)


def inspect(images):
    """Inspect all images behind a progress bar on stderr."""
    bar = keras.utils.Progbar(
        len(images.train) + len(images.test),
        width=24,
        verbose=int(_VERBOSE.value),
        unit_name="image",
    )
    with contextlib.redirect_stdout(sys.stderr):
        return inspect_images(images, _WORKERS.value, bar.update)


def as_tsv(bad):
    """Return the bad records as a table, a line for each."""
    columns = ("split", "index", "name", "kind", "reason")
    rows = [[getattr(record, name) for name in columns] for record in bad]
    return as_table([columns, *rows])


def print_table(report):
    """Print what was found, and some of the bad records on stderr."""
    rows = [("data set", report.name), ("classes", len(report.class_names))]
    for one in report.splits:
        usable = f"{len(one.usable)} of {len(one)} records"
        formats = ", ".join(f"{n} {name}" for name, n in one.formats.items())
        balance = one.balance()
        rows.append((one.split, f"{usable}: {formats or 'none'}"))
        rows.append(
            (
                "  in a class",
                f"{balance['min']} to {balance['max']}, median "
                f"{balance['median']:g}",
            )
        )
        for name, values in one.quantiles().items():
            low, middle, high = (f"{values[i]:.0f}" for i in (0, 3, -1))
            rows.append((f"  {name}", f"{low} to {high}, median {middle}"))
    if report.mean is not None:
        for name in ("mean", "std"):
            values = getattr(report, name)
            rows.append((name, ", ".join(f"{value:.2f}" for value in values)))
    rows += [(f"odd: {kind}", n) for kind, n in report.odd_counts().items()]
    print("\n".join(f"{name:<19}{value}" for name, value in rows), end="\n\n")
    print("\n".join(verdicts(report)))
    for record in report.bad[:5]:
        line = f"{record.name}: {record.kind}: {record.reason}"
        print(f"Cannot be used: {line}", file=sys.stderr)
    if len(report.bad) > 5:
        more = len(report.bad) - 5
        print(f"and {more} more, see bad_records.tsv", file=sys.stderr)


def main(argv):
    """Check, or say in one line why it cannot."""
    if len(argv) > 1:
        sys.exit(f"Arguments must be flags. Received: {' '.join(argv[1:])}")
    folder = pathlib.Path(_OUT_DIR.value)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        images = open_images(
            _DATASET.value, _DATA_DIR.value, **source_flags.given()
        )
        report = inspect(images)
        text = json.dumps(report.to_dict(), indent=2)
        write_atomically(folder / "data.json", text + "\n")
        write_atomically(folder / "bad_records.tsv", as_tsv(report.bad))
        source = _DATA_DIR.value or _DATASET.value
        page = write_data_report(
            folder / "report.html",
            report,
            images,
            {"source": source, "keras_tricks": __version__},
        )
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        one_line.stop(error)
    print_table(report)
    print(f"Report: {page}")
    sys.exit(len(report.bad) > _MAX_BAD_RECORDS.value)


if __name__ == "__main__":
    app.run(main)
