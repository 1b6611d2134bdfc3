"""The wheel, in an environment that has it and its requirements alone."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import pytest

from keras_tricks import cli

ROOT = Path(__file__).parents[1]
BUILT_OF = "setup.py setup.cfg pyproject.toml README.md LICENSE".split()

# One environment is enough; a process starts fastest with torch.
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="the same on each backend"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built of a copy: setuptools leaves files where it builds."""
    source = tmp_path_factory.mktemp("source")
    for name in BUILT_OF:
        shutil.copy(ROOT / name, source)
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("keras_tricks", "recipes"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from setuptools import build_meta; "
            "build_meta.build_wheel(sys.argv[1])",
            str(folder),
        ],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder of the programs of an environment that has the wheel."""
    folder = tmp_path_factory.mktemp("environment")
    python = [sys.executable, "-m"]
    subprocess.run([*python, "venv", "--without-pip", folder], check=True)
    programs = folder / "bin"
    install = [*python, "pip", "--python", programs / "python", "install"]
    options = ["--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, *options, wheel], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    # Behind the own packages, all folders that have requirements. What an
    # editable installation of the checkout has there does nothing, as it is
    # not read at the start.
    requirements = [path for path in sys.path if path.endswith("-packages")]
    (packages / "requirements.pth").write_text("\n".join(requirements) + "\n")
    # Says at the end of each process where the library came from.
    (packages / "sitecustomize.py").write_text(
        "import atexit, os, sys\n"
        "def say():\n"
        "    library = sys.modules.get('keras_tricks')\n"
        "    if library and 'IMPORTED_FROM' in os.environ:\n"
        "        with open(os.environ['IMPORTED_FROM'], 'a') as file:\n"
        "            print(library.__file__, file=file)\n"
        "atexit.register(say)\n"
    )
    return programs


def test_what_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(n for n in names if n.endswith("/METADATA"))
        text = archive.read(metadata).decode()
    expected = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.py", "*.html", "py.typed")
        for path in (ROOT / "keras_tricks").rglob(pattern)
    } | {
        f"keras_tricks/{path.relative_to(ROOT).as_posix()}"
        for pattern in ("*.py", "flags/*.flags")
        for path in (ROOT / "recipes").glob(pattern)
    }
    assert {n for n in names if ".dist-info/" not in n} == expected
    assert "Project-URL: Documentation, https://" in text
    assert "Provides-Extra: tensorflow" in text


def test_the_command_trains_from_another_folder(installed, tmp_path):
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONPATH"
    }
    environment["IMPORTED_FROM"] = str(tmp_path / "imported_from")
    environment["KERAS_BACKEND"] = keras.backend.backend()

    def run(*arguments):
        return subprocess.run(
            [installed / "keras-tricks", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )

    done = run()
    assert done.returncode == 0, done.stderr[-2000:]
    assert all(f"\n  {command} " in done.stdout for command in cli.COMMANDS)

    done = run("train", "--flagfile=refinement_9")
    assert done.returncode == 1
    assert done.stderr.endswith("Received: --flagfile=refinement_9\n")

    # Each option that makes the network of the table small.
    small = "--depth=18 --width=2 --image_size=none --augmentation=none"
    few = "--train_samples=64 --test_samples=32 --batch_size=32 --epochs=1"
    none = "--warmup_epochs=0 --precision=float32 --small_images=true"
    done = run(
        "launch",
        "-n=1",
        "train",
        "--flagfile=refinement_3_mixup",
        *f"{small} {few} {none}".split(),
        "--run_folder=run",
        "--verbose=2",
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / "run" / "report.html").exists()
    places = set((tmp_path / "imported_from").read_text().split())
    (place,) = places
    assert Path(place).is_relative_to(installed.parent)
