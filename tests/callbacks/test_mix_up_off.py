import keras
import numpy as np
import pytest

from keras_tricks.callbacks import MixUpOff, SetEpoch


class Mixer:
    """The part of a mixing layer that the callbacks touch."""

    def __init__(self):
        self.off_from_epoch = None
        self.epoch = 0
        self.seen = []

    def set_epoch(self, epoch):
        self.epoch = epoch
        self.seen.append(epoch < self.off_from_epoch)


class Data(keras.utils.PyDataset):
    """Batches that are a function of (epoch, step)."""

    def __init__(self):
        super().__init__()
        self.epoch = 0
        self.seen = []

    def __len__(self):
        return 3

    def __getitem__(self, step):
        self.seen.append((self.epoch, step))
        rng = np.random.default_rng((7, self.epoch, step))
        return rng.normal(size=(4, 3)), rng.normal(size=(4, 1))

    def set_epoch(self, epoch):
        self.epoch = epoch


def fit(callbacks, data=None, **kwargs):
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    data = Data() if data is None else data
    model.fit(data, verbose=0, shuffle=False, callbacks=callbacks, **kwargs)
    return model


@pytest.mark.parametrize("last, on", [(0, 4), (1, 3), (4, 0)])
def test_off_for_the_last_epochs(last, on):
    layers = [Mixer(), Mixer()]
    fit([MixUpOff(layers, last)], epochs=4)
    for layer in layers:
        assert layer.off_from_epoch == on
        assert layer.seen == [True] * on + [False] * last


def test_training_in_pieces():
    layer = Mixer()
    fit([MixUpOff(layer, 2, total_epochs=10)], epochs=4)
    assert layer.off_from_epoch == 8
    assert layer.seen == [True] * 4


def test_last_epochs_beyond_the_run():
    layer = Mixer()
    with pytest.raises(ValueError, match="4. Received: last_epochs=5"):
        fit([MixUpOff(layer, 5)], epochs=4)
    with pytest.raises(ValueError, match="4. Received: last_epochs=5"):
        MixUpOff(layer, 5, total_epochs=4)


@pytest.mark.parametrize("last", [-1, 1.5, "2"])
def test_bad_last_epochs(last):
    with pytest.raises(ValueError, match="`last_epochs` must be an integer"):
        MixUpOff(Mixer(), last)


def test_not_a_mixer():
    with pytest.raises(ValueError, match="Received: mix_up=3"):
        MixUpOff(3, 1)


def test_set_epoch_makes_a_later_start_repeat_the_run():
    data = Data()
    whole = fit([SetEpoch(data)], data, epochs=3)
    begun = Data()
    model = fit([SetEpoch(begun)], begun, epochs=2)
    model.fit(
        begun,
        epochs=3,
        initial_epoch=2,
        verbose=0,
        shuffle=False,
        callbacks=[SetEpoch(begun)],
    )
    for a, b in zip(whole.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert {epoch for epoch, _ in data.seen} == {0, 1, 2}


def test_bad_targets():
    with pytest.raises(ValueError, match=r"Received: targets=\(\)"):
        SetEpoch()
    with pytest.raises(ValueError, match="Received: targets='data'"):
        SetEpoch("data")
