"""Compares shards with the image files that they were made of."""

import csv
import io
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras

from keras_tricks._checks import check_choice
from keras_tricks._text import printable, table_cell
from keras_tricks.data.shards.plan import shuffled
from keras_tricks.data.shards.records import open_record_shards
from keras_tricks.data.shards.shrink import installed_encoder
from keras_tricks.data.shards.tar import open_tar_shards
from keras_tricks.data.shards.write import BAD_FILE
from keras_tricks.data.shards.writers import WRITERS
from keras_tricks.data.sources.folders import ImageFiles
from keras_tricks.data.transforms.decode import decode_image

_AT_A_TIME = 64


def verify_shards(
    splits: Mapping[str, ImageFiles],
    folder: str | os.PathLike,
    format: str = "tfrecord",
    seed: int = 0,
    workers: int | None = None,
    verbose: bool = False,
) -> int:
    """Read every record that `write_shards` wrote, and decode it.

    A record must be the bytes of its file, or where the index says that
    large images were resized, what the file becomes when it is resized again.

    Args:
        splits: What was written.
        folder: The folder of the shards.
        format: Their format.
        seed: Seed of the order.
        workers: Records read at a time. Defaults to the number of cores.
        verbose: Whether to show a progress bar.

    Returns:
        How many records there are.

    Raises:
        ValueError: If a record differs from its file, in bytes or in label,
            or cannot be decoded; the message names both. If images were
            resized by another version of Pillow, whose bytes may differ.

    Example:
    >>> verify_shards({"train": files}, "shards")  # doctest: +SKIP
    1000
    """
    check_choice("format", format, tuple(WRITERS))
    left_out = _left_out(Path(folder) / BAD_FILE)
    open_shards = open_record_shards
    if format == "webdataset":
        open_shards = open_tar_shards
    bar = keras.utils.Progbar(
        sum(map(len, splits.values())) - len(left_out),
        width=24,
        verbose=int(verbose),
        unit_name="image",
    )
    done = 0
    for split, files in splits.items():
        which = "train" if split == "train" else "test"
        records = open_shards(folder, split=which)
        order = [
            index
            for index in shuffled(files, seed).tolist()
            if (split, table_cell(files.name(index))) not in left_out
        ]
        if len(order) != len(records) or records.classes != files.classes:
            raise ValueError(
                f"`folder` must hold the {len(order)} images of {split} and "
                f"their {len(files.classes)} classes. Received: "
                f"{len(records)} records of {len(records.classes)} classes"
            )

        _check_encoder(records.index.shrink)

        def check(first, records=records, files=files, order=order):
            several = order[first : first + _AT_A_TIME]
            for number, index in enumerate(several, first):
                _check(records, number, files, index)
            return len(several)

        with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
            for count in pool.map(check, range(0, len(order), _AT_A_TIME)):
                done += count
                bar.update(done)
    return done


def _check(records, number, files, index):
    """Compare a record with its file."""
    data, label = records.record(number)
    wanted = int(files.labels[index])
    expected, shrink = files.read(index), records.index.shrink
    if shrink is not None:
        expected = shrink(expected, files.name(index))
    if data != expected:
        what = "its bytes"
    elif (label, records.labels[number]) != (wanted, wanted):
        what = "its label"
    else:
        decode_image(data, records.name(number))
        return
    raise ValueError(
        f"{records.name(number)}: {what} must be those of "
        f"{files.name(index)}. Received: others"
    )


def _check_encoder(shrink):
    if shrink is not None and shrink.encoder != installed_encoder():
        raise ValueError(
            "Resized images can be verified only by what resized them, "
            f"{printable(shrink.encoder)}. Received: {installed_encoder()}"
        )


def _left_out(file):
    text = file.read_bytes().decode("utf-8", "surrogateescape")
    rows = csv.reader(io.StringIO(text, newline=""), "excel-tab")
    next(rows)  # The titles.
    return {(split, table_cell(name)) for split, name, _ in rows}
