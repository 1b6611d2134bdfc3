"""Types of arguments that many rooms share."""

import os
from collections.abc import Callable
from typing import Any, TypeAlias

import keras

Tensor: TypeAlias = Any
"""A NumPy array, or a tensor of any backend."""

Shape: TypeAlias = tuple[int | None, ...]

DType: TypeAlias = str | keras.DTypePolicy | None
"""A dtype, the name of a policy or a policy, or the global policy."""

Activation: TypeAlias = str | Callable | None

PathLike: TypeAlias = str | os.PathLike
