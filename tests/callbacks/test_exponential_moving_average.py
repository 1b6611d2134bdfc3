import keras
import numpy as np
import pytest

from keras_tricks.callbacks import ExponentialMovingAverage
from keras_tricks.callbacks.exponential_moving_average import average_decay

rng = np.random.default_rng(0)
X = rng.normal(2.0, 3.0, (24, 5)).astype("float32")
Y = rng.integers(0, 3, 24)


def make_model(**kwargs):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(3, dtype="float32"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, **kwargs), loss)
    return model


class Weights(keras.callbacks.Callback):
    """Keeps the training weights after every batch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_begin(self, logs=None):
        self.seen.append(self.model.get_weights())

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(self.model.get_weights())


def fit(model, callbacks, epochs=2, **kwargs):
    return model.fit(
        X,
        Y,
        batch_size=4,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
        **kwargs,
    ).history


def reference(seen, decay):
    """The average in float64 with one decay for each step after the first."""
    average = [w.astype("float64") for w in seen[0]]
    for step, weights in enumerate(seen[1:]):
        d = decay(step)
        average = [
            d * a + (1 - d) * w.astype("float64")
            for a, w in zip(average, weights, strict=True)
        ]
    return average


def assert_equal(actual, expected, atol=1e-6):
    for a, e in zip(actual, expected, strict=True):
        a = keras.ops.convert_to_numpy(a)
        np.testing.assert_allclose(a, e, rtol=0, atol=atol)


def test_every_weight_is_averaged_batch_statistics_included():
    model, weights = make_model(), Weights()
    average = ExponentialMovingAverage(0.8, apply_at_end=False)
    fit(model, [weights, average])
    expected = reference(weights.seen, lambda step: 0.8)
    assert len(expected) == 8
    assert_equal(average.averages, expected)
    assert_equal(model.get_weights(), weights.seen[-1], atol=0)
    moving_mean = expected[4]
    assert np.abs(moving_mean - weights.seen[-1][4]).max() > 1e-2


def test_warmup():
    model, weights = make_model(), Weights()
    average = ExponentialMovingAverage(0.4, warmup=True)
    fit(model, [weights, average])
    expected = reference(
        weights.seen, lambda step: min(0.4, (1 + step) / (10 + step))
    )
    assert_equal(model.get_weights(), expected)


def test_every_third_step():
    model, weights = make_model(), Weights()
    fit(model, [weights, ExponentialMovingAverage(0.8, every=3)])
    expected = reference(weights.seen[::3], lambda step: 0.8**3)
    assert_equal(model.get_weights(), expected)


def test_one_update_for_each_real_update():
    model = make_model(gradient_accumulation_steps=2)
    weights = Weights()
    average = ExponentialMovingAverage(0.8)
    fit(model, [weights, average])
    assert average.updates == 6
    expected = reference(weights.seen[::2], lambda step: 0.8)
    assert_equal(model.get_weights(), expected)


def test_training_is_not_disturbed_and_validation_sees_the_average():
    plain = make_model()
    plain_history = fit(plain, [], 3, validation_data=(X, Y))
    model, weights = make_model(), Weights()
    average = ExponentialMovingAverage(0.8, apply_at_end=False)
    history = fit(model, [weights, average], 3, validation_data=(X, Y))
    np.testing.assert_allclose(
        history["loss"], plain_history["loss"], rtol=1e-6
    )
    assert_equal(model.get_weights(), plain.get_weights())
    for epoch in range(3):
        seen = weights.seen[: 6 * (epoch + 1) + 1]
        plain.set_weights(reference(seen, lambda step: 0.8))
        expected = plain.evaluate(X, Y, verbose=0)
        assert history["val_loss"][epoch] == pytest.approx(expected, rel=1e-5)
        assert abs(plain_history["val_loss"][epoch] - expected) > 1e-4


def test_swap_on_epoch_for_the_callbacks_behind_it(tmp_path):
    model, weights = make_model(), Weights()
    before = keras.callbacks.ModelCheckpoint(tmp_path / "raw.weights.h5")
    after = keras.callbacks.ModelCheckpoint(tmp_path / "ema.weights.h5")
    for checkpoint in before, after:
        checkpoint.save_weights_only = True
    average = ExponentialMovingAverage(0.8, apply_at_end=False)
    fit(model, [weights, before, average, after], validation_data=(X, Y))
    expected = reference(weights.seen, lambda step: 0.8)
    assert_equal(model.get_weights(), weights.seen[-1], atol=0)
    model.load_weights(tmp_path / "raw.weights.h5")
    assert_equal(model.get_weights(), weights.seen[-1], atol=0)
    model.load_weights(tmp_path / "ema.weights.h5")
    assert_equal(model.get_weights(), expected)


def test_resume_equals_the_uninterrupted_run(tmp_path):
    path = tmp_path / "average.npz"
    whole = ExponentialMovingAverage(0.8, every=5, warmup=True)
    model = make_model()
    model.layers[2].rate = 0.0
    fit(model, [whole], 4)
    resumed = make_model()
    resumed.layers[2].rate = 0.0
    first = ExponentialMovingAverage(
        0.8, every=5, warmup=True, apply_at_end=False, path=path
    )
    fit(resumed, [first], 2)
    assert [entry.name for entry in tmp_path.iterdir()] == ["average.npz"]
    second = ExponentialMovingAverage(0.8, every=5, warmup=True)
    second.load(path)
    fit(resumed, [second], 4, initial_epoch=2)
    assert second.updates == whole.updates == 4
    assert_equal(resumed.get_weights(), model.get_weights())


def test_the_state_is_a_copy():
    model = make_model()
    average = ExponentialMovingAverage(0.5, apply_at_end=False)
    fit(model, [average], 1)
    state = average.get_state()
    kept = {key: np.array(value) for key, value in state.items()}
    fit(model, [average], 1)
    for key, value in state.items():
        np.testing.assert_array_equal(value, kept[key])
    assert average.updates == 12


def test_mixed_precision_keeps_a_float32_average():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model, weights = make_model(), Weights()
        average = ExponentialMovingAverage(0.8)
        fit(model, [weights, average], 1, validation_data=(X, Y))
    finally:
        keras.config.set_dtype_policy("float32")
    assert {keras.backend.standardize_dtype(a.dtype) for a in average.averages}
    assert_equal(model.get_weights(), reference(weights.seen, lambda step: 0.8))


def test_decay():
    assert average_decay(0.9, 7, every=2) == pytest.approx(0.81)
    assert average_decay(0.9, 3, every=2, warmup=True) == (7 / 16) ** 2
    assert average_decay(0.9, 10**6, warmup=True) == 0.9


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"ema_decay": 1.0},
            r"`ema_decay` must be .* \[0, 1\). Received: ema_decay=1.0",
        ),
        ({"ema_decay": -0.1}, "Received: ema_decay=-0.1"),
        ({"every": 0}, "`every` must be an integer of at least 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ExponentialMovingAverage(**arguments)


def test_bad_state(tmp_path):
    path = tmp_path / "broken.npz"
    path.write_bytes(b"PK\x03\x04 not a zip")
    for bad in path, tmp_path / "missing.npz":
        with pytest.raises(ValueError, match="must be a file that `save`"):
            ExponentialMovingAverage().load(bad)
    with pytest.raises(ValueError, match="must come from `get_state`"):
        ExponentialMovingAverage().set_state({"x": 1})
    average = ExponentialMovingAverage()
    average.set_state(
        {"updates": 1, "pending": 0, "average_00000": np.zeros(3)}
    )
    with pytest.raises(ValueError, match="must have the shapes"):
        fit(make_model(), [average])


def test_a_model_without_weights_is_refused():
    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.Activation("relu")]
    )
    model.compile("sgd", "mse")
    average = ExponentialMovingAverage()
    average.set_model(model)
    with pytest.raises(ValueError, match="a model that has weights"):
        average.on_train_begin()


class NotBuilt(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, x):
        return self.dense(x)


def test_a_model_that_its_first_batch_builds():
    model, weights = NotBuilt(), Weights()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    fit(model, [weights, ExponentialMovingAverage(0.8)], 1)
    # Without the weights before the first batch where nobody could see them.
    seen = [weights for weights in weights.seen if weights]
    assert len(seen) == 6 if keras.backend.backend() == "tensorflow" else 7
    assert_equal(model.get_weights(), reference(seen, lambda step: 0.8))


several_steps = pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="Keras on torch has no steps_per_execution",
)


@several_steps
def test_steps_that_are_not_seen_are_refused():
    model = make_model()
    model.compile("sgd", model.loss, steps_per_execution=4)
    with pytest.raises(ValueError, match="a multiple of 4 .* every=1$"):
        fit(model, [ExponentialMovingAverage()])
    accumulating = keras.optimizers.SGD(gradient_accumulation_steps=6)
    model.compile(accumulating, model.loss, steps_per_execution=4)
    with pytest.raises(ValueError, match="a multiple of 2 .* every=1$"):
        fit(model, [ExponentialMovingAverage()])


@several_steps
def test_every_execution_and_a_shorter_one_at_the_end():
    plain, weights = make_model(), Weights()
    plain.layers[2].rate = 0.0
    fit(plain, [weights])
    model = make_model()
    model.layers[2].rate = 0.0
    model.compile(keras.optimizers.SGD(0.1), plain.loss, steps_per_execution=4)
    fit(model, [ExponentialMovingAverage(0.8, every=4)])
    # Six batches are an execution of four and one of two.
    seen = [weights.seen[step] for step in (0, 4, 10)]
    expected = reference(seen, lambda step: 0.8 ** (4, 6)[step])
    assert_equal(model.get_weights(), expected, atol=1e-5)


def keep_best(path):
    return [
        keras.callbacks.EarlyStopping(patience=9, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(
            path, save_best_only=True, save_weights_only=True
        ),
    ]


def test_the_best_weights_are_those_that_were_scored(tmp_path):
    model, best = make_model(), tmp_path / "best.weights.h5"
    callbacks = [ExponentialMovingAverage(0.8), *keep_best(best)]
    history = fit(model, callbacks, 4, validation_data=(X, (Y + 1) % 3))
    scores = history["val_loss"]
    assert scores[-1] - min(scores) > 1e-3
    for _ in range(2):
        score = model.evaluate(X, (Y + 1) % 3, verbose=0)
        assert score == pytest.approx(min(scores), rel=1e-5)
        model.load_weights(best)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("kind", ["ours", "Keras'"])
def test_a_second_average_is_refused(kind, first):
    """Each would take the weights of the other for the training weights."""
    ours, model = ExponentialMovingAverage(), make_model()
    other = ExponentialMovingAverage(swap_on_epoch=False)
    if kind == "Keras'":
        model.optimizer.use_ema = True
        other = keras.callbacks.SwapEMAWeights()
    name = type(other).__name__
    with pytest.raises(ValueError, match=f"must have one .*`{name}` beside"):
        fit(model, [ours, other][:: 1 - 2 * first], validation_data=(X, Y))


def test_the_wrong_order_is_refused(tmp_path):
    average = ExponentialMovingAverage()
    stop, save = keep_best(tmp_path / "best.weights.h5")
    without_swap = ExponentialMovingAverage(swap_on_epoch=False)
    loss = keras.callbacks.EarlyStopping("loss", restore_best_weights=True)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup.weights.h5")
    for callbacks, name, where in (
        ([stop, average], "EarlyStopping", "before"),
        ([save, average], "ModelCheckpoint", "before"),
        ([without_swap, save], "ModelCheckpoint", "behind"),
        ([loss, average], "EarlyStopping", "before"),
        ([average, backup], "BackupAndRestore", "behind"),
    ):
        message = f"`{name}` (behind|before) .*it stands {where}"
        with pytest.raises(ValueError, match=message):
            fit(make_model(), callbacks, validation_data=(X, Y))
