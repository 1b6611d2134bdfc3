"""What goes wrong in several processes, and does not after `prepare`.

The functions run in each of two processes, see `test_several_processes`, and
some of them in one alone, for comparison.
"""

import contextlib
import os
import socket
import sys
from pathlib import Path

import keras
import numpy as np
from keras import ops

sys.path.insert(0, str(Path(__file__).parent))
from training import BACKEND, compile_model, make_model, make_optimizer

from keras_tricks.data import (
    ArrayRecords,
    Batches,
    ImageBatches,
    Preprocessing,
)
from keras_tricks.data.pipeline.base import EpochBatches
from keras_tricks.distribute import distribute


class Foreign:
    """Batches of somebody else: `batch(epoch, step)` and a length."""

    def __init__(self, x, y, batch_size):
        self.x, self.y, self.size = x, y, batch_size

    def __len__(self):
        return -(-len(self.x) // self.size)

    def batch(self, epoch, step):
        rows = slice(step * self.size, (step + 1) * self.size)
        return self.x[rows], self.y[rows]


class Rows(EpochBatches):
    """Given arrays, in order."""

    def __init__(self, x, y, batch_size):
        super().__init__()
        self.x, self.y, self.batch_size = x, y, batch_size

    @property
    def num_batches(self):
        return -(-len(self.x) // self.batch_size)

    def batch(self, epoch, step):
        rows = slice(step * self.batch_size, (step + 1) * self.batch_size)
        return self.x[rows], self.y[rows]


X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = np.arange(8, dtype="float32")[:, None]


def start(spec, norm="sync"):
    if BACKEND == "jax":
        keras.distribution.set_distribution(None)
    return distribute(spec, norm)


def linear(distribution, optimizer, layer=None, loss="mse", prepares=True):
    keras.utils.set_random_seed(0)
    with distribution.scope():
        layers = [layer()] if layer else []
        layers.append(keras.layers.Dense(1, kernel_initializer="ones"))
        model = keras.Sequential([keras.Input((3,)), *layers])
        model.compile(optimizer(), loss)
        model.optimizer.build(model.trainable_variables)
    return distribution.prepare(model) if prepares else model


def fit(distribution, model, x=X, y=Y, size=4):
    batches = distribution.batches(Rows(x, y, size))
    return model.fit(batches, shuffle=False, verbose=0)


def numbers(variable):
    return np.asarray(ops.convert_to_numpy(variable)).ravel().tolist()


def outcome(function):
    """What a function returns, or the name of what it raises."""
    try:
        return function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def clipping(distribution):
    def optimizer():
        return keras.optimizers.SGD(0.1, global_clipnorm=0.1)

    model = linear(distribution, optimizer)
    fit(distribution, model)
    return numbers(model.weights[0])


def foreign(distribution):
    """The same with batches that are none of ours."""
    model = linear(
        distribution, lambda: keras.optimizers.SGD(0.1, global_clipnorm=0.1)
    )
    batches = distribution.batches(Foreign(X, Y, 4))
    model.fit(batches, shuffle=False, verbose=0)
    return numbers(model.weights[0])


def overflow(distribution):
    """Weights and loss scale after gradients of which the last row is inf."""
    x = X[:4].copy()
    x[3] = 1e38

    def optimizer():
        inner = keras.optimizers.SGD(0.1)
        return keras.optimizers.LossScaleOptimizer(inner, 1024.0)

    model = linear(distribution, optimizer)
    fit(distribution, model, x, Y[:4])
    scale = numbers(model.optimizer.dynamic_scale)
    return [numbers(model.weights[0]), scale]


class Dropped(keras.losses.Loss):
    """Pulls each weight by how often its input was kept."""

    def call(self, y_true, y_pred):
        return -y_pred[:, 0]


def dropout(distribution):
    """Gradients: 0, 1 or 2 where a unit was kept in no, one or both rows."""
    model = linear_wide(distribution)
    x = np.ones((2, 256), "float32")
    fit(distribution, model, x, x[:, :1], 2)
    return np.subtract(numbers(model.weights[0]), 1.0).tolist()


def linear_wide(distribution):
    keras.utils.set_random_seed(0)
    with distribution.scope():
        model = keras.Sequential(
            [
                keras.Input((256,)),
                keras.layers.Dropout(0.5, seed=3),
                keras.layers.Dense(1, kernel_initializer="ones"),
            ]
        )
        model.compile(keras.optimizers.SGD(1.0), Dropped())
    return distribution.prepare(model)


def moving_statistics(distribution):
    """Mean and variance after a step from those of the parts."""

    def norm():
        return keras.layers.BatchNormalization(momentum=0.0)

    def optimizer():
        return keras.optimizers.SGD(0.0)

    model = linear(distribution, optimizer, norm)
    fit(distribution, model, size=8)
    layer = model.layers[0]
    return [numbers(layer.moving_mean), numbers(layer.moving_variance)]


def model_and_images(distribution):
    """A prepared model, and three batches of eight images and one more."""
    keras.utils.set_random_seed(0)
    with distribution.scope():
        model = make_model()
        compile_model(model, make_optimizer())
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (25, 8, 8, 3)).astype("uint8")
    return distribution.prepare(model), images


def validation(distribution):
    """All a callback sees, with a validation of one row more."""
    model, images = model_and_images(distribution)
    common = {"mean": 120.0, "std": 60.0}
    train = Batches(images, np.arange(25) % 4, 8, **common)
    test = Batches(images, np.arange(25) % 4, 8, drop_remainder=False, **common)
    history = model.fit(
        distribution.batches(train),
        validation_data=distribution.batches(test),
        shuffle=False,
        epochs=3,
        verbose=0,
    )
    return history.history


class Damaged(ArrayRecords):
    """Records of which some in the second half of a batch are bad."""

    def record(self, index):
        image, label = super().record(index)
        return (b"" if 12 <= index < 17 else image), label


def streamed(distribution):
    """Evaluation and predictions of images that each process reads itself."""
    model, images = model_and_images(distribution)
    found = []
    for kind in Damaged, ArrayRecords:
        batches = ImageBatches(
            kind(images, np.arange(25) % 4, tuple("abcd")),
            Preprocessing(8),
            8,
            drop_remainder=False,
            shard=distribution.shard,
            max_bad_records=5,
        )
        batches = distribution.batches(batches)
        found.append(model.evaluate(batches, verbose=0, return_dict=True))
    found.append(model.predict(batches, verbose=0).tolist())
    return found


def stock(distribution):
    """What a model does that was not prepared."""
    model = linear(
        distribution, lambda: keras.optimizers.SGD(0.1), prepares=False
    )
    fit(distribution, model)
    model.predict(distribution.batches(Rows(X, Y, 4)), verbose=0)
    return numbers(model.weights[0])


def summed(distribution):
    """A loss that adds samples up, and what is logged of it."""
    loss = keras.losses.MeanSquaredError(reduction="sum")
    model = linear(distribution, lambda: keras.optimizers.SGD(0.01), loss=loss)
    logged = fit(distribution, model).history["loss"]
    return [*logged, *numbers(model.weights[0])]


def counts(distribution):
    """What metrics have counted, before and after a resume."""
    model = linear(distribution, lambda: keras.optimizers.SGD(0.01))
    fit(distribution, model)
    variables = model.metrics_variables
    before = distribution.read_metrics(variables)
    model.reset_metrics()
    cleared = distribution.read_metrics(variables)
    distribution.assign_metrics(variables, before)
    after = distribution.read_metrics(variables)
    # As of a run of one device: all add up to the same.
    total = [array.sum(0, keepdims=True) for array in before]
    distribution.assign_metrics(variables, total)
    moved = distribution.read_metrics(variables)
    every = before, cleared, after, moved
    return [[array.tolist() for array in arrays] for arrays in every]


class Total(keras.losses.Loss):
    """One value for a batch."""

    def call(self, y_true, y_pred):
        return ops.sum(ops.square(y_true - y_pred))


def scalar_loss(distribution):
    model = linear(distribution, keras.optimizers.SGD, loss=Total())
    return outcome(lambda: fit(distribution, model) and "done")


def other_seeds(distribution):
    """Weights of a model that each process has started by itself."""
    keras.utils.set_random_seed(distribution.process_index)
    with distribution.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.1), "mse")
    fit(distribution, distribution.prepare(model))
    return numbers(model.weights[0])


def uneven_training(distribution):
    model = linear(distribution, keras.optimizers.SGD)
    return outcome(lambda: fit(distribution, model, X[:7], Y[:7]) and "done")


def together(distribution):
    """What is asked of all processes, between steps."""
    index = distribution.process_index
    return [
        distribution.gather({"process": index}),
        distribution.any(index == distribution.num_processes - 1),
        distribution.any(False),
        distribution.shard,
        distribution.describe(),
    ]


def open_ports():
    """Ports of this process that other machines can reach, on Linux."""
    found, level = [], socket.SOL_SOCKET
    for name in os.listdir("/proc/self/fd") if sys.platform == "linux" else []:
        with contextlib.suppress(OSError, ValueError):
            with socket.socket(fileno=os.dup(int(name))) as one:
                listens = one.getsockopt(level, socket.SO_ACCEPTCONN)
                tied = one.getsockopt(level, socket.SO_BINDTODEVICE, 16)
                host, port = one.getsockname()[:2]  # A path has no port.
                local = (
                    host.startswith(("127.", "::ffff:127.")) or host == "::1"
                )
                if listens and not tied and not local and isinstance(port, int):
                    found.append(port)
    return found


def results(spec):
    """All of the above with an engine."""
    distribution = start(spec)
    found = {
        "together": together(distribution),
        "stock": outcome(lambda: stock(distribution)),
        "refusals": refusals(distribution),
    }
    every = (
        clipping,
        foreign,
        summed,
        counts,
        overflow,
        dropout,
        validation,
        streamed,
    )
    for function in every:
        found[function.__name__] = function(distribution)
    found["together again"] = together(distribution)[1:3]
    if BACKEND != "jax":
        local = start(spec, "local")
        found["other_seeds"] = other_seeds(distribution)
        found["moving_statistics"] = moving_statistics(local)
        # Last: TensorFlow sums nothing after an error in a step.
        found["scalar_loss"] = scalar_loss(distribution)
        found["uneven_training"] = uneven_training(distribution)
    patches = [name for name in sys.modules if name.endswith("keras_patches")]
    return {**found, "patches": patches, "open_ports": open_ports()}


def refusals(distribution):
    """The errors of `batches`."""

    class Device:
        batch_size, finish_on, mix_up = 4, "device", min

    return [
        outcome(lambda: distribution.batches(Device)),
        outcome(lambda: distribution.batches(Rows(X, Y, 3))),
        outcome(lambda: distribution.batches(X)),
    ]
