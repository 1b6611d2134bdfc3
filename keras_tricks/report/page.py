import functools
from pathlib import Path

from keras_tricks._text import printable


@functools.cache
def _environment():
    try:
        import jinja2
    except ImportError as error:
        raise missing_extra(error) from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    environment.finalize = _finalize
    return environment


def _finalize(value):
    """Return what a template shows; text of any origin may be in it."""
    return printable(value, keep="\n\t") if type(value) is str else value


def _breakable(text):
    """Return a name that may go on in the next line after each underscore."""
    import markupsafe

    parts = map(markupsafe.escape, text.split("_"))
    return markupsafe.Markup("_<wbr>").join(parts)


def missing_extra(error: ImportError) -> ImportError:
    """Return the error to raise where a package of the extra is missing.

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
    """Render a template of this package with escaped values."""
    return _environment().get_template(template).render(**values)


def show(value) -> str:
    """Return a setting as text: `on` and `off`, `none`, short numbers.

    Example:
    >>> show(True), show(None), show(0.1), show([1, 2])
    ('on', 'none', '0.1', '1, 2')
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(show(item) for item in value)
    return str(value)
