"""The training step as Keras builds it."""

import keras


def before_compiled_step(train_function, prepare):
    """Let `prepare` see each batch before the training step of JAX.

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
    """Build what `fit` would build from its first batch.

    Keras has no public way to do it with a batch that the step changes.

    Args:
        model: A compiled model.
        batch: `(x, y)` as the model and the loss take it.
    """
    model._symbolic_build(data_batch=batch)
