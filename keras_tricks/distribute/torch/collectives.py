"""What processes of PyTorch compute together; each must call it."""

import torch
import torch.distributed as dist

_BUCKET_BYTES = 2**25


def process_mean(x: torch.Tensor) -> torch.Tensor:
    """Return the mean of a tensor over all processes."""
    total = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total / dist.get_world_size()


def process_sums(tensors: list) -> list:
    """Return the sums of tensors over all processes, in few calls.

    Of each dtype as many as fit are sent at once, while the next ones are
    put together.
    """
    sums, sent = [None] * len(tensors), []
    for places in _buckets(tensors):
        flat = torch.cat([tensors[i].detach().reshape(-1) for i in places])
        sent.append((places, flat, dist.all_reduce(flat, async_op=True)))
    for places, flat, work in sent:
        work.wait()
        _cut(flat, places, tensors, sums)
    return sums


def _buckets(tensors):
    """Yield the places of tensors sent at once, the same in each process."""
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        places, size = [], 0
        for i, tensor in enumerate(tensors):
            if tensor.dtype != dtype:
                continue
            places.append(i)
            size += tensor.nbytes
            if size >= _BUCKET_BYTES:
                yield places
                places, size = [], 0
        if places:
            yield places


def _cut(flat, places, tensors, parts):
    sizes = [tensors[i].numel() for i in places]
    for i, part in zip(places, flat.split(sizes), strict=True):
        parts[i] = part.reshape(tensors[i].shape)


def mean_gradients(gradients: list, variables: list) -> list:
    """Return the means of gradients over all processes.

    A process without a gradient, which counts as zero there, says so with
    the others' numbers: it waits for none, and nobody waits for it.

    Args:
        gradients: Tensors, or None.
        variables: The `keras.Variable` of each.

    Returns:
        The means; None where no process has a gradient.
    """
    count = dist.get_world_size()
    missing = [i for i, grad in enumerate(gradients) if grad is None]
    full = list(gradients)
    for i in missing:
        full[i] = torch.zeros_like(variables[i].value)
    known = torch.ones(len(full), device=full[0].device)
    if missing:
        known[missing] = 0.0
    *sums, known = process_sums([*full, known])
    means = [total.div_(count) for total in sums]
    if missing:  # Only then are they read, which a GPU would be waited for.
        known = known.tolist()
        for i in missing:
            means[i] = means[i] if known[i] else None
    return means


def part_rows(rows: int) -> list[int]:
    """Return the rows of the part of each process."""
    sizes = torch.zeros(dist.get_world_size(), dtype=torch.int64)
    sizes[dist.get_rank()] = rows
    dist.all_reduce(sizes)
    return sizes.tolist()


def gather_rows(x: torch.Tensor, rows: list[int]) -> torch.Tensor:
    """Return the rows of all processes in their order.

    Args:
        x: Those of this process.
        rows: How many each has.
    """
    padded = x.new_zeros((max(rows), *x.shape[1:]))
    padded[: len(x)] = x.detach()
    parts = [torch.empty_like(padded) for _ in rows]
    dist.all_gather(parts, padded)
    pairs = zip(parts, rows, strict=True)
    return torch.cat([part[:count] for part, count in pairs])


def broadcast(variables: list) -> None:
    """Give all processes the values of the first one."""
    values = [variable.value.detach() for variable in variables]
    new = [None] * len(values)
    for places in _buckets(values):
        flat = torch.cat([values[i].reshape(-1) for i in places])
        dist.broadcast(flat, 0)
        _cut(flat, places, values, new)
    with torch.no_grad():
        for variable, value in zip(variables, new, strict=True):
            variable.assign(value)


class PartMoments(torch.autograd.Function):
    """Moments of a batch, of those of its equal parts.

    `mean = E[mean_i]`, `variance = E[variance_i + (mean_i - mean)²]`, in one
    call, and one for the gradient. That is a mean over processes too, since
    gradients of weights are averaged later.
    """

    @staticmethod
    def forward(context, mean, variance):
        """Combine this process' mean and variance with those of the others."""
        both = torch.stack([mean.detach(), variance.detach()])
        parts = [torch.empty_like(both) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, both)
        means, variances = torch.stack(parts).unbind(1)
        whole = means.mean(0)
        context.save_for_backward(mean.detach() - whole)
        return whole, (variances + torch.square(means - whole)).mean(0)

    @staticmethod
    def backward(context, to_mean, to_variance):
        """Return the gradients of mean and variance of this process."""
        (distance,) = context.saved_tensors
        to_mean, to_variance = process_mean(torch.stack([to_mean, to_variance]))
        return to_mean + 2 * distance * to_variance, to_variance
