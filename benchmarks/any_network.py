"""Does any network train, evaluate, export and teach? A table of what came out.

For each network: two epochs on a part of a data set, the accuracy by
`evaluation`, an ONNX file that was compared with the network, and the accuracy
of a ResNet-18-D that learned from it. A network that is interrupted continues
with the same command, and what is done is not done again.

    KERAS_BACKEND=jax python benchmarks/any_network.py --data_dir=photos \
      --train_samples=40 --test_samples=40 --image_size=64
    python benchmarks/any_network.py --docs  # The table of what was done.
"""

import gc
import json
import pathlib
import sys
import time

import keras
from absl import app, flags

from keras_tricks import Recipe, evaluation, export, training
from keras_tricks._files import write_atomically

NETWORKS = [
    "applications/EfficientNetV2B0",
    "applications/ConvNeXtTiny",
    "applications/MobileNetV3Small",
    "applications/DenseNet121",
    "applications/VGG16",
    "applications/ResNet50V2",
]
_NETWORKS = flags.DEFINE_list("networks", NETWORKS, "What --model= takes.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "A folder of class folders.")
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "imagenet for pretrained ones; random by default."
)
_TRAIN_SAMPLES = flags.DEFINE_integer("train_samples", 200, "Of the images.")
_TEST_SAMPLES = flags.DEFINE_integer("test_samples", 100, "Of the images.")
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 96, "Side in pixels.")
_EPOCHS = flags.DEFINE_integer("epochs", 2, "Of network and student.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Of both.")
_FOLDER = flags.DEFINE_string("folder", "runs/any_network", "For all of it.")
_DOCS = flags.DEFINE_bool(
    "docs", False, "Only write what was done into the page of networks."
)
PAGE = pathlib.Path(__file__).parents[1] / "docs" / "networks.md"
HEAD = (
    "| network | backend | parameters | seconds | accuracy | by evaluate | "
    "ONNX, relative difference | student |\n"
    "|---|---|---:|---:|---:|---:|---:|---:|"
)


def recipe_of(**changes):
    """Return the recipe of a network, or of the student."""
    return Recipe(
        data_dir=_DATA_DIR.value,
        image_size=_IMAGE_SIZE.value,
        train_samples=_TRAIN_SAMPLES.value,
        test_samples=_TEST_SAMPLES.value,
        epochs=_EPOCHS.value,
        batch_size=_BATCH_SIZE.value,
        warmup_epochs=0.5,
        mixup_alpha=0.0,
        augmentation="shift_flip",
        **changes,
    )


def train(recipe, folder):
    """Train, or go on; return the seconds and the accuracy."""
    if not (folder / "result.json").exists():
        training.train(recipe, folder, verbose=0)
    result = json.loads((folder / "result.json").read_text("utf-8"))
    return {
        "seconds": result["wall_seconds"],
        "parameters": result["parameters"],
        "accuracy": result["val_accuracy"],
    }


def evaluated(run):
    """Return the accuracy and the cross-entropy of a run's network."""
    classifier = evaluation.load_classifier(run)
    images = evaluation.load_images(classifier)
    result = evaluation.evaluate(classifier, images, verbose=False)
    share = result.accuracy(1)
    return {
        "accuracy": share.hits / share.count,
        "crossentropy": result.crossentropy,
    }


def exported(run, path):
    """Return how far an ONNX file is from the network."""
    classifier = evaluation.load_classifier(run)
    examples = export.example_inputs(classifier, samples=4)
    report = export.export_model(
        classifier.model, path, "onnx", examples, overwrite=True
    )
    return {"difference": report.difference, "scale": report.scale}


def steps_of(name, folder):
    """Yield the name of each step, and a function that does it."""
    weights = _WEIGHTS.value if name.startswith("applications/") else None
    run = folder / "run"
    recipe = recipe_of(model=name, weights=weights)
    yield "train", lambda: train(recipe, run)
    yield "evaluate", lambda: evaluated(run)
    if keras.backend.backend() in export.FORMATS["onnx"].backends:
        yield "onnx", lambda: exported(run, folder / "model.onnx")
    student = recipe_of(teacher=str(run / "last.keras"), temperature=4.0)
    yield "student", lambda: train(student, folder / "student")


def figures_of(name, folder):
    """Do what is not done yet; return all figures of a network."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "figures.json"
    figures = json.loads(file.read_text("utf-8")) if file.exists() else {}
    for step, function in steps_of(name, folder):
        if "error" in figures.get(step, {"error": None}):
            start = time.perf_counter()
            try:
                figures[step] = function()
            except (ValueError, OSError, ImportError, RuntimeError) as error:
                figures[step] = {"error": " ".join(str(error).split())}
            took = time.perf_counter() - start
            print(f"{name} {step}: {took:.0f} s", flush=True)
            write_atomically(file, json.dumps(figures, indent=2) + "\n")
            keras.utils.clear_session()
            gc.collect()
    return figures


def line_of(name, backend, figures):
    """Return a row of the table; a dash for what is not done or failed."""

    def cell(step, text):
        found = figures.get(step, {"error": None})
        return "–" if "error" in found else text(found)

    cells = [
        name.removeprefix("applications/"),
        backend,
        cell("train", lambda found: f"{found['parameters']:,}"),
        cell("train", lambda found: f"{found['seconds']:.0f}"),
        cell("train", lambda found: f"{found['accuracy']:.3f}"),
        cell("evaluate", lambda found: f"{found['accuracy']:.3f}"),
        cell("onnx", lambda f: f"{f['difference'] / f['scale']:.1e}"),
        cell("student", lambda found: f"{found['accuracy']:.3f}"),
    ]
    return f"| {' | '.join(cells)} |"


def table(root):
    """Return the table of all that was done, and what failed."""
    rows, failed = [], []
    for name in NETWORKS:
        for file in sorted(root.glob(f"*/{name.replace('/', '_')}/fig*.json")):
            figures = json.loads(file.read_text("utf-8"))
            backend = file.parents[1].name
            rows.append(line_of(name, backend, figures))
            failed += [
                f"- {name}, {backend}, {step}: "
                + found["error"].partition(" (")[0]
                for step, found in figures.items()
                if "error" in found
            ]
    return "\n".join([HEAD, *rows, *([""] if failed else []), *failed])


def store(root):
    """Put the table into the page of networks, between its marks."""
    text = PAGE.read_text("utf-8")
    marks = "<!-- any_network -->", "<!-- /any_network -->"
    before, rest = text.split(marks[0])
    after = rest.split(marks[1])[1]
    page = f"{before}{marks[0]}\n\n{table(root)}\n\n{marks[1]}{after}"
    PAGE.write_text(page, "utf-8")


def main(argv):
    """Go through the networks, and print the table."""
    del argv
    root = pathlib.Path(_FOLDER.value)
    if _DOCS.value:
        store(root)
        return
    if _DATA_DIR.value is None:
        sys.exit("`data_dir` must be a folder. Received: data_dir=None")
    backend = keras.backend.backend()
    rows = [
        line_of(
            name,
            backend,
            figures_of(name, root / backend / name.replace("/", "_")),
        )
        for name in _NETWORKS.value
    ]
    print(
        f"\nKeras {keras.__version__}, {backend}, "
        f"{_TRAIN_SAMPLES.value} images of {_IMAGE_SIZE.value} pixels, "
        f"{_EPOCHS.value} epochs\n\n{HEAD}"
    )
    print("\n".join(rows))


if __name__ == "__main__":
    app.run(main)
