"""The state of a run in the files of a backup, and out of them."""

import re

import keras
import numpy as np
from keras import ops

from keras_tricks import _backend
from keras_tricks._checks import first_line
from keras_tricks._untrusted import parse_json, read_arrays

_NAME = re.compile(r"epoch_(\d+)(?:_step_(\d+))?")
# What `fit` itself changes before the first step that counts.
IN_FIT = ("seeds", "random", "metrics")


def name(epoch, step):
    """Return what a backup is called."""
    return f"epoch_{epoch:05d}" + (f"_step_{step:07d}" if step else "")


def place(path):
    """Read epochs and steps done from the name of a backup's folder."""
    match = _NAME.fullmatch(path.name)
    return match and (int(match[1]), int(match[2] or 0))


def find_all(folder):
    """Return the backups in a folder by their place, and what is none."""
    backups, strays = {}, []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        where = place(path)
        if where is None:
            continue
        own = path.name == name(*where)
        if own and path.is_dir() and not path.is_symlink():
            backups[where] = path
        else:
            strays.append(path)
    return backups, strays


def find_fault(path, state, more, wanted):
    """Say why a backup is not what its folder is called, or None.

    Args:
        path: Its folder.
        state: Arrays by part, from `read`.
        more: What else it holds.
        wanted: Names of the other objects whose state it must hold.
    """
    if not isinstance(more, dict) or not isinstance(more.get("parts"), dict):
        return f"{path.name} is of another version"
    if more.get("place") != list(place(path)):
        return f"{path.name} is a copy of another one"
    for part in wanted:
        if part not in more["parts"]:
            return f"there is no {part} in {path.name}"
    for part, arrays in state.items():
        for key, array in arrays.items():
            if array.dtype.kind not in "fiub":
                return f"{part}/{key} in {path.name} is no array of numbers"
    same = more.get("backend") == keras.backend.backend()
    own = _backend.get_random_state() if same else {}
    found = state["random"].get("cpu")
    if "cpu" in own and (found is None or found.shape != own["cpu"].shape):
        return f"there is no state of random numbers in {path.name}"
    return None


def variables(model):
    """Return all variables that decide how training goes on."""
    known = {id(variable) for variable in model.weights}
    return {
        "weights": model.weights,
        "optimizer": model.optimizer.variables,
        "seeds": [v for v in model.variables if id(v) not in known],
        "metrics": model.metrics_variables,
    }


def numbered(arrays):
    return {f"{index:05d}": array for index, array in enumerate(arrays)}


def assign(variables, arrays):
    for variable, array in zip(variables, arrays.values(), strict=True):
        variable.assign(array)


def to_array(variable):
    array = np.array(ops.convert_to_numpy(variable))
    # NumPy files do not know bfloat16; float32 holds it exactly.
    return array.astype("float32") if array.dtype.kind == "V" else array


def flat(state):
    return {
        f"{part}/{name}": array
        for part, arrays in state.items()
        for name, array in arrays.items()
    }


def read(path):
    """Return the arrays of a backup by their part, and what else it holds."""
    state = {part: {} for part in ("weights", "optimizer", *IN_FIT)}
    try:
        for key, array in read_arrays(path / "state.npz").items():
            part, name = key.split("/")
            state.setdefault(part, {})[name] = array
        more = parse_json((path / "state.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            "`folder` must hold backups of this version "
            f"({first_line(error)}). Received: folder={str(path.parent)!r}"
        ) from None
    return state, more
