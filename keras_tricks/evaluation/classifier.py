"""A trained network together with what it needs to classify an image."""

import dataclasses

import keras
import numpy as np

from keras_tricks._image_size import sides_of
from keras_tricks._model_facts.image_input import data_formats
from keras_tricks._model_facts.last_activation import last_activation
from keras_tricks.data import Preprocessing
from keras_tricks.data.sources.class_names import ClassNames
from keras_tricks.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained network, the preprocessing of its images, and its classes.

    `load_classifier` makes one from files.

    Args:
        model: A Keras model of images that ends in logits or in a softmax.
        preprocessing: What its images go through; `None` if unknown.
        classes: Its classes; `None` if unknown.
        recipe: The recipe of the training run that the model comes from.
        source: Where it comes from, for reports.
        multi_label: Whether an image may be of several classes, each of which
            has a logit of its own. Defaults to `False`.

    Raises:
        ValueError: If the model does not take images of the channels of
            `preprocessing`, ends in another activation, or does not have
            the number of `classes`.

    Example:
    >>> from keras_tricks import models
    >>> from keras_tricks.data import Preprocessing
    >>> model = models.ResNet18D(
    ...     num_classes=10, width=4, input_shape=(32, 32, 3)
    ... )
    >>> classifier = Classifier(model, Preprocessing(32))
    >>> classifier.num_classes, classifier.gives_probabilities
    (10, False)
    """

    model: keras.Model
    preprocessing: Preprocessing | None = None
    classes: ClassNames | None = None
    recipe: Recipe | None = None
    source: str = "model"
    multi_label: bool = False

    def __post_init__(self):
        shape = getattr(self.model, "output_shape", None)
        if not isinstance(shape, tuple) or len(shape) != 2 or None in shape[1:]:
            raise ValueError(
                "`model` must have one output of shape (B, K). "
                f"Received: {self.model.name!r} with {shape}"
            )
        found = last_activation(self.model)
        if shape[1] < 2 or (found is not None and found[1] != "softmax"):
            end = "" if found is None else f", {found[1]} of layer {found[0]!r}"
            raise ValueError(
                "`model` must end in at least two logits, or in a softmax of "
                f"them. Received: {shape[1]} outputs{end}"
            )
        if self.multi_label and found is not None:
            raise ValueError(
                "`model` must end in logits where an image may be of several "
                f"classes. Received: {found[1]} of layer {found[0]!r}"
            )
        if self.classes is not None and len(self.classes) != shape[1]:
            raise ValueError(
                "`classes` must be as many as the model has outputs, "
                f"{shape[1]}. Received: {len(self.classes)}"
            )
        if self.preprocessing is not None:
            self._check_size(self.preprocessing)

    def _check_size(self, preprocessing):
        shape = self.channels_last_shape(len(preprocessing.channels))
        sides = sides_of(preprocessing.image_size)
        if any(
            wanted not in (None, side)
            for wanted, side in zip(shape[1:3], sides, strict=True)
        ):
            raise ValueError(
                "`image_size` must be that of the model's input, "
                f"{shape[1]} x {shape[2]}. "
                f"Received: image_size={preprocessing.image_size}"
            )

    @property
    def num_classes(self) -> int:
        """Number of outputs K."""
        return self.model.output_shape[1]

    @property
    def gives_probabilities(self) -> bool:
        """Whether the model ends in a softmax, not in logits."""
        return last_activation(self.model) is not None

    def channels_last_shape(self, channels: int) -> tuple:
        """Return the input shape as batch, H, W, C, whatever its layout."""
        batch, *rest = self.model.input_shape
        if self.data_format(channels) == "channels_first":
            return (batch, *rest[1:], rest[0])
        return (batch, *rest)

    def data_format(self, channels: int) -> str:
        """Return the layout that the model takes images of so many channels in.

        Raises:
            ValueError: If it takes images of another number of channels.
        """
        formats = data_formats(self.model, channels)
        if not formats:
            raise ValueError(
                f"`model` must take images of {channels} channels. "
                f"Received: an input of shape {self.model.input_shape}"
            )
        return formats[0]

    def to_layout(self, x: np.ndarray) -> np.ndarray:
        """Put images `(B, H, W, C)` into the layout that the model takes."""
        if self.data_format(x.shape[-1]) == "channels_last":
            return x
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))

    def class_name(self, index: int) -> str:
        """Return a class's name, or its number if the names are unknown."""
        if self.classes is None:
            return str(index)
        return self.classes.names[index]

    def log_probabilities(
        self, x: np.ndarray, batch_size: int | None = None
    ) -> np.ndarray:
        """Return the logarithms of the probabilities of every crop.

        Formula: `z - log Σ exp z` of logits, in float64, or `log p` where
        the network ends in a softmax.

        Args:
            x: float32, shape `(B, V, H, W, C)`: V crops of each of B images,
                channels last whatever the layout of the network.
            batch_size: Views that the network gets at a time, the last ones
                padded to as many; all of them by default. A compiled network
                is compiled once for a size.

        Returns:
            float64, shape `(B, V, K)`.

        Raises:
            ValueError: If an output is not a number, or the outputs are
                probabilities although the model seems to end in logits.
        """
        z = self._outputs(x, batch_size)
        are_shares = z.min() >= 0 and np.allclose(z.sum(-1), 1, atol=2e-2)
        if self.gives_probabilities != are_shares:
            told = "logits" if are_shares else "a softmax"
            raise ValueError(
                "`model` must give what its last layer says, which is "
                f"{told}. Received: outputs from {z.min():g} to {z.max():g}"
            )
        if are_shares:
            z = np.log(np.maximum(z, np.finfo("float32").tiny))
        z -= z.max(-1, keepdims=True)
        z -= np.log(np.exp(z).sum(-1, keepdims=True))
        return z.reshape(*x.shape[:2], -1)

    def class_probabilities(
        self, x: np.ndarray, batch_size: int | None = None
    ) -> np.ndarray:
        """Return the probability of each class by itself, of every crop.

        Formula: `1 / (1 + exp(-z))` of logits, in float64.

        Args:
            x: As of `log_probabilities`.
            batch_size: As there.

        Returns:
            float64, shape `(B, V, K)`.

        Raises:
            ValueError: If an output is not a number, or the model ends in a
                softmax.
        """
        if self.gives_probabilities:
            raise ValueError(
                "`model` must end in logits where an image may be of several "
                "classes. Received: a softmax"
            )
        z = self._outputs(x, batch_size)
        # Of either sign, what is exponentiated is at most 0.
        small = np.exp(-np.abs(z))
        p = np.where(z >= 0, 1.0, small) / (1 + small)
        return p.reshape(*x.shape[:2], -1)

    def _outputs(self, x, batch_size):
        """Return what the network gives, in float64: (B V, K), all finite."""
        flat = self.to_layout(x.reshape(-1, *x.shape[2:]))
        size = len(flat) if batch_size is None else batch_size
        outputs = [
            self._predict(flat[start : start + size], size)
            for start in range(0, len(flat), size)
        ]
        z = np.concatenate(outputs).astype("float64")
        if not np.isfinite(z).all():
            raise ValueError(
                "`model` must give finite numbers. Received: NaN or infinite "
                f"outputs of {self.model.name!r}"
            )
        return z

    def _predict(self, x, size):
        missing = size - len(x)
        if missing:
            padding = np.zeros((missing, *x.shape[1:]), x.dtype)
            x = np.concatenate([x, padding])
        outputs = self.model.predict_on_batch(x)
        return np.asarray(outputs[: size - missing])
