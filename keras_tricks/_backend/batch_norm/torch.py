"""Batch normalization by torch's own kernels."""

import torch
from torch.nn import functional


def take(x, axis) -> bool:
    """Return whether the kernels take a tensor."""
    return x.is_floating_point()


def batch_norm(x, gamma, beta, axis, epsilon):
    """Normalize by the statistics of the batch, and return these too."""
    rows, restore = _channels_second(x, axis)
    count = rows.numel() // rows.shape[1]
    gamma, beta = _affine(rows, gamma, beta)
    if count == 1:  # The kernel wants two, since it divides by one less.
        mean, variance = _Moments.apply(rows)
        y = _Normalize.apply(rows, mean, variance, gamma, beta, epsilon)
        return restore(y), mean.detach(), variance.detach()
    mean, variance = torch.zeros_like(gamma), torch.zeros_like(gamma)
    # With a momentum of 1 the moving statistics are those of the batch.
    y = functional.batch_norm(
        rows, mean, variance, gamma, beta, True, 1.0, epsilon
    )
    return restore(y), mean, variance * ((count - 1) / count)


def moments(x, axis):
    """Return mean and variance of each channel."""
    rows, _ = _channels_second(x, axis)
    return _Moments.apply(rows)


def normalize(x, mean, variance, gamma, beta, axis, epsilon, constant):
    """Normalize by given statistics, which have a gradient unless constant."""
    rows, restore = _channels_second(x, axis)
    gamma, beta = _affine(rows, gamma, beta)
    mean, variance = mean.to(gamma.dtype), variance.to(gamma.dtype)
    if not constant:
        y = _Normalize.apply(rows, mean, variance, gamma, beta, epsilon)
    else:
        y = functional.batch_norm(
            rows, mean, variance, gamma, beta, False, 0.0, epsilon
        )
    return restore(y)


def _channels_second(x, axis):
    """View a tensor as the kernels read it, and return what undoes it.

    Channels that are last become second by strides alone: memory that is
    channels-last, which the kernels read without a copy.
    """
    # Without negative axes, of which the exporter to ONNX makes nonsense.
    axis, end = axis % x.ndim, x.ndim - 1
    if axis == 1 and x.ndim > 2:
        return x, lambda y: y
    last = x.movedim(axis, end)
    shape = last.shape
    rows = last.reshape(1, -1, 1, shape[-1]).permute(0, 3, 1, 2)
    return (
        rows,
        lambda y: y.permute(0, 2, 3, 1).reshape(shape).movedim(end, axis),
    )


def _affine(rows, gamma, beta):
    """Return gamma and beta in the precision of the statistics."""
    options = {
        "dtype": torch.promote_types(rows.dtype, torch.float32),
        "device": rows.device,
    }
    channels = rows.shape[1]
    return (
        torch.ones(channels, **options)
        if gamma is None
        else gamma.to(**options),
        torch.zeros(channels, **options)
        if beta is None
        else beta.to(**options),
    )


def _per_channel(values, rows):
    return values.reshape(1, -1, *[1] * (rows.ndim - 2))


class _Moments(torch.autograd.Function):
    """Mean and variance in one pass: `torch.var_mean` takes twice the time."""

    @staticmethod
    def forward(ctx, rows):
        dtype = torch.promote_types(rows.dtype, torch.float32)
        moving = [
            torch.zeros(rows.shape[1], dtype=dtype, device=rows.device)
            for _ in range(2)
        ]
        mean, variance = torch.ops.aten.batch_norm_update_stats(
            rows, *moving, 1.0
        )
        ctx.save_for_backward(rows, mean)
        return mean, variance

    @staticmethod
    def backward(ctx, to_mean, to_variance):
        rows, mean = ctx.saved_tensors
        count = rows.numel() // rows.shape[1]
        # (to_mean + 2 * to_variance * (x - mean)) / count
        slope = 2 * to_variance / count
        start = to_mean / count - slope * mean
        return torch.addcmul(
            _per_channel(start, rows), rows, _per_channel(slope, rows)
        ).to(rows.dtype)


class _Normalize(torch.autograd.Function):
    """Normalization with a gradient to the statistics, too."""

    @staticmethod
    def forward(ctx, rows, mean, variance, gamma, beta, epsilon):
        ctx.save_for_backward(rows, mean, variance, gamma)
        ctx.epsilon = epsilon
        return functional.batch_norm(
            rows, mean, variance, gamma, beta, False, 0.0, epsilon
        )

    @staticmethod
    def backward(ctx, to_y):
        rows, mean, variance, gamma = ctx.saved_tensors
        to_rows, to_gamma, to_beta = torch.ops.aten.native_batch_norm_backward(
            to_y,
            rows,
            gamma,
            mean,
            variance,
            None,
            None,
            False,
            ctx.epsilon,
            [True, True, True],
        )
        scale = torch.rsqrt(variance + ctx.epsilon)
        to_mean = -gamma * scale * to_beta
        to_variance = -0.5 * gamma * scale.square() * to_gamma
        return to_rows, to_mean, to_variance, to_gamma, to_beta, None
