"""The table of labels beside images that may be of several classes."""

import csv
import dataclasses
import io
import os
import posixpath
import re

import numpy as np

from keras_tricks._checks import first_line
from keras_tricks._files import read_regular
from keras_tricks._text import class_name, printable
from keras_tricks._untrusted import parse_json
from keras_tricks.data.sources.class_names import ClassNames
from keras_tricks.data.sources.walk_folders import TEST_FOLDERS, TRAIN_FOLDERS
from keras_tricks.data.transforms.decode import SUFFIXES

TABLES = ("labels.csv", "labels.tsv", "labels.json")
_FILE = ("file", "filename", "file_name", "image", "path", "name", "id")
_LABELS = ("labels", "label", "classes", "class", "tags")
_BETWEEN = "|;,"
# A list as Python or JSON writes it, "['cat', 'dog']": its brackets and quotes
# would be parts of names.
_WRITTEN_LIST = re.compile(r"[\[{]\s*([\"'\d].*)?[\]}]", re.DOTALL)
_NUMBERS = {"": 0, "0": 0, "0.0": 0, "false": 0}
_NUMBERS |= {"1": 1, "1.0": 1, "true": 1}
_SPLITS = {
    **dict.fromkeys(TRAIN_FOLDERS, "train"),
    **dict.fromkeys(TEST_FOLDERS, "test"),
}


@dataclasses.dataclass(frozen=True)
class LabelTable:
    """What a table says of image files.

    `read_label_table` makes one.

    Args:
        files: Names of the files inside the folder, each once, sorted.
        labels: int8, shape `(N, K)`: 0 and 1, in a row that cannot be used
            -1.
        splits: Of each file `"train"`, `"test"`, or `None` if the table does
            not say it.
        classes: A `ClassNames`.
        flaws: Why files cannot be used, by their names.
    """

    files: tuple[str, ...]
    labels: np.ndarray
    splits: tuple[str | None, ...]
    classes: ClassNames
    flaws: dict[str, str]


def find_label_tables(root: str) -> list[str]:
    """Return the tables of a folder: one in it, or one in each split.

    Args:
        root: The folder.

    Returns:
        Names inside the folder, `labels.csv`, say, or `train/labels.csv` and
        `val/labels.csv`; none where there is no table.

    Raises:
        ValueError: If a folder has two.
    """
    found = _tables_in(root, "")
    if found or not os.path.isdir(root):
        return found
    folders = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    tables: list[str] = []
    for names in (TRAIN_FOLDERS, TEST_FOLDERS):
        splits = [x for name in names for x in folders if x.lower() == name]
        # As of class folders, the first that has what is looked for.
        tables += next(filter(None, (_tables_in(root, x) for x in splits)), [])
    return tables if len(tables) == 2 else []


def _tables_in(root, folder):
    path = os.path.join(root, folder)
    found = [name for name in TABLES if os.path.isfile(f"{path}/{name}")]
    if len(found) > 1:
        raise ValueError(
            "`data_dir` must have one table of labels. Received: "
            f"{' and '.join(found)} in {printable(path)}"
        )
    return [posixpath.join(folder, name) for name in found]


def read_label_table(
    root: str, tables: list[str], classes: ClassNames | None = None
) -> LabelTable:
    r"""Read which files are of which classes.

    A table of rows, with a first row of titles, has a column for the file
    (`file`, `filename`, `image`, `path` or the first one) and either one with
    the names of its classes, between which are `|`, `;` or `,`, or a column
    of 0 and 1 for each class. A column `split` may say `train` or `val`,
    `test` and the like; without it the folder at the beginning of a name
    does. JSON has an object of file to a list of names. No name is no class.
    Files are named from the folder of the table on, or by their whole path.

    A file with several rows, a class that is unknown and a file that is not
    inside of the folder are flaws: such a file is left out and named, as one
    that cannot be read.

    Args:
        root: The folder.
        tables: From `find_label_tables`.
        classes: The classes. Defaults to all that the tables name, sorted, or
            as the columns are.

    Returns:
        A `LabelTable`.

    Raises:
        ValueError: If a table is not as described.

    Example:
    >>> import tempfile
    >>> root = tempfile.mkdtemp()
    >>> with open(f"{root}/labels.csv", "w") as file:
    ...     _ = file.write("file,labels\na.png,cat|dog\nb.png,\n")
    >>> table = read_label_table(root, find_label_tables(root))
    >>> table.classes.names, table.files, table.labels.tolist()
    (('cat', 'dog'), ('a.png', 'b.png'), [[1, 1], [0, 0]])
    """
    rows, columns = [], []
    for table in tables:
        path = os.path.join(root, table)
        try:
            text = _as_text(read_regular(path))
            own = _read_json(text) if path.endswith("json") else None
            if own is None:
                own, names = _read_rows(text, path.endswith("tsv"))
                columns += [name for name in names if name not in columns]
        except (OSError, ValueError, csv.Error) as error:
            raise ValueError(
                f"{printable(path)} must be a table of files and their "
                f"classes ({first_line(error)}). Received: {table}"
            ) from None
        folder = posixpath.dirname(table)
        rows += [
            (_inside(root, folder, file), names, split)
            for file, names, split in own
        ]
    if not rows:
        raise ValueError(
            f"{printable(os.path.join(root, tables[0]))} must have a row for "
            "each image. Received: none"
        )
    if classes is None:
        known = {class_name(name) for _, names, _ in rows for name in names}
        classes = ClassNames(tuple(columns) or tuple(sorted(known)))
    return _as_table(rows, classes, tables[0])


def _as_text(content):
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"text in UTF-8 was expected: {error}") from None


def _read_json(text):
    content = parse_json(text)
    if not isinstance(content, dict):
        raise ValueError("an object of file to a list of classes was expected")
    for file, names in content.items():
        if not isinstance(names, list) or not all(
            isinstance(name, str) for name in names
        ):
            raise ValueError(f"{file} must have a list of names of classes")
    return [(file, names, None) for file, names in content.items()]


def _read_rows(text, tabs):
    """Return file, names and split of each row, and columns of classes."""
    lines = io.StringIO(text, newline="")
    between = "\t" if tabs else _between_columns(text)
    read = csv.reader(lines, delimiter=between)
    head, *rows = [row for row in read if row] or [[]]
    titles = [title.strip() for title in head]
    if any(posixpath.splitext(x)[1].lower() in SUFFIXES for x in titles):
        raise ValueError(
            f"titles such as file,labels were expected, not {head!r:.60}"
        )
    for row in rows:
        if len(row) != len(titles):
            raise ValueError(
                f"a row of {len(titles)} columns was expected, not {row!r:.60}"
            )
    lower = [title.lower() for title in titles]
    file = next((lower.index(name) for name in _FILE if name in lower), 0)
    split = lower.index("split") if "split" in lower else None
    others = [i for i in range(len(titles)) if i not in (file, split)]
    named = [i for i in others if lower[i] in _LABELS]
    if len(others) == 1 or len(named) == 1:
        (place,) = named or others
        cells = [row[place] for row in rows]
        for cell in cells:
            if _WRITTEN_LIST.fullmatch(cell.strip()):
                raise ValueError(
                    f"names with | between them were expected, not {cell!r:.60}"
                )
        mark = next((m for m in _BETWEEN if any(m in c for c in cells)), None)
        names = [
            [name for part in cell.split(mark) if (name := part.strip())]
            if mark
            else [cell.strip()] * bool(cell.strip())
            for cell in cells
        ]
        columns = []
    else:
        columns = [titles[i] for i in others]
        names = [[titles[i] for i in others if _is_one(row[i])] for row in rows]
        if len(columns) < 2:
            raise ValueError("a column of classes, or one for each, is missing")
        if len({*columns}) < len(columns):
            twice = max(columns, key=columns.count)
            raise ValueError(f"a class must have one column, not {twice!r} two")
    splits = [None if split is None else row[split] for row in rows]
    files = [row[file].strip() for row in rows]
    return list(zip(files, names, splits, strict=True)), columns


def _between_columns(text):
    """Return what is between titles: spreadsheets may write semicolons."""
    titles = text.lstrip().partition("\n")[0]
    return next((mark for mark in ",;\t" if mark in titles), ",")


def _is_one(cell):
    number = _NUMBERS.get(cell.strip().lower())
    if number is None:
        raise ValueError(f"a column of a class must have 0 or 1, not {cell!r}")
    return number


def _inside(root, folder, file):
    """Return the name of a file from the root on; it may be absolute."""
    if os.path.isabs(file):
        file, folder = os.path.relpath(file, os.path.abspath(root)), ""
    file = file.replace("\\", "/")
    return posixpath.normpath(posixpath.join(folder, file))


def _as_table(rows, classes, table):
    """Put the rows of each file together, and say what is wrong with some."""
    by_file = {}
    for file, names, split in rows:
        by_file.setdefault(file, []).append((names, split))
    files = tuple(sorted(by_file))
    labels = np.zeros((len(files), len(classes)), "int8")
    splits, flaws = [], {}
    for row, file in zip(labels, files, strict=True):
        names, split = by_file[file][0]
        if split is None and "/" in file:
            found = _SPLITS.get(file.partition("/")[0].lower())
        else:
            found = _SPLITS.get((split or "").strip().lower())
            if split is not None and found is None:
                flaws[file] = (
                    f"{table} has the split {printable(split)!r}, which is "
                    "none of train, val, test or the like"
                )
        splits.append(found)
        indices = [classes.index(name) for name in names]
        if None in indices:
            unknown = class_name(names[indices.index(None)])
            flaws[file] = (
                f"{table} has the class {unknown!r}, which is none of "
                f"{len(classes)}"
            )
        if len(by_file[file]) > 1:
            flaws[file] = f"{table} has {len(by_file[file])} rows for it"
        if file.startswith(("../", "/")) or file in (".", ".."):
            flaws[file] = f"{table} may name files inside of the folder alone"
        if file in flaws:
            row[:] = -1
        else:
            row[indices] = 1
    return LabelTable(files, labels, tuple(splits), classes, flaws)
