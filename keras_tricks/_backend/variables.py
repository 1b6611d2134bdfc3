"""Variables as the backend holds them, and averages of many tensors."""

import functools

import keras


def native_variable(variable):
    """Return the variable that core optimizers match exclusions against."""
    if keras.backend.backend() == "tensorflow":
        return variable.value
    return variable


@functools.cache
def _interpolate():
    """Return the compiled or fused function behind `interpolate`."""
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
    """Compute `start + weight * (end - start)` for lists of float32 tensors.

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
