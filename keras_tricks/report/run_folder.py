import csv
import dataclasses
import math
from pathlib import Path

from keras_tricks._untrusted import parse_json


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run folder says about a training run.

    Attributes:
        folder: The folder.
        history: One list of floats for each column of history.csv, one entry
            an epoch; NaN where nothing was written.
        recipe: The contents of recipe.json, or an empty dict.
        result: The contents of result.json, or an empty dict.
        explain: The text of explain.txt, or "".

    Example:
    >>> from pathlib import Path
    >>> run = Run(Path("runs/a"), {"epoch": [0], "loss": [2.5]}, {}, {}, "")
    >>> run.epochs, run.last("loss")
    (1, 2.5)
    """

    folder: Path
    history: dict[str, list[float]]
    recipe: dict
    result: dict
    explain: str

    @property
    def epochs(self) -> int:
        """Number of epochs in the history."""
        return len(self.history["epoch"])

    def last(self, metric: str) -> float:
        """Return the value of a metric after the last epoch.

        Raises:
            ValueError: If the history has no such column or no number in it.
        """
        value = self.history.get(metric, [math.nan])[-1]
        if math.isnan(value):
            raise ValueError(
                f"`metric` must be a column of {self.folder / 'history.csv'} "
                f"with a number in its last row. Received: metric={metric!r}"
            )
        return value


def read_run(folder: str | Path) -> Run:
    r"""Read a run folder.

    Args:
        folder: Folder with history.csv and, where present, recipe.json,
            result.json and explain.txt.

    Returns:
        A `Run`.

    Raises:
        ValueError: If the folder or its history.csv is missing, empty or
            unreadable, or one of the JSON files is.

    Example:
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "history.csv").write_text("epoch,loss\n0,2.5\n1,2.0\n")
    >>> read_run(folder).last("loss")
    2.0
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(
            "`folder` must be the folder of a training run. "
            f"Received: folder={str(folder)!r}"
        )
    explain = folder / "explain.txt"
    return Run(
        folder=folder,
        history=_read_history(folder / "history.csv"),
        recipe=_read_json(folder / "recipe.json"),
        result=_read_json(folder / "result.json"),
        explain=explain.read_text("utf-8", errors="replace")
        if explain.is_file()
        else "",
    )


def _read_json(path):
    if not path.is_file():
        return {}
    try:
        content = parse_json(path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise ValueError(
            f"`folder` must hold a readable {path.name} ({error}). "
            f"Received: folder={str(path.parent)!r}"
        ) from None
    if not isinstance(content, dict):
        raise ValueError(
            f"`folder` must hold a {path.name} with a JSON object. "
            f"Received: folder={str(path.parent)!r}"
        )
    return content


def _read_history(path):
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
        # A resumed run may have written an epoch twice: the last one counts.
        rows = {float(row["epoch"]): row for row in rows}
        rows = [rows[epoch] for epoch in sorted(rows)]
        history = {
            name: [_number(row[name]) for row in rows]
            for name in (rows[0] if rows else {})
        }
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, FileNotFoundError):
            reason = "no such file"
        raise ValueError(
            "`folder` must hold a readable history.csv with a column epoch "
            f"and numbers ({reason}). Received: folder={str(path.parent)!r}"
        ) from None
    if not rows:
        raise ValueError(
            "`folder` must hold a history.csv with at least one epoch. "
            f"Received: folder={str(path.parent)!r}"
        )
    return history


def _number(text):
    return math.nan if text in ("", "NA", None) else float(text)
