"""`freeze_batch_norm` and `swap_batch_norm`: training, saving, reports."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_tricks.layers import BatchNormalization, FrozenBatchNormalization
from keras_tricks.models import ResNet
from keras_tricks.surgery import (
    change_resnet_variant,
    freeze_batch_norm,
    swap_activations,
    swap_batch_norm,
)

X = np.random.default_rng(0).normal(3.0, 2.0, (8, 6)).astype("float32")
Y = np.ones((8, 3), "float32")


def network():
    inner = keras.Sequential(
        [
            keras.Input((4,)),
            layers.BatchNormalization(name="inner_norm"),
            layers.Dense(4),
        ],
        name="inner",
    )
    inputs = keras.Input((6,))
    x = layers.BatchNormalization(name="norm")(layers.Dense(4)(inputs))
    x = inner(x)
    x = layers.LayerNormalization(name="other")(x)
    return keras.Model(inputs, layers.Dense(3)(x), name="net")


def norms(model):
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, layers.BatchNormalization)
    ]


def values(model):
    return [value for norm in norms(model) for value in norm.get_weights()]


def fit(model, epochs=2):
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(X, Y, epochs=epochs, verbose=0)


def assert_norms_stay(model):
    before = values(model)
    dense = model.layers[1].get_weights()[0]
    fit(model)
    for new, old in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(new, old)
    assert (model.layers[1].get_weights()[0] != dense).any()


def test_frozen_norms_do_not_change_in_training():
    model = network()
    report = freeze_batch_norm(model)
    assert list(report) == ["norm", "inner/inner_norm"]
    assert not report.notes
    assert model.get_layer("other").trainable
    assert len(model.trainable_weights) == 8
    assert_norms_stay(model)


def test_training_uses_the_statistics():
    model = network()
    model.get_layer("norm").moving_mean.assign([0.5, 1.0, -1.0, 2.0])
    freeze_batch_norm(model)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model(X, training=True)),
        keras.ops.convert_to_numpy(model(X, training=False)),
        rtol=1e-5,
        atol=1e-5,
    )


def test_a_compiled_model_has_to_be_compiled_again():
    model = network()
    fit(model)
    report = freeze_batch_norm(model)
    assert report.notes == ("compile the model again before training",)
    with pytest.raises(ValueError, match="compile"):
        model.fit(X, Y, verbose=0)
    assert model.predict(X, verbose=0).shape == (8, 3)
    assert_norms_stay(model)


@pytest.mark.parametrize("trained", [False, True])
def test_save_and_load(tmp_path, trained):
    model = network()
    if trained:
        fit(model)
    freeze_batch_norm(model)
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert not any(norm.trainable for norm in norms(loaded))
    for new, old in zip(values(loaded), values(model), strict=True):
        np.testing.assert_array_equal(new, old)
    assert_norms_stay(loaded)


@keras.saving.register_keras_serializable("test_surgery")
class Composite(layers.Layer):
    """A layer that makes its norm itself."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = layers.BatchNormalization(name="norm")

    def build(self, input_shape):
        self.norm.build(input_shape)

    def call(self, x, training=None):
        return self.norm(x, training=training)


@keras.saving.register_keras_serializable("test_surgery")
class Careful(Composite):
    """One that keeps in its configuration that the norm is frozen."""

    def __init__(self, frozen_norm=False, **kwargs):
        super().__init__(**kwargs)
        self.frozen_norm = frozen_norm
        self.norm.trainable = not frozen_norm

    def get_config(self):
        return {**super().get_config(), "frozen_norm": self.frozen_norm}


@pytest.mark.parametrize("layer", [Composite, Careful])
def test_norms_inside_of_layers(tmp_path, layer):
    inputs = keras.Input((6,))
    x = layer(name="part")(layers.Dense(4)(inputs))
    model = keras.Model(inputs, layers.Dense(3)(x))
    report = freeze_batch_norm(model)
    assert len(report) == 1
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.saving.load_model(path)
    if layer is Composite:
        (note,) = report.notes
        assert "may not keep 1 of them, as 'part/norm'" in note
        assert norms(loaded)[0].trainable
        freeze_batch_norm(loaded)
    else:
        assert not report.notes
    assert_norms_stay(loaded)


def test_our_networks():
    model = ResNet(18, num_classes=3, width=2, input_shape=(32, 32, 3))
    report = freeze_batch_norm(model)
    assert len(report) == 3 + 16 + 3
    assert len(model.trainable_weights) == 3 + 16 + 3 + 2
    changed, _ = swap_activations(model, "silu")
    assert len(changed.trainable_weights) == len(model.trainable_weights)


def test_after_surgery():
    model = ResNet(50, "A", num_classes=3, width=2, input_shape=(32, 32, 3))
    changed, _ = change_resnet_variant(model, "B")
    report = freeze_batch_norm(changed)
    assert len(report) == 53
    assert all(norm.trainable for norm in norms(model))


def test_nothing_to_freeze():
    model = network()
    freeze_batch_norm(model)
    with pytest.raises(ValueError, match="that are not frozen.*2 batch norms"):
        freeze_batch_norm(model)
    plain = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="that are not frozen.*0 batch norms"):
        freeze_batch_norm(plain)
    for model in (None, keras.Sequential([layers.Dense(2)])):
        with pytest.raises(ValueError, match="`model` must be a Keras model"):
            freeze_batch_norm(model)


@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50", "EfficientNetB0"])
def test_swapped_norms_compute_the_same(name):
    shape = (3, 32, 32)
    if keras.config.image_data_format() == "channels_last":
        shape = (32, 32, 3)
    model = getattr(keras.applications, name)(
        weights=None, input_shape=shape, classes=3
    )
    rng = np.random.default_rng(0)
    for norm in norms(model):
        for variable in norm.weights:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    swapped, report = swap_batch_norm(model)
    assert list(report) == [norm.name for norm in norms(model)]
    assert all(type(norm) is BatchNormalization for norm in norms(swapped))
    x = rng.normal(size=(2, *shape)).astype("float32")
    ours, theirs = (
        keras.ops.convert_to_numpy(m(x, training=False))
        for m in (swapped, model)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    # Later ones see few values of each channel, and blow up rounding.
    for m in (swapped, model):
        m(x, training=True)
    for ours, theirs in zip(norms(swapped)[:8], norms(model), strict=False):
        for got, expected in zip(ours.weights, theirs.weights, strict=True):
            np.testing.assert_allclose(
                keras.ops.convert_to_numpy(got),
                keras.ops.convert_to_numpy(expected),
                rtol=1e-3,
                atol=1e-4,
            )


class OwnNorm(layers.BatchNormalization):
    pass


class HasNorm(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = layers.BatchNormalization()

    def build(self, shape):
        self.norm.build(shape)

    def call(self, x):
        return self.norm(x)


def test_swapping_says_what_it_leaves():
    inputs = keras.Input((4,))
    x = layers.BatchNormalization(name="norm", momentum=0.7)(inputs)
    x = OwnNorm(name="own")(x)
    x = HasNorm(name="inside")(x)
    x = FrozenBatchNormalization(name="frozen")(x)
    model = keras.Model(inputs, x)
    model.get_layer("norm").trainable = False
    swapped, report = swap_batch_norm(model)
    assert list(report) == ["norm"]
    assert report.skipped == (
        ("inside", "a norm of core Keras is inside of this layer"),
    )
    assert swapped.get_layer("norm").momentum == 0.7
    assert not swapped.get_layer("norm").trainable
    with pytest.raises(ValueError, match="with none; inside: a norm of core"):
        swap_batch_norm(swapped)
