"""Weights, priors and ignored labels, against float64 and PyTorch."""

import keras
import numpy as np
import pytest

from keras_tricks import losses

from .test_losses import (
    MIXED,
    ONE_HOT,
    PROBABILITIES,
    B,
    K,
    R,
    W,
    Y,
    Z,
    hard,
    numeric_gradient,
    soft,
    to_numpy,
    value_and_gradient,
)

WEIGHTS = np.array([0.5, 2.0, 0.0, 1.0, 3.25])
COUNTS = np.array([200, 100, 50, 20, 10])
PRIORS = COUNTS / COUNTS.sum()


def weighted(p, z, eps=0.1, tau=0.0):
    return (p @ WEIGHTS) * hard(p, z + tau * np.log(PRIORS), eps)


def test_balanced_weights_of_the_samples_have_the_mean_1():
    weights = losses.balanced_weights(COUNTS)
    assert weights.tolist() == [380 / (5 * n) for n in COUNTS]
    assert (weights * COUNTS).sum() / COUNTS.sum() == pytest.approx(1)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 1 - 1e-9])
def test_the_effective_number_is_a_geometric_series(beta):
    """`(1 - β^n) / (1 - β) = 1 + β + ... + β^(n - 1)`."""
    series = np.array([(beta ** np.arange(n)).sum() for n in COUNTS])
    want = 5 / series / (1 / series).sum()
    got = losses.effective_number_weights(COUNTS, beta)
    np.testing.assert_allclose(got, want, rtol=1e-7)
    assert got.sum() == pytest.approx(5)


@pytest.mark.parametrize("tau", [0.0, 1.0, 0.3])
@pytest.mark.parametrize("labels", ["ids", "column", "mixed"])
def test_weights_and_priors_with_smoothing(labels, tau):
    """The weight of a mixed label is the mix of the weights."""
    y = {"ids": Y, "column": Y[:, None], "mixed": MIXED.astype("f4")}[labels]
    p = MIXED if labels == "mixed" else ONE_HOT
    priors = {"class_priors": PRIORS} if tau else {}
    options = {
        "class_weights": WEIGHTS,
        "logit_adjustment": tau,
        **priors,
    }
    loss = losses.LabelSmoothedCrossentropy(0.1, **options)
    value, gradient = value_and_gradient(loss, y, Z)

    def reference(z):
        return weighted(p, z, tau=tau).mean()

    assert value == pytest.approx(reference(Z), rel=1e-6)
    want = numeric_gradient(reference, Z)
    np.testing.assert_allclose(gradient, want, atol=2e-6)
    rows = losses.label_smoothed_crossentropy(y, Z, 0.1, **options)
    np.testing.assert_allclose(
        to_numpy(rows), weighted(p, Z, tau=tau), rtol=1e-6, atol=1e-6
    )


def test_weights_agree_with_pytorch_up_to_the_mean():
    torch = pytest.importorskip("torch")
    loss = losses.LabelSmoothedCrossentropy(0.0, class_weights=WEIGHTS)
    want = torch.nn.functional.cross_entropy(
        torch.tensor(Z),
        torch.tensor(Y),
        weight=torch.tensor(WEIGHTS, dtype=torch.float32),
        reduction="sum",
    )
    assert float(loss(Y, Z)) == pytest.approx(float(want) / B, rel=1e-6)


def test_only_the_labels_of_packed_targets_are_weighted():
    loss = losses.LabelSmoothedKD(
        0.1,
        4.0,
        class_weights=WEIGHTS,
        logit_adjustment=1.0,
        class_priors=PRIORS,
    )
    targets = losses.pack_targets(MIXED.astype("float32"), R)
    rows = weighted(MIXED, Z, tau=1.0) + soft(R, Z, 4.0)
    want = (W * rows).mean()
    assert float(loss(targets, Z, W)) == pytest.approx(want, rel=1e-6)
    want = weighted(ONE_HOT, Z, tau=1.0).mean()
    assert float(loss(Y, Z)) == pytest.approx(want, rel=1e-6)


def binary(p, z, eps=0.0, convention="paper", threshold=None):
    """Mean over the classes, with the logarithms written out in float64."""
    k = p.shape[-1]
    off = {"paper": eps / (k - 1), "uniform": eps / k, "binary": eps / 2}
    off = off[convention]
    on = 1 - eps + (off if convention != "paper" else 0)
    t = on * p + off * (1 - p)
    if threshold is not None:
        t = (t > threshold).astype("f8")
    z = np.asarray(z, "float64")
    sigmoid = 1 / (1 + np.exp(-z))
    return -(t * np.log(sigmoid) + (1 - t) * np.log1p(-sigmoid)).mean(-1)


MULTI_HOT = np.array(
    [[1, 0, 1, 0, 1]] * 3 + [[0] * 5, [1] * 5, [0, 1] * 2 + [0]]
)
MULTI_HOT = MULTI_HOT.astype("float64")


@pytest.mark.parametrize("threshold", [None, 0.2])
@pytest.mark.parametrize("convention", ["paper", "uniform", "binary"])
@pytest.mark.parametrize("labels", ["ids", "column", "mixed", "multi-hot"])
def test_binary_crossentropy(labels, convention, threshold):
    reduction = "sum" if threshold is None else "mean"
    p = {"mixed": MIXED, "multi-hot": MULTI_HOT}.get(labels, ONE_HOT)
    y = {"ids": Y, "column": Y[:, None]}.get(labels, p.astype("float32"))
    loss = losses.LabelSmoothedBinaryCrossentropy(
        0.1, convention, threshold, reduction
    )
    value, gradient = value_and_gradient(loss, y, Z)
    scale = K if reduction == "sum" else 1

    def reference(z):
        return scale * binary(p, z, 0.1, convention, threshold).mean()

    assert value == pytest.approx(reference(Z), rel=1e-6)
    want = numeric_gradient(reference, Z)
    np.testing.assert_allclose(gradient, want, atol=3e-6)


@pytest.mark.parametrize(
    "threshold, targets",
    [(0.2, [1, 1, 0]), (0.25, [1, 0, 0]), (0.7, [1, 0, 0]), (0.75, [0, 0, 0])],
)
def test_targets_above_the_threshold_count_in_full(threshold, targets):
    """Above it, not at it."""
    labels = np.array([[0.75, 0.25, 0.0]], "float32")
    z = np.array([[1.0, -2.0, 0.5]], "float32")
    loss = losses.LabelSmoothedBinaryCrossentropy(target_threshold=threshold)
    want = binary(np.array([targets], "float64"), z).mean()
    assert float(loss(labels, z)) == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize(
    "eps, threshold", [(0.0, None), (0.1, 0.2), (0.1, 0.8)]
)
def test_binary_crossentropy_agrees_with_timm(eps, threshold):
    """Smoothed over all classes, then cut, then PyTorch's function."""
    torch = pytest.importorskip("torch")
    smoothed = torch.full((B, K), eps / K)
    smoothed[torch.arange(B), torch.tensor(Y)] = 1 - eps + eps / K
    if threshold is not None:
        smoothed = (smoothed > threshold).float()
    want = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor(Z), smoothed
    )
    loss = losses.LabelSmoothedBinaryCrossentropy(eps, "uniform", threshold)
    assert float(loss(Y, Z)) == pytest.approx(float(want), rel=1e-6)


def test_a_sigmoid_far_from_0_keeps_its_digits():
    z = np.array([[15.0, -15.0], [90.0, -90.0], [-3e4, 0.0]], "float32")
    y = np.array([0, 0, 0])
    got = losses.label_smoothed_binary_crossentropy(y, z)
    want = [np.log1p(np.exp(-15)), np.log1p(np.exp(-90)), (3e4 + np.log(2)) / 2]
    np.testing.assert_allclose(to_numpy(got), want, rtol=1e-5, atol=1e-35)
    loss = losses.LabelSmoothedBinaryCrossentropy(class_reduction="sum")
    _, gradient = value_and_gradient(loss, y[:2], np.zeros((2, 2), "f4"))
    np.testing.assert_allclose(gradient, [[-0.25, 0.25]] * 2, atol=1e-7)


def test_binary_crossentropy_with_weights_of_the_classes():
    loss = losses.LabelSmoothedBinaryCrossentropy(0.1, class_weights=WEIGHTS)
    for y, p in ((Y, ONE_HOT), (MIXED.astype("float32"), MIXED)):
        want = ((p @ WEIGHTS) * binary(p, Z, 0.1)).mean()
        assert float(loss(y, Z)) == pytest.approx(want, rel=1e-6)


IGNORED = np.array([0, 4, -1, 2, -1, 3])
KEPT = IGNORED >= 0


@pytest.mark.parametrize(
    "shape, dtype",
    [
        ((6,), "int32"),
        ((6, 1), "int64"),
        ((2, 3), "float32"),
        ((2, 3, 1), "uint8"),
    ],
)
@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_an_ignored_label_counts_nowhere(kind, shape, dtype):
    ignored = 255 if dtype == "uint8" else -1
    labels = np.where(KEPT, IGNORED, ignored).astype(dtype).reshape(shape)
    lead = shape[:2] if len(shape) > 1 and shape[1] == 3 else shape[:1]
    z, w = Z.reshape(*lead, K), W.reshape(lead)
    p = np.eye(K)[np.where(KEPT, IGNORED, 0)]
    if kind == "softmax":
        rows = hard(p, Z)[KEPT]
        make = losses.LabelSmoothedCrossentropy
    else:
        rows = binary(p, Z, 0.1)[KEPT]
        make = losses.LabelSmoothedBinaryCrossentropy
    loss = make(0.1, ignore_label=ignored)
    assert float(loss(labels, z)) == pytest.approx(rows.mean(), rel=1e-6)
    want = (rows * W[KEPT]).sum() / KEPT.sum()
    assert float(loss(labels, z, w)) == pytest.approx(want, rel=1e-6)
    total = make(0.1, ignore_label=ignored, reduction="sum")
    assert float(total(labels, z)) == pytest.approx(rows.sum(), rel=1e-6)
    nothing = np.full(shape, ignored, dtype)
    assert float(loss(nothing, z)) == 0


def test_an_ignored_label_has_no_gradient_in_fit():
    loss = losses.LabelSmoothedCrossentropy(0.1, ignore_label=-1)
    value, gradient = value_and_gradient(loss, IGNORED, Z)

    def reference(z):
        return hard(np.eye(K)[IGNORED[KEPT]], z[KEPT]).mean()

    assert value == pytest.approx(reference(Z), rel=1e-6)
    want = numeric_gradient(reference, Z)
    np.testing.assert_allclose(gradient, want, atol=2e-6)
    assert not gradient[~KEPT].any()


def test_another_label_out_of_range_is_still_refused():
    loss = losses.LabelSmoothedCrossentropy(ignore_label=-1)
    with pytest.raises(ValueError, match="`y_true`.*Received: 7"):
        loss(np.where(KEPT, IGNORED, 7), Z)


@pytest.mark.parametrize(
    "loss",
    [
        losses.LabelSmoothedBinaryCrossentropy(0.2, "binary", 0.3, "sum"),
        losses.LabelSmoothedBinaryCrossentropy(
            class_weights=WEIGHTS, ignore_label=-1, reduction="sum", name="a"
        ),
        losses.LabelSmoothedCrossentropy(
            class_weights=WEIGHTS,
            logit_adjustment=2,
            class_priors=PRIORS,
            ignore_label=255,
        ),
        losses.LabelSmoothedKD(
            class_weights=WEIGHTS, logit_adjustment=1, class_priors=PRIORS
        ),
    ],
)
def test_losses_survive_saving(loss, tmp_path):
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert again.get_config() == loss.get_config()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(K)])
    model.compile(keras.optimizers.SGD(0.1), loss)
    x = np.linspace(-1, 1, 3 * B).reshape(B, 3).astype("float32")
    model.fit(x, Y, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    both = [m.evaluate(x, Y, verbose=0) for m in (model, loaded)]
    assert both[1] == pytest.approx(both[0], rel=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_and_in_half_precision(jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("inductor takes minutes")
    for loss in (
        losses.LabelSmoothedBinaryCrossentropy(
            0.1, "uniform", 0.2, class_weights=WEIGHTS, ignore_label=-1
        ),
        losses.LabelSmoothedCrossentropy(
            logit_adjustment=1, class_priors=PRIORS, ignore_label=-1
        ),
    ):
        layer = keras.layers.Dense(K, dtype="mixed_float16")
        model = keras.Sequential([keras.Input((3,)), layer])
        optimizer = keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
        )
        model.compile(optimizer, loss, jit_compile=jit_compile)
        x = np.linspace(-1, 1, 3 * B).reshape(B, 3).astype("float32")
        z = to_numpy(model(x)).astype("float32")
        want = float(loss(IGNORED, z))
        assert float(model.train_on_batch(x, IGNORED)) == pytest.approx(
            want, rel=1e-3
        )


def table():
    ce = losses.LabelSmoothedCrossentropy
    bce = losses.LabelSmoothedBinaryCrossentropy
    tau = {"logit_adjustment": 1.0}
    yield lambda: losses.balanced_weights([3, 0]), "at least 1.*0 samples of c"
    yield lambda: losses.balanced_weights([0.5, 2]), "`counts` must be integers"
    yield lambda: losses.balanced_weights([5]), "at least 2 classes"
    yield lambda: losses.effective_number_weights([1, 2], 1), "`beta`"
    yield lambda: ce(class_weights=[1, -1]), "`class_weights` must be numbers"
    yield lambda: ce(class_weights="balanced"), "`class_weights` must be num"
    yield lambda: ce(class_weights=[1, float("nan")]), "`class_weights`"
    yield lambda: ce(class_weights=[0, 0]), "`class_weights` must not all be 0"
    yield lambda: ce(class_weights=[1, 2])(Y, Z), "as many as .* outputs, 5"
    yield lambda: bce(class_weights=[1, 2])(Y, Z), "as many as .* outputs, 5"
    yield lambda: ce(**tau), "`class_priors` must be given with"
    yield lambda: ce(class_priors=PRIORS), "and only with it"
    yield lambda: ce(class_priors=COUNTS, **tau), "`class_priors`.* sum to 1"
    yield lambda: ce(class_priors=[0, 1], **tau), "`class_priors`.*above 0"
    yield lambda: ce(logit_adjustment=-1), "`logit_adjustment` must be"
    yield lambda: ce(ignore_label=0.5), "`ignore_label` must be an integer"
    yield lambda: bce(target_threshold=1), "`target_threshold` must be"
    yield lambda: bce(class_reduction="max"), "`class_reduction` must be one"
    yield lambda: bce(convention="timm"), "`convention` must be one of"
    yield lambda: bce()(2 * MULTI_HOT, Z), "`y_true` must hold a share from 0"
    yield lambda: bce()(MULTI_HOT - 0.1, Z), "`y_true` must hold a share"
    yield lambda: bce()(Y + 1, Z), "`y_true`.*0 to 4.*Received: 5"
    yield lambda: bce()(MULTI_HOT[:, :3], Z), "`y_true` must be integer labels"
    yield lambda: bce()(Y, PROBABILITIES), "`y_pred` must be logits"
    yield (
        lambda: bce(class_weights=WEIGHTS)(MULTI_HOT, Z),
        "`y_true` must hold rows of class weights that sum to 1",
    )


@pytest.mark.parametrize(("mistake", "message"), list(table()))
def test_bad_input(mistake, message):
    with pytest.raises(ValueError, match=message) as error:
        mistake()
    assert "Received" in str(error.value)
    assert "\n" not in str(error.value)
