"""What images a model takes, told by its input."""


def data_formats(model, channels: int) -> list[str]:
    """Return the layouts in which a model can take images.

    Args:
        model: A Keras model.
        channels: Number of channels of the images.

    Returns:
        `"channels_last"`, `"channels_first"`, both or none of them.

    Example:
    >>> layers = [keras.Input((8, 8, 3)), keras.layers.Flatten()]
    >>> data_formats(keras.Sequential(layers), 3)
    ['channels_last']
    """
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4:
        return []
    axes = (("channels_last", 3), ("channels_first", 1))
    return [name for name, axis in axes if shape[axis] == channels]
