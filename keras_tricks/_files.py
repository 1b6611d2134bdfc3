import os
import tempfile
from pathlib import Path


def write_atomically(path: str | Path, text: str) -> Path:
    """Writes a text file in one piece: the old one stays until then.

    Args:
        path: File to write; its folder must exist.
        text: The contents.

    Returns:
        The path.

    Raises:
        ValueError: If the folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(
            "`path` must be in a folder that exists. "
            f"Received: path={str(path)!r}"
        )
    handle, temporary = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path
