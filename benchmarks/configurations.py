"""Which backend, data format and `jit_compile` train fastest here?

Runs every combination in a process of its own, a few times in turn, and
prints them sorted by the median step. `keras_tricks` takes its defaults on
CPUs from this.

    python benchmarks/configurations.py
    python benchmarks/configurations.py --depth=50 --width=64 \
        --nosmall_images --image_size=128 --batch_size=16
"""

import itertools
import json
import os
import statistics
import subprocess
import sys

from absl import app, flags

_BACKENDS = flags.DEFINE_list(
    "backends", ["tensorflow", "jax", "torch"], "Backends to try."
)
_JIT = flags.DEFINE_list("jit", ["on", "off"], "Values of jit_compile.")
_DEPTH = flags.DEFINE_integer("depth", 18, "Depth of the ResNet.")
_VARIANT = flags.DEFINE_string("variant", "D", "Variant of the ResNet.")
_WIDTH = flags.DEFINE_integer("width", 32, "Channels of the first stage.")
_SMALL = flags.DEFINE_bool("small_images", True, "Stem for small images.")
_SIZE = flags.DEFINE_integer("image_size", 32, "Side in pixels.")
_BATCH = flags.DEFINE_integer("batch_size", 128, "Images in a batch.")
_CLASSES = flags.DEFINE_integer("classes", 10, "Number of classes.")
_STEPS = flags.DEFINE_integer("steps", 6, "Timed steps in one process.")
_REPEATS = flags.DEFINE_integer("repeats", 2, "Processes for each.")
_TIMEOUT = flags.DEFINE_integer(
    "timeout", 120, "Seconds after which a process is given up."
)
_WORKER = flags.DEFINE_string(
    "worker", None, "Used inside: the data format of the one to time."
)


def _work():
    """Time one configuration and print it as JSON."""
    import _timing
    import keras

    from keras_tricks.models import ResNet
    from keras_tricks.optimizers import SGD

    data_format, jit = _timing.settings(_WORKER.value, _JIT.value[0])
    x, y = _timing.random_batch(
        _BATCH.value, _SIZE.value, _CLASSES.value, data_format
    )
    model = ResNet(
        _DEPTH.value,
        _VARIANT.value,
        num_classes=_CLASSES.value,
        small_images=_SMALL.value,
        width=_WIDTH.value,
        input_shape=x.shape[1:],
        data_format=data_format,
    )
    model.compile(
        SGD(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit,
    )
    first = _timing.Fit(model, _timing.Repeated(x, y, 1))()
    _timing.Fit(model, _timing.Repeated(x, y, 1))()
    step = _timing.Fit(model, _timing.Repeated(x, y, 1))
    times = [step() for _ in range(_STEPS.value)]
    result = {"first": first, "times": times, "about": _timing.environment()}
    print(json.dumps(result))


def _measure(backend, data_format, jit):
    """Return the result of one process, or one line on why there is none."""
    command = [sys.executable, __file__, *sys.argv[1:]]
    command += [f"--worker={data_format}", f"--jit={jit}"]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "KERAS_BACKEND": backend},
            timeout=_TIMEOUT.value,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return f"more than {_TIMEOUT.value} s"
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        errors = [line for line in lines if "Error" in line]
        return (errors or lines)[-1][:70]
    return json.loads(done.stdout.strip().splitlines()[-1])


def _row(configuration, results):
    times = [time for result in results for time in result["times"]]
    median = statistics.median(times)
    medians = [statistics.median(result["times"]) for result in results]
    apart = f"{max(medians) / min(medians) - 1:.1%}"
    first = min(result["first"] for result in results)
    cells = [f"{median * 1e3:.1f}", f"{min(times) * 1e3:.1f}", apart]
    cells += [f"{_BATCH.value / median:.1f}", f"{first:.1f}"]
    return median, [" ".join(configuration), *cells]


def main(_):
    """Print the sorted table."""
    if _WORKER.value is not None:
        return _work()
    formats = ["channels_last", "channels_first"]
    configurations = list(
        itertools.product(_BACKENDS.value, formats, _JIT.value)
    )
    results = {configuration: [] for configuration in configurations}
    failures = {}
    for _ in range(_REPEATS.value):
        for configuration in configurations:
            if configuration in failures:
                continue
            backend, data_format, jit = configuration
            result = _measure(backend, data_format, jit)
            if isinstance(result, str):
                failures[configuration] = result
            else:
                results[configuration].append(result)
    _report(results, failures)


def _report(results, failures):
    import _timing

    done = {c: r for c, r in results.items() if r and c not in failures}
    for backend in _BACKENDS.value:
        about = [r[0]["about"] for c, r in done.items() if c[0] == backend]
        print(about[0] if about else f"{backend}: nothing ran")
    rows = sorted(_row(c, r) for c, r in done.items())
    fastest = rows[0][0] if rows else None
    _timing.print_table(
        f"ResNet-{_DEPTH.value}-{_VARIANT.value} of width {_WIDTH.value}, "
        f"{_BATCH.value} images of {_SIZE.value} pixels; the last word is "
        "jit_compile",
        [
            *["", "median ms", "min ms", "apart", "images/s", "first step s"],
            "ratio",
        ],
        [[*row, f"{median / fastest:.2f}"] for median, row in rows],
    )
    for configuration, reason in failures.items():
        print(f"{' '.join(configuration)}: {reason}")


if __name__ == "__main__":
    app.run(main)
