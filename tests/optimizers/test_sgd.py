import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks import schedules
from keras_tricks.optimizers import SGD, _torch_sgd

SHAPES = {"kernel": (4, 3), "bias": (3,), "gamma": (3,), "conv": (2, 2, 1, 2)}


def make_variables(seed=0):
    rng = np.random.default_rng(seed)
    return [
        keras.Variable(rng.normal(size=shape).astype("float32"), name=name)
        for name, shape in SHAPES.items()
    ]


def rates(steps):
    schedule = schedules.Warmup(schedules.CosineDecay(0.3, steps - 5), 5)
    return schedule, [float(schedule(step)) for step in range(steps)]


def reference(w, grads, lrs, decay, momentum, nesterov, form):
    """Float64 updates of one variable."""
    w = np.asarray(w, "float64").copy()
    m = np.zeros_like(w)
    for g, lr in zip(grads, lrs, strict=True):
        g = g.astype("float64") + decay * w
        if form == "pytorch":
            m = momentum * m + g
            w -= lr * (g + momentum * m if nesterov else m)
        else:
            m = momentum * m - lr * g
            w += momentum * m - lr * g if nesterov else m
    return w


def all_grads(steps, seed=1):
    rng = np.random.default_rng(seed)
    return [
        [rng.normal(size=shape).astype("float32") for shape in SHAPES.values()]
        for _ in range(steps)
    ]


@pytest.mark.parametrize("form", ["pytorch", "keras"])
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("decay", ["kernels", "all", "^conv|bias$"])
def test_against_float64(form, nesterov, momentum, decay):
    steps, wd = 20, 0.01
    schedule, lrs = rates(steps)
    variables = make_variables()
    start = [ops.convert_to_numpy(v) for v in variables]
    optimizer = SGD(schedule, momentum, nesterov, wd, decay, form)
    grads = all_grads(steps)
    for g in grads:
        optimizer.apply([ops.convert_to_tensor(x) for x in g], variables)
    chosen = {
        "kernels": {"kernel", "conv"},
        "all": set(SHAPES),
        "^conv|bias$": {"conv", "bias"},
    }[decay]
    for i, name in enumerate(SHAPES):
        want = reference(
            start[i],
            [g[i] for g in grads],
            lrs,
            wd if name in chosen else 0.0,
            momentum,
            nesterov,
            form,
        )
        got = ops.convert_to_numpy(variables[i])
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("nesterov", [True, False])
def test_against_torch_optim(nesterov):
    torch = pytest.importorskip("torch")
    steps = 50
    schedule, lrs = rates(steps)
    variables = make_variables()
    params = [
        torch.nn.Parameter(torch.tensor(ops.convert_to_numpy(v)))
        for v in variables
    ]
    kernels = [p for p in params if p.ndim >= 2]
    others = [p for p in params if p.ndim < 2]
    peer = torch.optim.SGD(
        [
            {"params": kernels, "weight_decay": 1e-2},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=0.1,
        momentum=0.9,
        nesterov=nesterov,
    )
    ours = SGD(schedule, 0.9, nesterov, weight_decay=1e-2)
    for lr, grads in zip(lrs, all_grads(steps), strict=True):
        ours.apply([ops.convert_to_tensor(g) for g in grads], variables)
        for p, g in zip(params, grads, strict=True):
            p.grad = torch.tensor(g)
        for group in peer.param_groups:
            group["lr"] = lr
        peer.step()
    for v, p in zip(variables, params, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(v), p.detach().numpy(), rtol=1e-6, atol=1e-6
        )


def tiny_model(seed=3):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(2),
        ]
    )


def data(n=32):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(n, 6)).astype("float32")
    return x, (x[:, :2] * 2).astype("float32")


def weights(model):
    return [ops.convert_to_numpy(v) for v in model.weights]


def schedule_of(steps=20):
    return schedules.Warmup(schedules.CosineDecay(0.05, steps), 2)


def test_accumulation_equals_the_large_batch_and_counts_real_updates():
    x, y = data(64)
    models = []
    for steps, batch in ((None, 16), (4, 4)):
        model = tiny_model()
        model.layers[1].trainable = False
        optimizer = SGD(
            schedule_of(), weight_decay=0.1, gradient_accumulation_steps=steps
        )
        model.compile(optimizer, "mse")
        model.fit(x, y, batch_size=batch, shuffle=False, verbose=0)
        models.append(model)
        assert int(optimizer.iterations) == 4
        np.testing.assert_allclose(
            float(optimizer.learning_rate), float(schedule_of()(4)), rtol=1e-6
        )
    for a, b in zip(*map(weights, models), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


@pytest.mark.parametrize("accumulation", [None, 2])
def test_ema_averages_once_for_each_real_update(accumulation):
    variable = keras.Variable(np.ones((2, 2), "float32"))
    optimizer = SGD(
        0.1,
        momentum=0.0,
        nesterov=False,
        weight_decay=0.0,
        use_ema=True,
        ema_momentum=0.5,
        gradient_accumulation_steps=accumulation,
    )
    value, average = 1.0, None
    for _ in range(3):
        for _ in range(accumulation or 1):
            optimizer.apply([ops.ones((2, 2))], [variable])
        value -= 0.1
        average = value if average is None else (average + value) / 2
    got = optimizer._model_variables_moving_average[0]
    np.testing.assert_allclose(
        ops.convert_to_numpy(got), np.full((2, 2), average), rtol=1e-6
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains(policy):
    x, y = data()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = tiny_model()
        model.compile(SGD(schedule_of(40), weight_decay=0.01), "mse")
        history = model.fit(x, y, batch_size=8, epochs=8, verbose=0)
    finally:
        keras.config.set_dtype_policy(before)
    losses = history.history["loss"]
    assert np.all(np.isfinite(losses))
    assert losses[-1] < losses[0]
    wrapped = hasattr(model.optimizer, "inner_optimizer")
    assert wrapped == (policy == "mixed_float16")


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_step_after_loading_equals_step_without(policy, tmp_path):
    x, y = data()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = tiny_model()
        optimizer = SGD(
            schedule_of(),
            weight_decay=0.3,
            decay="dense.*/kernel",
            momentum_form="keras",
        )
        model.compile(optimizer, "mse")
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        for m in (model, loaded):
            m.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    finally:
        keras.config.set_dtype_policy(before)
    for a, b in zip(weights(model), weights(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(
    not _torch_sgd.updates_lists(), reason="only torch updates lists of tensors"
)
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("momentum", [True, False])
def test_a_rate_that_stays_a_tensor_gives_the_same_update(
    inside, nesterov, momentum
):
    results = []
    for rate in (0.25, ops.convert_to_tensor(0.25)):
        variables, buffers = make_variables(0), make_variables(1)
        _torch_sgd.list_sgd(
            [ops.convert_to_tensor(g) for g in all_grads(1)[0]],
            variables,
            buffers if momentum else None,
            [True, False, False, True],
            learning_rate=rate,
            momentum=0.9,
            nesterov=nesterov,
            weight_decay=0.5,
            inside=inside,
        )
        results.append([ops.convert_to_numpy(v) for v in variables + buffers])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_gradients_are_not_changed_in_place():
    variables = make_variables()
    grads = [ops.ones(v.shape) for v in variables]
    SGD(0.1, weight_decay=0.5).apply(grads, variables)
    for g in grads:
        np.testing.assert_array_equal(ops.convert_to_numpy(g), 1.0)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"learning_rate": -0.1}, "`learning_rate`.*Received.*-0.1"),
        ({"momentum": 1.0}, r"`momentum`.*\[0, 1\).*Received"),
        ({"weight_decay": -1e-4}, "`weight_decay`.*Received"),
        ({"decay": "(["}, "`decay`.*Received"),
        ({"decay": 3}, "`decay`.*Received"),
        ({"momentum_form": "mxnet"}, "`momentum_form`.*Received"),
        (
            {
                "use_ema": True,
                "ema_overwrite_frequency": 2,
                "gradient_accumulation_steps": 2,
            },
            "ema_overwrite_frequency",
        ),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        SGD(**kwargs)


def test_a_rule_that_matches_nothing_fails_before_the_first_step():
    with pytest.raises(ValueError, match="`decay` must match.*kernle"):
        SGD(0.1, decay="kernle").build(make_variables())
