"""Names of classes in files, and what else classes are called."""

import collections
import csv
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_tricks._text import class_name
from keras_tricks._untrusted import parse_json

_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class ClassNames:
    """The classes of a classifier in the order of its logits.

    Args:
        names: K names, for people. They and the keys are kept in one
            Unicode form (NFC), with escapes for what cannot be shown.
        keys: K identifiers, such as WordNet ids, which differ from each
            other. Defaults to `names`.

    Raises:
        ValueError: If there are fewer than two, two keys are equal, or the
            lengths differ.

    Example:
    >>> classes = ClassNames(("tench", "crane", "crane"), ("n1", "n2", "n3"))
    >>> classes.index("n3"), classes.index("tench"), classes.index("crane")
    (2, 0, None)
    """

    names: tuple[str, ...]
    keys: tuple[str, ...] | None = None

    def __post_init__(self):
        names = tuple(class_name(str(name)) for name in self.names)
        keys = names if self.keys is None else self.keys
        keys = tuple(class_name(str(key)) for key in keys)
        if len(names) < 2 or len(keys) != len(names):
            raise ValueError(
                "`names` must be at least two, and `keys` as many. "
                f"Received: {len(names)} names, {len(keys)} keys"
            )
        if len(set(keys)) < len(keys):
            twice = collections.Counter(keys).most_common(1)[0][0]
            raise ValueError(
                f"`keys` must differ from each other. Received: {twice!r} twice"
            )
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "keys", keys)
        indices = {key: index for index, key in enumerate(keys)}
        counts = collections.Counter(names)
        for index, name in enumerate(names):
            if name not in indices and counts[name] == 1:
                indices[name] = index
        object.__setattr__(self, "_indices", indices)

    def __len__(self):
        return len(self.names)

    def index(self, text: str) -> int | None:
        """Find the class of this key, or of this name if only one has it."""
        return self._indices.get(class_name(text))  # type: ignore[attr-defined]

    def labels_of(self, other: "ClassNames") -> np.ndarray | None:
        """Say which class here each class of a data set is.

        Args:
            other: Its classes.

        Returns:
            int32, one for each of `other`; `None` if it has none of these
            classes, but other words for them.

        Raises:
            ValueError: If it has some of them and others that are not here.

        Example:
        >>> classes = ClassNames(("ant", "bee", "cat"))
        >>> classes.labels_of(ClassNames(("cat", "ant")))
        array([2, 0], dtype=int32)
        """
        pairs = list(zip(other.keys or (), other.names, strict=True))
        found = [
            self.index(name) if self.index(key) is None else self.index(key)
            for key, name in pairs
        ]
        known = [index for index in found if index is not None]
        if not known:
            return None
        if len(set(known)) < len(found):
            wrong = found.index(None) if None in found else 0
            raise ValueError(
                "`classes` must have every class of the data, once. Received: "
                f"{pairs[wrong][1]!r}, {len(set(known))} of {len(found)} found"
            )
        return np.array(known, "int32")


def read_class_names(path: str | os.PathLike) -> ClassNames:
    r"""Read the classes of a classifier from a file.

    Args:
        path: One of

            - `.tsv` or `.csv`: columns `index`, `wnid`, `name`, or `index`,
              `name`, in any order of the rows; a first row of titles may be
              there.
            - `.txt`: a name a line, in the order of the logits.
            - `.json`: a list of names; an object of index to name, or to
              `[wnid, name]`; or an object of name to index.

    Returns:
        A `ClassNames`.

    Raises:
        ValueError: If the file is missing or not as described.

    Example:
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "classes.tsv")
    >>> with open(path, "w") as file:
    ...     _ = file.write("index\twnid\tname\n1\tn2\tshark\n0\tn1\ttench\n")
    >>> read_class_names(path)
    ClassNames(names=('tench', 'shark'), keys=('n1', 'n2'))
    """
    path = Path(path)
    readers = {
        ".tsv": lambda text: _from_rows(csv.reader(_lines(text), "excel-tab")),
        ".csv": lambda text: _from_rows(csv.reader(_lines(text))),
        ".txt": lambda text: ClassNames(tuple(_lines(text))),
        ".json": lambda text: _from_json(parse_json(text)),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None or not path.is_file():
        raise ValueError(
            f"`classes` must be a file that exists, of {', '.join(readers)}. "
            f"Received: classes={str(path)!r}"
        )
    try:
        return reader(path.read_text("utf-8-sig"))
    except (OSError, ValueError, TypeError, IndexError, csv.Error) as error:
        raise ValueError(
            "`classes` must be a file of class names "
            f"({' '.join(str(error).split())}). Received: "
            f"classes={str(path)!r}"
        ) from None


def describe_classes(names: Sequence[str]) -> str:
    """Return how many classes there are, and the names of the first 20.

    Example:
    >>> describe_classes(("ant", "bee"))
    '2: ant, bee'
    """
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)}: {', '.join(names[:_SHOWN])}{more}"


def _lines(text):
    return [line.strip("\r\n") for line in text.splitlines() if line.strip()]


def _from_rows(rows):
    rows = list(rows)
    if rows and not rows[0][0].strip().isdigit():
        rows = rows[1:]
    entries = {}
    for row in rows:
        if len(row) not in (2, 3):
            raise ValueError(f"a row of 2 or 3 columns was expected, not {row}")
        _enter(entries, row[0], row[1:])
    return _in_order(entries)


def _from_json(content):
    if isinstance(content, list):
        return ClassNames(tuple(content))
    if not isinstance(content, dict):
        raise ValueError("a list or an object was expected")
    entries = {}
    for key, value in content.items():
        if isinstance(value, int):
            _enter(entries, value, [key])
        else:
            parts = value if isinstance(value, list) else [value]
            _enter(entries, key, parts)
    return _in_order(entries)


def _enter(entries, index, parts):
    """Add a class: `parts` are key and name, or what is both of them."""
    index = int(index)
    if index in entries:
        raise ValueError(f"index {index} twice")
    entries[index] = (str(parts[-1]), str(parts[0]))


def _in_order(entries):
    if sorted(entries) != list(range(len(entries))):
        missing = min(set(range(len(entries))) - set(entries))
        raise ValueError(f"no class {missing} among {len(entries)}")
    names, keys = zip(*(entries[i] for i in sorted(entries)), strict=True)
    # With an index and a name there may be two classes of one name.
    if keys == names and len(set(keys)) < len(keys):
        keys = tuple(map(str, range(len(keys))))
    return ClassNames(names, keys)
