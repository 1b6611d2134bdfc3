import warnings

import keras
import numpy as np
import pytest
from keras import ops

from keras_tricks.data import Batches
from keras_tricks.distillation import Distiller, TeacherReport, check_teacher
from keras_tricks.layers import MixUp
from keras_tricks.losses import LabelSmoothedKD, pack_targets

N, D, K = 40, 6, 4
RNG = np.random.default_rng(13)
X = RNG.normal(size=(N, D)).astype("float32")
KERNEL = RNG.normal(size=(D, K)).astype("float32")
LOGITS = X.astype("float64") @ KERNEL
TOP = LOGITS.argmax(-1)
# Three of four samples are as the teacher says.
Y = np.where(np.arange(N) % 4 == 3, (TOP + 1) % K, TOP)
ONE_HOT = np.eye(K, dtype="float32")[Y]
BAD = (TOP + 1) % K


def dense(kernel=KERNEL, activation=None, dtype=None, name="teacher"):
    layer = keras.layers.Dense(
        kernel.shape[1], activation, use_bias=False, dtype=dtype
    )
    model = keras.Sequential([keras.Input((D,)), layer], name=name)
    layer.kernel.assign(kernel)
    return model


# What is measured.


@pytest.mark.parametrize(
    "labels",
    [
        Y,
        Y[:, None],
        Y.tolist(),
        Y.astype("float32"),
        ONE_HOT,
        0.6 * ONE_HOT + 0.4 * ONE_HOT[::-1],
        pack_targets(Y, LOGITS[::-1]),
    ],
    ids="integer column list float dense mixed packed".split(),
)
def test_the_accuracy_is_the_share_of_top_classes(labels):
    report = check_teacher(dense(), X, labels)
    assert report == TeacherReport("teacher", 0.75, samples=N, num_classes=K)
    assert not report.at_chance


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_a_teacher_has_its_own_precision(dtype):
    assert check_teacher(dense(dtype=dtype), X, TOP).accuracy > 0.9


def test_tensors_of_the_backend_are_taken():
    x, y = ops.convert_to_tensor(X), ops.convert_to_tensor(Y)
    assert check_teacher(dense(), x, y).accuracy == 0.75


def test_the_teacher_sees_adapted_images():
    assert check_teacher(dense(), -X, Y, adapt=lambda x: -x).accuracy == 0.75


def test_the_teacher_is_in_inference_mode_and_unchanged():
    inputs = keras.Input((D,))
    x = keras.layers.BatchNormalization(momentum=0.0)(inputs)
    head = dense()
    teacher = keras.Model(inputs, head(keras.layers.Dropout(0.9)(x)))
    before = teacher.get_weights()
    assert check_teacher(teacher, X, Y).accuracy == 0.75
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


# What chance is.


def test_the_report_prints_in_one_line():
    report = TeacherReport("resnet50_d", 0.70349, samples=256, num_classes=1000)
    assert str(report) == (
        "resnet50_d: accuracy 70.3 % on 256 samples, chance is 0.1 %"
    )


@pytest.mark.parametrize(
    ("hits", "samples", "classes", "at_chance"),
    [
        # 1/10 + 2.33 sqrt(1/10 · 9/10 / 64) = 0.1874 = 11.99 / 64
        (11, 64, 10, True),
        (12, 64, 10, False),
        (0, 64, 10, True),
        # 1/10 + 2.33 sqrt(1/10 · 9/10 / 256) = 36.8 / 256
        (36, 256, 10, True),
        (37, 256, 10, False),
        # 1/1000 + 2.33 sqrt(1/1000 · 999/1000 / 256) = 1.43 / 256
        (1, 256, 1000, True),
        (2, 256, 1000, False),
        # 1/2 + 2.33 sqrt(1/2 · 1/2 / 4) > 1: four samples tell nothing.
        (0, 4, 2, False),
        (2, 4, 2, False),
    ],
)
def test_chance_has_a_spread(hits, samples, classes, at_chance):
    report = TeacherReport("t", hits / samples, samples, classes)
    assert report.at_chance is at_chance


def test_guessing_is_rarely_better_than_chance():
    hits = RNG.binomial(64, 0.1, 4000)
    reports = [TeacherReport("t", n / 64, 64, 10) for n in hits.tolist()]
    assert np.mean([report.at_chance for report in reports]) > 0.97


def test_a_teacher_without_its_weights_is_warned_of():
    with pytest.warns(UserWarning, match="no better than chance") as caught:
        report = check_teacher(dense(-KERNEL), X, TOP)
    assert report.at_chance
    (message,) = [str(w.message) for w in caught if w.category is UserWarning]
    assert str(report) in message
    assert "are its weights loaded" in message
    assert "\n" not in message


# What is refused.


class Hidden(keras.Model):
    """Has no graph that tells what its output is."""

    def __init__(self, activation):
        super().__init__()
        self.head = dense()
        self.function = activation

    def call(self, x, training=None):
        return self.function(self.head(x))


def two_outputs():
    inputs = keras.Input((D,))
    logits = dense()(inputs)
    return keras.Model(inputs, [logits, 2 * logits], name="two")


REFUSED = {
    "path": (lambda: "t.keras", "must be a Keras model.*'t.keras' of type str"),
    "function": (lambda: dense().call, "must be a Keras model.*of type"),
    "softmax": (
        lambda: dense(activation="softmax"),
        "`teacher` must end in logits.*teacher='teacher', whose layer.*softmax",
    ),
    "hidden softmax": (
        lambda: Hidden(ops.softmax),
        "`teacher_logits` must be logits.*probabilities",
    ),
    "nan": (
        lambda: dense(KERNEL * np.float32("nan")),
        "`teacher` must give finite logits.*teacher='teacher'.*nan",
    ),
    "infinite": (
        lambda: dense(np.full_like(KERNEL, np.inf)),
        "`teacher` must give finite logits",
    ),
    "two outputs": (two_outputs, "one output.*teacher='two' with 2 outputs"),
    "one class": (lambda: dense(KERNEL[:, :1]), "at least 2 classes"),
    "another number of classes": (
        lambda: dense(np.tile(KERNEL, 2)),
        "student's 4 classes.*teacher='teacher' with 8",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_teachers_that_cannot_be_meant(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        check_teacher(make(), X, Y, num_classes=K)
    told, _, received = str(caught.value).partition("Received: ")
    assert told.startswith("`teacher")
    assert received
    assert "\n" not in received


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (Y + 1, "integer labels from 0 to 3. Received: 4"),
        (Y - 1, "integer labels from 0 to 3. Received: -1"),
        (Y + 0.5, "integer labels"),
        (Y[:3], r"shape \(40,\).*Received: .*\(3,\)"),
        (np.eye(5)[Y], r"last axis of 4 or 8.*\(40, 5\)"),
        (2 * ONE_HOT, "sum to 1"),
    ],
)
def test_labels_that_do_not_fit(labels, message):
    with pytest.raises(ValueError, match=message):
        check_teacher(dense(), X, labels)


def test_images_of_another_shape():
    message = (
        r"`teacher` must take the student's images.*AdaptImages. Received: "
        rf"x.shape=\(40, 5\), teacher='teacher' of input shape \(None, {D}\)$"
    )
    with pytest.raises(ValueError, match=message):
        check_teacher(dense(), X[:, :5], Y)
    assert check_teacher(dense(), X[:, :5], Y, adapt=lambda x: X).samples == N


def test_adapt_must_be_a_function():
    with pytest.raises(ValueError, match="`adapt` must be callable.*adapt=224"):
        check_teacher(dense(), X, Y, adapt=224)


# What `fit` of a distiller looks at: its first batch, and no label more.


class PyData(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, i):
        return X[8 * i : 8 * i + 8], BAD[8 * i : 8 * i + 8]


def tf_data():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((X, BAD)).batch(8)


def loader():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(*map(torch.tensor, (X, BAD)))
    return torch.utils.data.DataLoader(data, 8)


def weighted():
    yield from ((*PyData()[i], np.ones(8, "float32")) for i in range(5))


DATA = {
    "arrays": lambda: {"x": X, "y": BAD, "batch_size": 8},
    "tensors": lambda: {
        "x": ops.convert_to_tensor(X),
        "y": ops.convert_to_tensor(BAD),
        "batch_size": 8,
    },
    "PyDataset": lambda: {"x": PyData()},
    "tf.data": lambda: {"x": tf_data()},
    "DataLoader": lambda: {"x": loader()},
    "generator": lambda: {"x": weighted(), "steps_per_epoch": 5},
}


def distiller(**options):
    model = Distiller(dense(0 * KERNEL, name="student"), dense(), **options)
    model.compile(keras.optimizers.SGD(0.1), LabelSmoothedKD())
    return model


@pytest.mark.parametrize("kind", DATA)
def test_fit_measures_on_the_first_batch_and_uses_nothing_up(kind):
    models = distiller(), distiller(check_teacher=False)
    with pytest.warns(UserWarning, match="accuracy 0.0 % on 8 samples"):
        models[0].fit(**DATA[kind](), shuffle=False, verbose=0)
    models[1].fit(**DATA[kind](), shuffle=False, verbose=0)
    assert int(models[0].optimizer.iterations) == 5
    kernels = [ops.convert_to_numpy(m.student.weights[0]) for m in models]
    np.testing.assert_array_equal(*kernels)


def test_the_measure_is_of_256_samples_at_most():
    x, y = np.tile(X, (8, 1)), np.tile(BAD, 8)
    with pytest.warns(UserWarning, match="on 256 samples"):
        distiller().fit(x, y, batch_size=320, verbose=0)
    with pytest.warns(UserWarning, match="on 32 samples"):
        distiller().fit(x, y, verbose=0)


def test_a_teacher_is_measured_once():
    model = distiller()
    with pytest.warns(UserWarning, match="no better than chance"):
        model.train_on_batch(X, BAD)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit(X, BAD, verbose=0)
        model.train_on_batch(X, BAD)
    model.set_teacher(dense())
    with pytest.warns(UserWarning, match="no better than chance"):
        model.fit(X, BAD, verbose=0)


def test_mixed_batches_are_measured_by_their_dominant_labels():
    images = RNG.integers(0, 256, (64, 3, 2, 1), "uint8")
    layer = keras.layers.Dense(K, use_bias=False)
    teacher, student = (
        keras.Sequential([keras.Input((3, 2, 1)), keras.layers.Flatten(), head])
        for head in (layer, keras.layers.Dense(K))
    )
    layer.kernel.assign(KERNEL)
    x = (images.astype("float32") - 128) / 64
    labels = (x.reshape(64, -1) @ KERNEL).argmax(-1)
    data = Batches(
        images,
        labels,
        64,
        mean=128.0,
        std=64.0,
        mix_up=MixUp(0.2, num_classes=K, seed=1),
        data_format="channels_last",
    )
    x, y = data[0]
    (report,) = Distiller(student, teacher).measure_teacher(x, y)
    answers = ops.convert_to_numpy(teacher(x)).argmax(-1)
    assert report.accuracy == np.mean(answers == y.argmax(-1))
    assert 0.5 < report.accuracy < 1


def test_each_of_several_teachers_is_measured():
    teachers = [dense(name="a"), dense(-KERNEL, name="b")]
    model = Distiller(dense(0 * KERNEL), teachers, adapt=[None, lambda x: -x])
    reports = model.measure_teacher(X, Y)
    assert [(r.name, r.accuracy) for r in reports] == [("a", 0.75), ("b", 0.75)]
    with pytest.raises(ValueError, match="`teacher` must be given"):
        Distiller(dense()).measure_teacher(X, Y)
