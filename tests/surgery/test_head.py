import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_tricks.surgery import change_head
from keras_tricks.surgery.with_precision import with_precision

SHAPE = (8, 8, 3)


def numbers(x):
    return np.array(ops.convert_to_numpy(x))


def fill(model):
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


def features():
    images = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, name="conv", data_format="channels_last")(images)
    pool = layers.GlobalAveragePooling2D(
        keepdims=True, data_format="channels_last"
    )
    return images, pool(x)


def dense(end):
    """One way in which classifiers end."""
    images, x = features()
    x = layers.Flatten()(x)
    if end == "a function":
        x = ops.softmax(layers.Dense(3, name="head")(x))
    elif end == "a layer":
        x = layers.Softmax()(layers.Dense(3, name="head")(x))
    elif end == "an activation":
        x = layers.Dense(3, name="head")(x)
        x = layers.Activation("softmax", name="end")(x)
    else:
        x = layers.Dense(3, activation="softmax", name="head")(x)
    return fill(keras.Model(images, x))


def convolution():
    """As the MobileNets of keras.applications end."""
    images, x = features()
    x = layers.Dropout(0.1, name="drop")(x)
    x = layers.Conv2D(3, 1, name="head", data_format="channels_last")(x)
    x = layers.Activation("softmax")(layers.Reshape((3,))(x))
    return fill(keras.Model(images, x))


def sequential():
    head = layers.Dense(3, activation="softmax", name="head")
    return fill(keras.Sequential([keras.Input(SHAPE), layers.Flatten(), head]))


ENDS = ["a function", "a layer", "an activation", "its own"]
MODELS = {end: lambda end=end: dense(end) for end in ENDS}
MODELS |= {"a convolution": convolution, "sequential": sequential}


def images_of(count=4):
    return np.random.default_rng(1).normal(0, 1, (count, *SHAPE))


def outputs(model):
    return numbers(model(images_of())).astype("float64")


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_the_softmax(name):
    model = MODELS[name]()
    before = outputs(model)
    new, report = change_head(model)
    z = outputs(new)
    p = np.exp(z - z.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    assert np.ptp(p) > 0.01
    np.testing.assert_allclose(before, p, rtol=1e-4, atol=1e-6)
    assert report.changed == (("head", "3 softmax", "3 logits"),)
    assert report.fresh == ()
    np.testing.assert_array_equal(outputs(model), before)


@pytest.mark.parametrize("name", MODELS)
def test_other_classes_have_a_new_head(name, tmp_path):
    model = MODELS[name]()
    new, report = change_head(model, 7)
    assert new.output_shape == (None, 7)
    assert (report.changed, report.fresh) == (
        (("head", "3 softmax", "7 logits"),),
        ("head",),
    )
    if name != "sequential":
        for old, weight in zip(model.weights[:2], new.weights[:2], strict=True):
            np.testing.assert_array_equal(numbers(old), numbers(weight))
    new.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True))
    new.fit(images_of(), np.arange(4), verbose=0)
    new.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(loaded), outputs(new))


def test_logits_are_float32_in_half_precision():
    policy = keras.DTypePolicy("mixed_float16")
    head = layers.Dense(3, activation="softmax", dtype=policy)
    model = keras.Sequential([keras.Input((4,)), head])
    assert model.outputs[0].dtype == "float16"
    assert change_head(model)[0].outputs[0].dtype == "float32"


def test_the_dropout_before_the_head():
    for make, count in ((convolution, 1), (sequential, 1)):
        new, _ = change_head(make(), dropout=0.4)
        drops = [x for x in new.layers if isinstance(x, layers.Dropout)]
        assert [x.rate for x in drops] == [0.4] * count
    assert not [
        x
        for x in change_head(sequential(), dropout=0)[0].layers
        if isinstance(x, layers.Dropout)
    ]


def test_a_fresh_head_of_the_same_size():
    new, report = change_head(sequential(), fresh=True)
    assert report.fresh == ("head",)
    assert not numbers(new.layers[-1].bias).any()


def two_outputs():
    images, x = features()
    return keras.Model(images, [x, layers.ReLU()(x)])


def of_a_map():
    return keras.Model(*features())


def shared():
    images = keras.Input((3,))
    head = layers.Dense(3)
    return keras.Model(images, head(head(images)))


def sigmoid():
    head = layers.Dense(3, activation="sigmoid")
    return keras.Sequential([keras.Input((4,)), head])


@pytest.mark.parametrize(
    "make, expected",
    [
        (two_outputs, "must have one output, .*with 2$"),
        (of_a_map, "must end in a dense layer, .*has GlobalAverage"),
        (shared, "must use its last layer once. Received: "),
        (sigmoid, "must end in logits, .*whose layer .* has sigmoid$"),
        (lambda: keras.layers.Dense(3), "must be a functional .*Received: "),
    ],
)
def test_what_has_no_head(make, expected):
    with pytest.raises(ValueError, match=f"^`model` {expected}"):
        change_head(make())


@pytest.mark.parametrize(
    "copied", [lambda model: change_head(model, 5)[0], with_precision]
)
def test_a_normalization_computes_with_what_it_had_learned(copied):
    norm = layers.Normalization(axis=-1)
    model = keras.Sequential([keras.Input((4,)), norm, layers.Dense(3)])
    x = np.random.default_rng(0).normal(5.0, 2.0, (8, 4)).astype("float32")
    norm.adapt(x)
    found = numbers(copied(model).layers[0](x))
    expected = (x.astype("float64") - x.mean(0)) / x.std(0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
