"""Figures of images of several classes, against scikit-learn."""

import json

import keras
import numpy as np
import pytest
from sklearn import metrics

from keras_tricks.data import ClassNames, Preprocessing
from keras_tricks.evaluation import (
    Classifier,
    LabeledImages,
    MultiLabelEvaluation,
    evaluate,
)
from keras_tricks.evaluation.images import _labels_of

RNG = np.random.default_rng(0)
NAMES = ClassNames(tuple(f"class {i}" for i in range(5)))


def evaluation(count=60, **changes):
    """Made-up probabilities of five classes, of which the last has no image."""
    labels = RNG.random((count, 5)) < (0.6, 0.3, 0.1, 0.3, 0.0)
    z = RNG.normal(size=(count, 5)) + 1.5 * labels - 1
    values = {
        "indices": np.arange(count),
        "labels": labels.astype("uint8"),
        "probabilities": (1 / (1 + np.exp(-z))).round(2),
        "names": tuple(f"{i}.png" for i in range(count)),
        "classes": NAMES,
        "num_classes": 5,
    }
    return MultiLabelEvaluation(**(values | changes))


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_figures_are_those_of_scikit_learn(threshold):
    result = evaluation(threshold=threshold)
    y, p = result.labels, result.probabilities
    score = metrics.average_precision_score
    assert result.mean_average_precision == pytest.approx(
        score(y[:, :4], p[:, :4], average="macro"), rel=1e-12
    )
    assert result.micro_average_precision == pytest.approx(
        score(y, p, average="micro"), rel=1e-12
    )
    said = p >= threshold
    assert result.macro_f1 == pytest.approx(
        metrics.f1_score(y[:, :4], said[:, :4], average="macro"), rel=1e-12
    )
    assert result.micro_f1 == pytest.approx(
        metrics.f1_score(y, said, average="micro"), rel=1e-12
    )
    rows = result.per_class()
    assert [row.index for row in result.per_class()] == sorted(
        range(4), key=lambda k: score(y[:, k], p[:, k])
    )
    for row in rows:
        k = row.index
        expected = metrics.precision_recall_fscore_support(
            y[:, k], said[:, k], average="binary"
        )
        found = (row.precision, row.recall, row.f1)
        assert found == pytest.approx(expected[:3], rel=1e-12)
        assert row.images == y[:, k].sum()
        precision, recall = result.curve(k)
        theirs = metrics.precision_recall_curve(y[:, k], p[:, k])
        np.testing.assert_allclose(precision, theirs[0][-2::-1], rtol=1e-12)
        np.testing.assert_allclose(recall, theirs[1][-2::-1], rtol=1e-12)
    assert result.empty_classes == [4]
    expected = np.mean([metrics.log_loss(y[:, k], p[:, k]) for k in range(4)])
    part = evaluation(labels=y[:, :4], probabilities=p[:, :4], num_classes=4)
    assert part.crossentropy == pytest.approx(expected, rel=1e-9)


def test_json_and_what_nobody_says():
    never = evaluation(probabilities=np.zeros((60, 5)))
    content = json.loads(json.dumps(never.to_dict(), allow_nan=False))
    assert content["without_images"] == ["class 4"]
    assert content["micro_f1"] == content["macro_f1"] == 0
    assert {row["precision"] for row in content["per_class"]} == {None}
    nothing = evaluation(labels=np.zeros((60, 5), "uint8"))
    content = json.loads(json.dumps(nothing.to_dict(), allow_nan=False))
    assert content["mean_average_precision"] is None


def network(activation=None):
    inputs = keras.Input((2, 2, 1))
    flat = keras.layers.Flatten()(inputs)
    outputs = keras.layers.Dense(5, activation=activation)(flat)
    model = keras.Model(inputs, outputs)
    model.set_weights([RNG.normal(size=w.shape) for w in model.get_weights()])
    return model


def images_of(labels, names=None):
    count = len(labels)
    own = Preprocessing(2, mean=(0,), std=(255,), channels="L")
    pixels = RNG.integers(0, 256, (count, 2, 2, 1), "uint8")
    crops = np.stack([pixels, 255 - pixels], 1)
    return LabeledImages(
        pixels,
        labels,
        names or tuple(map(str, range(count))),
        lambda image: np.stack([image, 255 - image]),
        own.normalize,
    ), crops


def test_crops_are_averaged_after_the_sigmoid():
    labels = (RNG.random((7, 5)) < 0.4).astype("int32")
    labels[2] = -1  # It could not be read, so nobody looks at it.
    images, crops = images_of(labels)
    broken = list(images.images)

    class Images(list):
        def __getitem__(self, index):
            if index == 2:
                raise ValueError("2: damaged")
            return super().__getitem__(index)

    images = LabeledImages(
        Images(broken),
        labels,
        images.names,
        images.transform,
        images.normalize,
    )
    model = network()
    result = evaluate(Classifier(model), images, batch_size=4)
    assert result.bad == ("2: damaged",) and len(result) == 6
    kernel, bias = (w.astype("float64") for w in model.get_weights())
    z = (crops / 255).reshape(7, 2, -1) @ kernel + bias
    expected = (1 / (1 + np.exp(-z))).mean(1)
    kept = [0, 1, 3, 4, 5, 6]
    np.testing.assert_allclose(result.probabilities, expected[kept], atol=1e-5)
    assert result.labels.tolist() == labels[kept].tolist()


def test_a_softmax_is_refused():
    images, _ = images_of(np.ones((3, 5), int))
    with pytest.raises(ValueError, match="`model` must end in logits.*softmax"):
        evaluate(Classifier(network("softmax")), images)
    with pytest.raises(ValueError, match="`model` must end in logits.*softmax"):
        Classifier(network("softmax"), multi_label=True)
    images, _ = images_of(np.ones((3, 4), int))
    with pytest.raises(ValueError, match="a column for each of 5 classes"):
        evaluate(Classifier(network()), images)


def test_columns_follow_the_names_of_the_classes():
    rows = np.array([[1, 0, 1], [-1, -1, -1], [0, 1, 0]])
    theirs, own = ClassNames(tuple("cab")), ClassNames(tuple("abc"))
    labels, classes = _labels_of(own, rows, theirs)
    assert classes is own
    assert labels.tolist() == [[0, 1, 1], [-1, -1, -1], [1, 0, 0]]
