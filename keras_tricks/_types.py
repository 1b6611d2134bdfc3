"""Types of arguments that many rooms share."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import keras

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image

Tensor: TypeAlias = Any
"""A NumPy array, or a tensor of any backend."""

ImageLike: TypeAlias = "np.ndarray | PIL.Image.Image"
"""An array, or an image of Pillow."""

Shape: TypeAlias = tuple[int | None, ...]

DType: TypeAlias = str | keras.DTypePolicy | None
"""A dtype, the name of a policy or a policy, or the global policy."""

Activation: TypeAlias = str | Callable | None

PathLike: TypeAlias = str | os.PathLike


class Images(Protocol):
    """Images by their number: `ImageFiles`, or a NumPy array, for instance."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> "np.ndarray": ...
