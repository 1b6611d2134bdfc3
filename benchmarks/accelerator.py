"""What does a GPU say? Training images/s of ResNet-50-D beside its peers.

Each contender runs in a process of its own, ours through `fit`: on JAX and
PyTorch, beside `keras.applications.ResNet50` on the same backend and timm's
resnet50d in AMP and channels-last memory, eager and compiled. All get the same
uint8 batch from the host's memory, normalize it on the device, and take
Nesterov SGD steps with label smoothing. Two trials say what PyTorch would gain
from its own batch-norm kernel, and from channels-last memory beside it.

    python benchmarks/accelerator.py --out=gpu.json
    python benchmarks/accelerator.py --quick    # tiny, on any machine

A contender that fails is a row that says why.
"""

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from absl import app, flags

_QUICK = flags.DEFINE_bool("quick", False, "Two steps of four small images.")
_OUT = flags.DEFINE_string("out", None, "JSON file for all rows.")
_PRECISIONS = flags.DEFINE_list(
    "precisions", ["mixed_bfloat16", "mixed_float16"], "Dtype policies."
)
_ONLY = flags.DEFINE_list("only", [], "Parts of names of contenders.")
_SECONDS = flags.DEFINE_float("seconds", 540, "Time for all of it.")
_PROFILE = flags.DEFINE_bool("profile", False, "Print a step of PyTorch.")
_WORKER = flags.DEFINE_list("worker", None, "Contender and precision to run.")

CONTENDERS = {
    "ours, JAX": "jax",
    "ours, PyTorch": "torch",
    "timm, eager": "torch",
    "trial: native norm, PyTorch": "torch",
    "trial: native norm, channels last, PyTorch": "torch",
    "keras.applications, JAX": "jax",
    "keras.applications, PyTorch": "torch",
    "timm, compiled": "torch",
}
"""By name: the Keras backend."""


def _sizes():
    """Return image size, batch size, steps of a measurement, and repeats."""
    return (64, 4, 2, 1) if _QUICK.value else (224, 256, 15, 3)


def _batch():
    import numpy as np

    size, count, *_ = _sizes()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, size, size, 3), "uint8")
    return images, rng.integers(0, 1000, count).astype("int32")


def _keras_run(name, precision):
    """Return a function that takes the steps of a Keras network once."""
    import keras
    import numpy as np

    import keras_tricks

    first = keras.backend.backend() == "torch"
    keras.config.set_dtype_policy(precision)
    images, labels = _batch()
    if first:
        keras.config.set_image_data_format("channels_first")
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    if name.startswith("trial"):
        _use_native_norm("channels last" in name)
    inputs = keras.Input(images.shape[1:], dtype="uint8")
    shape = {"input_shape": images.shape[1:]}
    if name.startswith("keras"):
        network = keras.applications.ResNet50(
            weights=None, classifier_activation=None, **shape
        )
    else:
        network = keras_tricks.models.ResNet(50, "D", **shape)
    logits = network(keras.layers.Rescaling(1 / 58.0, -2.0)(inputs))
    model = keras.Model(inputs, keras.ops.cast(logits, "float32"))
    optimizer = keras_tricks.optimizers.SGD(0.01)
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    smoothed = keras_tricks.losses.LabelSmoothedCrossentropy(0.1)
    model.compile(optimizer, smoothed)

    class Same(keras.utils.PyDataset):
        def __len__(self):
            return _sizes()[2]

        def __getitem__(self, index):
            return images, labels

    def run():
        return model.fit(Same(), verbose=0, shuffle=False).history["loss"][-1]

    return run


def _use_native_norm(channels_last):
    """Let PyTorch's own kernel normalize, whatever Keras would do."""
    import keras
    import torch

    from keras_tricks.layers import ConvNorm

    def norm(self, inputs, training=None, mask=None):
        return torch.nn.functional.batch_norm(
            inputs,
            self.moving_mean.value,
            self.moving_variance.value,
            self.gamma.value,
            self.beta.value,
            bool(training and self.trainable),
            1 - self.momentum,
            self.epsilon,
        )

    keras.layers.BatchNormalization.call = norm
    if channels_last:
        call = ConvNorm.call

        def contiguous(self, inputs, training=None):
            memory = torch.channels_last
            return call(self, inputs.contiguous(memory_format=memory), training)

        ConvNorm.call = contiguous


def _timm_run(name, precision):
    """Return a function that takes the steps of timm's network once."""
    import timm
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtypes = {"mixed_float16": torch.float16, "mixed_bfloat16": torch.bfloat16}
    dtype = dtypes.get(precision, torch.float32)
    network = timm.create_model("resnet50d").train()
    network.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        network.parameters(), 0.01, 0.9, weight_decay=1e-4, nesterov=True
    )
    scales = precision == "mixed_float16" and device == "cuda"
    scaler = torch.amp.GradScaler(device, enabled=scales)
    forward = torch.compile(network) if "compiled" in name else network
    images, labels = map(torch.from_numpy, _batch())
    labels = labels.long()
    if device == "cuda":
        images, labels = images.pin_memory(), labels.pin_memory()

    def run():
        for _ in range(_sizes()[2]):
            x = images.to(device, non_blocking=True).permute(0, 3, 1, 2)
            x = (x.to(dtype) / 58 - 2).contiguous(
                memory_format=torch.channels_last
            )
            y = labels.to(device, non_blocking=True)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device, dtype, dtype != torch.float32):
                loss = torch.nn.functional.cross_entropy(
                    forward(x), y, label_smoothing=0.1
                )
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        return float(loss)

    return run


def _work(name, precision):
    """Measure one contender, and print its row as JSON."""
    make = _timm_run if name.startswith("timm") else _keras_run
    run = make(name, precision)
    run()  # Compiles.
    _, count, steps, repeats = _sizes()
    rates = []
    with _profiler(name) as profiler:
        for _ in range(repeats):
            start = time.perf_counter()
            loss = run()
            rates.append(steps * count / (time.perf_counter() - start))
    row = {"images_per_second": statistics.median(rates), "rates": rates}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        row["device"] = torch.cuda.get_device_name()
        row["GiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
    if profiler is not None:
        print(profiler.key_averages().table("self_cuda_time_total", 20))
    print("ROW " + json.dumps(row | {"loss": float(loss)}))


def _profiler(name):
    if not _PROFILE.value or CONTENDERS[name] != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.profiler.profile()


def main(_):
    """Run the contenders, print their rows and write them."""
    if _WORKER.value:
        # The names have commas in them.
        *name, precision = _WORKER.value
        _work(", ".join(name), precision)
        return
    start, rows = time.monotonic(), []
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, python "
        f"{platform.python_version()}; {'quick' * _QUICK.value}"
    )
    for precision in _PRECISIONS.value:
        for name, backend in CONTENDERS.items():
            if _ONLY.value and not any(part in name for part in _ONLY.value):
                continue
            left = _SECONDS.value - (time.monotonic() - start)
            row = _run(name, backend, precision, left)
            rows.append({"name": name, "precision": precision, **row})
            said = row.get("error") or (
                f"{row['images_per_second']:9.1f} images/s, "
                f"{row.get('GiB', '?')} GiB, loss {row['loss']:.3f}"
            )
            print(f"{name:44} {precision:15} {said}", flush=True)
    if _OUT.value:
        text = json.dumps(rows, indent=1) + "\n"
        Path(_OUT.value).write_text(text, "utf-8")


def _run(name, backend, precision, left):
    """Run a contender in a process; return its row, or why there is none."""
    if left < 1:
        return {"error": "no time left"}
    command = [sys.executable, *sys.argv, f"--worker={name},{precision}"]
    environment = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    # As PyTorch does, take memory when it is needed.
    environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    try:
        done = subprocess.run(
            command,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=left,
        )
    except subprocess.TimeoutExpired:
        return {"error": "took too long"}
    *before, last = done.stdout.splitlines() or [""]
    if _PROFILE.value:
        print("\n".join(before))
    if last.startswith("ROW "):
        return json.loads(last[4:])
    lines = done.stderr.strip().splitlines() or ["no output"]
    return {"error": lines[-1][:200]}


if __name__ == "__main__":
    app.run(main)
