"""What the labels of a source are: one class of each image, or several."""

from typing import Any

import numpy as np

from keras_tricks._checks import labels_outside


class LabelError(ValueError):
    """A record whose label is none of the classes."""


def is_multi_hot(labels: Any) -> bool:
    """Tell labels of several classes, (N, K), from numbers of classes, (N,).

    Example:
    >>> is_multi_hot(np.array([[1, 0, 1]])), is_multi_hot(np.array([2]))
    (True, False)
    """
    return len(getattr(labels, "shape", ())) == 2


def has_several(records: Any) -> bool:
    """Tell whether the label of a record is a row (K,), not a number.

    Args:
        records: Any `Records`; where only reading one tells its label, those
            of rows have an attribute `multi_label`, which is true.
    """
    if records.labels is not None:
        return is_multi_hot(records.labels)
    return bool(getattr(records, "multi_label", False))


def label_at(labels: np.ndarray, index: int) -> Any:
    """Return the label of a sample: an int, or a row of 0 and 1."""
    label = labels[index]
    return label if np.ndim(label) else int(label)


def is_label(label: Any, num_classes: int) -> bool:
    """Tell whether the label of a record is a class, or a row of 0 and 1.

    Example:
    >>> is_label(3, 3), is_label(np.array([0, 1, 1]), 3)
    (False, True)
    """
    if np.ndim(label) == 0:
        return 0 <= label < num_classes
    row = np.asarray(label)
    return row.shape == (num_classes,) and bool(((row == 0) | (row == 1)).all())


def check_label(name: str, label: Any, num_classes: int) -> None:
    """Raise a `LabelError` for a label of a record that is no class."""
    if not is_label(label, num_classes):
        what = f"in 0 ... {num_classes - 1}"
        if np.ndim(label):
            what = f"{num_classes} numbers, each 0 or 1"
            label = np.asarray(label).tolist()
        raise LabelError(
            f"{name}: the label must be {what}. Received: {label!r:.60}"
        )


def check_labels(name: str, labels: Any, num_classes: int) -> np.ndarray:
    """Return checked labels of a split.

    Args:
        name: What messages call them.
        labels: Integers in 0 ... K - 1, shape `(N,)`; or 0 and 1, of any
            dtype, shape `(N, K)`.
        num_classes: K.

    Returns:
        int32, shape `(N,)`, or uint8, shape `(N, K)`.

    Raises:
        ValueError: If they are not as described.

    Example:
    >>> check_labels("y", [[0.0, 1.0], [1.0, 1.0]], 2).tolist()
    [[0, 1], [1, 1]]
    """
    labels = np.asarray(labels)
    if num_classes < 2:
        raise ValueError(
            "`class_names` must hold at least two names. "
            f"Received: {num_classes}"
        )
    if labels.ndim == 2 and labels.dtype.kind in "iufb":
        if labels.shape[1] != num_classes:
            raise ValueError(
                f"`{name}` must have a column for each of {num_classes} "
                f"classes. Received: {name}.shape={labels.shape}"
            )
        wrong = (labels != 0) & (labels != 1)
        if wrong.any():
            raise ValueError(
                f"`{name}` of shape (N, K) must hold 0 and 1 alone. "
                f"Received: {labels[wrong][0]}"
            )
        return labels.astype("uint8")
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"`{name}` must be integers of shape (N,), or 0 and 1 of shape "
            f"(N, K). Received: {name}.shape={labels.shape}, "
            f"{name}.dtype={labels.dtype}"
        )
    if labels_outside(labels, num_classes).any():
        raise ValueError(
            f"`{name}` must be in 0 ... {num_classes - 1}. "
            f"Received: labels from {labels.min()} to {labels.max()}"
        )
    return labels.astype("int32")


def known_labels(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Tell which labels are classes, or rows of them: booleans (N,).

    Example:
    >>> known_labels(np.array([0, -1, 5]), 3).tolist()
    [True, False, False]
    """
    wrong = labels_outside(labels, 2 if is_multi_hot(labels) else num_classes)
    return ~wrong.any(1) if is_multi_hot(labels) else ~wrong


def count_classes(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the samples of each class, shape (K,); wrong labels are none.

    Example:
    >>> count_classes(np.array([[1, 0, 1], [1, 0, 0]]), 3).tolist()
    [2, 0, 1]
    """
    labels = np.asarray(labels)
    known = labels[known_labels(labels, num_classes)]
    if is_multi_hot(labels):
        return known.sum(0, dtype="int64")
    return np.bincount(known, minlength=num_classes)


def strata(labels: np.ndarray) -> np.ndarray:
    """Return one number for each sample, by which subsets are stratified.

    Of one class it is that class. Of several it is the rarest of a sample's
    classes, of equally rare ones the first, so that rare classes are spread
    evenly; those without a class are a stratum of their own.

    Args:
        labels: Integers, shape `(N,)`, or rows of 0 and 1, shape `(N, K)`.

    Returns:
        Integers, shape `(N,)`.

    Example:
    >>> strata(np.array([[1, 0], [1, 1], [1, 0], [0, 0]])).tolist()
    [0, 1, 0, 2]
    """
    labels = np.asarray(labels)
    if not is_multi_hot(labels):
        return labels
    rows = labels > 0
    order = np.argsort(rows.sum(0), kind="stable")
    rarest = order[rows[:, order].argmax(1)]
    return np.where(rows.any(1), rarest, labels.shape[1])


def one_or_several(
    splits: list[np.ndarray], multi_label: bool = False
) -> list[np.ndarray]:
    """Return rows of 0 and 1 as numbers where each sample is of one class.

    Args:
        splits: Rows `(N, K)` of each split; of what is no label -1.
        multi_label: Whether they stay rows all the same.

    Returns:
        The same, or int32 `(N,)`, in all splits alike.

    Example:
    >>> [one.tolist() for one in one_or_several([np.eye(2, dtype=int)])]
    [[0, 1]]
    """
    known = [rows[(rows >= 0).all(1)] for rows in splits]
    if multi_label or any((rows.sum(1) != 1).any() for rows in known):
        return splits
    return [
        np.where((rows >= 0).all(1), rows.argmax(1), -1).astype("int32")
        for rows in splits
    ]
