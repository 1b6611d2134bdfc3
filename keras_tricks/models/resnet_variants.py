"""The twenty networks by name, such as `ResNet50D`."""

import inspect

from keras_tricks.models.resnet import ResNet

_DOCUMENTATION = """Builds ResNet-{depth}-{variant}.

    `ResNet({depth}, "{variant}", ...)`: see `keras_tricks.models.ResNet`.

    Args:
        **options: The other arguments of `ResNet`: `num_classes`, `zero_gamma`,
            `activation`, `small_images`, `include_top`, `pooling`, `width`,
            `dropout`, `drop_path`, `output_stride`, `frozen_norm`, `weights`,
            `skip_head`, `input_shape`, `data_format`, `dtype` and `name`, with
            the same defaults.

    Returns:
        A functional `keras.Model` that gives float32 logits.

    Raises:
        ValueError: As `ResNet` does.

    Example:

    >>> model = ResNet{depth}{variant}(
    ...     num_classes=10, width=2, input_shape=(32, 32, 3)
    ... )
    >>> model.name
    'resnet{depth}_{suffix}'

    Reference:
        [He et al., 2018](https://arxiv.org/abs/1812.01187), section 4.
    """


def _constructor(depth, variant):
    """Returns `ResNet` with depth and variant fixed, named after them."""

    def build(**options):
        return ResNet(depth, variant, **options)

    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(ResNet).parameters.items()
        if name not in ("depth", "variant")
    ]
    build.__name__ = build.__qualname__ = f"ResNet{depth}{variant}"
    build.__signature__ = inspect.Signature(parameters)
    build.__doc__ = _DOCUMENTATION.format(
        depth=depth, variant=variant, suffix=variant.lower()
    )
    return build


ResNet18A = _constructor(18, "A")
ResNet18B = _constructor(18, "B")
ResNet18C = _constructor(18, "C")
ResNet18D = _constructor(18, "D")
ResNet34A = _constructor(34, "A")
ResNet34B = _constructor(34, "B")
ResNet34C = _constructor(34, "C")
ResNet34D = _constructor(34, "D")
ResNet50A = _constructor(50, "A")
ResNet50B = _constructor(50, "B")
ResNet50C = _constructor(50, "C")
ResNet50D = _constructor(50, "D")
ResNet101A = _constructor(101, "A")
ResNet101B = _constructor(101, "B")
ResNet101C = _constructor(101, "C")
ResNet101D = _constructor(101, "D")
ResNet152A = _constructor(152, "A")
ResNet152B = _constructor(152, "B")
ResNet152C = _constructor(152, "C")
ResNet152D = _constructor(152, "D")
