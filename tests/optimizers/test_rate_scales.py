"""Learning rates that differ from variable to variable."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_tricks import schedules
from keras_tricks.data import Batches
from keras_tricks.optimizers import (
    SGD,
    AdamW,
    Lamb,
    Lion,
    Muon,
    ScheduleFreeAdamW,
    take_over,
)
from keras_tricks.surgery import layer_rate_scales

SHAPES = {
    "stem/kernel": (2, 2, 1, 3),
    "block/kernel": (4, 3),
    "block/bias": (3,),
    "logits/kernel": (3, 5),
}
KERNELS = {path for path in SHAPES if path.endswith("kernel")}
# What is not named has the factor 1.
SCALES = {"stem/kernel": 0.0625, "block/kernel": 0.3, "block/bias": 0.3}
STEPS, DECAY = 20, 0.2
SGDS = {
    f"{form}, {'' if nesterov else 'not '}nesterov": (
        SGD,
        {"momentum": 0.8, "momentum_form": form, "nesterov": nesterov},
    )
    for form in ("pytorch", "keras")
    for nesterov in (True, False)
}
OPTIMIZERS = {
    **SGDS,
    "sgd without momentum": (SGD, {"momentum": 0.0, "nesterov": False}),
    "adamw": (AdamW, {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
    "adamw, amsgrad": (AdamW, {"amsgrad": True}),
    "lamb": (Lamb, {}),
    "lion": (Lion, {}),
    "muon": (Muon, {}),
    "schedule-free": (ScheduleFreeAdamW, {}),
}


def make_variables():
    rng = np.random.default_rng(0)
    variables = []
    for path, shape in SHAPES.items():
        scope, name = path.split("/")
        value = rng.normal(size=shape).astype("float32")
        with keras.name_scope(scope):
            variables.append(keras.Variable(value, name=name))
    return variables


def make_gradients():
    rng = np.random.default_rng(1)
    return [
        [rng.normal(size=shape).astype("float32") for shape in SHAPES.values()]
        for _ in range(STEPS)
    ]


def make_schedule(peak=0.1):
    return schedules.Warmup(schedules.CosineDecay(peak, STEPS - 5), 5)


def train(kind, options, rate=None, **more):
    """Returns the variables by path, in float64, before and after."""
    rate = make_schedule() if rate is None else rate
    optimizer = kind(rate, weight_decay=DECAY, **options, **more)
    variables = make_variables()
    before = [ops.convert_to_numpy(v).astype("float64") for v in variables]
    for batch in make_gradients():
        optimizer.apply([ops.convert_to_tensor(g) for g in batch], variables)
    after = [ops.convert_to_numpy(v).astype("float64") for v in variables]
    paths = [v.path for v in variables]
    assert paths == list(SHAPES)
    return dict(zip(paths, before, strict=True)), dict(
        zip(paths, after, strict=True)
    )


# The references, in float64: a rate for each update, of this variable.


def sgd(w, gradients, rates, decay, momentum, nesterov, form):
    m = np.zeros_like(w)
    for g, rate in zip(gradients, rates, strict=True):
        g = g + decay * w
        if form == "pytorch":
            m = momentum * m + g
            w = w - rate * (g + momentum * m if nesterov else m)
        else:
            m = momentum * m - rate * g
            w = w + (momentum * m - rate * g if nesterov else m)
    return w


def adamw(w, gradients, rates, decay, beta_1, beta_2, epsilon):
    m = v = 0.0
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        alpha = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        w = w - rate * decay * w - alpha * m / (np.sqrt(v) + epsilon)
    return w


@pytest.mark.parametrize("name", [*SGDS, "adamw"])
def test_against_float64_with_a_rate_for_each_variable(name):
    kind, options = OPTIMIZERS[name]
    schedule = make_schedule()
    rates = np.array([float(schedule(step)) for step in range(STEPS)])
    before, after = train(kind, options, rate_scales=SCALES)
    gradients = make_gradients()
    for place, path in enumerate(SHAPES):
        arguments = (
            before[path],
            [batch[place].astype("float64") for batch in gradients],
            rates * SCALES.get(path, 1.0),
            DECAY if path in KERNELS else 0.0,
        )
        if kind is AdamW:
            want = adamw(*arguments, 0.8, 0.95, 1e-3)
        else:
            form = options["momentum_form"]
            want = sgd(*arguments, 0.8, options["nesterov"], form)
        np.testing.assert_allclose(after[path], want, rtol=5e-6, atol=5e-6)
        assert np.abs(want - before[path]).max() > 0.005


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("constant", [False, True])
def test_a_factor_is_that_of_the_rate_of_one_variable(name, constant):
    """Half the rate for one is its own run with half the rate."""
    kind, options = OPTIMIZERS[name]
    whole, half = (
        (0.02, 0.01) if constant else (make_schedule(), make_schedule(0.05))
    )
    _, full = train(kind, options, whole)
    _, halved = train(kind, options, half)
    _, mixed = train(kind, options, whole, rate_scales={"block/kernel": 0.5})
    assert np.abs(full["block/kernel"] - halved["block/kernel"]).max() > 0.01
    for path in SHAPES:
        want = halved if path == "block/kernel" else full
        np.testing.assert_allclose(
            mixed[path], want[path], rtol=1e-6, atol=1e-6
        )


def make_model(precision="float32"):
    keras.utils.set_random_seed(3)
    kind = {"dtype": precision}
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.Conv2D(2, 3, name="first", **kind),
            layers.Flatten(**kind),
            layers.Dense(4, activation="relu", name="second", **kind),
            layers.Dense(3, dtype="float32", name="logits"),
        ],
        name="small",
    )


def fit(model, optimizer, images=16, batch_size=8, **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, **options)
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (images, 4, 4, 1), "uint8")
    batches = Batches(pixels, np.arange(images) % 3, batch_size)
    model.fit(batches, verbose=0, shuffle=False)
    return {v.path: ops.convert_to_numpy(v) for v in model.trainable_variables}


def test_with_accumulation_and_a_loss_scale():
    """The first of all updates is the gradient, so a factor is seen in it."""
    moves = []
    for factor in (1.0, 0.25):
        model = make_model("mixed_float16")
        start = {
            v.path: ops.convert_to_numpy(v) for v in model.trainable_variables
        }
        scales = layer_rate_scales(model, layer_decay=factor, head_factor=2.0)
        optimizer = keras.optimizers.LossScaleOptimizer(
            SGD(
                0.1,
                weight_decay=0.0,
                gradient_accumulation_steps=2,
                rate_scales=scales,
            ),
            2.0**8,
        )
        end = fit(model, optimizer, jit_compile=False)
        assert int(optimizer.inner_optimizer.iterations) == 1
        moves.append({path: end[path] - start[path] for path in start})
    for path, move in moves[0].items():
        layer = path.split("/")[-2]
        factor = {"first": 0.0625, "second": 0.25, "logits": 1.0}[layer]
        np.testing.assert_allclose(
            moves[1][path], factor * move, rtol=1e-3, atol=1e-6
        )
        assert np.abs(move).max() > 1e-3


@pytest.mark.parametrize("name", ["pytorch, nesterov", "adamw", "muon"])
def test_the_compiled_step_is_that_of_eager_code_and_is_saved(name, tmp_path):
    kind, options = OPTIMIZERS[name]
    results = []
    for how in ({"run_eagerly": True}, {"jit_compile": False}):
        model = make_model()
        scales = layer_rate_scales(model, layer_decay=0.3, head_factor=3.0)
        optimizer = kind(make_schedule(), rate_scales=scales, **options)
        results.append(fit(model, optimizer, **how))
    for path in results[0]:
        np.testing.assert_allclose(
            results[0][path], results[1][path], atol=1e-4
        )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").optimizer
    assert loaded.get_config() == model.optimizer.get_config()
    assert loaded.get_config()["rate_scales"] == scales
    assert loaded._factors == model.optimizer._factors
    assert sorted(set(loaded._factors)) == pytest.approx([0.09, 0.3, 3.0])


def test_others_may_take_over():
    """The state is that of the variables, whatever their rates."""
    variables = make_variables()
    before = AdamW(0.1)
    gradients = make_gradients()
    before.apply([ops.convert_to_tensor(g) for g in gradients[0]], variables)
    after = AdamW(0.1, rate_scales=SCALES)
    after.build(variables)
    take_over(after, before)
    assert int(after.iterations) == 1
    for ours, theirs in zip(after._momentums, before._momentums, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs)
        )
    assert after._factors == [0.0625, 0.3, 0.3, 1.0]


def test_without_factors_nothing_is_in_the_config():
    assert "rate_scales" not in SGD(0.1).get_config()
    assert SGD(0.1, rate_scales={}).get_config()["rate_scales"] == {}


@pytest.mark.parametrize(
    "scales, message",
    [
        ([("kernel", 0.5)], "`rate_scales` must be a dict.*Received"),
        ({"a/kernel": 0}, r"`rate_scales\['a/kernel'\]`.*Received.*=0"),
        ({"a/kernel": "half"}, r"`rate_scales\['a/kernel'\]`.*Received"),
        ({"a/kernel": float("nan")}, r"`rate_scales\['a/kernel'\]`.*Received"),
    ],
)
def test_bad_factors(scales, message):
    with pytest.raises(ValueError, match=message):
        AdamW(rate_scales=scales)


def test_a_path_that_no_variable_has():
    with pytest.raises(
        ValueError,
        match="`rate_scales` must have paths, .* of the 4 trainable.*Received: "
        r"'stem/kernle' \(is it 'stem/kernel'\?\)",
    ):
        Lion(rate_scales={"stem/kernle": 0.5}).build(make_variables())
