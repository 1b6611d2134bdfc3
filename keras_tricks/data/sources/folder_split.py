"""Lists the training and the test split of a folder of class folders."""

import dataclasses
import itertools
import os

import numpy as np

from keras_tricks._checks import check_real
from keras_tricks.data.sources.arrays import stratified_split
from keras_tricks.data.sources.class_names import ClassNames
from keras_tricks.data.sources.folders import ImageFiles
from keras_tricks.data.sources.walk_folders import (
    report_left_out,
    split_folders,
    subfolders,
    walk_images,
)

_SPLIT_SEED = 0
_SHOWN = 20


def open_folder_splits(
    folder: str | os.PathLike, test_share: float = 0.2
) -> tuple[ImageFiles, ImageFiles]:
    """List the images of a folder of class folders, in two splits.

    With a subfolder `train` and one of `val`, `valid`, `validation` or
    `test` (the first of these), those are the two splits. Otherwise the
    subfolders are the classes, and a fixed share of each is held out, always
    the same. Class names are sorted, and so are the files of a class. Hidden
    files and folders are left out, links are followed, and a folder that is
    there under several names counts once. An image is what is called one, or
    is one by its content; what is left out is counted and named on stderr.
    One that cannot be read is listed too.

    Args:
        folder: The folder.
        test_share: Share of each class that is held out, between 0 and 1.
            Defaults to 0.2.

    Returns:
        Training and test split, each an `ImageFiles` with labels and classes.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If there are fewer than two classes, or a class without
            an image.

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
            f"`data_dir` must be an existing folder. Received: {root}"
        )
    splits = split_folders(subfolders(root)) or ("",)
    names = subfolders(os.path.join(root, splits[0]))
    if len(names) < 2:
        raise ValueError(
            f"{os.path.join(root, splits[0]).rstrip(os.sep)} must hold a "
            f"folder for each of at least two classes. Received: {len(names)}"
        )
    classes = ClassNames(tuple(names))
    empty: list[str] = []
    listed = [_list_images(root, split, classes, empty) for split in splits]
    _check_none_is_empty(empty)
    if len(listed) == 2:
        return tuple(listed)
    (files,) = listed
    both = stratified_split(files.labels, test_share, _SPLIT_SEED)
    return tuple(
        dataclasses.replace(
            files,
            names=tuple(files.names[i] for i in chosen),
            labels=files.labels[chosen],
        )
        for chosen in both
    )


def _list_images(root, split, classes, empty):
    """List the files of all classes of a split by their names in the root.

    Folders without any are added to `empty`.
    """
    path = os.path.join(root, split) if split else root
    unknown = sorted(set(subfolders(path)) - set(classes.names))
    if unknown:
        raise ValueError(
            f"{path} must hold the classes of the training folder only. "
            f"Received: {', '.join(unknown[:5])}"
        )
    walked = walk_images(root, split)
    report_left_out(path, walked.left_out)
    found = {name: [] for name in classes.names}
    for name in walked.names:
        folder, _, inside = name.removeprefix(f"{split}/").partition("/")
        if inside:
            found[folder].append(name)
    empty += [os.path.join(path, x) for x, names in found.items() if not names]
    counts = [len(names) for names in found.values()]
    labels = np.repeat(np.arange(len(classes), dtype="int32"), counts)
    names = tuple(itertools.chain(*found.values()))
    return ImageFiles(root, names, labels, classes, left_out=walked.left_out)


def _check_none_is_empty(folders):
    """Refuse class folders without an image, all of them at once."""
    if not folders:
        return
    shown = ", ".join(folders[:_SHOWN])
    if len(folders) > _SHOWN:
        shown += f" and {len(folders) - _SHOWN} more"
    several = len(folders) > 1
    raise ValueError(
        f"Class folder{'s' * several} {shown} must hold at least one image"
        f"{' each' * several}. Received: none"
    )
