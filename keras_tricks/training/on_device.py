"""The end of the input pipeline, inside the training step."""

from typing import Any

import keras
from keras import ops

from keras_tricks import _backend
from keras_tricks._checks import check_choice
from keras_tricks._keras_version import check_keras_version
from keras_tricks.data.transforms.preprocessing import Preprocessing
from keras_tricks.layers.mix_up import mix


class DeviceFinish:
    """Normalizes and mixes a batch on the device that trains.

    What `keras_tricks.data.ImageBatches` does on the host, of batches that it
    gives with `finish_on="device"`:

        x_i = (pixel_i - mean) / std
        x_i = lam_i x_i + (1 - lam_i) x_partner(i), and the same for labels

    The weights and the pairs are drawn on the host and come with the batch,
    so the numbers are the same up to rounding in float32.

    Args:
        preprocessing: The normalization.
        num_classes: Number of classes K, for mixed labels; `None` if nothing
            is mixed.
        data_format: Layout that the network takes. Defaults to
            `"channels_last"`.

    Call arguments:
        data: `({"images", "lam", "partner"}, labels)`: uint8 or float32
            `(B, H, W, C)`, float32 `(B,)`, int32 `(B,)`; integers `(B,)`, or
            of several classes float32 `(B, K)`.
        mixes: Whether to mix. Defaults to `True`.

    Returns:
        `(x, y)`, tensors: float32 images; labels float32 `(B, K)` if they
        are mixed, otherwise as they were.

    Example:
    >>> finish = DeviceFinish(Preprocessing(8), num_classes=3)
    >>> draw = {"lam": np.ones(2, "float32"), "partner": np.array([1, 0])}
    >>> images = np.zeros((2, 8, 8, 3), "uint8")
    >>> x, y = finish(({"images": images, **draw}, np.array([0, 2])))
    >>> tuple(x.shape), tuple(y.shape)
    ((2, 8, 8, 3), (2, 3))
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        num_classes: int | None = None,
        data_format: str = "channels_last",
    ):
        self.preprocessing = preprocessing
        self.num_classes = num_classes
        self.data_format = check_choice(
            "data_format", data_format, ("channels_last", "channels_first")
        )

    def __call__(self, data: Any, mixes: bool = True) -> Any:
        batch, labels = data
        x = self.preprocessing.normalize(batch["images"])
        if self.data_format == "channels_first":
            x = ops.transpose(x, (0, 3, 1, 2))
        if self.num_classes is None or not mixes:
            return x, labels
        y = labels
        if len(labels.shape) == 1:
            y = ops.one_hot(labels, self.num_classes, dtype="float32")
        lam, partner = batch["lam"], batch["partner"]
        return mix(x, partner, lam), mix(y, partner, lam)


def finish_on_device(
    model: keras.Model, finish: DeviceFinish, first_batch: Any
) -> None:
    """Let the steps of `fit` and `evaluate` finish their batches.

    `predict` and what is saved remain those of the model, which takes
    finished images.

    Args:
        model: A compiled and built model.
        finish: Called at the beginning of each step, inside of what is
            compiled.
        first_batch: A batch, from which Keras learns shapes.

    Example:
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)), keras.layers.Flatten(),
    ...     keras.layers.Dense(3),
    ... ])
    >>> model.compile("sgd", keras.losses.CategoricalCrossentropy(True))
    >>> draw = {"lam": np.ones(2, "float32"), "partner": np.array([1, 0])}
    >>> images = np.zeros((2, 8, 8, 3), "uint8")
    >>> batch = {"images": images, **draw}, np.array([0, 2])
    >>> finish = DeviceFinish(Preprocessing(8), num_classes=3)
    >>> finish_on_device(model, finish, batch)
    >>> history = model.fit(*batch, verbose=0)
    """
    check_keras_version()
    _backend.build_steps(model, finish(first_batch))
    if "train_step" in vars(model):  # It was compiled anew.
        return
    train_step, test_step = model.train_step, model.test_step

    def finished_train_step(*args):
        *state, data = args
        return train_step(*state, finish(_pair(data)))

    def finished_test_step(*args):
        *state, data = args
        return test_step(*state, finish(_pair(data), mixes=False))

    model.train_step = finished_train_step
    model.test_step = finished_test_step


def _pair(data):
    """Return images and labels; sample weights would not fit mixed pairs."""
    x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
    if weights is not None:
        raise ValueError(
            "`sample_weight` must be None where the device finishes batches. "
            f"Received: sample_weight={weights}"
        )
    return x, y
