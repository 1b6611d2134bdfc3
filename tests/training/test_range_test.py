import csv

import keras
import numpy as np
import pytest

from keras_tricks import Recipe
from keras_tricks.schedules import ExponentialRange
from keras_tricks.training import find_learning_rate
from keras_tricks.training.range_test import (
    _Record,
    smooth_losses,
    suggest_rate,
)

SMALL = Recipe(
    epochs=1,
    warmup_epochs=0,
    train_samples=256,
    batch_size=64,
    mixup_alpha=0.0,
)


def test_the_range_rises_by_equal_factors():
    schedule = ExponentialRange(1e-4, 10.0, steps=11)
    found = [float(schedule(step)) for step in range(13)]
    expected = np.geomspace(1e-4, 10.0, 11)
    np.testing.assert_allclose(found, [*expected, 10.0, 10.0], rtol=1e-5)
    config = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == schedule.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0, 9), "`low` must be"),
        ((1.0, 1.0, 9), "`high` must be"),
        ((0.1, 1.0, 1), "`steps` must be"),
    ],
)
def test_a_range_that_is_none_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ExponentialRange(*arguments)


def test_the_loss_is_averaged_as_by_adam():
    losses, mean, expected = np.float64([3, 1, 2, 5]), 0.0, []
    for step, loss in enumerate(losses, 1):
        mean = 0.9 * mean + 0.1 * loss
        expected.append(mean / (1 - 0.9**step))
    np.testing.assert_allclose(smooth_losses(losses), expected, rtol=1e-12)


def test_a_tenth_of_the_lowest_is_suggested():
    assert suggest_rate([0.1, 1.0, 10.0], [3.0, 1.0, 2.0]) == 0.1
    with pytest.raises(ValueError, match="The loss must fall"):
        suggest_rate([0.1, 1.0], [1.0, 2.0])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("parts", [1, 2])
def test_each_update_has_its_rate_and_its_loss(parts, tmp_path):
    recipe = SMALL.replace(gradient_accumulation_steps=parts)
    found = find_learning_rate(
        recipe, tmp_path, steps=20, low=1e-2, high=1.0, verbose=0
    )
    expected = np.geomspace(1e-2, 1.0, 20)[: len(found.rates)]
    np.testing.assert_allclose(found.rates, expected, rtol=1e-5)
    assert len(found.losses) == len(found.rates) >= 8
    # A batch of 64 is a quarter of 256.
    assert found.base_learning_rate == pytest.approx(4 * found.suggested)
    lowest = found.rates[found.smoothed.argmin()]
    assert found.suggested == pytest.approx(lowest / 10)
    with open(tmp_path / "learning_rate.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == list(found.losses)
    page = (tmp_path / "learning_rate.html").read_text("utf-8")
    assert f"{found.base_learning_rate:.2g}" in page


def test_the_loss_of_a_batch_comes_from_the_mean_of_the_epoch():
    record = _Record(steps=5)
    record.set_model(keras.Sequential())
    for means in ([2.0, 3.0, 2.5], [1.0, 1.5]):
        record.on_epoch_begin(0)
        for batch, mean in enumerate(means):
            assert not getattr(record.model, "stop_training", False)
            record.on_train_batch_end(batch, {"loss": mean})
    assert record.losses == [2.0, 4.0, 1.5, 1.0, 2.0]
    assert record.model.stop_training


@pytest.mark.usefixtures("small")
def test_it_ends_when_the_loss_is_lost(tmp_path):
    found = find_learning_rate(
        SMALL, tmp_path, steps=30, low=1e-3, high=1e6, verbose=0
    )
    assert len(found.rates) < 30 and found.suggested < 100
