"""Scripts print any text, whatever the terminal can show."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_tricks.cli import COMMANDS, find_script

RECIPES = Path(__file__).parents[2] / "recipes"
TEXT = "▁▄█ ━ 猫 \udce9 é"


@pytest.mark.parametrize(
    "encoding, shown",
    [
        ("ascii", b"_.# = \\u732b \\udce9 \\xe9"),
        ("latin-1", b"_.# = \\u732b \\udce9 \xe9"),
        ("utf-8", "▁▄█ ━ 猫 \\udce9 é".encode()),
    ],
)
def test_what_a_stream_cannot_encode_is_spelled(encoding, shown):
    code = f"import output_streams, sys; print({TEXT!a}); sys.exit({TEXT!a})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": RECIPES, "PYTHONIOENCODING": encoding},
        capture_output=True,
    )
    assert done.stdout.strip() == done.stderr.strip() == shown


@pytest.mark.parametrize("command", COMMANDS)
def test_all_scripts_do(command):
    code = find_script(command).read_text("utf-8")
    assert "import keras_backend" in code or "import output_streams" in code
    assert "import output_streams" in (RECIPES / "keras_backend.py").read_text()
