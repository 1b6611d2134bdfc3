"""Kernels for torch, which updates lists of tensors."""

import keras


def updates_lists() -> bool:
    """Return whether the backend updates lists of tensors, as torch does."""
    return keras.backend.backend() == "torch"


def lay_out_alike(buffers, variables) -> None:
    """Order the memory of buffers as that of their variables.

    Kernels of convolutions are not in the order of their axes, and an update
    of tensors in different orders takes several times as long.

    Args:
        buffers: List of `keras.Variable`s, whose values stay.
        variables: List of `keras.Variable`s of the same shapes.
    """
    import torch

    for buffer, variable in zip(buffers, variables, strict=True):
        ordered = torch.empty_like(variable.value, dtype=buffer.value.dtype)
        buffer.value.data = ordered.copy_(buffer.value)


def list_decay(variables, weight_decay, learning_rate) -> None:
    """Decay a list of variables, `w = w - η λ w`, in place.

    Args:
        variables: List of `keras.Variable`, may be empty.
        weight_decay: Python float.
        learning_rate: Scalar tensor or variable, which is not read.
    """
    import torch

    if variables:
        torch._foreach_mul_(
            [v.value for v in variables], 1 - weight_decay * learning_rate
        )


def list_sgd(
    grads,
    variables,
    buffers,
    decays,
    *,
    learning_rate,
    momentum,
    nesterov,
    weight_decay,
    inside,
):
    """Update lists of torch tensors as `keras_tricks.optimizers.SGD` does.

    On a GPU one fused call does one operation on all tensors. On a CPU, which
    waits for its memory, all operations on one tensor come before the next.

    Args:
        grads: List of gradients.
        variables: List of `keras.Variable`, updated in place.
        buffers: List of momentum variables, or None without momentum.
        decays: List of bools: whether each variable decays.
        learning_rate: Python float, for a CPU, or a scalar tensor, which is
            not read.
        momentum: Python float.
        nesterov: Whether to take the Nesterov step.
        weight_decay: Python float.
        inside: Whether the learning rate is inside the momentum buffer.
    """
    import torch

    weights = [v.value for v in variables]
    moments = None if buffers is None else [b.value for b in buffers]
    decays = [weight_decay if decay else 0.0 for decay in decays]
    rates = (learning_rate, 1.0) if inside else (1.0, learning_rate)
    on_cpu = isinstance(learning_rate, float)
    update = _sgd_one_by_one if on_cpu else _sgd_at_once
    with torch.no_grad():
        update(list(grads), weights, moments, decays, rates, momentum, nesterov)


def _sgd_one_by_one(grads, weights, moments, decays, rates, momentum, nesterov):
    import torch

    scale, rate = rates
    moments = moments or [None] * len(weights)
    for g, w, m, decay in zip(grads, weights, moments, decays, strict=True):
        if decay:
            g = torch.add(g, w, alpha=decay)
        if m is None:
            w.add_(g, alpha=-scale * rate)
            continue
        if scale == 1.0:
            torch.add(g, m, alpha=momentum, out=m)
        else:
            m.mul_(momentum).add_(g, alpha=scale)
        if nesterov:
            w.add_(g, alpha=-scale * rate).add_(m, alpha=-rate * momentum)
        else:
            w.add_(m, alpha=-rate)


def _sgd_at_once(grads, weights, moments, decays, rates, momentum, nesterov):
    import torch

    def add(targets, sources, factor):
        if isinstance(factor, torch.Tensor):
            sources, factor = torch._foreach_mul(sources, factor), 1.0
        torch._foreach_add_(targets, sources, alpha=factor)

    scale, rate = rates
    chosen = [i for i, decay in enumerate(decays) if decay]
    if chosen:
        sums = torch._foreach_add(
            [grads[i] for i in chosen],
            [weights[i] for i in chosen],
            alpha=decays[chosen[0]],
        )
        for i, total in zip(chosen, sums, strict=True):
            grads[i] = total
    if moments is None:
        add(weights, grads, -scale * rate)
        return
    torch._foreach_mul_(moments, momentum)
    add(moments, grads, scale)
    if nesterov:
        add(weights, grads, -scale * rate)
        add(weights, moments, -rate * momentum)
    else:
        add(weights, moments, -rate)
