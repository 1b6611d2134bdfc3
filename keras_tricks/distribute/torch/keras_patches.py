"""What Keras lacks for several processes of PyTorch.

Before 3.16 it trains each process alone. Each function changes one object, by
attributes of the instance; what is saved remains a plain model.
"""

import functools

import keras
import torch
import torch.distributed as dist
from keras import ops, tree
from keras.src.trainers.trainer import Trainer

from keras_tricks.distribute import replica_layers
from keras_tricks.distribute.loss_checks import check_losses
from keras_tricks.distribute.torch import collectives


def keras_averages_gradients(model) -> bool:
    """Tell whether `fit` averages the gradients, as it does from 3.16 on.

    It does so in the training step of Keras, and not in that of a subclass.
    """
    own_step = type(model).train_step is keras.Model.train_step
    return own_step and hasattr(model, "ddp_model")


def average_gradients_first(optimizer):
    """Average the gradients of all processes before anything else is done.

    Each then clips and scales the same numbers, finds the same ones finite,
    and takes the same step. It is done when the backward pass is over: hooks
    that send gradients earlier would mix with the sums of batch norms, and
    wait for gradients that one process lacks.
    """
    if "apply" in vars(optimizer):
        return
    apply = optimizer.apply

    def apply_means(grads, trainable_variables=None):
        variables = trainable_variables or optimizer._trainable_variables
        with torch.no_grad():
            grads = collectives.mean_gradients(list(grads), list(variables))
        apply(grads, trainable_variables)

    optimizer.apply = apply_means


def synchronize_batch_norm(model):
    """Let batch norms take the statistics of the whole batch."""
    replica_layers.synchronize_batch_norm(model, _whole_moments)


def _whole_moments(mean, variance):
    if mean.device.type == "meta":  # Where shapes alone are asked for.
        return mean, variance
    return collectives.PartMoments.apply(mean, variance)


def draw_apart(model):
    """Give each process random numbers of its own."""
    replica_layers.draw_apart(model, _fold_tensor)


def _fold_tensor(seed):
    if seed.device.type != "meta":
        seed = seed.clone()
        seed[0] = _fold(int(seed[0]))
    return seed


def _fold(seed):
    return (seed + dist.get_rank() * replica_layers.STRIDE) & (
        replica_layers.MASK
    )


def step_together(model, averages_norm):
    """Let `fit`, `evaluate` and `predict` see the batch of all processes.

    Metrics count all rows in every process, so that all log, and save, the
    same. Each step takes one number from torch's generator, which is the
    same everywhere, for random numbers of its own. What a step builds gets
    the values of the first process.

    Args:
        model: A compiled model.
        averages_norm: Whether to average moving statistics of batch norm.
    """
    _agree(model, known=0)
    if "_share" in vars(model):
        return
    model._share = 1.0  # The whole batch over the part of this process.
    own_results = type(model).get_metrics_result
    if own_results is keras.Model.get_metrics_result and hasattr(
        model, "ddp_model"
    ):
        # Here Keras would add up what is that of all processes already.
        model.get_metrics_result = functools.partial(
            Trainer.get_metrics_result, model
        )
    train_step, test_step = model.train_step, model.test_step
    predict_step, symbolic_build = model.predict_step, model._symbolic_build

    def weigh(loss, values):
        return values * model._share if loss.reduction == "sum" else values

    def build(*args, **kwargs):
        known = len(_state(model))
        symbolic_build(*args, **kwargs)
        check_losses(model, weigh)
        _agree(model, known)

    def train(data):
        rows = collectives.part_rows(_rows(data))
        if len(set(rows)) > 1:
            raise ValueError(
                "Batches of training must split evenly: drop the remainder. "
                f"Received: parts of these sizes: {rows}"
            )
        seed = int(torch.randint(replica_layers.MASK, ()))
        cuda = torch.cuda.is_available()
        gpus = [torch.cuda.current_device()] if cuda else []
        with torch.random.fork_rng(gpus):
            torch.manual_seed(_fold(seed))
            logs = _count_all(model, train_step, data, rows)
        if averages_norm:
            _average_norms(model)
        return logs

    def test(data):
        rows = collectives.part_rows(_rows(data))
        return _count_all(model, test_step, data, rows)

    def predict(data):
        rows = collectives.part_rows(_rows(data))
        data = _at_least_one_row(data)
        built = model.built
        outputs = predict_step(data)
        if not built:
            _agree(model, known=0)
            outputs = predict_step(data)
        own = rows[dist.get_rank()]
        return tree.map_structure(
            lambda x: collectives.gather_rows(x[:own], rows), outputs
        )

    model.train_step, model.test_step = train, test
    model.predict_step, model._symbolic_build = predict, build


def _state(model):
    return [*model.variables, *model.optimizer.variables]


def _agree(model, known):
    """Take the values of the first process for what is not known yet."""
    variables = _state(model)
    if len(variables) != known:
        collectives.broadcast(variables)


def _average_norms(model):
    """Average moving statistics. They are linear: once a step will do."""
    variables = replica_layers.moving_statistics(model)
    count = dist.get_world_size()
    with torch.no_grad():
        sums = collectives.process_sums([v.value for v in variables])
        for variable, total in zip(variables, sums, strict=True):
            variable.assign(total / count)


def _count_all(model, step, data, rows):
    """Do a step, and add what metrics counted in other processes."""
    own = rows[dist.get_rank()]
    model._share = sum(rows) / max(own, 1)
    variables = model.metrics_variables
    before = {id(v): v.value.detach().clone() for v in variables}
    with torch.no_grad():
        for variable in variables:
            variable.value.zero_()
    logs = step(_at_least_one_row(data))
    variables = model.metrics_variables  # The step may have built some.
    counts = [variable.value.detach() for variable in variables]
    if not own:
        counts = [torch.zeros_like(count) for count in counts]
    sums = collectives.process_sums(counts)
    with torch.no_grad():
        for variable, total in zip(variables, sums, strict=True):
            variable.assign(before.get(id(variable), 0) + total)
    results = model.get_metrics_result()
    if logs.keys() == results.keys():
        return results
    counted = {
        id(variable)
        for variable, total in zip(variables, sums, strict=True)
        if total.any()
    }
    return {**_mean_logs(logs, rows), **_counted(model, counted, logs)}


def _mean_logs(logs, rows):
    """Average over all rows what a step of the user's own returns."""
    own = rows[dist.get_rank()]
    values = [ops.convert_to_tensor(v, "float32") for v in logs.values()]
    values = [v.detach() * own if own else torch.zeros_like(v) for v in values]
    sums = collectives.process_sums(values)
    return {
        name: total / sum(rows) for name, total in zip(logs, sums, strict=True)
    }


def _counted(model, counted, logs):
    """Return the results, among those in logs, of metrics the step updated."""
    found = {}
    for metric in model.metrics:
        if any(id(variable) in counted for variable in metric.variables):
            result = metric.result()
            if not isinstance(result, dict):
                result = {metric.name: result}
            found.update({k: v for k, v in result.items() if k in logs})
    return found


def _rows(data):
    return len(tree.flatten(data)[0])


def _at_least_one_row(data):
    """Return the batch, or a row of zeros: layers fail on no rows."""
    if _rows(data):
        return data
    return tree.map_structure(lambda x: x.new_zeros((1, *x.shape[1:])), data)
