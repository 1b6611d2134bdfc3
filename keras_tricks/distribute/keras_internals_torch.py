"""What Keras 3.15 lacks for several processes of PyTorch.

Keras trains each process alone there. Each function changes one object, by
attributes of the instance; what is saved remains a plain model.
"""

import functools

import torch
import torch.distributed as dist
from keras import tree

from keras_tricks.distribute.keras_internals import batch_norms, layers

# Far apart: layers often have seeds that follow each other.
_STRIDE, _MASK = 0x9E3779B1, 2**31 - 1


class _Mean(torch.autograd.Function):
    """The mean over processes; so is its gradient, which is averaged later."""

    @staticmethod
    def forward(context, x):
        return _mean(x)

    @staticmethod
    def backward(context, gradient):
        return _mean(gradient)


def _mean(x):
    total = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total / dist.get_world_size()


def _sum_all(tensors):
    """Sums of tensors over all processes, in one call for each dtype."""
    sums = [None] * len(tensors)
    for dtype in {tensor.dtype for tensor in tensors}:
        places = [i for i, t in enumerate(tensors) if t.dtype == dtype]
        flat = torch.cat([tensors[i].detach().reshape(-1) for i in places])
        dist.all_reduce(flat)
        sizes = [tensors[i].numel() for i in places]
        for i, part in zip(places, flat.split(sizes), strict=True):
            sums[i] = part.reshape(tensors[i].shape)
    return sums


def average_gradients_first(optimizer):
    """Averages the gradients of all processes before anything else is done.

    Each then clips and scales the same numbers, finds the same ones finite,
    and takes the same step.
    """
    if "apply" in vars(optimizer):
        return
    apply = optimizer.apply

    def apply_means(grads, trainable_variables=None):
        grads = list(grads)
        given = [i for i, grad in enumerate(grads) if grad is not None]
        with torch.no_grad():
            sums = _sum_all([grads[i] for i in given])
        for i, total in zip(given, sums, strict=True):
            grads[i] = total / dist.get_world_size()
        apply(grads, trainable_variables)

    optimizer.apply = apply_means


def synchronize_batch_norm(model):
    """Lets batch norms take the statistics of the whole batch."""
    for layer in batch_norms(model):
        if "_moments" not in vars(layer):
            layer._moments = _global_moments(layer._moments)


def _global_moments(local_moments):
    @functools.wraps(local_moments)
    def moments(inputs, mask):
        if mask is not None:
            raise ValueError(
                '`norm` must be "local" with masked inputs of batch norm. '
                "Received: a mask"
            )
        mean, variance = local_moments(inputs, mask)
        whole = _Mean.apply(mean)
        return whole, _Mean.apply(variance + torch.square(mean - whole))

    return moments


def draw_apart(model):
    """Gives each process random numbers of its own."""
    for layer in layers(model):
        for generator in layer._seed_generators:
            if "next" not in vars(generator):
                generator.next = _folded(generator.next)


def _folded(draw):
    @functools.wraps(draw)
    def next_of_process(*args, **kwargs):
        seed = draw(*args, **kwargs).clone()
        seed[0] = _fold(int(seed[0]))
        return seed

    return next_of_process


def _fold(seed):
    return (seed + dist.get_rank() * _STRIDE) & _MASK


def step_together(model, averages_norm):
    """Lets `fit`, `evaluate` and `predict` see the batch of all processes.

    Metrics count all rows in every process, so that all log, and save, the
    same. Each step takes one number from torch's generator, which is the
    same everywhere, for random numbers of its own.

    Args:
        model: A compiled model.
        averages_norm: Whether to average moving statistics of batch norm.
    """
    if "train_step" in vars(model) and hasattr(model.train_step, "together"):
        return
    train_step, test_step = model.train_step, model.test_step
    predict_step = model.predict_step
    moving = [
        variable
        for layer in batch_norms(model) * averages_norm
        for variable in layer.non_trainable_variables
    ]

    def train(data):
        _check_even(_rows(data))
        seed = int(torch.randint(_MASK, ()))
        with torch.random.fork_rng():
            torch.manual_seed(_fold(seed))
            logs = _count_all(model, functools.partial(train_step, data))
        with torch.no_grad():
            for variable in moving:
                variable.assign(_mean(variable.value))
        return logs

    def test(data):
        step = functools.partial(test_step, data) if _rows(data) else dict
        return _count_all(model, step)

    def predict(data):
        rows = _rows(data)
        if not rows:
            data = tree.map_structure(_one_row, data)
        outputs = predict_step(data)
        return tree.map_structure(lambda x: _gather(x[:rows]), outputs)

    train.together = True
    model.train_step, model.test_step = train, test
    model.predict_step = predict


def _count_all(model, step):
    """Does a step, and adds what metrics counted in other processes."""
    variables = model.metrics_variables
    with torch.no_grad():
        before = [variable.value.detach().clone() for variable in variables]
        for variable in variables:
            variable.value.zero_()
    logs = step()
    with torch.no_grad():
        # Metrics may have been built by the step.
        built = model.metrics_variables[len(before) :]
        before += [torch.zeros_like(variable.value) for variable in built]
        variables = model.metrics_variables
        sums = _sum_all([variable.value for variable in variables])
        for variable, old, new in zip(variables, before, sums, strict=True):
            variable.assign(old + new)
    return {**logs, **model.get_metrics_result()}


def _rows(data):
    return len(tree.flatten(data)[0])


def _check_even(rows):
    sums = torch.tensor([rows, rows * rows])
    dist.all_reduce(sums)
    total, squares = sums.tolist()
    if squares * dist.get_world_size() != total * total:
        raise ValueError(
            "Batches of training must split evenly: drop the remainder. "
            f"Received: {rows} of {total} rows in process {dist.get_rank()}"
        )


def _one_row(x):
    return torch.zeros((1, *x.shape[1:]), dtype=x.dtype, device=x.device)


def _gather(x):
    """The rows of all processes in their order."""
    sizes = torch.zeros(dist.get_world_size(), dtype=torch.int64)
    sizes[dist.get_rank()] = len(x)
    dist.all_reduce(sizes)
    shape = (int(sizes.max()), *x.shape[1:])
    padded = torch.zeros(shape, dtype=x.dtype, device=x.device)
    padded[: len(x)] = x.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    pairs = zip(parts, sizes.tolist(), strict=True)
    return torch.cat([part[:size] for part, size in pairs])


def broadcast(variables):
    """Gives all processes the values of the first one."""
    with torch.no_grad():
        for variable in variables:
            value = variable.value.detach().clone()
            dist.broadcast(value, 0)
            variable.assign(value)
