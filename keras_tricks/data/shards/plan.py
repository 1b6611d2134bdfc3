"""Which images go into which shard, as a function of the arguments."""

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from keras_tricks._checks import check_int, check_real
from keras_tricks._random import ORDER, random_generator
from keras_tricks._text import printable
from keras_tricks.data.sources.folders import ImageFiles
from keras_tricks.data.sources.labels import is_multi_hot
from keras_tricks.data.sources.walk_folders import TEST_FOLDERS

if TYPE_CHECKING:
    from keras_tricks.data.shards.writers import Writer

_SHARD_MEGABYTES = 128.0


def shuffled(files: ImageFiles, seed: int = 0) -> np.ndarray:
    """Return the order in which `write_shards` writes a split.

    Args:
        files: The split.
        seed: Seed of the order.

    Returns:
        A permutation of 0 ... N - 1.
    """
    return random_generator(seed, ORDER).permutation(len(files))


@dataclasses.dataclass(frozen=True)
class PlannedShard:
    """A shard to write: which images of a split, and their first number."""

    name: str
    split: str
    chosen: np.ndarray
    first: int


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """All shards to write, and a digest of everything they depend on."""

    shards: list[PlannedShard]
    digest: str

    def __len__(self):
        return sum(len(one.chosen) for one in self.shards)


def make_plan(
    splits: Mapping[str, ImageFiles],
    writer: "type[Writer]",
    shards: int | None = None,
    shard_megabytes: float | None = None,
    seed: int = 0,
) -> ShardPlan:
    """Return which images go into which shards.

    Args:
        splits: Names to `ImageFiles`.
        writer: One of `WRITERS`, for the names of the shards.
        shards: As for `write_shards`.
        shard_megabytes: As for `write_shards`.
        seed: Seed of the order.

    Returns:
        A `ShardPlan`.

    Raises:
        ValueError: If an argument is wrong.
    """
    _check_splits(splits)
    if shards is not None and shard_megabytes is not None:
        raise ValueError(
            "`shards` must be None if `shard_megabytes` is given. Received: "
            f"shards={shards}, shard_megabytes={shard_megabytes}"
        )
    sizes = {name: _sizes(files) for name, files in splits.items()}
    counts = _counts(sizes, shards, shard_megabytes)
    result, digest = [], hashlib.sha256(writer.__name__.encode())
    for name, files in splits.items():
        order, first = shuffled(files, seed), 0
        for number, chosen in enumerate(np.array_split(order, counts[name])):
            stem = writer.numbering.format(
                split=name, number=number, count=counts[name]
            )
            shard = PlannedShard(stem + writer.suffix, name, chosen, first)
            result.append(shard)
            first += len(chosen)
            rows = [
                (files.names[i], int(files.labels[i]), int(sizes[name][i]))
                for i in chosen
            ]
            digest.update(json.dumps([shard.name, rows]).encode())
    digest.update(json.dumps(splits["train"].class_names).encode())
    return ShardPlan(result, digest.hexdigest())


def _check_splits(splits):
    test = [name for name in splits if name in TEST_FOLDERS]
    if "train" not in splits or len(test) != len(splits) - 1 or len(test) > 1:
        raise ValueError(
            "`splits` must be 'train' and, if any, one of "
            f"{', '.join(TEST_FOLDERS)}. Received: {', '.join(splits)}"
        )
    for name, files in splits.items():
        if not len(files) or files.labels is None:
            raise ValueError(
                "`splits` must hold images with labels. Received: "
                f"{len(files)} images of {name}"
            )
        if is_multi_hot(files.labels):
            raise ValueError(
                "`splits` must hold images of one class each: of several at "
                "once, train on the folder itself. Received: a table with "
                f"several classes of an image in {printable(files.root)}"
            )
        if files.classes != splits["train"].classes or files.classes is None:
            raise ValueError(
                "`splits` must have the same classes. Received: "
                f"{name} with others"
            )


def _counts(sizes, shards, shard_megabytes):
    """Return how many shards each split gets."""
    if shards is None:
        given = _SHARD_MEGABYTES if shard_megabytes is None else shard_megabytes
        limit = 1e6 * check_real("shard_megabytes", given, 0, open_low=True)
        return {
            name: min(max(1, math.ceil(size.sum() / limit)), len(size))
            for name, size in sizes.items()
        }
    most = max(len(size) for size in sizes.values())
    if check_int("shards", shards, 1) > most:
        raise ValueError(
            f"`shards` must not exceed the {most} images. "
            f"Received: shards={shards}"
        )
    return {
        name: -(-shards * len(size) // most) for name, size in sizes.items()
    }


def _sizes(files):
    """Return the bytes of each file, 0 of one that cannot be read."""
    if files.places is not None:
        return np.array([files.places[name][1] for name in files.names])

    def size(name):
        try:
            return os.path.getsize(os.path.join(files.root, name))
        except OSError:
            return 0

    return np.array([size(name) for name in files.names])
