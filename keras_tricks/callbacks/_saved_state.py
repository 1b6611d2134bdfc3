"""The state of a run in the files of a backup, and out of them."""

import re

import numpy as np
from keras import ops

from keras_tricks._untrusted import parse_json, read_arrays

NAME = re.compile(r"epoch_(\d+)(?:_step_(\d+))?")
# What `fit` itself changes before the first step that counts.
IN_FIT = ("seeds", "random", "metrics")


def place(path):
    """Read epochs and steps done from the name of a backup's folder."""
    match = NAME.fullmatch(path.name)
    return match and (int(match[1]), int(match[2] or 0))


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
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"`folder` must hold backups of this version ({reason}). "
            f"Received: folder={str(path.parent)!r}"
        ) from None
    return state, more
