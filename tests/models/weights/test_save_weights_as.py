"""Our weights as timm's: bit for bit, and torch takes them."""

import keras
import numpy as np
import pytest

from keras_tricks.data.transforms.preprocessing import Preprocessing
from keras_tricks.models import (
    InceptionV3,
    MobileNet,
    ResNet,
    load_weights_from,
    save_weights_as,
)

SIZE = {"input_shape": (32, 32, 3)}
NETWORKS = {
    "resnet18_b": lambda: ResNet(18, "B", 5, width=4, **SIZE),
    "resnet18_a": lambda: ResNet(18, "A", 5, width=4, **SIZE),
    "resnet34_c": lambda: ResNet(34, "C", 5, width=4, **SIZE),
    "resnet50_b": lambda: ResNet(50, "B", 5, width=4, **SIZE),
    "resnet50_d": lambda: ResNet(50, "D", 5, width=4, **SIZE),
    "headless": lambda: ResNet(18, "D", include_top=False, width=4, **SIZE),
    "inception_v3": lambda: InceptionV3(
        5, width_multiplier=0.1, input_shape=(75, 75, 3)
    ),
    "mobilenet": lambda: MobileNet(
        5, width_multiplier=0.1, activation="relu6", **SIZE
    ),
}


def randomized(name, seed=0):
    model = NETWORKS[name]()
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(rng.uniform(0.1, 1, weight.shape).astype("float32"))
    return model


def numpy(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


@pytest.mark.parametrize("name", list(NETWORKS))
def test_there_and_back(name, tmp_path):
    model = randomized(name)
    path = save_weights_as(model, tmp_path / "w.npz")
    other = randomized(name, seed=1)
    report = load_weights_from(other, path)
    assert report.layout == "timm"
    assert report.tensors == len(model.weights)
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numpy(ours), numpy(theirs))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_kinds_of_files(suffix, tmp_path):
    model = randomized("resnet18_b")
    if suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="it writes these files")
    else:
        pytest.importorskip("torch", reason="it writes these files")
    path = save_weights_as(model, tmp_path / f"w{suffix}", "torchvision")
    other = randomized("resnet18_b", seed=1)
    load_weights_from(other, path)
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numpy(ours), numpy(theirs))


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("resnet50_d", lambda peers: peers.TorchResNet(50, "D", 5, 4)),
        ("inception_v3", lambda peers: peers.TorchInceptionV3(5, 0.1)),
        ("mobilenet", lambda peers: peers.TorchMobileNet(5, 0.1, "relu6")),
    ],
)
def test_torch_takes_the_file(name, peer, tmp_path):
    from .. import torch_models

    torch = torch_models.torch
    path = save_weights_as(randomized(name), tmp_path / "w.pth")
    network = peer(torch_models)
    network.load_state_dict(torch.load(path), strict=True)


def test_another_epsilon_is_made_up_for(tmp_path):
    model = randomized("mobilenet")
    norm = model.get_layer("stem").norm
    norm.epsilon = 1e-3
    norm.moving_variance.assign(np.full(norm.gamma.shape, 0.5, "float32"))
    path = save_weights_as(model, tmp_path / "w.npz")
    np.testing.assert_allclose(
        np.load(path)["bn1.running_var"], 0.5 + 1e-3 - 1e-5, rtol=1e-7
    )


@pytest.mark.parametrize(
    ("build", "layout", "message"),
    [
        (
            lambda: ResNet(50, "A", width=4, **SIZE),
            "timm",
            "`model` must be the function .*timm has variant 'B' for .*'A'",
        ),
        (
            lambda: MobileNet(width_multiplier=0.1, **SIZE),
            "timm",
            "timm has activation 'relu6' for the model's 'relu'$",
        ),
        (
            lambda: ResNet(18, "D", width=4, **SIZE),
            "torchvision",
            "`layout` must be one that has every layer .*'variant': 'D'",
        ),
        (
            lambda: MobileNet(width_multiplier=0.1, **SIZE),
            "torchvision",
            "`layout` must be one that has every layer",
        ),
        (
            lambda: ResNet(18, "B", width=4, **SIZE),
            "keras",
            "`layout` must be one of 'timm', 'torchvision'",
        ),
    ],
)
def test_networks_that_are_not_there(build, layout, message, tmp_path):
    with pytest.raises(ValueError, match=message) as error:
        save_weights_as(build(), tmp_path / "w.npz", layout)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "w.npz").exists()


def test_allowed_differences_there_and_back(tmp_path):
    model = ResNet(50, "A", 5, width=4, **SIZE)
    path = save_weights_as(model, tmp_path / "w.npz", allow_differences=True)
    other = ResNet(50, "A", 5, width=4, **SIZE)
    report = load_weights_from(other, path, allow_differences=True)
    assert report.differences == ("variant 'B' for the model's 'A'",)
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numpy(ours), numpy(theirs))


def test_wrong_arguments(tmp_path):
    model = NETWORKS["headless"]()
    with pytest.raises(ValueError, match="`path` must end in one of .safetens"):
        save_weights_as(model, tmp_path / "w.h5")
    with pytest.raises(ValueError, match="`path` must be in a folder"):
        save_weights_as(model, tmp_path / "none" / "w.npz")
    outputs = keras.layers.Dense(3, name="mine")(model.output)
    with pytest.raises(ValueError, match="with the variable 'mine/kernel'"):
        save_weights_as(keras.Model(model.inputs, outputs), tmp_path / "w.npz")


def test_preprocessing_is_saved_with_the_model(tmp_path):
    model = randomized("resnet18_b")
    assert model.preprocessing is None
    path = save_weights_as(model, tmp_path / "w.npz")
    load_weights_from(model, path, layout="torchvision")
    assert model.preprocessing == Preprocessing()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.preprocessing == Preprocessing()
    load_weights_from(model, path)
    assert model.preprocessing is None
