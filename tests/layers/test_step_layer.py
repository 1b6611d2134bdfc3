"""Who tells a mixing layer the epoch and the step, and what if nobody does."""

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from keras_tricks.callbacks import SetEpoch
from keras_tricks.layers import CutMix, MixUp, MixUpOrCutMix

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3)).astype("uint8")
LABELS = np.arange(4)


def make(kind=MixUp):
    if kind is MixUpOrCutMix:
        return MixUpOrCutMix(make(), make(CutMix))
    return kind(alpha=1.0, num_classes=4)


def target(pair):
    """The mixed labels, which are others for each draw."""
    return tuple(np.asarray(pair[1]).ravel().tolist())


def record(layer):
    """Let a layer note the epochs and steps that it draws for."""
    drawn, draw = [], layer.draw

    def noted(batch_size, epoch, step):
        drawn.append((epoch, step))
        return draw(batch_size, epoch, step)

    layer.draw = noted
    return drawn


def fit(data, epochs, callbacks):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)])
    model.compile("sgd", "mse")
    model.fit(
        data, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks
    )


def pipeline(tf, layer):
    data = tf.data.Dataset.from_tensors((IMAGES, LABELS)).repeat(3)
    return data.enumerate().map(
        lambda step, batch: layer(*batch, step=step), num_parallel_calls=2
    )


def test_every_step_of_fit_on_tf_data_is_drawn_anew():
    tf = pytest.importorskip("tensorflow")
    layer = make()
    drawn = record(layer)
    fit(pipeline(tf, layer), 2, [SetEpoch(layer)])
    # Keras may have a look at the first batches before.
    assert set(drawn[-6:]) == {(e, s) for e in range(2) for s in range(3)}


@pytest.mark.parametrize("kind", [MixUp, MixUpOrCutMix])
def test_an_epoch_that_nobody_tells_is_noticed_once(kind):
    tf = pytest.importorskip("tensorflow")
    layer = make(kind)
    data = pipeline(tf, layer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = [target(pair) for pair in data.as_numpy_iterator()]
    with pytest.warns(UserWarning, match="SetEpoch.*or `epoch`") as noticed:
        for _ in range(2):
            again = [target(pair) for pair in data.as_numpy_iterator()]
    assert again == first and len(noticed) == 1


def test_what_is_told_or_given_is_not_noticed():
    layer = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            layer(IMAGES, LABELS, epoch=0, step=0)
            layer(IMAGES, LABELS)
        for epoch in range(2):
            layer.set_epoch(epoch)
            layer(IMAGES, LABELS, step=0)


def test_threads_count_no_step_twice():
    layer = make()
    drawn = record(layer)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: layer(IMAGES, LABELS), range(200)))
    assert sorted(drawn) == [(0, step) for step in range(200)]


class Samples:
    """A data set of three batches of four, of the same images."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return IMAGES[index % 4], LABELS[index % 4]


def load(layer, tells, **options):
    """The labels that a DataLoader gives in two epochs."""
    data = pytest.importorskip("torch.utils.data")
    loader = data.DataLoader(
        Samples(),
        4,
        collate_fn=lambda batch: layer(*data.default_collate(batch)),
        **options,
    )
    targets = []
    for epoch in range(2):
        if tells:
            layer.set_epoch(epoch)
        targets += [target(pair) for pair in loader]
    return targets


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # Of JAX.
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_of_a_data_loader(persistent):
    alone = load(make(), True)
    layer = make()
    expected = [
        target(layer(IMAGES, LABELS, epoch, step))
        for epoch in range(2)
        for step in range(3)
    ]
    np.testing.assert_allclose(alone, expected, atol=1e-6)
    options = {"num_workers": 2, "persistent_workers": persistent}
    assert load(make(), True, **options) == alone
    assert len(set(load(make(), False, **options))) == 6


def test_a_copy_in_another_process_does_not_count():
    copy = pickle.loads(pickle.dumps(make()))
    copy._process = -1  # As if it had come from there.
    copy(IMAGES, LABELS, step=0)
    with pytest.raises(ValueError, match="`step` must be given .*step=None$"):
        copy(IMAGES, LABELS)


def test_a_process_that_is_spawned_shares_the_epoch(monkeypatch):
    layer = make()
    copied = pickle.loads(pickle.dumps(layer))
    spawning = "multiprocessing.context.get_spawning_popen"
    monkeypatch.setattr(spawning, lambda: "a process")
    restore, state = layer.__reduce__()
    shared = restore(*state)
    layer.set_epoch(5)
    assert (shared.epoch, copied.epoch) == (5, 0)


@pytest.mark.parametrize("kind", [MixUp, CutMix])
@pytest.mark.parametrize("per", ["batch", "sample"])
def test_tensors_of_torch_stay_so(kind, per):
    torch = pytest.importorskip("torch")
    layer = kind(per=per, num_classes=4)
    images, labels = torch.from_numpy(IMAGES), torch.from_numpy(LABELS)
    pair = layer(images, labels, 0, 0)
    for ours, theirs in zip(pair, layer(IMAGES, LABELS, 0, 0), strict=True):
        assert isinstance(ours, torch.Tensor) and ours.dtype == torch.float32
        np.testing.assert_allclose(ours.cpu(), theirs, rtol=1e-6, atol=1e-4)


def test_the_global_seed_changes_nothing():
    drawn = []
    for seed in range(2):
        keras.utils.set_random_seed(seed)
        drawn.append(target(make()(IMAGES, LABELS)))
    assert drawn[0] == drawn[1]


SEVERAL = "must be one array; of several, mix each by what `MixUp.draw`"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (({"b": IMAGES, "a": IMAGES}, LABELS), rf"{SEVERAL}.*\['a', 'b'\]"),
        (((IMAGES, IMAGES), LABELS), f"`images` {SEVERAL}.*a tuple"),
        ((IMAGES, {"y": LABELS}), f"`labels` {SEVERAL}.*a dict with"),
        ((IMAGES, LABELS, np.ones(4)), r"sample weights .*shape \(4,\)"),
    ],
)
def test_what_cannot_be_mixed_is_refused(call, message):
    with pytest.raises(ValueError, match=message) as error:
        make()(*call)
    assert "\n" not in str(error.value)


def test_labels_of_unknown_shape_are_refused():
    tf = pytest.importorskip("tensorflow")
    layer = make()

    def mixed(shape):
        spec = tf.TensorSpec(shape, "int64")
        data = tf.data.Dataset.from_generator(
            lambda: iter([LABELS[:, None]]), output_signature=spec
        )
        return data.map(
            lambda labels: layer(tf.constant(IMAGES), labels, step=0)
        )

    with pytest.raises(ValueError, match="a known rank, .*`tf.ensure_shape`"):
        mixed(None)
    with pytest.raises(ValueError, match="number of columns .*ensure_shape"):
        mixed((None, None))
    ((_, y),) = mixed((None, 1))
    assert y.shape == (4, 4)
