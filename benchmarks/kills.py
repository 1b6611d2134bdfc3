"""Kills runs of recipes/train.py at random moments until they are complete.

    KERAS_BACKEND=torch python benchmarks/kills.py
    KERAS_BACKEND=jax python benchmarks/kills.py --kills=9 --targets=launcher
    KERAS_BACKEND=tensorflow python benchmarks/kills.py --minutes=20

A run is started, gets SIGKILL, SIGTERM, SIGHUP or SIGINT at a random moment,
from its first second on, and is started again until it is complete; then the
next one begins. There are runs of one process, and runs of two of which one,
or their launcher, gets the signal. After each no process may be left, and a
signal that asks must end with 75, and no traceback. At the end of a run its
weights, best weights, history and names of files are compared, bit for bit,
with those of a run that nobody interrupted.

What was done stands in --folder: the same command goes on there, up to
--kills in all. Exits with 1 if anything was wrong, with 75 after --minutes.
Linux alone tells which processes are left.
"""

import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import keras
import numpy as np
from absl import app, flags

from keras_tricks._files import write_atomically
from keras_tricks.report import read_run

SIGNALS = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")
TARGETS = ("single", "member", "launcher")

_KILLS = flags.DEFINE_integer("kills", 100, "How often.", lower_bound=0)
_TARGETS = flags.DEFINE_multi_enum(
    "targets", list(TARGETS), TARGETS, "Who gets the signals, in turn."
)
_FOLDER = flags.DEFINE_string(
    "folder", None, "Folder of the runs; runs/kills_<backend> by default."
)
_MINUTES = flags.DEFINE_float("minutes", None, "Stop for now after these.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the moments.")
_LONGEST = flags.DEFINE_float(
    "longest", 6.0, "Seconds from the first step on, at most, until a kill."
)
_EPOCHS = flags.DEFINE_integer("epochs", 12, "Length of a run.")
_EVERY = flags.DEFINE_integer("backup_every_steps", 3, "As of train.py.")
_LIMIT = flags.DEFINE_float("limit", 300.0, "Seconds that one start may take.")
_GRACE = flags.DEFINE_float("grace", 30.0, "As of launch.py.")
_ROOT = Path(__file__).parents[1]
_MARK = "KERAS_TRICKS_KILLS"


class Start:
    """A run that goes on, until it ends or gets a signal."""

    running: "Start | None" = None

    def __init__(self, folder, several):
        launcher = ["recipes/launch.py", "-n=2", f"--grace={_GRACE.value}"]
        self.mark, self.lines = uuid.uuid4().hex, []
        self.trains = threading.Event()
        Start.running = self
        self.process = subprocess.Popen(
            [
                sys.executable,
                *(launcher if several else []),
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
            ],
            cwd=_ROOT,
            env={**os.environ, _MARK: self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if "Epoch" in line:
                self.trains.set()

    def wait(self):
        """Return the exit code; what takes too long is killed."""
        try:
            code = self.process.wait(_LIMIT.value)
        except subprocess.TimeoutExpired:
            self.end()
            code = "too slow"
        self._reader.join(5)
        return code

    def left(self):
        """Return the processes of this start that run."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if f"{_MARK}={self.mark}".encode() in (
                    (path / "environ").read_bytes()
                ):
                    found.append(int(path.name))
            except OSError:  # Of somebody else, ended or a zombie.
                pass
        return found

    def end(self):
        for pid in self.left():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def members(self):
        """Return the processes that train, of a launcher."""
        own = self.process.pid
        text = (Path(f"/proc/{own}/task/{own}") / "children").read_text()
        command = [(pid, Path(f"/proc/{pid}/cmdline")) for pid in text.split()]
        return [int(p) for p, c in command if b"train.py" in c.read_bytes()]


def kill_once(folder, target, number, rng):
    """Start a run and send it a signal; return what happened, as a dict."""
    start = Start(folder, target != "single")
    # A third while it starts; the code of Python itself takes half a second.
    early = rng.random() < 1 / 3
    delay = rng.uniform(1.0, 8.0) if early else rng.uniform(0, _LONGEST.value)
    begin = time.monotonic()
    while not early and not start.trains.wait(0.1):
        late = time.monotonic() - begin > _LIMIT.value
        if late or start.process.poll() is not None:
            break
    time.sleep(delay)
    pid = start.process.pid
    try:
        if target == "member":
            pid = rng.choice(start.members())
        os.kill(pid, number)
    except (OSError, IndexError):
        pass  # It has ended.
    sent = time.monotonic()
    code = start.wait()
    patience = sent + _GRACE.value + 15
    while start.left() and time.monotonic() < patience:
        time.sleep(0.1)
    left = start.left()
    start.end()
    text = "\n".join(start.lines)
    return {
        "target": target,
        "signal": signal.Signals(number).name,
        "after": f"{delay:.1f} s of {'start' if early else 'training'}",
        "code": code,
        "gone_after": round(time.monotonic() - sent, 1),
        "left": len(left),
        "traceback": "Traceback" in text,
        "hung": "did not end in" in text,
        "last_lines": start.lines[-3:],
        "complete": (folder / "result.json").exists(),
    }


def faults(row):
    """Return what is wrong with a kill."""
    number = signal.Signals[row["signal"]]
    # Before, Python may not have come to the handlers, and one of several
    # waits for the others.
    trains = row["after"].endswith("training")
    if number == signal.SIGKILL:
        expected = {0, 128 + number} if row["target"] == "member" else {0, -9}
    else:
        expected = {0, 75}
        if not trains:
            expected |= {-number, 128 + number}
    wrong = []
    if row["code"] not in expected:
        wrong.append(f"code {row['code']}")
    if row["left"]:
        wrong.append(f"{row['left']} processes left")
    if row["traceback"] and number != signal.SIGKILL:
        wrong.append("traceback")
    if row["hung"] and number != signal.SIGKILL and trains:
        wrong.append("killed by the launcher")
    return wrong


def backups(folder):
    """Return the names of the backups of a run."""
    path = folder / "backup"
    found = path.iterdir() if path.is_dir() else []
    return sorted(p.name for p in found if p.name.startswith("epoch"))


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


def compare(whole, killed):
    """Return the names of what differs in two runs that are complete."""
    names = [
        sorted(p.name for p in folder.iterdir()) for folder in (whole, killed)
    ]
    same = {"files": names[0] == names[1]}
    same["history"] = history(whole) == history(killed)
    for name in ("last.keras", "best.keras"):
        same[name] = same_weights(whole / name, killed / name)
    return [name for name, equal in same.items() if not equal]


def complete(folder, several):
    """Let a run come to its end, or say why it does not."""
    if not (folder / "result.json").exists():
        start = Start(folder, several)
        if start.wait():
            start.end()
            sys.exit("\n".join(start.lines[-20:]))


class Campaign:
    """The kills so far, in a file, and the run that each kind is at."""

    def __init__(self, root):
        self.root, self.file = root, root / "kills.json"
        self.rows, self.runs = [], []
        if self.file.exists():
            state = json.loads(self.file.read_text("utf-8"))
            self.rows, self.runs = state["rows"], state["runs"]

    def save(self):
        state = {"rows": self.rows, "runs": self.runs}
        write_atomically(self.file, json.dumps(state, indent=1) + "\n")

    def whole(self, several):
        folder = self.root / f"whole_{'pair' if several else 'single'}"
        complete(folder, several)
        return folder

    def finish(self, several):
        """Compare the run that is killed now with the whole one."""
        killed = self.folder(several)
        if not killed.exists():
            return
        complete(killed, several)
        differs = compare(self.whole(several), killed)
        self.runs.append({"several": several, "differs": differs})
        print(
            f"a run is complete: {', '.join(differs) or 'the same'}", flush=True
        )
        if differs:
            killed.rename(killed.with_name(f"differs_{len(self.runs)}"))
        else:
            shutil.rmtree(killed)
        self.save()

    def folder(self, several):
        return self.root / f"killed_{'pair' if several else 'single'}"

    def kill(self):
        index = len(self.rows)
        rng = random.Random(f"{_SEED.value} {index}")
        target = _TARGETS.value[index % len(_TARGETS.value)]
        number = signal.Signals[SIGNALS[index // len(_TARGETS.value) % 4]]
        several = target != "single"
        folder = self.folder(several)
        if (folder / "result.json").exists():  # Of a start before this one.
            self.finish(several)
        row = kill_once(folder, target, number, rng)
        self.rows.append(row)
        self.save()
        wrong = faults(row)
        last = "complete" if row["complete"] else (backups(folder) or ["-"])[-1]
        print(
            f"| {index + 1} | {target} | {row['signal']} | {row['after']} | "
            f"{row['code']} | {row['gone_after']} s | {last} | "
            f"{', '.join(wrong)} |",
            flush=True,
        )
        if wrong:
            print("\n".join(row["last_lines"]))
        if row["complete"]:
            self.finish(several)

    def summary(self):
        """Print the counts; return whether nothing was wrong."""
        print(f"\n{keras.backend.backend()}, {os.cpu_count()} cores:")
        groups = collections.defaultdict(list)
        for row in self.rows:
            groups[row["target"], row["signal"]].append(row)
        for (target, name), rows in groups.items():
            codes = collections.Counter(row["code"] for row in rows)
            print(
                f"- {target}, {name}: {len(rows)} kills, codes "
                + ", ".join(f"{c} x {n}" for c, n in codes.items())
                + f", all gone after {max(r['gone_after'] for r in rows)} s"
            )
        wrong = [fault for row in self.rows for fault in faults(row)]
        differ = [run for run in self.runs if run["differs"]]
        print(
            f"- {len(self.rows)} kills, {len(wrong)} faults\n- "
            f"{len(self.runs)} runs complete, {len(differ)} differ from one "
            "that nobody interrupted"
        )
        return not wrong and not differ


def main(argv):
    """Kill, compare and print a table."""
    del argv
    name = f"runs/kills_{keras.backend.backend()}"
    root = Path(_FOLDER.value or name).absolute()
    root.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    for number in (signal.SIGHUP, signal.SIGINT):
        # What is ignored here, as behind `nohup`, is by all that it starts.
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    try:
        run(root)
    finally:
        if Start.running is not None:
            Start.running.end()


def run(root):
    """Go on with the kills of a folder, as far as the time goes."""
    campaign = Campaign(root)
    end = float("inf")
    if _MINUTES.value is not None:
        end = time.monotonic() + 60 * _MINUTES.value
    print(
        "| kill | of | signal | after | exit code | all gone | last backup | |"
    )
    print("|---|---|---|---|---|---|---|---|")
    while len(campaign.rows) < _KILLS.value and time.monotonic() < end:
        campaign.kill()
    stopped = len(campaign.rows) < _KILLS.value
    if not stopped:
        for several in (False, True):
            campaign.finish(several)
    good = campaign.summary()
    sys.exit(1 if not good else 75 if stopped else 0)


if __name__ == "__main__":
    app.run(main)
