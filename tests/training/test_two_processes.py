"""A run of two processes, of which one is killed, is the one without."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np

from keras_tricks.report import read_run

from ..distribute.training import time_limit

ROOT = pathlib.Path(__file__).parents[2]
SPEC = {
    "tensorflow": "multi_worker",
    "jax": "jax_multi",
    "torch": "torch_ddp",
}[keras.backend.backend()]


def run(folder, kills=False):
    """Trains; kills process 1 once, when the second epoch begins."""
    process = subprocess.Popen(
        [
            sys.executable,
            "recipes/launch.py",
            "-n=2",
            "--grace=1",
            f"--restarts={int(kills)}",
            str(pathlib.Path(__file__).with_name("train_small.py")),
            f"--distribute={SPEC}",
            f"--run_folder={folder}",
            "--epochs=2",
            "--warmup_epochs=0",
            "--train_samples=64",
            "--test_samples=33",
            "--batch_size=16",
            "--backup_every_steps=1",
            "--ema_decay=0.9",
            "--verbose=2",
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "TF_NUM_INTRAOP_THREADS": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if kills and "Epoch 2/2" in line:
            pids = subprocess.run(
                ["pgrep", "-P", str(process.pid), "-f", "train_small"],
                capture_output=True,
                text=True,
            ).stdout.split()
            os.kill(int(pids[1]), 9)
            kills = False
    process.stdout.close()
    assert process.wait(time_limit(30)) == 0, "".join(lines[-40:])
    return "".join(lines)


def history(folder):
    found = read_run(folder).history
    return {k: v for k, v in found.items() if k != "images_per_second"}


def test_a_worker_that_is_killed_changes_nothing(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    text = run(whole)
    assert f"{SPEC}: 2 " in text
    assert "each sees 8 of the 16 images of a batch" in text
    assert text.count("Validation accuracy") == 1  # One of them speaks.
    text = run(killed, kills=True)
    assert "was ended by SIGKILL" in text
    assert "Continues" in text
    assert history(whole) == history(killed)
    models = [
        keras.saving.load_model(folder / "last.keras", compile=False)
        for folder in (whole, killed)
    ]
    pairs = zip(*(model.get_weights() for model in models), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert {path.name for path in whole.iterdir()} == {
        path.name for path in killed.iterdir()
    }
