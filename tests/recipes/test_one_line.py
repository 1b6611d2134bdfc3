"""What nobody foresaw: a line for the user, the traceback for who asks."""

import os
import signal
import subprocess
import sys

import pytest

from .conftest import ROOT


def run(code, *arguments, **options):
    done = subprocess.run(
        [sys.executable, "-c", f"import one_line\n{code}", *arguments],
        cwd=ROOT / "recipes",
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    return done.returncode, done.stderr.splitlines()


FAILURES = {
    "nobody foresaw": (
        "raise TypeError('a\\nb')",
        "TypeError: a b with {file} (not foreseen; --traceback shows where)",
        1,
    ),
    "no text": (
        "raise AssertionError",
        "AssertionError with {file} (not foreseen; --traceback shows where)",
        1,
    ),
    "expected": (
        "one_line.stop(ValueError('`a` must be\\n1.'))",
        "ValueError: `a` must be 1.",
        1,
    ),
    "memory": (
        "raise MemoryError",
        "MemoryError (a smaller batch, image or network takes less memory)",
        1,
    ),
    "memory of a device": (
        "raise RuntimeError('CUDA out of memory.\\nTried to allocate 2 GiB')",
        "RuntimeError: CUDA out of memory. Tried to allocate 2 GiB (a smaller "
        "batch, image or network takes less memory)",
        1,
    ),
    "in a thread": (
        "import threading\n"
        "thread = threading.Thread(target=lambda: 1 / 0)\n"
        "thread.start(), thread.join()",
        "ZeroDivisionError: division by zero with {file} (not foreseen; "
        "--traceback shows where)",
        0,
    ),
    "Ctrl-C": ("raise KeyboardInterrupt", "Interrupted", -signal.SIGINT),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_one_line(name, tmp_path):
    code, expected, status = FAILURES[name]
    file = f"--data_dir={tmp_path}"
    found = run(code, file, "--epochs=1", "--model=/no/such")
    assert found == (status, [expected.format(file=tmp_path)])


@pytest.mark.parametrize("name", ["nobody foresaw", "expected"])
def test_the_traceback_is_there_for_who_asks(name):
    code, lines = run(FAILURES[name][0], "--traceback")
    assert code == 1
    assert lines[0] == "Traceback (most recent call last):" or lines[0] == (
        "ValueError: `a` must be"
    )


def test_a_long_text_is_cut():
    _, (line,) = run("raise TypeError('word ' * 1000)")
    assert len(line) < 700 and " ... (not foreseen" in line


def test_without_a_terminal():
    read, write = os.pipe()
    os.close(read)
    code, _ = run("raise BrokenPipeError", stdout=write)
    os.close(write)
    assert code == 1


def test_help_lists_the_flag():
    done = subprocess.run(
        [sys.executable, "recipes/launch.py", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert "--[no]traceback: Show where" in done.stdout
