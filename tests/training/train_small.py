"""Runs `recipes/train.py` with the small network of the tests."""

import os
import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "recipes"), str(Path(__file__).parent)]

if __name__ == "__main__":
    if os.environ["KERAS_BACKEND"] != "tensorflow":
        # `keras.utils.set_random_seed` would import it: 5 s.
        sys.modules["tensorflow"] = None
    import keras_backend as keras_backend
    from small_network import small_network

    from keras_tricks import training

    training.run.build_model = small_network
    runpy.run_path(str(ROOT / "recipes" / "train.py"), run_name="__main__")
