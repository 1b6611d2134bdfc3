"""A sweep whose runs only sleep, as a process of its own that can be killed.

    python fake_sweep.py FOLDER SHARD COUNT SECONDS

Each run that begins or ends adds a line to log.txt.
"""

import json
import os
import random
import sys
import time
from pathlib import Path

import keras

from keras_tricks import Recipe, training
from keras_tricks.ablation import finish_sweep, make_sweep, run_sweep
from keras_tricks.report.contrasts import Rule

SEEDS = 4
BASE = Recipe.preset("baseline", epochs=8, batch_size=64)


def sweep(sequential=False):
    return make_sweep(
        BASE, ["cosine", "mixup"], rule=Rule(sequential=sequential)
    )


def log(folder, line):
    number = os.open(
        folder.parent / "log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT
    )
    os.write(number, f"{line}\n".encode())
    os.close(number)


class Run:
    """In the place of a `PreparedRun`; what it ends with is a function."""

    def __init__(self, recipe, folder):
        self.recipe, self.folder = recipe, Path(folder)

    def fit(self, verbose, extra_callbacks):
        folder = self.folder
        folder.mkdir(exist_ok=True)
        log(folder, f"begin {folder.name}")
        (folder / "recipe.json").write_text(self.recipe.to_json())
        time.sleep(random.uniform(0, SECONDS))
        gain = 0.05 * (self.recipe.schedule == "cosine")
        noise = random.Random(folder.name).gauss(0, 0.002)
        accuracy = 0.8 + gain + noise
        if self.recipe.mixup_alpha and self.recipe.seed == 2:
            log(folder, f"fail {folder.name}")
            raise FloatingPointError("The loss is NaN")
        (folder / "history.csv").write_text(
            f"epoch,val_accuracy\n0,{accuracy!r}\n"
        )
        result = {"val_accuracy": accuracy, "wall_seconds": 1.0}
        (folder / "result.json.tmp").write_text(json.dumps(result))
        os.replace(folder / "result.json.tmp", folder / "result.json")
        log(folder, f"end {folder.name}")
        return result


SECONDS = 0.0

if __name__ == "__main__":
    training.prepare = Run
    # It collects garbage for a third of a second, and there are no models.
    keras.utils.clear_session = lambda: None
    target, index, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    SECONDS = float(sys.argv[4])
    done = run_sweep(sweep(), target, SEEDS, shard=(index, count))
    finish_sweep(sweep(), target)
    print(f"complete: {done}")
