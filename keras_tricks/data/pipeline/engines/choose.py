"""Which engine runs the input."""

import importlib
import importlib.util

from keras_tricks._checks import check_choice

_MODULES = {
    "tf.data": ("tensorflow", "tf_data"),
    "grain": ("grain", "grain_data"),
}
ENGINES = ("auto", *_MODULES)


def choose_engine(name: str = "auto") -> str:
    """Return the engine to use: tf.data where TensorFlow is, or else Grain.

    Args:
        name: `"auto"`, `"tf.data"` or `"grain"`.

    Raises:
        ValueError: If the name is unknown.
        ImportError: If the engine, or any, is not installed; the message
            says what to install.

    Example:
    >>> choose_engine("grain")
    'grain'
    """
    check_choice("input_engine", name, ENGINES)
    wanted = tuple(_MODULES) if name == "auto" else (name,)
    for engine in wanted:
        package, _ = _MODULES[engine]
        if importlib.util.find_spec(package) is not None:
            return engine
    extras = " or ".join(
        f"'keras_tricks[{_MODULES[engine][0]}]'" for engine in wanted
    )
    raise ImportError(
        f"The input engine {name!r} needs a package: pip install {extras}"
    )


def make_engine(name: str, **options):
    """Return the object of an engine, by the name from `choose_engine`."""
    _, module = _MODULES[name]
    return importlib.import_module(
        f"keras_tricks.data.pipeline.engines.{module}"
    ).Engine(**options)
