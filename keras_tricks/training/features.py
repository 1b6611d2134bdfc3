"""Features in front of a head that trains alone, computed once for a run."""

import functools
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_tricks import _backend
from keras_tricks._files import write_atomically
from keras_tricks._untrusted import read_arrays
from keras_tricks.data import Batches
from keras_tricks.data.pipeline.base import TransformedBatches
from keras_tricks.distribute import Distribution
from keras_tricks.recipe import Recipe
from keras_tricks.recipe.fine_tuning_rules import why_not_cached
from keras_tricks.surgery import split_head

FEATURES = "features.npz"
"""Its name in the folder of a run."""


class CachedFeatures:
    """What a frozen network gives of all images, computed once.

    The file is of these weights and images alone: it has a checksum of both,
    and is computed anew where that is another.

    Args:
        front: The network up to the features, which does not change.
        batches: The `Batches` of the training and of the validation images.
        folder: Folder of the file.

    Example:
    >>> import tempfile
    >>> front = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    >>> batches = Batches(np.zeros((3, 2, 2, 1), "uint8"), np.arange(3), 2, std=1)
    >>> features = CachedFeatures(front, (batches,), tempfile.mkdtemp())
    >>> features.arrays[0].shape, features.path.name
    ((3, 4), 'features.npz')
    """  # noqa: E501

    def __init__(
        self,
        front: keras.Model,
        batches: tuple[Batches, ...],
        folder: str | Path,
    ):
        self.front = front
        self.batches = batches
        self.path = Path(folder) / FEATURES

    @functools.cached_property
    def key(self) -> str:
        """Checksum of all that the features depend on."""
        digest = hashlib.sha256()
        facts = {
            "network": self.front.get_config(),
            "backend": keras.backend.backend(),
            "keras": keras.__version__,
        }
        text = json.dumps(facts, sort_keys=True, default=str)
        # Keras counts up the names that it gives.
        for index, layer in enumerate(self.front.layers):
            text = text.replace(json.dumps(layer.name), f'"#{index}"')
        digest.update(text.encode("utf-8", "backslashreplace"))
        arrays = [keras.ops.convert_to_numpy(w) for w in self.front.weights]
        for batches in self.batches:
            arrays.append(batches.images)
            # What the images become is seen in a few of them.
            arrays.append(batches.in_order()[0][0])
        for array in arrays:
            array = np.ascontiguousarray(array)
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(array.reshape(-1).view("uint8").data)
        return digest.hexdigest()

    @functools.cached_property
    def arrays(self) -> list[np.ndarray]:
        """The features of the images of each of the batches, in order."""
        known = self._read()
        if known is None:
            # So that dropout in the head draws what it would have drawn.
            random = _backend.get_random_state()
            known = [self._compute(batches) for batches in self.batches]
            _backend.set_random_state(random)
            self._write(known)
        return known

    def compute(self) -> None:
        """Compute or read the features now, not with the first batch."""
        _ = self.arrays

    def _compute(self, batches):
        _, jit = _backend.fastest_settings()
        self.front.compile(jit_compile=jit)
        found = np.asarray(self.front.predict(batches.in_order(), verbose=0))
        # NumPy files do not know bfloat16; float32 holds it exactly.
        return found.astype("float32") if found.dtype.kind == "V" else found

    def _read(self):
        """Return what the file holds, if it is of these images and weights."""
        try:
            found = read_arrays(self.path)
        except (OSError, ValueError):  # None yet, or damaged.
            return None
        if str(found.pop("key", "")) != self.key:
            return None
        known = [found.get(f"features_{i}") for i in range(len(self.batches))]
        for array, batches in zip(known, self.batches, strict=True):
            if array is None or len(array) != len(batches.images):
                return None
        return known

    def _write(self, arrays):
        named = {f"features_{i}": array for i, array in enumerate(arrays)}
        buffer = io.BytesIO()
        np.savez(buffer, key=np.array(self.key), **named)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, buffer.getvalue())

    def get_state(self) -> str:
        """Return the checksum, for a backup."""
        return self.key

    def check_state(self, state: Any) -> None:
        """Refuse to go on with other weights or images.

        Raises:
            ValueError: If they are others.
        """
        if state != self.key:
            raise ValueError(
                "`weights` and the images must be those that the run began "
                "with: its head was trained on their features. "
                "Received: others, by their checksum"
            )

    def set_state(self, state: Any) -> None:
        """Change nothing: they are the same."""


class FeatureBatches(TransformedBatches):
    """Batches of features, in the place of the images that they are of.

    Args:
        batches: The `Batches` of the images.
        features: The `CachedFeatures`.
        index: Which of its arrays has the images of `batches`.

    Returns:
        Item `i` is `(features, y)` of the images that item `i` of `batches`
        has.

    Example:
    >>> front = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    >>> images = np.arange(12, dtype="uint8").reshape(3, 2, 2, 1)
    >>> batches = Batches(images, np.arange(3), 2, mean=0, std=1)
    >>> import tempfile
    >>> features = CachedFeatures(front, (batches,), tempfile.mkdtemp())
    >>> x, y = FeatureBatches(batches, features, 0)[0]
    >>> bool((x[:, 0] == 4 * y).all())
    True
    """  # noqa: E501

    def __init__(self, batches: Batches, features: CachedFeatures, index: int):
        super().__init__(batches)
        self.features = features
        self.index = index

    def batch(self, epoch: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self.batches.indices(epoch, step)
        features = self.features.arrays[self.index]
        return features[chosen], self.batches.labels[chosen]

    def _get(self, step):
        return self.batch(self.epoch, step)


def head_on_features(
    model: keras.Model, train: Batches, validation: Batches, folder: str | Path
) -> tuple[keras.Model, FeatureBatches, FeatureBatches]:
    """Return the head of a frozen network, and batches of its features.

    Args:
        model: The network, frozen up to the head.
        train: Its training batches, without augmentation.
        validation: Its validation batches.
        folder: Where the features are stored.

    Returns:
        The head, which is trained in place of the network; it has the network
        as its `student`, which is saved. And the batches of features for it.

    Raises:
        ValueError: As `keras_tricks.surgery.split_head` does.

    Example:
    >>> import tempfile
    >>> from keras_tricks.surgery import freeze
    >>> model = keras.Sequential([
    ...     keras.Input((2, 2, 1)), keras.layers.Flatten(),
    ...     keras.layers.Dense(5), keras.layers.Dense(3),
    ... ])
    >>> report = freeze(model, "backbone")
    >>> batches = Batches(np.zeros((3, 2, 2, 1), "uint8"), np.arange(3), 2, std=1)
    >>> head, train, _ = head_on_features(
    ...     model, batches, batches, tempfile.mkdtemp()
    ... )
    >>> head.input_shape, train[0][0].shape
    ((None, 5), (2, 5))
    """  # noqa: E501
    front, head = split_head(model)
    features = CachedFeatures(front, (train, validation), folder)
    # Not a part of the head, as an attribute of Keras would be.
    object.__setattr__(head, "student", model)
    return (
        head,
        FeatureBatches(train, features, 0),
        FeatureBatches(validation, features, 1),
    )


def why_no_features(
    recipe: Recipe, model: keras.Model, distribution: Distribution
) -> str | None:
    """Return why the features of a run are not computed once, or None.

    Args:
        recipe: The recipe.
        model: Its network, frozen as it says.
        distribution: On what is trained.

    Raises:
        ValueError: If the recipe has `cache_features="on"` and they are not.

    Example:
    >>> why_no_features(Recipe(), None, Distribution())
    "freeze=None, not 'backbone'"
    """
    reason = why_not_cached(recipe)
    if reason is None and recipe.cache_features == "off":
        reason = "cache_features='off'"
    if reason is None and distribution.num_replicas > 1:
        reason = "several devices"
    if reason is None:
        try:
            split_head(model)
        except ValueError as error:
            reason = str(error)
    if reason is not None and recipe.cache_features == "on":
        raise ValueError(
            "`cache_features` must be 'auto' or 'off' for this network or "
            f"these devices. Received: cache_features='on' with {reason}"
        )
    return reason


def features_part(batches: Any) -> dict[str, CachedFeatures]:
    """Return the features behind batches as a part of a backup, if any."""
    if isinstance(batches, FeatureBatches):
        return {"features": batches.features}
    return {}


def on_features(why_not, model, stages, validation, folder):
    """Return what `fit` trains, its stages, validation, and a first batch.

    They are the network and its images if there is a reason `why_not`, and
    else its head and their features, of which none is computed yet.
    """
    if why_not is not None:
        return model, stages, validation, stages[0][1][0]
    ((end, train),) = stages
    labels = train.labels[train.indices(0, 0)]
    head, train, validation = head_on_features(model, train, validation, folder)
    features = np.zeros((len(labels), *head.input_shape[1:]), "float32")
    return head, [(end, train)], validation, (features, labels)
