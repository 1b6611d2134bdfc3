"""Walks a folder of images: one rule for what training and evaluation see."""

import collections
import dataclasses
import os
import sys
from pathlib import PurePosixPath

from keras_tricks._text import printable
from keras_tricks.data.transforms.decode import (
    SUFFIXES,
    holds_image,
    image_formats,
)

TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = (
    "val",
    "valid",
    "validation",
    "dev",
    "eval",
    "evaluation",
    "test",
    "testing",
)
"""What splits are called, in any case; of the latter the first counts."""

_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class FolderEntries:
    """What is directly in a folder, by its names there, sorted.

    Args:
        folders: Folders, links to some among them.
        images: Images, and links to nowhere that are called like one.
        left_out: Everything else, a dict of name to reason.
    """

    folders: tuple[str, ...]
    images: tuple[str, ...]
    left_out: dict[str, str]


@dataclasses.dataclass(frozen=True)
class FoundImages:
    """The images below a folder.

    Args:
        names: Sorted, with slashes.
        left_out: What is there besides, a dict of name to reason.
    """

    names: tuple[str, ...]
    left_out: dict[str, str]


def walk_images(root: str, inside: str = "") -> FoundImages:
    """List the image files below a folder.

    See `scan_folder` for what an image is. Links are followed. A folder that
    is there under several names, through links, is entered once: by its own
    name if it has one here, otherwise by the first of the others. So a link
    to a folder above does no harm.

    Args:
        root: Path of a folder.
        inside: Name of a folder in it, the only one to look into. Defaults to
            all.

    Returns:
        A `FoundImages`, with the names inside `root`.

    Raises:
        ValueError: If a folder cannot be read.

    Example:
    >>> import tempfile
    >>> root = tempfile.mkdtemp()
    >>> for name in ("cat/2.png", "cat/1.png", "cat/notes.txt"):
    ...     os.makedirs(os.path.dirname(f"{root}/{name}"), exist_ok=True)
    ...     open(f"{root}/{name}", "wb").close()
    >>> walk_images(root)
    FoundImages(names=('cat/1.png', 'cat/2.png'), \
left_out={'cat/notes.txt': 'no image'})
    """
    links: list[str] = []
    found, seen, folders = [], set(), [inside]
    left_out = {}
    while folders or links:
        # Links last, so that a folder's own name wins.
        links.sort(reverse=True)
        folder = (folders or links).pop()
        path = os.path.join(root, folder)
        state = os.stat(path)
        if (state.st_dev, state.st_ino) in seen:
            left_out[folder] = "there under another name"
            continue
        seen.add((state.st_dev, state.st_ino))
        entries = scan_folder(path)
        before = f"{folder}/" if folder else ""
        found += [before + name for name in entries.images]
        for name in entries.folders:
            is_link = os.path.islink(os.path.join(path, name))
            (links if is_link else folders).append(before + name)
        for name, reason in entries.left_out.items():
            left_out[before + name] = reason
    return FoundImages(tuple(sorted(found)), dict(sorted(left_out.items())))


def scan_folder(path: str) -> FolderEntries:
    """Tell the images and the folders in a folder from everything else.

    An image is a regular file, not hidden, whose name ends as that of an
    image that can be decoded, see `SUFFIXES`, or whose content is one. A link
    that leads nowhere is listed if it is called like an image, so that
    whoever reads it says so.

    Args:
        path: Path of a folder.

    Returns:
        A `FolderEntries`.

    Raises:
        ValueError: If the folder cannot be read.
    """
    folders, images, left_out = [], [], {}
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(
            "Every folder of images must be one that can be read. "
            f"Received: {printable(path)} ({error.strerror or error})"
        ) from None
    for entry in entries:
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError:  # A link to itself, or to where nobody may look.
            is_folder = is_file = False
        named = SUFFIXES.get(os.path.splitext(entry.name)[1].lower())
        if entry.name.startswith("."):
            left_out[entry.name] = "hidden"
        elif is_folder and entry.is_symlink() and _leads_up(entry.path, path):
            left_out[entry.name] = "there under another name"
        elif is_folder:
            folders.append(entry.name)
        elif not is_file and os.path.exists(entry.path):
            left_out[entry.name] = "no regular file"
        elif named in image_formats() or (is_file and holds_image(entry.path)):
            images.append(entry.name)
        elif named:
            left_out[entry.name] = f"of {named}, which Pillow cannot decode"
        else:
            reason = "no image" if is_file else "a link to nowhere"
            left_out[entry.name] = reason
    return FolderEntries(tuple(folders), tuple(images), left_out)


def _leads_up(link, folder):
    """Tell whether a link in a folder leads to that folder or one above."""
    target = os.path.realpath(link)
    return os.path.commonpath([target, os.path.realpath(folder)]) == target


def report_left_out(root: str, left_out: dict[str, str]) -> None:
    """Say on stderr, in a line, what is no image: how many, and the first.

    Args:
        root: The folder, or the archive.
        left_out: Names to reasons.
    """
    if left_out:
        text = describe_left_out(left_out)
        where = printable(root)
        print(f"Left out of {where}: {text}", file=sys.stderr, flush=True)


def describe_left_out(left_out: dict[str, str]) -> str:
    """Return how many names have which reason, with the first of each.

    Example:
    >>> names = {"a/notes.txt": "no image", ".git": "hidden"}
    >>> describe_left_out(names)
    '1 no image (a/notes.txt), 1 hidden (.git)'
    """
    groups = collections.defaultdict(list)
    for name, reason in left_out.items():
        groups[reason].append(printable(name))
    return ", ".join(
        f"{len(names)} {reason} ({', '.join(names[:_SHOWN])}"
        f"{', ...' if len(names) > _SHOWN else ''})"
        for reason, names in groups.items()
    )


def is_image(name: str) -> bool:
    """Tell by its name whether a file is an image, and not a hidden one.

    Args:
        name: With the folders that it is in, none of which may be hidden.

    Example:
    >>> is_image("cat/1.JPG"), is_image("cat/.1.jpg"), is_image(".cat/1.jpg")
    (True, False, False)
    """
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") for part in path.parts)
    return SUFFIXES.get(path.suffix.lower()) in image_formats() and not hidden
