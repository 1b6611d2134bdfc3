"""What goes wrong on two devices of TensorFlow, and what is done about it.

Each function returns what plain Keras gives and what a prepared model gives;
they run in a process of two CPUs, see `test_keras_patches`.
"""

import functools
import json
import tempfile

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from training import compile_model, make_batches, make_model, make_optimizer

from keras_tricks.distillation import Distiller
from keras_tricks.distribute import distribute
from keras_tricks.losses import LabelSmoothedKD
from keras_tricks.optimizers import SGD

DISTRIBUTION = distribute("mirrored:2")
LOCAL = distribute("mirrored:2", norm="local")
X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = np.arange(8, dtype="float32")[:, None]


def linear(kind, optimizer=None, loss="mse", layer=None, **compiled):
    """A linear model; `kind` is "alone", "stock" or "ours"."""
    distribution = distribution_of(kind)
    keras.utils.set_random_seed(0)
    with distribution.scope():
        layers = [layer()] if layer else []
        layers.append(keras.layers.Dense(1, kernel_initializer="ones"))
        model = keras.Sequential([keras.Input((3,)), *layers])
        model.compile(
            optimizer() if optimizer else keras.optimizers.SGD(0.1),
            loss() if isinstance(loss, type) else loss,
            **compiled,
        )
    if kind == "ours":
        distribution.prepare(model)
    return model


def distribution_of(kind):
    return distribute("none") if kind == "alone" else DISTRIBUTION


def outcome(function):
    """What a function returns, or the name of what it raises."""
    try:
        return function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def fitted(model, x=X, y=Y, batch_size=4, **kwargs):
    model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, **kwargs)
    return model.get_weights()[0].ravel().tolist()


def each(function, kinds=("alone", "stock", "ours")):
    return {kind: outcome(functools.partial(function, kind)) for kind in kinds}


def steps_per_execution(kind):
    # Two executions, the second of which has one batch.
    return fitted(linear(kind, steps_per_execution=2), X[:6], Y[:6], 2)


def uneven_first_batch(kind):
    return linear(kind).evaluate(X[:5], Y[:5], batch_size=5, verbose=0)


def empty_part(kind):
    distribution = distribution_of(kind)
    with distribution.scope():
        model = make_model()
        compile_model(model, make_optimizer())
    if kind == "ours":
        distribution.prepare(model)
    x, y = make_batches(1, mixes=False)[0]
    logs = model.evaluate(x[:5], y[:5], batch_size=4, verbose=0)
    return [logs, model.predict(x[:5], batch_size=4, verbose=0).tolist()]


class ScalarLoss(keras.losses.Loss):
    """A loss that averages by itself."""

    def call(self, y_true, y_pred):
        return ops.mean(ops.square(y_true - y_pred))


def scalar_loss(kind):
    return fitted(linear(kind, loss=ScalarLoss), X[:4], Y[:4])


def overflow(kind):
    """Weights and loss scale after gradients of which one part is inf."""
    x = X.copy()
    x[3] = 1e30  # The last row of the first batch: it is on replica 1.

    def optimizer():
        return keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.1), 1024.0
        )

    model = linear(kind, optimizer)
    weights = fitted(model, x[:4], Y[:4])
    return [bool(np.isfinite(weights).all()), weights[0] == 1.0] + [
        float(model.optimizer.dynamic_scale.numpy())
    ]


def clipping(kind):
    def optimizer():
        return keras.optimizers.SGD(0.1, global_clipnorm=0.5)

    return fitted(linear(kind, optimizer))


def accumulation(kind):
    """The last weights, and the rate of our own optimizer and of Keras'."""
    rates = []
    for cls in (SGD, keras.optimizers.SGD):

        def optimizer(cls=cls):
            schedule = keras.optimizers.schedules.CosineDecay(0.1, 4)
            return cls(schedule, gradient_accumulation_steps=2)

        model = linear(kind, optimizer)
        weights = fitted(model, batch_size=2)
        rates.append(float(ops.convert_to_numpy(model.optimizer.learning_rate)))
    return [*weights, *rates]


def overwriting(kind):
    def optimizer():
        return keras.optimizers.SGD(
            0.1, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=2
        )

    return fitted(linear(kind, optimizer))


def dropout(kind):
    """Which units each replica drops of rows of ones."""
    model = linear(kind, layer=lambda: keras.layers.Dropout(0.5, seed=1))
    layer = model.layers[0]
    if kind == "alone":
        return [layer(np.ones((1, 99)), training=True).numpy().tolist()]

    @tf.function(autograph=False)
    def masks():
        return DISTRIBUTION.strategy.run(
            lambda: layer(tf.ones((1, 99)), training=True)
        )

    parts = DISTRIBUTION.strategy.experimental_local_results(masks())
    return [part.numpy().tolist() for part in parts]


def moving_mean(kind):
    """The moving mean of each replica; "ours" is `norm="local"`."""
    keras.utils.set_random_seed(0)
    with LOCAL.scope():
        norm = keras.layers.BatchNormalization(momentum=0.5)
        model = keras.Sequential([keras.Input((3,)), norm])
        model.compile(keras.optimizers.SGD(0.0), "mse")
    if kind == "ours":
        LOCAL.prepare(model)
    model.fit(X, X, batch_size=4, shuffle=False, verbose=0)
    parts = LOCAL.strategy.experimental_local_results(norm.moving_mean.value)
    return [part.numpy().tolist() for part in parts]


def batch_norm(kind):
    """Weights after training with batch norm, of inputs with a mean of 10."""
    model = linear(kind, layer=keras.layers.BatchNormalization)
    fitted(model, X + 10, Y)
    return np.concatenate([w.ravel() for w in model.get_weights()]).tolist()


def nadam(kind):
    weights = fitted(linear(kind, lambda: keras.optimizers.Nadam(0.1)))

    def accumulates():
        return keras.optimizers.Nadam(0.1, gradient_accumulation_steps=2)

    if kind == "ours":
        return [weights, outcome(lambda: linear(kind, accumulates))]
    return [weights]


def uneven_training(kind):
    return fitted(linear(kind), X[:7], Y[:7])


def saving(kind):
    """What a file gives without any distribution, and the layers in it."""
    model = linear(kind, layer=keras.layers.BatchNormalization)
    fitted(model)
    with DISTRIBUTION.scope():  # A second stage of training.
        model.compile(keras.optimizers.SGD(0.1), "mse")
    DISTRIBUTION.prepare(DISTRIBUTION.prepare(model))
    fitted(model)
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder + "/model.keras")
        loaded = keras.saving.load_model(folder + "/model.keras")
    fitted(loaded)
    again = keras.models.clone_model(model)
    again.set_weights(model.get_weights())
    return [
        "synchronized: True" in str(model.get_config()),
        json.dumps(model.get_config()) == json.dumps(loaded.get_config()),
        float(np.abs(again(X).numpy() - model.predict(X, verbose=0)).max()),
    ]


def refusals(kind):
    """The errors of `prepare` and `batches`."""

    class Device:
        batch_size, finish_on, mix_up = 4, "device", min

    with DISTRIBUTION.scope():
        bare = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    outside = linear("alone")
    with DISTRIBUTION.scope():
        mixed = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    mixed.compile(keras.optimizers.SGD(0.1), "mse")
    odd = make_batches()
    odd.batch_size = 15
    prepare, batches = DISTRIBUTION.prepare, DISTRIBUTION.batches
    return [
        outcome(lambda: prepare(bare)),
        outcome(lambda: prepare(outside)),
        outcome(lambda: prepare(mixed)),
        outcome(lambda: prepare(linear("stock", jit_compile=True))),
        outcome(lambda: batches(Device())),
        outcome(lambda: batches(odd)),
        outcome(lambda: distribute("mirrored:3")),
        DISTRIBUTION.describe(),
    ]


def distiller(kind):
    distribution = distribution_of(kind)
    labels = np.arange(8) % 3
    with distribution.scope():
        models = []
        for seed in (1, 2):
            init = keras.initializers.GlorotUniform(seed)
            dense = keras.layers.Dense(3, kernel_initializer=init)
            models.append(keras.Sequential([keras.Input((3,)), dense]))
        model = Distiller(*models, check_teacher=False)
        model.compile(keras.optimizers.SGD(0.1), LabelSmoothedKD(0.1, 2.0))
    if kind == "ours":
        distribution.prepare(model)
    history = model.fit(
        X,
        labels,
        batch_size=4,
        shuffle=False,
        verbose=0,
        validation_data=(X[:5], labels[:5]),
    ).history
    weights = model.student.get_weights()[0].ravel().tolist()
    return weights + [history[name][0] for name in sorted(history)]


ALL = (
    steps_per_execution,
    uneven_first_batch,
    empty_part,
    scalar_loss,
    overflow,
    clipping,
    accumulation,
    overwriting,
    dropout,
    batch_norm,
)


def results():
    found = {function.__name__: each(function) for function in ALL}
    for function in (nadam, distiller):
        found[function.__name__] = each(function, ("alone", "ours"))
    found["moving_mean"] = each(moving_mean, ("stock", "ours"))
    found["saving"] = outcome(lambda: saving("ours"))
    found["refusals"] = refusals("ours")
    # Last: after an error TensorFlow reduces nothing any more.
    found["uneven_training"] = each(uneven_training)
    return found
