"""Records that cannot be read: counted, named, limited."""

import os
import sys

from keras_tricks._checks import check_int
from keras_tricks._files import write_atomically
from keras_tricks._text import as_table, printable

_SHOWN = 20


class TooManyBadRecords(ValueError):
    """More records are unreadable than a run allows.

    Example:
    >>> bad = BadRecords(limit=0)
    >>> try:
    ...     bad.add(7, "cat/1.jpg", "image file is truncated")
    ... except TooManyBadRecords as error:
    ...     len(bad), "cat/1.jpg" in str(error)
    (1, True)
    """


class BadRecords:
    """Collects the records that an input pipeline could not read.

    Args:
        limit: How many there may be. Defaults to 0.
        path: A file that lists them, a line `name<tab>reason` each, from
            `report` on. Defaults to `None`, none.

    Example:
    >>> bad = BadRecords(limit=1)
    >>> bad.add(7, "cat/1.jpg", "image file is truncated")
    >>> len(bad), 7 in bad
    (1, True)
    """

    def __init__(self, limit: int = 0, path: str | os.PathLike | None = None):
        self.limit = check_int("max_bad_records", limit)
        self.path = path
        self.reasons: dict[int, tuple[str, str]] = {}
        self._reported = 0

    def __len__(self):
        return len(self.reasons)

    def __contains__(self, index):
        return index in self.reasons

    def add(self, index: int, name: str, reason: str) -> None:
        """Note a record, once.

        Raises:
            TooManyBadRecords: If there are more than `limit`; `report` still
                names them all.
        """
        self.reasons[index] = printable(name), printable(reason)
        self.check()

    def check(self) -> None:
        """Refuse to go on with more records than `limit`.

        What reads ahead may be left before anybody has seen its error, and
        what is noted is not read again.

        Raises:
            TooManyBadRecords: If there are more.
        """
        if len(self.reasons) > self.limit:
            first = next(iter(self.reasons.values()))
            more = len(self.reasons) - 1
            raise TooManyBadRecords(
                f"At most {self.limit} records may be unreadable "
                f"(`max_bad_records`). Received: {_line(*first)}"
                + (f" and {more} more" if more else "")
            )

    def report(self) -> None:
        """Say on stderr which are new since the last report."""
        new = list(self.reasons.values())[self._reported :]
        if not new:
            return
        self._reported = len(self.reasons)
        lines = [f"Skipped {len(new)} unreadable records:"]
        lines += [f"  {_line(*entry)}" for entry in new[:_SHOWN]]
        if len(new) > _SHOWN:
            where = f", all in {self.path}" if self.path else ""
            lines.append(f"  and {len(new) - _SHOWN} more{where}")
        print("\n".join(lines), file=sys.stderr, flush=True)
        if self.path is not None:
            write_atomically(self.path, as_table(self.reasons.values()))

    def get_state(self) -> list:
        """Return what `set_state` takes, for JSON."""
        return [[index, *entry] for index, entry in self.reasons.items()]

    def check_state(self, state: list) -> None:
        """Check that a state is one of `get_state`.

        Raises:
            ValueError: If it is not; nothing is changed.
        """
        rows = state if isinstance(state, list) else [None]
        for row in rows:
            kinds = [type(x) for x in row] if isinstance(row, list) else None
            if kinds != [int, str, str]:
                raise ValueError(
                    "`state` must be a list of numbers of records, their "
                    f"names and reasons. Received: {row!r:.80}"
                )

    def set_state(self, state: list) -> None:
        """Go on with the records that another object had noted."""
        self.reasons = {index: (name, why) for index, name, why in state}
        self._reported = len(self.reasons)


def _line(name, reason):
    """Return the reason, with the name in front if it is not there."""
    return reason if reason.startswith(name) else f"{name}: {reason}"
