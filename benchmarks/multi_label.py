"""Are several classes of an image learned? mAP beside chance, over seeds.

    python benchmarks/multi_label.py --backends=tensorflow,jax,torch

Two of scikit-learn's digits are drawn at two of four places of an image, whose
classes they are: one or two of ten. Training and test images are made of
different digits. `recipes/train.py` trains on them as on anybody's `.npz`, each
backend and seed in a run folder of its own, and `recipes/evaluate.py` measures:
a run that was interrupted goes on with the same command, what is done is not
done again. Chance is what scores without a meaning get on average: the share
of the images that are of a class. What is after `--` goes to `train.py`.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
from absl import app, flags

from keras_tricks.data.sources.load import load_digits

RECIPES = Path(__file__).parents[1] / "recipes"
_BACKENDS = flags.DEFINE_list(
    "backends", ["tensorflow", "jax", "torch"], "What to train on."
)
_SEEDS = flags.DEFINE_integer("seeds", 2, "Number of seeds.", lower_bound=1)
_EPOCHS = flags.DEFINE_integer("epochs", 10, "Of each run.", lower_bound=1)
_IMAGES = flags.DEFINE_integer(
    "images", 1600, "Training images; half as many for the test.", lower_bound=8
)
_FOLDER = flags.DEFINE_string("folder", "runs/multi_label", "For all of it.")


def pairs_of(images, labels, count, rng):
    """Draw two digits at two of the four places of an image.

    Args:
        images: uint8, shape `(N, 8, 8, 1)`.
        labels: Integers, shape `(N,)`.
        count: How many to make, M.
        rng: A NumPy generator.

    Returns:
        uint8, shape `(M, 16, 16, 1)`, and 0 and 1, shape `(M, 10)`.
    """
    x = np.zeros((count, 16, 16, 1), "uint8")
    y = np.zeros((count, 10), "uint8")
    for image, row in zip(x, y, strict=True):
        for place in rng.permutation(4)[:2]:
            digit = rng.integers(len(labels))
            top, left = 8 * (place // 2), 8 * (place % 2)
            image[top : top + 8, left : left + 8] = images[digit]
            row[labels[digit]] = 1
    return x, y


def write_pairs(path, count, seed=0):
    """Write an .npz of images of two digits, unless it is there."""
    if path.exists():
        return
    digits, rng = load_digits(), np.random.default_rng(seed)
    train = pairs_of(digits.x_train, digits.y_train, count, rng)
    test = pairs_of(digits.x_test, digits.y_test, count // 2, rng)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = dict(zip(("x_train", "y_train"), train, strict=True))
    arrays |= dict(zip(("x_test", "y_test"), test, strict=True))
    np.savez(path, **arrays)


def figures_of(backend, seed, data, folder, more):
    """Train and evaluate, as far as it is not done; return the figures."""
    run, found = (
        folder / f"{backend}-{seed}",
        folder / f"{backend}-{seed}-found",
    )
    settings = [
        f"--data_dir={data}", f"--run_folder={run}", f"--seed={seed}",
        f"--epochs={_EPOCHS.value}", "--width=8", "--verbose=0", *more,
    ]  # fmt: skip
    asked = [f"--model={run}", f"--folder={found}", "--noverbose"]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    for script, done, arguments in (
        ("train.py", run / "result.json", settings),
        ("evaluate.py", found / "evaluation.json", asked),
    ):
        if not done.exists():
            command = [sys.executable, str(RECIPES / script), *arguments]
            subprocess.run(
                command, env=environment, check=True, stdout=subprocess.DEVNULL
            )
    return json.loads((found / "evaluation.json").read_text("utf-8"))


def main(argv):
    """Train all, and print a row for each backend."""
    folder = Path(_FOLDER.value)
    data = folder / "pairs.npz"
    write_pairs(data, _IMAGES.value)
    with np.load(data) as arrays:
        chance = float(arrays["y_test"].mean())
    print(
        "| backend | mAP | micro AP | F1 | by chance |\n|---|---|---|---|---|"
    )
    for backend in _BACKENDS.value:
        found = [
            figures_of(backend, seed, data, folder, argv[1:])
            for seed in range(_SEEDS.value)
        ]
        columns = [
            statistics.mean(figures[name] for figures in found)
            for name in (
                "mean_average_precision",
                "micro_average_precision",
                "macro_f1",
            )
        ]
        shown = " | ".join(f"{value:.4f}" for value in columns)
        print(f"| {backend} | {shown} | {chance:.4f} |", flush=True)


if __name__ == "__main__":
    app.run(main)
