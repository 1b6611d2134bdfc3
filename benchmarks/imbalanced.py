"""What helps where classes are of unequal size? Balanced accuracy, over seeds.

    python benchmarks/imbalanced.py --data_dir=flowers --epochs=40    # hours
    python benchmarks/imbalanced.py --docs                            # seconds

Cuts the training images of a folder of class folders to a few in the classes,
trains the same recipe plainly and with what is there for such data, and
evaluates each on all test images. Which class is large changes with the seed.
Fields of `Recipe` are flags. A run that is there is not trained again; what
the runs came to is in docs/results/imbalanced.csv, from which `--docs` writes
the table of docs/unequal_classes.md.
"""

import csv
import json
import statistics
import sys
from pathlib import Path

import numpy as np
from absl import app, flags

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "recipes"))

import recipe_flags  # noqa: E402

from keras_tricks import data, evaluation, training  # noqa: E402

STORED = ROOT / "docs" / "results" / "imbalanced.csv"
PAGE = ROOT / "docs" / "unequal_classes.md"
_MARKS = "<!-- imbalanced -->", "<!-- end of imbalanced -->"
_SPLIT = 100  # Of the random numbers: which images a class keeps.
CONFIGURATIONS = {
    "plain": {},
    "balanced weights": {"class_weights": "balanced"},
    "effective numbers": {"class_weights": "effective_number"},
    "balanced sampler": {"sampler": "balanced"},
    "square-root sampler": {"sampler": "sqrt"},
    "logit adjustment": {"logit_adjustment": 1.0},
}
COLUMNS = (
    "configuration",
    "seed",
    "balanced_accuracy",
    "accuracy",
    "largest",
    "smallest",
)

recipe_flags.define()
_COUNTS = flags.DEFINE_list(
    "counts", ["200", "100", "50", "20", "10"], "Training images of classes."
)
_SEEDS = flags.DEFINE_integer("seeds", 3, "Number of seeds.", lower_bound=1)
_ONLY = flags.DEFINE_list("only", None, "Some of the configurations.")
_FOLDER = flags.DEFINE_string("folder", "runs/imbalanced", "Folder of runs.")
_DOCS = flags.DEFINE_bool("docs", False, "Write the table of what is stored.")
_STORE = flags.DEFINE_bool("store", False, "Keep the results in docs/results.")


def cut_classes(loaded, counts, seed):
    """Return a data set whose classes have fewer training images.

    Args:
        loaded: An `ImageData`.
        counts: How many images, one for each class; class c keeps
            `counts[(c + seed) % K]`.
        seed: Of which ones are kept.

    Raises:
        ValueError: If there are not as many counts as classes, or a class has
            fewer images.
    """
    sizes = loaded.class_counts
    if len(counts) != len(sizes):
        raise ValueError(
            f"`counts` must be as many as the classes, {len(sizes)}. "
            f"Received: counts={counts}"
        )
    counts = np.roll(counts, -seed)
    if (counts > sizes).any():
        short = int(np.argmax(counts > sizes))
        raise ValueError(
            f"`counts` must not exceed the {sizes[short]} images of the class "
            f"{loaded.class_names[short]}. Received: {counts[short]}"
        )
    rng = data.random_generator(seed, _SPLIT)
    kept = np.concatenate(
        [
            rng.permutation(np.flatnonzero(loaded.y_train == label))[:count]
            for label, count in enumerate(counts)
        ]
    )
    return loaded.x_train[kept], loaded.y_train[kept]


def write_data(recipe, counts, seed, folder):
    """Write the cut data set, unless it is there, and return its path."""
    path = folder / f"data_seed{seed}.npz"
    if not path.exists():
        loaded = data.load(
            recipe.dataset,
            recipe.data_dir,
            recipe.image_size,
            test_samples=recipe.test_samples,
        )
        x, y = cut_classes(loaded, counts, seed)
        names = np.array(loaded.class_names)
        test = {"x_test": loaded.x_test, "y_test": loaded.y_test}
        np.savez(path, x_train=x, y_train=y, class_names=names, **test)
    return path


def run(name, recipe, folder):
    """Train, unless it was done, evaluate, and return a row of figures."""
    found = folder / "evaluation.json"
    if not found.exists():
        if not (folder / "result.json").exists():
            training.train(recipe, folder, verbose=0)
        classifier = evaluation.load_classifier(folder)
        images = evaluation.load_images(classifier)
        result = evaluation.evaluate(classifier, images)
        found.write_text(json.dumps(result.to_dict()))
    figures = json.loads(found.read_text("utf-8"))
    recalls = {row["index"]: row["top_1"] for row in figures["per_class"]}
    counts = training.load_data(recipe).class_counts
    return {
        "configuration": name,
        "seed": recipe.seed,
        "balanced_accuracy": figures["balanced_accuracy"],
        "accuracy": figures["top_1"]["value"],
        "largest": recalls[int(counts.argmax())],
        "smallest": recalls[int(counts.argmin())],
    }


def table(rows):
    """Return a table in Markdown: mean and standard deviation over seeds."""
    seeds = sorted({row["seed"] for row in rows})
    heads = ["", "balanced accuracy", "accuracy", "largest", "smallest"]
    lines = [" | ".join(["", *heads, ""]), "|---" * len(heads) + "|"]
    for name in dict.fromkeys(row["configuration"] for row in rows):
        own = [row for row in rows if row["configuration"] == name]
        cells = [name]
        for column in COLUMNS[2:]:
            values = [100 * float(row[column]) for row in own]
            cell = f"{statistics.mean(values):.1f}"
            if len(values) > 1:
                cell += f" ± {statistics.stdev(values):.1f}"
            cells.append(cell)
        lines.append(" | ".join(["", *cells, ""]))
    lines = [line.strip() for line in lines]
    over = f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed"
    note = (
        f"Percent of the test images, means and standard deviations over "
        f"{over}; recalls of the largest and the smallest class."
    )
    return "\n".join([*lines, "", note]) + "\n"


def store(rows):
    """Keep the rows in docs/results."""
    STORED.parent.mkdir(exist_ok=True)
    with open(STORED, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_docs():
    """Put the table of what is stored between the marks of the page."""
    with open(STORED, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(_MARKS[0])
    after = rest.partition(_MARKS[1])[2]
    between = f"{_MARKS[0]}\n{table(rows)}{_MARKS[1]}"
    PAGE.write_text(f"{before}{between}{after}", "utf-8")


def main(argv):
    """Train what is missing and print the table."""
    del argv
    if _DOCS.value:
        write_docs()
        return
    recipe = recipe_flags.recipe_from_flags()
    folder = Path(_FOLDER.value)
    folder.mkdir(parents=True, exist_ok=True)
    counts = [int(count) for count in _COUNTS.value]
    rows = []
    for seed in range(_SEEDS.value):
        path = write_data(recipe, counts, seed, folder)
        for name, fields in CONFIGURATIONS.items():
            if _ONLY.value is None or name in _ONLY.value:
                own = {"data_dir": str(path), "seed": seed, **fields}
                where = folder / f"{name.replace(' ', '_')}_seed{seed}"
                rows.append(run(name, recipe.replace(**own), where))
                print(rows[-1], flush=True)
    rows.sort(key=lambda row: list(CONFIGURATIONS).index(row["configuration"]))
    print(table(rows))
    if _STORE.value:
        store(rows)


if __name__ == "__main__":
    app.run(main, flags_parser=recipe_flags.parse)
