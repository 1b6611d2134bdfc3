"""What Keras gets wrong on several devices of TensorFlow, put right.

Each function changes one object, by attributes of the instance; what is saved
remains a plain model. Each has a test that fails when Keras needs it no more:
`tests/distribute/tensorflow/test_keras_patches.py`.
"""

import functools

import keras
from keras import tree
from keras.src.optimizers.base_optimizer import BaseOptimizer
from keras.src.utils.module_utils import tensorflow as tf

from keras_tricks.distribute import replica_layers
from keras_tricks.distribute.loss_checks import check_losses
from keras_tricks.optimizers import SGD

# The steps of `fit`, `evaluate` and `predict`.


def run_steps(model, strategy):
    """Replace the loop over the steps of one execution.

    Keras' own fails with `steps_per_execution`, where it puts
    `strategy.run` inside of a condition, and with several hosts, where it
    reduces scalars over an axis.
    """
    graph = functools.partial(
        tf.function, reduce_retracing=True, autograph=False
    )

    def mean(value):
        return strategy.reduce("MEAN", value, axis=None)

    def make_function(step):
        trains = step == model.train_step

        def one_step(data):
            if trains:
                _check_even(strategy, data)
            outputs = strategy.run(step, args=(data,))
            return tree.map_structure(mean, outputs)

        one_step = model._autoconvert_optionals(one_step)

        steps = functools.partial(_steps, model, one_step)
        on_batch, on_iterator = one_step, steps
        if not model.run_eagerly:
            on_batch, on_iterator = graph(one_step), graph(steps)
        iterators = tf.data.Iterator, tf.distribute.DistributedIterator

        def function(iterator):
            if isinstance(iterator, iterators):
                return on_iterator(iterator)
            for _, data in zip(
                range(model.steps_per_execution), iterator, strict=False
            ):
                outputs = on_batch(data)
            return outputs

        return function

    model._make_function = make_function


def _steps(model, one_step, iterator):
    """Return the steps of one execution, of which the last ones may be missing.

    What may be missing has lost its static shape, which is that of the first.
    """
    first = iterator.get_next()
    outputs = one_step(first)
    count = model.steps_per_execution
    if count == 1:
        return outputs

    def more(i, batch, outputs):
        return (i < count) & batch.has_value()

    def body(i, batch, outputs):
        data = tf.nest.map_structure(
            lambda x, like: tf.ensure_shape(x, like.shape),
            batch.get_value(),
            first,
            expand_composites=True,
        )
        outputs = one_step(data)
        batch = tf.cond(
            i + 1 < count, iterator.get_next_as_optional, lambda: batch
        )
        return i + 1, batch, outputs

    start = tf.constant(1), iterator.get_next_as_optional(), outputs
    return tf.while_loop(more, body, start)[2]


def predict_in_order(model, strategy):
    """Give the rows of several hosts in the order of the batch.

    Keras' own order is that of batches that TensorFlow cut by itself.
    """

    def make_predict_function(force=False):
        if model.predict_function is not None and not force:
            return

        def one_step(data):
            outputs = strategy.run(model.predict_step, args=(data,))
            return tree.map_structure(
                lambda rows: strategy.gather(rows, axis=0), outputs
            )

        if not model.run_eagerly:
            one_step = tf.function(one_step, reduce_retracing=True)

        def function(batches):
            outputs = [one_step(data) for data in batches]
            return tree.map_structure(lambda *x: tf.concat(x, 0), *outputs)

        model.predict_function = function

    model.make_predict_function = make_predict_function


def _check_even(strategy, data):
    """Fail where the parts of a training batch have different sizes."""
    first = tree.flatten(data)[0]
    parts = strategy.experimental_local_results(first)
    if all(part.shape[0] is not None for part in parts):
        return  # Of an even split: all processes made them alike.
    rows = strategy.run(
        lambda x: tf.cast(tf.shape(x)[0], "float32"), args=(first,)
    )
    # Of several hosts all fail, and none waits for the others.
    mean = strategy.reduce("MEAN", rows, axis=None)
    tf.debugging.assert_equal(
        tf.stack(strategy.experimental_local_results(rows)),
        mean,
        "Batches of training must split evenly: drop the remainder. "
        "Received parts of these sizes",
    )


def build_from_one_part(model, strategy):
    """Show Keras the shapes of one replica's part, not a mean of batches.

    Of parts of different sizes, and on several hosts, there is no mean; and
    a batch that is read for its shape alone is read twice.
    """

    def symbolic(spec):
        spec = getattr(spec, "_value_specs", [spec])[0]
        if isinstance(spec, tf.OptionalSpec):
            return None
        return keras.KerasTensor(tuple(spec.shape), spec.dtype.name)

    def maybe_symbolic_build(iterator=None, data_batch=None):
        if iterator is not None:
            spec = iterator._distributed_dataset.element_spec
            data_batch = tree.map_structure(symbolic, spec)
        with strategy.scope():
            model._symbolic_build(data_batch=data_batch)
        check_losses(model)

    model._maybe_symbolic_build = maybe_symbolic_build


def skip_empty_parts(model):
    """Let replicas that get no rows of a last batch wait.

    Layers fail on no rows, or give NaN.
    """
    test_step, predict_step = model.test_step, model.predict_step

    def test(data):
        return tf.cond(
            _rows(data) > 0, lambda: test_step(data), model.get_metrics_result
        )

    def predict(data):
        rows = _rows(data)
        full = tree.map_structure(_at_least_one_row, data)
        outputs = predict_step(full)
        return tree.map_structure(lambda x: x[:rows], outputs)

    model.test_step, model.predict_step = test, predict


def _rows(data):
    return tf.shape(tree.flatten(data)[0])[0]


def _at_least_one_row(x):
    missing = tf.cast(tf.shape(x)[0] == 0, "int32")
    padding = [[0, missing]] + [[0, 0]] * (len(x.shape) - 1)
    return tf.pad(x, padding)


# The optimizer.


def sum_gradients_first(optimizer):
    """Add the gradients of all replicas before anything else is done.

    Keras does it last, so that each replica decides for itself whether its
    gradients are finite, and clips its own. Afterwards every replica does
    the same with the same numbers, and needs no other, so that gradient
    accumulation and overwriting with an average, which are conditions, work.
    """
    if "apply" in vars(optimizer):
        return
    apply = optimizer.apply

    def apply_sums(grads, trainable_variables=None):
        context = tf.distribute.get_replica_context()
        grads = list(grads)
        given = [i for i, grad in enumerate(grads) if grad is not None]
        sums = context.all_reduce("SUM", [grads[i] for i in given])
        for i, total in zip(given, sums, strict=True):
            grads[i] = total
        apply(grads, trainable_variables)

    optimizer.apply = apply_sums
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    inner._all_reduce_sum_gradients = list
    if _updates_by_itself(inner):
        # Nadam's, say: it works, but not inside of a condition.
        if inner.gradient_accumulation_steps:
            raise ValueError(
                "`gradient_accumulation_steps` must be None for an optimizer "
                "with an update of its own on several replicas. "
                f"Received: {type(inner).__name__}"
            )
    else:
        _use_base_method(inner, "_backend_update_step")
    _use_base_method(inner, "_backend_increment_gradient_accumulators")
    if type(inner)._apply_weight_decay is _tf_optimizer()._apply_weight_decay:
        _use_base_method(inner, "_apply_weight_decay")
    overwrite = inner._overwrite_model_variables_with_average_value

    def overwrite_here(variables):
        if tf.distribute.get_replica_context() is None:
            return overwrite(variables)
        BaseOptimizer._overwrite_model_variables_with_average_value(
            inner, variables
        )

    inner._overwrite_model_variables_with_average_value = overwrite_here


def _tf_optimizer():
    from keras.src.backend.tensorflow.optimizer import TFOptimizer

    return TFOptimizer


def _updates_by_itself(optimizer):
    known = (_tf_optimizer()._backend_update_step, SGD._backend_update_step)
    return type(optimizer)._backend_update_step not in known


def _use_base_method(optimizer, name):
    setattr(optimizer, name, getattr(BaseOptimizer, name).__get__(optimizer))


# Layers.


def draw_apart(model):
    """Give each replica random numbers of its own."""
    replica_layers.draw_apart(model, _fold)


def _fold(seed):
    context = tf.distribute.get_replica_context()
    if context is None:
        return seed
    replica = tf.cast(context.replica_id_in_sync_group, seed.dtype)
    first = seed[0] + replica * replica_layers.STRIDE
    return tf.stack([first & replica_layers.MASK, seed[1]])


def synchronize_batch_norm(model):
    """Let batch norms take the statistics of the whole batch."""
    replica_layers.synchronize_batch_norm(model, _whole_moments)


def _whole_moments(mean, variance):
    context = tf.distribute.get_replica_context()
    if context is None:
        return mean, variance
    whole = context.all_reduce("MEAN", mean)
    spread = variance + tf.square(mean - whole)
    return whole, context.all_reduce("MEAN", spread)


def average_batch_norm(model):
    """Average the moving statistics of the replicas after each step.

    Keras never does, and saves those of replica 0. They are linear, so the
    average is that of an average once at the end. To be called after what
    else changes `train_step`.
    """
    step = model.train_step

    def train_step(data):
        logs = step(data)
        variables = replica_layers.moving_statistics(model)
        if variables:
            context = tf.distribute.get_replica_context()
            values = [tf.identity(v.value) for v in variables]
            means = context.all_reduce("MEAN", values)
            for variable, value in zip(variables, means, strict=True):
                variable.assign(value)
        return logs

    model.train_step = train_step
