import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks.optimizers import (
    SGD,
    convert_weight_decay,
    decay_report,
    no_bias_decay,
)


def make_model():
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(2, 3, name="unbiased"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )


def shrink(optimizer, steps, regularizer=None):
    """Factor by which `steps` steps without a data gradient scale a kernel."""
    layer = keras.layers.Dense(
        1, use_bias=False, kernel_regularizer=regularizer
    )
    model = keras.Sequential([keras.Input((1,)), layer])
    layer.kernel.assign([[1.0]])
    model.compile(optimizer, "mse")
    model.fit(np.zeros((steps, 1)), np.zeros((steps, 1)), 1, verbose=0)
    return float(ops.convert_to_numpy(layer.kernel)[0, 0])


def test_conversions_shrink_weights_alike_over_a_long_constant_run():
    wd, lr, steps = 0.004, 0.05, 600
    core = keras.optimizers.SGD
    ours = shrink(SGD(lr, nesterov=False, weight_decay=wd), steps)

    def convert(target):
        return convert_weight_decay(
            wd, "coupled", target, momentum=0.9, learning_rate=lr
        )

    keras_wd = convert("decoupled_lr")
    decoupled = shrink(core(lr, 0.9, weight_decay=keras_wd), steps)
    l2 = keras.regularizers.L2(convert("regularizer"))
    regularized = shrink(core(lr, 0.9), steps, l2)
    assert regularized == pytest.approx(ours, rel=1e-5)
    # The momentum delays the coupled form by about 1 / (1 - μ) steps.
    assert np.log(decoupled) == pytest.approx(np.log(ours), rel=0.05)
    assert (1 - convert("decoupled")) ** steps == pytest.approx(
        decoupled, rel=1e-3
    )
    # The same number in the other convention is ten times weaker.
    same_number = shrink(core(lr, 0.9, weight_decay=wd), steps)
    assert np.log(ours) / np.log(same_number) == pytest.approx(10, rel=0.06)


@pytest.mark.parametrize("source", ["coupled", "decoupled_lr", "regularizer"])
def test_conversion_round_trip(source):
    there = convert_weight_decay(0.3, source, "decoupled", 0.8, 0.1)
    back = convert_weight_decay(there, "decoupled", source, 0.8, 0.1)
    assert back == pytest.approx(0.3)


def test_bad_conversions():
    with pytest.raises(ValueError, match="`source`.*Received.*'l2'"):
        convert_weight_decay(0.1, "l2", "coupled")
    with pytest.raises(ValueError, match="`learning_rate`.*None"):
        convert_weight_decay(0.1, "coupled", "decoupled")


def test_decay_report_counts_and_prints(capsys):
    model = make_model()
    report = decay_report(SGD(0.1), model)
    assert {p.rsplit("/")[-1] for p, _ in report.decayed} == {"kernel"}
    assert sum(n for _, n in report.decayed) == 18 + 24
    assert sum(n for _, n in report.excluded) == 2 + 2 + 2 + 3
    printed = capsys.readouterr().out
    assert "unbiased/kernel" in printed
    assert "not decayed: 4 variables, 9 values" in printed


@pytest.mark.parametrize("scaled", [False, True])
def test_no_bias_decay_on_a_core_optimizer(scaled):
    model = make_model()
    inner = keras.optimizers.AdamW(0.0 + 1.0, weight_decay=0.1)
    optimizer = inner
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(inner)
    report = no_bias_decay(optimizer, model)
    assert len(report.decayed) == 2 and len(report.excluded) == 4
    before = [ops.convert_to_numpy(v) for v in model.trainable_variables]
    before[1] = before[1] + 1.0
    model.trainable_variables[1].assign(before[1])
    zeros = [ops.zeros(v.shape) for v in model.trainable_variables]
    inner.apply(zeros, model.trainable_variables)
    for old, v in zip(before, model.trainable_variables, strict=True):
        factor = 0.9 if len(v.shape) >= 2 else 1.0
        np.testing.assert_allclose(
            ops.convert_to_numpy(v), factor * old, rtol=1e-5
        )


def test_no_bias_decay_refuses_what_it_cannot_do():
    model = make_model()
    with pytest.raises(ValueError, match="weight decay above 0"):
        no_bias_decay(keras.optimizers.SGD(0.1), model)
    with pytest.raises(ValueError, match="core Keras optimizer"):
        no_bias_decay(SGD(0.1), model)
    norm = keras.Sequential(
        [keras.Input((3,)), keras.layers.BatchNormalization()]
    )
    with pytest.raises(ValueError, match="rank 2"):
        no_bias_decay(keras.optimizers.AdamW(weight_decay=0.1), norm)


def test_what_layers_do_not_call_a_kernel_does_not_decay():
    inputs = keras.Input((4, 6))
    x = keras.layers.MultiHeadAttention(2, 3)(inputs, inputs)
    x = keras.layers.PReLU()(x)
    x = keras.layers.LayerNormalization(axis=[1, 2])(x)
    x = keras.layers.EinsumDense("abc,cde->abde", (4, 2, 3), bias_axes="de")(x)
    x = keras.layers.Reshape((4, 6))(x)
    x = keras.layers.GRU(3)(x)
    ids = keras.Input((4,), dtype="int32")
    y = keras.layers.Embedding(5, 3)(ids)
    y = keras.layers.GlobalAveragePooling1D()(y)
    model = keras.Model([inputs, ids], keras.layers.Add()([x, y]))

    def decayed(rule):
        report = decay_report(SGD(0.1, decay=rule), model)
        assert any(len(v.shape) > 1 for v in model.trainable_variables)
        return {path.rsplit("/")[-1] for path, _ in report.decayed}

    assert decayed("kernels") == {"kernel", "recurrent_kernel"}
    assert decayed("kernels_and_embeddings") == {
        "kernel",
        "recurrent_kernel",
        "embeddings",
    }
    optimizer = keras.optimizers.AdamW(weight_decay=0.1)
    report = no_bias_decay(optimizer, model)
    # 4 of attention, 1 of EinsumDense, 2 of the GRU.
    assert len(report.decayed) == 7


def test_exclusions_of_core_keras_are_refused_not_ignored():
    with pytest.raises(ValueError, match="give `decay`.*Received: var_list"):
        SGD(0.1).exclude_from_weight_decay(var_names=["bias"])


@pytest.mark.skipif(
    not hasattr(keras.optimizers, "MultiOptimizer"), reason="of Keras 3.15"
)
def test_the_parts_of_a_multi_optimizer_are_seen():
    model = make_model()
    head, rest = keras.optimizers.AdamW(weight_decay=0.1), SGD(0.1)
    choose = keras.optimizers.OptimizerMap(
        keras.optimizers.AdamW(1.0, weight_decay=0.3), {".*unbiased/.*": head}
    )
    optimizer = keras.optimizers.MultiOptimizer(choose)
    report = no_bias_decay(optimizer, model)
    assert {p.rsplit("/")[-1] for p, _ in report.decayed} == {"kernel"}
    assert len(report.decayed) == 2 and len(report.excluded) == 4
    assert report.weight_decay == 0.3
    assert decay_report(optimizer, model) == report
    before = [ops.convert_to_numpy(v) + 1.0 for v in model.trainable_variables]
    for variable, value in zip(model.trainable_variables, before, strict=True):
        variable.assign(value)
    optimizer.build(model.trainable_variables)
    zeros = [ops.zeros(v.shape) for v in model.trainable_variables]
    optimizer.apply(zeros, model.trainable_variables)
    # Of a rate of 1.0, what decay leaves of the dense kernel and its bias.
    for index, factor in ((4, 0.7), (5, 1.0)):
        after = ops.convert_to_numpy(model.trainable_variables[index])
        np.testing.assert_allclose(after, factor * before[index], rtol=1e-5)
    mixed = keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(rest, {".*unbiased/.*": head})
    )
    with pytest.raises(ValueError, match="core Keras optimizer"):
        no_bias_decay(mixed, model)
