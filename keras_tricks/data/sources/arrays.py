"""What a loaded data set is, and how it is split."""

import dataclasses
from typing import Any

import numpy as np

from keras_tricks._checks import check_choice, check_int
from keras_tricks._random import SPLIT, random_generator
from keras_tricks._text import class_name, printable
from keras_tricks.data.sources.labels import (
    check_labels,
    count_classes,
    is_multi_hot,
    strata,
)
from keras_tricks.data.transforms.crops import to_channels
from keras_tricks.data.transforms.preprocessing import (
    Preprocessing,
    channel_statistics,
)


@dataclasses.dataclass(frozen=True, repr=False)
class ImageData:
    """A labeled image data set in memory, checked at construction.

    Args:
        x_train: uint8, shape `(N, H, W, C)`.
        y_train: Integers in 0 ... K - 1, shape `(N,)`, every class present;
            or, of several classes at once, 0 and 1, shape `(N, K)`.
        x_test: uint8, shape `(M, H, W, C)`.
        y_test: As `y_train`, shape `(M,)` or `(M, K)`.
        class_names: K names.
        name: Name of the data set.

    Raises:
        ValueError: If an array has another rank, dtype, shape or range, or
            if a class has no training image.

    Example:
    >>> from keras_tricks.data import load
    >>> data = load("digits")
    >>> data.image_shape, data.num_classes
    ((8, 8, 1), 10)
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    name: str = "data"

    def __post_init__(self):
        names = tuple(class_name(str(name)) for name in self.class_names)
        object.__setattr__(self, "class_names", names)
        object.__setattr__(self, "name", printable(self.name))
        for split in ("train", "test"):
            _check_images(f"x_{split}", getattr(self, f"x_{split}"))
            labels = check_labels(
                f"y_{split}", getattr(self, f"y_{split}"), len(names)
            )
            object.__setattr__(self, f"y_{split}", labels)
            _check_lengths(split, getattr(self, f"x_{split}"), labels)
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise ValueError(
                "`x_train` and `x_test` must hold images of one shape. "
                f"Received: x_train.shape={self.x_train.shape}, "
                f"x_test.shape={self.x_test.shape}"
            )
        if self.multi_label != is_multi_hot(self.y_test):
            raise ValueError(
                "`y_train` and `y_test` must be of one kind, numbers of "
                "classes or rows of 0 and 1. Received: "
                f"y_train.shape={self.y_train.shape}, "
                f"y_test.shape={self.y_test.shape}"
            )
        if not self.multi_label and not self.class_counts.all():
            none = np.flatnonzero(self.class_counts == 0)
            empty = [names[i] for i in none[:5]]
            raise ValueError(
                "`y_train` must hold every class at least once. "
                f"Received: no training image of {', '.join(empty)}"
            )

    @property
    def num_classes(self) -> int:
        """Number of classes K."""
        return len(self.class_names)

    @property
    def train_size(self) -> int:
        """Number of training images."""
        return len(self.x_train)

    @property
    def multi_label(self) -> bool:
        """Whether an image may be of several classes, or of none."""
        return is_multi_hot(self.y_train)

    @property
    def class_counts(self) -> np.ndarray:
        """Number of training images of each class, shape (K,)."""
        return count_classes(self.y_train, self.num_classes)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return tuple(self.x_train.shape[1:])

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What turns another image into one like these.

        It just covers them and is cropped; mean and standard deviation are
        those of the training images. `None` if they are neither gray nor RGB.
        """
        height, width, channels = self.image_shape
        if channels not in (1, 3):
            return None
        mean, std = channel_statistics(self.x_train)
        return Preprocessing(
            (height, width),
            1.0,
            mean=tuple(mean),
            std=tuple(std),
            channels="RGB" if channels == 3 else "L",
        )

    def __repr__(self):
        return (
            f"ImageData(name={self.name!r}, train={len(self.x_train)}, "
            f"test={len(self.x_test)}, image_shape={self.image_shape}, "
            f"num_classes={self.num_classes})"
        )

    def with_channels(self, channels: int) -> "ImageData":
        """Return the data set in gray or in RGB.

        Args:
            channels: 1 or 3, as `to_channels` makes them.

        Raises:
            ValueError: If the images are neither gray nor RGB, or `channels`
                is no such number.
        """
        check_choice("channels", channels, (1, 3))
        own = self.image_shape[2]
        if own == channels:
            return self
        if own not in (1, 3):
            raise ValueError(
                f"`channels` must be None for images of {own} channels. "
                f"Received: channels={channels}"
            )
        x_train, x_test = (
            np.stack([to_channels(image, channels) for image in images])
            for images in (self.x_train, self.x_test)
        )
        return dataclasses.replace(self, x_train=x_train, x_test=x_test)

    def take(
        self,
        train_samples: int | None = None,
        test_samples: int | None = None,
        seed: int = 0,
    ) -> "ImageData":
        """Return the data set with fewer images.

        They are the first of a seeded order in which the classes alternate
        by their shares, so that a smaller subset is part of a larger one.

        Args:
            train_samples: How many training images, from K to all. `None`
                keeps all.
            test_samples: How many test images, likewise.
            seed: Seed of the order of the training images. The test images
                do not depend on it.

        Returns:
            A new `ImageData`.

        Raises:
            ValueError: If a number is out of its range.
        """
        kept: dict[str, Any] = {}
        for split, count, split_seed in (
            ("train", train_samples, seed),
            ("test", test_samples, 0),
        ):
            if count is None:
                continue
            images = getattr(self, f"x_{split}")
            labels = getattr(self, f"y_{split}")
            chosen = classes_in_turn(
                labels,
                len(images),
                count,
                split_seed,
                name=f"{split}_samples",
                of=f"the {split} set, which has {len(images)}",
                least=self.num_classes,
            )
            kept |= {f"x_{split}": images[chosen], f"y_{split}": labels[chosen]}
        return dataclasses.replace(self, **kept) if kept else self


def hold_out(data: ImageData, share: float, seed: int = 0) -> ImageData:
    """Put a share of the training images in the place of the test images.

    Args:
        data: The data set.
        share: Share of each class, in [0, 1); 0 changes nothing.
        seed: Seed of the choice.

    Returns:
        A new `ImageData`.

    Example:
    >>> images = np.zeros((10, 8, 8, 1), "uint8")
    >>> labels = np.arange(10) % 2
    >>> data = ImageData(images, labels, images, labels, ("a", "b"), "all")
    >>> hold_out(data, 0.4)
    ImageData(name='all', train=6, test=4, image_shape=(8, 8, 1), \
num_classes=2)
    """
    if not share:
        return data
    train, test = stratified_split(data.y_train, share, seed)
    return dataclasses.replace(
        data,
        x_train=data.x_train[train],
        y_train=data.y_train[train],
        x_test=data.x_train[test],
        y_test=data.y_train[test],
    )


def stratified_order(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Order samples so that every prefix has the classes in proportion.

    Args:
        labels: Integers, shape `(N,)`, or rows of 0 and 1, see `strata`.
        seed: Seed of the order.

    Returns:
        A permutation of 0 ... N - 1; one sample of each class comes first.

    Example:
    >>> import numpy as np
    >>> from keras_tricks.data.sources.arrays import stratified_order
    >>> order = stratified_order(np.array([0, 0, 0, 0, 1, 1]), seed=1)
    >>> sorted((order[:3] // 4).tolist())
    [0, 0, 1]
    """
    labels = strata(labels)
    shuffled = random_generator(seed, SPLIT).permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels[shuffled] == label)
        place[members] = np.arange(len(members)) / len(members)
    return shuffled[np.argsort(place, kind="stable")]


def classes_in_turn(
    labels: np.ndarray | None,
    size: int,
    samples: int,
    seed: int = 0,
    name: str = "samples",
    of: str | None = None,
    least: int = 1,
) -> np.ndarray:
    """Choose the first samples of an order in which the classes alternate.

    Args:
        labels: Integers, shape `(size,)`, or `None` where they are unknown:
            the order is then not by classes.
        size: How many samples there are.
        samples: How many are chosen.
        seed: Seed of the order.
        name: What messages call `samples`.
        of: What messages call all samples. Defaults to their number.
        least: The smallest number that may be chosen.

    Returns:
        Numbers of the chosen samples, in that order.

    Raises:
        ValueError: If `samples` is no integer from `least` to `size`.

    Example:
    >>> chosen = classes_in_turn(np.arange(20) % 2, 20, samples=4)
    >>> sorted((chosen % 2).tolist())
    [0, 0, 1, 1]
    """
    check_int(name, samples, least)
    if samples > size:
        raise ValueError(
            f"`{name}` must not exceed {of or f'the {size} images'}. "
            f"Received: {name}={samples}"
        )
    groups = np.zeros(size, int) if labels is None else labels
    return stratified_order(groups, seed)[:samples]


def stratified_split(
    labels: np.ndarray, test_share: float = 0.2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Split samples into train and test, class by class.

    Args:
        labels: Integers, shape `(N,)`, or rows of 0 and 1, see `strata`.
        test_share: Share of each class that is held out. Each class of two
            or more samples gives at least one and keeps at least one.
        seed: Seed of the choice.

    Returns:
        The sorted indices of the training and of the test samples.

    Example:
    >>> import numpy as np
    >>> from keras_tricks.data.sources.arrays import stratified_split
    >>> train, test = stratified_split(np.arange(20) % 2)
    >>> len(train), len(test)
    (16, 4)
    """
    labels = strata(labels)
    shuffled = random_generator(seed, SPLIT).permutation(len(labels))
    held_out = []
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        count = max(1, round(test_share * len(members)))
        held_out.append(members[: min(count, len(members) - 1)])
    test = np.sort(np.concatenate(held_out))
    return np.setdiff1d(np.arange(len(labels)), test), test


def _check_images(name, images):
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        dtype = getattr(images, "dtype", type(images).__name__)
        raise ValueError(
            f"`{name}` must be a uint8 NumPy array. "
            f"Received: {name}.dtype={dtype}"
        )
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"`{name}` must have shape (N, H, W, C), none of them 0. "
            f"Received: {name}.shape={images.shape}"
        )


def _check_lengths(split, images, labels):
    if len(images) != len(labels):
        raise ValueError(
            f"`x_{split}` and `y_{split}` must have the same length. "
            f"Received: {len(images)} images and {len(labels)} labels"
        )
