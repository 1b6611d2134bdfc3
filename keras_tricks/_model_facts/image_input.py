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


def image_sides(model, channels: int) -> tuple[int | None, int | None]:
    """Return the height and width that a model takes, None for any.

    Args:
        model: A Keras model.
        channels: Number of channels of the images.

    Example:
    >>> layers = [keras.Input((8, None, 3)), keras.layers.Flatten()]
    >>> image_sides(keras.Sequential(layers), 3)
    (8, None)
    """
    formats = data_formats(model, channels)
    if not formats:
        return None, None
    shape = model.input_shape
    return shape[1:3] if formats[0] == "channels_last" else shape[2:]
