import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_tricks.distillation import Distiller, FeatureMatch
from keras_tricks.losses import LabelSmoothedKD

B, D, K = 8, 6, 4
# Units of the hidden layers: the student's two, the teacher's two.
HIDDEN, THEIRS = (3, 5), (4, 7)
T, EPS = 4.0, 0.1
RNG = np.random.default_rng(17)
X = RNG.normal(size=(B, D)).astype("float32")
Y = np.arange(B) % K
W = RNG.uniform(0, 2, B).astype("float32")


def kernels(*units):
    pairs = zip(units, units[1:], strict=False)
    return [RNG.normal(size=p).astype("float32") / p[0] ** 0.5 for p in pairs]


STUDENT, TEACHER = kernels(D, *HIDDEN, K), kernels(D, *THEIRS, K)
PAIRS = [
    FeatureMatch("hidden0", "hidden0", weight=0.5),
    FeatureMatch("hidden1", "hidden1", weight=2.0),
]


def chain(weights, dtype=None):
    """Linear layers, so that a float64 reference is a few products."""
    x = inputs = keras.Input((D,))
    for index, kernel in enumerate(weights):
        name = f"hidden{index}" if index < 2 else "logits"
        layer = layers.Dense(
            kernel.shape[1], use_bias=False, name=name, dtype=dtype
        )
        x = layer(x)
        layer.kernel.assign(kernel)
    return keras.Model(inputs, x)


def distiller(student=None, teacher=None, features=PAIRS, rate=1.0, **options):
    model = Distiller(
        student or chain(STUDENT),
        teacher or chain(TEACHER),
        features=features,
        check_teacher=False,
    )
    loss = LabelSmoothedKD(EPS, T)
    model.compile(keras.optimizers.SGD(rate), loss, **options)
    return model


def arrays(variables):
    return [ops.convert_to_numpy(v) for v in variables]


# The reference, in float64.


def softmax(z):
    powers = np.exp(z - z.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def reference(projections, weights, scales=(0.5, 2.0)):
    """Loss, and the gradients of kernels and of projections."""
    f, g = [X.astype("float64")], [X.astype("float64")]
    for ours, theirs in zip(STUDENT, TEACHER, strict=True):
        f.append(f[-1] @ ours)
        g.append(g[-1] @ theirs)
    z, r = f.pop(), g.pop()
    target = (1 - EPS) * np.eye(K)[Y]
    target += EPS / (K - 1) * (1 - np.eye(K)[Y])
    p, q = softmax(r / T), softmax(z / T)
    rows = -(target * np.log(softmax(z))).sum(-1)
    rows -= T**2 * (p * np.log(q)).sum(-1)
    errors = [f[i] @ P - g[i] for i, P in zip((1, 2), projections, strict=True)]
    rows = rows + sum(
        s * (e**2).mean(-1) for s, e in zip(scales, errors, strict=True)
    )
    w = weights.astype("float64")[:, None] / B
    # Gradients with respect to logits, then to both features.
    dz = w * (softmax(z) - target + T * (q - p))
    de = [
        w * s * 2 * e / e.shape[-1] for s, e in zip(scales, errors, strict=True)
    ]
    d2 = dz @ STUDENT[2].T + de[1] @ projections[1].T
    d1 = d2 @ STUDENT[1].T + de[0] @ projections[0].T
    grads = [f[0].T @ d1, f[1].T @ d2, f[2].T @ dz]
    return (rows * w[:, 0]).sum(), grads, [f[1].T @ de[0], f[2].T @ de[1]]


@pytest.mark.parametrize(
    ("weighted", "jit_compile"), [(False, False), (True, False), (True, True)]
)
def test_loss_and_gradients_against_float64(weighted, jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("torch.compile needs a C++ compiler")
    model = distiller(jit_compile=jit_compile)
    before = arrays(model.trainable_variables)
    # Those of the student come first, in its order.
    assert [v.shape for v in before[:3]] == [k.shape for k in STUDENT]
    weights = W if weighted else np.ones(B)
    loss, kernels, projections = reference(before[3:], weights)
    logs = model.train_on_batch(
        X, Y, sample_weight=W if weighted else None, return_dict=True
    )
    assert logs["loss"] == pytest.approx(loss, rel=1e-5)
    after = arrays(model.trainable_variables)
    for old, new, want in zip(
        before, after, kernels + projections, strict=True
    ):
        np.testing.assert_allclose(old - new, want, atol=2e-6)


def test_a_float16_student_matches_to_its_precision():
    model = distiller(chain(STUDENT, dtype="mixed_float16"))
    loss, *_ = reference(arrays(model.projections[i].kernel for i in (0, 1)), W)
    logs = model.train_on_batch(X, Y, sample_weight=W, return_dict=True)
    assert logs["loss"] == pytest.approx(loss, rel=2e-3)
    assert {p.kernel.dtype for p in model.projections} == {"float32"}


def test_a_weight_of_zero_leaves_the_student_to_the_logits():
    pairs = [FeatureMatch("hidden1", "hidden1", weight=0.0)]
    matched, plain = distiller(features=pairs), distiller(features=())
    for model in (matched, plain):
        model.train_on_batch(X, Y)
    for a, b in zip(
        *(arrays(m.student.weights) for m in (matched, plain)), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_features_come_nearer_and_the_teacher_stays():
    teacher = chain(TEACHER)
    before = teacher.get_weights()
    model = distiller(teacher=teacher, features=PAIRS[1:], rate=0.1)
    tapped = [
        keras.Model(net.inputs, net.get_layer("hidden1").output)
        for net in (model.student, teacher)
    ]

    def error():
        (kernel,) = arrays(p.kernel for p in model.projections)
        x = ops.convert_to_tensor(X)
        f, g = (ops.convert_to_numpy(net(x)) for net in tapped)
        return ((f @ kernel - g) ** 2).mean()

    first = error()
    model.fit(X, Y, epochs=30, verbose=0)
    assert error() < 0.5 * first
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


# Images: layouts, statistics, saving.


def conv_net(width, data_format="channels_last", name=None, side=6):
    first = data_format == "channels_first"
    form = {"data_format": data_format}
    inputs = keras.Input((2, side, side) if first else (side, side, 2))
    x = layers.Conv2D(width, 3, padding="same", name="conv", **form)(inputs)
    x = layers.BatchNormalization(
        axis=1 if first else -1, momentum=0.5, name="norm"
    )(x)
    x = layers.Activation("relu", name="relu")(x)
    x = layers.GlobalAveragePooling2D(name="pool", **form)(x)
    return keras.Model(inputs, layers.Dense(K)(x), name=name)


IMAGES = RNG.normal(size=(B, 6, 6, 2)).astype("float32")


def to_first(images):
    return np.ascontiguousarray(np.moveaxis(images, -1, 1))


def step(student, teacher, images, adapt, layer):
    """The loss of a step, and the student's weights after it."""
    model = Distiller(
        student,
        teacher,
        adapt=adapt,
        features=[FeatureMatch(layer, layer)],
        check_teacher=False,
    )
    (project,) = model.projections
    project.kernel.assign(np.linspace(-1, 1, 15).reshape(3, 5))
    model.compile(keras.optimizers.SGD(0.1), LabelSmoothedKD())
    logs = model.train_on_batch(images, Y, return_dict=True)
    return logs["loss"], *arrays(student.weights)


@pytest.mark.parametrize("layer", ["relu", "pool"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("channels_first", "channels_last"), ("channels_last", "channels_first")],
)
def test_layouts_are_aligned(layer, ours, theirs):
    """An activation has the layout of the layer before it."""
    student, teacher = conv_net(3, ours), conv_net(5, theirs)
    copies = conv_net(3), conv_net(5)
    for net, copy in zip((student, teacher), copies, strict=True):
        copy.set_weights(net.get_weights())
    want = step(*copies, IMAGES, None, layer)
    images, axes = IMAGES, (0, 3, 1, 2)
    if ours == "channels_first":
        images, axes = to_first(IMAGES), (0, 2, 3, 1)
    got = step(
        student, teacher, images, lambda x: ops.transpose(x, axes), layer
    )
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_students_statistics_move_once_a_step():
    student = conv_net(3)
    model = distiller(
        student, conv_net(5), [FeatureMatch("relu", "relu")], rate=0.0
    )
    conv, norm = (student.get_layer(name) for name in ("conv", "norm"))
    mean = ops.convert_to_numpy(conv(IMAGES)).mean((0, 1, 2))
    model.train_on_batch(IMAGES, Y)
    np.testing.assert_allclose(
        arrays([norm.moving_mean])[0], mean / 2, atol=1e-6
    )


def test_evaluation_is_of_the_logits_alone():
    model = distiller()
    model.fit(X, Y, verbose=0, validation_data=(X, Y))
    logits = model.student.predict(X, verbose=0)
    np.testing.assert_array_equal(model.predict(X, verbose=0), logits)
    hard = LabelSmoothedKD(EPS, T)(Y, logits)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(float(hard))


def test_projections_are_of_the_distiller_and_not_of_the_student(tmp_path):
    teacher = chain(TEACHER)
    model = distiller(teacher=teacher)
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "distiller.keras")
    model.student.save(tmp_path / "student.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    assert loaded.features == tuple(PAIRS)
    loaded.set_teacher(teacher)
    for a, b in zip(
        arrays(model.variables), arrays(loaded.variables), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    student = keras.saving.load_model(tmp_path / "student.keras")
    shapes = [tuple(w.shape) for w in student.weights]
    assert shapes == [k.shape for k in STUDENT]
    for each in (model, loaded):
        each.fit(X, Y, verbose=0, shuffle=False)
    for a, b in zip(arrays(model.weights), arrays(loaded.weights), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_teacher_of_the_same_widths_keeps_the_projections():
    model = distiller()
    before = arrays(p.kernel for p in model.projections)
    model.set_teacher(chain(kernels(D, *THEIRS, K)))
    after = arrays(p.kernel for p in model.projections)
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    message = (
        r"as many channels as the one before, \[4, 7\]. Received: \[4, 9\]"
    )
    with pytest.raises(ValueError, match=message):
        model.set_teacher(chain(kernels(D, 4, 9, K)))


# Refusals.


class Subclassed(keras.Model):
    """Has no graph to find a layer in."""

    def __init__(self):
        super().__init__()
        self.head = layers.Dense(K)

    def call(self, x, training=None):
        return self.head(x)


def built(model):
    model(X)
    return model


def nested():
    inputs = keras.Input((D,))
    inside = chain(STUDENT)
    inside.name = "inside"
    return keras.Model(inputs, layers.Dense(K)(inside(inputs)))


def match(ours="hidden0", theirs="hidden0"):
    return [FeatureMatch(ours, theirs)]


MISTAKES = {
    "negative weight": (
        lambda: FeatureMatch("a", "b", weight=-1),
        r"`weight` must be a number in \[0, inf\). Received: weight=-1",
    ),
    "no list": (
        lambda: distiller(features=match()[0]),
        "`features` must be a list of FeatureMatch. Received: .*hidden0",
    ),
    "no pair": (
        lambda: distiller(features=[("hidden0", "hidden0")]),
        "`features` must be a list of FeatureMatch",
    ),
    "a layer for its name": (
        lambda: match(ours=layers.Dense(3, name="hidden0")),
        "`student_layer` must be the name of a layer. Received: .*Dense",
    ),
    "unknown layer of the student": (
        lambda: distiller(features=match(ours="hiden0")),
        r"`student_layer`.*\(is it 'hidden0'\?\). Received: .*='hiden0'",
    ),
    "unknown layer of the teacher": (
        lambda: distiller(features=match(theirs="conv")),
        "`teacher_layer`.*Received: teacher_layer='conv'",
    ),
    "student without a graph": (
        lambda: distiller(Subclassed(), features=match()),
        "`student` must be a functional model.*Received: student=",
    ),
    "teacher without a graph": (
        lambda: distiller(teacher=built(Subclassed()), features=match()),
        "`teacher` must be a functional model.*Received: teacher=",
    ),
    "a layer inside a layer": (
        lambda: distiller(nested(), features=match()),
        "`student_layer` must be the name of a layer of.*'hidden0'",
    ),
    "a model inside": (
        lambda: distiller(nested(), features=match(ours="inside")),
        "`student_layer` must be a layer of .* itself.*inside",
    ),
    "two teachers": (
        lambda: distiller(teacher=[chain(TEACHER)] * 2),
        "`teacher` must be one model.*Received: 2 teachers",
    ),
    "another rank": (
        lambda: distiller(conv_net(3), conv_net(3), match("conv", "pool")),
        r"same height and width.*'conv' of shape .*'pool' of shape \(None, 3\)",
    ),
    "another size": (
        lambda: distiller(
            conv_net(3), conv_net(3, side=8), match("conv", "conv")
        ),
        r"same height and width.*\(None, 6, 6, 3\).*\(None, 8, 8, 3\)",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_pairs_that_cannot_be_meant(name):
    make, message = MISTAKES[name]
    with pytest.raises(ValueError, match=message):
        make()


def test_a_sequential_model_has_features_too():
    ours, theirs = (
        keras.Sequential(chain(weights).layers)
        for weights in (STUDENT, TEACHER)
    )
    model = distiller(ours, theirs)
    before = arrays(model.trainable_variables)
    loss, _, _ = reference(before[3:], np.ones(B))
    logs = model.train_on_batch(X, Y, return_dict=True)
    assert logs["loss"] == pytest.approx(loss, rel=1e-5)
