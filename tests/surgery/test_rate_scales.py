"""Factors of learning rates by the depth of a block."""

import keras
import pytest
from keras import layers

from keras_tricks.models import ResNet
from keras_tricks.optimizers import SGD
from keras_tricks.surgery import layer_rate_scales

# timm 1.0, `param_groups_layer_decay(resnet50, layer_decay=0.75)`: the groups
# of `group_matcher(coarse=False)`, stem, the blocks of layer1 to layer4 and,
# for what no pattern matches, the classifier; group i has 0.75 ** (17 - i).
TIMM = {
    "stem": 0.0075169468,
    "stage1_block1": 0.0100225958,
    "stage1_block2": 0.013363461,
    "stage1_block3": 0.017817948,
    "stage2_block1": 0.023757264,
    "stage2_block2": 0.031676352,
    "stage2_block3": 0.042235136,
    "stage2_block4": 0.0563135147,
    "stage3_block1": 0.0750846863,
    "stage3_block2": 0.100112915,
    "stage3_block3": 0.1334838867,
    "stage3_block4": 0.1779785156,
    "stage3_block5": 0.2373046875,
    "stage3_block6": 0.31640625,
    "stage4_block1": 0.421875,
    "stage4_block2": 0.5625,
    "stage4_block3": 0.75,
    "logits": 1.0,
}


def resnet50(variant="A", **options):
    return ResNet(
        50,
        variant,
        num_classes=3,
        width=2,
        input_shape=(32, 32, 3),
        data_format="channels_last",
        **options,
    )


def factors_of(model, scales):
    """By path, what an optimizer makes of factors for a model."""
    optimizer = SGD(0.1, rate_scales=scales)
    optimizer.build(model.trainable_variables)
    paths = [v.path for v in model.trainable_variables]
    return dict(zip(paths, optimizer._factors, strict=True))


def group_of(path):
    """The key of `TIMM`, from the words of a path."""
    words = path.replace("/", "_").split("_")
    return next((key for key in TIMM if key == "_".join(words[:2])), words[0])


@pytest.mark.parametrize("variant", ["A", "D"])
def test_the_table_of_timm(variant):
    model = resnet50(variant)
    factors = factors_of(model, layer_rate_scales(model, layer_decay=0.75))
    for path, factor in factors.items():
        assert factor == pytest.approx(TIMM[group_of(path)], rel=1e-6), path
    assert {group_of(path) for path in factors} == TIMM.keys()


def test_the_head_has_a_factor_of_its_own():
    model = resnet50()
    scales = layer_rate_scales(model, head_factor=10.0)
    assert {path for path in scales if scales[path] == 10} == {
        "logits/kernel",
        "logits/bias",
    }
    assert set(scales.values()) == {1.0, 10.0}
    scales = layer_rate_scales(model, 0.5, 10.0)
    assert sorted(set(scales.values()))[-2:] == [0.5, 10.0]


def test_what_is_frozen_counts_and_has_no_factor():
    model = resnet50()
    for layer in model.layers[:-1]:
        layer.trainable = "stem" not in layer.name
    scales = layer_rate_scales(model, 0.75)
    assert min(scales.values()) == pytest.approx(
        TIMM["stage1_block1"], rel=1e-6
    )
    assert len(scales) == len(model.trainable_variables)
    assert not any("stem" in path for path in scales)


def inside(inner="m"):
    """Layers of one name, the second of them in a model inside."""
    part = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, name="a")], name=inner
    )
    images = keras.Input((4,))
    x = layers.Dense(4, name="a")(images)
    return keras.Model(images, layers.Dense(2, name="head")(part(x)))


def test_the_longest_end_of_a_path_counts():
    model = inside()
    assert [v.path for v in model.trainable_variables][:3:2] == [
        "a/kernel",
        "m/a/kernel",
    ]
    factors = factors_of(model, layer_rate_scales(model, 0.5))
    assert [*factors.values()] == [0.25, 0.25, 0.5, 0.5, 1, 1]
    factors = factors_of(model, {"kernel": 3.0, "m/a/kernel": 2.0})
    assert [*factors.values()] == [3, 1, 2, 1, 3, 1]


def test_a_loaded_model_has_the_same_factors(tmp_path):
    """Keras leaves the names of `Sequential` models out of paths."""
    part = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, name="b")], name="m"
    )
    images = keras.Input((4,))
    x = part(layers.Dense(4, name="a")(images))
    model = keras.Model(images, layers.Dense(2, name="head")(x))
    scales = layer_rate_scales(model, 0.5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    paths = [[v.path for v in m.trainable_variables] for m in (model, loaded)]
    assert paths[0][2] == "m/b/kernel" and paths[1][2] == "b/kernel"
    for some in (model, loaded):
        values = [*factors_of(some, scales).values()]
        assert values == [0.25, 0.25, 0.5, 0.5, 1, 1]


def test_a_model_with_one_group_is_all_head():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    assert set(layer_rate_scales(model, 0.5, 3.0).values()) == {3.0}


class NoGraph(keras.Model):
    def call(self, x):
        return x


def twice():
    """A model with two variables of one path."""
    outer = inside("m")
    images = keras.Input((4,))
    part = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, name="a")], name="m"
    )
    return keras.Model(images, outer(part(images)))


@pytest.mark.parametrize(
    "make, options, message",
    [
        (resnet50, {"layer_decay": 0.0}, r"`layer_decay`.*\(0, 1\].*=0"),
        (resnet50, {"layer_decay": 1.5}, "`layer_decay`.*Received.*=1.5"),
        (resnet50, {"head_factor": 0.0}, "`head_factor`.*Received.*=0"),
        (NoGraph, {"layer_decay": 0.5}, "`model` must be.*Received"),
        (twice, {"layer_decay": 0.5}, "`model` must have variables with diff"),
    ],
)
def test_bad_arguments(make, options, message):
    with pytest.raises(ValueError, match=message):
        layer_rate_scales(make(), **options)
