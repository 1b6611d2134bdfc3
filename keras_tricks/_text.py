"""Text of others, such as names of files and classes, as it may be shown.

Whatever comes into a table, a report, a log, a figure or a message goes
through here once: at the source of the name.
"""

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

# Without these, emoji fall apart and Persian words are others.
_JOINERS = "\u200c\u200d"
_FORMULAS = ("=", "+", "-", "@")


def printable(text: str, keep: str = _JOINERS) -> str:
    r"""Return text with escapes for what is not to be shown as it is.

    Bytes of a file's name that are no UTF-8 become `\xff`, other characters
    of control, format or line ends `\n`, `\x1b`, `\u202e`. Nothing is escaped
    twice, as a backslash stays one.

    Args:
        text: Any text.
        keep: Which of those characters stay. Defaults to joiners of letters.

    Returns:
        Text that every encoding of Unicode can write, in one line.

    Example:
    >>> printable("a\tb\x1b[31m"), printable("na\udcef")
    ('a\\tb\\x1b[31m', 'na\\xef')
    """
    if text.isprintable():
        return text
    return "".join(c if c in keep else _escape(c) for c in text)


def _escape(character):
    if "\udc80" <= character <= "\udcff":  # As Python reads names of files.
        return f"\\x{ord(character) - 0xDC00:02x}"
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character.encode("unicode_escape").decode("ascii")
    return character


def class_name(text: str) -> str:
    r"""Return the name of a class as it is shown and compared.

    Letters with accents are one character, as most systems write them (NFC);
    the file systems of Apple take them apart.

    Example:
    >>> class_name("e\u0301") == class_name("\u00e9") == "\u00e9"
    True
    """
    return unicodedata.normalize("NFC", printable(text))


def as_table(rows: Iterable[Sequence[Any]]) -> str:
    r"""Return rows as text with tabs, which a spreadsheet may open.

    Text that a spreadsheet would compute gets a quote before it.

    Example:
    >>> as_table([("name", "count"), ("=1+1", -2)])
    "name\tcount\n'=1+1\t-2\n"
    """
    file = io.StringIO(newline="")
    table = csv.writer(file, "excel-tab", lineterminator="\n")
    table.writerows([map(table_cell, row) for row in rows])
    return file.getvalue()


def table_cell(value: Any) -> Any:
    """Return a value as `as_table` writes it."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULAS) else text
