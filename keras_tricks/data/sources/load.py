"""Data sets by name or by path."""

import importlib
import os

import keras
import numpy as np

from keras_tricks._checks import check_choice, first_line
from keras_tricks._files import open_regular
from keras_tricks._image_size import ImageSize, check_size, sides_of
from keras_tricks._untrusted import read_arrays
from keras_tricks.data.shards.files import holds_shards
from keras_tricks.data.shards.records import is_record_shard
from keras_tricks.data.shards.tar import is_tar_shard
from keras_tricks.data.sources.arrays import (
    ImageData,
    hold_out,
    stratified_split,
)
from keras_tricks.data.sources.labels import (
    check_labels,
    is_multi_hot,
    one_or_several,
)
from keras_tricks.data.sources.load_folder import load_folder

_KERAS_DATASETS = {
    "cifar10": (
        "airplane automobile bird cat deer dog frog horse ship truck"
    ).split(),
    "cifar100": [str(i) for i in range(100)],
    "mnist": [str(i) for i in range(10)],
    "fashion_mnist": (
        "t-shirt trouser pullover dress coat sandal shirt sneaker bag boot"
    ).split(),
}
_SHARDS = (is_record_shard, is_tar_shard)
DATASETS = ("digits", *_KERAS_DATASETS)
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_SPLIT_SEED = 0


def load(
    dataset: str = "digits",
    data_dir: str | os.PathLike | None = None,
    image_size: ImageSize | None = None,
    train_samples: int | None = None,
    test_samples: int | None = None,
    seed: int = 0,
    max_bad_records: int = 0,
    validation_share: float = 0.0,
    split_seed: int = 0,
    ignore_label: int | None = None,
    multi_label: bool = False,
    channels: int | None = None,
) -> ImageData:
    """Load a data set by name, or from a path, which wins.

    Args:
        dataset: `"digits"` (the default, bundled with scikit-learn),
            `"cifar10"`, `"cifar100"`, `"mnist"` or `"fashion_mnist"` (which
            `keras.datasets` downloads).
        data_dir: A folder of class folders, see `load_folder`, or an `.npz`
            file, see `load_npz`.
        image_size: Of the images made from a folder, in pixels: a side, or
            (height, width); for a folder it defaults to 64. Elsewhere the
            images are as they are, and it must be `None` or their size.
        train_samples: Keep this many training images, see `ImageData.take`.
        test_samples: Keep this many test images.
        seed: Seed of `train_samples`; not of a train and test split, which
            is always the same.
        max_bad_records: How many unreadable images of a folder to skip.
        validation_share: Share of each class of the training images that
            takes the place of the test images.
        split_seed: Seed of that choice.
        ignore_label: Of an `.npz`: images with this label are left out.
        multi_label: Whether an image may be of several classes where the
            data, a table of labels or rows of 0 and 1, do not show it.
        channels: 1 for gray images or 3 for RGB, of which the others are
            made; `None` for RGB of a folder and for those of arrays.

    Returns:
        An `ImageData`.

    Raises:
        ValueError: If a name is unknown or the data are not as described.
        FileNotFoundError: If `data_dir` does not exist.
        ImportError: If a package of the extra `data` is missing.
        RuntimeError: If a download fails.

    Example:
    >>> from keras_tricks.data import load
    >>> load("digits", train_samples=100).x_train.shape
    (100, 8, 8, 1)
    """
    if image_size is not None:
        image_size = check_size("image_size", image_size)
    if ignore_label is not None:
        check_is_npz(data_dir, ignore_label)
    if data_dir is None:
        check_choice("dataset", dataset, DATASETS)
        digits = dataset == "digits"
        data = load_digits() if digits else load_keras_dataset(dataset)
    elif any(holds_shards(data_dir, is_shard) for is_shard in _SHARDS):
        raise ValueError(
            "`data_dir` must be a folder of class folders to be loaded into "
            'memory; shards are read while training, with augmentation="crop". '
            f"Received: data_dir={str(data_dir)!r}"
        )
    elif os.path.isdir(data_dir):
        data = load_folder(
            data_dir,
            64 if image_size is None else image_size,
            max_bad_records=max_bad_records,
            multi_label=multi_label,
            channels=channels or 3,
        )
    else:
        data = load_npz(data_dir, ignore_label, multi_label)
    if multi_label and not data.multi_label:
        raise ValueError(
            f"`multi_label` must be False for {data.name}, whose images are "
            "of one class each. Received: multi_label=True"
        )
    own = data.image_shape[:2]
    if image_size is not None and own != sides_of(image_size):
        raise ValueError(
            f"`image_size` must be None or the size of {data.name}'s images, "
            f"{own}. Received: image_size={image_size}"
        )
    if channels is not None:
        data = data.with_channels(channels)
    data = hold_out(data, validation_share, split_seed)
    return data.take(train_samples, test_samples, seed)


def load_digits() -> ImageData:
    """Load scikit-learn's handwritten digits, 1,797 images of 8x8.

    The gray values 0 ... 16 become 0 ... 255; one fifth of each class, always
    the same, is held out.

    Returns:
        An `ImageData` of 1,438 training and 359 test images.

    Raises:
        ImportError: If scikit-learn is missing.

    Example:
    >>> from keras_tricks.data.sources.load import load_digits
    >>> data = load_digits()
    >>> len(data.x_train) + len(data.x_test), int(data.x_train.max())
    (1797, 255)
    """
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise ImportError(
            "The digits need scikit-learn: pip install 'keras_tricks[data]'"
        ) from error
    digits = datasets.load_digits()
    images = np.rint(digits.images * (255 / 16)).astype("uint8")[..., None]
    labels = digits.target.astype("int32")
    train, test = stratified_split(labels, 0.2, _SPLIT_SEED)
    return ImageData(
        images[train],
        labels[train],
        images[test],
        labels[test],
        tuple(str(i) for i in range(10)),
        "digits",
    )


def load_keras_dataset(name: str) -> ImageData:
    """Load a data set through `keras.datasets`, which may download it.

    Args:
        name: `"cifar10"`, `"cifar100"`, `"mnist"` or `"fashion_mnist"`.

    Returns:
        An `ImageData`; gray images have one channel.

    Raises:
        ValueError: If the name is unknown.
        RuntimeError: If the download fails.

    Example:
    >>> data = load_keras_dataset("cifar10")  # doctest: +SKIP
    >>> data.x_train.shape  # doctest: +SKIP
    (50000, 32, 32, 3)
    """
    check_choice("name", name, tuple(_KERAS_DATASETS))
    try:
        (x, y), (u, v) = getattr(keras.datasets, name).load_data()
    except Exception as error:
        raise RuntimeError(
            f"Could not download {name}: {first_line(error)}. Without a "
            "network use dataset='digits' or give data_dir."
        ) from error
    return ImageData(
        _with_channels(x),
        _without_column(y),
        _with_channels(u),
        _without_column(v),
        tuple(_KERAS_DATASETS[name]),
        name,
    )


def check_is_npz(data_dir: str | os.PathLike | None, ignore_label: int) -> None:
    """Refuse a label that is to be ignored where all labels are classes.

    Raises:
        ValueError: If `data_dir` is none, or a folder.

    Example:
    >>> check_is_npz("images.npz", -1)
    """
    if data_dir is None or os.path.isdir(data_dir):
        raise ValueError(
            "`ignore_label` must be None where `data_dir` is no .npz: all "
            "labels of folders, shards and named data sets are classes. "
            f"Received: ignore_label={ignore_label}"
        )


def load_npz(
    path: str | os.PathLike,
    ignore_label: int | None = None,
    multi_label: bool = False,
) -> ImageData:
    """Load arrays from a NumPy archive.

    Args:
        path: An `.npz` with `x_train` and `x_test`, uint8, `(N, H, W)` or
            `(N, H, W, C)`; `y_train` and `y_test`, integers, `(N,)` or
            `(N, 1)`, or of several classes at once 0 and 1, `(N, K)`; and, if
            you like, `class_names`, strings. Pickled objects are refused.
        ignore_label: Images with this label, such as -1, are left out.
            Defaults to None: there are none.
        multi_label: Of `(N, K)` with a single 1 in each row: whether there
            might be several. Defaults to `False`: they are one-hot.

    Returns:
        An `ImageData` named after the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, lacks an array, or holds data
            that are not as described; the message names the file.

    Example:
    >>> import os, tempfile
    >>> import numpy as np
    >>> from keras_tricks.data.sources.load import load_npz
    >>> path = os.path.join(tempfile.mkdtemp(), "tiny.npz")
    >>> x, y = np.zeros((4, 8, 8), "uint8"), np.arange(4) % 2
    >>> np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    >>> data = load_npz(path)
    >>> data.name, data.image_shape, data.num_classes
    ('tiny', (8, 8, 1), 2)
    """
    arrays = _read_npz(os.fspath(path))
    missing = [key for key in _ARRAYS if key not in arrays]
    if missing:
        raise ValueError(
            f"{path} must hold {', '.join(_ARRAYS)}. "
            f"Received: a file without {', '.join(missing)}"
        )
    try:
        if ignore_label is not None:
            if is_multi_hot(_without_column(arrays["y_train"])):
                raise ValueError(
                    "`ignore_label` must be None for labels of shape (N, K), "
                    f"which are 0 and 1. Received: ignore_label={ignore_label}"
                )
            arrays |= _without_label(arrays, ignore_label)
        y_train, y_test = (
            _without_column(arrays[key]) for key in ("y_train", "y_test")
        )
        names = arrays.get("class_names")
        if names is None:
            names = _numbers_of_classes(y_train)
        if is_multi_hot(y_train) and is_multi_hot(y_test):
            rows = [
                check_labels(name, y, np.size(names))
                for name, y in (("y_train", y_train), ("y_test", y_test))
            ]
            y_train, y_test = one_or_several(rows, multi_label)
        return ImageData(
            _with_channels(arrays["x_train"]),
            y_train,
            _with_channels(arrays["x_test"]),
            y_test,
            tuple(np.asarray(names).ravel().tolist()),
            os.path.splitext(os.path.basename(path))[0],
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_npz(path):
    if not os.path.exists(path):
        raise FileNotFoundError(
            "`data_dir` must be an existing folder or .npz file. "
            f"Received: {path}"
        )
    try:
        with open(path, "rb", opener=open_regular) as file:
            return read_arrays(file)
    except (OSError, ValueError) as error:
        reason = first_line(error)
        raise ValueError(
            f"Could not read {path} as an .npz of plain arrays: {reason}"
        ) from error


def _without_label(arrays, ignore_label):
    """Return the images and labels of both splits without those of a label."""
    kept = {}
    for split in ("train", "test"):
        labels = _without_column(arrays[f"y_{split}"])
        images = arrays[f"x_{split}"]
        if labels.shape == (len(images),):  # Else `ImageData` says so.
            chosen = labels != ignore_label
            kept |= {
                f"x_{split}": images[chosen],
                f"y_{split}": labels[chosen],
            }
    return kept


def _numbers_of_classes(labels):
    """Return the names of classes that have none: 0 ... K - 1."""
    if is_multi_hot(labels):
        return [str(i) for i in range(labels.shape[1])]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        words = " or ".join(map(str, np.unique(labels)[:2]))
        said = f" of words such as {words}" if labels.dtype.kind in "SU" else ""
        raise ValueError(
            "`y_train` must be integers of shape (N,), with `class_names` in "
            f"their order if classes have names. Received: {labels.dtype} of "
            f"shape {labels.shape}{said}"
        )
    most = int(labels.max(initial=0))
    if most >= len(labels):
        raise ValueError(
            "`y_train` must hold every class from 0 on at least once. "
            f"Received: {len(labels)} labels up to {most}"
        )
    return [str(i) for i in range(most + 1)]


def _with_channels(images):
    return images[..., None] if images.ndim == 3 else images


def _without_column(labels):
    column = labels.ndim == 2 and labels.shape[1] == 1
    return labels[:, 0] if column else labels
