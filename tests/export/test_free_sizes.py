"""Networks of images of any size: right at each, or of one size, and said."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_tricks.export import FORMATS, check_format, export_model
from keras_tricks.export.export_model import other_sizes

BACKEND = keras.backend.backend()
EXAMPLES = np.random.default_rng(0).normal(size=(2, 32, 32, 3))
EXAMPLES = EXAMPLES.astype("float32")
# What pads by the size that it was traced with, or knows no free sizes.
OF_ONE_SIZE = {"torch": {"onnx", "torch"}, "jax": {"savedmodel"}}


def network(same):
    """Two strides of 2; with "same", the padding is of the size."""
    keras.utils.set_random_seed(0)
    last = {"data_format": "channels_last"}
    padding = "same" if same else "valid"
    x = inputs = keras.Input((None, None, 3))
    for filters in (4, 6):
        if not same:
            x = keras.layers.ZeroPadding2D(1, **last)(x)
        x = keras.layers.Conv2D(filters, 3, 2, padding, **last)(x)
    x = keras.layers.GlobalAveragePooling2D(**last)(x)
    return keras.Model(inputs, keras.layers.Dense(5)(x))


@pytest.mark.parametrize("name", ["onnx", "torch", "savedmodel", "litert"])
def test_right_at_every_size_or_of_one(name, tmp_path):
    try:
        format_ = check_format(name)
    except (ValueError, ImportError) as error:
        pytest.skip(str(error))
    model, path = network(same=True), tmp_path / f"network{format_.suffix}"
    report = export_model(model, path, name, EXAMPLES)
    assert list(tmp_path.iterdir()) == [path]
    assert bool(report.fixed) == (name in OF_ONE_SIZE.get(BACKEND, ()))
    run = format_.read(str(path))
    sizes = [(32, 32)]
    if report.fixed:
        assert report.input_shape == (None, 32, 32, 3)
        assert "; for images of 32 x 32 x 3 alone (" in str(report)
    else:
        assert report.input_shape == (None, None, None, 3)
        assert "alone" not in str(report)
        sizes += [(31, 33), (30, 47)]
    for height, width in sizes:
        x = np.resize(EXAMPLES, (3, height, width, 3))
        expected = model.predict_on_batch(x)
        np.testing.assert_allclose(run(x), expected, atol=1e-5)


@pytest.mark.skipif(BACKEND != "torch", reason="its ONNX alone is in question")
def test_padding_that_is_the_same_at_every_size_stays_free(tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "network.onnx"
    model = network(same=False)
    report = export_model(model, path, "onnx", EXAMPLES)
    assert not report.fixed and report.input_shape[1] is None
    run = FORMATS["onnx"].read(str(path))
    x = EXAMPLES[:, :27, :31]
    np.testing.assert_allclose(run(x), model.predict_on_batch(x), atol=1e-5)


def test_a_file_that_is_wrong_at_another_size_alone_is_not_kept(
    tmp_path, monkeypatch
):
    def read(path):
        right = FORMATS["keras"].read(path)
        return lambda x: right(x) + (x.shape[1] != 32)

    wrong = dataclasses.replace(FORMATS["keras"], name="wrong", read=read)
    monkeypatch.setitem(FORMATS, "wrong", wrong)
    path = tmp_path / "network.keras"
    report = export_model(network(same=True), path, "wrong", EXAMPLES)
    assert report.fixed.startswith("The file's outputs must differ by at most")
    saved = keras.saving.load_model(path)
    assert saved.input_shape == report.input_shape == (None, 32, 32, 3)


@pytest.mark.parametrize("size", [7, 32, 33, 75, 224, 299])
def test_the_other_size_has_the_other_parity_at_each_level(size):
    """Where only the third stride pads by the size, it shows as well."""
    x = np.zeros((1, size, 5, 3), "float32")
    other = other_sizes(x, (None, None, 5, 3)).shape
    assert other[2:] == (5, 3) and other[1] >= size / 2
    for level in range(5):
        halved = [-(-side // 2**level) for side in (size, other[1])]
        assert sum(halved) % 2 == 1
