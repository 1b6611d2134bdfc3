"""How many images a second does the input give, beside what decoding allows?

Runs each pipeline in turn over the same files, and
divides its images per second of processor time by those of the decoder it
uses, decoding alone. Each has a process of its own, so that no thread of
another is on its clock. With `--passes` the memory after each pass, instead.

    python benchmarks/input_throughput.py --data_dir=imagenet.tar \
      --classes=classes.tsv
"""

import dataclasses
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time

import _input_peers as peers
import _timing
import numpy as np
from absl import app, flags

from keras_tricks.data import (
    ImageBatches,
    ImageFiles,
    Preprocessing,
    Records,
    TrainTransform,
    open_image_files,
    open_tar_shards,
    read_class_names,
    write_shards,
)
from keras_tricks.data.pipeline.engines.choose import choose_engine

_DATA = flags.DEFINE_string("data_dir", None, "Folder or .tar of images.")
_CLASSES = flags.DEFINE_string("classes", None, "File of the classes.")
_BATCH = flags.DEFINE_integer("batch_size", 64, "Images in a batch.")
_SIZE = flags.DEFINE_integer("image_size", 224, "Side in pixels.")
_REPEATS = flags.DEFINE_integer("repeats", 6, "Measurements of each.")
_IMAGES = flags.DEFINE_integer("images", 1920, "Images in a measurement.")
_ONLY = flags.DEFINE_list("only", [], "Parts of the names to run.")
_MAX_SIDE = flags.DEFINE_integer(
    "max_side", 256, "Short side of the images in the resized shards."
)
_PASSES = flags.DEFINE_integer("passes", 0, "Passes to watch the memory of.")
flags.mark_flag_as_required("data_dir")

# Seconds in which a pipeline fills its buffers after a measurement.
_IDLE = 1.0
CROP = {"jitter": 0.0, "lighting": 0.0}


@dataclasses.dataclass
class Settings:
    """What all pipelines have in common."""

    files: ImageFiles
    small: Records | None
    folder: str
    batch_size: int
    image_size: int
    images: int


class Ours:
    """A contender: `ImageBatches`, some batches at a time."""

    def __init__(self, settings, engine, finish_on, small=False, **transform):
        self.batches = ImageBatches(
            settings.small if small else settings.files,
            Preprocessing(settings.image_size),
            settings.batch_size,
            transform=TrainTransform(settings.image_size, **transform),
            engine=engine,
            finish_on=finish_on,
            max_bad_records=len(settings.files),
        )
        self.steps = settings.images // settings.batch_size
        self.place = 0

    def __call__(self):
        for _ in range(self.steps):
            epoch, step = divmod(self.place, self.batches.num_batches)
            self.batches.batch(epoch, step)
            self.place += 1


def contenders():
    """Return the pipelines by name: class, options, name of the decoder."""
    found = {
        "decode only, TensorFlow": (
            peers.TensorFlowDecode,
            {},
            "TensorFlow",
        ),
        "decode only, Pillow": (peers.PillowDecode, {}, "Pillow"),
    }
    found["decode crops only, TensorFlow"] = (
        peers.CropDecode,
        {},
        "TensorFlow",
    )
    for name, resizer in (("Pillow", "pillow"), ("torch", "torch")):
        options = {"resizer": resizer}
        found[f"resize crops only, {name}"] = (
            peers.Resize,
            options,
            "Pillow",
        )
    for engine, decoder in {"tf.data": "TensorFlow", "grain": "Pillow"}.items():
        for what, finish_on, transform in (
            ("crop, flip, uint8", "device", CROP),
            ("crop, flip, normalized", "host", CROP),
            ("+ jitter, lighting", "device", {}),
            ("+ jitter, lighting, normalized", "host", {}),
        ):
            options = {"engine": engine, "finish_on": finish_on, **transform}
            found[f"{engine}: {what}"] = (Ours, options, decoder)
        for what, transform in (
            ("crop, flip, uint8", CROP),
            ("+ jitter, lighting", {}),
        ):
            options = {"engine": engine, "finish_on": "device", **transform}
            name = f"{engine}: {what}, resized shards"
            found[name] = (Ours, {**options, "small": True}, decoder)
    for what, colors in (("crop, flip", False), ("+ jitter, lighting", True)):
        name = f"torch DataLoader, Pillow: {what}, normalized"
        found[name] = (peers.TorchLoader, {"colors": colors}, "Pillow")
    name = "image_dataset_from_directory, layers"
    found[name] = (peers.KerasFolder, {}, "TensorFlow")
    return {
        name: entry
        for name, entry in found.items()
        if not _ONLY.value or any(part in name for part in _ONLY.value)
    }


def resized_shards(files, folder):
    """Write shards of smaller images, say how large they are, open them."""
    written = write_shards(
        {"train": files},
        folder,
        "webdataset",
        max_bad_records=len(files),
        max_side=_MAX_SIDE.value,
    )
    print(
        f"{written.resized} of {written.records} resized to "
        f"{_MAX_SIDE.value}: {written.megabytes_before:.1f} to "
        f"{written.megabytes_after:.1f} MB"
    )
    return open_tar_shards(folder, files.classes, split="train")


def serve(pipe, make, settings, options):
    """Run a pipeline whenever it is told to; answer with the seconds."""
    run = make(settings, **options)
    run()
    pipe.send(0.0)
    while pipe.recv():
        start = time.process_time()
        run()
        # What was taken from the buffers is filled up again.
        time.sleep(_IDLE)
        pipe.send(time.process_time() - start)


class Process:
    """A contender in a process of its own, which returns its seconds."""

    def __init__(self, make, settings, options):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=serve, args=(theirs, make, settings, options), daemon=True
        )
        self.process.start()
        self.pipe.recv()
        print(".", end="", flush=True, file=sys.stderr)

    def __call__(self):
        self.pipe.send(True)
        return self.pipe.recv()

    def close(self):
        """End the process."""
        self.pipe.send(False)
        self.process.join()


def measure(settings):
    """Print the table of images per second."""
    entries = contenders()
    runs = {
        name: Process(make, settings, options)
        for name, (make, options, _) in entries.items()
    }
    seconds = _timing.interleave(runs, _REPEATS.value, warmup=1)
    for run in runs.values():
        run.close()
    rows = []
    for name, times in seconds.items():
        peer = f"decode only, {entries[name][2]}"
        rate = settings.images / statistics.median(times)
        share = ""
        if peer in seconds:
            middle, low, high = _timing.ratio(seconds[peer], times)
            share = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        rows.append([name, f"{rate:.0f}", share])
    header = ["", "images/s a core", "of decode only"]
    _timing.print_table("Images per second of processor time", header, rows)


def watch_memory(settings):
    """Print the memory of the process after each pass."""
    pipeline = Ours(settings, choose_engine(), "host")
    rows = []
    for index in range(_PASSES.value):
        for step in range(pipeline.batches.num_batches):
            pipeline.batches.batch(index, step)
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        megabytes = pages * resource.getpagesize() / 2**20
        rows.append([str(index + 1), f"{megabytes:.0f}", f"{peak / 1024:.0f}"])
        print(".", end="", flush=True, file=sys.stderr)
    _timing.print_table("Memory", ["pass", "MiB", "peak MiB"], rows)


def main(argv):
    """Measure what the flags say."""
    del argv
    classes = None
    if _CLASSES.value is not None:
        classes = read_class_names(_CLASSES.value)
    files = open_image_files(_DATA.value, classes)
    sizes = [len(files.read(i)) for i in range(0, len(files), 7)]
    print(_timing.environment())
    print(f"{len(files)} files of {np.mean(sizes) / 1e3:.0f} kB")
    with tempfile.TemporaryDirectory() as folder:
        small = None
        if any("resized" in name for name in contenders()):
            small = resized_shards(files, os.path.join(folder, "small"))
        settings = Settings(
            files, small, folder, _BATCH.value, _SIZE.value, _IMAGES.value
        )
        watch_memory(settings) if _PASSES.value else measure(settings)


if __name__ == "__main__":
    app.run(main)
