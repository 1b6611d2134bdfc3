"""Evaluates an image classifier: accuracy, calibration, mistakes.

    python recipes/evaluate.py --model=runs/first
    python recipes/evaluate.py --model=model.keras --data_dir=val --ten_crop

Of a training run it takes the validation images, exactly as training saw
them; `--data_dir` gives others. The folder gets evaluation.json and
evaluation.html.
"""

import json
import pathlib
import sys

import keras_backend as keras_backend  # Before Keras: it picks the backend.
import classifier_flags
import keras
import one_line
import source_flags
from absl import app, flags

from keras_tricks import __version__, evaluation
from keras_tricks._files import write_atomically
from keras_tricks.data.sources.class_names import describe_classes
from keras_tricks.report import (
    write_evaluation_report,
    write_multi_label_report,
)

_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Folder of class folders, or of files called <class>_..., or a .tar of "
    "either, or a folder of shards, or an .npz.",
)
_DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "Name of a data set whose test split is taken, also tfds/NAME or "
    "huggingface/NAME.",
)
_TEN_CROP = flags.DEFINE_bool(
    "ten_crop", False, "Average over four corners, the center and mirrored."
)
_SAMPLES = flags.DEFINE_integer(
    "samples", None, "Number of images; all by default.", lower_bound=1
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Views that the network gets at a time.", lower_bound=1
)
_FOLDER = flags.DEFINE_string(
    "folder", "evaluation", "Folder for evaluation.json and evaluation.html."
)
_WORST = flags.DEFINE_integer(
    "worst", 5, "How many classes to print, the worst first.", lower_bound=0
)
_VERBOSE = flags.DEFINE_bool("verbose", True, "Show a progress bar.")
flags.adopt_module_key_flags(classifier_flags)
flags.adopt_module_key_flags(source_flags)


def check_flags():
    """Refuse a preprocessing that the images of a run would not get.

    Raises:
        ValueError: If there is one, and no other images.
    """
    changed = classifier_flags.changes()
    if changed and _DATA_DIR.value is None and _DATASET.value is None:
        raise ValueError(
            "`data_dir` or `dataset` must be given to change the "
            "preprocessing: the images of a run are seen as training saw "
            f"them. Received: --{next(iter(changed))}"
        )


def describe(classifier, images):
    """Return what is evaluated, a dict of name to text."""
    end = "a softmax" if classifier.gives_probabilities else "logits"
    return {
        "model": classifier.source,
        "ends in": end,
        "images": images.source,
        "view": images.how,
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "keras_tricks": __version__,
    }


def of_one_class(result, worst):
    """Return names and values of figures, and lines of the worst classes."""
    rows = [
        (f"top-{k}", result.accuracy(k))
        for k in (1, 5)
        if result.num_classes > k
    ]
    recall = f"{100 * result.balanced_accuracy:.2f} %, mean recall of classes"
    error = f"{100 * result.calibration_error():.2f} %, 15 bins"
    rows += [("balanced accuracy", recall), ("calibration error", error)]
    lines = []
    for row in result.per_class()[:worst]:
        share = f"{row.top_1.hits} of {row.top_1.count}"
        line = f"  {result.class_name(row.index):<28.28}{share:>12}"
        if row.confused_with is not None:
            other = result.class_name(row.confused_with)
            line += f", {row.confusions} taken for {other}"
        lines.append(line)
    return rows, lines


def of_several_classes(result, worst):
    """Return the same for images of several classes."""

    def percent(value):
        return f"{100 * value:.2f} %"

    rows = [
        ("mAP", f"{percent(result.mean_average_precision)}, mean of classes"),
        ("micro AP", percent(result.micro_average_precision)),
        (f"F1 at {result.threshold:g}", f"{percent(result.macro_f1)}, mean"),
        ("micro F1", percent(result.micro_f1)),
    ]
    empty = [result.class_name(index) for index in result.empty_classes]
    if empty:
        rows.append(("without images", describe_classes(empty)))
    lines = []
    for row in result.per_class()[:worst]:
        value = f"AP {percent(row.average_precision)}"
        name = result.class_name(row.index)
        lines.append(f"  {name:<28.28}{value:>12}, {row.images} images")
    return rows, lines


def print_table(result, facts, worst, figures):
    """Print the figures, and the classes that fare worst."""
    rows = [(name, facts[name]) for name in ("model", "images", "view")]
    if facts["ends in"] != "logits":
        rows.append(("note", "the network ends in a softmax: it is used as is"))
    own, lines = figures(result, worst)
    rows += [
        *own,
        ("cross-entropy", f"{result.crossentropy:.4f}"),
        ("classified", f"{len(result)} in {result.seconds:.1f} s"),
    ]
    if result.bad:
        rows.append(("unreadable", f"{len(result.bad)}, left out"))
    print("\n".join(f"{name:<19}{value}" for name, value in rows))
    if worst:
        print("\n".join(["\nThe worst classes:", *lines]))
    for line in result.bad[:5]:
        print(f"Unreadable: {line}", file=sys.stderr)


def main(argv):
    """Evaluate, or say in one line why it cannot."""
    if len(argv) > 1:
        sys.exit(f"Arguments must be flags. Received: {' '.join(argv[1:])}")
    folder = pathlib.Path(_FOLDER.value)
    try:
        check_flags()
        classifier = classifier_flags.load()
        images = evaluation.load_images(
            classifier,
            _DATA_DIR.value,
            _DATASET.value,
            ten_crop=_TEN_CROP.value,
            samples=_SAMPLES.value,
            **source_flags.given(),
        )
        folder.mkdir(parents=True, exist_ok=True)
        result = evaluation.evaluate(
            classifier, images, _BATCH_SIZE.value, verbose=_VERBOSE.value
        )
        facts = describe(classifier, images)
        own = images.preprocessing
        seen = {} if own is None else own.get_config()
        content = {**facts, "preprocessing": seen, **result.to_dict()}
        text = json.dumps(content, indent=2)
        write_atomically(folder / "evaluation.json", text + "\n")
        target = folder / "evaluation.html", result
        shown = {
            "facts": {**facts, **seen},
            "title": f"{classifier.model.name} on {images.source}",
        }
        if images.multi_label:
            report = write_multi_label_report(*target, **shown)
        else:
            report = write_evaluation_report(*target, images, **shown)
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        one_line.stop(error)
    figures = of_several_classes if images.multi_label else of_one_class
    print_table(result, facts, _WORST.value, figures)
    print(f"Report: {report}")


if __name__ == "__main__":
    app.run(main)
