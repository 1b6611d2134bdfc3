import sys
import types

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_tricks.data import Preprocessing
from keras_tricks.layers import BatchNormalization, DropPath
from keras_tricks.networks import build_network, measure_normalization
from keras_tricks.networks.names import APPLICATIONS, split_name

from .. import networks_of_others

MINE = f"{networks_of_others.__name__}:"
SHAPE = (32, 32, 3)
K = 5


def mine(name, shape=SHAPE, num_classes=K, **options):
    return build_network(MINE + name, shape, num_classes, **options)


def numbers(x):
    return np.array(ops.convert_to_numpy(x))


def images_of(shape=SHAPE, count=2):
    rng = np.random.default_rng(0)
    return rng.uniform(0, 255, (count, *shape)).astype("float32")


def logits(model, x=None):
    return numbers(model(images_of() if x is None else x, training=False))


def moved(model):
    """Gives every weight, and statistics, another value."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(rng.uniform(0.01, 0.06, weight.shape))
    return model


# Normalization.

KNOWN = {
    "caffe": ((103.939, 116.779, 123.68), (1, 1, 1), "BGR"),
    "tf": ((127.5,) * 3, (127.5,) * 3, "RGB"),
    "torch": (
        (123.675, 116.28, 103.53),
        (58.395, 57.12, 57.375),
        "RGB",
    ),
    "none": ((0,) * 3, (1,) * 3, "RGB"),
}


@pytest.mark.parametrize(
    "module, kind",
    [
        ("vgg16", "caffe"),
        ("resnet", "caffe"),
        ("resnet_v2", "tf"),
        ("mobilenet_v2", "tf"),
        ("densenet", "torch"),
        ("mobilenet_v3", "none"),
        ("efficientnet_v2", "none"),
        ("convnext", "none"),
    ],
)
def test_what_an_application_expects_is_measured(module, kind):
    function = getattr(keras.applications, module).preprocess_input
    found = measure_normalization(
        lambda x: function(x, data_format="channels_last")
    )
    mean, std, channels = KNOWN[kind]
    np.testing.assert_allclose(found.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(found.std, std, rtol=1e-6)
    assert found.channels == channels
    x = images_of()
    expected = np.asarray(function(x.copy(), data_format="channels_last"))
    np.testing.assert_allclose(found.normalize(x), expected, atol=1e-4)


@pytest.mark.parametrize(
    "function",
    [lambda x: x**2, lambda x: x[..., [0, 2, 1]], lambda x: -x],
    ids=["square", "order", "negative"],
)
def test_another_function_is_no_normalization(function):
    assert measure_normalization(function) is None


@pytest.mark.parametrize(
    "name, mean", [("normalized", (1, 2, 3)), ("plain", (0, 0, 0))]
)
def test_a_network_says_how_images_are_normalized(name, mean):
    assert mine(name).preprocessing.mean == mean
    assert mine(name).preprocessing.image_size == 32


def test_a_network_of_any_size_sees_the_shape_of_the_data():
    model = mine("normalized", (32, 48, 3))
    assert model.preprocessing.image_size == (32, 48)


def test_random_weights_expect_nothing():
    model = mine("residual")
    assert model.preprocessing is None
    assert "of the training images" in str(model.network_report)


# What the model is.


@pytest.mark.parametrize("name", ["residual", "softmax", "plain"])
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_it_ends_in_float32_logits_and_survives_saving(
    name, precision, tmp_path
):
    model = moved(mine(name, dtype=precision))
    assert model.outputs[0].dtype == "float32"
    assert model.dtype_policy.name == precision
    assert model.output_shape == (None, K)
    expected = logits(model)
    assert np.abs(expected.sum(-1) - 1).max() > 1e-3
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(logits(loaded), expected)
    assert loaded.dtype_policy.name == precision
    assert loaded.preprocessing == model.preprocessing


def test_keras_keeps_its_settings():
    before = keras.config.image_data_format(), keras.config.dtype_policy()
    model = mine("residual", dtype="mixed_float16")
    with pytest.raises(ValueError, match="`num_classes|num_classes"):
        mine("of_other_arguments", dtype="mixed_float16")
    after = keras.config.image_data_format(), keras.config.dtype_policy()
    assert before == after and model.layers[1].compute_dtype == "float16"


def test_the_layout_of_images_is_that_of_the_function():
    model = mine("residual", data_format="channels_first")
    assert model.input_shape == (None, 3, 32, 32)
    assert mine("residual").input_shape == (None, 32, 32, 3)


# Surgery.


def test_a_softmax_becomes_logits_with_the_same_weights(tmp_path):
    x = images_of()
    model = moved(networks_of_others.softmax(SHAPE, K))
    model.save(tmp_path / "model.keras")
    new = build_network(str(tmp_path / "model.keras"), SHAPE, K)
    z = logits(new, x).astype("float64")
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    assert np.ptp(p) > 1e-3
    np.testing.assert_allclose(logits(model, x), p, rtol=1e-5)
    assert "head head: 5 softmax -> 5 logits" in new.network_report.lines
    assert not new.network_report.fresh_head


@pytest.mark.parametrize("options", [{"num_classes": 7}, {"skip_head": True}])
def test_a_new_head_leaves_the_other_weights(options, tmp_path):
    model = moved(networks_of_others.softmax(SHAPE, K))
    model.save(tmp_path / "model.keras")
    options = {"num_classes": K, **options}
    new = build_network(str(tmp_path / "model.keras"), SHAPE, **options)
    assert new.output_shape == (None, options["num_classes"])
    assert new.network_report.fresh_head
    for old, weight in zip(model.weights[:-2], new.weights[:-2], strict=True):
        np.testing.assert_array_equal(numbers(old), numbers(weight))
    assert numbers(new.weights[-2]).min() < 0  # The old ones are positive.


def test_norms_are_fused_ones_and_compute_the_same(tmp_path):
    x = images_of()
    model = moved(networks_of_others.residual(SHAPE, K))
    model.save(tmp_path / "model.keras")
    new = build_network(str(tmp_path / "model.keras"), SHAPE, K)
    norms = [x for x in new.layers if isinstance(x, BatchNormalization)]
    assert len(norms) == 5
    np.testing.assert_allclose(logits(new, x), logits(model, x), rtol=1e-4)
    lines = new.network_report.lines
    assert "swapped batch norms, for fused ones: 5" in lines
    line = next(x for x in mine("plain").network_report.lines if "norms" in x)
    assert line == "batch norms as they are: model='plain' with none"


def gammas(model):
    return [numbers(x.gamma).any() for x in model.layers if hasattr(x, "gamma")]


def test_branches_of_new_weights_start_silent(tmp_path):
    assert gammas(mine("residual")) == [True] * 5
    model = mine("residual", zero_gamma=True)
    assert gammas(model) == [True, True, False, True, False]
    assert "zero gamma: 2 branches silent" in model.network_report.lines
    moved(model).save(tmp_path / "model.keras")
    path = str(tmp_path / "model.keras")
    trained = build_network(path, SHAPE, K, zero_gamma=True)
    assert gammas(trained) == [True] * 5
    assert "zero gamma: not on trained weights" in trained.network_report.lines
    line = mine("plain", zero_gamma=True).network_report.lines[-2]
    assert line.startswith("zero gamma: nowhere, ")


def test_options_are_done_by_surgery():
    model = mine(
        "residual",
        activation="silu",
        dropout=0.3,
        drop_path=0.2,
        frozen_norm=True,
    )
    assert not [x for x in model.layers if isinstance(x, layers.ReLU)]
    paths = [x for x in model.layers if isinstance(x, DropPath)]
    assert [x.rate for x in paths] == [0, 0.2]
    drops = [x for x in model.layers if isinstance(x, layers.Dropout)]
    assert [x.rate for x in drops] == [0.3]
    norms = [x for x in model.layers if isinstance(x, BatchNormalization)]
    assert not any(norm.trainable for norm in norms)
    assert len(str(model.network_report).splitlines()) == 6


@pytest.mark.parametrize(
    "option, value",
    [("activation", "silu"), ("drop_path", 0.1), ("frozen_norm", True)],
)
def test_an_option_that_does_nothing_is_refused(option, value):
    with pytest.raises(ValueError, match=f"^`{option}` must be .*Received: "):
        mine("plain", **{option: value})


# keras.applications.


def small(name="MobileNetV3Small", num_classes=K, **options):
    return build_network(f"applications/{name}", SHAPE, num_classes, **options)


def test_an_application_of_random_weights(tmp_path, numpy_kernels):
    model = small(zero_gamma=True, drop_path=0.2, dropout=0.4, dtype="float32")
    assert model.output_shape == (None, K)
    assert model.preprocessing == Preprocessing(32, mean=(0,) * 3, std=(1,) * 3)
    kinds = [type(layer) for layer in model.layers]
    assert kinds.count(DropPath) == 6
    assert layers.BatchNormalization not in kinds
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [type(layer) for layer in loaded.layers] == kinds
    for old, new in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(numbers(old), numbers(new))
    drops = [x for x in loaded.layers if type(x) is layers.Dropout]
    assert [x.rate for x in drops] == [0.4]


@pytest.mark.parametrize("whole", [True, False])
def test_an_application_gets_the_weights_of_a_file(
    whole, tmp_path, numpy_kernels
):
    options = {"input_shape": SHAPE, "weights": None}
    if whole:
        options |= {"classes": K}
    else:
        options |= {"include_top": False, "pooling": "avg"}
    source = moved(keras.applications.MobileNetV3Small(**options))
    path = str(tmp_path / "own.weights.h5")
    source.save_weights(path)
    model = small(weights=path, zero_gamma=True)
    assert model.network_report.fresh_head is not whole
    assert "zero gamma: not on trained weights" in model.network_report.lines
    kept = source.weights[: None if whole else len(source.weights)]
    for old, new in zip(kept, model.weights, strict=False):
        np.testing.assert_array_equal(numbers(old), numbers(new))
    if whole:
        z = logits(model).astype("float64")
        p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
        np.testing.assert_allclose(logits(source), p, rtol=1e-3, atol=1e-5)


def test_an_application_gets_no_weights_of_another_network(
    tmp_path, numpy_kernels
):
    path = str(tmp_path / "other.weights.h5")
    networks_of_others.residual(SHAPE, K).save_weights(path)
    expected = "^`weights` must be those of .*its layers are others.*Received: "
    with pytest.raises(ValueError, match=expected):
        small(weights=path)


def test_names_of_imagenet_go_to_keras(monkeypatch, numpy_kernels):
    """What Keras would download is made here, and its arguments kept."""
    calls = []
    build = keras.applications.MobileNetV3Small

    def counted(weights, **options):
        calls.append((weights, options))
        return build(weights=None, **options)

    counted.__module__ = build.__module__
    monkeypatch.setattr(keras.applications, "MobileNetV3Small", counted)
    model = small(weights="imagenet")
    assert calls[0][0] == "imagenet"
    assert calls[0][1]["include_top"] is False
    assert model.network_report.fresh_head
    assert small(num_classes=1000, weights="imagenet").output_shape[1] == 1000
    assert calls[1][1]["classes"] == 1000
    assert calls[1][1]["classifier_activation"] is None


@pytest.mark.parametrize("whose", ["Keras'", "own"])
def test_efficient_net_sees_images_as_its_weights_do(
    whose, tmp_path, monkeypatch, numpy_kernels
):
    """What Keras would download is made here; it adds a layer for it."""
    build, path = keras.applications.EfficientNetB0, tmp_path / "f.weights.h5"
    options = {"input_shape": SHAPE, "include_top": False, "pooling": "avg"}
    source = build(weights=None, **options)
    if whose == "Keras'":
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        norm = next(x for x in source.layers if type(x) is layers.Normalization)
        for weight, values in zip(norm.weights, (mean, std), strict=False):
            weight.assign(values)
    source.save_weights(path)
    model = small("EfficientNetB0", weights=str(path))
    note = "whose deviations of images stood as variances"
    assert (note in str(model.network_report)) is (whose == "Keras'")
    files = sys.modules[build.__module__].file_utils
    monkeypatch.setattr(files, "get_file", lambda *_, **__: str(path))
    theirs = build(weights="imagenet", **options)
    if whose == "own":
        theirs = source
    found = keras.Model(model.inputs[0], model.layers[-1].input)
    scale = np.abs(logits(theirs)).max()
    np.testing.assert_allclose(logits(found), logits(theirs), atol=1e-5 * scale)


def test_every_application_has_its_normalization():
    assert len(APPLICATIONS) > 30
    for name in APPLICATIONS:
        module = sys.modules[getattr(keras.applications, name).__module__]
        assert measure_normalization(
            lambda x, module=module: module.preprocess_input(
                x, data_format="channels_last"
            )
        )


# KerasHub, in whose place is a module of the same interface.


class Converter:
    image_size = (48, 48)

    def __call__(self, images):
        images = np.repeat(np.repeat(images, 6, 1), 6, 2)
        return images * np.array([0.1, 0.2, 0.5]) - 1.0


def fake_hub(with_head):
    def from_preset(preset, num_classes=None):
        if preset != "tiny":
            raise ValueError(f"Unknown preset {preset}")
        if num_classes is None and not with_head:
            raise TypeError("missing 1 required argument: 'num_classes'")
        model = networks_of_others.softmax((None, None, 3), num_classes or 4)
        model.preprocessor = types.SimpleNamespace(image_converter=Converter())
        return moved(model)

    classifier = types.SimpleNamespace(from_preset=from_preset)
    models = types.SimpleNamespace(ImageClassifier=classifier)
    return types.SimpleNamespace(models=models)


@pytest.mark.parametrize("with_head", [True, False])
def test_a_preset_of_keras_hub(with_head, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", fake_hub(with_head))
    model = build_network("hub/tiny", SHAPE, K)
    assert model.output_shape == (None, K)
    assert model.network_report.fresh_head
    assert model.preprocessing.mean == (10, 5, 2)
    assert model.preprocessing.std == (10, 5, 2)
    assert model.preprocessing.image_size == 32
    if with_head:
        same = build_network("hub/tiny", (None, None, 3), None)
        assert same.output_shape == (None, 4)
        assert same.preprocessing.image_size == 48
        assert not same.network_report.fresh_head


def test_keras_hub_may_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ImportError, match="keras_tricks.hub.*hub/tiny"):
        build_network("hub/tiny", SHAPE, K)


# Files and functions.


def test_a_file_may_say_beside_it_how_images_are_normalized(tmp_path):
    networks_of_others.residual(SHAPE, K).save(tmp_path / "model.keras")
    own = Preprocessing(64, mean=(1, 2, 3), std=(4, 5, 6), channels="BGR")
    (tmp_path / "preprocessing.json").write_text(own.to_json())
    model = build_network(str(tmp_path / "model.keras"), SHAPE, K)
    assert model.preprocessing.channels == "BGR"
    assert model.preprocessing.image_size == 32


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_a_file_computes_in_the_precision_of_the_recipe(precision, tmp_path):
    mine("residual", dtype="mixed_bfloat16").save(tmp_path / "model.keras")
    path = str(tmp_path / "model.keras")
    model = build_network(path, SHAPE, K, dtype=precision)
    expected = "float32" if precision == "float32" else "float16"
    assert model.layers[1].compute_dtype == expected
    assert model.outputs[0].dtype == "float32"


def test_a_subclassed_model_is_wrapped(tmp_path):
    model = mine("subclassed")
    assert model.output_shape == (None, K)
    model.save(tmp_path / "model.keras")
    again = build_network(str(tmp_path / "model.keras"), SHAPE, K)
    np.testing.assert_allclose(logits(again), logits(model), rtol=1e-5)
    own = networks_of_others.subclassed(SHAPE, K)
    own.save(tmp_path / "own.keras")
    loaded = build_network(str(tmp_path / "own.keras"), SHAPE, K)
    np.testing.assert_allclose(logits(loaded), logits(own), rtol=1e-5)
    assert "no graph" in str(model.network_report)


def test_a_module_is_found_in_the_current_folder(tmp_path, monkeypatch):
    source = "from {} import residual as build\n"
    text = source.format(networks_of_others.__name__)
    (tmp_path / "networks_of_mine.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    model = build_network("networks_of_mine:build", SHAPE, K)
    sys.modules.pop("networks_of_mine")
    assert model.name == "mine" and sys.path == before


@pytest.mark.parametrize(
    "name, kind",
    [
        ("resnet", "resnet"),
        ("applications/VGG16", "applications"),
        ("hub/tiny", "hub"),
        ("applications/mine.keras", "file"),
        ("a.b:c", "function"),
    ],
)
def test_a_name_says_of_what_kind_it_is(name, kind):
    assert split_name(name)[0] == kind
