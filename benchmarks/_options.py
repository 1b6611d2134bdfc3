"""What all sections of `accelerator.py` share."""

import dataclasses
import shutil
import subprocess
import time
from pathlib import Path

from _processes import reason

ROOT = Path(__file__).parents[1]
BACKENDS = {"jax": "JAX", "torch": "PyTorch", "tensorflow": "TensorFlow"}
NO_TIME = {"error": "no time left"}


@dataclasses.dataclass
class Options:
    """The flags of the command, and a folder for what it makes."""

    quick: bool
    backends: list[str]
    only: list[str]
    precisions: list[str]
    batch_sizes: list[int]
    at_once: int
    profile: bool
    cifar_dir: str | None
    cifar_epochs: int
    cifar_seeds: int
    folder: Path

    @property
    def few(self) -> list[str]:
        """All backends; with --quick the one that starts fastest."""
        fastest = ("torch", "tensorflow", "jax")
        known = [name for name in fastest if name in self.backends]
        return known[:1] if self.quick else self.backends

    def environment(self, backend: str) -> dict[str, str]:
        """Return what a process of a backend needs."""
        own = {
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            # As PyTorch does, take memory when it is needed.
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            # No step is compiled twice.
            "JAX_COMPILATION_CACHE_DIR": str(self.folder / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        if self.quick:  # Compiling is most of it, and steps are tiny.
            own["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
            own["OMP_NUM_THREADS"] = own["TF_NUM_INTRAOP_THREADS"] = "1"
        return own


def cards():
    """Return a line for each card that NVIDIA's driver has."""
    query = "--query-gpu=name,memory.total,driver_version"
    if shutil.which("nvidia-smi") is None:
        return []
    done = subprocess.run(
        ["nvidia-smi", query, "--format=csv,noheader"],
        capture_output=True,
        text=True,
    )
    return [] if done.returncode else done.stdout.strip().splitlines()


def share(deadline, parts):
    """Return the end of the first of equal parts of what is left."""
    now = time.monotonic()
    return now + (deadline - now) / parts


def why(code, text):
    """Return the entry of a row that says why a command gave no result."""
    return {"error": "took too long" if code is None else reason(text)}
