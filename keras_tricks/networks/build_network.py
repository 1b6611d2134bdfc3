"""From the name of a network of others to a model that can be trained."""

import contextlib

import keras

from keras_tricks._types import Activation, DType
from keras_tricks.networks.adapt import adapt
from keras_tricks.networks.names import split_name
from keras_tricks.networks.sources import SOURCES


def build_network(
    name: str,
    image_shape: tuple[int | None, int | None, int],
    num_classes: int | None,
    *,
    activation: Activation = "relu",
    zero_gamma: bool = False,
    dropout: float | None = None,
    drop_path: float = 0.0,
    frozen_norm: bool = False,
    weights: str | None = None,
    skip_head: bool = False,
    data_format: str = "channels_last",
    dtype: DType = None,
) -> keras.Model:
    """Build a network that is not ours, fitted to data and to a recipe.

    | name | what it is |
    |---|---|
    | `applications/NAME` | a classifier of `keras.applications` |
    | `hub/PRESET` | an image classifier of KerasHub, with its weights |
    | `FILE.keras` | a saved model, with its weights |
    | `MODULE:FUNCTION` | what your function returns; it is called with the keyword arguments `input_shape` and `num_classes` |

    A module is looked for as Python does, and in the current folder; its code
    is run, so it must be one that you trust.

    The model ends in `num_classes` logits, float32: by
    `keras_tricks.surgery.change_head` a softmax goes, and a head of another
    size starts anew. Batch norms are swapped for fused ones. The other options
    are done by surgery too, and refused where they do nothing.

    Args:
        name: As above.
        image_shape: Height, width and channels, whatever the data format; the
            sides may be `None`.
        num_classes: Number of logits K; `None` for as many as its weights
            have. The sides may be `None` then although it has a size.
        activation: In place of every ReLU. Defaults to `"relu"`, all
            activations as they are.
        zero_gamma: Whether residual branches that end in a norm start silent,
            if the weights are random. Nothing is done where there are none.
        dropout: Rate in front of the head; `None` for the network's own.
        drop_path: Stochastic depth, see `keras_tricks.surgery.add_drop_path`.
        frozen_norm: Whether batch norms keep what they are.
        weights: For `applications/`: `"imagenet"`, which downloads them, or a
            file. The others bring their own. Defaults to `None`.
        skip_head: Whether the head starts anew although it would fit.
        data_format: That of the images. Defaults to `"channels_last"`.
        dtype: A dtype policy; `None` for the global one.

    Returns:
        A functional model with float32 outputs `(B, K)`, not compiled. Its
        `preprocessing` is what its weights expect of images, or `None` if
        nothing tells; `network_report` is a `NetworkReport`.

    Raises:
        ValueError: If there is no such network, it does not fit the images or
            the classes, or an option cannot be done.
        ImportError: If KerasHub is needed and missing.
        RuntimeError: If a download fails.

    Example:
    >>> model = build_network(
    ...     "applications/MobileNetV3Small", (32, 32, 3), 5, zero_gamma=True
    ... )
    >>> model.output_shape, model.preprocessing.mean
    ((None, 5), (0.0, 0.0, 0.0))
    >>> print(model.network_report.lines[-1])
    images: pixels 0 ... 255, the network normalizes them

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 6
    """  # noqa: E501
    kind, rest = split_name(name, families=())
    if weights is not None and kind != "applications":
        raise ValueError(
            f"`weights` must be None for {name}, which brings its own. "
            f"Received: weights={weights!r}"
        )
    options = {
        "activation": activation,
        "zero_gamma": zero_gamma,
        "dropout": dropout,
        "drop_path": drop_path,
        "frozen_norm": frozen_norm,
        "skip_head": skip_head,
        "data_format": data_format,
        "dtype": dtype,
    }
    if not isinstance(image_shape, (tuple, list)) or len(image_shape) != 3:
        raise ValueError(
            "`image_shape` must be height, width and channels. "
            f"Received: image_shape={image_shape!r}"
        )
    shape = image_shape
    if data_format == "channels_first":
        shape = (image_shape[2], *image_shape[:2])
    with _settings(data_format, dtype):
        found = SOURCES[kind](rest, shape, num_classes, weights, skip_head)
        return adapt(found, name, image_shape, num_classes, options)


@contextlib.contextmanager
def _settings(data_format, dtype):
    """Build with the settings that networks of others ask Keras for."""
    old = keras.config.image_data_format(), keras.config.dtype_policy()
    keras.config.set_image_data_format(data_format)
    if dtype is not None:
        keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_image_data_format(old[0])
        keras.config.set_dtype_policy(old[1])
