import dataclasses
import functools
import json
import math

import keras
import numpy as np
import pytest

from keras_tricks import Recipe, training
from keras_tricks.data import ClassNames, Preprocessing
from keras_tricks.data.sources.load import load_digits
from keras_tricks.data.transforms import channel_statistics, decode_image
from keras_tricks.data.transforms.crops import to_channels
from keras_tricks.evaluation import (
    Classifier,
    Evaluation,
    Share,
    evaluate,
    load_classifier,
    load_images,
    merge_crops,
)
from keras_tricks.models import MobileNet
from keras_tricks.models._constructors import CONSTRUCTORS

OWN = Preprocessing(8, 0.8, mean=(100, 110, 120), std=(50, 60, 70))
FOUR = ClassNames(
    ("name 0", "name 1", "name 2", "name 3"), "k0 k1 k2 k3".split()
)


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """What a run on digits leaves behind, with a network of its own."""
    folder = tmp_path_factory.mktemp("run")
    recipe = Recipe(
        train_samples=512, test_samples=100, data_format="channels_last"
    )
    network(10, (8, 8, 1)).save(folder / "last.keras")
    (folder / "recipe.json").write_text(recipe.to_json())
    return folder


def network(classes=4, shape=(8, 8, 3), activation=None, scale=3.0):
    """A network whose logits differ from image to image."""
    x = inputs = keras.Input(shape)
    layer = keras.layers.Dense(classes, activation=activation)
    outputs = layer(keras.layers.Flatten()(x))
    rng = np.random.default_rng(1)
    kernel, bias = (rng.normal(size=w.shape) for w in layer.weights)
    layer.set_weights([scale * kernel / math.sqrt(len(kernel)), bias])
    return keras.Model(inputs, outputs)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def reference(model, folder, ten_crop=False, own=OWN):
    """Probabilities and labels of the readable images, in float64."""
    kernel, bias = (w.astype("float64") for w in model.get_weights())
    probabilities, labels = [], []
    for path in sorted(folder.glob("*.png")):
        if path.name == "k0_8.png":
            continue
        image = decode_image(path)
        views = own.ten_crops(image) if ten_crop else own.transform(image)[None]
        x = (views.astype("float64") - own.mean) / own.std
        z = x.reshape(len(x), -1) @ kernel + bias
        probabilities.append(softmax(z).mean(0))
        labels.append(int(path.name[1]))
    return np.stack(probabilities), np.array(labels)


def check(result, p, labels):
    """Compares all figures of an evaluation with a reference."""
    hits = p.argmax(-1) == labels
    order = np.argsort(-p, axis=-1, kind="stable")
    assert len(result) == len(labels)
    np.testing.assert_array_equal(result.labels, labels)
    np.testing.assert_array_equal(result.predicted, p.argmax(-1))
    np.testing.assert_allclose(result.confidences, p.max(-1), atol=1e-5)
    for k in (1, 2, 3):
        top = (order[:, :k] == labels[:, None]).any(-1)
        assert result.accuracy(k) == Share(int(top.sum()), len(labels))
    own = p[np.arange(len(labels)), labels]
    expected = -np.log(own).mean()
    assert result.crossentropy == pytest.approx(expected, abs=1e-4)
    gaps = [
        abs((hits[b] - p.max(-1)[b]).sum())
        for b in ((np.ceil(p.max(-1) * 15) == i + 1) for i in range(15))
    ]
    error = sum(gaps) / len(labels)
    assert result.calibration_error() == pytest.approx(error, abs=1e-5)
    matrix = np.zeros((4, 4), int)
    np.add.at(matrix, (labels, p.argmax(-1)), 1)
    np.testing.assert_array_equal(result.confusions(), matrix)
    wrong = np.flatnonzero(~hits)
    expected = wrong[np.argsort(-p.max(-1)[wrong])]
    np.testing.assert_array_equal(result.mistakes(), expected)


@pytest.mark.parametrize("ten_crop", [False, True])
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_all_figures(ten_crop, activation, image_folder):
    model = network(activation=activation)
    classifier = Classifier(model, OWN)
    assert classifier.gives_probabilities == (activation == "softmax")
    images = load_images(classifier, image_folder, ten_crop=ten_crop)
    assert images.classes == FOUR
    crops = "ten crops of" if ten_crop else "central"
    assert images.how == f"short side 10 (bilinear), {crops} 8, RGB"
    result = evaluate(classifier, images, batch_size=3)
    check(result, *reference(model, image_folder, ten_crop))
    (bad,) = result.bad
    assert bad.startswith("k0_8.png: ")
    assert "k0_8.png" not in result.names
    assert result.class_name(2) == "name 2"


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_the_batch_changes_nothing(batch_size, image_folder):
    classifier = Classifier(network(), OWN)
    images = load_images(classifier, image_folder)
    one = evaluate(classifier, images, batch_size=3)
    two = evaluate(classifier, images, batch_size=batch_size, workers=1)
    np.testing.assert_array_equal(one.top, two.top)
    assert one.crossentropy == pytest.approx(two.crossentropy, rel=1e-5)


def test_a_network_with_channels_first(image_folder):
    last, first = network(), network(shape=(3, 8, 8))
    kernel, bias = last.get_weights()
    kernel = kernel.reshape(8, 8, 3, 4).transpose(2, 0, 1, 3)
    first.set_weights([kernel.reshape(-1, 4), bias])
    results = [
        evaluate(classifier, load_images(classifier, image_folder))
        for classifier in (Classifier(last, OWN), Classifier(first, OWN))
    ]
    np.testing.assert_array_equal(results[0].top, results[1].top)
    assert results[0].crossentropy == pytest.approx(
        results[1].crossentropy, rel=1e-5
    )


def test_a_run_is_evaluated_as_training_validates(digits_run):
    classifier = load_classifier(digits_run)
    images = load_images(classifier)
    x = np.concatenate([views[:, 0] for views, _ in images.batches(32)])
    _, _, validation = training.build_data(classifier.recipe)
    batches = [validation[i] for i in range(len(validation))]
    inputs = np.concatenate([x for x, _ in batches])
    labels = np.concatenate([y for _, y in batches])
    np.testing.assert_array_equal(classifier.to_layout(x), inputs)
    np.testing.assert_array_equal(images.labels, labels)
    result = evaluate(classifier, images, batch_size=100)
    logits = classifier.model.predict_on_batch(inputs)
    hits = logits.argmax(-1) == labels
    assert result.accuracy() == Share(int(hits.sum()), 100)


def test_what_a_run_knows_of_other_images(digits_run):
    classifier = load_classifier(digits_run)
    own = classifier.preprocessing
    mean, std = channel_statistics(load_digits().x_train)
    assert (own.image_size, own.crop_ratio, own.channels) == (8, 1.0, "L")
    assert abs(own.mean[0] - mean[0]) < 5 and abs(own.std[0] - std[0]) < 5
    assert classifier.classes.names == tuple("0123456789")
    # Digits through files are the digits of the run.
    image = load_digits().x_test[0]
    np.testing.assert_array_equal(own.transform(to_channels(image, 3)), image)


def test_preprocessing_beside_a_model(tmp_path):
    path = tmp_path / "model.keras"
    network().save(path)
    assert load_classifier(path).preprocessing is None
    with pytest.raises(ValueError, match="`mean` and `std` must be given"):
        load_images(load_classifier(path), dataset="digits")
    stated = load_classifier(path, mean=(1, 2, 3), std=(4, 5, 6)).preprocessing
    assert (stated.image_size, stated.mean, stated.crop_ratio) == (
        8,
        (1.0, 2.0, 3.0),
        0.875,
    )
    wide = tmp_path / "wide.keras"
    network(shape=(8, 12, 1)).save(wide)
    stated = load_classifier(wide, mean=(1,), std=(2,)).preprocessing
    assert stated.image_size == (8, 12) and stated.channels == "L"
    (tmp_path / "preprocessing.json").write_text(OWN.to_json())
    assert load_classifier(path).preprocessing == OWN
    changed = load_classifier(path, crop_ratio=0.5, image_size=None)
    assert changed.preprocessing.short_side == 16
    assert changed.preprocessing.mean == OWN.mean


def test_a_damaged_preprocessing_is_named(tmp_path):
    path = tmp_path / "model.keras"
    network().save(path)
    file = tmp_path / "preprocessing.json"
    file.write_text("{")
    with pytest.raises(
        ValueError, match=f"`preprocessing` .*Received: .*{file}"
    ):
        load_classifier(path)


def test_gray_images_are_known_by_the_input(tmp_path):
    path = tmp_path / "model.keras"
    network(shape=(8, 8, 1)).save(path)
    own = load_classifier(path, mean=(1,), std=(2,)).preprocessing
    assert own == Preprocessing(8, mean=(1,), std=(2,), channels="L")


@pytest.mark.parametrize("samples", [3, 20])
def test_some_images_of_a_data_set(samples):
    classifier = Classifier(network(10), OWN)
    images = load_images(classifier, dataset="digits", samples=samples)
    assert len(images) == samples
    assert len(set(images.labels)) == min(samples, 10)
    digits = load_digits()
    for name, image, label in zip(
        images.names, images.images, images.labels, strict=True
    ):
        index = int(name.removeprefix("digits[").removesuffix("]"))
        np.testing.assert_array_equal(image, digits.x_test[index])
        assert label == digits.y_test[index]


def test_a_named_model_with_weights(tmp_path, monkeypatch):
    tiny = functools.partial(
        MobileNet, width_multiplier=0.05, small_images=True
    )
    monkeypatch.setitem(CONSTRUCTORS, "Tiny", tiny)
    model = tiny(num_classes=4, activation="silu", input_shape=(9, 9, 3))
    path, names = tmp_path / "w.weights.h5", tmp_path / "c.txt"
    model.save_weights(path)
    names.write_text("a\nb\nc\nd\n")
    (tmp_path / "preprocessing.json").write_text(OWN.to_json())
    args = {"activation": "silu"}
    classifier = load_classifier("Tiny", path, names, args, image_size=8)
    assert classifier.preprocessing == OWN
    assert classifier.class_name(3) == "d"
    for ours, theirs in zip(
        classifier.model.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    for source in (None, tmp_path / "nothere.h5", names):
        with pytest.raises(
            ValueError, match="`(weights|source)` must be .*Received: "
        ):
            load_classifier("Tiny", source, names, image_size=8)
    with pytest.raises(ValueError, match="`model_args` must be arguments of T"):
        load_classifier("Tiny", path, names, {"activatoin": "silu"})
    with pytest.raises(ValueError, match="`model_args` must be None unless"):
        load_classifier(path, model_args=args)


def test_of_equal_logits_the_first_class_wins(image_folder):
    model = network()
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    result = run(Classifier(model, OWN), image_folder)
    assert set(result.predicted) == {0}
    np.testing.assert_array_equal(result.ranks, result.labels)
    assert result.crossentropy == pytest.approx(math.log(4))


def test_merging_views():
    log_p = np.log(softmax(np.random.default_rng(0).normal(size=(5, 10, 4))))
    expected = np.log(np.exp(log_p).mean(1))
    np.testing.assert_allclose(merge_crops(log_p), expected, atol=1e-12)


def test_the_interval_is_wilsons():
    z, n, p = 1.959963984540054, 200, 0.9
    center = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) * z / (1 + z**2 / n)
    share = Share(180, 200)
    assert share.low == pytest.approx(center - reach, abs=1e-9)
    assert share.high == pytest.approx(center + reach, abs=1e-9)
    assert math.isnan(Share(0, 0).value) and math.isnan(Share(0, 0).low)


def test_classes_come_worst_first():
    labels = np.array([0, 0, 1, 1, 1, 2])
    predicted = np.array([0, 0, 2, 2, 1, 0])
    result = Evaluation(
        indices=np.arange(6),
        labels=labels,
        top=np.stack([predicted, (predicted + 1) % 3], -1),
        top_probabilities=np.tile([0.75, 0.25], (6, 1)),
        ranks=(labels != predicted).astype(int),
        label_log_probabilities=np.zeros(6),
        names=tuple("abcdef"),
        classes=None,
        num_classes=3,
    )
    rows = result.per_class()
    assert [row.index for row in rows] == [2, 1, 0]
    assert [row.confused_with for row in rows] == [0, 2, None]
    assert [row.confusions for row in rows] == [1, 2, 0]
    assert rows[1].top_1 == Share(1, 3)
    mean = np.mean([row.top_1.value for row in rows])
    assert result.balanced_accuracy == pytest.approx(mean)
    content = json.loads(json.dumps(result.to_dict()))
    assert content["top_1"]["hits"] == 3 and "top_5" not in content
    assert content["balanced_accuracy"] == result.balanced_accuracy
    assert [row["name"] for row in content["per_class"]] == ["2", "1", "0"]


def nan_network():
    model = network()
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    return model


class Hidden(keras.layers.Layer):
    """A softmax that the structure of a model does not show."""

    def call(self, inputs):
        return keras.ops.softmax(inputs)


def half_a_model(folder):
    path = folder.parent / "half.keras"
    network().save(path)
    path.write_bytes(path.read_bytes()[:1000])
    return path


def hidden_softmax():
    model = network()
    return keras.Model(model.inputs[0], Hidden()(model.outputs[0]))


MISTAKES = {
    "sigmoid": (
        lambda folder: Classifier(network(activation="sigmoid"), OWN),
        "`model` must end in .* Received: 4 outputs, sigmoid of layer",
    ),
    "one output": (
        lambda folder: Classifier(network(classes=1), OWN),
        "`model` must end in at least two logits",
    ),
    "another size": (
        lambda folder: Classifier(network(), Preprocessing(9)),
        "`image_size` must be that of the model's input, 8 x 8. Received: .*9",
    ),
    "not square": (
        lambda folder: Classifier(network(shape=(8, 12, 3)), OWN),
        "`image_size` must be that of the model's input, 8 x 12. .*=8$",
    ),
    "lying for standing": (
        lambda folder: Classifier(
            network(shape=(8, 12, 3)), Preprocessing((12, 8))
        ),
        r"`image_size` must be .* 8 x 12. Received: image_size=\(12, 8\)$",
    ),
    "ten crops of a letterbox": (
        lambda folder: load_images(
            Classifier(network(), dataclasses.replace(OWN, resize="letterbox")),
            folder,
            ten_crop=True,
        ),
        "`ten_crop` must be False with resize='letterbox'",
    ),
    "other channels": (
        lambda folder: Classifier(network(shape=(8, 8, 1)), OWN),
        "`model` must take images of 3 channels. Received: an input",
    ),
    "other classes": (
        lambda folder: load_images(Classifier(network(5), OWN), folder),
        "`classes` must name the classes of the model's 5 .*: 4 classes in",
    ),
    "nothing to evaluate": (
        lambda folder: load_images(Classifier(network(), OWN)),
        "`data_dir` or `dataset` must be given",
    ),
    "no number": (
        lambda folder: run(Classifier(nan_network(), OWN), folder),
        "`model` must give finite numbers",
    ),
    "hidden softmax": (
        lambda folder: run(Classifier(hidden_softmax(), OWN), folder),
        "`model` must give what its last layer says, which is logits",
    ),
    "weights of a file": (
        lambda folder: load_classifier("model.keras", weights="w.h5"),
        "`weights` must be None unless `model` is the name",
    ),
    "too many images": (
        lambda folder: load_images(
            Classifier(network(10), OWN), dataset="digits", samples=1000
        ),
        "`samples` must not exceed the 359 images. Received: samples=1000",
    ),
    "half a file": (
        lambda folder: load_classifier(half_a_model(folder)),
        r"`model` must be a saved .keras model \(this file is cut off, or of",
    ),
    "a folder that is no run": (
        load_classifier,
        "the folder of a training run, .*Received: model='[^']*[^s]', a folder "
        "without last.keras$",
    ),
    "a run that is not complete": (
        lambda folder: load_classifier(run_without_an_end(folder)),
        "`model` must be the folder of a run that is complete; .*best.keras is",
    ),
    "no model": (
        lambda folder: load_classifier("nothere.keras"),
        "`model` must be a .keras file, the folder of a training run",
    ),
}


def run_without_an_end(folder):
    (folder / "run").mkdir()
    (folder / "run/best.keras").touch()
    return folder / "run"


def run(classifier, folder):
    return evaluate(classifier, load_images(classifier, folder))


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told_in_one_line(name, image_folder):
    make, expected = MISTAKES[name]
    with pytest.raises(ValueError, match=expected) as caught:
        make(image_folder)
    assert len(str(caught.value).splitlines()) == 1
    assert "Received: " in str(caught.value)


def test_images_without_a_readable_one(tmp_path):
    for name in ("k0_1.png", "k1_2.png"):
        (tmp_path / name).write_bytes(b"damaged")
    (tmp_path / "classes.txt").write_text("k0\nk1\nk2\nk3\n")
    classes = ClassNames(("k0", "k1", "k2", "k3"))
    with pytest.raises(ValueError, match="one that can be read. .*: 2 that"):
        run(Classifier(network(), OWN, classes), tmp_path)


def test_ten_crops_of_the_images_of_a_run_are_refused(digits_run):
    with pytest.raises(ValueError, match="`ten_crop` must be False for"):
        load_images(load_classifier(digits_run), ten_crop=True)
