"""Kills the two processes of an ablation until its table is complete.

    KERAS_BACKEND=torch python benchmarks/sweep_kills.py
    KERAS_BACKEND=jax python benchmarks/sweep_kills.py --kills=4

Two processes of recipes/ablate.py share the runs of one folder, as two
machines do. One of them gets SIGKILL or SIGTERM and is started again, --kills
times: one kill of three while it starts, the others after the first line that
it prints. At the end the table must be, but for seconds, that of a sweep that
nobody disturbed, and each run must have ended once. The runs are real: digits,
pairs of two tricks, two seeds.
"""

import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
from absl import app, flags

_KILLS = flags.DEFINE_integer("kills", 10, "How often.", lower_bound=0)
_SEED = flags.DEFINE_integer("seed", 0, "Of the moments.")
_LONGEST = flags.DEFINE_float(
    "longest", 6.0, "Seconds, at most, from there to a kill."
)
_LIMIT = flags.DEFINE_float("limit", 1800.0, "Seconds for the rest.")
_ROOT = Path(__file__).parents[1]


def log_of(folder, shard):
    """Return the path of what a process prints."""
    return folder.with_name(f"{folder.name}_{shard}.log")


def start(folder, shard):
    """Start one of two processes; its output goes into a file."""
    with open(log_of(folder, shard), "w") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "recipes/ablate.py",
                "--design=pairs",
                "--tricks=cosine,mixup",
                "--seeds=2",
                "--epochs=3",
                "--width=4",
                "--train_samples=512",
                "--batch_size=32",
                f"--shard={shard}/2",
                f"--folder={folder}",
            ],
            cwd=_ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def table(folder):
    """Return the rows of a sweep's table, without their seconds."""
    with open(folder / "comparison.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def results(folder):
    """Return when the result of each run was written."""
    found = folder.rglob("result.json")
    return {p.parent.name: p.stat().st_mtime_ns for p in found}


def finish(folder, processes):
    """Wait for both processes, or say why one has failed."""
    for shard, process in enumerate(processes):
        if process.wait(_LIMIT.value):
            log = log_of(folder, shard).read_text()
            sys.exit(f"shard {shard} ended with {process.returncode}:\n{log}")


def disturb(folder, rng):
    """Kill and start again; return both processes and what was done twice."""
    processes, twice = [start(folder, shard) for shard in (0, 1)], set()
    before = {}
    for number in range(1, _KILLS.value + 1):
        shard = rng.randrange(2)
        kind = rng.choice([signal.SIGKILL, signal.SIGTERM])
        if rng.random() < 2 / 3:
            log = log_of(folder, shard)
            while "seed" not in log.read_text():
                if processes[shard].poll() is not None:
                    break
                time.sleep(0.1)
        time.sleep(rng.uniform(0, _LONGEST.value))
        done = processes[shard].poll() is not None
        processes[shard].send_signal(kind)
        code = processes[shard].wait(_LIMIT.value)
        now = results(folder)
        twice |= {name for name, at in before.items() if now.get(name) != at}
        before = now
        print(
            f"kill {number}: shard {shard}, "
            + ("had ended" if done else f"{kind.name}, code {code}")
            + f"; {len(now)} runs complete",
            flush=True,
        )
        processes[shard] = start(folder, shard)
    finish(folder, processes)
    now = results(folder)
    return twice | {name for name, at in before.items() if now[name] != at}


def main(argv):
    """Compare the table of a sweep that is killed with a whole one."""
    del argv
    with tempfile.TemporaryDirectory() as temporary:
        whole, killed = Path(temporary, "whole"), Path(temporary, "killed")
        finish(whole, [start(whole, shard) for shard in (0, 1)])
        twice = disturb(killed, random.Random(_SEED.value))
        same = table(whole) == table(killed)
        print(
            f"{keras.backend.backend()}: {_KILLS.value} kills, "
            f"{len(table(whole))} runs, {len(twice)} done twice, the table is "
            + ("the same" if same else "another one")
        )
        sys.exit(0 if same and not twice else 1)


if __name__ == "__main__":
    app.run(main)
