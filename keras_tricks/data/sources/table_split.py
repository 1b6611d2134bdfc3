"""Lists the training and the test split of images with a table of labels."""

import dataclasses
import os

import numpy as np

from keras_tricks._text import printable
from keras_tricks.data.shards.files import find_class_file
from keras_tricks.data.sources.arrays import stratified_split
from keras_tricks.data.sources.class_names import ClassNames, read_class_names
from keras_tricks.data.sources.folders import ImageFiles
from keras_tricks.data.sources.label_table import read_label_table
from keras_tricks.data.sources.labels import one_or_several
from keras_tricks.data.sources.walk_folders import report_left_out, walk_images

_SPLIT_SEED = 0


def open_table_splits(
    root: str,
    tables: list[str],
    test_share: float = 0.2,
    multi_label: bool = False,
    classes: ClassNames | None = None,
) -> tuple[ImageFiles, ImageFiles]:
    """List the images that a table names, in two splits.

    See `read_label_table` for the table. Where it names images of training
    and others, those are the splits; otherwise a fixed share is held out,
    always the same. The classes are those of a classes.tsv, classes.json or
    classes.txt in the folder, or else of the table. Where each image is of
    exactly one class, the labels are numbers of classes, as of class folders.

    Files that the table names and nobody can use are listed too, so that
    they are counted and named where they are read; images that it does not
    name are left out.

    Args:
        root: The folder.
        tables: From `find_label_tables`.
        test_share: Share that is held out. Defaults to 0.2.
        multi_label: Whether an image may be of several classes although none
            is. Defaults to `False`.
        classes: The classes, in place of those of the folder.

    Returns:
        Training and test split, each an `ImageFiles` with labels and classes.

    Raises:
        ValueError: If the table is not as described, or names no image of a
            split.
    """
    table, flaws, left_out = _listed(root, tables, classes)
    chosen = _splits_of(table)
    if chosen is None:
        chosen = stratified_split(table.labels, test_share, _SPLIT_SEED)
    train, test = _files(root, table, flaws, chosen, multi_label)
    for split, files in (("training", train), ("test", test)):
        _check_usable(files, f"{split} image", tables)
    return dataclasses.replace(train, left_out=left_out), test


def open_table_images(
    root: str,
    tables: list[str],
    multi_label: bool = False,
    classes: ClassNames | None = None,
) -> ImageFiles:
    """List what a network is evaluated on: the test split, or all images.

    Args:
        root: The folder.
        tables: From `find_label_tables`.
        multi_label: As of `open_table_splits`.
        classes: The classes, in place of those of the folder.

    Returns:
        An `ImageFiles` with labels and classes.

    Raises:
        ValueError: As `open_table_splits`.
    """
    table, flaws, left_out = _listed(root, tables, classes)
    chosen = _splits_of(table) or (np.arange(len(table.files)),)
    files = _files(root, table, flaws, chosen, multi_label)[-1]
    _check_usable(files, "image", tables)
    return dataclasses.replace(files, left_out=left_out)


def _listed(root, tables, classes):
    """Return the table, flaws of its files, and what is beside them."""
    file = find_class_file(os.path.join(root, tables[0]))
    if classes is None and file is not None:
        classes = read_class_names(file)
    table = read_label_table(root, tables, classes)
    found, flaws = walk_images(root), dict(table.flaws)
    known, listed = set(found.names), set(table.files)
    for row, name in zip(table.labels, table.files, strict=True):
        there = name in known or os.path.isfile(os.path.join(root, name))
        if name not in flaws and not there:
            flaws[name] = f"{tables[0]} names it, but there is no such file"
        if name in flaws:
            row[:] = -1
    left_out = {
        name: f"without a row in {tables[0]}"
        for name in found.names
        if name not in listed
    }
    own = {*tables, file and os.path.relpath(file, root)}
    left_out |= {k: v for k, v in found.left_out.items() if k not in own}
    if _splits_of(table):
        for name, split in zip(table.files, table.splits, strict=True):
            if split is None:
                left_out[name] = "of no split"
    report_left_out(root, left_out)
    return table, flaws, left_out


def _splits_of(table):
    """Return the rows of both splits, if the table has two."""
    splits = np.array(table.splits, object)
    chosen = [np.flatnonzero(splits == name) for name in ("train", "test")]
    return chosen if all(map(len, chosen)) else None


def _files(root, table, flaws, chosen, multi_label):
    labels = one_or_several(
        [table.labels[rows] for rows in chosen], multi_label
    )
    listed = []
    for rows, part in zip(chosen, labels, strict=True):
        names = tuple(table.files[i] for i in rows)
        own = {name: flaws[name] for name in names if name in flaws}
        files = ImageFiles(root, names, part, table.classes, flaws=own)
        listed.append(files)
    return listed


def _check_usable(files, what, tables):
    if len(files.flaws) < len(files):
        return
    why = next(iter(files.flaws.values()), "the table has too few rows")
    raise ValueError(
        f"{printable(os.path.join(files.root, tables[0]))} must name at least "
        f"one {what} that can be used. Received: none, {why}"
    )
