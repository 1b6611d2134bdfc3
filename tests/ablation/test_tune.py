import json

import pytest

from keras_tricks import Recipe, training
from keras_tricks.ablation import tune
from keras_tricks.ablation.sweep import TUNING_SEED

BASE = Recipe.preset("baseline", epochs=16, batch_size=64, step_epochs=(8, 12))


@pytest.fixture
def trials(monkeypatch):
    """Trainings that only write what their rate comes to."""
    done = []

    def train(recipe, folder, verbose):
        done.append(recipe)
        folder.mkdir(parents=True)
        (folder / "recipe.json").write_text(recipe.to_json())
        rate = recipe.base_learning_rate
        if rate > 0.3:
            raise FloatingPointError("The loss is NaN")
        # The best is 0.2, and of the same accuracy the lower entropy wins.
        accuracy = 0.9 if rate >= 0.1 else 0.5 + rate
        entropy = abs(rate - 0.2) / recipe.epochs
        (folder / "history.csv").write_text(
            f"epoch,val_accuracy,val_crossentropy\n0,{accuracy!r},{entropy!r}\n"
        )
        (folder / "result.json").write_text(json.dumps({}))

    monkeypatch.setattr(training, "train", train)
    return done


def test_the_better_half_goes_on(trials, tmp_path):
    said = []
    found = tune(BASE, "baseline", tmp_path, say=said.append)
    assert found.base_learning_rate == 0.2
    rates = [[rate for rate, _ in round_] for round_ in found.trials]
    assert rates == [[0.025, 0.05, 0.1, 0.2, 0.4], [0.2, 0.1]]
    assert found.trials[0][-1] == (0.4, None)
    assert [recipe.epochs for recipe in trials] == [4] * 5 + [8] * 2
    assert said[0] == "tuning baseline: rate 0.025, 4 epochs"
    assert "base_learning_rate=0.2, the best of 0.025" in found.said
    assert "edge" not in found.said


def test_no_reported_image_or_seed_is_seen(trials, tmp_path):
    tune(BASE, "baseline", tmp_path, say=lambda line: None)
    assert {recipe.validation_share for recipe in trials} == {0.2}
    assert {recipe.seed for recipe in trials} == {TUNING_SEED}
    # The schedule is that of the whole run, squeezed.
    assert trials[0].step_epochs == (2, 3) and trials[-1].step_epochs == (4, 6)
    with pytest.raises(ValueError, match="`validation_share` must be 0"):
        tune(BASE.replace(validation_share=0.1), "baseline", tmp_path)


def test_finished_trials_are_kept(trials, tmp_path):
    first = tune(BASE, "baseline", tmp_path, say=lambda line: None)
    count = len(trials)
    assert tune(BASE, "baseline", tmp_path) == first
    assert len(trials) == count
    with pytest.raises(ValueError, match="width is 16 and not 8"):
        tune(BASE.replace(width=8), "baseline", tmp_path)


def test_an_edge_is_looked_beyond(trials, tmp_path):
    found = tune(BASE, "a", tmp_path, (0.25, 0.5, 1.0), lambda line: None)
    assert [rate for rate, _ in found.trials[0]] == [0.025, 0.05, 0.1, 0.2, 0.4]
    assert found.base_learning_rate == 0.2
    assert "edge" not in found.said
    far = tune(BASE, "b", tmp_path, (0.01, 0.02), lambda line: None)
    assert len(far.trials[0]) == 5
    assert far.base_learning_rate == 0.016
    assert "at the edge of the range" in far.said


def test_all_may_fail(trials, tmp_path):
    found = tune(BASE, "a", tmp_path, (4.0, 8.0), lambda line: None)
    assert found.base_learning_rate == BASE.base_learning_rate
    assert "no rate survived" in found.said


def test_what_is_held_out_is_of_the_training_images():
    from keras_tricks.training import load_data

    whole = load_data(Recipe())
    held = load_data(Recipe(validation_share=0.25))
    other = load_data(Recipe(validation_share=0.25, split_seed=1))
    size = len(whole.x_train)
    assert len(held.x_train) + len(held.x_test) == size
    assert abs(len(held.x_test) / size - 0.25) < 0.01
    training_images = {image.tobytes() for image in whole.x_train}
    assert {image.tobytes() for image in held.x_test} <= training_images
    assert (held.y_test != other.y_test).any() or (
        held.x_test != other.x_test
    ).any()
    streamed = load_data(
        Recipe(
            validation_share=0.25,
            augmentation="none",
            input_engine="grain",
            image_size=8,
        )
    )
    assert len(streamed.test) == len(held.x_test)
    assert streamed.test.labels.tolist() == held.y_test.tolist()
    with pytest.raises(ValueError, match="`split_seed` must be 0"):
        Recipe(split_seed=1)
