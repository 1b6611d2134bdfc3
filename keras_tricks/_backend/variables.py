"""Variables as the backend holds them, and averages of many tensors."""

import functools

import keras


def native_variable(variable):
    """Return the variable that core optimizers match exclusions against."""
    if keras.backend.backend() == "tensorflow":
        return variable.value
    return variable


class VariableGroup:
    """Variables that are read, written and averaged together.

    A loop over a hundred tensors costs many times more than their arithmetic.
    Averages move in one fused call on PyTorch and a compiled one on JAX. On
    TensorFlow all is done by graphs that hold the variables: as arguments and
    results of a graph the tensors would cost more still.

    Args:
        variables: List of Keras variables.

    Example:
    >>> import keras
    >>> group = VariableGroup([keras.Variable(keras.ops.ones(2))])
    >>> one, = group.move([keras.ops.zeros(2)], 0.5)
    >>> keras.ops.convert_to_numpy(one).tolist()
    [0.5, 0.5]
    """

    def __init__(self, variables: list):
        self.variables = variables
        self._own = None

    def copies(self, dtype: str | None = None) -> list:
        """Return the values, which later steps do not change.

        Args:
            dtype: What to cast them to; each its own by default.
        """
        if keras.backend.backend() == "tensorflow":
            return self._graph("copies", dtype)()
        return [_copy(variable, dtype) for variable in self.variables]

    def assign(self, values: list) -> None:
        """Write values, each cast to the dtype of its variable.

        They are copied: JAX may reuse the memory of a model's variables.
        """
        if keras.backend.backend() == "tensorflow":
            self._graph("assign")(values)
            return
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(_copy(value, variable.dtype))

    def move(self, averages: list, weight: float) -> list:
        """Move float32 averages towards the variables.

            average <- average + weight * (variable - average)

        Args:
            averages: List of float32 tensors, one for each variable. On
                TensorFlow those that the last call returned are changed.
            weight: From 0 to 1.

        Returns:
            The moved averages.
        """
        backend = keras.backend.backend()
        if backend != "torch":
            weight = keras.ops.convert_to_tensor(weight, dtype="float32")
        if backend != "tensorflow":
            values = [keras.ops.convert_to_tensor(v) for v in self.variables]
            return _lerp()(averages, values, weight)
        if averages is not self._own:
            import tensorflow as tf

            self._own = [tf.Variable(a, trainable=False) for a in averages]
            self._graph.cache_clear()
        self._graph("move")(weight)
        return self._own

    @functools.cached_property
    def _graph(self):
        """Return a function that traces graphs, once each."""
        import tensorflow as tf

        def copies(dtype):
            return [_copy(variable, dtype) for variable in self.variables]

        def assign(values):
            for variable, value in zip(self.variables, values, strict=True):
                variable.assign(keras.ops.cast(value, variable.dtype))

        def move(weight):
            for average, variable in zip(
                self._own, self.variables, strict=True
            ):
                value = keras.ops.cast(variable, "float32")
                average.assign_add(weight * (value - average))

        functions = {"copies": copies, "assign": assign, "move": move}

        @functools.cache
        def graph(name, *arguments):
            function = functools.partial(functions[name], *arguments)
            return tf.function(function)

        return graph


def _copy(value, dtype):
    copied = keras.ops.stop_gradient(keras.ops.copy(value))
    return copied if dtype is None else keras.ops.cast(copied, dtype)


@functools.cache
def _lerp():
    """Return the compiled or fused function behind `VariableGroup.move`."""
    if keras.backend.backend() == "torch":
        import torch

        def lerp(starts, ends, weight):
            with torch.no_grad():
                ends = [end.to(torch.float32) for end in ends]
                return list(torch._foreach_lerp(starts, ends, weight))

        return lerp

    import jax

    @jax.jit
    def lerp(starts, ends, weight):
        return [
            start + weight * (keras.ops.cast(end, "float32") - start)
            for start, end in zip(starts, ends, strict=True)
        ]

    return lerp
