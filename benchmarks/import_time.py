"""What an import costs beyond `import keras`, in CPU seconds.

For each backend that is installed: the package, and each room alone, in
processes of their own; the median of several. At most 0.1 s is the aim for
losses, schedules, optimizers, layers and metrics. Beside it stands how many of
our modules were loaded.

    python benchmarks/import_time.py [--runs=5] [--backends=torch]
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys

import keras_tricks

SCRIPT = """
import sys, time
import keras
start = time.process_time()
import {module}
seconds = time.process_time() - start
ours = [name for name in sys.modules if name.split(".")[0] == "keras_tricks"]
print(seconds, len(ours))
"""


def measure(module, backend):
    """Return CPU seconds and the number of our modules."""
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(module=module)],
        env={**os.environ, "KERAS_BACKEND": backend},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        text=True,
    )
    seconds, modules = result.stdout.split()
    return float(seconds), int(modules)


def main():
    """Print a table for each backend."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--backends", default="tensorflow,jax,torch")
    arguments = parser.parse_args()
    rooms = [name for name in keras_tricks.__all__ if name.islower()]
    rooms = [name for name in rooms if not name.startswith("_")]
    for backend in arguments.backends.split(","):
        if not importlib.util.find_spec(backend):
            print(f"{backend} is not installed")
            continue
        print(f"\n{backend:24}  CPU s  modules")
        for module in ["keras_tricks", *map("keras_tricks.{}".format, rooms)]:
            runs = [measure(module, backend) for _ in range(arguments.runs)]
            seconds = statistics.median(seconds for seconds, _ in runs)
            print(f"{module:24} {seconds:6.3f} {runs[0][1]:8}", flush=True)


if __name__ == "__main__":
    main()
