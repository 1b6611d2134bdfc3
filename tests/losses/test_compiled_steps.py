"""What is wrong with values is told by a compiled step too, or it is NaN."""

import keras
import numpy as np
import pytest

from keras_tricks.losses import (
    KnowledgeDistillation,
    LabelSmoothedBinaryCrossentropy,
    LabelSmoothedCrossentropy,
    LabelSmoothedKD,
    distillation_loss,
    label_smoothed_crossentropy,
    label_smoothed_kd,
    pack_targets,
)

BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 4)).astype("float32")
Y = RNG.integers(0, 3, 16)
ONE_HOT = np.eye(3, dtype="float32")[Y]
LOGITS = RNG.normal(size=(16, 3)).astype("float32")
MULTI_HOT = np.maximum(ONE_HOT, [1, 0, 0]) + [0, 0.5, 0]

LABELS = "`y_true` must hold integer labels from 0 to 2"
ROWS = "`y_true` must hold rows of class weights that sum to 1"
MISTAKES = {
    "a network that ends in softmax": (
        LabelSmoothedCrossentropy(),
        Y,
        "`y_pred` must be logits, without softmax",
    ),
    "labels from 1": (LabelSmoothedCrossentropy(), Y + 1, LABELS),
    "bytes from 1": (
        LabelSmoothedCrossentropy(),
        (Y + 1).astype("uint8"),
        LABELS,
    ),
    "a head with too few classes": (LabelSmoothedKD(), 5 * Y, LABELS),
    "halves": (
        LabelSmoothedCrossentropy(),
        np.full(16, 0.5, "float32"),
        LABELS,
    ),
    "several classes": (LabelSmoothedCrossentropy(), MULTI_HOT, ROWS),
    "scores as targets of a sigmoid": (
        LabelSmoothedBinaryCrossentropy(),
        5 * ONE_HOT,
        "`y_true` must hold a share from 0 to 1 for each class",
    ),
    "NaN": (LabelSmoothedCrossentropy(), np.nan * ONE_HOT, ROWS),
    "logits that are not packed": (LabelSmoothedKD(), LOGITS, ROWS),
    "one-hot labels for a teacher": (
        KnowledgeDistillation(),
        ONE_HOT,
        "`teacher_logits` must be logits",
    ),
    "a function and softmax": (
        label_smoothed_crossentropy,
        Y,
        "`logits` must be logits, without softmax",
    ),
    "a function and logits that are not packed": (
        label_smoothed_kd,
        LOGITS,
        ROWS,
    ),
    "a function and one-hot labels for a teacher": (
        distillation_loss,
        ONE_HOT,
        "`teacher_logits` must be logits",
    ),
    "packed probabilities": (
        LabelSmoothedKD(),
        np.concatenate([ONE_HOT, ONE_HOT], axis=1),
        "`teacher_logits` must be logits",
    ),
}


@pytest.fixture(autouse=True)
def no_compilation_cache():
    """JAX keeps no program that may call back; `conftest.py` has a cache."""
    if BACKEND != "jax":
        yield
        return
    import jax

    folder = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", folder)


def compiled(loss, last=None, **options):
    layers = [keras.Input((4,)), keras.layers.Dense(3, activation=last)]
    model = keras.Sequential(layers)
    model.compile("sgd", loss, **options)
    return model


def network(name, **options):
    loss, targets, message = MISTAKES[name]
    last = "softmax" if "softmax" in name else None
    return compiled(loss, last, **options), targets, message


@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_the_first_step(name, method):
    model, targets, message = network(name)
    with pytest.raises(Exception, match=message) as error:
        getattr(model, method)(X, targets, batch_size=8, verbose=0)
    assert "Received" in str(error.value)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_a_step_that_is_not_compiled(name):
    model, targets, message = network(name, run_eagerly=True)
    with pytest.raises(ValueError, match=message) as error:
        model.fit(X, targets, batch_size=8, verbose=0)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(BACKEND == "torch", reason="compiles no steps")
@pytest.mark.parametrize("name", MISTAKES)
def test_where_nothing_can_be_raised_the_loss_is_nan(name, tmp_path):
    model, targets, _ = network(name, jit_compile=True)
    if BACKEND == "jax":
        import jax

        jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    assert np.isnan(model.train_on_batch(X, targets))
    assert np.isnan(model.evaluate(X, targets, verbose=0))


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_a_softmax_in_low_precision(dtype):
    layers = [keras.layers.Dense(3, activation="softmax", dtype=dtype)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("sgd", LabelSmoothedCrossentropy())
    with pytest.raises(Exception, match="`y_pred` must be logits"):
        model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("jit_compile", ["auto", False])
def test_what_is_right_trains_as_before(jit_compile):
    for loss, targets in [
        (LabelSmoothedCrossentropy(), Y),
        (LabelSmoothedCrossentropy(), 0.5 * ONE_HOT + 0.5 * ONE_HOT[::-1]),
        (LabelSmoothedKD(), pack_targets(Y, LOGITS)),
        (LabelSmoothedCrossentropy(from_logits=False), Y),
        (LabelSmoothedBinaryCrossentropy(0.1), np.minimum(MULTI_HOT, 1)),
        (
            LabelSmoothedCrossentropy(class_weights=[1, 2, 3], ignore_label=-1),
            np.where(Y == 1, -1, Y),
        ),
    ]:
        last = None if getattr(loss, "from_logits", True) else "softmax"
        model = compiled(loss, last, jit_compile=jit_compile)
        expected = keras.ops.convert_to_numpy(loss(targets, model(X)))
        found = model.train_on_batch(X, targets)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_logits_in_place_of_probabilities():
    model = compiled(LabelSmoothedCrossentropy(from_logits=False), None)
    with pytest.raises(Exception, match="`y_pred` must be probabilities"):
        model.train_on_batch(X, Y)


def test_logits_that_are_no_numbers_are_no_probabilities():
    for loss, targets in [
        (LabelSmoothedCrossentropy(), Y),
        (LabelSmoothedKD(), pack_targets(Y, LOGITS)),
    ]:
        assert np.isnan(compiled(loss).train_on_batch(np.nan * X, targets))
        assert np.isnan(float(loss(targets, np.nan * LOGITS)))


@pytest.mark.parametrize("shape", [(16,), (16, 1), (4, 4), (4, 4, 1)])
def test_a_label_of_weight_0_may_be_anything(shape):
    weights = (np.arange(16) % 3 > 0).astype("float32")
    labels = np.where(weights, Y, -1).reshape(shape)
    lead = (16,) if 16 in shape else (4, 4)
    logits, some = LOGITS.reshape(*lead, 3), weights.reshape(lead)
    loss = LabelSmoothedCrossentropy()
    found = loss(labels, logits, some)
    expected = loss(Y.reshape(shape), logits, some)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found),
        keras.ops.convert_to_numpy(expected),
        rtol=1e-6,
    )
    model = compiled(loss)
    labels = np.where(weights, Y, -1)
    assert np.isfinite(model.train_on_batch(X, labels, sample_weight=weights))
    with pytest.raises(Exception, match=LABELS):
        model.train_on_batch(X, labels, sample_weight=1 - weights)


@pytest.mark.skipif(BACKEND != "jax", reason="a transformation of JAX")
def test_a_mapped_loss_calls_back_for_wrong_values_alone():
    import jax

    loss = LabelSmoothedCrossentropy()
    labels, logits = Y.reshape(4, 4), LOGITS.reshape(4, 4, 3)
    values = jax.jit(jax.vmap(loss))(labels, logits)
    expected = [float(loss(*pair)) for pair in zip(labels, logits, strict=True)]
    np.testing.assert_allclose(values, expected, rtol=1e-6)
