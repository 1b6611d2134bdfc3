"""Files that do not fit the model: one line each, and nothing is changed."""

import re

import keras
import ml_dtypes
import numpy as np
import pytest

from keras_tricks.models import (
    MobileNet,
    ResNet,
    load_weights_from,
    save_weights_as,
)

SIZE = {"width": 2, "input_shape": (32, 32, 3)}


def numpy(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """ResNet-18-D of four classes with random weights, in timm's layout."""
    model = ResNet(18, "D", num_classes=4, **SIZE)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.uniform(0.1, 1, weight.shape).astype("float32"))
    path = tmp_path_factory.mktemp("state") / "state.npz"
    return dict(np.load(save_weights_as(model, path)))


@pytest.fixture(scope="module")
def model():
    """A model that no failure may change."""
    return ResNet(18, "D", num_classes=4, **SIZE)


@pytest.fixture
def load(state, tmp_path):
    """Loads a changed copy of the state into a new model."""

    def run(model=None, change=None, **options):
        tensors = dict(state)
        if change is not None:
            change(tensors)
        path = tmp_path / "weights.npz"
        np.savez(path, **tensors)
        model = model or ResNet(18, "D", num_classes=4, **SIZE)
        return model, load_weights_from(model, path, **options)

    return run


def fails(load, message, model, change=None, **options):
    """Checks the message, and that the model is as it was."""
    before = [numpy(weight) for weight in model.weights]
    with pytest.raises(ValueError) as error:
        load(model, change, **options)
    assert "\n" not in str(error.value)
    assert re.search(message, str(error.value)), str(error.value)
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, numpy(weight))


def test_images_of_other_channels(load):
    options = {**SIZE, "input_shape": (32, 32, 2)}
    message = "conv1.0.* for images of 3 channels, and the model takes 2$"
    fails(load, message, ResNet(18, "D", num_classes=4, **options))


def test_all_fits(load, state):
    model, report = load()
    assert report.tensors == len(state) == len(model.weights)
    head = model.get_layer("logits")
    np.testing.assert_array_equal(numpy(head.kernel), state["fc.weight"].T)
    assert str(report).startswith("loaded 112 tensors")


def remove(*names):
    return lambda tensors: [tensors.pop(name) for name in names]


def put(name, value):
    return lambda tensors: tensors.update({name: value})


WRONG = {
    "missing": (
        remove("layer2.0.downsample.1.weight"),
        r"missing: layer2\.0\.downsample\.1\.weight",
    ),
    "many missing": (
        lambda tensors: [
            tensors.pop(k) for k in list(tensors) if k.startswith("layer3")
        ],
        r"missing: layer3\.0\.conv1\.weight, .* and \d+ more",
    ),
    "extra": (
        put("layer5.conv.weight", np.ones(3)),
        r"unknown: layer5\.conv\.weight",
    ),
    "shape": (
        put("conv1.3.weight", np.ones((1, 1, 5, 5), "float32")),
        r"another shape: conv1\.3\.weight \(1, 1, 5, 5\) for \(1, 1, 3, 3\)",
    ),
    "our axes": (
        lambda tensors: tensors.update(
            {"layer4.0.conv1.weight": tensors["layer4.0.conv1.weight"].T}
        ),
        r"another shape: layer4\.0\.conv1\.weight \(3, 3, 8, 16\)",
    ),
    "nan": (
        put("bn1.bias", np.full(2, np.nan, "float32")),
        r"without finite floats: bn1\.bias \(float32\)",
    ),
    "integers": (
        put("bn1.bias", np.ones(2, "int64")),
        r"without finite floats: bn1\.bias \(int64\)",
    ),
    "overflow of float16": (
        lambda tensors: tensors.update(
            {"bn1.running_var": np.array([1.0, np.inf], "float16")}
        ),
        r"without finite floats: bn1\.running_var \(float16\)",
    ),
    "no head": (
        remove("fc.weight", "fc.bias"),
        r"missing: fc\.weight, fc\.bias",
    ),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_wrong_tensors(case, load, model):
    change, message = WRONG[case]
    fails(load, message, model, change)


def test_other_depth(load):
    model = ResNet(34, "D", num_classes=4, **SIZE)
    fails(load, r"nearest to layout 'timm'; missing: layer1\.2\.conv1", model)


def test_other_family(load):
    model = MobileNet(4, width_multiplier=0.1, input_shape=(32, 32, 3))
    fails(load, r"missing: conv_stem\.weight.*unknown: conv1\.0\.", model)


def test_other_classes(load):
    model = ResNet(18, "D", num_classes=7, **SIZE)
    fails(
        load,
        r"`skip_head` must be True .*, 4 classes in .*weights\.npz, 7 in the",
        model,
    )


def test_skip_head(load):
    model = ResNet(18, "D", num_classes=7, **SIZE)
    head = numpy(model.get_layer("logits").kernel)
    model, report = load(model, skip_head=True)
    np.testing.assert_array_equal(numpy(model.get_layer("logits").kernel), head)
    assert report.kept == ("logits/kernel", "logits/bias")
    assert report.dropped == ("fc.weight", "fc.bias")
    assert "kept logits/kernel, logits/bias" in str(report)
    stem = model.get_layer("stem").convs[0].norm.gamma
    assert numpy(stem).min() > 0 and not np.array_equal(numpy(stem), [1.0])


def test_a_file_without_head_into_a_model_with_one(load):
    _, report = load(change=remove("fc.weight", "fc.bias"), skip_head=True)
    assert report.dropped == ()
    assert report.kept == ("logits/kernel", "logits/bias")


def test_a_model_without_head(load):
    model = ResNet(18, "D", include_top=False, **SIZE)
    fails(load, r"unknown: fc\.bias, fc\.weight; skip_head=True", model)
    assert load(model, skip_head=True)[1].dropped == ("fc.weight", "fc.bias")


def test_a_model_with_another_head(load):
    body = ResNet(18, "D", include_top=False, pooling="avg", **SIZE)
    outputs = keras.layers.Dense(3, name="mine")(body.output)
    model = keras.Model(body.inputs, outputs)
    fails(load, r"in the model only: mine/kernel, mine/bias", model)
    assert load(model, skip_head=True)[1].kept == ("mine/kernel", "mine/bias")


def test_a_pyramid(load):
    body = ResNet(18, "D", include_top=False, **SIZE)
    model = keras.Model(body.inputs, body.pyramid)
    load(model, skip_head=True)
    assert numpy(body.get_layer("stage4_block2").residual_norm.gamma).all()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda: ResNet(18, "C", num_classes=4, **SIZE),
            r"`model` must be the function .* has variant 'D' for the .*'C'",
        ),
        (
            lambda: ResNet(18, "D", num_classes=4, activation="silu", **SIZE),
            r"has activation 'relu' for the model's 'silu'$",
        ),
        (
            lambda: ResNet(18, "D", num_classes=4, small_images=True, **SIZE),
            r"has strides '2' for the model's '1'$",
        ),
    ],
)
def test_other_functions_of_the_same_weights(model, message, load):
    model = model()
    fails(load, message, model)
    report = load(model, allow_differences=True)[1]
    assert len(report.differences) == 1
    assert report.differences[0] in str(report)


def test_bottlenecks_of_a_and_b_are_told_apart(tmp_path):
    path = save_weights_as(ResNet(50, "B", **SIZE), tmp_path / "b.npz")
    with pytest.raises(ValueError, match="has variant 'B' for the model's 'A'"):
        load_weights_from(ResNet(50, "A", **SIZE), path)


def test_other_stem_says_that_the_variant_differs(load):
    model = ResNet(18, "B", num_classes=4, **SIZE)
    fails(load, r"unknown: .*besides, it has variant 'D' for .*'B'", model)


@pytest.mark.parametrize("dtype", ["float16", "float64", ml_dtypes.bfloat16])
def test_types_are_converted(dtype, load, state, tmp_path):
    safetensors = pytest.importorskip(
        "safetensors.numpy", reason="safetensors are read with it"
    )
    dtype = np.dtype(dtype)
    rounded = {k: v.astype(dtype) for k, v in state.items()}
    path = tmp_path / "rounded.safetensors"
    if dtype == ml_dtypes.bfloat16:
        torch = pytest.importorskip("torch", reason="it writes bfloat16")
        from safetensors.torch import save_file

        save_file(
            {k: torch.from_numpy(v).bfloat16() for k, v in state.items()}, path
        )
    else:
        safetensors.save_file(rounded, path)
    model = ResNet(18, "D", num_classes=4, **SIZE)
    report = load_weights_from(model, path)
    assert report.converted == (dtype.name,)
    assert f"converted from {dtype.name}" in str(report)
    np.testing.assert_array_equal(
        numpy(model.get_layer("logits").kernel),
        rounded["fc.weight"].astype("float32").T,
    )


def test_not_a_model_of_ours(load):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    fails(load, "`model` must be a ResNet, InceptionV3 or MobileNet", model)


def test_unknown_layout(load, model):
    message = "`layout` must be None or.* layout='caffe'"
    fails(load, message, model, layout="caffe")


def test_loaded_models_take_weights_too(load, tmp_path):
    ResNet(18, "D", num_classes=4, **SIZE).save(tmp_path / "model.keras")
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert load(model)[1].tensors == 112


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_other_policies(policy, load, state):
    model = ResNet(18, "D", num_classes=4, dtype=policy, **SIZE)
    load(model)
    expected = state["conv1.0.weight"].transpose(2, 3, 1, 0)
    kernel = model.get_layer("stem").convs[0].conv.kernel
    actual = numpy(keras.ops.cast(kernel, "float32"))
    np.testing.assert_allclose(actual, expected, rtol=1e-2)


def test_channels_first(load, state):
    model = ResNet(
        18,
        "D",
        4,
        width=2,
        input_shape=(3, 32, 32),
        data_format="channels_first",
    )
    load(model)
    np.testing.assert_array_equal(
        numpy(model.get_layer("logits").bias), state["fc.bias"]
    )


def test_frozen_norms(load, state):
    model = ResNet(18, "D", num_classes=4, frozen_norm=True, **SIZE)
    load(model)
    np.testing.assert_array_equal(
        numpy(model.get_layer("stage1_block1").residual_norm.gamma),
        state["layer1.0.bn2.weight"],
    )
