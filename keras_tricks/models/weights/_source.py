"""What `load_weights_from` loads from: a file, a folder, the hub, a model."""

import dataclasses
import math
import os
from pathlib import Path

import keras
import numpy as np

from keras_tricks._untrusted import parse_json
from keras_tricks.data.transforms.preprocessing import Preprocessing
from keras_tricks.models.weights import hub as _hub
from keras_tricks.models.weights._own import (
    network_of,
    read_keras_file,
    tensors_of,
)
from keras_tricks.models.weights._units import Network
from keras_tricks.models.weights.readers import read_tensors

FILENAMES = ("model.safetensors", "pytorch_model.bin")
CONFIG = "config.json"
ENDINGS = tuple(".safetensors .pth .pt .tar .bin .npz .h5 .keras".split())


@dataclasses.dataclass(frozen=True)
class Source:
    """Tensors and where they come from.

    Attributes:
        origin: File, name on the hub with its revision, or name of a model.
        tensors: Arrays by name.
        key: Which state dictionary of the file they are, or None.
        config: What timm says about the weights, or None.
        network: What network of ours they are of, or None.
        preprocessing: What that network has, or None.
    """

    origin: str
    tensors: dict[str, np.ndarray]
    key: str | None = None
    config: dict | None = None
    network: Network | None = None
    preprocessing: Preprocessing | None = None


def read_source(source, key: str | None, model: keras.Model) -> Source:
    """Read all tensors of a source.

    Args:
        source: As for `load_weights_from`.
        key: Key of the state dictionary, or None.
        model: What they are for.

    Raises:
        ValueError: If there is no such source, or it is damaged.
        ImportError: If a package is missing.
        ConnectionError: If the hub cannot be reached.
    """
    if isinstance(source, keras.Model):
        return _of_model(f"model {source.name!r}", source)
    if not isinstance(source, str | os.PathLike) or not os.fspath(source):
        raise _no_source(source)
    path = Path(source)
    config = None
    origin = os.fspath(source)
    if path.is_dir():
        config = path / CONFIG
        found = [path / name for name in FILENAMES if (path / name).is_file()]
        path = found[0] if found else None
    elif path.is_file():
        config = path.parent / CONFIG
    elif (
        isinstance(source, str)
        and _hub.is_name(source)
        and not source.endswith(ENDINGS)
    ):
        path = _hub.download(source, FILENAMES)
        config = _hub.download(source, (CONFIG,))
        if path is not None and "@" not in source:
            origin += f"@{_hub.revision_of(path)}"
    else:
        raise _no_source(source)
    if path is None:
        raise ValueError(
            f"`source` must have one of the files {', '.join(FILENAMES)}. "
            f"Received: source={origin!r}"
        )
    loaded = read_keras_file(path, model) if key is None else None
    if loaded is not None:
        return _of_model(origin, loaded)
    tensors, key = read_tensors(path, key)
    return Source(origin, tensors, key, _read_config(config))


def _of_model(origin, model):
    return Source(
        origin,
        tensors_of(model),
        network=network_of(model),
        preprocessing=getattr(model, "preprocessing", None),
    )


def _no_source(source):
    return ValueError(
        "`source` must be a file, a folder, a name on the hub such as "
        "'timm/resnet50d.ra4_e3600_r224_in1k', or a model of ours or of "
        f"keras.applications. Received: source={source!r}"
    )


def _read_config(path) -> dict | None:
    """Return what timm writes beside weights, or None."""
    if path is None or not path.is_file():
        return None
    try:
        config = parse_json(path.read_text("utf-8"))
        # The first files had no section of its own.
        config = config.get("pretrained_cfg", config)
        known = {"mean", "std", "input_size"} <= set(config)
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            "`source` must have a config.json that is JSON, an object. "
            f"Received: {os.fspath(path)!r}"
        ) from error
    return config if known else None


def preprocessing_from_timm(
    config: dict, sides: tuple[int | None, int | None]
) -> Preprocessing | None:
    """Read what timm does to images before it evaluates a network.

    Args:
        config: The `pretrained_cfg` of its config.json.
        sides: Height and width that the model takes, None for any. Unless
            they are others, those of timm's evaluation are chosen, and else
            those of its training.

    Returns:
        A `Preprocessing`, or None if it is none: for a crop other than the
        central one.

    Raises:
        ValueError: If a value is out of range.

    Example:
    >>> preprocessing_from_timm(
    ...     {"input_size": [3, 224, 224], "crop_pct": 0.95,
    ...      "mean": [0.5] * 3, "std": [0.5] * 3}, (None, None)
    ... ).short_side
    235
    """
    if config.get("crop_mode", "center") != "center":
        return None
    size = config["input_size"][-2:]
    crop = config.get("crop_pct") or 0.875
    test_size = (config.get("test_input_size") or config["input_size"])[-2:]
    if all(
        side in (None, own) for side, own in zip(sides, test_size, strict=True)
    ):
        size, crop = test_size, config.get("test_crop_pct") or crop
    return Preprocessing(
        image_size=size,
        # timm rounds the short side down.
        crop_ratio=size[0] / math.floor(size[0] / crop),
        interpolation=config.get("interpolation") or "bicubic",
        mean=tuple(255 * value for value in config["mean"]),
        std=tuple(255 * value for value in config["std"]),
    )
