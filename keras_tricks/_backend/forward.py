"""Forward passes outside a training step, as a teacher makes them."""

import contextlib

import keras


def no_gradient():
    """Return a context in which torch records no graph; no-op elsewhere.

    Elsewhere a gradient is taken only of what runs inside a tape or a
    transformed function.
    """
    if keras.backend.backend() == "torch":
        import torch

        return torch.no_grad()
    return contextlib.nullcontext()


def inference(function, variables):
    """Return a function of a batch as it runs fastest outside a training step.

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
