"""Images in folders, one folder a class."""

import math
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_tricks._checks import check_choice, check_int
from keras_tricks._image_size import ImageSize, check_size
from keras_tricks._text import printable
from keras_tricks._untrusted import check_room
from keras_tricks.data.sources.arrays import ImageData
from keras_tricks.data.sources.folder_split import open_folder_splits
from keras_tricks.data.transforms.crops import import_pillow
from keras_tricks.data.transforms.decode import decode_image
from keras_tricks.data.transforms.preprocessing import Preprocessing

_PROGRESS_EVERY = 1000


def load_folder(
    folder: str | os.PathLike,
    image_size: ImageSize = 64,
    max_bad_records: int = 0,
    test_share: float = 0.2,
    multi_label: bool = False,
    channels: int = 3,
) -> ImageData:
    """Load a folder of class folders, or with a table, into memory.

    Which images there are, of which split and class, `open_folder_splits`
    says.
    Every image becomes RGB or gray, just covers `image_size`, and the middle
    of it is cropped: see `decode_image` and `Preprocessing` with a
    `crop_ratio` of 1.

    Args:
        folder: The folder.
        image_size: Side of the images in pixels, or (height, width). Defaults
            to 64.
        max_bad_records: How many unreadable images may be skipped; their
            names go to stderr. Defaults to 0.
        test_share: Share of each class that is held out. Defaults to 0.2.
        multi_label: See `open_folder_splits`.
        channels: 3 (default), or 1 for gray.

    Returns:
        An `ImageData` with images `(N, height, width, channels)`.

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
    image_size = check_size("image_size", image_size)
    check_int("max_bad_records", max_bad_records)
    check_choice("channels", channels, (1, 3))
    own = Preprocessing(image_size, crop_ratio=1.0)
    own = own.gray() if channels == 1 else own
    train, test = open_folder_splits(folder, test_share, multi_label)
    splits = (train, test)
    files = [(split, index) for split in splits for index in range(len(split))]
    images, good = _decode(files, own, max_bad_records)
    labels = np.concatenate([split.labels for split in splits])[good]
    count = int(good[: len(train)].sum())
    try:
        return ImageData(
            images[:count],
            labels[:count],
            images[count:],
            labels[count:],
            train.class_names,
            os.path.basename(train.root),
        )
    except ValueError as error:
        raise ValueError(f"{printable(train.root)}: {error}") from error


def _decode(files, preprocessing, max_bad_records):
    """Return the readable images and the mask that tells which they are."""
    import_pillow()

    def read(file):
        split, index = file
        name = split.names[index]
        try:
            if name in split.flaws:
                split.read(index)
            path = os.path.join(split.root, name)
            return preprocessing.transform(decode_image(path))
        except ValueError as error:
            return str(error)

    shape = (len(files), *preprocessing.output_shape)
    size = preprocessing.image_size
    check_room("image_size", size, f"{len(files)} images", math.prod(shape))
    images = np.empty(shape, "uint8")
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
    _report(sorted(bad), max_bad_records)
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
