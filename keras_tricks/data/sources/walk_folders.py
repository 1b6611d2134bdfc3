"""Walks a folder of images: one rule for what training and evaluation see."""

import os
from collections.abc import Iterable
from pathlib import PurePosixPath

from keras_tricks.data.transforms.decode import SUFFIXES

TEST_FOLDERS = ("val", "valid", "validation", "test")


def walk_images(root: str, inside: str = "") -> list[str]:
    """List the image files below a folder.

    Only regular files count, see `is_image`, and links are followed; one that
    leads nowhere is listed, so that whoever reads it says so. A folder that is
    there under several names, through links, is entered once: by its own name
    if it has one here, otherwise by the first of the others. So a link to a
    folder above does no harm. A folder that cannot be read is left out.

    Args:
        root: Path of a folder.
        inside: Name of a folder in it, the only one to look into. Defaults to
            all.

    Returns:
        Sorted names inside `root`, with slashes.

    Example:
    >>> import tempfile
    >>> root = tempfile.mkdtemp()
    >>> for name in ("cat/2.png", "cat/1.png", ".trash/3.png"):
    ...     os.makedirs(os.path.dirname(f"{root}/{name}"), exist_ok=True)
    ...     open(f"{root}/{name}", "wb").close()
    >>> walk_images(root)
    ['cat/1.png', 'cat/2.png']
    """
    links: list[str] = []
    found, seen, folders = [], set(), [inside]
    while folders or links:
        # Links last, so that a folder's own name wins.
        links.sort(reverse=True)
        folder = (folders or links).pop()
        path = os.path.join(root, folder)
        try:
            state, entries = os.stat(path), [*os.scandir(path)]
        except OSError:
            continue
        if (state.st_dev, state.st_ino) in seen:
            continue
        seen.add((state.st_dev, state.st_ino))
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            image = is_image(entry.name)
            if image and (entry.is_file() or not os.path.exists(entry.path)):
                found.append(name)
            elif not entry.name.startswith(".") and entry.is_dir():
                (links if entry.is_symlink() else folders).append(name)
    return sorted(found)


def is_image(name: str) -> bool:
    """Tell by its name whether a file is an image, and not a hidden one.

    Args:
        name: With the folders that it is in, none of which may be hidden.

    Example:
    >>> is_image("cat/1.JPG"), is_image("cat/.1.jpg"), is_image(".cat/1.jpg")
    (True, False, False)
    """
    return name.lower().endswith(SUFFIXES) and not any(
        part.startswith(".") for part in PurePosixPath(name).parts
    )


def subfolders(path: str) -> list[str]:
    """Return the sorted names of the folders in a folder, none hidden."""
    return sorted(
        entry.name
        for entry in os.scandir(path)
        if entry.is_dir() and not entry.name.startswith(".")
    )


def split_folders(names: Iterable[str]) -> tuple[str, ...]:
    """Return which folders are the splits of a data set.

    Args:
        names: Names of all folders.

    Returns:
        `"train"` and the first of `TEST_FOLDERS` that there is; nothing where
        one of the two is missing.

    Example:
    >>> split_folders(["test", "train", "val"]), split_folders(["cat", "dog"])
    (('train', 'val'), ())
    """
    names = set(names)
    test = [name for name in TEST_FOLDERS if name in names]
    return ("train", test[0]) if "train" in names and test else ()
