"""Groups of a network, what freezing them does, and where it is cut."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_tricks.models import InceptionV3, MobileNet, ResNet
from keras_tricks.surgery import find_groups, freeze, split_head

SMALL = {"num_classes": 3, "small_images": True}


def resnet(depth=18, **options):
    options = {"input_shape": (8, 8, 3), "width": 2, **SMALL, **options}
    return ResNet(depth, **options, data_format="channels_last")


def names(model):
    return [group.name for group in find_groups(model)]


def application(name):
    return getattr(keras.applications, name)(
        weights=None, input_shape=(32, 32, 3), classes=3
    )


def test_the_groups_of_our_networks():
    expected = [
        f"stage{stage}_block{block}"
        for stage, count in enumerate((3, 4, 6, 3), start=1)
        for block in range(1, count + 1)
    ]
    assert names(resnet(50)) == ["stem", *expected, "head"]
    mobilenet = MobileNet(width_multiplier=0.1, input_shape=(8, 8, 3), **SMALL)
    assert len(find_groups(mobilenet)) == 15
    inception = InceptionV3(
        width_multiplier=0.05, input_shape=(8, 8, 3), **SMALL
    )
    assert names(inception)[4:7] == ["conv2d_4a_3x3", "mixed_5b", "mixed_5c"]


@pytest.mark.parametrize(
    "name, count, some",
    [
        ("ResNet50", 18, ["conv2_block1", "conv5_block3"]),
        ("ResNet50V2", 18, ["conv2_block3", "conv3_block4"]),
        ("MobileNetV2", 33, ["block_2", "block_15", "Conv_1"]),
    ],
)
def test_the_groups_of_other_networks(name, count, some):
    model = application(name)
    groups = find_groups(model)
    assert len(groups) == count and set(some) <= set(names(model))
    assert (groups[0].name, groups[-1].name) == ("stem", "head")
    assert [layer.name for layer in groups[-1].layers] == ["predictions"]
    # Each weight is in one of them.
    weights = [weight for group in groups for weight in group.weights]
    assert len({id(weight) for weight in weights}) == len(weights)
    assert len(weights) == len(model.weights)


def test_models_inside_are_entered():
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3), layers.Dense(3)], name="inner"
    )
    model = keras.Sequential([keras.Input((4,)), inner, layers.Dense(2)])
    assert len(find_groups(model)) == 3
    freeze(model, "backbone")
    assert model.trainable_variables == model.layers[-1].trainable_variables


@pytest.mark.parametrize(
    "what, frozen",
    [
        ("backbone", lambda path: not path.startswith("logits/")),
        ("norms", lambda path: "/norm/" in path),
        ("stem,stage1", lambda path: path.startswith(("stem", "stage1_"))),
        ("stage1_block1", lambda path: path.startswith("stage1_block1/")),
        ("norms,head", lambda path: "/norm/" in path or "logits" in path),
        (
            r"stage[34].*/conv/",
            lambda p: p[5] in "34" and "/conv/" in p,
        ),
        ("beta$", lambda path: path.endswith("beta")),
    ],
)
def test_what_is_frozen_and_thawed(what, frozen):
    model = resnet()
    before = [variable.path for variable in model.trainable_variables]
    report = freeze(model, what)
    kept = [variable.path for variable in model.trainable_variables]
    assert kept == [path for path in before if not frozen(path)]
    assert set(report.frozen) == {path for path in before if frozen(path)}
    assert report.trained == tuple(kept)
    norms = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, layers.BatchNormalization)
    ]
    still = [norm for norm in norms if not norm.trainable]
    assert report.norms == len(still)
    assert all(frozen(f"{norm.path}/norm/gamma") for norm in still)
    report.unfreeze(model)
    assert [v.path for v in model.trainable_variables] == before
    assert all(norm.trainable for norm in norms)


def test_a_step_moves_nothing_that_is_frozen():
    model = resnet(zero_gamma=False)
    freeze(model, "stem,stage1,stage2")
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True))
    arrays = [keras.ops.convert_to_numpy(w).copy() for w in model.weights]
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    model.fit(x, np.arange(4) % 3, verbose=0)
    moved = set()
    for weight, before in zip(model.weights, arrays, strict=True):
        if not np.array_equal(keras.ops.convert_to_numpy(weight), before):
            moved.add(weight.path.split("_")[0].split("/")[0])
    assert moved == {"stage3", "stage4", "logits"}


def test_what_is_saved_is_frozen_again(tmp_path):
    model = resnet()
    report = freeze(model, "stem,stage1")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = freeze(loaded, "stem,stage1")
    assert (again.trained, again.norms) == (report.trained, report.norms)


@pytest.mark.parametrize(
    "what, expected",
    [
        ("stag1", "`freeze` must be .*'stag1', .* nothing: is it stage1 or .*"),
        ("stem,stag2", "`freeze` .* matches nothing: is it stage2 or .*"),
        ("(", "`freeze` must be .* a regular expression .*none of these.*"),
        (".", "`freeze` must leave something to train. Received: .*all of.*"),
        ("moving", "`freeze` must name weights that could train. Received: .*"),
    ],
)
def test_what_is_refused_and_changes_nothing(what, expected):
    model = resnet()
    before = len(model.trainable_variables)
    with pytest.raises(ValueError, match=expected):
        freeze(model, what)
    assert len(model.trainable_variables) == before


def test_a_compiled_model_asks_for_compile():
    model = resnet()
    model.compile("sgd", "mse")
    report = freeze(model, "backbone")
    assert not model.compiled
    assert report.notes == ("compile the model again before training",)


def test_the_cut_is_as_late_as_can_be():
    model = resnet(dropout=0.5)
    freeze(model, "backbone")
    front, head = split_head(model)
    assert front.output_shape == (None, 16)
    assert [layer.name for layer in head.layers[1:]] == ["dropout", "logits"]
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    whole = model.predict(x, verbose=0)
    parts = head.predict(front.predict(x, verbose=0), verbose=0)
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("freezes", [None, "norms", "stage1"])
def test_no_cut_in_front_of_what_trains(freezes):
    model = resnet()
    if freezes:
        freeze(model, freezes)
    with pytest.raises(ValueError, match="`model` must be frozen up to .*"):
        split_head(model)


def test_no_cut_behind_what_is_random():
    model = resnet(drop_path=0.2)
    freeze(model, "backbone")
    front, _ = split_head(model)
    # The first block that drops its branch for some images.
    assert front.output.shape[1:] == (8, 8, 2)
