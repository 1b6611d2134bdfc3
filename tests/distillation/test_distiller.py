import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks import losses
from keras_tricks.distillation import Distiller, FeatureMatch
from keras_tricks.layers import MixUp

B, D, K = 12, 6, 4
RNG = np.random.default_rng(5)
X = RNG.normal(size=(B, D)).astype("float32")
TEACHER = RNG.normal(size=(D, K)).astype("float32") * 2
STUDENT = RNG.normal(size=(D, K)).astype("float32")
Y = (X @ TEACHER).argmax(-1)
W = RNG.uniform(0, 2, B).astype("float32")
SEED, ALPHA = 3, 1.0


def dense(kernel, dtype="float32", name=None):
    layer = keras.layers.Dense(K, use_bias=False, dtype=dtype)
    model = keras.Sequential([keras.Input((D,)), layer], name=name)
    layer.kernel.assign(kernel)
    model.dtype_policy = dtype
    return model


def distiller(student=None, teacher=None, loss=None, optimizer=None, **options):
    model = Distiller(
        student or dense(STUDENT), teacher or dense(TEACHER), **options
    )
    model.compile(
        optimizer or keras.optimizers.SGD(1.0),
        loss or losses.LabelSmoothedKD(0.1, 4.0),
    )
    return model


# The reference, in float64.


def softmax(z):
    powers = np.exp(z - z.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def reference(x, p, weights, temperature, eps):
    """Mean loss, and its gradient with respect to the student's kernel."""
    x = x.astype("float64")
    z, r = x @ STUDENT.astype("float64"), x @ TEACHER.astype("float64")
    q = (1 - eps) * p + eps / (K - 1) * (1 - p)
    t = temperature
    soft = -(softmax(r / t) * np.log(softmax(z / t))).sum(-1)
    loss = -(q * np.log(softmax(z))).sum(-1) + t**2 * soft
    grad = softmax(z) - q + t * (softmax(z / t) - softmax(r / t))
    weights = np.ones(B) if weights is None else weights.astype("float64")
    return (loss * weights).mean(), x.T @ (grad * weights[:, None]) / B


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(
    ("eps", "weighted"), [(0.0, False), (0.0, True), (0.1, False), (0.1, True)]
)
def test_loss_and_gradient_of_a_step(temperature, mixed, eps, weighted):
    x, p = X, np.eye(K)[Y]
    labels = Y
    if mixed:
        mix_up = MixUp(ALPHA, num_classes=K, seed=SEED)
        x, labels = mix_up(X, Y, epoch=0, step=0)
        p = labels.astype("float64")
    weights = W if weighted else None
    model = distiller(loss=losses.LabelSmoothedKD(eps, temperature))
    logs = model.train_on_batch(
        x, labels, sample_weight=weights, return_dict=True
    )
    want, gradient = reference(x, p, weights, temperature, eps)
    assert logs["loss"] == pytest.approx(want, rel=1e-5)
    got = STUDENT - ops.convert_to_numpy(model.student.weights[0])
    np.testing.assert_allclose(got, gradient, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_a_float16_student_of_a_float32_teacher(temperature):
    """The loss is that of the float16 logits, to float32 precision."""
    student = dense(STUDENT, "mixed_float16")
    # Numbers that float16 holds exactly, so that nothing but the step rounds.
    x = np.round(X * 4) / 4
    student.weights[0].assign(np.round(STUDENT * 8) / 8)
    z = ops.convert_to_numpy(student(x)).astype("float64")
    model = distiller(student, loss=losses.LabelSmoothedKD(0.1, temperature))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    logs = model.train_on_batch(x, Y, return_dict=True)
    r = x.astype("float64") @ TEACHER.astype("float64")
    p, t = np.eye(K)[Y], temperature
    q = 0.9 * p + 0.1 / (K - 1) * (1 - p)
    want = -(q * np.log(softmax(z))).sum(-1)
    want -= t**2 * (softmax(r / t) * np.log(softmax(z / t))).sum(-1)
    assert logs["loss"] == pytest.approx(want.mean(), rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_the_gradient_of_float16_logits_is_rounded_once(temperature):
    """All is float32 up to the logits, where autograd rounds to float16.

    With the identity for images the logits are the kernel, here of numbers
    that float16 holds, and the kernel's gradient is that of the logits: every
    sum in its matrix product has one term that is not 0.
    """
    z, r, t = np.round(STUDENT * 8) / 8, TEACHER, temperature
    model = distiller(
        dense(z, "mixed_float16"),
        dense(r),
        losses.LabelSmoothedKD(0.1, t),
        check_teacher=False,
    )
    y = np.arange(D) % K
    model.train_on_batch(np.eye(D, dtype="float32"), y)
    assert float(model.optimizer.dynamic_scale) == 2**15
    p = np.eye(K)[y]
    q = 0.9 * p + 0.1 / (K - 1) * (1 - p)
    z, r = z.astype("float64"), r.astype("float64")
    want = softmax(z) - q + t * (softmax(z / t) - softmax(r / t))
    got = z - ops.convert_to_numpy(model.student.weights[0])
    # Half a unit in the last of 11 bits; the loss scale keeps all of it out
    # of float16's subnormal numbers. Beside it the softmaxes, known to 2**-24,
    # and the step of SGD on a kernel below 4.
    atol = (1 + t) * 2**-22 / D + 2**-23
    np.testing.assert_allclose(got, want / D, rtol=2**-11, atol=atol)


def test_the_log_is_hard_loss_divergence_and_agreement():
    model = distiller()
    logs = model.train_on_batch(X, Y, return_dict=True)
    z, r = (X.astype("float64") @ w for w in (STUDENT, TEACHER))
    p, q = softmax(r / 4), softmax(z / 4)
    entropy = -16 * (p * np.log(p)).sum(-1).mean()
    divergence = 16 * (p * np.log(p / q)).sum(-1).mean()
    assert logs["kl"] == pytest.approx(divergence, rel=1e-5)
    assert logs["teacher_agreement"] == pytest.approx(
        (z.argmax(-1) == r.argmax(-1)).mean()
    )
    total = logs["hard_loss"] + logs["kl"] + entropy
    assert logs["loss"] == pytest.approx(total, rel=1e-5)


def test_evaluate_and_validation_are_the_students(monkeypatch):
    model = distiller()
    history = model.fit(
        X, Y, batch_size=4, epochs=2, verbose=0, validation_data=(X, Y)
    )
    assert {k for k in history.history if k.startswith("val_")} == {"val_loss"}
    logits = model.student.predict(X, verbose=0)
    hard = losses.LabelSmoothedCrossentropy(0.1)(Y, logits)
    monkeypatch.setattr(model._teachers, "_say", None)
    value = model.evaluate(X, Y, verbose=0)
    assert value == pytest.approx(float(hard), rel=1e-5)
    assert model.predict(X, verbose=0).shape == (B, K)
    assert model.test_on_batch(X, Y) == pytest.approx(float(hard), rel=1e-5)


@pytest.mark.parametrize("labels", ["integer", "column", "dense"])
def test_metrics_are_of_the_labels(labels):
    y = {"integer": Y, "column": Y[:, None], "dense": np.eye(K)[Y]}[labels]
    model = Distiller(dense(TEACHER), dense(TEACHER))
    model.compile("sgd", losses.LabelSmoothedKD(), metrics=["accuracy"])
    logs = model.train_on_batch(X, y, return_dict=True)
    assert logs["accuracy"] == logs["teacher_agreement"] == 1.0


@keras.saving.register_keras_serializable("tests")
class Count(keras.layers.Layer):
    """Counts how often Python runs it: eager steps run it each time."""

    def __init__(self, **options):
        super().__init__(**options)
        self.calls = []

    def call(self, x, training=None):
        self.calls.append(bool(training))
        return x


def counting(kernel):
    inputs = keras.Input((D,))
    x = keras.layers.BatchNormalization(momentum=0.5)(Count()(inputs))
    layer = keras.layers.Dense(K, use_bias=False)
    model = keras.Model(inputs, layer(x))
    layer.kernel.assign(kernel)
    model.layers[1].calls.clear()
    return model


def test_one_pass_of_each_a_step_and_one_update_of_the_statistics():
    student, teacher = counting(STUDENT), counting(TEACHER)
    model = Distiller(student, teacher, check_teacher=False)
    model.compile(
        keras.optimizers.SGD(0.0), losses.LabelSmoothedKD(), run_eagerly=True
    )
    model.build((None, D))
    norms = student.layers[2], teacher.layers[2]
    data = {"batch_size": B, "shuffle": False, "verbose": 0}
    model.fit(X, Y, **data)  # Builds loss and metrics.
    for net in (student, teacher):
        net.layers[1].calls.clear()
    before = [ops.convert_to_numpy(n.moving_mean) for n in norms]
    model.fit(X, Y, **data)
    assert student.layers[1].calls == [True]
    assert teacher.layers[1].calls == [False]
    after = [ops.convert_to_numpy(n.moving_mean) for n in norms]
    want = 0.5 * before[0] + 0.5 * X.mean(0)
    np.testing.assert_allclose(after[0], want, atol=1e-6)
    np.testing.assert_array_equal(after[1], before[1])
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    assert teacher.layers[1].calls == [False]


def test_the_teacher_is_nowhere_in_the_student_and_unchanged(tmp_path):
    teacher = counting(TEACHER)
    before = teacher.get_weights()
    model = distiller(
        counting(STUDENT),
        teacher,
        optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
        check_teacher=False,
    )
    model.fit(X, Y, epochs=2, verbose=0)
    assert teacher.trainable
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    theirs = {id(v) for v in teacher.variables}
    assert not theirs & {id(v) for v in model.variables}
    assert len(model.optimizer.variables) == 2 + 3  # And one slot for each.
    text = []
    model.summary(print_fn=lambda line, **_: text.append(line))
    assert teacher.name not in "".join(text)
    model.save(tmp_path / "distiller.keras")
    model.student.save(tmp_path / "student.keras")
    model.save_weights(tmp_path / "distiller.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "student.keras")
    np.testing.assert_array_equal(
        loaded.predict(X, verbose=0), model.predict(X, verbose=0)
    )
    import h5py

    with h5py.File(tmp_path / "distiller.weights.h5") as file:
        shapes = []
        file.visititems(
            lambda _, item: shapes.append(getattr(item, "shape", None))
        )
    assert shapes.count((D, K)) == 2  # The student's kernel, its momentum.


def test_a_loaded_distiller_trains_on_as_if_never_saved(tmp_path):
    teacher = dense(TEACHER)
    make = keras.optimizers.Adam
    model = distiller(teacher=teacher, optimizer=make(0.01))
    model.fit(X, Y, shuffle=False, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="set_teacher"):
        loaded.fit(X, Y, verbose=0)
    loaded.set_teacher(teacher)
    for each in (model, loaded):
        each.fit(X, Y, shuffle=False, verbose=0)
    np.testing.assert_array_equal(
        model.student.get_weights()[0], loaded.student.get_weights()[0]
    )


def test_new_weights_of_the_teacher_count_at_once():
    model = distiller(loss=losses.LabelSmoothedKD(0.0, 1.0, hard_weight=0.0))
    teacher = model._teachers.models[0]
    model.train_on_batch(X, Y)
    teacher.layers[0].kernel.assign(model.student.layers[0].kernel)
    assert model.train_on_batch(X, Y, return_dict=True)["kl"] < 1e-6


@pytest.mark.parametrize("jit_compile", [False, True, "auto"])
def test_every_way_to_compile_gives_the_same(jit_compile):
    if jit_compile is True and keras.backend.backend() == "torch":
        pytest.skip("torch.compile needs a C++ compiler")
    model = Distiller(dense(STUDENT), dense(TEACHER))
    model.compile(
        keras.optimizers.SGD(1.0),
        losses.LabelSmoothedKD(0.1, 4.0),
        jit_compile=jit_compile,
    )
    model.fit(X, Y, batch_size=B, verbose=0)
    _, gradient = reference(X, np.eye(K)[Y], None, 4.0, 0.1)
    got = STUDENT - ops.convert_to_numpy(model.student.weights[0])
    np.testing.assert_allclose(got, gradient, atol=1e-5)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="others always or never do"
)
def test_xla_compiles_a_step_of_convolutions():
    """Both in one program, with statistics, and as without compilation."""
    images = RNG.normal(size=(B, 8, 8, 2)).astype("float32")
    results = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(1)
        student, teacher = (
            keras.Sequential(
                [
                    keras.Input((8, 8, 2)),
                    keras.layers.Conv2D(width, 3, strides=2),
                    keras.layers.BatchNormalization(momentum=0.5),
                    keras.layers.ReLU(),
                    keras.layers.GlobalAveragePooling2D(),
                    keras.layers.Dense(K),
                ]
            )
            for width in (3, 5)
        )
        model = Distiller(
            student, teacher, adapt=lambda x: 2 * x, check_teacher=False
        )
        model.compile(
            keras.optimizers.SGD(0.1, momentum=0.9),
            losses.LabelSmoothedKD(0.1, 4.0),
            jit_compile=jit_compile,
        )
        logs = model.fit(
            images, Y, batch_size=4, shuffle=False, verbose=0
        ).history
        results.append((student.get_weights(), logs))
    (plain, logs), (compiled, same) = results
    for a, b in zip(plain, compiled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    for name in logs:
        np.testing.assert_allclose(logs[name], same[name], rtol=1e-4)


@pytest.mark.parametrize("ensemble", ["logits", "probabilities"])
def test_several_teachers_are_averaged(ensemble):
    other = RNG.normal(size=(D, K)).astype("float32")
    model = Distiller(
        dense(STUDENT),
        [dense(TEACHER), dense(other)],
        adapt=[None, lambda x: 2 * x],
        ensemble=ensemble,
        check_teacher=False,
    )
    t = 4.0
    model.compile(
        keras.optimizers.SGD(1.0), losses.LabelSmoothedKD(0.0, t, 0.0)
    )
    model.train_on_batch(X, Y)
    r = np.stack([X @ TEACHER, 2 * X @ other]).astype("float64")
    p = softmax(r / t).mean(0)
    if ensemble == "logits":
        p = softmax(r.mean(0) / t)
    z = X.astype("float64") @ STUDENT
    want = X.T @ (t * (softmax(z / t) - p)) / B
    got = STUDENT - ops.convert_to_numpy(model.student.weights[0])
    np.testing.assert_allclose(got, want, atol=1e-5)


def conv_net(width, name):
    inputs = keras.Input((8, 8, 2))
    x = keras.layers.Conv2D(width, 3, name="conv")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    return keras.Model(inputs, keras.layers.Dense(K)(x), name=name)


def test_features_are_matched_in_one_pass(tmp_path):
    student, teacher = conv_net(3, "student"), conv_net(5, "teacher")
    images = RNG.normal(size=(B, 8, 8, 2)).astype("float32")
    model = Distiller(
        student,
        teacher,
        features=[FeatureMatch("conv", "conv", weight=0.5)],
        check_teacher=False,
    )
    model.compile(keras.optimizers.SGD(0.0), losses.LabelSmoothedKD(0.1, 4.0))
    logs = model.train_on_batch(images, Y, sample_weight=W, return_dict=True)
    packed = losses.pack_targets(Y, ops.convert_to_numpy(teacher(images)))
    answer = student.predict(images, verbose=0)
    want = losses.LabelSmoothedKD(0.1, 4.0)(packed, answer, W)
    f, g = (
        ops.convert_to_numpy(net.get_layer("conv")(images)).astype("float64")
        for net in (student, teacher)
    )
    projection = ops.convert_to_numpy(model.projections[0].kernel)
    error = ((f @ projection - g) ** 2).mean((1, 2, 3))
    want = float(want) + 0.5 * (W * error).mean()
    assert logs["loss"] == pytest.approx(want, rel=1e-5)
    assert len(model.trainable_variables) == len(student.weights) + 1
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.set_teacher(teacher)
    again = loaded.train_on_batch(images, Y, sample_weight=W, return_dict=True)
    assert again["loss"] == pytest.approx(want, rel=1e-5)


def test_data_of_every_kind_reaches_the_check_unused():
    seen = []

    def generator():
        for start in range(0, B, 4):
            seen.append(start)
            yield X[start : start + 4], Y[start : start + 4]

    model = distiller()
    model.fit(generator(), steps_per_epoch=3, shuffle=False, verbose=0)
    assert seen[:3] == [0, 4, 8]
    assert int(model.optimizer.iterations) == 3


# Refusals.


def test_the_teacher_must_be_another_model():
    model = dense(STUDENT)
    with pytest.raises(ValueError, match="another model than the student"):
        Distiller(model, model)
    inputs = keras.Input((D,))
    around = keras.Model(inputs, model(inputs))
    with pytest.raises(ValueError, match="share no weights"):
        Distiller(model, around)


@pytest.mark.parametrize("where", ["argument", "layer", "inside"])
def test_a_teacher_with_softmax_is_refused_by_its_structure(where):
    activation = "softmax" if where == "argument" else None
    parts = [keras.Input((D,)), keras.layers.Dense(K, activation=activation)]
    if where == "layer":
        parts.append(keras.layers.Softmax())
    teacher = keras.Sequential(parts)
    if where == "inside":
        inputs = keras.Input((D,))
        outputs = ops.softmax(teacher(inputs))
        teacher = keras.Model(inputs, outputs)
    with pytest.raises(ValueError, match="must end in logits.*softmax"):
        Distiller(dense(STUDENT), teacher)


class Hidden(keras.Model):
    """Hides its softmax from those who look at layers."""

    def __init__(self):
        super().__init__()
        self.head = dense(TEACHER)

    def call(self, x):
        return ops.softmax(self.head(x))


def test_a_teacher_with_softmax_is_refused_by_its_values():
    teacher = Hidden()
    teacher(X)
    model = distiller(teacher=teacher)
    with pytest.raises(ValueError, match="Received: probabilities"):
        model.fit(X, Y, verbose=0)


def test_other_classes_are_refused_at_construction():
    other = keras.Sequential([keras.Input((D,)), keras.layers.Dense(7)])
    with pytest.raises(ValueError, match="student's 4 classes.*with 7"):
        Distiller(dense(STUDENT), other)


def test_a_teacher_at_chance_level_is_warned_of():
    x = np.tile(X, (8, 1))
    y = np.tile((Y + 1) % K, 8)
    with pytest.warns(UserWarning, match="no better than chance"):
        distiller().fit(x, y, batch_size=96, verbose=0)


@pytest.mark.parametrize("loss", ["mse", losses.KnowledgeDistillation()])
def test_other_losses_are_refused(loss):
    model = Distiller(dense(STUDENT), dense(TEACHER))
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match="LabelSmoothedKD"):
        model.fit(X, Y, verbose=0)


def test_a_student_that_augments_is_refused():
    student = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.RandomFlip(),
            keras.layers.Flatten(),
            keras.layers.Dense(K),
        ]
    )
    with pytest.raises(ValueError, match="another view"):
        Distiller(student)


def test_features_that_do_not_fit_are_refused():
    student, teacher = conv_net(3, "student"), conv_net(5, "teacher")
    with pytest.raises(ValueError, match="is it 'conv'"):
        Distiller(student, teacher, features=[FeatureMatch("convv", "conv")])
    name = teacher.layers[-1].name
    with pytest.raises(ValueError, match="same height and width"):
        Distiller(student, teacher, features=[FeatureMatch("conv", name)])


def test_labels_are_needed_and_must_be_in_range():
    with pytest.raises(ValueError, match="Received: y=None"):
        distiller().fit(X, verbose=0)
    with pytest.raises(ValueError, match="from 0 to 3"):
        distiller().fit(X, Y + 1, verbose=0)
    model = distiller(check_teacher=False)
    if keras.backend.backend() == "torch":
        return  # Values can be read in each of its steps.
    if keras.backend.backend() == "tensorflow":
        with pytest.raises(Exception, match="from 0 to 3"):
            model.fit(X, Y + 1, verbose=0)
        return
    # The compilation cache of these tests leaves JAX no other way.
    history = model.fit(X, Y + 1, verbose=0)
    assert np.isnan(history.history["loss"][0])
