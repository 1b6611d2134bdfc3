"""What TensorFlow prints while it is imported; a stand-in says the same."""

import os
import pathlib
import subprocess
import sys

import keras
import pytest

RECIPES = pathlib.Path(__file__).parents[2] / "recipes"
LINES = {
    "WARNING: All log messages before absl::InitializeLog() is called are": "I",
    "I0000 00:00:17.1 346 port.cc:153] oneDNN custom operations are on.": "I",
    "W0000 00:00:17.1 346 feature.cc:2] This is slow.": "W",
    "E0000 00:00:17.1 346 platform.cc:52] failed call to cuInit": "E",
    "F0000 00:00:17.1 346 cpu.cc:1] Instructions are missing.": "F",
    "I have 0000 things to say.": "F",
}
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="the same on each backend"
)


def run(tmp_path, end="", **environment):
    (tmp_path / "tensorflow").mkdir()
    text = "\n".join([*LINES, ""])
    (tmp_path / "tensorflow" / "__init__.py").write_text(
        f"import os, sys\nos.write(2, {text.encode()!r})\n"
        f"print('from Python', file=sys.stderr)\n{end}\n"
    )
    environment = os.environ | environment | {"KERAS_BACKEND": "tensorflow"}
    environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{RECIPES}"
    code = "import keras_backend, tensorflow, os; os.write(2, b'after\\n')"
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("level", "shown"), [("0", "IWEF"), ("1", "WEF"), ("2", "EF"), ("3", "F")]
)
def test_what_is_below_the_level_is_left_out(level, shown, tmp_path):
    done = run(tmp_path, TF_CPP_MIN_LOG_LEVEL=level)
    expected = [line for line, severity in LINES.items() if severity in shown]
    lines = done.stderr.splitlines()
    assert sorted(lines[:-1]) == sorted([*expected, "from Python"])
    assert done.returncode == 0 and lines[-1] == "after"


def test_an_import_that_fails_still_says_why(tmp_path):
    done = run(tmp_path, "1 / 0", TF_CPP_MIN_LOG_LEVEL="2")
    assert done.returncode == 1
    assert "from Python" in done.stderr and "ZeroDivisionError" in done.stderr


def test_a_crash_says_where(tmp_path):
    done = run(tmp_path, "os.abort()", TF_CPP_MIN_LOG_LEVEL="2")
    assert done.returncode == -6
    assert "Fatal Python error: Aborted" in done.stderr
    assert str(tmp_path / "tensorflow") in done.stderr


def test_a_script_that_imports_it_ends_in_one_line():
    code = f"""
import os, signal, sys, time
sys.path.insert(0, {str(RECIPES)!r})
sys.modules["__main__"].__file__ = {str(RECIPES / "evaluate.py")!r}
import keras_backend
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(600)"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 75 and "Traceback" not in done.stderr
    assert done.stderr.startswith("\nStopped by SIGTERM. Start the same")
