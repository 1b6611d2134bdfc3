"""The training and the test part of a folder of class folders."""

import dataclasses
import os

import numpy as np

from keras_tricks._checks import check_real
from keras_tricks.data.sources.arrays import stratified_split
from keras_tricks.data.sources.class_names import ClassNames
from keras_tricks.data.sources.folders import TEST_FOLDERS, ImageFiles
from keras_tricks.data.transforms.decode import SUFFIXES

_SPLIT_SEED = 0
_SHOWN = 20


def open_folder_splits(
    path: str | os.PathLike, test_share: float = 0.2
) -> tuple[ImageFiles, ImageFiles]:
    """Lists the images of a folder of class folders, in two parts.

    With a subfolder `train` and one of `val`, `valid`, `validation` or
    `test` (the first of these), those are the two parts. Otherwise the
    subfolders are the classes, and a fixed share of each is held out, always
    the same. Class names are sorted, and so are the files of a class. No
    file is opened: one that cannot be read is listed too.

    Args:
        path: The folder.
        test_share: Share of each class that is held out, between 0 and 1.
            Defaults to 0.2.

    Returns:
        Training and test part, each an `ImageFiles` with labels and classes.

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
    path = os.path.abspath(os.fspath(path))
    if not os.path.isdir(path):
        raise FileNotFoundError(
            f"`data_dir` must be an existing folder. Received: {path}"
        )
    parts = _parts(path)
    names = _subfolders(parts[0])
    if len(names) < 2:
        raise ValueError(
            f"{parts[0]} must hold a folder for each of at least two classes. "
            f"Received: {len(names)}"
        )
    classes = ClassNames(tuple(names))
    empty = []
    listed = [_list_images(path, part, classes, empty) for part in parts]
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


def _subfolders(path):
    return sorted(
        entry.name
        for entry in os.scandir(path)
        if entry.is_dir() and not entry.name.startswith(".")
    )


def _parts(path):
    folders = _subfolders(path)
    test = [name for name in TEST_FOLDERS if name in folders]
    if "train" in folders and test:
        return [os.path.join(path, "train"), os.path.join(path, test[0])]
    return [path]


def _list_images(root, part, classes, empty):
    """The files of all classes of a part, by their names inside the root.

    Folders without any are added to `empty`.
    """
    unknown = sorted(set(_subfolders(part)) - set(classes.names))
    if unknown:
        raise ValueError(
            f"{part} must hold the classes of the training folder only. "
            f"Received: {', '.join(unknown[:5])}"
        )
    names, counts = [], []
    for name in classes.names:
        folder = os.path.join(part, name)
        found = sorted(
            os.path.join(inside, file)
            for inside, _, files in os.walk(folder)
            for file in files
            if file.lower().endswith(SUFFIXES) and not file.startswith(".")
        )
        if not found:
            empty.append(folder)
        names += [os.path.relpath(file, root) for file in found]
        counts.append(len(found))
    labels = np.repeat(np.arange(len(classes), dtype="int32"), counts)
    return ImageFiles(root, tuple(names), labels, classes)


def _check_none_is_empty(folders):
    """Refuses class folders without an image, all of them at once."""
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
