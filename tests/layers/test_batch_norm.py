"""Batch norm against a reference in float64 and against core Keras."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks.layers import BatchNormalization, FrozenBatchNormalization

EPSILON = 1e-3
SHAPES = {
    "rows": ((6, 3), -1),
    "sequence": ((2, 5, 3), -1),
    "sequence first": ((2, 3, 5), 1),
    "images": ((2, 4, 5, 3), -1),
    "images first": ((2, 3, 4, 5), 1),
    "volumes": ((2, 2, 3, 2, 3), -1),
    "volumes first": ((2, 3, 2, 3, 2), 1),
    "between": ((2, 4, 3, 5), 2),
    "batch": ((3, 7), 0),
}

# On JAX training is core Keras' own.
TRAINED = ["images"] if keras.backend.backend() == "jax" else SHAPES


def reference(x, gamma, beta, axis, weights):
    """Return outputs, gradients of `sum(weights * y)`, mean and variance."""
    axes = tuple(i for i in range(x.ndim) if i != axis % x.ndim)

    def wide(values):
        return np.expand_dims(np.asarray(values, "float64"), axes)

    x, weights = x.astype("float64"), weights.astype("float64")
    mean, variance = x.mean(axes), x.var(axes)
    scale = wide(1 / np.sqrt(variance + EPSILON))
    normal = (x - wide(mean)) * scale
    to_gamma, to_beta = (weights * normal).sum(axes), weights.sum(axes)
    count = x.size / mean.size
    to_x = (
        weights - wide(to_beta / count) - normal * wide(to_gamma / count)
    ) * (wide(gamma) * scale)
    return {
        "y": normal * wide(gamma) + wide(beta),
        "x": to_x,
        "gamma": to_gamma,
        "beta": to_beta,
        "mean": mean,
        "variance": variance,
    }


def run(layer, x, weights):
    """Return what `reference` does, of a layer in training."""
    names = [v.name for v in layer.trainable_variables]
    if keras.backend.backend() == "torch":
        import torch

        tensor = ops.convert_to_tensor(x).detach().requires_grad_()
        y = layer(tensor, training=True)
        inputs = [tensor, *(v.value for v in layer.trainable_variables)]
        loss = ops.sum(ops.cast(y, "float32") * ops.convert_to_tensor(weights))
        gradients = torch.autograd.grad(loss, inputs)
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tensor = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            y = layer(tensor, training=True)
            loss = ops.sum(ops.cast(y, "float32") * weights)
        variables = [v.value for v in layer.trainable_variables]
        gradients = tape.gradient(loss, [tensor, *variables])
    else:
        import jax

        def loss(x, trained):
            y, after = layer.stateless_call(
                trained,
                [v.value for v in layer.non_trainable_variables],
                x,
                training=True,
            )
            return ops.sum(ops.cast(y, "float32") * weights), (y, after)

        (_, (y, after)), (to_x, to_trained) = jax.value_and_grad(
            loss, (0, 1), has_aux=True
        )(
            ops.convert_to_tensor(x),
            [v.value for v in layer.trainable_variables],
        )
        for variable, value in zip(
            layer.non_trainable_variables, after, strict=True
        ):
            variable.assign(value)
        gradients = [to_x, *to_trained]
    values = dict(zip(["x", *names], gradients, strict=True))
    # With a momentum of 0 they are those of the batch.
    values |= {
        "y": y,
        "mean": layer.moving_mean,
        "variance": layer.moving_variance,
    }
    return {
        name: ops.convert_to_numpy(ops.cast(value, "float32"))
        for name, value in values.items()
    }


def assert_close(got, expected, digits=1e-6):
    for name, value in got.items():
        size = np.abs(expected[name]).max()
        error = np.abs(value - expected[name]).max()
        assert error <= digits * max(size, 1), (name, error, size)


def data(shape, axis, mean=0.5, deviation=2.0):
    rng = np.random.default_rng(0)
    channels = shape[axis]
    return (
        (mean + deviation * rng.standard_normal(shape)).astype("float32"),
        rng.standard_normal(shape).astype("float32"),
        rng.uniform(0.5, 2, channels).astype("float32"),
        rng.standard_normal(channels).astype("float32"),
    )


def built(shape, axis, gamma, beta, cls=BatchNormalization, **options):
    options = {"momentum": 0.0, "epsilon": EPSILON, **options}
    layer = cls(axis=axis, **options)
    layer.build(shape)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    return layer


@pytest.mark.parametrize("case", TRAINED)
def test_trains_as_the_reference(case):
    shape, axis = SHAPES[case]
    x, weights, gamma, beta = data(shape, axis)
    expected = reference(x, gamma, beta, axis, weights)
    got = run(built(shape, axis, gamma, beta), x, weights)
    assert got["y"].shape == shape
    assert_close(got, expected)


@pytest.mark.parametrize("case", TRAINED)
def test_combined_statistics_have_a_gradient(case):
    shape, axis = SHAPES[case]
    x, weights, gamma, beta = data(shape, axis)
    expected = reference(x, gamma, beta, axis, weights)
    layer = built(shape, axis, gamma, beta)
    layer._moments = layer._moments  # As of several replicas, here one.
    assert_close(run(layer, x, weights), expected)


@pytest.mark.parametrize("case", TRAINED)
def test_infers_as_core_keras(case):
    shape, axis = SHAPES[case]
    x, _, gamma, beta = data(shape, axis)
    ours = built(shape, axis, gamma, beta)
    core = built(shape, axis, gamma, beta, keras.layers.BatchNormalization)
    for layer in (ours, core):
        layer.moving_mean.assign(beta)
        layer.moving_variance.assign(gamma)
    for training in (False, None):
        assert_close(
            {"y": ops.convert_to_numpy(ours(x, training=training))},
            {"y": ops.convert_to_numpy(core(x))},
        )


def test_a_large_mean_costs_no_digits():
    shape = (4, 8, 8, 3)
    x, weights, gamma, beta = data(shape, -1, mean=1000, deviation=1)
    expected = reference(x, gamma, beta, -1, weights)

    def error(cls):
        got = run(built(shape, -1, gamma, beta, cls), x, weights)
        return {name: np.abs(got[name] - expected[name]).max() for name in got}

    ours = error(BatchNormalization)
    core = error(keras.layers.BatchNormalization)
    assert ours["variance"] < 1e-5
    # A float32 of 1000 is 6e-5 from the next.
    assert ours["y"] < 1e-3
    if keras.backend.backend() == "torch":  # Core's are right elsewhere.
        assert core["variance"] > 1000 * ours["variance"]
        assert core["y"] > 10 * ours["y"]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_steps_keep_the_digits(jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("torch.compile needs a C++ compiler")
    x, *_ = data((4, 8, 8, 3), -1, mean=1000, deviation=1)
    norm = BatchNormalization(momentum=0.0)
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), norm, keras.layers.Flatten()]
    )
    model.compile("sgd", "mse", jit_compile=jit_compile)
    model.train_on_batch(x, x.reshape(4, -1))
    np.testing.assert_allclose(
        ops.convert_to_numpy(norm.moving_variance),
        x.astype("float64").var((0, 1, 2)),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    "policy, digits", [("mixed_float16", 2e-3), ("mixed_bfloat16", 2e-2)]
)
@pytest.mark.parametrize("case", ["images", "images first", "rows"])
def test_half_precision(policy, digits, case):
    shape, axis = SHAPES[case]
    x, weights, gamma, beta = data(shape, axis)
    half = policy.removeprefix("mixed_")
    x = ops.convert_to_numpy(ops.cast(ops.cast(x, half), "float32"))
    weights = ops.convert_to_numpy(ops.cast(ops.cast(weights, half), "float32"))
    expected = reference(x, gamma, beta, axis, weights)
    layer = built(shape, axis, gamma, beta, dtype=policy)
    got = run(layer, x, weights)
    assert layer.compute_dtype == half
    assert all(v.dtype == "float32" for v in layer.variables)
    statistics = {name: got.pop(name) for name in ("mean", "variance")}
    assert_close(got, expected, digits)
    assert_close(statistics, expected)
    assert keras.backend.standardize_dtype(layer(x).dtype) == half


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}])
def test_without_gamma_or_beta(options):
    x, weights, *_ = data((2, 4, 5, 3), -1)
    layer = BatchNormalization(momentum=0, epsilon=EPSILON, **options)
    layer.build(x.shape)
    expected = reference(x, np.ones(3), np.zeros(3), -1, weights)
    assert_close(run(layer, x, weights), expected)


def test_one_value_of_a_channel():
    x = np.array([[1.0, 2.0]], "float32")
    layer = built((1, 2), -1, [3.0, 4.0], [5.0, 6.0])
    got = run(layer, x, np.ones_like(x))
    assert_close(
        got,
        {
            "y": np.array([[5.0, 6.0]]),
            "x": np.zeros((1, 2)),
            "gamma": np.zeros(2),
            "beta": np.ones(2),
            "mean": x[0],
            "variance": np.zeros(2),
        },
        1e-5,
    )


@pytest.mark.parametrize("synchronized", [False, True])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_moves_the_statistics_as_core_keras(synchronized, policy):
    if synchronized and keras.backend.backend() != "tensorflow":
        pytest.skip("Keras has it on TensorFlow")
    shape = (2, 4, 5, 3)
    x, _, gamma, beta = data(shape, -1)
    options = {
        "momentum": 0.9,
        "synchronized": synchronized,
        "dtype": policy,
    }
    ours = built(shape, -1, gamma, beta, **options)
    core = built(
        shape, -1, gamma, beta, keras.layers.BatchNormalization, **options
    )
    for scale in (1, 2):
        for layer in (ours, core):
            layer(scale * x, training=True)
    for got, expected in zip(ours.weights, core.weights, strict=True):
        assert got.name == expected.name
        np.testing.assert_allclose(
            ops.convert_to_numpy(got), ops.convert_to_numpy(expected), 1e-5
        )


def test_masked_values_do_not_count():
    x, _, gamma, beta = data((2, 5, 3), -1)
    mask = np.array([[True, True, False, True, False]] * 2)
    ours = built(x.shape, -1, gamma, beta)
    core = built(x.shape, -1, gamma, beta, keras.layers.BatchNormalization)
    for layer in (ours, core):
        layer(x, training=True, mask=mask)
    np.testing.assert_allclose(
        ops.convert_to_numpy(ours.moving_mean), x[mask].mean(0), 1e-5
    )
    for got, expected in zip(ours.weights, core.weights, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(got), ops.convert_to_numpy(expected), 1e-6
        )


def test_frozen_statistics_stay():
    x, weights, gamma, beta = data((2, 4, 5, 3), -1)
    for cls, trainable in (
        (BatchNormalization, False),
        (FrozenBatchNormalization, True),
    ):
        layer = built(x.shape, -1, gamma, beta, cls)
        layer.trainable = trainable
        got = run(layer, x, weights)
        scale = 1 / np.sqrt(1 + EPSILON)
        assert set(got) == {"x", "y", "mean", "variance"}
        assert_close(
            got,
            {
                "y": x * scale * gamma + beta,
                "x": weights * scale * gamma,
                "mean": np.zeros(3),
                "variance": np.ones(3),
            },
        )


@pytest.mark.parametrize("there", [True, False])
def test_weights_load_into_core_keras_and_back(there, tmp_path):
    def model(cls):
        return keras.Sequential(
            [keras.Input((4,)), cls(name="norm"), keras.layers.Dense(2)]
        )

    source, target = BatchNormalization, keras.layers.BatchNormalization
    if not there:
        source, target = target, source
    source, target = model(source), model(target)
    rng = np.random.default_rng(0)
    source.set_weights(
        [rng.uniform(size=w.shape) for w in source.get_weights()]
    )
    path = tmp_path / "model.weights.h5"
    source.save_weights(path)
    target.load_weights(path)
    x = rng.standard_normal((3, 4)).astype("float32")
    np.testing.assert_allclose(
        target.predict(x, verbose=0), source.predict(x, verbose=0), 1e-6
    )


def test_is_a_keras_layer():
    config = BatchNormalization(axis=1, momentum=0.9).get_config()
    core = keras.layers.BatchNormalization(axis=1, momentum=0.9).get_config()
    assert {**config, "name": 0} == {**core, "name": 0}


def test_a_batch_of_unknown_size_trains():
    model = keras.Sequential(
        [
            keras.Input((None, 3)),
            BatchNormalization(),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).standard_normal((6, 5, 3)).astype("float32")
    losses = model.fit(
        x, x[:, :1, 0], batch_size=4, epochs=5, verbose=0
    ).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="torch's kernel moves axes"
)
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("training", [False, True])
def test_no_axis_is_negative(name, training, monkeypatch):
    """Of a large network the exporter to ONNX keeps the -1 of `movedim`."""
    import torch

    moved, movedim = [], torch.Tensor.movedim

    def record(tensor, source, destination):
        moved.append((source, destination))
        return movedim(tensor, source, destination)

    shape, axis = SHAPES[name]
    layer = BatchNormalization(axis=axis)
    layer.build(shape)
    monkeypatch.setattr(torch.Tensor, "movedim", record)
    layer(ops.ones(shape), training=training)
    assert moved or axis == 1
    assert all(min(pair) >= 0 for pair in moved)
