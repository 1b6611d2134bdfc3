r"""Writes a folder of images into shards that training reads fast.

    python recipes/make_records.py --data_dir=imagenet --out_dir=shards
    python recipes/make_records.py --data_dir=flowers --out_dir=shards \
      --format=webdataset --shards=16 --verify
    python recipes/make_records.py --data_dir=imagenet --out_dir=small \
      --max_side=256

The folder has class folders, or train and val with class folders in them.
An interrupted run continues when it is started again. Images are written as
they are, after a look whether they can be decoded; with --max_side those with
a longer short side become smaller JPEGs.
"""

import sys

import keras_backend as keras_backend  # Before Keras: it picks the backend.
import one_line
from absl import app, flags

from keras_tricks.data import open_folder_splits, verify_shards, write_shards

_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of the images.", required=True
)
_OUT_DIR = flags.DEFINE_string(
    "out_dir", None, "Folder for the shards; new or empty.", required=True
)
_FORMAT = flags.DEFINE_enum(
    "format",
    "tfrecord",
    ["tfrecord", "array_record", "webdataset"],
    "Kind of the shards.",
)
_TEST_SHARE = flags.DEFINE_float(
    "test_share",
    0.2,
    "Share of each class that becomes the split val, if the folder has no "
    "splits.",
)
_SHARDS = flags.DEFINE_integer(
    "shards", None, "Number of shards of the larger split.", lower_bound=1
)
_SHARD_MEGABYTES = flags.DEFINE_float(
    "shard_megabytes", None, "Size of a shard instead; 128 by default."
)
_WORKERS = flags.DEFINE_integer(
    "workers",
    None,
    "Shards written at a time; by default one for each core.",
    lower_bound=1,
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of the order of the images.", lower_bound=0
)
_MAX_BAD_RECORDS = flags.DEFINE_integer(
    "max_bad_records",
    0,
    "How many unreadable images may be left out.",
    lower_bound=0,
)
_MAX_SIDE = flags.DEFINE_integer(
    "max_side",
    None,
    "Store images whose short side is longer as JPEGs of this short side.",
    lower_bound=1,
)
_QUALITY = flags.DEFINE_integer(
    "quality",
    None,
    "Of these JPEGs; 90 by default.",
    lower_bound=1,
    upper_bound=100,
)
_VERIFY = flags.DEFINE_bool(
    "verify", False, "Compare every record with its file afterwards."
)
_VERBOSE = flags.DEFINE_bool("verbose", True, "Show a progress bar.")


def main(argv):
    """Write the shards, or say in one line why it cannot."""
    if len(argv) > 1:
        sys.exit(f"Arguments must be flags. Received: {' '.join(argv[1:])}")
    try:
        train, test = open_folder_splits(_DATA_DIR.value, _TEST_SHARE.value)
        splits = {"train": train, "val": test}
        written = write_shards(
            splits,
            _OUT_DIR.value,
            _FORMAT.value,
            shards=_SHARDS.value,
            shard_megabytes=_SHARD_MEGABYTES.value,
            seed=_SEED.value,
            workers=_WORKERS.value,
            max_bad_records=_MAX_BAD_RECORDS.value,
            verbose=_VERBOSE.value,
            max_side=_MAX_SIDE.value,
            quality=_QUALITY.value,
        )
        report(written)
        if _VERIFY.value:
            count = verify_shards(
                splits,
                _OUT_DIR.value,
                _FORMAT.value,
                seed=_SEED.value,
                workers=_WORKERS.value,
                verbose=_VERBOSE.value,
            )
            what = "the bytes of their files"
            if _MAX_SIDE.value is not None:
                what += f", {written.resized} of them after the same resize"
            print(f"Verified: {count} records are {what}")
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        one_line.stop(error)


def report(written):
    """Print what was written, and on stderr what was left out."""
    kept = f", {written.kept} of them kept" if written.kept else ""
    print(
        f"{written.folder}: {written.records} images in "
        f"{len(written.shards)} shards of {written.megabytes:.1f} MB{kept}"
    )
    if _MAX_SIDE.value is not None:
        print(
            f"Resized: {written.resized} images, from "
            f"{written.megabytes_before:.1f} to "
            f"{written.megabytes_after:.1f} MB"
        )
    for _, name, reason in written.bad[:5]:
        print(f"Left out: {name}: {reason}", file=sys.stderr)
    if len(written.bad) > 5:
        more = len(written.bad) - 5
        print(f"and {more} more, see bad_records.tsv", file=sys.stderr)


if __name__ == "__main__":
    app.run(main)
