"""Where does the time of a training crop go, between the file and the batch?

Milliseconds of processor time an image in one thread: each part of the way
by itself, over the same samples, and the whole way beside their sum. The
parts are those of the Grain engine; that of tf.data decodes the crop alone,
in TensorFlow.

    python benchmarks/profile_input.py --data_dir=imagenet.tar \
      --classes=classes.tsv
"""

import statistics
import time

import _timing
import numpy as np
import torch
from absl import app, flags

from keras_tricks.data import (
    TrainTransform,
    open_image_files,
    read_class_names,
)
from keras_tricks.data.pipeline.sample_loader import SampleLoader
from keras_tricks.data.transforms import open_image
from keras_tricks.data.transforms.fast_jpeg import decode_plain_jpeg
from keras_tricks.data.transforms.jpeg_header import read_jpeg_header
from keras_tricks.data.transforms.random_crops import cut
from keras_tricks.data.transforms.resize import resize

_DATA = flags.DEFINE_string("data_dir", None, "Folder or .tar of images.")
_CLASSES = flags.DEFINE_string("classes", None, "File of the classes.")
_SIZE = flags.DEFINE_integer("image_size", 224, "Side in pixels.")
_IMAGES = flags.DEFINE_integer("images", 256, "Images in a measurement.")
_BATCH = flags.DEFINE_integer("batch_size", 64, "Images in a batch.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Measurements of each.")
flags.mark_flag_as_required("data_dir")


def clocked(function, arguments):
    """Return a contender: the function over all arguments, processor time."""

    def run():
        start = time.process_time()
        for entry in arguments:
            function(*entry)
        return time.process_time() - start

    return run


def parts(loader):
    """Return a contender for each part of the way of a sample."""
    size, transform = _SIZE.value, loader.transform
    samples = range(_IMAGES.value)
    files = [loader.records.record(i)[0] for i in samples]
    images = [np.asarray(open_image(data)) for data in files]
    extents = [image.shape[:2] for image in images]
    drawn = [loader.draw(0, i, *extents[i]) for i in samples]
    cuts = [cut(images[i], drawn[i].box) for i in samples]
    cuts = [np.ascontiguousarray(x) for x in cuts]
    mirrored = [
        x for x, parameters in zip(cuts, drawn, strict=True) if parameters.flip
    ]
    done = resize(cuts[0], size, transform.interpolation, transform.resizer)
    batches = _IMAGES.value // _BATCH.value

    def decode(data):
        fast = decode_plain_jpeg(data)
        return open_image(data).load() if fast is None else fast

    def through_pillow(data, i):
        np.asarray(cut(open_image(data), drawn[i].box))

    def resized(x, flip=False):
        resize(x, size, transform.interpolation, transform.resizer, flip)

    def whole(data, i):
        image = decode_plain_jpeg(data)
        image = open_image(data) if image is None else image
        transform.apply(image, drawn[i])

    found = {
        "read, label": (loader.records.record, [(i,) for i in samples]),
        "look through the header": (read_jpeg_header, [(x,) for x in files]),
        "draw": (loader.draw, [(0, i, *extents[i]) for i in samples]),
        "decode": (decode, [(x,) for x in files]),
        "decode, cut, copy out of Pillow": (
            through_pillow,
            [(x, i) for i, x in enumerate(files)],
        ),
        "resize": (resized, [(x,) for x in cuts]),
        "resize, those to be mirrored": (resized, [(x,) for x in mirrored]),
        "the same, mirrored": (resized, [(x, True) for x in mirrored]),
        "decode, cut, resize, mirror": (
            whole,
            [(x, i) for i, x in enumerate(files)],
        ),
        "stack the batch": (
            np.stack,
            [([done] * _BATCH.value,) for _ in range(batches)],
        ),
        "a sample, all of it": (loader.load, [(0, i) for i in samples]),
    }
    return {name: clocked(*entry) for name, entry in found.items()}


def main(argv):
    """Print the table."""
    del argv
    classes = _CLASSES.value and read_class_names(_CLASSES.value)
    records = open_image_files(_DATA.value, classes)
    transform = TrainTransform(_SIZE.value, jitter=0.0, lighting=0.0)
    # The engines are parallel over samples, not within one.
    torch.set_num_threads(1)
    contenders = parts(SampleLoader(records, transform))
    print(_timing.environment())
    seconds = _timing.interleave(contenders, _REPEATS.value, warmup=1)
    rows = [
        [name, f"{1e3 * statistics.median(times) / _IMAGES.value:.3f}"]
        for name, times in seconds.items()
    ]
    _timing.print_table("Processor time", ["", "ms an image"], rows)


if __name__ == "__main__":
    app.run(main)
