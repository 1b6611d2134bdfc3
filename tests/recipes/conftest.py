import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from absl import flags

ROOT = Path(__file__).parents[2]
# What TensorFlow and XLA print on their own, whatever one asks for.
NOISE = re.compile(r"[IWE]\d{4} |WARNING: All log messages before absl")


@pytest.fixture(scope="session")
def load_script():
    """A function that imports a module of recipes/, whose flags are global."""
    before = dict(os.environ)
    sys.path.insert(0, str(ROOT / "recipes"))

    def load(name):
        # Scripts are processes of their own, with flags of the same names:
        # those that were there first stay.
        before = {name: flags.FLAGS[name] for name in flags.FLAGS}
        for flag in before.values():
            flag.allow_override = True
        module = importlib.import_module(name)
        for one, flag in before.items():
            flags.FLAGS[one] = flag
        return module

    yield load
    sys.path.remove(str(ROOT / "recipes"))
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def run_script(pytestconfig):
    """A function that runs a script of recipes/ in a process of its own."""
    cache = str(pytestconfig.cache.mkdir("jax"))
    given = {
        "KERAS_BACKEND": keras.backend.backend(),
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def run(name, *arguments, **environment):
        environment = {**os.environ, **given, **environment}
        # What they print without it is what users see.
        environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
        done = subprocess.run(
            [sys.executable, f"recipes/{name}", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        lines = done.stderr.splitlines()
        done.errors = [line for line in lines if not NOISE.match(line)]
        return done

    return run
