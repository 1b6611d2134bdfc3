import json

import pytest

from keras_tricks import Recipe
from keras_tricks.ablation import search, searchable
from keras_tricks.ablation.search import _Report

pytest.importorskip("optuna", reason="optuna is not installed")
BASE = Recipe(epochs=2, warmup_epochs=0.5, width=2, train_samples=160)
FIELDS = ["base_learning_rate", "label_smoothing"]


def find(folder, trials, **options):
    said = []
    options = {"fields": FIELDS, **options}
    recipe = search(
        BASE, folder=folder, trials=trials, say=said.append, **options
    )
    return recipe, said


def test_every_range_is_one_of_its_field():
    for name, (low, high, log) in searchable().items():
        others = {"augmentation": "crop"}
        for value in (low, high):
            assert getattr(Recipe(**others, **{name: value}), name) == value
        assert low > 0 or not log


def test_a_search_goes_on_and_recommends(tmp_path):
    find(tmp_path, 1)
    recipe, said = find(tmp_path, 3)
    assert said[0].startswith("[2/3] base_learning_rate=")
    assert len([line for line in said if "/3]" in line]) == 2
    trials = [path.parent for path in tmp_path.glob("trial*/result.json")]
    values = {
        Recipe.load(trial / "recipe.json"): json.loads(
            (trial / "result.json").read_text()
        )["val_accuracy"]
        for trial in trials
    }
    highest = [r for r, v in values.items() if v == max(values.values())]
    (best,) = [
        other
        for other in highest
        if other.base_learning_rate == recipe.base_learning_rate
    ]
    assert best.validation_share == 0.2 and recipe.validation_share == 0.0
    assert Recipe.recommend(tmp_path) == recipe
    assert recipe.seed == BASE.seed
    with pytest.raises(ValueError, match="of the same search"):
        find(tmp_path, 4, metric="val_crossentropy")


def test_a_trial_below_the_others_is_stopped():
    optuna = pytest.importorskip("optuna")
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=1))
    report = _Report(study.ask(), "val_loss", optuna)
    report.on_epoch_end(0, {"val_loss": 0.5})
    with pytest.raises(optuna.TrialPruned):
        report.on_epoch_end(1, {"val_loss": 2.0})
    with pytest.raises(ValueError, match="`metric` must be among those"):
        report.on_epoch_end(2, {"val_accuracy": 0.5})


def test_mistakes(tmp_path):
    with pytest.raises(ValueError, match="`search_fields` must be of"):
        find(tmp_path, 1, fields=["epochs"])
