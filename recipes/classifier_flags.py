"""Flags that say which trained network to use, and how it sees images."""

import ast
import dataclasses

from absl import flags

from keras_tricks import evaluation
from keras_tricks._image_size import parse_size
from keras_tricks.data.transforms import CHANNELS, INTERPOLATIONS, RESIZES
from keras_tricks.evaluation import read_preprocessing_file

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "A .keras file, the folder of a training run, the name of a model in "
    "keras_tricks.models, such as ResNet50D, applications/NAME of Keras, "
    "hub/PRESET of KerasHub, or module:function.",
    required=True,
)
_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "Weights of a model that is given by name: a file, a name on the "
    "Hugging Face hub, or imagenet for applications/NAME.",
)
_MODEL_ARGS = flags.DEFINE_list(
    "model_args",
    None,
    "Arguments of a model that is given by name, such as activation=relu6.",
)
_CLASSES = flags.DEFINE_string(
    "classes",
    None,
    "File of class names in the order of the outputs: .tsv, .csv, .txt or "
    ".json. By default those of the training run.",
)
_MULTI_LABEL = flags.DEFINE_bool(
    "multi_label",
    False,
    "Whether an image may be of several classes; of a training run it is "
    "known.",
)
_PREPROCESSING = flags.DEFINE_string(
    "preprocessing",
    None,
    "A preprocessing.json, in place of what belongs to the weights.",
)
_IMAGE_SIZE = flags.DEFINE_string(
    "image_size",
    None,
    "Side in pixels of what the network sees, or height x width: 224x320.",
)
_RESIZE = flags.DEFINE_enum(
    "resize",
    None,
    RESIZES,
    "How an image gets that size: crop what is too much, or letterbox.",
)
_CROP_RATIO = flags.DEFINE_float(
    "crop_ratio", None, "image_size over the short side of the resized image."
)
_INTERPOLATION = flags.DEFINE_enum(
    "interpolation", None, INTERPOLATIONS, "Filter of the resizing."
)
_MEAN = flags.DEFINE_list(
    "mean", None, "What is subtracted from each channel, in 0 ... 255."
)
_STD = flags.DEFINE_list(
    "std", None, "What each channel is divided by, in 0 ... 255."
)
_CHANNELS = flags.DEFINE_enum(
    "channels", None, CHANNELS, "Order of the channels; L is gray."
)


def changes() -> dict:
    """Return the fields of `Preprocessing` that the command line sets.

    Raises:
        ValueError: If a file is no preprocessing, or numbers are none.
    """
    values = {}
    if _PREPROCESSING.value is not None:
        own = read_preprocessing_file(_PREPROCESSING.value)
        values = dataclasses.asdict(own)
    given = {
        "image_size": _size(_IMAGE_SIZE.value),
        "resize": _RESIZE.value,
        "crop_ratio": _CROP_RATIO.value,
        "interpolation": _INTERPOLATION.value,
        "mean": _numbers("mean", _MEAN.value),
        "std": _numbers("std", _STD.value),
        "channels": _CHANNELS.value,
    }
    return values | {k: v for k, v in given.items() if v is not None}


def load() -> evaluation.Classifier:
    """Return the network that the command line names.

    Raises:
        ValueError: As `keras_tricks.evaluation.load_classifier` does.
    """
    return evaluation.load_classifier(
        _MODEL.value,
        _WEIGHTS.value,
        _CLASSES.value,
        _model_args(_MODEL_ARGS.value),
        _MULTI_LABEL.value,
        **changes(),
    )


def _model_args(texts):
    if texts is None:
        return None
    pairs = [text.partition("=") for text in texts]
    wrong = [name for name, sign, _ in pairs if not sign]
    if wrong:
        raise ValueError(
            "`model_args` must be name=value with commas between them. "
            f"Received: --model_args={','.join(texts)}"
        )
    return {name.strip(): _literal(value) for name, _, value in pairs}


def _literal(text):
    """Return a number, True, False or None, or else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _size(text):
    try:
        return None if text is None else parse_size(text)
    except ValueError:
        raise ValueError(
            "`image_size` must be an integer, or height x width as 224x320. "
            f"Received: --image_size={text}"
        ) from None


def _numbers(name, texts):
    if texts is None:
        return None
    try:
        return tuple(float(text) for text in texts)
    except ValueError:
        raise ValueError(
            f"`{name}` must be numbers with commas between them. "
            f"Received: --{name}={','.join(texts)}"
        ) from None
