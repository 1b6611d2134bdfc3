"""Which image files there are, and what their classes are."""

import dataclasses
import os
import posixpath
import tarfile
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from keras_tricks._files import read_regular
from keras_tricks._text import printable
from keras_tricks.data.sources.arrays import classes_in_turn
from keras_tricks.data.sources.class_names import ClassNames, read_class_names
from keras_tricks.data.sources.labels import LabelError, label_at
from keras_tricks.data.sources.layout import (
    archive_layout,
    check_none_is_empty,
    folder_layout,
)
from keras_tricks.data.sources.tar_members import tar_members
from keras_tricks.data.sources.walk_folders import (
    FoundImages,
    is_image,
    report_left_out,
    walk_images,
)
from keras_tricks.data.transforms.decode import (
    decode_image,
    holds_image,
    image_formats,
)

CLASSES_FILE = "classes.tsv"


@dataclasses.dataclass(frozen=True, repr=False)
class ImageFiles:
    """Image files on disk or in a .tar, and their classes if known.

    `open_image_files` makes one. `files[i]` decodes an image.

    Args:
        root: The folder, the .tar file, or `""`.
        names: Names of the files inside it, or paths.
        labels: int32, shape `(N,)`; of several classes at once int8, 0 and 1,
            shape `(N, K)`; or `None` if unknown. -1 where there is a flaw.
        classes: A `ClassNames`, or `None` if unknown.
        places: For a .tar: offset and length of each file in it.
        left_out: What else is there, a dict of name to reason.
        flaws: Why files cannot be used, a dict of name to reason.

    Example:
    >>> import os, tempfile
    >>> from PIL import Image
    >>> path = os.path.join(tempfile.mkdtemp(), "one.png")
    >>> Image.new("RGB", (8, 6)).save(path)
    >>> files = open_image_files([path])
    >>> len(files), files[0].shape
    (1, (6, 8, 3))
    """

    root: str
    names: tuple[str, ...]
    labels: np.ndarray | None = None
    classes: ClassNames | None = None
    places: dict[str, tuple[int, int]] | None = None
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    flaws: dict[str, str] = dataclasses.field(default_factory=dict)

    def __len__(self):
        return len(self.names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, empty if unknown."""
        return () if self.classes is None else self.classes.names

    def name(self, index: int) -> str:
        """Return the name of a file inside the root, as it may be shown."""
        return printable(self.names[index])

    def record(self, index: int) -> tuple[bytes, Any]:
        """Return a file's bytes and its label, see `keras_tricks.data.Records`.

        Raises:
            ValueError: If it cannot be read; the message names the file.
        """
        return self.read(index), label_at(self.labels, index)

    def __getitem__(self, index: int) -> np.ndarray:
        """Decode an image: uint8, shape `(H, W, 3)`.

        Raises:
            ValueError: If it cannot be read; the message names the file.
        """
        return decode_image(self.read(index), self.name(index))

    def read(self, index: int) -> bytes:
        """Return the bytes of a file.

        Raises:
            ValueError: If it cannot be read; the message names the file.
        """
        name = self.names[index]
        if name in self.flaws:
            raise LabelError(f"{self.name(index)}: {self.flaws[name]}")
        try:
            if self.places is None:
                return read_regular(os.path.join(self.root, name))
            offset, length = self.places[name]
            with open(self.root, "rb") as file:
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            raise ValueError(
                f"{self.name(index)}: {error.strerror or error}"
            ) from None

    def take(self, samples: int | None) -> "ImageFiles":
        """Return the first of a fixed order in which the classes alternate.

        Args:
            samples: How many, or `None` for all.

        Returns:
            An `ImageFiles`, in the order of the names.

        Raises:
            ValueError: If there are not that many.
        """
        if samples is None:
            return self
        labels = self.labels
        chosen = np.sort(classes_in_turn(labels, len(self), samples))
        return dataclasses.replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            labels=None if labels is None else labels[chosen],
        )


def open_image_files(
    source: str | os.PathLike | Sequence[str | os.PathLike],
    classes: ClassNames | None = None,
    labels: bool = True,
) -> ImageFiles:
    """List image files and find out their classes.

    Splits and class folders are found as `open_folder_splits` finds them, so
    that training and evaluation see the same classes. The class of a file is
    the topmost folder that it is in, or, for files in no class folder, what
    stands before the first underscore of its name, `<class>_<rest>`. It is
    looked up in `classes`, by key or by name; without them, in a
    `classes.tsv` in the folder, or beside the .tar; and without that, the
    sorted names of the class folders, those of the training split if there
    is one, are the classes.

    Args:
        source: A folder, a .tar file, or a list of paths of images, whose
            classes remain unknown. Of a folder with splits, `train` and
            `val`, say, the latter is taken.
            Images are found by name or content; hidden files and folders
            are left out, links are followed. What is left out is counted
            and named on stderr.
        classes: The classes of the network. Defaults to `None`.
        labels: Whether to find out the classes. Defaults to `True`.

    Returns:
        An `ImageFiles`; its labels are `None` if nothing tells the classes.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If there is no image, or one belongs to no class.

    Example:
    >>> import os, tempfile
    >>> from PIL import Image
    >>> folder = tempfile.mkdtemp()
    >>> for name in ("dog", "cat"):
    ...     os.mkdir(f"{folder}/{name}")
    ...     Image.new("RGB", (8, 6)).save(f"{folder}/{name}/1.png")
    >>> files = open_image_files(folder)
    >>> files.classes.names, files.labels.tolist()
    (('cat', 'dog'), [0, 1])
    """
    if not isinstance(source, (str, os.PathLike)):
        return ImageFiles("", tuple(os.fspath(path) for path in source))
    root = os.path.abspath(source)
    folder = os.path.isdir(root)
    if not folder and not os.path.isfile(root):
        raise FileNotFoundError(
            "`data_dir` must be an existing folder or .tar file of images. "
            f"Received: {printable(root)}"
        )
    if labels and classes is None:
        beside = root if folder else os.path.dirname(root)
        path = os.path.join(beside, CLASSES_FILE)
        classes = read_class_names(path) if os.path.isfile(path) else None
    places = None
    if folder:
        layout = folder_layout(root, classes)
        found = walk_images(root, layout.test.path)
    else:
        found, places = _members(root)
        layout = archive_layout(root, found.names, classes)
        inside = layout.test.path and f"{layout.test.path}/"
        names = tuple(x for x in found.names if x.startswith(inside))
        found = FoundImages(names, found.left_out)
    left_out = layout.left_out | found.left_out
    if classes is not None:
        left_out.pop(CLASSES_FILE, None)
    report_left_out(root, left_out)
    if not found.names:
        raise ValueError(
            f"`data_dir` must hold images ({', '.join(image_formats())}). "
            f"Received: {layout.where(layout.test)}"
        )
    files = ImageFiles(root, found.names, None, None, places, left_out)
    if not labels:
        return files
    split = layout.test
    if classes is not None:
        found_labels = layout.labels(split, found.names, classes)
    elif layout.has_splits or len(split.folders) + len(split.images[:1]) > 1:
        classes = layout.class_names()
        found_labels = layout.labels(split, found.names, classes)
        check_none_is_empty(layout.empty_folders(split, found_labels))
    else:  # One folder, or none: nothing tells the classes.
        return files
    return dataclasses.replace(files, labels=found_labels, classes=classes)


def _members(root):
    """Return the images of a .tar, and their places."""
    places, left_out = {}, {}
    try:
        for tar, member in tar_members(root):
            name = posixpath.normpath(member.name).lstrip("/")
            reason = _left_out(tar, member)
            if reason is None:
                places[name] = member.offset_data, member.size
            else:
                left_out[name] = reason
    except (OSError, tarfile.TarError) as error:
        raise ValueError(
            f"`data_dir` must be a readable .tar file, not compressed ({error}"
            f"). Received: {printable(root)}"
        ) from None
    return FoundImages(tuple(sorted(places)), left_out), places


def _left_out(tar, member):
    """Return why a file of an archive is no image, or None."""
    if not member.isfile():
        return "no regular file"
    if any(part.startswith(".") for part in PurePosixPath(member.name).parts):
        return "hidden"
    if is_image(member.name) or holds_image(tar.extractfile(member)):
        return None
    return "no image"
