import functools
import os
import tempfile
from pathlib import Path


@functools.cache
def _environment():
    try:
        import jinja2
    except ImportError as error:
        raise missing_extra(error) from None
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def missing_extra(error: ImportError) -> ImportError:
    """The error to raise where a package of the extra is missing.

    Args:
        error: The error of the failed import.

    Returns:
        An ImportError that says what to install.

    Example:
    >>> print(missing_extra(ImportError("No module named 'jinja2'")))
    Reports need `pip install "keras_tricks[report]"`. Received: No module \
named 'jinja2'
    """
    return ImportError(
        f'Reports need `pip install "keras_tricks[report]"`. Received: {error}'
    )


def render(template: str, **values) -> str:
    """Renders a template of this package with escaped values."""
    return _environment().get_template(template).render(**values)


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
