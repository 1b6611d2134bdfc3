"""Where the splits and the classes of a folder of images are."""

import collections
import dataclasses
import itertools
import os
import posixpath
import re
from collections.abc import Callable, Sequence
from posixpath import join

import numpy as np

from keras_tricks._text import class_name, printable
from keras_tricks.data.sources.class_names import ClassNames
from keras_tricks.data.sources.walk_folders import (
    TEST_FOLDERS,
    TRAIN_FOLDERS,
    FolderEntries,
    scan_folder,
)

Scan = Callable[[str], FolderEntries]
# A folder that holds a single folder stands for it, but not without end.
_DEEPEST = 8
_SPLITS = {*TRAIN_FOLDERS, *TEST_FOLDERS}
_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class Split:
    """A folder of class folders.

    Args:
        path: The folder, by its name in the root.
        folders: Names of the folders in it.
        images: Names of the images beside them.
    """

    path: str
    folders: tuple[str, ...]
    images: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the splits of a folder of images are.

    `folder_layout` and `archive_layout` make one.

    Args:
        root: The folder or the archive.
        train: The training split, or the whole folder if it has no splits.
        test: The other split; the same if there are none.
        left_out: What is beside them, a dict of name to reason.
    """

    root: str
    train: Split
    test: Split
    left_out: dict[str, str]

    @property
    def has_splits(self) -> bool:
        """Whether there are two."""
        return self.train.path != self.test.path

    def where(self, split: Split) -> str:
        """Return the path of a split, as it may be shown."""
        return printable(os.path.join(self.root, split.path).rstrip(os.sep))

    def class_names(self) -> ClassNames:
        """Return the classes: the folders of the training split, sorted.

        Raises:
            ValueError: If there are fewer than two, there are images beside
                them, or another split has other folders.
        """
        for split in (self.train, self.test):
            if split.images and split.folders:
                raise ValueError(
                    "`data_dir` must hold class folders or images, not both. "
                    f"Received: {printable(split.images[0])} beside "
                    f"{printable(split.folders[0])} in {self.where(split)}"
                )
        if len(self.train.folders) < 2:
            raise ValueError(
                f"{self.where(self.train)} must hold a folder for each of at "
                f"least two classes. Received: {len(self.train.folders)}"
            )
        names = sorted(map(class_name, self.train.folders))
        for name, after in itertools.pairwise(names):
            if name == after:
                raise ValueError(
                    f"{self.where(self.train)} must hold one folder for each "
                    f"class. Received: {name} twice, written in two ways"
                )
        classes = ClassNames(tuple(names))
        if not self.test.folders:
            raise ValueError(
                f"{self.where(self.test)} must hold the class folders of the "
                f"training split. Received: {len(self.test.images)} images "
                f"without classes; --data_dir={self.where(self.train)} would "
                "hold out a share of those instead"
            )
        unknown = {*map(class_name, self.test.folders)} - {*names}
        if unknown:
            raise ValueError(
                f"{self.where(self.test)} must hold the classes of the "
                f"training folder only. Received: "
                f"{', '.join(sorted(unknown)[:5])}"
            )
        return classes

    def labels(
        self, split: Split, names: Sequence[str], classes: ClassNames
    ) -> np.ndarray:
        """Return the classes of files: those of the folders of their split.

        Of a file in no folder of a class, what stands before the first
        underscore of its name is the class.

        Args:
            split: The split.
            names: Names of its files in the root.
            classes: The classes.

        Returns:
            int32, shape `(N,)`.

        Raises:
            ValueError: If a file is of no class.
        """
        labels = np.empty(len(names), "int32")
        for i, name in enumerate(names):
            folder = name.removeprefix(join(split.path, "")).partition("/")[0]
            index = classes.index(folder)
            if index is None:
                index = classes.index(posixpath.basename(name).split("_")[0])
            if index is None:
                raise ValueError(
                    "`classes` must have the class of every image, by the name "
                    "of its folder or the start of its own name before a `_`. "
                    f"Received: {printable(name)} in {printable(self.root)}, "
                    f"of none of {len(classes)} classes"
                )
            labels[i] = index
        return labels

    def empty_folders(self, split: Split, labels: np.ndarray) -> list[str]:
        """Return the class folders of a split without an image."""
        classes = self.class_names()
        counts = np.bincount(labels, minlength=len(classes))
        return [
            f"{self.where(split)}/{classes.keys[i]}"
            for i in np.flatnonzero(counts == 0)
        ]


def check_none_is_empty(folders: Sequence[str]) -> None:
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


def folder_layout(root: str, classes: ClassNames | None = None) -> Layout:
    """Return the `Layout` of a folder, see `find_layout`.

    Raises:
        ValueError: As `find_layout`; if a folder cannot be read, or one is
            both splits, through a link.
    """
    layout = find_layout(
        root, lambda inside: scan_folder(os.path.join(root, inside)), classes
    )
    splits = layout.train, layout.test
    paths = [os.path.join(root, split.path) for split in splits]
    if layout.has_splits and os.path.samefile(*paths):
        raise ValueError(
            "The splits of `data_dir` must be different folders. "
            f"Received: {' and '.join(map(layout.where, splits))}, which "
            "are the same"
        )
    return layout


def archive_layout(
    root: str, names: Sequence[str], classes: ClassNames | None = None
) -> Layout:
    """Return the `Layout` of an archive, see `find_layout`.

    Args:
        root: The archive.
        names: The names of the images in it, in their normal form.
        classes: If they are known.

    Returns:
        A `Layout`.

    Raises:
        ValueError: As `find_layout`.
    """
    folders = collections.defaultdict(set)
    images = collections.defaultdict(set)
    for name in names:
        path, file = posixpath.split(name)
        images[path].add(file)
        while path:
            path, folder = posixpath.split(path)
            folders[path].add(folder)

    def scan(inside):
        found = sorted(folders[inside]), sorted(images[inside])
        return FolderEntries(*map(tuple, found), {})

    return find_layout(root, scan, classes)


def find_layout(
    root: str, scan: Scan, classes: ClassNames | None = None
) -> Layout:
    """Find out where the splits of a folder are.

    A folder that holds nothing but one folder of folders stands for it. The
    splits are a folder of `TRAIN_FOLDERS` and one of `TEST_FOLDERS`, in any
    case; of several of the latter the first that has class folders. Without
    both, the folder has no splits.

    Args:
        root: The folder or the archive, for messages.
        scan: `function(path)`, of a path inside the root, as `scan_folder`.
        classes: If they are known: a folder called like one is one.

    Returns:
        A `Layout`.

    Raises:
        ValueError: If two folders are the same split, or folders that are not
            both of the splits are called like splits and hold classes.
    """

    def is_class(name):
        return classes is not None and classes.index(name) is not None

    left_out: dict[str, str] = {}
    base, entries = _enter(scan, "", is_class, left_out)
    where = printable(os.path.join(root, base).rstrip(os.sep))
    train = [x for x in entries.folders if x.lower() in TRAIN_FOLDERS]
    tests = [x for x in entries.folders if x.lower() in TEST_FOLDERS]
    if not train or not tests:
        _check_no_splits(where, base, entries.folders, scan, is_class)
        whole = Split(base, entries.folders, entries.images)
        return Layout(root, whole, whole, left_out)
    if len(train) > 1 or len({x.lower() for x in tests}) < len(tests):
        raise ValueError(
            "`data_dir` must have one folder for each split. Received: "
            f"{printable(', '.join(train + tests))} in {where}"
        )
    tests.sort(key=lambda name: TEST_FOLDERS.index(name.lower()))
    chosen = {}
    for name in (*train, *tests):
        beside: dict[str, str] = {}
        path, inside = _enter(scan, join(base, name), is_class, beside)
        chosen[name] = Split(path, inside.folders, inside.images), beside
    # Pictures without classes, to be handed in somewhere, are often `test`.
    test = next((x for x in tests if chosen[x][0].folders), tests[0])
    for name in (*entries.folders, *entries.images):
        if name not in (*train, test):
            left_out[join(base, name)] = "beside the splits"
    for name, why in entries.left_out.items():
        left_out[join(base, name)] = why
    for name in (*train, test):
        left_out |= chosen[name][1]
    return Layout(root, chosen[train[0]][0], chosen[test][0], left_out)


def _enter(scan, path, is_class, left_out):
    """Go on to a single folder of folders, as long as there is nothing else."""
    entries = scan(path)
    for _ in range(_DEEPEST):
        if len(entries.folders) != 1 or entries.images:
            break
        (name,) = entries.folders
        inside = scan(join(path, name))
        if not inside.folders or is_class(name):
            break
        left_out |= {join(path, x): why for x, why in entries.left_out.items()}
        path, entries = join(path, name), inside
    return path, entries


def _check_no_splits(where, base, folders, scan, is_class):
    """Refuse folders that are no classes, by what they are called and hold."""
    for name in folders[:_SHOWN]:  # Whole data sets are never many.
        if is_class(name):
            continue
        held = {x.lower() for x in scan(join(base, name)).folders}
        if held & {*TRAIN_FOLDERS} and held & {*TEST_FOLDERS}:
            raise ValueError(
                "`data_dir` must have class folders, which hold no splits, or "
                f"two splits. Received: {printable(name)} in {where}, a data "
                f"set of its own: --data_dir={where}/{printable(name)} takes it"
            )
    like = [
        name
        for name in folders
        if _SPLITS & {*re.findall("[a-z]+", name.lower())}
        and not is_class(name)
    ]
    # A class may be called `train`, of pictures of trains.
    of_classes = [scan(join(base, name)) for name in like]
    of_classes = any(len(x.folders) > 1 and not x.images for x in of_classes)
    if of_classes or len(like) == len(folders) > 1:
        raise ValueError(
            "`data_dir` must have class folders, or the splits "
            f"{' or '.join(TRAIN_FOLDERS)} and {', '.join(TEST_FOLDERS)}. "
            f"Received: {printable(', '.join(folders[:5]))} in {where}"
        )
