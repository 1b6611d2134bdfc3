"""The package imports with one backend and neither of the others."""

import os
import subprocess
import sys

import keras
import pytest

BACKENDS = {"tensorflow", "jax", "torch"}

SCRIPT = """
import sys
from importlib.machinery import PathFinder

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in {blocked}:
            return PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = NotInstalled()
import keras_tricks
model = keras_tricks.models.ResNet18D(
    num_classes=3, width=2, input_shape=(32, 32, 3)
)
model.compile(
    keras_tricks.optimizers.SGD(0.1),
    keras_tricks.losses.LabelSmoothedCrossentropy(),
)
import numpy as np
mix_up = keras_tricks.layers.MixUp(num_classes=3)
x, y = mix_up(np.zeros((4, 32, 32, 3), "uint8"), np.arange(4) % 3)
print(model.train_on_batch(x, y) > 0)
"""


def run(script, backend):
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )


def test_with_this_backend_alone():
    backend = keras.backend.backend()
    blocked = sorted(BACKENDS - {backend})
    result = run(SCRIPT.replace("{blocked}", repr(blocked)), backend)
    assert result.stdout.strip().endswith("True"), result.stderr[-2000:]


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="TensorFlow is the backend"
)
def test_tensorflow_is_not_imported():
    script = "import sys, keras_tricks; print('tensorflow' in sys.modules)"
    result = run(script, keras.backend.backend())
    assert result.stdout.strip() == "False", result.stderr[-2000:]
