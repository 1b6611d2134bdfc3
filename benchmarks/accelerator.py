"""What does a GPU say? One command, in less than nine minutes.

    python benchmarks/accelerator.py --out=gpu.json
    python benchmarks/accelerator.py --out=gpu.json --cifar_dir=cifar10.npz
    python benchmarks/accelerator.py --quick    # all of it tiny, on any machine

Its sections: the card and the versions; training images/s of ResNet-50-D
beside its peers, with peak memory and the share of the copy to the device;
what each trick adds to a step; whether a step waits for JPEG files; the tests
that touch kernels; and CIFAR-10 with and without the bag of tricks. Each
contender has a process of its own, and those of a table take turns. What fails
or finds no time is a row that says why. Time that a section leaves goes to
those behind it.

It writes the rows as JSON, after each section, and tables as Markdown beside.
"""

import os
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from _options import BACKENDS, Options
from _report import measure_all
from _sections import SECTIONS
from absl import app, flags

_QUICK = flags.DEFINE_bool("quick", False, "All in tiny form, for a CPU.")
_OUT = flags.DEFINE_string("out", None, "JSON file for all rows.")
_SECONDS = flags.DEFINE_float("seconds", 510, "Time for all of it.")
_SECTIONS = flags.DEFINE_multi_enum(
    "section", None, list(SECTIONS), "Only these sections; give it repeatedly."
)
_BACKENDS = flags.DEFINE_list("backends", None, "By default those installed.")
_ONLY = flags.DEFINE_list("only", [], "Parts of names of contenders.")
_PRECISIONS = flags.DEFINE_list(
    "precisions",
    None,
    "Dtype policies; the first alone after the images/s. By default both "
    "mixed ones, with --quick mixed_bfloat16.",
)
_BATCHES = flags.DEFINE_list(
    "batch_sizes", None, "The largest last; by default 128 and 256."
)
_AT_ONCE = flags.DEFINE_integer(
    "at_once", 0, "Processes that compile or test at once, by default 2 to 4."
)
_PROFILE = flags.DEFINE_bool("profile", False, "Print a step of PyTorch.")
_CIFAR = flags.DEFINE_string(
    "cifar_dir", None, "CIFAR-10, as --data_dir of the recipes takes it."
)
_EPOCHS = flags.DEFINE_integer("cifar_epochs", 10, "Epochs of each run.")
_SEEDS = flags.DEFINE_integer("cifar_seeds", 2, "Seeds of each.")


def _options(folder):
    quick, cores = _QUICK.value, len(os.sched_getaffinity(0))
    both = ["mixed_bfloat16", "mixed_float16"]
    installed = [name for name in BACKENDS if find_spec(name)]
    sizes = _BATCHES.value or ([2] if quick else [128, 256])
    return Options(
        quick=quick,
        backends=_BACKENDS.value or installed,
        only=_ONLY.value,
        precisions=_PRECISIONS.value or both[: 1 if quick else 2],
        batch_sizes=[int(size) for size in sizes],
        at_once=_AT_ONCE.value or min(4, max(2, cores // 2)),
        profile=_PROFILE.value,
        cifar_dir=_CIFAR.value,
        cifar_epochs=1 if quick else _EPOCHS.value,
        cifar_seeds=1 if quick else _SEEDS.value,
        folder=folder,
    )


def main(_):
    """Run the sections, print their rows and write them."""
    command = "python " + " ".join(sys.argv)
    with tempfile.TemporaryDirectory() as folder:
        measure_all(
            _options(Path(folder)),
            [n for n in SECTIONS if n in (_SECTIONS.value or SECTIONS)],
            time.monotonic() + _SECONDS.value,
            command,
            _OUT.value and Path(_OUT.value),
        )


if __name__ == "__main__":
    app.run(main)
