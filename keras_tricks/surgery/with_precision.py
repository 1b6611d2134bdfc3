import json

import keras

from keras_tricks.surgery.rebuild import finish_normalization


def with_precision(model: keras.Model, dtype: str = "float32") -> keras.Model:
    """Return the same network that computes in another precision.

    Networks of mixed precision have float32 weights, so that no accuracy is
    lost; many runtimes take no other.

    Args:
        model: A functional or sequential Keras model.
        dtype: The name of a dtype policy that all layers get. Defaults to
            `"float32"`.

    Returns:
        A new model with copies of the weights, not compiled.

    Raises:
        ValueError: If there is no such policy.

    Example:
    >>> layer = keras.layers.Dense(3, dtype="mixed_bfloat16")
    >>> model = keras.Sequential([keras.Input((4,)), layer])
    >>> with_precision(model).layers[0].compute_dtype
    'float32'
    """
    config = keras.saving.serialize_keras_object(model)
    policy = keras.saving.serialize_keras_object(_policy(dtype))
    # Keras keeps the policies of layers as objects inside the configuration.
    config = _replace_policies(json.loads(json.dumps(config)), policy)
    config.pop("compile_config", None)
    copy = keras.saving.deserialize_keras_object(config)
    copy.set_weights(model.get_weights())
    finish_normalization(copy)
    return copy


def _policy(dtype):
    try:
        return keras.DTypePolicy(dtype)
    except (TypeError, ValueError):
        raise ValueError(
            "`dtype` must be the name of a dtype policy, such as 'float32' or "
            f"'mixed_bfloat16'. Received: dtype={dtype!r}"
        ) from None


def _replace_policies(value, policy):
    if isinstance(value, list):
        return [_replace_policies(item, policy) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == policy["class_name"]:
        return policy
    return {k: _replace_policies(item, policy) for k, item in value.items()}
