"""The table that benchmarks/any_network.py makes of stored figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_what_is_done_and_what_failed_is_in_the_table(tmp_path):
    trained = {"parameters": 1234, "seconds": 5.4, "accuracy": 0.25}
    whole = {
        "train": trained,
        "evaluate": {"accuracy": 0.5, "crossentropy": 1.0},
        "onnx": {"difference": 2e-6, "scale": 4.0},
        "student": {**trained, "accuracy": 0.75},
    }
    part = {"train": trained, "onnx": {"error": "it cannot"}}
    for backend, figures in (("torch", part), ("jax", whole)):
        folder = tmp_path / backend / "applications_VGG16"
        folder.mkdir(parents=True)
        (folder / "figures.json").write_text(json.dumps(figures))
    script = (
        "import any_network, pathlib, sys;"
        "sys.stdout.reconfigure(encoding='utf-8');"
        f"print(any_network.table(pathlib.Path({str(tmp_path)!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=BENCHMARKS,
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS.parent)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[2:] == [
        "| VGG16 | jax | 1,234 | 5 | 0.250 | 0.500 | 5.0e-07 | 0.750 |",
        "| VGG16 | torch | 1,234 | 5 | 0.250 | – | – | – |",
        "",
        "- applications/VGG16, torch, onnx: it cannot",
    ]
