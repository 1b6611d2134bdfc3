"""Our own networks as a source: in memory, in .keras and in .weights.h5."""

import os
import zipfile
from pathlib import Path

import keras
import numpy as np

from keras_tricks._checks import first_line
from keras_tricks._untrusted import check_weights, load_model
from keras_tricks.models.weights._layout import Layout, Naming
from keras_tricks.models.weights._units import HEAD, Network, find_network

NAME = "keras_tricks"
PATHS = Naming(
    kernel="/conv/kernel",
    bias="/conv/bias",
    gamma="/norm/gamma",
    beta="/norm/beta",
    moving_mean="/norm/moving_mean",
    moving_variance="/norm/moving_variance",
    conv="hwio->hwio",
    depthwise="hwc1->hwc1",
)


def layout_of(network: Network) -> Layout:
    """Return the layout of a network of ours: its own paths and traits."""
    norms = {u.layer.norm.epsilon for u in network.units if not u.is_head}
    traits = network.traits
    return Layout(
        NAME,
        network.family,
        PATHS,
        rows=((r"(?P<path>.+)", "{path}", "{path}"),),
        head=(f"{HEAD}/kernel", f"{HEAD}/bias", "io->io"),
        variants=traits.get("variant", ""),
        epsilon=norms.pop(),
        activation=traits["activation"],
        padding=traits["padding"],
        strides=traits["strides"],
    )


def network_of(model: keras.Model) -> Network | None:
    """Return what a model of ours is, and None for any other."""
    try:
        return find_network(model)
    except ValueError:
        return None


def tensors_of(model: keras.Model) -> dict[str, np.ndarray]:
    """Return the weights of a Keras model by their paths."""
    return {
        weight.path: keras.ops.convert_to_numpy(weight)
        for weight in model.weights
    }


def read_keras_file(path: Path, model: keras.Model) -> keras.Model | None:
    """Load a file that `save` or `save_weights` of Keras 3 has written.

    Args:
        path: The file, whatever its name.
        model: The model that weights alone are of. It is not changed.

    Returns:
        A model with the weights, or None if the file is of another kind.

    Raises:
        ValueError: If Keras cannot read the file, or not for this model.
    """
    if _is_model(path):
        return _try(path, lambda: load_model(path))
    if not _is_weights(path):
        return None
    clone = keras.models.clone_model(model)

    def load():
        # Keras goes by the ending.
        if not path.name.endswith(".weights.h5"):
            raise ValueError("its name must end in .weights.h5")
        check_weights(path)
        clone.load_weights(path)
        return clone

    return _try(path, load)


def _is_model(path):
    try:
        with zipfile.ZipFile(path) as archive:
            return "model.weights.h5" in archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False


def _is_weights(path):
    with open(path, "rb") as file:
        if not file.read(8).startswith(b"\x89HDF\r\n"):
            return False
    import h5py

    try:
        with h5py.File(path) as file:
            # Stops at the first name that is true.
            found = file.visit(lambda name: name.endswith("/vars") or None)
    except Exception:  # The library fails in many ways; the reader says it.
        return False
    return found is not None


def _try(path, load):
    try:
        return load()
    except Exception as error:  # Layers fail in ways of their own.
        raise ValueError(
            "`source` must be a file that Keras can load, of this model if it "
            f"holds weights alone ({first_line(error)}). "
            f"Received: source={os.fspath(path)!r}"
        ) from error
