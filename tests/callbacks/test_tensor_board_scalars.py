import sys

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

from keras_tricks.callbacks import TensorBoardScalars


def read(folder):
    """Returns the (step, value) pairs of each name, by step.

    Files of one second are read in the order of their names, in which the
    tenth comes before the ninth.
    """
    events = EventAccumulator(str(folder)).Reload()
    names = events.Tags()["tensors"]
    return {
        name: sorted(
            (event.step, float(event.tensor_proto.float_val[0]))
            for event in events.Tensors(name)
        )
        for name in names
    }


def test_events_hold_the_steps_and_values_of_the_logs(tmp_path):
    callback = TensorBoardScalars(tmp_path)
    values = np.float32([2.5, 0.1, 1e-7, 3e8])
    for epoch, value in enumerate(values):
        logs = {"loss": value, "rate": 0.5, "val_loss": float(value) / 2}
        callback.on_epoch_end(epoch, logs)
    callback.on_train_end()
    train, validation = (read(tmp_path / n) for n in ("train", "validation"))
    assert train == {
        "loss": list(enumerate(values)),
        "rate": [(epoch, 0.5) for epoch in range(4)],
    }
    assert validation == {"loss": list(enumerate(values / 2))}


def test_events_can_be_read_while_training_goes_on(tmp_path):
    callback = TensorBoardScalars(tmp_path)
    callback.on_epoch_end(0, {"loss": 2.0})
    assert read(tmp_path / "train") == {"loss": [(0, 2.0)]}
    callback.on_train_end()


def test_a_run_that_continues_adds_to_the_events(tmp_path):
    for epoch in (0, 1):
        callback = TensorBoardScalars(tmp_path)
        callback.on_epoch_end(epoch, {"loss": 2.0 - epoch})
        callback.on_train_end()
    assert read(tmp_path / "train") == {"loss": [(0, 2.0), (1, 1.0)]}


def test_fit_writes_what_its_history_holds(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
    history = model.fit(
        x,
        y,
        epochs=3,
        validation_data=(x, y / 2),
        verbose=0,
        callbacks=[TensorBoardScalars(tmp_path)],
    ).history
    for run, name in (("train", "loss"), ("validation", "val_loss")):
        expected = list(enumerate(np.float32(history[name])))
        assert read(tmp_path / run) == {"loss": expected}


def test_no_validation_gives_no_validation_run(tmp_path):
    callback = TensorBoardScalars(tmp_path)
    callback.on_epoch_end(0, {"loss": 2.0})
    callback.on_train_end()
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_a_missing_package_is_told_by_its_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    message = r'pip install "keras_tricks\[report\]"`. Received: .*tensorboard'
    with pytest.raises(ImportError, match=message):
        TensorBoardScalars(tmp_path)
