"""Weights of other libraries: our network is the same function as theirs."""

import re

import keras
import numpy as np
import pytest

from keras_tricks.data.transforms.preprocessing import Preprocessing
from keras_tricks.models import (
    InceptionV3,
    MobileNet,
    ResNet,
    load_weights_from,
)

from .. import torch_models
from ..torch_models import TorchInceptionV3, TorchMobileNet, TorchResNet, torch


def state_of(peer):
    return {k: v.numpy() for k, v in peer.state_dict().items()}


def write(path, state):
    np.savez(path, **state)
    return path


def images(size=64, batch=2):
    x = np.random.default_rng(1).normal(size=(batch, size, size, 3))
    return x.astype("float32")


def check_same_weights(model, other):
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_allclose(
            numpy(ours), numpy(theirs), rtol=0, atol=1e-6, err_msg=ours.path
        )


def numpy(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


def check_same_logits(model, peer, size=64):
    x = images(size)
    with torch.no_grad():
        expected = peer(torch.from_numpy(x.transpose(0, 3, 1, 2))).numpy()
    scale = np.abs(expected[0] - expected[1]).max()
    assert scale > 0.1 * np.abs(expected).max()
    actual = model.predict_on_batch(x)
    np.testing.assert_allclose(actual, expected, atol=1e-3 * scale)


def resnet(depth, variant, width=16, classes=10, **options):
    size = (64, 64, 3)
    return ResNet(
        depth, variant, classes, width=width, input_shape=size, **options
    )


PEERS = {
    "resnet18": (
        lambda: resnet(18, "B"),
        lambda: TorchResNet(18, "B", 10, 16),
    ),
    "resnet18 as A": (
        lambda: resnet(18, "A"),
        lambda: TorchResNet(18, "A", 10, 16),
    ),
    "resnet34d": (
        lambda: resnet(34, "D", 8),
        lambda: TorchResNet(34, "D", 10, 8),
    ),
    "resnet50": (
        lambda: resnet(50, "B"),
        lambda: TorchResNet(50, "B", 10, 16),
    ),
    "resnet50c": (
        lambda: resnet(50, "C"),
        lambda: TorchResNet(50, "C", 10, 16),
    ),
    "resnet50d": (
        lambda: resnet(50, "D"),
        lambda: TorchResNet(50, "D", 10, 16),
    ),
    "inception_v3": (
        lambda: InceptionV3(
            10, width_multiplier=0.25, input_shape=(107, 107, 3)
        ),
        lambda: TorchInceptionV3(10, 0.25),
    ),
    "mobilenetv1_100": (
        lambda: MobileNet(
            10,
            activation="relu6",
            width_multiplier=0.25,
            input_shape=(64, 64, 3),
        ),
        lambda: TorchMobileNet(10, 0.25, "relu6"),
    ),
}


@pytest.fixture(scope="module")
def as_timm(peers, tmp_path_factory):
    """Our networks with the weights of their peers, by timm's names."""

    def get(name):
        path = tmp_path_factory.mktemp("timm") / "w.npz"
        model = PEERS[name][0]()
        load_weights_from(model, write(path, state_of(peers(name))))
        return model

    return get


@pytest.fixture(scope="module")
def peers():
    """Torch networks with random weights, each made once."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = torch_models.randomize(PEERS[name][1]())
        return made[name]

    return get


@pytest.mark.parametrize("name", list(PEERS))
def test_timm(name, peers, tmp_path):
    state = state_of(peers(name))
    model = PEERS[name][0]()
    report = load_weights_from(model, write(tmp_path / "w.npz", state))
    counters = [k for k in state if k.endswith("num_batches_tracked")]
    assert report.layout == "timm"
    assert list(report.dropped) == counters
    assert report.tensors == len(state) - len(counters) == len(model.weights)
    assert report.values == model.count_params()
    check_same_logits(model, peers(name), model.input_shape[1])


def renamed(state, *rules):
    """Renames tensors by patterns, and drops the counters."""
    result = {}
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            for pattern, replacement in rules:
                name = re.sub(pattern, replacement, name)
            result[name] = tensor
    return result


def to_gluon(state):
    """Gluon's B, C and D have timm's layers, and gamma and beta."""
    kernels = {k for k, v in state.items() if v.ndim > 1} | {"fc.bias"}
    return {
        name
        if name in kernels
        else re.sub("weight$", "gamma", re.sub("bias$", "beta", name)): tensor
        for name, tensor in renamed(state).items()
    }


@pytest.mark.parametrize("name", ["resnet50", "resnet50c", "resnet50d"])
def test_gluon(name, peers, as_timm, tmp_path):
    state = to_gluon(state_of(peers(name)))
    assert {"bn1.gamma", "layer1.0.bn3.beta", "fc.bias"} <= set(state)
    model = PEERS[name][0]()
    report = load_weights_from(model, write(tmp_path / "w.npz", state))
    assert report.layout == "gluon"
    assert report.preprocessing == Preprocessing()
    check_same_weights(model, as_timm(name))


def test_gluon_of_the_first_version_has_biases_to_fold(tmp_path):
    peer = torch_models.randomize(TorchResNet(50, "A", 10, 16))
    state = to_gluon(state_of(peer))
    rng = np.random.default_rng(0)
    new = {}
    for name, tensor in state.items():
        stage, block, rest = re.fullmatch(
            r"(?:layer(\d)\.(\d+)\.)?(.*)", name
        ).groups()
        if stage is not None:
            prefix = f"features.{int(stage) + 3}.{block}."
            inner = re.fullmatch(r"(conv|bn)(\d)(\..*)", rest)
            if inner:
                kind, index, rest = inner.groups()
                index = 3 * int(index) - (3 if kind == "conv" else 2)
                rest = f"body.{index}{rest}"
            name = prefix + rest
        else:
            name = name.replace("conv1", "features.0")
            name = name.replace("bn1", "features.1").replace("fc", "output")
        new[name] = tensor
    assert "features.7.2.body.6.weight" in new
    # What gluon's 1x1 have: a bias, which the norm's mean takes back.
    for name in list(new):
        if re.search(r"body\.[06]\.weight", name):
            norm = re.sub(
                r"body\.([06])\.weight",
                lambda m: f"body.{int(m[1]) + 1}.running_mean",
                name,
            )
            bias = rng.normal(size=new[norm].shape).astype("float32")
            new[name.replace("weight", "bias")] = bias
            new[norm] = new[norm] + bias
    model = resnet(50, "A")
    report = load_weights_from(model, write(tmp_path / "w.npz", new))
    assert report.layout == "gluon"
    assert report.folded_biases == 32
    check_same_logits(model, peer)


PADDLE_NORM = {
    "weight": "scale",
    "bias": "offset",
    "running_mean": "mean",
    "running_var": "variance",
}


def to_paddle(state, depth):
    """Caffe's names: res4b22_branch2c, bn2a_branch1."""
    new = {}
    for name, tensor in renamed(state).items():
        layer, ending = name.rsplit(".", 1)
        block = re.fullmatch(r"layer(\d)\.(\d+)\.(.*)", layer)
        if name.startswith("fc."):
            new["fc_0.w_0" if tensor.ndim == 2 else "fc_0.b_0"] = tensor.T
            continue
        if block:
            stage, index, part = block.groups()
            letters = "abcdefgh"[int(index) % 8]
            if depth > 50 and stage == "3" and index != "0":
                letters = f"b{index}"
            branch = "1"
            if not part.startswith("downsample"):
                branch = "2" + "abc"[int(part[-1]) - 1]
            place = f"{int(stage) + 1}{letters}_branch{branch}"
        else:
            steps = {"0": 1, "1": 1, "3": 2, "4": 2, "6": 3, "bn1": 3}
            place = f"v1_{steps[layer.split('.')[-1]]}"
        if tensor.ndim == 4:
            kind = "con" if place.startswith("v") else "res"
            new[f"{kind}{place}_weights"] = tensor
        else:
            new[f"bn{place}_{PADDLE_NORM[ending]}"] = tensor
    return new


def test_paddle(peers, as_timm, tmp_path):
    state = to_paddle(state_of(peers("resnet50d")), 50)
    assert {"conv1_3_weights", "bnv1_1_scale"} <= set(state)
    model = PEERS["resnet50d"][0]()
    report = load_weights_from(model, write(tmp_path / "w.npz", state))
    assert report.layout == "paddle"
    check_same_weights(model, as_timm("resnet50d"))


def test_paddle_numbers_the_blocks_of_long_stages(tmp_path):
    state = to_paddle(state_of(TorchResNet(101, "D", 10, 4)), 101)
    last = np.arange(16, dtype="float32")
    state["bn4b22_branch2a_variance"] = last
    model = resnet(101, "D", 4)
    report = load_weights_from(model, write(tmp_path / "w.npz", state))
    assert report.tensors == len(state) == len(model.weights)
    norm = model.get_layer("stage3_block23").convs[0].norm
    np.testing.assert_array_equal(numpy(norm.moving_variance), last)


def test_paddle_by_layers(peers, as_timm, tmp_path):
    state = renamed(
        state_of(peers("resnet50")),
        (r"^conv1", "stem.0.conv"),
        (r"^bn1", "stem.0.bn"),
    )
    starts = {"1": 0, "2": 3, "3": 7, "4": 13}
    new = {}
    for name, tensor in state.items():
        block = re.fullmatch(r"layer(\d)\.(\d+)\.(\w+?)\.?(\d)\.(\w+)", name)
        if block:
            stage, index, part, number, ending = block.groups()
            if part == "downsample":
                part = "short"
                kind = "conv" if number == "0" else "bn"
            else:
                part, kind = f"conv{int(number) - 1}", part
            number = starts[stage] + int(index)
            name = f"blocks.{number}.{part}.{kind}.{ending}"
        name = name.replace("running_mean", "_mean")
        name = name.replace("running_var", "_variance")
        new[name] = tensor.T if name == "fc.weight" else tensor
    assert "blocks.13.short.bn._mean" in new
    model = resnet(50, "B")
    report = load_weights_from(model, write(tmp_path / "w.npz", new))
    assert report.layout == "paddle"
    check_same_weights(model, as_timm("resnet50"))


def test_torchvision_is_asked_for(peers, tmp_path):
    path = write(tmp_path / "w.npz", state_of(peers("resnet50")))
    assert load_weights_from(resnet(50, "B"), path).preprocessing is None
    model = resnet(50, "B")
    report = load_weights_from(model, path, layout="torchvision")
    assert report.layout == "torchvision"
    assert report.preprocessing == Preprocessing()
    with pytest.raises(ValueError, match="`layout` must be None or, for this"):
        load_weights_from(PEERS["mobilenetv1_100"][0](), path, "torchvision")


def test_auxiliary_heads_are_dropped(peers, tmp_path):
    state = state_of(peers("inception_v3"))
    state["AuxLogits.conv0.conv.weight"] = np.ones((4, 4, 1, 1), "float32")
    state["AuxLogits.fc.bias"] = np.ones(10, "float32")
    model = PEERS["inception_v3"][0]()
    path = write(tmp_path / "w.npz", state)
    report = load_weights_from(model, path, layout="torchvision")
    assert "AuxLogits.fc.bias" in report.dropped
    # torchvision's network makes this of ImageNet's normalization.
    assert report.preprocessing.mean == (127.5,) * 3
    assert report.preprocessing.short_side == 342
