"""Importing this picks the Keras backend; import it before Keras.

`KERAS_BACKEND` decides where it is set. Otherwise the first of TensorFlow,
torch and JAX that is installed is taken: the order of their speed on a CPU,
see benchmarks/configurations.py.
"""

import importlib.util
import logging
import os

BACKENDS = ("tensorflow", "torch", "jax")


def choose() -> str:
    """Sets `KERAS_BACKEND` if it is unset, and returns it.

    Raises:
        SystemExit: If the backend is unknown or not installed.
    """
    name = os.environ.get("KERAS_BACKEND")
    if name and name not in BACKENDS:
        raise SystemExit(
            f"KERAS_BACKEND must be one of {', '.join(BACKENDS)}. "
            f"Received: {name}"
        )
    wanted = (name,) if name else BACKENDS
    for backend in wanted:
        if importlib.util.find_spec(backend) is not None:
            os.environ["KERAS_BACKEND"] = backend
            return backend
    raise SystemExit(
        f"{' or '.join(wanted)} must be installed, for example by "
        f'pip install "keras_tricks[{wanted[0]}]". Received: none of them'
    )


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# A line for each sum over devices otherwise.
logging.getLogger("tensorflow").setLevel(logging.WARNING)
choose()
