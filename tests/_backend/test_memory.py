import keras
import numpy as np
import pytest

from keras_tricks._backend import PeakMemory, has_accelerator, memory


@pytest.mark.skipif(has_accelerator(), reason="NumPy's memory is the host's")
def test_the_peak_is_that_of_its_own_time():
    block = np.ones(100_000_000, "uint8")
    first = PeakMemory()
    del block
    np.ones(50_000_000, "uint8")
    high = first.read()
    if high is None:
        pytest.skip("this machine does not tell")
    later = PeakMemory().read()
    assert high - later > 40_000_000
    assert later > 50_000_000  # Python and a backend are there.


@pytest.mark.skipif(not has_accelerator(), reason="wants an accelerator")
def test_an_accelerator_tells_its_own():
    peak = PeakMemory()
    keras.ops.ones((1000, 1000, 100)) * 2
    found = peak.read()
    assert 400_000_000 <= found < 4_000_000_000


@pytest.mark.parametrize("grown, expected", [(0, None), (5, 105)])
def test_a_peak_that_cannot_be_reset_counts_where_it_grew(
    grown, expected, monkeypatch
):
    monkeypatch.setattr(memory, "_reset_and_read", lambda: (False, 100))
    peak = PeakMemory()
    monkeypatch.setattr(memory, "_read", lambda: 100 + grown)
    assert peak.read() == expected


def test_a_machine_that_does_not_tell_gives_nothing(monkeypatch):
    monkeypatch.setattr(memory, "_read", lambda: None)
    assert PeakMemory().read() is None
