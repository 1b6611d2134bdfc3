import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_tricks import losses, metrics

B, K = 6, 5
RNG = np.random.default_rng(0)
Z = (RNG.normal(size=(B, K)) * 3).astype("float32")
R = (RNG.normal(size=(B, K)) * 4).astype("float32")
Y = np.array([0, 4, 2, 2, 1, 3])
W = np.array([1.0, 0.0, 2.0, 0.5, 1.0, 3.0], "float32")
ONE_HOT = np.eye(K)[Y]
MIXED = 0.3 * ONE_HOT + 0.7 * ONE_HOT[::-1]
PAIR = st.tuples(*[st.floats(-30, 30, width=32)] * 2)


def log_softmax(z):
    z = np.asarray(z, "float64")
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def smooth(p, eps, convention):
    k = p.shape[-1]
    if convention == "uniform":
        return (1 - eps) * p + eps / k
    # Written as in the paper for one-hot rows, mixed linearly for the rest.
    corner = np.where(np.eye(k) == 1, 1 - eps, eps / (k - 1))
    return p @ corner


def hard(p, z, eps=0.1, convention="paper"):
    return -(smooth(p, eps, convention) * log_softmax(z)).sum(-1)


def soft(r, z, t):
    teacher = np.exp(log_softmax(np.asarray(r, "float64") / t))
    student = log_softmax(np.asarray(z, "float64") / t)
    return -(t**2) * (teacher * student).sum(-1)


def divergence(r, z, t):
    teacher, student = (log_softmax(np.asarray(a, "f8") / t) for a in (r, z))
    return t**2 * (np.exp(teacher) * (teacher - student)).sum(-1)


def numeric_gradient(f, z, step=1e-6):
    z = np.asarray(z, "float64")
    grad = np.zeros_like(z)
    for index in np.ndindex(z.shape):
        up, down = z.copy(), z.copy()
        up[index] += step
        down[index] -= step
        grad[index] = (f(up) - f(down)) / (2 * step)
    return grad


def value_and_gradient(loss, y, z, sample_weight=None):
    """The gradient with respect to logits, read off one SGD step in `fit`."""
    layer = keras.layers.Dense(z.shape[-1], use_bias=False)
    model = keras.Sequential([keras.Input((len(z),)), layer])
    layer.kernel.assign(z)
    model.compile(keras.optimizers.SGD(1.0), loss)
    x = np.eye(len(z), dtype="float32")
    value = model.train_on_batch(x, y, sample_weight=sample_weight)
    return float(value), z - ops.convert_to_numpy(layer.kernel)


def to_numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize("eps", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("convention", ["paper", "uniform"])
@pytest.mark.parametrize("dense", [False, True])
def test_smooth_labels_against_float64(eps, convention, dense):
    if dense:
        got = losses.smooth_labels(MIXED, eps, convention=convention)
        want = smooth(MIXED, eps, convention)
    else:
        got = losses.smooth_labels(Y, eps, K, convention)
        want = smooth(ONE_HOT, eps, convention)
    np.testing.assert_allclose(to_numpy(got), want, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 0.99), st.integers(2, 1000), st.floats(0, 1), st.booleans())
def test_smoothing_keeps_the_sum_and_commutes_with_mixing(eps, k, lam, paper):
    convention = "paper" if paper else "uniform"

    def s(p):
        return to_numpy(losses.smooth_labels(p, eps, convention=convention))

    a, b = np.eye(k, dtype="float32")[[0]], np.eye(k, dtype="float32")[[k - 1]]
    mixed = lam * a + (1 - lam) * b
    assert s(mixed).sum() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(
        s(mixed), lam * s(a) + (1 - lam) * s(b), atol=1e-6
    )


def test_the_conventions_agree_after_conversion():
    paper = losses.LabelSmoothedCrossentropy(0.1)
    uniform = losses.LabelSmoothedCrossentropy(0.1 * K / (K - 1), "uniform")
    core = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.1 * K / (K - 1)
    )
    want = float(paper(Y, Z))
    assert float(uniform(Y, Z)) == pytest.approx(want, rel=1e-6)
    assert float(core(ONE_HOT, Z)) == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("eps", [0.0, 0.1])
@pytest.mark.parametrize("convention", ["paper", "uniform"])
@pytest.mark.parametrize("labels", ["ids", "column", "dense", "mixed"])
def test_crossentropy_value_and_gradient(eps, convention, labels):
    y = {"ids": Y, "column": Y[:, None], "dense": ONE_HOT, "mixed": MIXED}
    p = MIXED if labels == "mixed" else ONE_HOT
    loss = losses.LabelSmoothedCrossentropy(eps, convention)
    target = (
        y[labels] if labels in ("ids", "column") else y[labels].astype("f4")
    )
    value, gradient = value_and_gradient(loss, target, Z)

    def reference(z):
        return hard(p, z, eps, convention).mean()

    assert value == pytest.approx(reference(Z), rel=1e-6)
    want = numeric_gradient(reference, Z)
    np.testing.assert_allclose(gradient, want, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_distillation_value_and_gradient(temperature):
    loss = losses.KnowledgeDistillation(temperature)
    value, gradient = value_and_gradient(loss, R, Z)

    def reference(z):
        return soft(R, z, temperature).mean()

    assert value == pytest.approx(reference(Z), rel=1e-6)
    want = numeric_gradient(reference, Z)
    np.testing.assert_allclose(gradient, want, atol=3e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_the_kl_form_has_its_value_and_the_gradient_of_the_other(temperature):
    loss = losses.KnowledgeDistillation(temperature, form="kl")
    value, gradient = value_and_gradient(loss, R, Z)

    def reference(z):
        return divergence(R, z, temperature).mean()

    assert value == pytest.approx(reference(Z), rel=1e-5)
    want = numeric_gradient(reference, Z)
    np.testing.assert_allclose(gradient, want, atol=3e-6)
    other = losses.KnowledgeDistillation(temperature)
    _, same = value_and_gradient(other, R, Z)
    np.testing.assert_allclose(gradient, same, atol=2e-6)


@pytest.mark.parametrize(
    ("temperature", "step"),
    [(1.0, 1e-1), (1.0, 1e-3), (20.0, 1.0), (20.0, 1e-2), (1000.0, 1.0)],
)
def test_a_small_divergence_keeps_its_digits(temperature, step):
    """A crossentropy less the entropy would lose all of them in float32."""
    z = (R + step * np.linspace(-1, 1, K)).astype("float32")
    got = losses.distillation_loss(R, z, temperature, form="kl")
    want = divergence(R, z, temperature)
    # It is half the variance of d = (z - r) / T. That d has the mean 0 is
    # true to some 2**-24 |d|, and z - r is off by a rounding of z.
    rtol = 8 * 2**-24 * (temperature + np.abs(z).max()) / step
    assert rtol < 0.01
    np.testing.assert_allclose(to_numpy(got), want, rtol=rtol)


def test_the_divergence_is_zero_where_the_student_agrees():
    for t in (0.5, 20.0):
        got = losses.distillation_loss(R, R, t, form="kl")
        np.testing.assert_array_equal(to_numpy(got), np.zeros(B))
        got = losses.distillation_loss(R, R + 3, t, form="kl")
        np.testing.assert_allclose(to_numpy(got), 0, atol=1e-7 * t**2)
        _, gradient = value_and_gradient(
            losses.KnowledgeDistillation(t, form="kl"), R, R
        )
        np.testing.assert_allclose(gradient, 0, atol=2e-7)


def test_near_and_far_rows_do_not_disturb_each_other():
    """Both ways to compute a row run for all rows; neither may overflow."""
    z = R.copy()
    z[1:] += np.array([[1e-3], [0.9], [3.0], [100.0], [3e4]]) * np.eye(K)
    z = z.astype("float32")
    value, gradient = value_and_gradient(
        losses.KnowledgeDistillation(1.0, form="kl"), R, z
    )
    assert value == pytest.approx(divergence(R, z, 1.0).mean(), rel=1e-6)
    p, q = (np.exp(log_softmax(a)) for a in (R, z))
    # A kernel of up to 3e4 in float32 cannot tell small gradients of a step.
    far = np.abs(z) > 1e3
    np.testing.assert_allclose(gradient[~far], ((q - p) / B)[~far], atol=3e-6)
    assert np.isfinite(gradient).all()


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([2, 7]).flatmap(
        lambda k: st.lists(PAIR, min_size=k, max_size=k)
    ),
    st.sampled_from([0.5, 1.0, 4.0, 20.0]),
)
def test_a_divergence_is_what_is_above_the_entropy(pairs, t):
    r, z = np.array(pairs, "float32").T[:, None]
    kl = to_numpy(losses.distillation_loss(r, z, t, form="kl"))
    np.testing.assert_allclose(
        kl, divergence(r, z, t), rtol=1e-4, atol=1e-6 * t**2
    )
    assert (kl >= -1e-7 * t**2).all()


@pytest.mark.parametrize("weight", [None, 0.3])
def test_label_smoothed_kd_takes_the_form(weight):
    targets = losses.pack_targets(Y, R)
    loss = losses.LabelSmoothedKD(0.1, 4.0, weight, form="kl")
    a, b = (1, 1) if weight is None else (weight, 1 - weight)
    want = (W * (a * hard(ONE_HOT, Z) + b * divergence(R, Z, 4.0))).mean()
    assert float(loss(targets, Z, W)) == pytest.approx(want, rel=1e-5)
    rows = losses.label_smoothed_kd(targets, Z, 0.1, 4.0, weight, form="kl")
    assert (W * to_numpy(rows)).mean() == pytest.approx(want, rel=1e-5)
    assert float(loss(Y, Z)) == pytest.approx(hard(ONE_HOT, Z).mean(), rel=1e-6)


@pytest.mark.parametrize("weight", [None, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("eps", [0.0, 0.1])
@pytest.mark.parametrize("mixed", [False, True])
def test_label_smoothed_kd_value_and_gradient(weight, eps, mixed):
    p = MIXED if mixed else ONE_HOT
    labels = MIXED.astype("float32") if mixed else Y
    targets = losses.pack_targets(labels, R)
    loss = losses.LabelSmoothedKD(eps, 4.0, weight)
    value, gradient = value_and_gradient(loss, targets, Z, W)
    a, b = (1, 1) if weight is None else (weight, 1 - weight)

    def reference(z):
        rows = a * hard(p, z, eps) + b * soft(R, z, 4.0)
        return (rows * W).mean()

    assert value == pytest.approx(reference(Z), rel=1e-6)
    want = numeric_gradient(reference, Z)
    np.testing.assert_allclose(gradient, want, atol=5e-6)


@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight", None]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_every_reduction(reduction, weighted):
    rows = hard(ONE_HOT, Z) + soft(R, Z, 20.0)
    w = W.astype("float64") if weighted else np.ones(B)
    want = {
        "sum_over_batch_size": (rows * w).mean(),
        "sum": (rows * w).sum(),
        "mean_with_sample_weight": (rows * w).sum() / w.sum(),
        None: rows * w,
    }[reduction]
    loss = losses.LabelSmoothedKD(reduction=reduction)
    got = loss(
        losses.pack_targets(Y, R), Z, sample_weight=W if weighted else None
    )
    np.testing.assert_allclose(to_numpy(got), want, rtol=2e-6)


def test_unpacked_targets_give_the_hard_term():
    loss = losses.LabelSmoothedKD()
    want = hard(ONE_HOT, Z).mean()
    for y in (Y, Y[:, None], ONE_HOT.astype("float32")):
        assert float(loss(y, Z)) == pytest.approx(want, rel=1e-6)


def test_segmentation_maps():
    z = RNG.normal(size=(2, 3, 4, K)).astype("float32")
    y = RNG.integers(0, K, size=(2, 3, 4))
    want = hard(np.eye(K)[y], z)
    for labels in (y, y[..., None]):
        got = losses.label_smoothed_crossentropy(labels, z)
        np.testing.assert_allclose(to_numpy(got), want, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("form", ["crossentropy", "kl"])
def test_low_precision_logits_are_computed_in_float32(dtype, form):
    z, r = (ops.cast(x, dtype) for x in (Z, R))
    z64, r64 = (np.asarray(to_numpy(ops.cast(x, "float32"))) for x in (z, r))
    got = losses.label_smoothed_kd(losses.pack_targets(Y, r64), z, form=form)
    term = {"crossentropy": soft, "kl": divergence}[form]
    want = hard(ONE_HOT, z64) + term(r64, z64, 20.0)
    np.testing.assert_allclose(to_numpy(got), want, rtol=1e-6)
    loss = losses.LabelSmoothedKD(form=form, dtype=dtype)
    value = loss(losses.pack_targets(Y, r64), z)
    assert float(value) == pytest.approx(want.mean(), rel=1e-6)


def test_large_offsets_and_far_logits_stay_exact():
    far = np.array([[0.0, 1e4], [3e4, 0.0]], "float32")
    y, p = np.array([0, 1]), np.eye(2)
    np.testing.assert_allclose(
        to_numpy(losses.label_smoothed_crossentropy(y, far)),
        hard(p, far),
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        to_numpy(losses.label_smoothed_crossentropy(Y, Z + 5000)),
        hard(ONE_HOT, (Z + 5000)),
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    "loss",
    [
        losses.LabelSmoothedCrossentropy(0.2, "uniform", name="a"),
        losses.LabelSmoothedCrossentropy(from_logits=False, reduction="sum"),
        losses.KnowledgeDistillation(3.0),
        losses.KnowledgeDistillation(3.0, form="kl"),
        losses.LabelSmoothedKD(0.2, 3.0, 0.4, "uniform"),
        losses.LabelSmoothedKD(0.2, 3.0, form="kl"),
    ],
)
def test_losses_survive_serialization(loss):
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()


def test_a_saved_model_trains_on_with_its_loss(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(K)])
    model.compile(keras.optimizers.SGD(0.1), losses.LabelSmoothedKD(0.2, 5.0))
    x = RNG.normal(size=(B, 3)).astype("float32")
    targets = losses.pack_targets(Y, R)
    model.fit(x, targets, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    model.reset_metrics()  # Before Keras 3.15 those of `fit` would count too.
    assert loaded.train_on_batch(x, targets) == pytest.approx(
        float(model.train_on_batch(x, targets)), rel=1e-6
    )


def test_functions_are_saved_with_a_model(tmp_path):
    layers = [keras.Input((4,)), keras.layers.Dense(K)]
    x = RNG.normal(size=(B, 4)).astype("float32")
    for loss, y, metric in [
        (losses.label_smoothed_crossentropy, Y, metrics.top_k_accuracy),
        (losses.label_smoothed_kd, Y, metrics.dominant_label_accuracy),
        (losses.distillation_loss, R, metrics.teacher_agreement),
    ]:
        model = keras.Sequential(layers)
        model.compile("sgd", loss, metrics=[metric])
        model.fit(x, y, verbose=0)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        both = [m.evaluate(x, y, verbose=0) for m in (model, loaded)]
        assert both[1] == pytest.approx(both[0], rel=1e-6)


def test_logits_that_resemble_probabilities_by_chance_are_taken():
    loss = losses.LabelSmoothedCrossentropy(0.0)
    assert float(loss(Y[:1], np.eye(K, dtype="float32")[:1])) > 0
    near = np.full((2, K), (1 + 1e-4) / K, "float32")
    assert float(loss(Y[:2], near)) == pytest.approx(np.log(K), rel=1e-5)


def test_one_row_of_logits_is_enough_to_be_logits():
    logits = np.concatenate([PROBABILITIES[:-1], Z[-1:]])
    found = losses.LabelSmoothedCrossentropy(reduction=None)(Y, logits)
    expected = hard(ONE_HOT, logits)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_probabilities_are_refused_in_every_precision(dtype):
    probabilities = ops.softmax(ops.cast(Z, "float32"), axis=-1)
    with pytest.raises(ValueError, match="Received: probabilities"):
        losses.LabelSmoothedCrossentropy()(Y, ops.cast(probabilities, dtype))


def test_probabilities_are_taken_when_asked_for():
    z = log_softmax(Z)
    loss = losses.LabelSmoothedCrossentropy(0.1, from_logits=False)
    got = float(loss(Y, np.exp(z).astype("float32")))
    assert got == pytest.approx(hard(ONE_HOT, z).mean(), rel=1e-5)


PROBABILITIES = np.exp(log_softmax(Z)).astype("float32")


@pytest.mark.parametrize("scale", [1.0, float("nan"), 1 / K])
def test_logits_in_place_of_probabilities(scale):
    loss = losses.LabelSmoothedCrossentropy(from_logits=False)
    if scale != scale:  # A run that diverges has another cause.
        assert np.isnan(float(loss(Y, np.full_like(PROBABILITIES, scale))))
        return
    wrong = Z.astype("float32") if scale == 1 else K * PROBABILITIES
    message = r"`y_pred` must be probabilities, .*Received: a row .*\["
    with pytest.raises(ValueError, match=message):
        loss(Y, wrong)


def test_rows_that_are_no_class_weights_are_shown_with_their_sum():
    """The wrong weight may be none of the first."""
    rows = np.eye(K, dtype="float32")[Y]
    rows[:, -1] += 1
    message = r"Received: the sum of a row and its first weights \[2\.0, "
    with pytest.raises(ValueError, match=message):
        losses.LabelSmoothedCrossentropy()(rows, Z.astype("float32"))


def table():
    smoothed = losses.LabelSmoothedCrossentropy
    kd = losses.LabelSmoothedKD
    for eps, name in itertools.product(
        (-0.1, 1.0, float("nan"), "x"), ("s", "k")
    ):
        yield (
            (lambda e=eps, n=name: (smoothed if n == "s" else kd)(e)),
            ("`label_smoothing`"),
        )
    yield lambda: smoothed(convention="keras"), "`convention`"
    yield lambda: kd(temperature=0), "`temperature`"
    yield lambda: losses.KnowledgeDistillation(-1.0), "`temperature`"
    yield lambda: kd(hard_weight=1.5), "`hard_weight`"
    yield lambda: kd(form="KL"), "`form` must be one of 'crossentropy', 'kl'"
    yield lambda: losses.KnowledgeDistillation(form=None), "`form`"
    yield lambda: losses.distillation_loss(R, Z, form="mse"), "`form`"
    yield lambda: smoothed()(Y + 1, Z), "`y_true`.*0 to 4.*Received: 5"
    yield lambda: smoothed()(Y - 1, Z), "`y_true`.*Received: -1"
    yield lambda: smoothed()(Y + 0.5, Z), "`y_true`.*integer labels"
    yield lambda: smoothed()(Y[:-1], Z), r"`y_true`.*shape"
    yield lambda: smoothed()(ONE_HOT[:, :-1], Z), r"`y_true`.*axis of 5"
    yield lambda: smoothed()(2 * ONE_HOT, Z), "`y_true`.*sum to 1"
    yield lambda: smoothed()(Y, PROBABILITIES), "`y_pred` must be logits"
    yield lambda: smoothed()(Y, Z[:, :1]), "`y_pred`.*at least 2"
    yield lambda: kd()(np.ones((B, 2 * K - 1)), Z), "5 or 10.*Received"
    yield (
        lambda: kd()(np.concatenate([ONE_HOT, PROBABILITIES], 1), Z),
        "`teacher_logits` must be logits",
    )
    yield (
        lambda: losses.KnowledgeDistillation()(PROBABILITIES, Z),
        "`teacher_logits` must be logits",
    )
    yield lambda: losses.pack_targets(Y + 1, R), "`y_true`.*Received: 5"
    yield lambda: losses.pack_targets(Y[:3], R), "`y_true`.*shape"
    yield (
        lambda: losses.distillation_loss(R[:, :3], Z),
        r"`teacher_logits`.*shape of the student's.*\(6, 5\).*\(6, 3\)",
    )
    yield lambda: losses.distillation_loss(R[:1], Z), "`teacher_logits`"
    yield lambda: losses.KnowledgeDistillation()(Y, Z), "`teacher_logits`"
    yield lambda: losses.smooth_labels(Y, 0.1, num_classes=1), "`num_classes`"


@pytest.mark.parametrize(("mistake", "message"), list(table()))
def test_bad_input(mistake, message):
    with pytest.raises(ValueError, match=message) as error:
        mistake()
    assert "Received" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="others compile their steps"
)
def test_an_accelerator_is_waited_for_at_the_first_batch_alone(monkeypatch):
    read = []
    monkeypatch.setattr(
        losses._targets._backend, "on_host", lambda x: read.append(x) or x + 0
    )
    loss = losses.LabelSmoothedCrossentropy()
    for _ in range(3):
        loss(Y, Z)
    assert [tuple(x.shape) for x in read] == [(B, K), (B,)]
