import dataclasses
import errno
import importlib.util
import os
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from keras_tricks import Recipe
from keras_tricks._keras_version import keras_version
from keras_tricks.data import Preprocessing
from keras_tricks.data.sources.load import load_digits
from keras_tricks.data.transforms import channel_statistics
from keras_tricks.evaluation import Classifier
from keras_tricks.export import (
    FORMATS,
    check_format,
    example_inputs,
    export_model,
    with_precision,
)
from keras_tricks.layers import BasicBlock, ConvNorm

BACKEND = keras.backend.backend()
EXAMPLES = np.random.default_rng(0).normal(size=(7, 12, 12, 3))
EXAMPLES = EXAMPLES.astype("float32")


@pytest.fixture(scope="module")
def model():
    return network()


def network(dtype="float32", seed=0):
    keras.utils.set_random_seed(seed)
    options = {"data_format": "channels_last", "dtype": dtype}
    inputs = keras.Input((12, 12, 3))
    x = ConvNorm(4, 3, strides=2, **options)(inputs)
    x = BasicBlock(6, strides=2, **options)(x)
    x = keras.layers.GlobalAveragePooling2D(**options)(x)
    return keras.Model(inputs, keras.layers.Dense(5, dtype="float32")(x))


def logits(model, x=EXAMPLES):
    return keras.ops.convert_to_numpy(model(x, training=False))


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_file_is_verified_and_alone(name, model, tmp_path):
    format_ = FORMATS[name]
    path = tmp_path / f"network{format_.suffix}"
    if BACKEND not in format_.backends:
        message = (
            rf"`format` must be one of 'keras', .* on {BACKEND}\. .* "
            rf"KERAS_BACKEND=(tensorflow|torch)\. Received: .*{name}"
        )
        with pytest.raises(ValueError, match=message):
            export_model(model, path, name, EXAMPLES)
        assert not list(tmp_path.iterdir())
        return
    if format_.since.get(BACKEND, (0, 0)) > keras_version():
        with pytest.raises(ValueError, match=f"{name} needs Keras 3"):
            export_model(model, path, name, EXAMPLES)
        return
    needed = format_.packages.get(BACKEND, ())
    for package in needed:
        pytest.importorskip(package, reason=f"{name} needs {package}")
    report = export_model(model, path, name, EXAMPLES)
    assert list(tmp_path.iterdir()) == [path]
    assert report.images == report.same_class == 7
    assert 0 <= report.difference < 1e-4 * report.scale
    assert report.size > 1000 and str(path) in str(report)
    # Any number of images.
    run = format_.read(str(path))
    for count in (1, 3):
        np.testing.assert_allclose(
            run(EXAMPLES[:count]), logits(model)[:count], atol=1e-4
        )


def test_what_keras_writes_otherwise_is_in_an_onnx_file(tmp_path):
    """Layer norms of PyTorch, GELU and normalizations of TensorFlow."""
    try:
        check_format("onnx")
    except (ValueError, ImportError) as error:
        pytest.skip(str(error))
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Normalization(mean=[1, 2, 3], variance=[1, 4, 9])(inputs)
    x = keras.layers.LayerNormalization(epsilon=1e-3)(x)
    x = keras.layers.Dense(4, activation="gelu")(x)
    x = keras.layers.LayerNormalization()(keras.layers.Flatten()(x))
    model = keras.Model(inputs, keras.layers.Dense(5)(x))
    report = export_model(model, tmp_path / "n.onnx", "onnx", EXAMPLES)
    assert report.difference < 1e-4 * report.scale


def test_a_format_that_keras_does_not_write_yet_is_refused(monkeypatch):
    changed = dataclasses.replace(FORMATS["keras"], since={BACKEND: (9, 1)})
    monkeypatch.setitem(FORMATS, "keras", changed)
    message = rf"Keras {keras.__version__} writes on .* needs Keras 9\.1 or"
    with pytest.raises(ValueError, match=message):
        check_format("keras")


def test_a_missing_package_is_named(monkeypatch):
    needs = {"any": ("json", "no_such_package")}
    changed = dataclasses.replace(FORMATS["keras"], packages=needs)
    monkeypatch.setitem(FORMATS, "keras", changed)
    with pytest.raises(ImportError, match=r"\[export\]\"`. .*no_such_package"):
        check_format("keras")


def test_a_missing_backend_is_an_extra_of_its_own(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    needs = {"any": ("tensorflow",)}
    changed = dataclasses.replace(FORMATS["keras"], packages=needs)
    monkeypatch.setitem(FORMATS, "keras", changed)
    with pytest.raises(ImportError, match=r"\[tensorflow\]\"`. Received"):
        check_format("keras")


def wrong_weights(model, path):
    other = network()
    other.set_weights([1.01 * w for w in model.get_weights()])
    other.save(path)


def nan_weights(model, path):
    other = network()
    other.set_weights([np.nan * w for w in model.get_weights()])
    other.save(path)


def no_file(model, path):
    del model, path


def half_a_file(model, path):
    model.save(path)
    with open(path, "r+b") as file:
        file.truncate(500)


READ = FORMATS["keras"].read


def fixed_batch(path):
    whole = READ(path)
    return lambda x: np.resize(whole(x), (7, 5))


FAILURES = {
    "other weights": ({"write": wrong_weights}, "not kept. Received: a diff"),
    "NaN": ({"write": nan_weights}, "not kept. Received: a difference of nan"),
    "no file": ({"write": no_file}, "`model` must be one that keras can hold"),
    "half a file": ({"write": half_a_file}, "`model` must be one that keras"),
    "one batch size": ({"read": fixed_batch}, "must give outputs of shape"),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("before", [False, True])
def test_nothing_is_left_of_a_wrong_file(
    name, before, model, tmp_path, monkeypatch
):
    changes, expected = FAILURES[name]
    path = tmp_path / "network.keras"
    if before:
        path.write_bytes(b"an older one")
    changed = dataclasses.replace(FORMATS["keras"], **changes)
    monkeypatch.setitem(FORMATS, "keras", changed)
    with pytest.raises(RuntimeError, match=expected) as caught:
        export_model(model, path, "keras", EXAMPLES, overwrite=before)
    assert len(str(caught.value).splitlines()) == 1
    assert "Received: " in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["network.keras"] * before
    if before:
        assert path.read_bytes() == b"an older one"


def test_a_full_disk_is_not_the_models_fault(model, tmp_path, monkeypatch):
    def full(model, path):
        raise RuntimeError(f"write failed: {os.strerror(errno.ENOSPC)}")

    keras_format = dataclasses.replace(FORMATS["keras"], write=full)
    monkeypatch.setitem(FORMATS, "keras", keras_format)
    with pytest.raises(OSError, match="model.keras could not .*No space left"):
        export_model(model, tmp_path / "model.keras", "keras", EXAMPLES)
    # Before it is begun: some writers end the process.
    monkeypatch.undo()
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="model.keras could not .*No space left"):
        export_model(model, tmp_path / "model.keras", "keras", EXAMPLES)
    assert not list(tmp_path.iterdir())


def test_the_tolerance_decides(model, tmp_path, monkeypatch):
    changed = dataclasses.replace(FORMATS["keras"], write=wrong_weights)
    monkeypatch.setitem(FORMATS, "keras", changed)
    path = tmp_path / "network.keras"
    report = export_model(model, path, "keras", EXAMPLES, tolerance=0.2)
    assert 0.005 < report.difference / report.scale < 0.2


@pytest.mark.parametrize("folder", [False, True])
def test_overwriting(folder, model, tmp_path, monkeypatch):
    def write(model, path):
        os.mkdir(path)
        model.save(f"{path}/inside.keras")

    if folder:
        keras_format = FORMATS["keras"]
        changed = dataclasses.replace(
            keras_format,
            suffix="",
            write=write,
            read=lambda path: keras_format.read(f"{path}/inside.keras"),
        )
        monkeypatch.setitem(FORMATS, "keras", changed)
    path = tmp_path / ("network" if folder else "network.keras")
    export_model(model, path, "keras", EXAMPLES)
    with pytest.raises(ValueError, match="`path` must be new unless"):
        export_model(model, path, "keras", EXAMPLES)
    other = network(seed=3)
    export_model(other, path, "keras", EXAMPLES, overwrite=True)
    assert list(tmp_path.iterdir()) == [path]
    outputs = FORMATS["keras"].read(str(path))(EXAMPLES)
    np.testing.assert_allclose(outputs, logits(other), atol=1e-5)


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"path": "network.h5"}, "`path` must end in .keras. Received: path="),
        ({"path": "nothere/n.keras"}, "`path` must be in a folder that exists"),
        ({"format": "pb"}, "`format` must be one of 'keras'"),
        ({"examples": EXAMPLES[:1]}, "`examples` must be at least two float32"),
        ({"examples": EXAMPLES[:, :5]}, "`examples` must be at least two"),
        ({"examples": EXAMPLES[0]}, "`examples` must be at least two"),
        ({"examples": EXAMPLES > 0}, "`examples` must be .*dtype=bool"),
        ({"tolerance": -1}, "`tolerance` must be"),
    ],
)
def test_mistakes_are_told(changes, expected, model, tmp_path):
    given = {"path": "network.keras", "format": "keras", "examples": EXAMPLES}
    given |= changes
    given["path"] = tmp_path / given["path"]
    with pytest.raises(ValueError, match=expected):
        export_model(model, **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_another_precision(dtype):
    mixed = network(dtype)
    plain = with_precision(mixed)
    reference = network()
    reference.set_weights(mixed.get_weights())
    np.testing.assert_allclose(logits(plain), logits(reference), atol=1e-6)
    assert all(layer.compute_dtype == "float32" for layer in plain.layers)
    assert plain.layers[1].compute_dtype != mixed.layers[1].compute_dtype


def test_a_policy_that_there_is_not(model):
    with pytest.raises(ValueError, match="`dtype` must be .* dtype='float17'"):
        with_precision(model, "float17")


def test_16_bits_are_tolerated(tmp_path):
    mixed = network("mixed_float16")
    path = tmp_path / "n.keras"
    report = export_model(mixed, path, "keras", EXAMPLES)
    assert report.difference <= 2e-2 * report.scale


OWN = Preprocessing(12, 0.75, mean=(90, 100, 110), std=(50, 60, 70))


def test_examples_from_files(model, tmp_path):
    expected = []
    for number in range(5):
        pixels = np.full((20, 30, 3), 10 * number, "uint8")
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        expected.append((pixels[:12, :12] - np.array(OWN.mean)) / OWN.std)
    (tmp_path / "5.png").write_bytes(b"damaged")
    x = example_inputs(Classifier(model, OWN), tmp_path)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, expected, atol=1e-5)
    few = example_inputs(Classifier(model, OWN), tmp_path, samples=3)
    assert len(few) == 3
    for image in few:
        assert any(np.array_equal(image, other) for other in x)


def test_examples_from_an_archive(model, tmp_path):
    images = np.full((4, 12, 12, 3), 7, "uint8")
    path = tmp_path / "images.npz"
    y = np.arange(4) % 2
    np.savez(path, x_train=images, y_train=y, x_test=images, y_test=y)
    x = example_inputs(Classifier(model, OWN), path)
    assert x.shape == (4, 12, 12, 3)
    np.testing.assert_allclose(x[0, 0, 0], (7 - np.array(OWN.mean)) / OWN.std)


def test_the_examples_of_a_run_are_its_validation_images():
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Dense(10)(keras.layers.Flatten()(inputs))
    classifier = Classifier(
        keras.Model(inputs, outputs), recipe=Recipe(test_samples=20)
    )
    x = example_inputs(classifier, samples=10)
    digits = load_digits().take(test_samples=20)
    mean, std = channel_statistics(digits.x_train)
    expected = (digits.x_test[:10] - mean) / std
    np.testing.assert_allclose(x, expected, atol=1e-5)


def test_noise_must_be_asked_for(model):
    classifier = Classifier(model)
    with pytest.raises(ValueError, match="`data_dir` must be given to verify"):
        example_inputs(classifier)
    x = example_inputs(classifier, random_images=True, samples=50)
    assert x.shape == (50, 12, 12, 3) and abs(x.std() - 1) < 0.02
    with pytest.raises(ValueError, match="`samples` must be an integer of at"):
        example_inputs(classifier, samples=1)


def test_examples_that_cannot_be_read(model, tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="`data_dir` must hold images .*0.png"):
        example_inputs(Classifier(model, OWN), tmp_path)
