"""The random generator that is not a variable of the model."""

import keras
import numpy as np


def get_random_state() -> dict:
    """Return the state of the backend's own random numbers, as NumPy arrays.

    Torch's are drawn by `keras.layers.Dropout` without a seed and by data
    loaders; elsewhere Keras has all state in variables.
    """
    if keras.backend.backend() != "torch":
        return {}
    import torch

    states = {"cpu": torch.get_rng_state()}
    for index in range(torch.cuda.device_count()):
        states[f"cuda_{index}"] = torch.cuda.get_rng_state(index)
    return {name: state.numpy().copy() for name, state in states.items()}


def set_random_state(states: dict) -> None:
    """Go on with random numbers where `get_random_state` was called."""
    if keras.backend.backend() != "torch":
        return
    import torch

    for name, state in states.items():
        state = torch.from_numpy(np.array(state, "uint8"))
        if name == "cpu":
            torch.set_rng_state(state)
        elif int(name[5:]) < torch.cuda.device_count():
            torch.cuda.set_rng_state(state, int(name[5:]))
