"""What worker processes of Grain are told."""

import pickle

import numpy as np
import pytest

pytest.importorskip("grain")
from keras_tricks.data.pipeline.engines import grain_data  # noqa: E402


class Told(Exception):
    pass


def tell():
    raise Told


@pytest.mark.parametrize("worker", [False, True])
def test_a_worker_is_to_end_with_its_parent(worker, monkeypatch):
    monkeypatch.setattr(grain_data, "is_worker", lambda: worker)
    told = []
    monkeypatch.setattr(grain_data, "end_with_parent", lambda: told.append(1))
    load = pickle.loads(pickle.dumps(grain_data._Load("loader", 3)))
    assert (load.loader, load.epoch) == ("loader", 3)
    assert len(told) == worker


def test_workers_are_started_deaf_to_signals(monkeypatch):
    monkeypatch.setattr(grain_data, "start_workers_here", tell)
    batches = grain_data.Engine(None, workers=1).batches(0, np.arange(4), 2)
    with pytest.raises(Told):
        next(batches)
