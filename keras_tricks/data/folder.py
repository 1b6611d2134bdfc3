"""Images in folders, one folder a class."""

import itertools
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_tricks._checks import check_int
from keras_tricks.data.crops import import_pillow
from keras_tricks.data.dataset import ImageData, stratified_split
from keras_tricks.data.decode import SUFFIXES, decode_image
from keras_tricks.data.image_files import TEST_FOLDERS
from keras_tricks.data.preprocessing import Preprocessing

_SPLIT_SEED = 0
_PROGRESS_EVERY = 1000


def load_folder(
    path: str | os.PathLike,
    image_size: int = 64,
    max_bad_records: int = 0,
    test_share: float = 0.2,
) -> ImageData:
    """Loads a folder of class folders into memory.

    With a subfolder `train` and one of `val`, `valid`, `validation` or
    `test` (the first of these), those are the two parts. Otherwise the
    subfolders are the classes, and a fixed share of each is held out, always
    the same. Class names are sorted. Every image becomes RGB, its short side
    `image_size`, and is cropped to the central square: see `decode_image` and
    `Preprocessing` with a `crop_ratio` of 1.

    Args:
        path: The folder.
        image_size: Side of the images in pixels. Defaults to 64.
        max_bad_records: How many unreadable images may be skipped; their
            names go to stderr. Defaults to 0.
        test_share: Share of each class that is held out. Defaults to 0.2.

    Returns:
        An `ImageData` with images `(N, image_size, image_size, 3)`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If there are fewer than two classes, a class without an
            image, or too many unreadable images.
        ImportError: If Pillow is missing.

    Example:
    >>> import os, tempfile
    >>> from PIL import Image
    >>> folder = tempfile.mkdtemp()
    >>> for index, name in enumerate(("cat", "cat", "dog", "dog")):
    ...     os.makedirs(f"{folder}/{name}", exist_ok=True)
    ...     Image.new("RGB", (40, 30)).save(f"{folder}/{name}/{index}.png")
    >>> data = load_folder(folder, image_size=16, test_share=0.5)
    >>> data.class_names, data.x_train.shape
    (('cat', 'dog'), (2, 16, 16, 3))
    """
    check_int("image_size", image_size, 1)
    check_int("max_bad_records", max_bad_records)
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
    listed = [_list_images(part, names) for part in parts]
    files = list(itertools.chain.from_iterable(files for files, _ in listed))
    images, good = _decode(files, image_size, max_bad_records)
    labels = np.concatenate([labels for _, labels in listed])[good]
    if len(parts) == 2:
        in_train = np.arange(len(files))[good] < len(listed[0][0])
        train, test = np.flatnonzero(in_train), np.flatnonzero(~in_train)
    else:
        train, test = stratified_split(labels, test_share, _SPLIT_SEED)
    try:
        return ImageData(
            images[train],
            labels[train],
            images[test],
            labels[test],
            tuple(names),
            os.path.basename(path),
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


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


def _list_images(part, names):
    """Returns the files of all classes and their labels."""
    unknown = sorted(set(_subfolders(part)) - set(names))
    if unknown:
        raise ValueError(
            f"{part} must hold the classes of the training folder only. "
            f"Received: {', '.join(unknown[:5])}"
        )
    files, labels = [], []
    for label, name in enumerate(names):
        folder = os.path.join(part, name)
        found = sorted(
            os.path.join(root, file)
            for root, _, inside in os.walk(folder)
            for file in inside
            if file.lower().endswith(SUFFIXES) and not file.startswith(".")
        )
        if not found:
            raise ValueError(
                f"Class folder {folder} must hold at least one image. "
                "Received: none"
            )
        files += found
        labels += [label] * len(found)
    return files, np.asarray(labels, "int32")


def _decode(files, size, max_bad_records):
    """Returns the readable images and the mask that tells which they are."""
    import_pillow()
    preprocessing = Preprocessing(size, crop_ratio=1.0)

    def read(file):
        try:
            return preprocessing.view(decode_image(file))
        except ValueError as error:
            return str(error)

    images = np.empty((len(files), size, size, 3), "uint8")
    good, bad = np.ones(len(files), bool), []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for i, result in enumerate(pool.map(read, files)):
            if isinstance(result, str):
                good[i] = False
                bad.append(result)
            else:
                images[i] = result
            if (i + 1) % _PROGRESS_EVERY == 0:
                print(f"Read {i + 1} of {len(files)} images", file=sys.stderr)
    _report(bad, max_bad_records)
    return images if good.all() else images[good], good


def _report(bad, max_bad_records):
    if len(bad) > max_bad_records:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise ValueError(
            f"At most {max_bad_records} images may be unreadable "
            f"(`max_bad_records`). Received: {bad[0]}{more}"
        )
    if bad:
        print(f"Skipped {len(bad)} unreadable images:", file=sys.stderr)
        print("\n".join(f"  {line}" for line in bad), file=sys.stderr)
