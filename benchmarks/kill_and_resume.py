"""Kills a run of recipes/train.py at random moments until it is complete.

    python benchmarks/kill_and_resume.py
    KERAS_BACKEND=torch python benchmarks/kill_and_resume.py --kills=20
    KERAS_BACKEND=jax python benchmarks/kill_and_resume.py --processes=2

A run is started, killed (kill -9, or SIGTERM every third time) after a random
time and started again; after the last kill it runs to its end. Then its
weights, its best weights and its history are compared, bit for bit, with
those of a run that nobody interrupted. Exits with 1 if anything differs.
With several processes, one of them, by chance, gets the signal.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import keras
import numpy as np
from absl import app, flags

from keras_tricks.report import read_run

_KILLS = flags.DEFINE_integer("kills", 10, "How often.", lower_bound=0)
_SEED = flags.DEFINE_integer("seed", 0, "Of the moments.")
_LONGEST = flags.DEFINE_float(
    "longest", 6.0, "Seconds from the first step on, at most, until a kill."
)
_EPOCHS = flags.DEFINE_integer("epochs", 12, "Length of the run.")
_EVERY = flags.DEFINE_integer("backup_every_steps", 3, "As of train.py.")
_LIMIT = flags.DEFINE_float("limit", 300.0, "Seconds that one start may take.")
_PROCESSES = flags.DEFINE_integer(
    "processes", 1, "Processes that train together.", lower_bound=1
)
_ROOT = Path(__file__).parents[1]


def start(folder):
    """Start or continue the run."""
    several = ["recipes/launch.py", f"-n={_PROCESSES.value}", "--grace=30"]
    command = [
        sys.executable,
        *(several if _PROCESSES.value > 1 else []),
        "recipes/train.py",
        f"--run_folder={folder}",
        f"--epochs={_EPOCHS.value}",
        f"--backup_every_steps={_EVERY.value}",
        "--width=2",
        "--dropout=0.2",
        "--drop_path=0.1",
        "--ema_decay=0.99",
        "--train_samples=640",
        "--batch_size=32",
        "--verbose=2",
    ]
    return subprocess.Popen(
        command,
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def send(process, number, rng):
    """Send a signal to the process that trains, or to one of them."""
    if _PROCESSES.value == 1:
        process.send_signal(number)
        return
    pids = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True
    ).stdout.split()
    if pids:
        os.kill(int(rng.choice(pids)), number)


def run_until(folder, seconds, number, rng):
    """Run; send a signal some seconds after training has begun.

    Args:
        folder: Folder of the run.
        seconds: How long to wait after the first line that only training
            prints; `None` to let it run to its end.
        number: The signal.
        rng: Chooses the process that gets it.

    Returns:
        The exit code and the lines that were printed.
    """
    process = start(folder)
    limit = threading.Timer(_LIMIT.value, process.kill)
    limit.start()
    lines, timer = [], None
    for line in process.stdout:
        lines.append(line.rstrip())
        if seconds is not None and timer is None and "Epoch" in line:
            timer = threading.Timer(seconds, send, [process, number, rng])
            timer.start()
    code = process.wait()
    for waiting in (limit, timer):
        if waiting is not None:
            waiting.cancel()
    return code, lines


def backups(folder):
    """Return the names of the backups of a run."""
    path = folder / "backup"
    found = path.iterdir() if path.is_dir() else []
    return sorted(p.name for p in found if p.name != "unfinished")


def history(folder):
    """Return the log, without what depends on the time."""
    found = read_run(folder).history
    return {k: v for k, v in found.items() if k != "images_per_second"}


def same_weights(one, two):
    """Return whether two saved models have the same weights, bit for bit."""
    models = [
        keras.saving.load_model(path, compile=False) for path in (one, two)
    ]
    pairs = zip(*(model.get_weights() for model in models), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def main(argv):
    """Kill, compare and print a table."""
    del argv
    rng = random.Random(_SEED.value)
    root = Path(tempfile.mkdtemp(prefix="kill_and_resume"))
    whole, killed = root / "whole", root / "killed"
    code, lines = run_until(whole, None, None, rng)
    if code:
        sys.exit("\n".join(lines[-20:]))
    print("| start | signal | after | exit code | last backup |")
    print("|---|---|---|---|---|")
    for index in range(_KILLS.value):
        terminate = index % 3 == 2
        number = signal.SIGTERM if terminate else signal.SIGKILL
        seconds = rng.uniform(0, _LONGEST.value)
        code, lines = run_until(killed, seconds, number, rng)
        if code == 1:
            sys.exit("\n".join(lines[-20:]))
        complete = (killed / "result.json").exists()
        last = "complete" if complete else (backups(killed) or ["none"])[-1]
        print(
            f"| {index + 1} | {number.name} | {seconds:.1f} s | {code} | "
            f"{last} |",
            flush=True,
        )
        if complete:
            break  # Or killed when it was.
    begin = time.perf_counter()
    if not (killed / "result.json").exists():
        code, lines = run_until(killed, None, None, rng)
        if code:
            sys.exit("\n".join(lines[-20:]))
        print(f"| last | none | {time.perf_counter() - begin:.0f} s | 0 | |")
    rows = {"history": history(whole) == history(killed)}
    for name in ("last.keras", "best.keras"):
        rows[name] = same_weights(whole / name, killed / name)
    print(
        f"\n{keras.backend.backend()}, {_PROCESSES.value} processes, "
        f"{os.cpu_count()} cores:"
    )
    for name, same in rows.items():
        print(f"- {name}: {'the same, bit for bit' if same else 'DIFFERS'}")
    print(f"- epochs of the history: {len(history(killed)['loss'])}")
    sys.exit(0 if all(rows.values()) else 1)


if __name__ == "__main__":
    app.run(main)
