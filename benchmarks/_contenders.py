"""What `accelerator.py` trains, each in a process of its own.

The networks of Keras train as a recipe trains them: uint8 images from the
host, normalized inside the step, label smoothing, Nesterov SGD, metrics.
"""

import resource
import statistics
import sys
import time

import _timing
import keras
import numpy as np

from keras_tricks import Recipe, training
from keras_tricks.data import Preprocessing
from keras_tricks.training.input import choose_data_format

CLASSES = 1000


def make(kind, **case):
    """Return a contender."""
    return KINDS[kind](**case)


def make_recipe(precision, batch_size, quick, **changes):
    """Return the recipe of all that Keras trains here."""
    return Recipe.preset(
        "+label_smoothing",
        depth=18 if quick else 50,
        width=8 if quick else 64,
        image_size=32 if quick else 224,
        small_images=False,
        augmentation="crop",
        finish_on="device",
        precision=precision,
        batch_size=batch_size,
        **changes,
    )


def random_batch(batch_size, image_size):
    """Return images and labels as a data set gives them to the device."""
    rng = np.random.default_rng(0)
    shape = (batch_size, image_size, image_size, 3)
    images = rng.integers(0, 256, shape, "uint8")
    return images, rng.integers(0, CLASSES, batch_size).astype("int32")


class Ours:
    """A network of the library, or that of `_network`, through `fit`."""

    def __init__(self, precision, batch_size, quick, folder=None):
        changes = {} if folder is None else {"data_dir": folder}
        self.recipe = make_recipe(precision, batch_size, quick, **changes)
        self.steps = 1 if quick else 10
        size = self.recipe.image_size
        self._data(batch_size, size)
        data_format = choose_data_format(self.recipe)
        keras.config.set_image_data_format(data_format)
        self.model = self._network((size, size, 3), quick)
        training.compile_model(self.recipe, self.model, 1_281_167)
        finish = training.DeviceFinish(Preprocessing(size), None, data_format)
        training.finish_on_device(self.model, finish, self.batch)
        self.first, self.same = (
            _timing.Fit(self.model, _timing.Repeated(*self.batch, steps))
            for steps in (1, self.steps)
        )
        self.first()  # Compiles.
        give_back_memory()

    def _data(self, batch_size, size):
        images, labels = random_batch(batch_size, size)
        draw = {
            "lam": np.ones(batch_size, "float32"),
            "partner": np.arange(batch_size, dtype="int32"),
        }
        self.batch = {"images": images, **draw}, labels
        self.classes = CLASSES

    def _network(self, shape, quick):
        return training.build_model(self.recipe, shape, self.classes)

    def round(self):
        """Return seconds of a step, after one that is not counted."""
        self.first()
        seconds = self.same()
        give_back_memory()
        return {"step": seconds}

    def facts(self):
        """Return device, memory, loss, and the seconds of a copy."""
        images = self.batch[0]["images"]

        def copy():
            return keras.ops.convert_to_tensor(images)

        copied = time_copy(copy, lambda x: keras.ops.convert_to_numpy(x[0, 0]))
        return device_facts() | {"copy": copied, "loss": float(self.same.loss)}

    def profile(self):
        """Return a table of what a step of PyTorch is made of."""
        import torch

        with torch.profiler.profile() as profiler:
            self.same()
        return profiler.key_averages().table("self_cuda_time_total", 20)


class Applications(Ours):
    """The ResNet-50 of core Keras, which is variant A, trained in its place."""

    def _network(self, shape, quick):
        keras.config.set_dtype_policy(self.recipe.precision)
        if keras.config.image_data_format() == "channels_first":
            shape = (shape[2], *shape[:2])
        common = {"weights": None, "classifier_activation": None}
        if quick:  # Compiles in half the time.
            network = keras.applications.MobileNet
            return network(shape, alpha=0.25, **common)
        return keras.applications.ResNet50(input_shape=shape, **common)


class Input(Ours):
    """The same step, with JPEG files and with one batch again and again."""

    def _data(self, batch_size, size):
        data = training.load_data(self.recipe)
        stages, _ = training.build_stages(self.recipe, data)
        self.batches = stages[-1][1]
        self.classes = CLASSES  # Whatever there are: the same program.
        self.batch = self.batches[0]
        self.steps = len(self.batches)

    def round(self):
        """Return seconds of a step with either, and of reading alone."""
        if not hasattr(self, "read"):
            self.read = _timing.Fit(self.model, self.batches)
        seconds = {"same": self.same(), "files": self.read()}
        start = time.perf_counter()
        for step in range(self.steps):
            self.batches.batch(10**6, step)
        seconds["alone"] = (time.perf_counter() - start) / self.steps
        self.batches.close()
        return seconds


class Timm:
    """ResNet-50-D of timm in AMP and channels-last memory."""

    compiles = False

    def __init__(self, precision, batch_size, quick):
        import timm
        import torch

        self.torch, self.steps = torch, 1 if quick else 10
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = getattr(torch, precision.removeprefix("mixed_"))
        network = timm.create_model("resnet50d").train()
        network.to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            network.parameters(), 0.01, 0.9, weight_decay=1e-4, nesterov=True
        )
        scales = self.dtype == torch.float16 and self.device == "cuda"
        self.scaler = torch.amp.GradScaler(self.device, enabled=scales)
        self.network = torch.compile(network) if self.compiles else network
        size = 32 if quick else 224
        arrays = random_batch(batch_size, size)
        self.images, self.labels = map(torch.from_numpy, arrays)
        self.labels = self.labels.long()
        if self.device == "cuda":
            self.images = self.images.pin_memory()
            self.labels = self.labels.pin_memory()
        self._train(1)
        give_back_memory()

    def _train(self, steps):
        torch, device, dtype = self.torch, self.device, self.dtype
        half = dtype != torch.float32
        start = time.perf_counter()
        for _ in range(steps):
            x = self.images.to(device, non_blocking=True).permute(0, 3, 1, 2)
            x = (x.to(dtype) / 58 - 2).contiguous(
                memory_format=torch.channels_last
            )
            y = self.labels.to(device, non_blocking=True)
            self.optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device, dtype if half else None, half):
                loss = torch.nn.functional.cross_entropy(
                    self.network(x), y, label_smoothing=0.1
                )
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.loss = float(loss.detach())  # Waits for the device.
        if self.device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / steps

    def round(self):
        """Return seconds of a step, after one that is not counted."""
        self._train(1)
        seconds = self._train(self.steps)
        give_back_memory()
        return {"step": seconds}

    def facts(self):
        """Return device, memory, loss, and the seconds of a copy."""
        copied = time_copy(
            lambda: self.images.to(self.device, copy=True),
            lambda x: x[0, 0].cpu(),
        )
        return device_facts() | {"copy": copied, "loss": self.loss}


class CompiledTimm(Timm):
    """The same, compiled."""

    compiles = True


KINDS = {
    "ours": Ours,
    "applications": Applications,
    "timm": Timm,
    "timm compiled": CompiledTimm,
    "input": Input,
}


def time_copy(copy, wait):
    """Return the median seconds in which a batch gets to the device."""
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        wait(copy())
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def give_back_memory():
    """Let those who measure next have PyTorch's memory; JAX keeps its own."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def device_facts():
    """Return the device's name, and the most GiB on it and on the host."""
    backend, name, peak = keras.backend.backend(), "cpu", None
    if backend == "torch":
        import torch

        if torch.cuda.is_available():
            name = torch.cuda.get_device_name()
            peak = torch.cuda.max_memory_allocated()
    elif backend == "jax":
        import jax

        device = jax.local_devices()[0]
        name = device.device_kind
        peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
    else:
        import tensorflow as tf

        for device in tf.config.list_physical_devices("GPU")[:1]:
            details = tf.config.experimental.get_device_details(device)
            name = details.get("device_name", "GPU")
            peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "device": name,
        "device_gib": None if peak is None else peak / 2**30,
        "host_gib": host / 2**20,
    }
