"""Which image files there are, and what their classes are."""

import dataclasses
import os
import tarfile
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from keras_tricks._files import read_regular
from keras_tricks.data.sources.arrays import classes_in_turn
from keras_tricks.data.sources.class_names import ClassNames, read_class_names
from keras_tricks.data.sources.walk_folders import (
    FoundImages,
    is_image,
    report_left_out,
    split_folders,
    subfolders,
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
        labels: int32, shape `(N,)`, or `None` if unknown.
        classes: A `ClassNames`, or `None` if unknown.
        places: For a .tar: offset and length of each file in it.
        left_out: What else is there, a dict of name to reason.

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

    def __len__(self):
        return len(self.names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, empty if unknown."""
        return () if self.classes is None else self.classes.names

    def name(self, index: int) -> str:
        """Return the name of a file inside the root."""
        return self.names[index]

    def record(self, index: int) -> tuple[bytes, int]:
        """Return a file's bytes and its class, see `keras_tricks.data.Records`.

        Raises:
            ValueError: If it cannot be read; the message names the file.
        """
        return self.read(index), int(self.labels[index])

    def __getitem__(self, index: int) -> np.ndarray:
        """Decode an image: uint8, shape `(H, W, 3)`.

        Raises:
            ValueError: If it cannot be read; the message names the file.
        """
        name = self.names[index]
        return decode_image(self.read(index), name)

    def read(self, index: int) -> bytes:
        """Return the bytes of a file.

        Raises:
            ValueError: If it cannot be read; the message names the file.
        """
        name = self.names[index]
        try:
            if self.places is None:
                return read_regular(os.path.join(self.root, name))
            offset, length = self.places[name]
            with open(self.root, "rb") as file:
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            raise ValueError(f"{name}: {error.strerror or error}") from None

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

    The class of a file is that of its folder, `.../<class>/<file>`, or, for
    files in one folder, what stands before the first underscore of its name,
    `<class>_<rest>`. It is looked up in `classes`, by key or by name; without
    them, in a `classes.tsv` in the folder, or beside the .tar; and without
    that, the sorted names of the class folders are the classes.

    Args:
        source: A folder, a .tar file, or a list of paths of images, whose
            classes remain unknown. Of a folder with `train` and one of
            `val`, `valid`, `validation`, `test` in it, the latter is taken.
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
            f"Received: {root}"
        )
    split, places = "", None
    if folder:
        # The training split is not even walked.
        *_, split = split_folders(subfolders(root)) or ("",)
        found = walk_images(root, split)
    else:
        found, places = _members(root)
    report_left_out(root, found.left_out)
    names = _test_split(found.names)
    if not names:
        raise ValueError(
            f"`data_dir` must hold images ({', '.join(image_formats())}). "
            f"Received: {os.path.join(root, split) if split else root}"
        )
    if not labels:
        return ImageFiles(
            root, tuple(names), places=places, left_out=found.left_out
        )
    if classes is None:
        beside = root if folder else os.path.dirname(root)
        path = os.path.join(beside, CLASSES_FILE)
        if os.path.isfile(path):
            classes = read_class_names(path)
        else:
            classes = _class_folders(root, names)
    found_labels = None if classes is None else _labels(root, names, classes)
    return ImageFiles(
        root, tuple(names), found_labels, classes, places, found.left_out
    )


def _members(root):
    """Return the images of a .tar, and their places."""
    places, left_out = {}, {}
    try:
        with tarfile.open(root, "r:") as tar:
            members = [member for member in tar if not member.isdir()]
            for member in members:
                reason = _left_out(tar, member)
                if reason is None:
                    places[member.name] = member.offset_data, member.size
                else:
                    left_out[member.name] = reason
    except (OSError, tarfile.TarError) as error:
        raise ValueError(
            f"`data_dir` must be a readable .tar file, not compressed ({error}"
            f"). Received: {root}"
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


def _below_shared(names):
    """Split files into folders and name, and count the folders all share."""
    paths = [PurePosixPath(name).parts for name in names]
    first = paths[0]
    depth = 0
    while all(
        len(path) > depth + 1 and path[depth] == first[depth] for path in paths
    ):
        depth += 1
    return paths, depth


def _test_split(names):
    """Leave out the training split where there is another one."""
    if not names:
        return names
    paths, depth = _below_shared(names)
    splits = split_folders(p[depth] for p in paths if len(p) > depth + 1)
    if not splits:
        return names
    return [
        name
        for name, path in zip(names, paths, strict=True)
        if path[depth] == splits[1]
    ]


def _class_folders(root, names):
    paths, depth = _below_shared(names)
    folders = {path[depth] for path in paths if len(path) > depth + 1}
    if not folders:
        return None
    loose = [path[-1] for path in paths if len(path) == depth + 1]
    if loose:
        raise ValueError(
            "`data_dir` must hold class folders or images, not both. Received: "
            f"{loose[0]} beside {min(folders)} in {root}"
        )
    return ClassNames(tuple(sorted(folders)))


def _labels(root, names, classes):
    labels = np.empty(len(names), "int32")
    for i, name in enumerate(names):
        *folders, file = PurePosixPath(name).parts
        candidates = [*reversed(folders), file.partition("_")[0]]
        found = [classes.index(text) for text in candidates]
        found = [index for index in found if index is not None]
        if not found:
            raise ValueError(
                "`classes` must have the class of every image, by the name of "
                "its folder or the start of its own name before a `_`. "
                f"Received: {name} in {root}, of none of {len(classes)} classes"
            )
        labels[i] = found[0]
    return labels
