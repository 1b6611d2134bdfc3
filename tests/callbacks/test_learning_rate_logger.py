import keras
import numpy as np
import pytest

from keras_tricks.callbacks import LearningRateLogger
from keras_tricks.callbacks.learning_rate_logger import last_learning_rate

X = np.ones((8, 3), "float32")
Y = np.zeros((8, 1), "float32")


class Record(keras.callbacks.Callback):
    """Keeps the logs of each batch, and what core Keras shows."""

    def __init__(self):
        super().__init__()
        self.logged = []
        self.core = []

    def on_train_batch_end(self, batch, logs=None):
        self.logged.append(logs["learning_rate"])
        rate = self.model.optimizer.learning_rate
        self.core.append(float(keras.ops.convert_to_numpy(rate)))


def fit(optimizer, callbacks, epochs=2, batch_size=2, **kwargs):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", **kwargs)
    return model.fit(
        X,
        Y,
        batch_size=batch_size,
        epochs=epochs,
        verbose=0,
        callbacks=callbacks,
    ).history


def schedule(step):
    return 0.1 * 0.5 ** (step / 3)


def exponential():
    return keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)


def test_logs_the_step_just_taken_where_core_shows_the_next():
    record = Record()
    history = fit(
        keras.optimizers.SGD(exponential()),
        [LearningRateLogger(per_batch=True), record],
    )
    expected = [schedule(step) for step in range(8)]
    following = [schedule(step + 1) for step in range(8)]
    np.testing.assert_allclose(record.logged, expected, rtol=1e-6)
    np.testing.assert_allclose(record.core, following, rtol=1e-6)
    np.testing.assert_allclose(
        history["learning_rate"], [expected[3], expected[7]], rtol=1e-6
    )


def test_epoch_logs_alone_keep_the_asynchronous_dispatch():
    history = fit(keras.optimizers.SGD(exponential()), [LearningRateLogger()])
    np.testing.assert_allclose(
        history["learning_rate"], [schedule(3), schedule(7)], rtol=1e-6
    )
    method = LearningRateLogger().on_train_batch_end
    assert getattr(method, "_is_default", False)
    method = LearningRateLogger(per_batch=True).on_train_batch_end
    assert not getattr(method, "_is_default", False)


@pytest.mark.parametrize("per_batch", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_the_rate_of_a_plateau_is_that_before_it(per_batch, first):
    plateau = keras.callbacks.ReduceLROnPlateau(
        "loss", factor=0.5, patience=0, min_delta=1e9
    )
    both = [plateau, LearningRateLogger(per_batch)]
    order = both[::-1] if first else both
    history = fit(keras.optimizers.SGD(0.1), order, epochs=4)
    np.testing.assert_allclose(
        history["learning_rate"], [0.1, 0.1, 0.05, 0.025], rtol=1e-6
    )


def test_through_the_loss_scale_optimizer():
    inner = keras.optimizers.SGD(exponential())
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0)
    history = fit(optimizer, [LearningRateLogger()])
    np.testing.assert_allclose(
        history["learning_rate"], [schedule(3), schedule(7)], rtol=1e-6
    )


def test_gradient_accumulation_logs_the_last_real_update():
    optimizer = keras.optimizers.SGD(
        exponential(), gradient_accumulation_steps=3
    )
    record = Record()
    # Eight batches: updates after the third and the sixth, whose schedule
    # core Keras evaluates at batch 2 and batch 5.
    fit(optimizer, [LearningRateLogger(per_batch=True), record])
    expected = [schedule(s) for s in [0, 0, 2, 2, 2, 5, 5, 5]]
    np.testing.assert_allclose(record.logged, expected, rtol=1e-6)


def test_float_and_scheduler_and_callable():
    history = fit(keras.optimizers.SGD(0.25), [LearningRateLogger()])
    np.testing.assert_allclose(history["learning_rate"], [0.25] * 2)
    steps = keras.callbacks.LearningRateScheduler(lambda epoch: 0.5 ** (epoch))
    history = fit(keras.optimizers.SGD(0.25), [LearningRateLogger(), steps])
    np.testing.assert_allclose(history["learning_rate"], [1.0, 0.5])
    history = fit(keras.optimizers.SGD(lambda: 0.125), [LearningRateLogger()])
    np.testing.assert_allclose(history["learning_rate"], [0.125] * 2)


def test_an_optimizer_that_knows_its_rate_is_asked():
    class Knowing(keras.optimizers.SGD):
        def learning_rate_at(self, iteration):
            return 10.0 + iteration

    history = fit(Knowing(0.1), [LearningRateLogger()])
    assert history["learning_rate"] == [13.0, 17.0]


def test_before_the_first_step():
    assert last_learning_rate(
        keras.optimizers.SGD(exponential())
    ) == pytest.approx(0.1)


@pytest.mark.skipif(
    not hasattr(keras.optimizers, "MultiOptimizer"),
    reason="Keras has it since 3.15",
)
def test_several_learning_rates_are_refused():
    optimizer = keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.1))
    )
    with pytest.raises(ValueError, match="one learning rate"):
        fit(optimizer, [LearningRateLogger()])
