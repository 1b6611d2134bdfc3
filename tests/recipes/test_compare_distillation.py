import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parents[2]
METHODS = ["student alone", "core Keras, default", "Distiller"]
# The script with a network that compiles in no time, called twice.
SCRIPT = """
import sys

sys.path.insert(0, "recipes")
import compare_distillation
import keras
from absl import app

from keras_tricks import training


def build_model(recipe, image_shape, num_classes):
    keras.utils.set_random_seed(recipe.seed)
    if recipe.data_format == "channels_first":
        image_shape = (image_shape[2], *image_shape[:2])
    layers = [
        keras.Input(image_shape),
        keras.layers.Flatten(),
        keras.layers.Dense(recipe.width, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(num_classes),
    ]
    return keras.Sequential(layers)


def main(argv):
    compare_distillation.main(argv)
    print("AGAIN")
    compare_distillation.main(argv)


training.build_model = training.run.build_model = build_model
app.run(main)
"""


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    arguments = "--seeds=2 --epochs=2 --teacher_epochs=12 --warmup_epochs=0.5"
    arguments += " --data_format=channels_last --width=16 --teacher_width=64"
    arguments += " --test_samples=128 --batch_size=32 --decay=all"
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            SCRIPT,
            *arguments.split(),
            f"--folder={folder}",
        ],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, again = done.stdout.split("AGAIN")
    return folder, first, again


def test_each_method_runs_once_for_each_seed(comparison):
    _, first, again = comparison
    for method in METHODS:
        for seed in (0, 1):
            assert f"{method}, seed {seed}\n" in first
            assert f"{method}, seed {seed}\n" not in again


def test_the_table_and_the_picture_are_written(comparison):
    folder, first, again = comparison
    table = (folder / "comparison.md").read_text("utf-8")
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert rows == ["teacher", *METHODS]
    assert table in first and table in again
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_the_results_are_those_of_the_files(comparison):
    folder, first, _ = comparison
    rows = [json.loads(f.read_text()) for f in folder.glob("Distiller*.json")]
    assert sorted(row["recipe"]["seed"] for row in rows) == [0, 1]
    values = [row["result"]["accuracy"] for row in rows]
    assert f"{50 * sum(values):.2f} ± " in first.split("| Distiller")[1]
    for row in rows:
        assert 0.2 < row["result"]["agreement"] <= 1
        assert row["result"]["teacher"] > 0.5


def test_several_classes_are_refused(run_script, tmp_path):
    flags = ["--multi_label", "--loss=binary_crossentropy"]
    folder = f"--folder={tmp_path}"
    done = run_script("compare_distillation.py", *flags, folder)
    assert done.returncode == 1
    (line,) = done.errors
    assert "`multi_label` must be False to compare ways to distill" in line
