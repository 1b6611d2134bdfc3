"""What do smaller images in shards change in the pixels of training?

For each quality of `recipes/make_records.py --max_side`: the bytes of an
image, and by how much the crops of training and of validation differ from
those of the original. "detail" is the mean difference of neighboring pixels
in a random crop, over that of the original's crop.

    python benchmarks/resized_pixels.py --data_dir=imagenet.tar \
      --classes=classes.tsv
"""

import _timing
import numpy as np
from absl import app, flags

from keras_tricks.data import (
    Preprocessing,
    TrainTransform,
    open_image_files,
    read_class_names,
)
from keras_tricks.data.shards.shrink import Shrink
from keras_tricks.data.transforms import decode_image

_DATA = flags.DEFINE_string("data_dir", None, "Folder or .tar of images.")
_CLASSES = flags.DEFINE_string("classes", None, "File of the classes.")
_EVERY = flags.DEFINE_integer("every", 8, "Take every so many images.")
_SIZE = flags.DEFINE_integer("image_size", 224, "Side of the crops, pixels.")
_MAX_SIDE = flags.DEFINE_integer("max_side", 256, "Short side that is stored.")
_QUALITIES = flags.DEFINE_list("qualities", ["85", "90", "95"], "Of the JPEG.")
flags.mark_flag_as_required("data_dir")


def crops(image, seed):
    """Return a random crop, the same share of any size, and the central one."""
    random = TrainTransform(_SIZE.value, jitter=0.0, lighting=0.0)
    rng = np.random.default_rng(seed)
    both = random(image, rng), Preprocessing(_SIZE.value).transform(image)
    return [x.astype("float64") for x in both]


def detail(x):
    """Return the mean difference of neighbors."""
    return np.mean([np.abs(np.diff(x, axis=axis)).mean() for axis in (0, 1)])


def main(argv):
    """Print the table."""
    del argv
    classes = _CLASSES.value and read_class_names(_CLASSES.value)
    records = open_image_files(_DATA.value, classes)
    files = [records.read(i) for i in range(0, len(records), _EVERY.value)]
    images = [decode_image(data) for data in files]
    large = [min(x.shape[:2]) > _MAX_SIDE.value for x in images]
    files = [data for data, keep in zip(files, large, strict=True) if keep]
    images = [image for image, keep in zip(images, large, strict=True) if keep]
    whole = [crops(image, i) for i, image in enumerate(images)]
    size = np.mean([len(data) for data in files])
    print(f"{len(files)} of {len(large)} images, {size / 1e3:.1f} kB each")
    rows = []
    for quality in map(int, _QUALITIES.value):
        shrink = Shrink(_MAX_SIDE.value, quality)
        stored = [shrink(data) for data in files]
        pairs = [
            (crops(decode_image(data), i), whole[i])
            for i, data in enumerate(stored)
        ]
        differences = np.array(
            [
                [np.abs(ours[k] - theirs[k]).mean() for k in (0, 1)]
                for ours, theirs in pairs
            ]
        ).mean(axis=0)
        share = sum(detail(a[0]) for a, _ in pairs)
        share /= sum(detail(b[0]) for _, b in pairs)
        rows.append(
            [
                str(quality),
                f"{np.mean([len(data) for data in stored]) / 1e3:.1f}",
                *(f"{value:.1f}" for value in differences),
                f"{share:.2f}",
            ]
        )
    header = ["quality", "kB an image", "random crop", "central crop", "detail"]
    _timing.print_table("Mean difference of 255 values", header, rows)


if __name__ == "__main__":
    app.run(main)
