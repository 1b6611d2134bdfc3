"""Importing this picks the Keras backend; import it before Keras.

`KERAS_BACKEND` decides where it is set. Otherwise the first of TensorFlow,
torch and JAX that is installed is taken: the order of their speed on a CPU,
see benchmarks/configurations.py.

A script then ends with one line and the code 75 when it is asked to; a worker
process that imports it again ends with its parent.

What TensorFlow logs about itself is left out, unless TF_CPP_MIN_LOG_LEVEL says
what to show.
"""

import contextlib
import faulthandler
import importlib.util
import logging
import os
import re
import sys
import tempfile
from importlib.machinery import PathFinder
from pathlib import Path

import one_line as one_line  # What fails from here on is told in a line.
import output_streams as output_streams  # Of every script, so that all print.

from keras_tricks._signals import end_in_one_line, end_with_parent, is_worker

BACKENDS = ("tensorflow", "torch", "jax")


def choose() -> str:
    """Set `KERAS_BACKEND` if it is unset, and return it.

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
        f'pip install "keras_tricks[{wanted[0]}]". Received: '
        + (f"KERAS_BACKEND={name}" if name else "none of them")
    )


class _QuietTensorFlow:
    """Finds TensorFlow, whose import then prints no more than it is asked to.

    It logs its first lines before it looks at `TF_CPP_MIN_LOG_LEVEL`. Keras
    and TensorBoard import it on the other backends too.
    """

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module):
                with _filtered_stderr():
                    load(module)

            spec.loader.exec_module = exec_module
        return spec


@contextlib.contextmanager
def _filtered_stderr():
    """Leave out the log lines below `TF_CPP_MIN_LOG_LEVEL`."""
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0")
    below = "IWE"[: int(level)] if level.isdecimal() else ""
    try:
        terminal = os.dup(2) if below else None
    except OSError:  # There is no stderr.
        terminal = None
    if terminal is None:
        yield
        return
    preamble = "WARNING: All log messages before absl::InitializeLog"
    noise = re.compile(rf"[{below}]\d{{4}} |{preamble}".encode())
    crashes = not faulthandler.is_enabled()
    if crashes:  # What was printed is lost then: say at least where.
        faulthandler.enable(terminal)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            if crashes:
                faulthandler.disable()
            os.dup2(terminal, 2)
            os.close(terminal)
            file.seek(0)
            for line in file:
                if not noise.match(line):
                    os.write(2, line)


_main = getattr(sys.modules["__main__"], "__file__", None)
_is_script = _main and Path(_main).parent == Path(__file__).parent
if is_worker():
    end_with_parent()
elif _is_script:
    end_in_one_line()
# Errors too where there is no GPU: that there is none is said as an error.
_has_gpu = os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/dxg")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if _has_gpu else "3")
sys.meta_path.insert(0, _QuietTensorFlow())
# A line for each sum over devices, and one for a TPU that is not there.
for _name in ("tensorflow", "jax._src.xla_bridge"):
    logging.getLogger(_name).setLevel(logging.WARNING)
choose()
