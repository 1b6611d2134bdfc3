"""Weights for colors in a network that sees gray."""

import numpy as np

from keras_tricks.data.transforms.preprocessing import Preprocessing
from keras_tricks.models.weights._layout import Layout, rearrange, reverse
from keras_tricks.models.weights._units import Network
from keras_tricks.models.weights.matching import tensor_names


def sum_channels(
    network: Network,
    layout: Layout,
    tensors: dict[str, np.ndarray],
    preprocessing: Preprocessing | None,
) -> tuple[dict[str, np.ndarray], int]:
    """Sum the first kernel of a file over its channels, if gray is wanted.

    A pixel g of gray is (g - m_c) / s_c in channel c of the file's network,
    and (g - m) / s in the one channel of ours, see `Preprocessing.gray`. So

        K = Σ_c K_c s / s_c,   bias = Σ_c K_c (m - m_c) / s_c

    give what the file's network computes of gray in three channels; the norm
    that follows takes the bias. Where the m_c differ, what pads the image is
    a color there and gray here, and the border differs by it.

    Args:
        network: Ours.
        layout: Of the file.
        tensors: Arrays by name.
        preprocessing: What the weights expect; `None`, or equal statistics,
            for the plain sum.

    Returns:
        The tensors, and the number of channels that were summed: 0 if nothing
        was to do.
    """
    unit = network.units[0]
    names = tensor_names(layout, unit)
    name, axes = names.get("kernel", ("", "hwio->hwio"))
    tensor = tensors.get(name)
    if tensor is None or tensor.ndim != 4 or unit.shape("kernel")[2] != 1:
        return tensors, 0
    kernel = rearrange(tensor, reverse(axes))
    if kernel.shape[2] != 3 or tensor.dtype.kind in "iub":
        return tensors, 0
    kernel = kernel.astype("float64")
    known = preprocessing
    if known is None:
        known = Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3)
    gray, mean, std = known.gray(), np.array(known.mean), np.array(known.std)
    summed = np.einsum("hwio,i->hwo", kernel, gray.std / std)[:, :, None]
    changed = {name: rearrange(summed.astype("float32"), axes)}
    if np.ptp(mean):
        bias = np.einsum("hwio,i->o", kernel, (gray.mean - mean) / std)
        other, _ = names["bias"]
        changed[other] = (bias + tensors.get(other, 0)).astype("float32")
    return {**tensors, **changed}, kernel.shape[2]
