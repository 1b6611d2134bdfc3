"""AdamW, Lamb, Lion, Muon and schedule-free AdamW beside float64."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_tricks import schedules
from keras_tricks.callbacks import (
    Backup,
    ExponentialMovingAverage,
    LearningRateLogger,
    SetEpoch,
)
from keras_tricks.data import Batches, RestOfEpoch
from keras_tricks.optimizers import (
    SGD,
    AdamW,
    Lamb,
    Lion,
    Muon,
    ScheduleFreeAdamW,
    decay_report,
    no_bias_decay,
)

# The last kernel is the head, which Muon leaves to Adam.
SHAPES = {
    "conv/kernel": (2, 2, 1, 3),
    "depthwise/kernel": (2, 2, 3, 1),
    "norm/gamma": (3,),
    "dense/kernel": (4, 3),
    "dense/bias": (3,),
    "logits/kernel": (3, 5),
    "logits/bias": (5,),
}
KERNELS = {name for name in SHAPES if name.endswith("kernel")}
BY_ADAM = set(SHAPES) - {"conv/kernel", "dense/kernel"}
STEPS, DECAY = 20, 0.3
OPTIMIZERS = {
    "sgd": (SGD, {"momentum": 0.8}),
    "adamw": (AdamW, {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
    "lamb": (Lamb, {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
    "lamb, decayed": (Lamb, {"trust_ratio": "decayed"}),
    "lion": (Lion, {"beta_1": 0.7, "beta_2": 0.9}),
    "muon": (Muon, {"adam_beta_1": 0.8, "adam_beta_2": 0.95, "momentum": 0.9}),
    "schedule-free": (ScheduleFreeAdamW, {"beta_1": 0.8, "beta_2": 0.95}),
}
ADAPTIVE = ["adamw", "lamb", "lion", "muon", "schedule-free"]


def make_variables():
    rng = np.random.default_rng(0)
    variables = []
    for path, shape in SHAPES.items():
        scope, name = path.split("/")
        value = rng.normal(size=shape).astype("float32")
        with keras.name_scope(scope):
            variables.append(keras.Variable(value, name=name))
    # A kernel of zeros has no norm to give steps their size.
    variables[3].assign(np.zeros(SHAPES["dense/kernel"]))
    return variables


def make_gradients():
    rng = np.random.default_rng(1)
    return [
        [rng.normal(size=shape).astype("float32") for shape in SHAPES.values()]
        for _ in range(STEPS)
    ]


def make_schedule():
    return schedules.Warmup(schedules.CosineDecay(0.1, STEPS - 5), 5)


# The references: from the weights, the gradients, the rates and the decay to
# the weights, in float64.


def adam(w, gradients, rates, decay, beta_1, beta_2, epsilon):
    m = v = 0.0
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        w = w - rate * decay * w
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        alpha = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        w = w - alpha * m / (np.sqrt(v) + epsilon)
    return w


def lamb(w, gradients, rates, decay, beta_1, beta_2, epsilon, has_ratio):
    m = v = 0.0
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        spread = np.sqrt(v / (1 - beta_2**t)) + epsilon
        u = m / (1 - beta_1**t) / spread + decay * w
        norms = np.linalg.norm(w), np.linalg.norm(u)
        ratio = norms[0] / norms[1] if has_ratio and all(norms) else 1.0
        w = w - rate * ratio * u
    return w


def lion(w, gradients, rates, decay, beta_1, beta_2):
    m = np.zeros_like(w)
    for g, rate in zip(gradients, rates, strict=True):
        w = w - rate * decay * w - rate * np.sign(beta_1 * m + (1 - beta_1) * g)
        m = beta_2 * m + (1 - beta_2) * g
    return w


def orthogonal(x):
    """Five steps on the side of the fewer rows."""
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.T if tall else x


def muon(w, gradients, rates, decay, momentum):
    b = 0.0
    for g, rate in zip(gradients, rates, strict=True):
        w = w - rate * decay * w
        b = momentum * b + g
        u = (g + momentum * b).reshape(-1, w.shape[-1])
        step = 0.2 * np.sqrt(max(u.shape)) * orthogonal(u)
        w = w - rate * step.reshape(w.shape)
    return w


def schedule_free(y, gradients, rates, decay, beta_1, beta_2, epsilon):
    x = z = y
    v = total = 0.0
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        y = (1 - beta_1) * z + beta_1 * x
        v = beta_2 * v + (1 - beta_2) * g**2
        spread = np.sqrt(v / (1 - beta_2**t)) + epsilon
        z = z - rate * g / spread - rate * decay * y
        total += rate**2
        x = x + rate**2 / total * (z - x)
    return (1 - beta_1) * z + beta_1 * x


def sgd(w, gradients, rates, decay, momentum):
    m = 0.0
    for g, rate in zip(gradients, rates, strict=True):
        g = g + decay * w
        m = momentum * m + g
        w = w - rate * (g + momentum * m)
    return w


def reference(name, path, w, gradients, rates):
    """Updates of one variable, whose role its path says."""
    decay = DECAY if path in KERNELS else 0.0
    arguments = w, gradients, rates, decay
    if name == "lamb, decayed":
        return lamb(*arguments, 0.9, 0.999, 1e-6, path in KERNELS)
    return {
        "sgd": lambda: sgd(*arguments, 0.8),
        "adamw": lambda: adam(*arguments, 0.8, 0.95, 1e-3),
        "lamb": lambda: lamb(*arguments, 0.8, 0.95, 1e-3, True),
        "lion": lambda: lion(*arguments, 0.7, 0.9),
        "muon": lambda: (
            adam(*arguments, 0.8, 0.95, 1e-7)
            if path in BY_ADAM
            else muon(*arguments, 0.9)
        ),
        "schedule-free": lambda: schedule_free(*arguments, 0.8, 0.95, 1e-8),
    }[name]()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_against_float64_with_decay_by_role(name):
    kind, options = OPTIMIZERS[name]
    schedule = make_schedule()
    rates = [float(schedule(step)) for step in range(STEPS)]
    variables, gradients = make_variables(), make_gradients()
    start = [ops.convert_to_numpy(v).astype("float64") for v in variables]
    optimizer = kind(schedule, weight_decay=DECAY, **options)
    for batch in gradients:
        optimizer.apply([ops.convert_to_tensor(g) for g in batch], variables)
    for i, path in enumerate(SHAPES):
        mine = [batch[i].astype("float64") for batch in gradients]
        want = reference(name, path, start[i], mine, rates)
        got = ops.convert_to_numpy(variables[i])
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)
        assert np.abs(want - start[i]).max() > 0.02


def make_model(precision="float32"):
    keras.utils.set_random_seed(3)
    kind = {"dtype": precision}
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.Flatten(**kind),
            layers.Dense(4, activation="relu", **kind),
            layers.Dense(3, dtype="float32"),
        ]
    )


def make_batches(batch_size=8, images=48):
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (images, 4, 4, 1), "uint8")
    return Batches(pixels, np.arange(images) % 3, batch_size)


def compile_with(model, name, precision="float32", **more):
    kind, options = OPTIMIZERS[name]
    rate = schedules.Warmup(schedules.CosineDecay(0.01, 30), 2)
    optimizer = kind(rate, weight_decay=DECAY, **options, **more)
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, 2.0**8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=False)
    return model


def values(model):
    variables = model.variables + model.optimizer.variables
    return [ops.convert_to_numpy(variable) for variable in variables]


def fit(model, batches, **options):
    options = {"verbose": 0, "shuffle": False, **options}
    return model.fit(batches, **options).history


@pytest.mark.parametrize("name", ADAPTIVE)
def test_parts_of_a_batch_make_one_update(name):
    results = []
    for steps, batch in ((None, 16), (4, 4)):
        model = compile_with(
            make_model(), name, gradient_accumulation_steps=steps
        )
        history = fit(
            model, make_batches(batch), callbacks=[LearningRateLogger()]
        )
        results.append([ops.convert_to_numpy(w) for w in model.weights])
        assert int(model.optimizer.iterations) == 3
        want = schedules.Warmup(schedules.CosineDecay(0.01, 30), 2)(2)
        assert history["learning_rate"][-1] == pytest.approx(float(want))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


class Stop(keras.callbacks.Callback):
    """Ends training within the second epoch, behind a backup."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == 2:
            raise InterruptedError


def train(name, folder, stops=False):
    """Two epochs of 6 batches, 2 for an update, in half precision."""
    model = compile_with(
        make_model("mixed_float16"),
        name,
        "mixed_float16",
        gradient_accumulation_steps=2,
    )
    batches = make_batches()
    average = ExponentialMovingAverage(0.8, apply_at_end=False)
    backup = Backup(folder, average, every_steps=2)
    done = backup.restore(model)
    parts = [(2, batches)]
    if backup.step:
        parts = [(done + 1, RestOfEpoch(batches, backup.step))]
    for end, part in parts:
        used = [SetEpoch(part), average, backup, *[Stop()] * stops]
        fit(model, part, initial_epoch=done, epochs=end, callbacks=used)
    return model, average


@pytest.mark.parametrize("name", ADAPTIVE)
def test_a_resume_within_an_epoch_is_bit_equal(name, tmp_path):
    """With loss scale, accumulation and an average of the weights."""
    whole, average = train(name, tmp_path / "whole")
    with pytest.raises(InterruptedError):
        train(name, tmp_path / "stopped", stops=True)
    resumed, again = train(name, tmp_path / "stopped")
    assert int(whole.optimizer.iterations) == 6
    for a, b in zip(values(whole), values(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(average.averages, again.averages, strict=True):
        a, b = ops.convert_to_numpy(a), ops.convert_to_numpy(b)
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ADAPTIVE)
def test_the_compiled_step_is_that_of_eager_code_and_is_saved(name, tmp_path):
    results = []
    for eager in (False, True):
        model = compile_with(make_model(), name, global_clipnorm=1.0)
        model.run_eagerly = eager
        fit(model, make_batches(16))
        results.append([ops.convert_to_numpy(w) for w in model.weights])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for a, b in zip(values(model), values(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_schedule_free_average_is_that_of_the_fast_weights():
    optimizer = ScheduleFreeAdamW(0.1, beta_1=0.8)
    variables, fast = make_variables(), []
    for batch in make_gradients():
        optimizer.apply([ops.convert_to_tensor(g) for g in batch], variables)
        fast.append([ops.convert_to_numpy(z) for z in optimizer._fast])
    for x, *z in zip(optimizer.averaged_values(), *fast, strict=True):
        got = ops.convert_to_numpy(x)
        np.testing.assert_allclose(got, np.mean(z, axis=0), atol=1e-5)


def test_what_muon_leaves_to_adam_is_reported(capsys):
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.Conv2D(3, 3),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(5),
            layers.Dense(3),
        ]
    )
    optimizer = keras.optimizers.LossScaleOptimizer(Muon(0.1))
    report = decay_report(optimizer, model)
    names = [path.rsplit("/")[-1] for path, _ in report.by_adam]
    assert names == ["bias", "gamma", "beta", "bias", "kernel", "bias"]
    assert report.by_adam[4] == (model.layers[-1].kernel.path, 15)
    assert len(report.decayed) == 3
    printed = capsys.readouterr().out
    assert "left to Adam: 6 variables" in printed
    left = Muon(0.1, adam="conv.*kernel").left_to_adam(
        model.trainable_variables
    )
    assert left == [True, True, True, True, False, True, False, True]
    assert decay_report(AdamW(), model).by_adam is None


def test_decay_by_role_needs_no_exclusions():
    with pytest.raises(ValueError, match="those of keras_tricks.optimizers"):
        no_bias_decay(AdamW(weight_decay=0.1), make_model())
    with pytest.raises(ValueError, match="give `decay`.*Received: var_list"):
        Lion().exclude_from_weight_decay(var_names=["bias"])


@pytest.mark.parametrize("kind", [AdamW, Lamb, Lion, Muon, ScheduleFreeAdamW])
def test_without_decay_any_rule_will_do(kind):
    variables = make_variables()
    optimizer = kind(0.1, weight_decay=0.0, decay="nothing")
    optimizer.apply([ops.ones(v.shape) for v in variables], variables)
    with pytest.raises(ValueError, match="`decay` must match.*'nothing'"):
        kind(0.1, weight_decay=0.1, decay="nothing").build(make_variables())


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: AdamW(beta_1=1.0), r"`beta_1`.*\[0, 1\).*Received"),
        (lambda: Lamb(beta_2=-0.1), r"`beta_2`.*\[0, 1\).*Received"),
        (lambda: Lion(beta_1=0.0), r"`beta_1`.*\(0, 1\).*Received"),
        (lambda: Lamb(trust_ratio="none"), "`trust_ratio` must be one of"),
        (lambda: Muon(adam="(["), "`adam` must be .*Received: adam="),
        (lambda: AdamW(weight_decay=-1), "`weight_decay`.*Received"),
        (lambda: AdamW(decay="(["), "`decay`.*Received"),
        (lambda: ScheduleFreeAdamW(-1.0), "`learning_rate`.*Received"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
