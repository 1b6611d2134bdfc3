r"""Reads thousands of damaged files, and counts what comes of it.

    python tests/fuzz/run.py --quick
    python tests/fuzz/run.py --out=fuzz.jsonl

A case is a function of its number and the seed. It gets 30 seconds and 2 GB,
in a worker process that all cases share; one that hangs or crashes is counted
and the process started again. A case is well if it gives a right result, or an
error of an expected type in one line, and if nothing of the file was executed.
With --out, a run that was stopped continues, and a case can be looked up:
--only=weights:123 runs it alone, with its traceback.

The exit code is 1 if any case is not well.
"""

import argparse
import collections
import json
import multiprocessing
import os
import pathlib
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings

SECONDS, BYTES = 30, 2 * 2**30
FULL = {"weights": 10_000, "shards": 1_000, "backups": 1_000, "folders": 500}
FULL |= {"tables": 500}
WELL = "right", "refused"


def work(pipe, seed):
    """Run the cases that come through a pipe, in a process of its own."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    import targets

    silence()
    made = {}
    root = pathlib.Path(tempfile.mkdtemp(prefix="fuzz_"))
    try:
        while True:
            kind, number = pipe.recv()
            if kind not in made:
                folder = root / kind
                folder.mkdir()
                limit(None)
                made[kind] = targets.TARGETS[kind](folder)
                limit(BYTES)
            pipe.send(one(made[kind], kind, number, seed, root / "canary"))
    except EOFError:
        pass
    finally:
        shutil.rmtree(root, ignore_errors=True)


def silence():
    """Send what readers print of bad records to nowhere."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


def limit(more):
    """Allow this process so many bytes more than it has now."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = hard
    if more is not None:
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        soft = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


class TooSlow(BaseException):
    """Nobody catches it by mistake."""


def alarm(number, frame):
    """Interrupt what takes too long."""
    raise TooSlow


def one(target, kind, number, seed, canary):
    """Run a case; return what came of it, and why."""
    import numpy as np
    import targets

    key = [seed, [*targets.TARGETS].index(kind), number]
    rng = np.random.default_rng(key)
    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    trace = ""
    try:
        wrong = target.run(rng, canary)
        result = ("wrong", wrong) if wrong else ("right", "")
    except targets.EXPECTED as error:
        try:
            targets.check_line(error)
            result = "refused", f"{type(error).__name__}: {error}"
        except AssertionError as more:
            result = "no line", f"{type(error).__name__}, {more}"
    except TooSlow:
        result = "too slow", f"{SECONDS} s"
        trace = traceback.format_exc()
    except BaseException as error:
        result = "unexpected", f"{type(error).__name__}: {error}"
        trace = traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if canary.exists():
        canary.unlink()
        result = "executed", "the canary is there"
    return (*result, trace)


class Worker:
    """A process that runs cases, and is started again when it must be."""

    def __init__(self, seed):
        self.seed, self.process = seed, None

    def run(self, kind, number):
        """Return what came of a case, why, and the traceback, if any."""
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.pipe, other = context.Pipe()
            self.process = context.Process(
                target=work, args=(other, self.seed), daemon=True
            )
            self.process.start()
            other.close()
            patience = 300
        else:
            patience = 2 * SECONDS + 30
        self.pipe.send((kind, number))
        try:
            if self.pipe.poll(patience):
                return self.pipe.recv()
            result = "hung", f"more than {patience} s"
        except (EOFError, ConnectionError):
            self.process.join(10)
            result = "crashed", f"exit code {self.process.exitcode}"
        self.close()
        return (*result, "")

    def close(self):
        """End the process."""
        if self.process is not None:
            self.pipe.close()
            self.process.join(5)
            self.process.kill()
            self.process.join()
        self.process = None


def parse():
    """Return the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for kind, count in FULL.items():
        parser.add_argument(f"--{kind}", type=int, help=f"cases; {count}")
    parser.add_argument("--quick", action="store_true", help="1 in 100 of them")
    parser.add_argument("--share", type=float, default=1.0, help="of the cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="file of a line for each case")
    parser.add_argument("--only", help="kind:number")
    return parser.parse_args()


def main():
    """Run the cases and print the counts."""
    options = parse()
    share = 0.01 if options.quick else options.share
    cases = [
        (kind, number)
        for kind, full in FULL.items()
        for number in range(
            round(share * full)
            if getattr(options, kind) is None
            else getattr(options, kind)
        )
    ]
    if options.only:
        kind, _, number = options.only.partition(":")
        cases = [(kind, int(number))]
    done = read(options.out) if options.out and not options.only else {}
    worker, start = Worker(options.seed), time.perf_counter()
    counts = collections.Counter()
    for kind, number in cases:
        if (kind, number) not in done:
            began = time.perf_counter()
            result, why, trace = worker.run(kind, number)
            seconds = time.perf_counter() - began
            done[kind, number] = result
            if result not in WELL or options.only:
                print(f"{kind}:{number}: {result}: {why[:300]}", flush=True)
                if options.only:
                    print(trace)
            if options.out and not options.only:
                row = [kind, number, result, why[:300], round(seconds, 3)]
                with open(options.out, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
        counts[kind, done[kind, number]] += 1
    worker.close()
    for kind in FULL:
        found = {r: n for (k, r), n in sorted(counts.items()) if k == kind}
        total = sum(found.values())
        told = ", ".join(f"{n} {result}" for result, n in found.items())
        print(f"{kind:<9}{total:>7} cases: {told or 'none'}")
    print(f"{time.perf_counter() - start:.0f} s, seed {options.seed}")
    sys.exit(any(result not in WELL for _, result in counts))


def read(path):
    """Return what came of the cases that a file has."""
    if not os.path.exists(path):
        return {}
    lines = pathlib.Path(path).read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {(kind, number): result for kind, number, result, *_ in rows}


if __name__ == "__main__":
    main()
