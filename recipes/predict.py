r"""Classifies images that are given on the command line.

    python recipes/predict.py --model=runs/first digit.png
    python recipes/predict.py --model=model.keras --classes=classes.tsv \
      --format=json *.jpg

An image that cannot be read is named; the others are classified, and the
script ends with the code 1.
"""

import json
import sys

import keras_backend as keras_backend  # Before Keras: it picks the backend.
import classifier_flags
import numpy as np
import one_line
from absl import app, flags

from keras_tricks import evaluation
from keras_tricks._text import printable
from keras_tricks.data import EvaluationBatches, open_image_files

_TOP_K = flags.DEFINE_integer(
    "top_k", 5, "How many classes to give of each image.", lower_bound=1
)
_THRESHOLD = flags.DEFINE_float(
    "threshold",
    0.5,
    "Where an image may be of several classes: the probability from which on "
    "one is given, in place of --top_k.",
    lower_bound=0,
    upper_bound=1,
)
_FORMAT = flags.DEFINE_enum(
    "format", "table", ["table", "json"], "What to print."
)
_TEN_CROP = flags.DEFINE_bool(
    "ten_crop", False, "Average over four corners, the center and mirrored."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 64, "Views that the network gets at a time.", lower_bound=1
)
flags.adopt_module_key_flags(classifier_flags)


def check_flags(multi_label, flag_values=flags.FLAGS):
    """Refuse a flag that does nothing, --top_k or --threshold.

    Args:
        multi_label: Whether an image may be of several classes.
        flag_values: The flags.

    Raises:
        ValueError: If it is given.
    """
    name, other, images = "threshold", "top_k", "an image is of one class"
    if multi_label:
        name, other, images = other, name, "an image may be of several classes"
    if flag_values[name].present:
        raise ValueError(
            f"`{name}` must be left out where {images}: --{other} says which "
            f"are given. Received: {name}={flag_values[name].value}"
        )


def classify(classifier, paths, top_k, ten_crop, batch_size, threshold=0.5):
    """Classify image files.

    Args:
        classifier: An `evaluation.Classifier`.
        paths: List of paths.
        top_k: How many classes to give of each.
        ten_crop: Whether to average over ten crops.
        batch_size: Views that the network gets at a time.
        threshold: Where an image may be of several classes: the probability
            from which on one is given.

    Returns:
        For each path a dict: its `file`, and its `classes`, the likeliest
        first, or its `error`.
    """
    own = evaluation.check_preprocessing(classifier)
    files = open_image_files(paths)
    size = min(batch_size, len(files) * (10 if ten_crop else 1))
    batches = EvaluationBatches(files, own.views(ten_crop), own.normalize, size)
    results = [{"file": path} for path in paths]
    for x, indices in batches:
        if classifier.multi_label:
            p = classifier.class_probabilities(x, size).mean(1)
            counts = (p >= threshold).sum(1)
        else:
            log_p = classifier.log_probabilities(x, size)
            p = np.exp(evaluation.merge_crops(log_p))
            counts = [top_k] * len(p)
        for index, row, count in zip(indices, p, counts, strict=True):
            best = np.argsort(-row, kind="stable")[:count]
            results[index]["classes"] = [
                {
                    "index": int(i),
                    "name": classifier.class_name(i),
                    "probability": float(row[i]),
                }
                for i in best
            ]
    for index, error in batches.bad.items():
        results[index]["error"] = error
    return results


def print_table(results):
    """Print a block for each image that could be classified."""
    for result in results:
        if "error" in result:
            continue
        print(printable(result["file"]))
        for row in result["classes"]:
            share = f"{100 * row['probability']:.2f} %"
            print(f"{share:>10}  {row['name']}")
        if not result["classes"]:
            print("            no class")


def main(argv):
    """Classify, or say in one line why it cannot."""
    paths = argv[1:]
    if not paths:
        sys.exit("Arguments must be image files. Received: none")
    try:
        classifier = classifier_flags.load()
        check_flags(classifier.multi_label)
        results = classify(
            classifier,
            paths,
            _TOP_K.value,
            _TEN_CROP.value,
            _BATCH_SIZE.value,
            _THRESHOLD.value,
        )
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        one_line.stop(error)
    if _FORMAT.value == "json":
        print(json.dumps(results, indent=2))
    else:
        print_table(results)
    bad = [result["error"] for result in results if "error" in result]
    for error in bad:
        print(f"Unreadable: {error}", file=sys.stderr)
    sys.exit(bool(bad))


if __name__ == "__main__":
    app.run(main)
