"""Files that say how images are to be preprocessed."""

import os
from pathlib import Path

from keras_tricks._checks import first_line
from keras_tricks.data.transforms.preprocessing import Preprocessing

PREPROCESSING_FILE = "preprocessing.json"


def read_preprocessing(folder: Path) -> Preprocessing | None:
    """Return what preprocessing.json in a folder says, if there is one."""
    file = folder / PREPROCESSING_FILE
    return read_preprocessing_file(file) if file.is_file() else None


def read_preprocessing_file(file: str | os.PathLike) -> Preprocessing:
    """Read a file that holds what `Preprocessing.to_json` gives.

    Args:
        file: Path of the file.

    Returns:
        A `keras_tricks.data.Preprocessing`.

    Raises:
        ValueError: If it is missing or holds something else.

    Example:
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "preprocessing.json"
    >>> _ = file.write_text(Preprocessing(64).to_json())
    >>> read_preprocessing_file(file).image_size
    64
    """
    try:
        return Preprocessing.from_json(Path(file).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            "`preprocessing` must be a file of what `Preprocessing.to_json` "
            f"gives ({first_line(error)}). Received: "
            f"preprocessing={str(file)!r}"
        ) from None
