"""What Keras gets wrong on several devices of JAX, put right."""

import functools
import weakref

import keras

_WHOLE: weakref.WeakValueDictionary = weakref.WeakValueDictionary()


def agree_on_seed():
    """Give all processes one seed, as `keras.distribution.initialize`."""
    from keras.src.backend.jax import distribution_lib

    distribution_lib.initialize_rng()


def mark_whole(batch):
    """Mark an array that each process has whole, and return it."""
    _WHOLE[id(batch)] = batch
    return batch


@functools.cache
def replicate_uneven_batches():
    """Compute a batch that does not split evenly whole on each device.

    Keras gives it the layout of the first batch, and JAX refuses.
    """
    import jax
    from keras.src.backend.jax import distribution_lib

    place = distribution_lib.distribute_data_input

    @functools.wraps(place)
    def place_any(batch, layout, batch_dim_name):
        sharding = getattr(layout, "backend_layout", layout)
        whole = _WHOLE.get(id(batch)) is batch
        if sharding.is_fully_addressable:
            whole = whole or len(batch) % sharding.mesh.size
        if not whole:
            return place(batch, layout, batch_dim_name)
        return place(batch, _replicated(jax, sharding.mesh), batch_dim_name)

    distribution_lib.distribute_data_input = place_any


def replicate_predictions(model):
    """Give every process all rows of `predict`.

    Keras tries to read rows that are on devices of other processes.
    """
    import jax

    make = model.make_predict_function
    if getattr(make, "replicates", False):
        return
    mesh = keras.distribution.distribution().device_mesh.backend_mesh
    everywhere = _replicated(jax, mesh)
    copy = jax.jit(lambda outputs: outputs, out_shardings=everywhere)

    def make_predict_function(force=False):
        before = model.predict_function
        make(force)
        function = model.predict_function
        if function is before and not force:
            return function

        def predict(state, data):
            outputs, state = function(state, data)
            return copy(outputs), state

        model.predict_function = predict
        return predict

    make_predict_function.replicates = True
    model.make_predict_function = make_predict_function


def _replicated(jax, mesh):
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
