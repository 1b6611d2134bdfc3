"""Lists the training and the test split of a folder of class folders."""

import dataclasses
import os

import numpy as np

from keras_tricks._checks import check_real
from keras_tricks._text import printable
from keras_tricks.data.sources.arrays import stratified_split
from keras_tricks.data.sources.folders import ImageFiles
from keras_tricks.data.sources.label_table import TABLES, find_label_tables
from keras_tricks.data.sources.layout import check_none_is_empty, folder_layout
from keras_tricks.data.sources.table_split import open_table_splits
from keras_tricks.data.sources.walk_folders import report_left_out, walk_images

_SPLIT_SEED = 0


def open_folder_splits(
    folder: str | os.PathLike,
    test_share: float = 0.2,
    multi_label: bool = False,
) -> tuple[ImageFiles, ImageFiles]:
    """List the images of a folder of class folders, in two splits.

    With a subfolder `train` (or `training`) and one of `val`, `valid`,
    `validation`, `dev`, `eval`, `evaluation`, `test` or `testing` (the first
    of these that has class folders), in any case, those are the two splits.
    Otherwise the subfolders are the classes, and a fixed share of each is
    held out, always the same. A folder that holds nothing but one folder of
    folders stands for it. Whatever is deeper in the folder of a class is of
    that class. Class names are sorted, and so are the files of a class. Hidden
    files and folders are left out, links are followed, and a folder that is
    there under several names counts once. An image is what is called one, or
    is one by its content; what is left out is counted and named on stderr.
    One that cannot be read is listed too.

    A `labels.csv`, `labels.tsv` or `labels.json` in the folder, or in both
    splits, tells the classes in place of the folders, several of an image if
    need be, or none: see `keras_tricks.data.sources.label_table`.

    Args:
        folder: The folder.
        test_share: Share of each class that is held out, between 0 and 1.
            Defaults to 0.2.
        multi_label: Of a table in which each image is of exactly one class:
            whether it might be of several. Defaults to `False`.

    Returns:
        Training and test split, each an `ImageFiles` with labels and classes.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If there are fewer than two classes, a class without an
            image in a split, images beside class folders, folders called
            nearly like splits, or a folder that cannot be read.

    Example:
    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
    ...     os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
    ...     open(f"{folder}/{name}", "wb").close()
    >>> train, test = open_folder_splits(folder, test_share=0.5)
    >>> train.class_names, test.labels.tolist()
    (('cat', 'dog'), [0, 1])
    """
    check_real("test_share", test_share, 0, 1, open_low=True, open_high=True)
    root = os.path.abspath(os.fspath(folder))
    if not os.path.isdir(root):
        raise FileNotFoundError(
            f"`data_dir` must be an existing folder. "
            f"Received: {printable(root)}"
        )
    tables = find_label_tables(root)
    if tables:
        return open_table_splits(root, tables, test_share, multi_label)
    if multi_label:
        raise ValueError(
            f"`multi_label` must be False without {', '.join(TABLES)}, as a "
            "class folder is one class of an image. Received: "
            f"multi_label=True, {printable(root)}"
        )
    layout = folder_layout(root)
    classes = layout.class_names()
    splits = [layout.train, layout.test][: 1 + layout.has_splits]
    listed, empty, left_out = [], [], layout.left_out
    for split in splits:
        found = walk_images(root, split.path)
        left_out |= found.left_out
        labels = layout.labels(split, found.names, classes)
        empty += layout.empty_folders(split, labels)
        files = ImageFiles(root, found.names, labels, classes)
        listed.append(_choose(files, np.argsort(labels, kind="stable")))
    report_left_out(root, left_out)
    check_none_is_empty(empty)
    if len(listed) == 1:
        parts = stratified_split(listed[0].labels, test_share, _SPLIT_SEED)
        listed = [_choose(listed[0], chosen) for chosen in parts]
    train, test = listed
    return dataclasses.replace(train, left_out=left_out), test


def _choose(files, chosen):
    return dataclasses.replace(
        files,
        names=tuple(files.names[i] for i in chosen),
        labels=files.labels[chosen],
    )
