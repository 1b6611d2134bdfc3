"""An import brings what was asked for, on one backend, and no more."""

import importlib
import json
import os
import pkgutil
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_tricks
from keras_tricks import _registration

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


LOADED = """
import json, sys
import keras
loaded = {"keras": sorted(sys.modules)}
for name in {modules}:
    before = set(sys.modules)
    __import__(name)
    loaded[name] = sorted(set(sys.modules) - before)
    for ours in [n for n in sys.modules if n.split(".")[0] == "keras_tricks"]:
        del sys.modules[ours]
print(json.dumps(loaded))
"""
MAY_LOAD = {
    "keras_tricks": set(),
    "keras_tricks.losses": {"losses"},
    "keras_tricks.schedules": {"schedules"},
    "keras_tricks.optimizers": {"optimizers"},
    "keras_tricks.layers": {"layers"},
    "keras_tricks.metrics": {"metrics", "losses"},
}
HEAVY = {"PIL", "h5py", "jinja2", "matplotlib", "scipy", "sklearn"}


def test_a_room_loads_itself_and_what_it_is_made_of():
    backend = keras.backend.backend()
    result = run(LOADED.replace("{modules}", str(list(MAY_LOAD))), backend)
    assert result.returncode == 0, result.stderr[-2000:]
    loaded = json.loads(result.stdout)
    other_backends = BACKENDS - {backend}
    if backend != "tensorflow":
        assert "tensorflow" not in loaded["keras"]
    for module, rooms in MAY_LOAD.items():
        parts = [name.split(".") for name in loaded[module]]
        assert {part[0] for part in parts} & (HEAVY | other_backends) == set()
        ours = {
            part[1]
            for part in parts
            if part[0] == "keras_tricks" and len(part) > 1
        }
        assert {name for name in ours if not name.startswith("_")} == rooms
        if not rooms:
            assert ours == {"_registration", "_version"}


def test_the_names_of_the_package_are_there():
    for name in keras_tricks.__all__:
        assert getattr(keras_tricks, name) is not None
    assert dir(keras_tricks) == sorted(keras_tricks.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'loses'"):
        keras_tricks.loses  # noqa: B018
    with pytest.raises(ImportError, match="Recipes"):
        from keras_tricks import Recipes  # noqa: F401


def test_every_registered_object_is_found_by_name():
    for module in pkgutil.walk_packages(
        keras_tricks.__path__, prefix="keras_tricks."
    ):
        importlib.import_module(module.name)
    registered = {}
    for name, value in keras.saving.get_custom_objects().items():
        if name.startswith("keras_tricks>"):
            module = value.__module__.removeprefix("keras_tricks.")
            registered.setdefault(module, []).append(value.__name__)
    assert {
        module: sorted(names) for module, names in registered.items()
    } == _registration.MODULES


def test_a_stand_in_behaves_as_its_class():
    stand_in = _registration.StandIn("keras_tricks.schedules.warmup", "Warmup")
    schedule = stand_in(0.5, warmup_steps=2)
    assert isinstance(schedule, keras_tricks.schedules.Warmup)
    config = stand_in.from_config(schedule.get_config()).get_config()
    assert config == schedule.get_config()
    assert not hasattr(stand_in, "__len__")
    assert "schedules.warmup.Warmup" in repr(stand_in)


def test_the_package_waits_for_keras():
    code = """
import sys, keras_tricks
assert "keras" not in sys.modules
finder = sys.meta_path[0]
import keras
assert "keras_tricks>SGD" in keras.saving.get_custom_objects()
print(finder not in sys.meta_path)
"""
    result = run(code, keras.backend.backend())
    assert result.stdout.strip() == "True", result.stderr[-2000:]


LOAD = """
import keras
import numpy as np
try:
    keras.saving.load_model({path!r})
except TypeError as error:
    assert "Could not locate class 'ClassifierModel'" in str(error)
else:
    raise AssertionError("the package was there before its import")
import keras_tricks
model = keras.saving.load_model({path!r})
x, y = np.ones((2, 16, 16, 3), "float32"), np.array([0, 1])
print(repr(float(model.train_on_batch(x, y)[0])))
"""


def test_a_saved_model_loads_where_the_package_alone_is_imported(tmp_path):
    model = keras_tricks.models.ResNet18D(
        num_classes=3,
        width=2,
        small_images=True,
        zero_gamma=False,
        input_shape=(16, 16, 3),
    )
    schedule = keras_tricks.schedules.CosineDecay(0.1, decay_steps=10)
    model.compile(
        keras_tricks.optimizers.SGD(
            keras_tricks.schedules.Warmup(schedule, warmup_steps=2)
        ),
        keras_tricks.losses.LabelSmoothedCrossentropy(0.1),
        metrics=[keras_tricks.metrics.TopKAccuracy(2)],
    )
    x, y = np.ones((2, 16, 16, 3), "float32"), np.array([0, 1])
    model.train_on_batch(x, y)
    path = tmp_path / "model.keras"
    model.save(path)
    model.reset_metrics()
    loss = float(model.train_on_batch(x, y)[0])
    script = LOAD.format(path=str(path))
    result = run(script, keras.backend.backend())
    assert result.returncode == 0, result.stderr[-2000:]
    np.testing.assert_allclose(float(result.stdout), loss, rtol=1e-5)
