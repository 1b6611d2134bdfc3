"""recipes/evaluate.py, predict.py and export.py on a run of train.py."""

import json
import re

import keras
import numpy as np
import pytest
from absl import flags
from PIL import Image

from keras_tricks import Recipe, evaluation
from keras_tricks.data import ClassNames, Preprocessing
from keras_tricks.data.sources.load import load_digits
from keras_tricks.export import FORMATS


@pytest.fixture
def run(tmp_path):
    """What a run on digits leaves behind, with a network that loads fast."""
    folder = tmp_path / "run"
    folder.mkdir()
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Dense(10)(keras.layers.Flatten()(inputs))
    keras.Model(inputs, outputs).save(folder / "last.keras")
    (folder / "recipe.json").write_text(Recipe().to_json())
    return folder


def test_a_run_evaluates_to_what_training_reported(run_script, tmp_path):
    run = tmp_path / "run"
    done = run_script(
        "train.py",
        "--epochs=1",
        "--warmup_epochs=0",
        "--width=2",
        "--train_samples=128",
        "--test_samples=64",
        "--verbose=0",
        f"--run_folder={run}",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    done = run_script("evaluate.py", f"--model={run}", f"--folder={tmp_path}")
    assert done.returncode == 0, done.stderr[-2000:]
    reported = json.loads((run / "result.json").read_text())
    found = json.loads((tmp_path / "evaluation.json").read_text())
    accuracy = np.float32(found["top_1"]["value"])
    assert accuracy == np.float32(reported["val_accuracy"])
    assert found["crossentropy"] == pytest.approx(
        reported["val_crossentropy"], rel=1e-5
    )
    assert found["images"] == 64 and found["unreadable"] == []
    assert found["view"] == "as in training"
    assert f"{100 * accuracy:.2f} % (" in done.stdout
    page = tmp_path / "evaluation.html"
    assert done.stdout.endswith(f"Report: {page}\n")
    assert "</html>" in page.read_text("utf-8")


def test_images_are_classified_and_bad_ones_named(run, run_script, tmp_path):
    digits = load_digits().x_test[:3, ..., 0]
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    for path, pixels in zip(paths, digits, strict=True):
        Image.fromarray(pixels).convert("RGB").save(path)
    (tmp_path / "bad.png").write_bytes(b"damaged")
    paths.insert(1, str(tmp_path / "bad.png"))
    done = run_script(
        "predict.py", f"--model={run}", "--format=json", "--top_k=4", *paths
    )
    assert done.returncode == 1
    assert done.errors[-1].startswith(f"Unreadable: {tmp_path}/bad.png: ")
    results = json.loads(done.stdout)
    assert [result["file"] for result in results] == paths
    bad = results.pop(1)
    assert "classes" not in bad and bad["error"].startswith(paths[1])
    classifier = evaluation.load_classifier(run)
    own = classifier.preprocessing
    x = own.normalize(digits[:, None, :, :, None])
    p = np.exp(classifier.log_probabilities(x)[:, 0])
    for result, row in zip(results, p, strict=True):
        rows = result["classes"]
        best = np.argsort(-row)[:4]
        assert [one["index"] for one in rows] == best.tolist()
        assert [one["name"] for one in rows] == [str(i) for i in best]
        shares = [one["probability"] for one in rows]
        np.testing.assert_allclose(shares, row[best], rtol=1e-4)


def test_an_evaluation_counts_what_it_cannot_read(run, run_script, tmp_path):
    folder = tmp_path / "digits"
    digits = load_digits()
    for label in range(10):
        inside = folder / str(label)
        inside.mkdir(parents=True)
        pixels = digits.x_test[digits.y_test == label][0, ..., 0]
        Image.fromarray(pixels).save(inside / "one.png")
    (folder / "3" / "bad.png").write_bytes(b"damaged")
    done = run_script(
        "evaluate.py",
        f"--model={run}",
        f"--data_dir={folder}",
        f"--folder={tmp_path / 'evaluation'}",
    )
    assert "unreadable         1, left out" in done.stdout
    assert any("bad.png" in line for line in done.errors)
    found = json.loads((tmp_path / "evaluation/evaluation.json").read_text())
    assert found["images"] == 10 and len(found["unreadable"]) == 1


def test_a_table_names_classes(run, run_script, tmp_path):
    path, names = tmp_path / "one.png", tmp_path / "names.txt"
    Image.fromarray(load_digits().x_test[0, ..., 0]).save(path)
    names.write_text("".join(f"the {i}\n" for i in range(10)))
    done = run_script(
        "predict.py",
        f"--model={run}/last.keras",
        f"--classes={names}",
        "--top_k=2",
        str(path),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, *rows = done.stdout.splitlines()
    assert first == str(path) and len(rows) == 2
    assert all(" %  the " in row for row in rows)


def test_a_file_is_exported_and_described(run, run_script, tmp_path):
    path = tmp_path / "new" / "digits.keras"
    done = run_script(
        "export.py", f"--model={run}", "--format=keras", f"--output={path}"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith(f"{path}: keras, ")
    described = json.loads((tmp_path / "new/digits.keras.json").read_text())
    assert described["classes"] == [str(i) for i in range(10)]
    assert described["preprocessing"]["channels"] == "L"
    assert described["outputs"] == "logits"
    assert described["verified"]["same_class"] == 16
    assert len(list(path.parent.iterdir())) == 2
    model = keras.saving.load_model(path)
    original = keras.saving.load_model(run / "last.keras")
    for ours, theirs in zip(
        model.get_weights(), original.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


IMPOSSIBLE = next(
    name
    for name, format_ in FORMATS.items()
    if keras.backend.backend() not in format_.backends
)
MISTAKES = {
    "no model": (
        "predict.py",
        ["--model=nothere.keras", "image.png"],
        "ValueError: `model` must be .* Received: model='nothere.keras'$",
    ),
    "preprocessing of a run": (
        "evaluate.py",
        ["--model=nothere", "--crop_ratio=0.5"],
        "ValueError: `data_dir` or `dataset` must .* Received: --crop_ratio$",
    ),
    "size": (
        "predict.py",
        ["--model=nothere.keras", "--image_size=8x", "image.png"],
        "ValueError: `image_size` must be an integer, or height x width as "
        "224x320. Received: --image_size=8x$",
    ),
    "format": (
        "export.py",
        ["--model=nothere.keras", f"--format={IMPOSSIBLE}"],
        f"ValueError: `format` must be .* Received: format='{IMPOSSIBLE}'$",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_the_script_with_one_line(name, run_script):
    script, arguments, expected = MISTAKES[name]
    done = run_script(script, *arguments)
    assert done.returncode == 1
    assert not done.stdout
    (line,) = done.errors
    assert re.search(expected, line)


def test_predict_lists_the_classes_above_the_threshold(load_script, tmp_path):
    predict = load_script("predict")
    path = str(tmp_path / "a.png")
    Image.new("L", (2, 2), 255).save(path)
    names = ClassNames(tuple("abcde"))
    own = Preprocessing(2, 1.0, mean=(0,), std=(255,), channels="L")
    inputs = keras.Input((2, 2, 1))
    outputs = keras.layers.Dense(5)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs)
    classifier = evaluation.Classifier(model, own, names, multi_label=True)
    kernel, bias = (w.astype("float64") for w in model.get_weights())
    p = 1 / (1 + np.exp(-(kernel.sum(0) + bias)))
    threshold = float(np.sort(p)[2] - 1e-3)
    (row,) = predict.classify(classifier, [path], 1, False, 8, threshold)
    expected = [names.names[i] for i in np.argsort(-p)[:3]]
    assert [one["name"] for one in row["classes"]] == expected
    (row,) = predict.classify(classifier, [path], 1, False, 8, 1.0)
    assert row["classes"] == []


@pytest.mark.parametrize("multi_label", [False, True])
def test_predict_refuses_a_flag_that_does_nothing(load_script, multi_label):
    predict = load_script("predict")
    used, unused = "--top_k=2", "--threshold=0.25"
    if multi_label:
        used, unused = unused, used
    for argument in (used, unused):
        values = flags.FlagValues()
        flags.DEFINE_integer("top_k", 5, "", flag_values=values)
        flags.DEFINE_float("threshold", 0.5, "", flag_values=values)
        values(["predict", argument])
        if argument == used:
            predict.check_flags(multi_label, values)
            continue
        received = argument.removeprefix("--")
        with pytest.raises(ValueError, match=f"Received: {received}$"):
            predict.check_flags(multi_label, values)
