"""All that must know which backend runs, and nothing else."""

import contextlib
import functools
import sys
from types import SimpleNamespace

import keras
import numpy as np


def has_accelerator() -> bool:
    """Whether the backend sees a GPU or a TPU."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(
            tf.config.list_physical_devices("GPU")
            or tf.config.list_physical_devices("TPU")
        )
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    import jax

    return jax.default_backend() != "cpu"


def accelerators() -> list[str]:
    """Names of the GPUs, or else TPUs, that this process sees.

    `"GPU:0"` on TensorFlow, `"gpu:0"` on JAX, `"cuda:0"` on PyTorch.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        for kind in ("GPU", "TPU"):
            names = _logical_devices(tf, kind)
            if names:
                return names
        return []
    if backend == "torch":
        import torch

        return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    import jax

    if jax.default_backend() == "cpu":
        return []
    return keras.distribution.list_devices()


def cpus() -> list[str]:
    """Names of the CPUs of this process, which may be cut into several."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return _logical_devices(tf, "CPU")
    if backend == "torch":
        return ["cpu"]
    return keras.distribution.list_devices("cpu")


def _logical_devices(tf, kind):
    if not tf.config.list_physical_devices(kind):
        return []
    devices = tf.config.list_logical_devices(kind)
    return [device.name.removeprefix("/device:") for device in devices]


def import_tensorflow_for_data():
    """Returns TensorFlow, for tf.data alone where another backend runs.

    There it must not see the accelerators: it would take their memory.

    Raises:
        ImportError: If it is missing.
    """
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        with contextlib.suppress(RuntimeError):  # It is in use already.
            tf.config.set_visible_devices([], "GPU")
            tf.config.set_visible_devices([], "TPU")
    return tf


def fastest_settings() -> tuple[str, bool | str]:
    """Data format and `jit_compile` that train fastest.

    Measured on CPUs with `benchmarks/configurations.py`; on accelerators the
    usual choice: Keras' own, and channels first for torch's kernels.

    Returns:
        `"channels_last"` or `"channels_first"`, and what `compile` takes.
    """
    backend = keras.backend.backend()
    data_format = "channels_first" if backend == "torch" else "channels_last"
    if backend == "tensorflow" and not has_accelerator():
        return data_format, False
    return data_format, "auto"


def native_variable(variable):
    """The variable that core optimizers match exclusions against."""
    if keras.backend.backend() == "tensorflow":
        return variable.value
    return variable


def updates_lists() -> bool:
    """Whether the backend updates lists of tensors, as torch does."""
    return keras.backend.backend() == "torch"


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
    """The update of `keras_tricks.optimizers.SGD` on lists of torch tensors.

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


# Arrays: NumPy's, TensorFlow's (on any backend) and the Keras backend's.


def is_tf_tensor(x) -> bool:
    """Whether `x` is a TensorFlow tensor, without importing TensorFlow."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(x, tf.Tensor)


def is_symbolic(x) -> bool:
    """Whether `x` has no value yet: a KerasTensor or a JAX tracer."""
    if isinstance(x, keras.KerasTensor):
        return True
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(x, jax.core.Tracer)


def concrete(x):
    """The values of `x` as a NumPy array if they can be read.

    Only PyTorch trains without compiling the step, so only there an
    accelerator would be waited for at each step: see `on_host`.

    Args:
        x: Array or tensor.

    Returns:
        An array, or None for symbolic tensors, and for tensors of torch on
        another device than the CPU.
    """
    if is_symbolic(x):
        return None
    if is_tf_tensor(x):
        return x.numpy() if hasattr(x, "numpy") else None
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return None
        x = x.detach()
        return x.float().numpy() if x.is_floating_point() else x.numpy()
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(x, jax.Array):
        return np.asarray(x) if x.is_fully_addressable else None
    return np.asarray(x)


def on_host(x):
    """Copies a tensor of torch to the CPU, which waits for an accelerator.

    Args:
        x: Array or tensor.

    Returns:
        The copy; `x` itself on other backends, and without values.
    """
    return x.detach().cpu() if _is_torch_with_values(x) else x


def _is_torch_with_values(x):
    torch = sys.modules.get("torch")
    return (
        torch is not None
        and isinstance(x, torch.Tensor)
        and x.device.type != "meta"
        and not torch.compiler.is_compiling()
    )


def as_array(x, like=None):
    """Returns a tensor as it is and anything else as a NumPy array.

    Args:
        x: Array, tensor or nested list.
        like: If given, the result is of the same family as this array.
    """
    if not (is_tf_tensor(x) or keras.ops.is_tensor(x)):
        x = np.asarray(x)
    if like is None or array_ops(x) is array_ops(like):
        return x
    if isinstance(like, np.ndarray):
        return (
            keras.ops.convert_to_numpy(x)
            if array_ops(x) is _KERAS
            else (x.numpy())
        )
    if is_tf_tensor(like):
        import tensorflow as tf

        return tf.convert_to_tensor(x)
    return keras.ops.convert_to_tensor(x)


def array_ops(x):
    """Returns the few operations of the library that `x` belongs to.

    Each has `name`, `float32`, `reshape`, `take` (rows), `one_hot` (float32;
    an integer out of range gives NaN or raises), `concatenate` (last axis),
    `where`, `length`, `is_one` (all of it) and `cond`.
    """
    if isinstance(x, np.ndarray) or not (
        is_tf_tensor(x) or keras.ops.is_tensor(x)
    ):
        return _NUMPY
    return _tf_ops() if is_tf_tensor(x) else _KERAS


def _choose(condition, if_true, if_false):
    return if_true() if condition else if_false()


def _nan_outside(one_hot, x, k, where):
    """Rows of labels out of range become NaN: they must not get lost."""
    inside = (x >= 0) & (x < k)
    return where(inside[..., None], one_hot, float("nan"))


_NUMPY = SimpleNamespace(
    name="numpy",
    float32=lambda x: np.asarray(x, "float32"),
    reshape=np.reshape,
    one_hot=lambda x, k: np.eye(k, dtype="float32")[np.asarray(x, "int64")],
    concatenate=lambda xs: np.concatenate(xs, axis=-1),
    where=np.where,
    length=len,
    is_one=lambda x: bool((x == 1).all()),
    cond=_choose,
)
_KERAS = SimpleNamespace(
    name="keras",
    float32=lambda x: keras.ops.convert_to_tensor(x, "float32"),
    reshape=keras.ops.reshape,
    take=lambda x, rows: keras.ops.take(x, rows, axis=0),
    one_hot=lambda x, k: _nan_outside(
        keras.ops.one_hot(keras.ops.cast(x, "int32"), k, dtype="float32"),
        x,
        k,
        keras.ops.where,
    ),
    concatenate=lambda xs: keras.ops.concatenate(xs, axis=-1),
    where=keras.ops.where,
    length=len,
    is_one=_NUMPY.is_one,
    cond=_choose,
)


@functools.cache
def _tf_ops():
    import tensorflow as tf

    return SimpleNamespace(
        name="tensorflow",
        float32=lambda x: tf.cast(x, "float32"),
        reshape=tf.reshape,
        take=tf.gather,
        one_hot=lambda x, k: _nan_outside(
            tf.one_hot(tf.cast(x, "int32"), k, dtype="float32"), x, k, tf.where
        ),
        concatenate=lambda xs: tf.concat(xs, axis=-1),
        where=tf.where,
        length=lambda x: tf.shape(x)[0],
        is_one=lambda x: tf.reduce_all(x == 1.0),
        cond=tf.cond,
    )


def tf_numpy_function(function, args, results):
    """Runs a NumPy function in a TensorFlow graph, at run time.

    Args:
        function: Takes NumPy values, returns a tuple of arrays.
        args: Integers or integer tensors.
        results: The static shape and the dtype of each result.
    """
    import tensorflow as tf

    args = [tf.cast(arg, "int64") for arg in args]
    shapes, dtypes = zip(*results, strict=True)
    # One result comes without a list, if it is computed at once.
    values = tf.nest.flatten(tf.numpy_function(function, args, dtypes))
    return [tf.ensure_shape(v, s) for v, s in zip(values, shapes, strict=True)]


def check_label_range(labels, num_classes):
    """Returns integer labels, checked to be in 0 ... `num_classes` - 1.

    Raises:
        ValueError: If a label is out of range; in a TensorFlow graph,
            `tf.errors.InvalidArgumentError` at run time.
    """
    expected = f"Argument `labels` must be in 0 ... {num_classes - 1}. Received"
    if is_tf_tensor(labels) and not hasattr(labels, "numpy"):
        import tensorflow as tf

        ids = tf.cast(labels, "int64")
        checks = [
            tf.debugging.assert_non_negative(ids, expected),
            tf.debugging.assert_less(
                ids, tf.constant(num_classes, "int64"), expected
            ),
        ]
        with tf.control_dependencies(checks):
            return tf.identity(ids)
    values = as_array(labels, like=np.empty(0))
    if values.size and not (0 <= values.min() and values.max() < num_classes):
        raise ValueError(
            f"{expected}: labels from {values.min()} to {values.max()}"
        )
    if values.dtype == bool:
        return values.astype("int32")
    return labels


@functools.cache
def _interpolate():
    """The compiled or fused function behind `interpolate`."""
    if keras.backend.backend() == "torch":
        import torch

        def lerp(starts, ends, weight):
            with torch.no_grad():
                ends = [end.to(torch.float32) for end in ends]
                return list(torch._foreach_lerp(starts, ends, weight))

        return lerp

    def lerp(starts, ends, weight):
        return [
            start + weight * (keras.ops.cast(end, "float32") - start)
            for start, end in zip(starts, ends, strict=True)
        ]

    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(lerp)
    import tensorflow as tf

    return tf.function(lerp)


def interpolate(starts: list, ends: list, weight: float) -> list:
    """`start + weight * (end - start)` for lists of float32 tensors.

    One compiled call on JAX and TensorFlow and one fused one on PyTorch,
    where a loop over the tensors costs many times more.

    Args:
        starts: List of float32 tensors.
        ends: List of float tensors of the same shapes.
        weight: Weight of the ends, from 0 to 1.

    Returns:
        A list of new float32 tensors.

    Example:
    >>> import keras
    >>> one, = interpolate([keras.ops.zeros(2)], [keras.ops.ones(2)], 0.5)
    >>> keras.ops.convert_to_numpy(one).tolist()
    [0.5, 0.5]
    """
    if keras.backend.backend() != "torch":
        weight = keras.ops.convert_to_tensor(weight, dtype="float32")
    return _interpolate()(starts, ends, weight)


# The generator that is not a variable of the model.


def get_random_state() -> dict:
    """State of the backend's own random numbers, as NumPy arrays.

    Torch's are drawn by `keras.layers.Dropout` without a seed and by data
    loaders; elsewhere Keras has all state in variables.
    """
    if keras.backend.backend() != "torch":
        return {}
    import torch

    states = {"cpu": torch.get_rng_state()}
    for index in range(torch.cuda.device_count()):
        states[f"cuda_{index}"] = torch.cuda.get_rng_state(index)
    return {name: state.numpy().copy() for name, state in states.items()}


def set_random_state(states: dict) -> None:
    """Goes on with random numbers where `get_random_state` was called."""
    if keras.backend.backend() != "torch":
        return
    import torch

    for name, state in states.items():
        state = torch.from_numpy(np.array(state, "uint8"))
        if name == "cpu":
            torch.set_rng_state(state)
        elif int(name[5:]) < torch.cuda.device_count():
            torch.cuda.set_rng_state(state, int(name[5:]))


# Inference of a model that another one learns from.


def no_gradient():
    """A context in which torch records no graph; no-op elsewhere.

    Elsewhere a gradient is taken only of what runs inside a tape or a
    transformed function.
    """
    if keras.backend.backend() == "torch":
        import torch

        return torch.no_grad()
    return contextlib.nullcontext()


def inference(function, variables):
    """A function of one batch as it runs fastest outside a training step.

    On JAX it is compiled, with the variables as arguments: as constants they
    would be stored in the program, and changes of them would go unseen.

    Args:
        function: Takes a batch and returns tensors.
        variables: The `keras.Variable`s that it reads.
    """
    if keras.backend.backend() != "jax":

        def run(batch):
            with no_gradient():
                return function(batch)

        return run
    import jax

    @jax.jit
    def compiled(values, batch):
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return function(batch)

    return lambda batch: compiled([v.value for v in variables], batch)


def before_compiled_step(train_function, prepare):
    """Lets `prepare` see each batch before the training step of JAX.

    The step of JAX gets all that it reads as its state; what must not
    become state has to be read before.

    Args:
        train_function: That of a Keras model: of (state, iterator) on JAX.
        prepare: Takes a batch and returns another.

    Returns:
        The training function; on other backends the same one.
    """
    if keras.backend.backend() != "jax":
        return train_function

    def function(state, iterator):
        return train_function(state, map(prepare, iterator))

    return function


def build_steps(model, batch):
    """Builds what `fit` would build from its first batch.

    Keras has no public way to do it with a batch that the step changes.

    Args:
        model: A compiled model.
        batch: `(x, y)` as the model and the loss take it.
    """
    model._symbolic_build(data_batch=batch)
