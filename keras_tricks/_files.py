import os
import tempfile
from pathlib import Path


def write_atomically(path: str | Path, content: str | bytes) -> Path:
    """Writes a file in one piece: the old one stays until then.

    Args:
        path: File to write; its folder must exist.
        content: Text, written as UTF-8, or bytes.

    Returns:
        The path.

    Raises:
        ValueError: If the folder does not exist.
    """
    path = Path(path)
    content = content.encode("utf-8") if isinstance(content, str) else content
    if not path.parent.is_dir():
        raise ValueError(
            "`path` must be in a folder that exists. "
            f"Received: path={str(path)!r}"
        )
    handle, temporary = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path
