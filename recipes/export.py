r"""Exports an image classifier for another runtime, and verifies the file.

    python recipes/export.py --model=runs/first --format=onnx
    python recipes/export.py --model=model.keras --format=litert \
      --data_dir=val --output=model.tflite

The file is read back by its runtime and compared with the network on real
images before it gets its name. Beside it, <output>.json says what an image
goes through and what the classes are called.
"""

import dataclasses
import json
import pathlib
import sys

import keras_backend as keras_backend  # Before Keras: it picks the backend.
import classifier_flags
import keras
import one_line
import source_flags
from absl import app, flags

from keras_tricks import __version__, export
from keras_tricks._files import write_atomically

_FORMAT = flags.DEFINE_enum(
    "format", None, list(export.FORMATS), "What to write.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "File to write; exported/<model>.<suffix> by default."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Folder of images or of shards, .tar or .npz to verify the file on. By "
    "default the validation images of the training run.",
)
_RANDOM_IMAGES = flags.DEFINE_bool(
    "random_images", False, "Verify the file on noise, if there are no images."
)
_SAMPLES = flags.DEFINE_integer(
    "samples", 16, "Number of images to verify the file on.", lower_bound=2
)
_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    None,
    "Largest difference of an output, relative to the largest output; 0.001 "
    "by default, more where the network computes in 16 bits.",
)
_PRECISION = flags.DEFINE_string(
    "precision", None, "Dtype policy of the exported network, if another."
)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Replace a file of that name."
)
flags.adopt_module_key_flags(classifier_flags)
flags.adopt_module_key_flags(source_flags)


def describe(classifier, report):
    """Return what a user of the file must know, for JSON."""
    own, classes = classifier.preprocessing, classifier.classes
    end = "probabilities" if classifier.gives_probabilities else "logits"
    return {
        "format": report.format,
        "input_shape": report.input_shape,
        "preprocessing": None if own is None else own.get_config(),
        "outputs": end,
        "classes": None if classes is None else list(classes.names),
        "verified": dataclasses.asdict(report),
        "model": classifier.source,
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "keras_tricks": __version__,
    }


def main(argv):
    """Export, or say in one line why it cannot."""
    if len(argv) > 1:
        sys.exit(f"Arguments must be flags. Received: {' '.join(argv[1:])}")
    try:
        format_ = export.check_format(_FORMAT.value)
        classifier = classifier_flags.load()
        if _PRECISION.value is not None:
            model = export.with_precision(classifier.model, _PRECISION.value)
            classifier = dataclasses.replace(classifier, model=model)
        examples = export.example_inputs(
            classifier,
            _DATA_DIR.value,
            _RANDOM_IMAGES.value,
            _SAMPLES.value,
            **source_flags.given(),
        )
        name = f"exported/{classifier.model.name}{format_.suffix}"
        output = pathlib.Path(_OUTPUT.value or name)
        output.parent.mkdir(parents=True, exist_ok=True)
        report = export.export_model(
            classifier.model,
            output,
            format_.name,
            examples,
            tolerance=_TOLERANCE.value,
            overwrite=_OVERWRITE.value,
        )
        text = json.dumps(describe(classifier, report), indent=2)
        write_atomically(f"{output}.json", text + "\n")
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        one_line.stop(error)
    print(report)
    print(f"Images, classes and versions: {output}.json")


if __name__ == "__main__":
    app.run(main)
