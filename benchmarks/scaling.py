"""What several devices cost at equal work, and what 8 to 1024 would give.

    python benchmarks/scaling.py
    KERAS_BACKEND=torch python benchmarks/scaling.py --rounds=5
    python benchmarks/scaling.py --nomeasure --images_per_second=2500

It trains a small ResNet with the same global batch on one device and with
each engine of the backend, all with the same cores, so that what an engine
takes longer is its overhead. Then a model of a step predicts images per
second for up to 1024 accelerators, from the flags and not from this machine:

    step = max(compute + (1 - overlap) gradients + batch_norm + overhead, input)

    compute     images of a device / its rate alone
    gradients   ring within a host, then between hosts: each moves
                2 (k - 1) / k of the bytes over its bandwidth
    batch_norm  with --sync_batch_norm four small sums a layer, each of
                2 log2(devices) latencies
    overhead    --overhead_ms, of the host, per step
    input       images of a host / the rate of its processor cores
"""

import dataclasses
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _timing
import keras
import numpy as np
from absl import app, flags

_ROOT = Path(__file__).parents[1]
_MEASURE = flags.DEFINE_bool("measure", True, "Time the engines here.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Starts of each engine.")
_STEPS = flags.DEFINE_integer("steps", 20, "Steps of an epoch.")
_BATCH = flags.DEFINE_integer("batch_size", 64, "Global batch here.")
_WIDTH = flags.DEFINE_integer("width", 16, "Of the ResNet-18-D here.")
_IMAGES = flags.DEFINE_float(
    "images_per_second", 2500.0, "Of one accelerator alone."
)
_DEVICE_BATCH = flags.DEFINE_integer(
    "device_batch", 128, "Images of a step on one accelerator."
)
_PARAMETERS = flags.DEFINE_float("parameters", 25.6e6, "Values of a gradient.")
_BYTES = flags.DEFINE_integer("bytes_per_value", 4, "Of a gradient.")
_NORMS = flags.DEFINE_integer("batch_norms", 55, "Batch norms.")
_SYNC = flags.DEFINE_bool("sync_batch_norm", False, "Sum their statistics.")
_PER_HOST = flags.DEFINE_integer("per_host", 8, "Accelerators in a host.")
_INSIDE = flags.DEFINE_float("gb_inside", 200.0, "GB/s in a host.")
_BETWEEN = flags.DEFINE_float("gb_between", 25.0, "GB/s between two hosts.")
_LATENCY = flags.DEFINE_float("latency_us", 15.0, "Of one message.")
_OVERLAP = flags.DEFINE_float(
    "overlap", 0.0, "Share of the sum hidden behind the backward pass."
)
_OVERHEAD = flags.DEFINE_float("overhead_ms", 1.0, "Of the host, a step.")
_INPUT = flags.DEFINE_float(
    "input_per_core", 499.0, "Images a second that a core prepares."
)
_CORES = flags.DEFINE_integer("cores_per_host", 96, "Cores for the input.")
_PLOT = flags.DEFINE_string("plot", None, "PNG of the prediction.")
_CHILD = flags.DEFINE_string("child", None, "For its own processes.")
_RESULT = flags.DEFINE_string("result", None, "For its own processes.")
# Engine, processes, devices of each.
_ENGINES = {
    "tensorflow": [
        ("none", 1, 1),
        ("mirrored:2", 1, 2),
        ("multi_worker", 2, 1),
    ],
    "jax": [("none", 1, 1), ("jax:2", 1, 2), ("jax_multi", 2, 1)],
    "torch": [("none", 1, 1), ("torch_ddp", 2, 1)],
}


@dataclasses.dataclass(frozen=True)
class Cluster:
    """What the prediction assumes; see the flags."""

    images_per_second: float
    device_batch: int
    gradient_bytes: float
    batch_norms: int
    per_host: int
    gb_inside: float
    gb_between: float
    latency: float
    overlap: float
    overhead: float
    input_per_host: float

    def seconds(self, devices: int) -> dict[str, float]:
        """Return the parts of a step, and the whole of it."""
        inside = min(devices, self.per_host)
        hosts = -(-devices // self.per_host)
        compute = self.device_batch / self.images_per_second
        gradients = self._ring(inside, self.gb_inside)
        gradients += self._ring(hosts, self.gb_between)
        hops = 2 * math.log2(devices) if devices > 1 else 0
        parts = {
            "compute": compute,
            "gradients": (1 - self.overlap) * gradients,
            "batch norm": 4 * self.batch_norms * hops * self.latency,
            "overhead": self.overhead,
        }
        device = sum(parts.values())
        parts["input"] = self.device_batch * inside / self.input_per_host
        return {**parts, "step": max(device, parts["input"])}

    def _ring(self, members, gigabytes):
        if members == 1:
            return 0.0
        moved = 2 * (members - 1) / members * self.gradient_bytes
        return moved / (gigabytes * 1e9) + 2 * (members - 1) * self.latency


def child():
    """Train with one engine and write the seconds of a step."""
    spec, devices = _CHILD.value.rsplit("/", 1)
    _make_devices(int(devices))
    from keras_tricks.data import Batches
    from keras_tricks.distribute import distribute
    from keras_tricks.losses import LabelSmoothedCrossentropy
    from keras_tricks.models import ResNet18D
    from keras_tricks.optimizers import SGD

    rng = np.random.default_rng(0)
    size = _STEPS.value * _BATCH.value
    images = rng.integers(0, 256, (size, 32, 32, 3)).astype("uint8")
    batches = Batches(images, np.arange(size) % 10, _BATCH.value)
    distribution = distribute(spec)
    with distribution.scope():
        model = ResNet18D(
            num_classes=10,
            width=_WIDTH.value,
            small_images=True,
            input_shape=(32, 32, 3),
        )
        model.compile(
            SGD(0.01), LabelSmoothedCrossentropy(0.1), jit_compile="auto"
        )
        model.optimizer.build(model.trainable_variables)
    distribution.prepare(model)
    epochs = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            epochs.append(time.perf_counter() - self.start)

    model.fit(
        distribution.batches(batches),
        epochs=4,
        shuffle=False,
        verbose=0,
        callbacks=[Clock()],
    )
    if distribution.is_chief:
        seconds = float(np.median(epochs[1:]) / _STEPS.value)
        Path(_RESULT.value).write_text(json.dumps(seconds))


def _make_devices(count):
    if keras.backend.backend() == "tensorflow" and count > 1:
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )


def time_engine(spec, processes, devices):
    """Start the processes of an engine; return the seconds of a step."""
    cores = len(os.sched_getaffinity(0))
    threads = str(max(1, cores // processes))
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
    }
    if devices > 1:
        flag = f"--xla_force_host_platform_device_count={devices}"
        environment["XLA_FLAGS"] = flag
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "seconds"
        own = [
            "benchmarks/scaling.py",
            f"--child={spec}/{devices}",
            f"--result={result}",
            f"--steps={_STEPS.value}",
            f"--batch_size={_BATCH.value}",
            f"--width={_WIDTH.value}",
        ]
        if processes > 1:
            own = ["recipes/launch.py", f"-n={processes}", *own]
        run = subprocess.run(
            [sys.executable, *own],
            env=environment,
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=600,
        )
        if run.returncode:
            sys.exit(f"{spec}: {run.stdout[-2000:]}\n{run.stderr[-2000:]}")
        return json.loads(result.read_text())


def measure():
    """Time the engines in turn and print a table."""
    engines = _ENGINES[keras.backend.backend()]
    seconds = {engine: [] for engine in engines}
    for _ in range(_ROUNDS.value):
        for engine in engines:
            seconds[engine].append(time_engine(*engine))
    print(f"{_timing.environment()}\n")
    print(
        f"ResNet-18-D of width {_WIDTH.value}, {_BATCH.value} images of "
        "32 x 32 a step, the same cores for all:\n"
    )
    print("| engine | processes x devices | step, ms | of one device |")
    print("|---|---|---:|---:|")
    alone = seconds[engines[0]]
    for (spec, processes, devices), own in seconds.items():
        middle, low, high = _timing.ratio(own, alone)
        print(
            f"| `{spec}` | {processes} x {devices} | "
            f"{1e3 * np.median(own):.1f} | {middle:.2f} ({low:.2f} to "
            f"{high:.2f}) |"
        )


def predict():
    """Print, and draw, what the model of a step says."""
    cluster = Cluster(
        _IMAGES.value,
        _DEVICE_BATCH.value,
        _PARAMETERS.value * _BYTES.value,
        _NORMS.value if _SYNC.value else 0,
        _PER_HOST.value,
        _INSIDE.value,
        _BETWEEN.value,
        _LATENCY.value * 1e-6,
        _OVERLAP.value,
        _OVERHEAD.value * 1e-3,
        _INPUT.value * _CORES.value,
    )
    print(f"\nPredicted, not measured: {cluster}\n")
    print(
        "| accelerators | global batch | step, ms | gradients | batch norm | "
        "images/s | efficiency |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|")
    counts = [2**i for i in range(3, 11)]
    rates = []
    for count in counts:
        parts = cluster.seconds(count)
        batch = count * cluster.device_batch
        rates.append(batch / parts["step"])
        efficiency = rates[-1] / count / cluster.images_per_second
        print(
            f"| {count} | {batch} | {1e3 * parts['step']:.1f} | "
            f"{1e3 * parts['gradients']:.1f} | "
            f"{1e3 * parts['batch norm']:.1f} | {rates[-1]:,.0f} | "
            f"{efficiency:.2f} |"
        )
    if _PLOT.value:
        _draw(counts, rates, cluster)


def _draw(counts, rates, cluster):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    ideal = [count * cluster.images_per_second for count in counts]
    axes.loglog(counts, ideal, "--", color="gray", label="ideal")
    axes.loglog(counts, rates, "o-", label="predicted")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("accelerators")
    axes.set_ylabel("images per second")
    axes.legend()
    figure.savefig(_PLOT.value, dpi=120)


def main(argv):
    """Measure and predict."""
    del argv
    if _CHILD.value:
        child()
        return
    if _MEASURE.value:
        measure()
    predict()


if __name__ == "__main__":
    app.run(main)
