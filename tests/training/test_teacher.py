import functools
import json
import warnings

import keras
import numpy as np
import pytest
from keras import layers

from keras_tricks import Recipe, losses, training
from keras_tricks.distillation import AdaptImages, Distiller, check_teacher
from keras_tricks.models._constructors import CONSTRUCTORS
from keras_tricks.report import read_run
from keras_tricks.training.teacher import adapt_to, load_teacher

K, SHAPE = 10, (8, 8, 1)
SIZE = {"train_samples": 128, "test_samples": 64, "width": 2}
LAST = {"data_format": "channels_last"}
RECIPE = Recipe(**SIZE, **LAST, epochs=2, warmup_epochs=1, batch_size=32)
IMAGES = np.random.default_rng(3).normal(size=(5, *SHAPE)).astype("float32")


def network(
    shape=SHAPE,
    num_classes=K,
    activation=None,
    name="small",
    first=False,
    width=4,
):
    form = {"data_format": "channels_first"} if first else LAST
    x = inputs = keras.Input((shape[2], *shape[:2]) if first else shape)
    x = layers.Conv2D(width, 3, strides=2, **form)(x)
    x = layers.BatchNormalization(axis=1 if first else -1)(x)
    x = layers.GlobalAveragePooling2D(**form)(layers.ReLU()(x))
    outputs = layers.Dense(num_classes, activation=activation, name="logits")(x)
    return keras.Model(inputs, outputs, name=name)


def prototypes():
    """A teacher of the digits that needs no training: their mean images."""
    plain = {"augmentation": "none", "mixup_alpha": 0.0}
    _, train, _ = training.build_data(
        RECIPE.replace(train_samples=1024, **plain)
    )
    x, y = (np.concatenate(parts) for parts in zip(*train, strict=True))
    means = np.stack([x[y == k].mean(0).ravel() for k in range(K)])
    dense = layers.Dense(K)
    model = keras.Sequential(
        [keras.Input(SHAPE), layers.Flatten(), dense], name="prototypes"
    )
    dense.kernel.assign(means.T)
    dense.bias.assign(-0.5 * (means**2).sum(-1))
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A function that saves a model and gives its path."""
    root = tmp_path_factory.mktemp("teachers")
    paths = iter(range(1000))

    def save(model):
        path = str(root / f"{next(paths)}.keras")
        model.save(path)
        return path

    return save


@pytest.fixture
def small(monkeypatch):
    """Small networks in the place of the library's, and of the student."""
    for name in ("ResNet18A", "ResNet18D"):
        build = functools.partial(CONSTRUCTORS[name], width=2)
        monkeypatch.setitem(CONSTRUCTORS, name, build)
    monkeypatch.setattr(
        training.run, "build_model", lambda *_: network(name="student")
    )


def assert_same_weights(model, other):
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# Loading.


def test_a_saved_model_comes_back_as_it_was(saved):
    model = network(name="it")
    model.compile("adam", "mse", metrics=["mae"])
    teacher = load_teacher(Recipe(teacher=saved(model)), SHAPE, K)
    assert (teacher.name, teacher.compiled) == ("it", False)
    assert_same_weights(teacher, model)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_named_model_gets_its_weights(data_format, small, tmp_path):
    model = resnet("ResNet18D")
    recipe = Recipe(
        teacher="ResNet18D", teacher_weights=weights_of(model, tmp_path)
    )
    before = keras.config.image_data_format()
    try:
        keras.config.set_image_data_format(data_format)
        teacher = load_teacher(recipe, SHAPE, K)
    finally:
        keras.config.set_image_data_format(before)
    assert teacher.name == "resnet18_d"
    first = data_format == "channels_first"
    assert teacher.input_shape == ((None, 1, 8, 8) if first else (None, *SHAPE))
    assert_same_weights(teacher, model)


def weights_of(model, path):
    path = path / "other.weights.h5"
    model.save_weights(path)
    return str(path)


def resnet(name, classes=K):
    return CONSTRUCTORS[name](
        num_classes=classes, input_shape=SHAPE, small_images=True
    )


def damaged(path, keep=None, flip=None):
    """A saved model that lost its end, or a bit."""
    network().save(path / "damaged.keras")
    data = bytearray((path / "damaged.keras").read_bytes())
    if flip is not None:
        data[flip] ^= 255
    (path / "damaged.keras").write_bytes(data[:keep])
    return {"teacher": str(path / "damaged.keras")}


def text(path, name):
    (path / name).write_text("no model")
    return str(path / name)


NAMED = {"teacher": "ResNet18D"}
FILES = {
    "no file": (
        lambda path: {"teacher": str(path / "nowhere.keras")},
        "`teacher` must be the path .*File not found.*nowhere.keras'$",
    ),
    "a folder": (
        lambda path: {"teacher": str(path)},
        "`teacher` must be a saved .keras .*Received: the folder teacher=",
    ),
    "text": (
        lambda path: {"teacher": text(path, "t.keras")},
        "`teacher` must be the path .*cut off, or of another kind.*t.keras'$",
    ),
    "text for HDF5": (
        lambda path: {"teacher": text(path, "t.h5")},
        "`teacher` must be the path .*t.h5'$",
    ),
    "cut off": (
        lambda path: damaged(path, keep=-100),
        "`teacher` must be the path .*damaged.keras'$",
    ),
    "a bit of its configuration": (
        lambda path: damaged(path, flip=400),
        "`teacher` must be the path .*CRC.*damaged.keras'$",
    ),
    "a bit of its weights": (
        lambda path: damaged(path, flip=-6000),
        "`teacher` must be the path .*CRC.*damaged.keras'$",
    ),
    "a name that there is not": (
        lambda path: {"teacher": "ResNet51D"},
        "`teacher` must be the path .*such as ResNet50D.*'ResNet51D'$",
    ),
    "a function that is no model": (
        lambda path: {"teacher": "zero_gamma"},
        "`teacher` must be the path .*'zero_gamma'$",
    ),
    "a family": (
        lambda path: {"teacher": "ResNet"},
        "`teacher` must be the path .*such as ResNet50D.*'ResNet'$",
    ),
    "a name alone": (
        lambda path: NAMED,
        "`teacher_weights` must be the weights of ResNet18D.*=None$",
    ),
    "weights that are not there": (
        lambda path: {**NAMED, "teacher_weights": str(path / "w.weights.h5")},
        "`teacher_weights` must be the weights of ResNet18D.*w.weights.h5'$",
    ),
    "weights of another variant": (
        lambda path: {
            **NAMED,
            "teacher_weights": weights_of(resnet("ResNet18A"), path),
        },
        "`teacher_weights` must be the weights of ResNet18D.*weights.h5'$",
    ),
    "weights of other classes": (
        lambda path: {
            **NAMED,
            "teacher_weights": weights_of(resnet("ResNet18D", 7), path),
        },
        "`teacher_weights` must be .*of ResNet18D with 10 classes",
    ),
    "weights of another network": (
        lambda path: {
            **NAMED,
            "teacher_weights": weights_of(prototypes(), path),
        },
        "`teacher_weights` must be the weights of ResNet18D",
    ),
    "text for weights": (
        lambda path: {**NAMED, "teacher_weights": text(path, "w.weights.h5")},
        "`teacher_weights` must be the weights of ResNet18D",
    ),
    "weights beside a saved model": (
        lambda path: {
            "teacher": saved_at(path),
            "teacher_weights": "w.weights.h5",
        },
        "`teacher_weights` must be None for a saved model.*w.weights.h5'$",
    ),
}


def saved_at(path):
    network().save(path / "t.keras")
    return str(path / "t.keras")


@pytest.mark.parametrize("name", FILES)
def test_files_that_cannot_be_meant(name, small, tmp_path):
    make, message = FILES[name]
    recipe = Recipe(**make(tmp_path))
    with warnings.catch_warnings():
        # Core Keras warns before it raises.
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=message) as caught:
            load_teacher(recipe, SHAPE, K)
    assert len(str(caught.value).splitlines()) == 1
    assert "Received: " in str(caught.value)


# The images of both.


@pytest.mark.parametrize(
    ("teacher", "image_shape", "data_format", "expected"),
    [
        ((8, 8, 1), (8, 8, 1), "channels_last", None),
        ((None, None, 1), (8, 8, 1), "channels_last", None),
        ((12, 10, 1), (8, 8, 1), "channels_last", ((12, 10), "last", "last")),
        ((1, 8, 8), (8, 8, 1), "channels_last", (None, "last", "first")),
        ((8, 8, 1), (8, 8, 1), "channels_first", (None, "first", "last")),
        ((3, 9, 7), (8, 8, 3), "channels_first", ((9, 7), "first", "first")),
        ((3, None, None), (8, 8, 3), "channels_first", None),
        # Of two layouts that would do, the student's.
        ((3, 16, 3), (3, 16, 3), "channels_last", None),
    ],
)
def test_size_and_layout_are_adapted(
    teacher, image_shape, data_format, expected
):
    model = keras.Sequential([keras.Input(teacher), layers.Identity()])
    adapt = adapt_to(model, image_shape, data_format)
    if expected is not None:
        size, ours, theirs = expected
        expected = AdaptImages(
            size,
            data_format=f"channels_{ours}",
            teacher_data_format=f"channels_{theirs}",
        )
    assert adapt == expected
    if adapt is not None:
        if data_format == "channels_first":
            image_shape = (image_shape[2], *image_shape[:2])
        given = tuple(adapt(np.zeros((2, *image_shape))).shape)
        assert given == (2, *teacher)


class Subclassed(keras.Model):
    """Does not know what it takes."""

    def call(self, x):
        return x


@pytest.mark.parametrize(
    "teacher",
    [
        lambda: network((8, 8, 3)),
        lambda: keras.Sequential([keras.Input((64,)), layers.Dense(K)]),
        lambda: Subclassed(name="sub"),
    ],
)
def test_a_teacher_of_other_images_is_refused(teacher):
    message = "`teacher` must take images of 1 channels. Received: teacher='"
    with pytest.raises(ValueError, match=message):
        adapt_to(teacher(), SHAPE, "channels_last")


def test_the_distiller_has_the_student_the_teacher_and_the_adapter(saved):
    path = saved(network((12, 12, 1), name="larger"))
    student = network(name="student")
    model = training.build_distiller(
        RECIPE.replace(teacher=path), student, SHAPE, "channels_last"
    )
    assert isinstance(model, Distiller)
    assert model.student is student
    assert [teacher.name for teacher in model._teachers.models] == ["larger"]
    assert model._teachers.adapts == [
        AdaptImages(12, **LAST, teacher_data_format="channels_last")
    ]
    assert not model.check_teacher


# The loss.


def test_the_loss_is_as_the_recipe_says():
    recipe = Recipe(
        teacher="t.keras",
        label_smoothing=0.3,
        smoothing_convention="uniform",
        temperature=4,
        hard_weight=0.25,
    )
    loss = training.build_loss(recipe, distill=True)
    want = losses.LabelSmoothedKD(0.3, 4.0, 0.25, convention="uniform")
    assert loss.get_config() == want.get_config()
    loss = training.build_loss(recipe)
    want = losses.LabelSmoothedCrossentropy(0.3, "uniform")
    assert type(loss) is type(want)
    assert loss.get_config() == want.get_config()
    paper = training.build_loss(Recipe(), distill=True)
    assert (paper.temperature, paper.hard_weight) == (20.0, None)


def test_student_and_distiller_are_compiled_alike():
    recipe = RECIPE.replace(teacher="t.keras", temperature=3)
    student = network()
    model = Distiller(student, network())
    training.compile_model(recipe, model, 640)
    assert model.loss.temperature == student.loss.temperature == 3
    assert model.optimizer is student.optimizer
    x, y = IMAGES, np.arange(5)
    ours, theirs = (
        each.evaluate(x, y, verbose=0, return_dict=True)
        for each in (model, student)
    )
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert set(ours) == {"loss", "accuracy", "crossentropy"}
    alone = network()
    training.compile_model(recipe, alone, 640)
    assert isinstance(alone.loss, losses.LabelSmoothedCrossentropy)


# A run.


def test_a_run_says_how_good_its_teacher_is(small, saved, tmp_path):
    teacher = prototypes()
    recipe = RECIPE.replace(teacher=saved(teacher))
    run = training.prepare(recipe, tmp_path)
    report = check_teacher(teacher, *run.validation_batches[0])
    assert report.accuracy > 0.7
    assert f"teacher   {report}\n" in run.explanation
    assert (tmp_path / "explain.txt").read_text("utf-8") == run.explanation
    assert f"cross-entropy with {recipe.teacher} at T = 20" in run.explanation
    assert Recipe.load(tmp_path / "recipe.json") == recipe


def test_a_run_with_a_teacher_leaves_a_student(small, saved, tmp_path):
    teacher = prototypes()
    recipe = RECIPE.replace(teacher=saved(teacher), ema_decay=0.5)
    run = training.prepare(recipe, tmp_path)
    result = run.fit(verbose=0)
    history = read_run(tmp_path).history
    assert {"hard_loss", "kl", "teacher_agreement", "val_loss"} <= set(history)
    assert not {"val_kl", "val_teacher_agreement"} & set(history)
    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert result["model"] == "student"
    assert result["parameters"] == run.model.student.count_params()
    for name in ("last", "best"):
        model = keras.saving.load_model(tmp_path / f"{name}.keras")
        assert (model.name, len(model.layers)) == ("student", 6)
    accuracy = run.model.student.evaluate(
        run.validation_batches, verbose=0, return_dict=True
    )["accuracy"]
    assert accuracy == pytest.approx(result["val_accuracy"])
    (used,) = run.model._teachers.models
    assert_same_weights(used, teacher)


def test_an_untrained_teacher_is_warned_of_and_not_refused(
    small, saved, tmp_path
):
    teacher = prototypes()
    dense = teacher.layers[-1]
    dense.set_weights([-weight for weight in dense.get_weights()])
    recipe = RECIPE.replace(teacher=saved(teacher))
    with pytest.warns(UserWarning, match="no better than chance, prototypes:"):
        run = training.prepare(recipe, tmp_path)
    assert "teacher   prototypes: accuracy" in run.explanation


def two_outputs():
    model = network()
    logits = model.output
    return keras.Model(model.inputs, [logits, 2 * logits], name="two")


def not_finite():
    model = prototypes()
    model.layers[-1].bias.assign(np.full(K, np.nan))
    return model


TEACHERS = {
    "softmax": (
        lambda: network(activation="softmax"),
        "`teacher` must end in logits.*teacher='small'.*'logits' has softmax",
    ),
    "classes": (
        lambda: network(num_classes=7),
        "`teacher` must have the student's 10 classes.*'small' with 7",
    ),
    "channels": (
        lambda: network((8, 8, 3)),
        "`teacher` must take images of 1 channels",
    ),
    "outputs": (
        two_outputs,
        "`teacher` must have one output.*'two' with 2 outputs",
    ),
    "not finite": (
        not_finite,
        "`teacher` must give finite logits.*'prototypes'.*nan",
    ),
}


@pytest.mark.parametrize("name", TEACHERS)
def test_what_is_refused_leaves_no_folder(name, small, saved, tmp_path):
    make, message = TEACHERS[name]
    recipe = RECIPE.replace(teacher=saved(make()))
    with pytest.raises(ValueError, match=message):
        training.prepare(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_teacher_is_another_recipe(small, saved, tmp_path):
    recipe = RECIPE.replace(teacher=saved(prototypes()))
    training.prepare(recipe, tmp_path)
    for changes in (
        {"teacher": None},
        {"temperature": 4.0},
        {"hard_weight": 0.5},
    ):
        (field,) = changes
        message = f"`run_folder` must be new.*where {field} is"
        with pytest.raises(ValueError, match=message):
            training.prepare(recipe.replace(**changes), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": ""}, "`teacher` must be a path, a name or None"),
        ({"teacher": 3}, "`teacher` must be a string. Received: teacher=3"),
        ({"hard_weight": 0.5}, "`hard_weight` must be None without a teacher"),
        ({"teacher_weights": "w"}, "`teacher_weights` must be None without"),
        ({"temperature": 0}, "`temperature` must be above 0"),
        ({"temperature": -1.0}, "`temperature` must be a number"),
        ({"teacher": "t", "hard_weight": 1.5}, r"`hard_weight`.*\[0, 1\]"),
        ({"teacher": "t", "hard_weight": -0.5}, r"`hard_weight`.*\[0, 1\]"),
    ],
)
def test_fields_that_do_not_fit_together(changes, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**changes)
