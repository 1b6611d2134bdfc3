"""Convolution and pooling by torch's kernels, in the memory they like best.

Core Keras pads a copy of the images, gives each step a permuted copy of each
kernel, and, with channels last, one of the images too. Here images of either
data format are in channels-last memory from the first convolution on, because
its kernel is: torch's kernels keep the format of what they are given.
"""

import keras

AXES = (3, 2, 0, 1)
"""Of Keras' kernels, in the order of torch's."""


def has_image_kernels() -> bool:
    """Return whether the backend has what this file calls."""
    return keras.backend.backend() == "torch"


def lay_out(kernel) -> None:
    """Keep a kernel in the memory that the convolution wants.

    Its shape stays; all that reads or assigns it goes on as before.
    """
    if not has_image_kernels():
        return
    import torch

    parameter = kernel.value
    if isinstance(parameter, torch.nn.Parameter):
        laid_out = parameter.data.permute(AXES).contiguous(
            memory_format=torch.channels_last
        )
        parameter.data = laid_out.permute(2, 3, 1, 0)


def convolve(images, kernel, strides, padding, dilation, data_format):
    """Convolve images, padded by (height, width) on every side.

    Args:
        images: Tensor of a batch of images.
        kernel: Tensor of shape `(height, width, channels, filters)`, with a
            part of the channels for a grouped convolution.
        strides: Integer, or two.
        padding: Two integers.
        dilation: Integer, or two.
        data_format: `"channels_last"` or `"channels_first"`.
    """
    import torch

    last = data_format == "channels_last"
    x = images.permute(0, 3, 1, 2) if last else images
    kernel = kernel.permute(AXES)
    groups = x.shape[1] // kernel.shape[1]
    x = torch.nn.functional.conv2d(
        x, kernel, None, strides, padding, dilation, groups
    )
    return x.permute(0, 2, 3, 1) if last else x


def pool(images, kind, strides, padding, data_format):
    """Pool windows of 3x3; padding is -inf to a maximum, else zeros."""
    from torch.nn import functional

    last = data_format == "channels_last"
    x = images.permute(0, 3, 1, 2) if last else images
    if kind == "max":
        x = functional.max_pool2d(x, 3, strides, padding)
    else:
        x = functional.avg_pool2d(x, 3, strides, padding)
    return x.permute(0, 2, 3, 1) if last else x
