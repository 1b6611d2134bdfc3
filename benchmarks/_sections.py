"""The sections of `accelerator.py`: each yields rows, in order of importance.

A section gets `Options` and a deadline of `time.monotonic`. What time did not
allow, or failed, is a row with the reason in `error`.
"""

import importlib.metadata
import itertools
import json
import os
import platform
import statistics
import time
from pathlib import Path

from _device_tests import tests
from _in_turn import files, speed
from _options import BACKENDS, NO_TIME, ROOT, cards, share, why
from _processes import run


def versions(options, deadline):
    """Yield the card, and the versions of what is measured."""
    yield {"name": "card", "version": "; ".join(cards()) or "none"}
    cores = len(os.sched_getaffinity(0))
    machine = f"{platform.machine()}, {cores} cores"
    yield {"name": "host", "version": machine}
    yield {"name": "python", "version": platform.python_version()}
    for name in ("keras", *BACKENDS, "timm", "numpy"):
        try:
            version = importlib.metadata.version(name)
            yield {"name": name, "version": version}
        except importlib.metadata.PackageNotFoundError:
            yield {"name": name, "error": "not installed"}


def tricks(options, deadline):
    """Yield the time of a step with each trick, to that of a baseline."""
    sizes = {"depth": 50, "width": 64, "image_size": 224, "batch_size": 128}
    sizes |= {"classes": 1000, "steps": 10, "repeats": 20}
    if options.quick:
        sizes = {"depth": 18, "width": 8, "image_size": 32, "batch_size": 4}
        sizes |= {"classes": 10, "steps": 1, "repeats": 2}
        sizes |= {"only": "baseline,packed"}
    for index, backend in enumerate(options.few):
        out = options.folder / f"tricks_{backend}.json"
        left = share(deadline, len(options.few) - index) - time.monotonic()
        flags = {**sizes, "dtype": options.precisions[0], "out": out}
        # Its start, and a last round that takes longer.
        flags["seconds"] = left - 15 if not options.quick else left
        row = {"name": "all", "backend": BACKENDS[backend]}
        if flags["seconds"] < 1:
            yield row | NO_TIME
            continue
        script = Path(__file__).with_name("trick_cost.py")
        command = [script, "--on_device", "--nosmall_images"]
        command += [f"--{name}={value}" for name, value in flags.items()]
        code, text = run(
            command, options.environment(backend), time.monotonic() + left
        )
        if code != 0 or not out.exists():
            yield row | why(code, text)
            continue
        for found in json.loads(out.read_text("utf-8")):
            yield row | found


def cifar(options, deadline):
    """Yield accuracies of the baseline and of the whole bag."""
    row = {"name": "CIFAR-10"}
    if options.cifar_dir is None:
        yield row | {"error": "no --cifar_dir was given"}
        return
    if deadline - time.monotonic() < 5:
        yield row | NO_TIME
        return
    backend = options.few[0]
    folder, names = options.folder / "cifar", ("baseline", "whole_bag")
    seeds, epochs = options.cifar_seeds, options.cifar_epochs
    flags = {
        "data_dir": os.path.abspath(options.cifar_dir),
        "augmentation": "shift_flip",
        "batch_size": 512,
        "width": 64,
        "precision": options.precisions[0],
        "epochs": epochs,
        "seeds": seeds,
        "configurations": ",".join(names),
        "folder": folder,
    }
    if options.quick:
        flags |= {"width": 4, "batch_size": 32, "train_samples": 64}
        flags |= {"test_samples": 32}
    command = [ROOT / "recipes" / "ablate.py"]
    command += [f"--{name}={value}" for name, value in flags.items()]
    ended = run(command, options.environment(backend), deadline, ROOT)
    accuracies = {name: [] for name in names}
    for seed, name in itertools.product(range(seeds), names):
        row = {"name": f"{name}, seed {seed}", "backend": BACKENDS[backend]}
        path = folder / f"{name}_seed{seed}" / "result.json"
        if not path.exists():
            yield row | why(*ended)
            continue
        result = json.loads(path.read_text("utf-8"))
        keys = "val_accuracy", "epochs", "images_per_second", "wall_seconds"
        accuracies[name].append(result["val_accuracy"])
        yield row | {key: result[key] for key in keys}
    baseline, bag = accuracies.values()
    pairs = [b - a for a, b in zip(baseline, bag, strict=False)]
    if pairs:
        gain = {"val_accuracy": statistics.mean(pairs), "seeds": len(pairs)}
        yield {"name": "gain of the bag, mean", **gain}


SECTIONS = {
    "versions": (versions, 0.01),
    "speed": (speed, 0.39),
    "tricks": (tricks, 0.25),
    "input": (files, 0.10),
    "tests": (tests, 0.15),
    "cifar": (cifar, 0.10),
}
"""By name: what yields the rows, and its share of the time."""
