"""RandAugment and TrivialAugment: a few simple changes of each image."""

import dataclasses
import importlib

import numpy as np

from keras_tricks._checks import check_choice, check_int, check_real
from keras_tricks.data.transforms.crops import FILL, check_image, import_pillow

POLICIES = ("rand_augment", "trivial_augment")
"""Names that `draw_policy` takes."""

_WITHOUT_VALUE = ("identity", "auto_contrast", "equalize")
_ENHANCE = ("color", "contrast", "brightness", "sharpness")
# The strongest change of each policy.
_STRONGEST = {
    "rand_augment": {
        **dict.fromkeys(_ENHANCE, 0.9),
        **dict.fromkeys(("shear_x", "shear_y"), 0.3),
        **dict.fromkeys(("translate_x", "translate_y"), 150 / 331),
        "rotate": 30.0,
        "posterize": 4,
        "solarize": 256,
    },
    "trivial_augment": {
        **dict.fromkeys(_ENHANCE, 0.99),
        **dict.fromkeys(("shear_x", "shear_y"), 0.99),
        **dict.fromkeys(("translate_x_pixels", "translate_y_pixels"), 32.0),
        "rotate": 135.0,
        "posterize": 6,
        "solarize": 256,
    },
}
_BINS = 30
_FILTERS = ("nearest", "bilinear", "bicubic")


@dataclasses.dataclass(frozen=True)
class PolicyOp:
    """One change of an image, see `draw_policy` for what there is.

    Args:
        name: What is done.
        value: How much, in the unit of the operation. Defaults to 0, for
            those that have none.

    Example:
    >>> PolicyOp("rotate", -9.0).value
    -9.0
    """

    name: str
    value: float = 0.0


def draw_policy(
    rng: np.random.Generator,
    policy: str = "rand_augment",
    num_ops: int = 2,
    magnitude: float = 9,
    magnitude_std: float = 0.0,
) -> tuple[PolicyOp, ...]:
    """Draw the changes of one image.

    Formula: `"rand_augment"` draws `num_ops` of 14 operations, each with
    probability 1/14, all with the strength `m = magnitude / 30`.
    `"trivial_augment"` draws one of them, with m uniform in
    {0, 1/30, ..., 1}. A sign is random.

    | operation | value | RandAugment | TrivialAugment |
    |---|---|---|---|
    | `identity`, `auto_contrast`, `equalize` | none | | |
    | `rotate` | degrees, counterclockwise | ± 30 m | ± 135 m |
    | `shear_x`, `shear_y` | pixels per pixel | ± 0.3 m | ± 0.99 m |
    | `translate_x`, `translate_y` | share of the side | ± 150/331 m | |
    | `translate_x_pixels`, `translate_y_pixels` | pixels | | ± 32 m |
    | `color`, `contrast`, `brightness`, `sharpness` | factor | 1 ± 0.9 m | 1 ± 0.99 m |
    | `posterize` | bits that are kept | 8 - round(4 m) | 8 - round(6 m) |
    | `solarize` | lowest value inverted | 256 (1 - m) | 256 (1 - m) |

    So a magnitude of 0 changes nothing but by `auto_contrast` and `equalize`.
    `keras.layers.RandAugment` makes the same changes to all images of a batch,
    computes each of its layers whatever it drew, and does so in the compute
    dtype of the policy; hence this one.

    Args:
        rng: The generator that draws.
        policy: `"rand_augment"` (default) or `"trivial_augment"`, the wide
            one.
        num_ops: Number of operations of RandAugment, at least 0. Defaults to
            2, the paper's for ResNet-50.
        magnitude: Strength of RandAugment in [0, 30]. Defaults to 9, the
            paper's for ResNet-50. It counts up to 30, as the text of the
            paper does; where a magnitude counts up to 10, as in the code of
            its authors, give three times as much.
        magnitude_std: RandAugment draws each magnitude from a normal
            distribution of this standard deviation, cut to [0, 30]. Defaults
            to 0, the paper's.

    Returns:
        A tuple of `PolicyOp`, in the order in which they are applied.

    Raises:
        ValueError: If an argument is not as described.

    Example:
    >>> ops = draw_policy(np.random.default_rng(0), "rand_augment", num_ops=2)
    >>> [op.name for op in ops]
    ['rotate', 'contrast']

    Reference:
        - [Cubuk et al., 2019](https://arxiv.org/abs/1909.13719), with the
          ranges of [Cubuk et al., 2018](https://arxiv.org/abs/1805.09501),
          table 6
        - [Müller and Hutter, 2021](https://arxiv.org/abs/2103.10158), table 1
    """  # noqa: E501
    strongest = _STRONGEST[check_choice("policy", policy, POLICIES)]
    check_int("num_ops", num_ops)
    check_real("magnitude", magnitude, 0, _BINS)
    check_real("magnitude_std", magnitude_std, 0)
    names = (*_WITHOUT_VALUE, *strongest)
    ops = []
    for _ in range(num_ops if policy == "rand_augment" else 1):
        name = names[rng.integers(len(names))]
        if policy == "trivial_augment":
            strength = rng.integers(_BINS + 1) / _BINS
        else:
            drawn = magnitude + magnitude_std * rng.normal()
            strength = min(max(drawn, 0), _BINS) / _BINS
        sign = 1 - 2 * rng.integers(2)
        change = float(strength * strongest.get(name, 0))
        if name in _ENHANCE:
            value = 1 + sign * change
        elif name == "posterize":
            value = 8 - round(change)
        elif name == "solarize":
            value = 256 - change
        else:
            value = sign * change
        ops.append(PolicyOp(name, value + 0.0))  # -0.0 becomes 0.0
    return tuple(ops)


def apply_policy(
    image: np.ndarray,
    ops: tuple[PolicyOp, ...],
    fill: tuple[int, int, int] = FILL,
    interpolation: str = "nearest",
) -> np.ndarray:
    """Change an image as a policy says, one operation after the other.

    Formula: every operation is Pillow's. A rotation is around the middle; a
    shear leaves the top row or the left column where it is.

    Args:
        image: uint8, shape `(H, W, 3)`, RGB.
        ops: From `draw_policy`.
        fill: RGB of what comes into the image from outside of it, integers
            in 0 ... 255. Defaults to the mean of ImageNet.
        interpolation: Of rotations, shears and translations: `"nearest"`
            (default), as in the papers, `"bilinear"` or `"bicubic"`.

    Returns:
        uint8, of the same shape; the same array if nothing is to do.

    Raises:
        ValueError: If an argument is not as described.
        ImportError: If Pillow is missing.

    Example:
    >>> image = np.full((4, 4, 3), 100, "uint8")
    >>> ops = (PolicyOp("brightness", 1.5), PolicyOp("translate_x_pixels", 1))
    >>> apply_policy(image, ops)[0, :, 0].tolist()
    [150, 150, 150, 124]
    """
    check_image(image)
    if image.shape[2] != 3:
        raise ValueError(
            "`image` must be RGB of shape (H, W, 3). "
            f"Received: image.shape={image.shape}"
        )
    check_choice("interpolation", interpolation, _FILTERS)
    fill = _check_fill(fill)
    for op in ops:
        if op.name not in _APPLY:
            raise ValueError(
                f"`ops` must be of {', '.join(_APPLY)}. Received: {op}"
            )
    ops = [op for op in ops if op.name != "identity"]
    if not ops:
        return image
    pillow = import_pillow()
    options = {
        "resample": pillow.Resampling[interpolation.upper()],
        "fillcolor": fill,
    }
    changed = pillow.fromarray(np.ascontiguousarray(image))
    for op in ops:
        changed = _APPLY[op.name](changed, op.value, options)
    return np.asarray(changed)


def _check_fill(fill):
    try:
        color = tuple(check_int("fill", channel) for channel in fill)
    except (TypeError, ValueError):
        color = ()
    if len(color) != 3 or max(color) > 255:
        raise ValueError(
            "`fill` must be three integers in 0 ... 255. "
            f"Received: fill={fill!r}"
        )
    return color


def _affine(matrix):
    """Return an operation whose pixel (x, y) comes from `matrix(value)`."""

    def apply(image, value, options):
        transform = import_pillow().Transform.AFFINE
        numbers = matrix(value, *image.size)
        return image.transform(image.size, transform, numbers, **options)

    return apply


def _enhance(name):
    """Return an operation of PIL.ImageEnhance, which takes a factor."""

    def apply(image, value, _):
        module = importlib.import_module("PIL.ImageEnhance")
        return getattr(module, name)(image).enhance(value)

    return apply


def _with_ops(name, *kinds):
    """Return an operation of PIL.ImageOps that takes values of these kinds."""

    def apply(image, value, _):
        module = importlib.import_module("PIL.ImageOps")
        return getattr(module, name)(image, *(kind(value) for kind in kinds))

    return apply


_APPLY = {
    "identity": lambda image, value, options: image,
    "auto_contrast": _with_ops("autocontrast"),
    "equalize": _with_ops("equalize"),
    "posterize": _with_ops("posterize", int),
    "solarize": _with_ops("solarize", float),
    "color": _enhance("Color"),
    "contrast": _enhance("Contrast"),
    "brightness": _enhance("Brightness"),
    "sharpness": _enhance("Sharpness"),
    "rotate": lambda image, value, options: image.rotate(value, **options),
    "shear_x": _affine(lambda v, w, h: (1, v, 0, 0, 1, 0)),
    "shear_y": _affine(lambda v, w, h: (1, 0, 0, v, 1, 0)),
    "translate_x": _affine(lambda v, w, h: (1, 0, v * w, 0, 1, 0)),
    "translate_y": _affine(lambda v, w, h: (1, 0, 0, 0, 1, v * h)),
    "translate_x_pixels": _affine(lambda v, w, h: (1, 0, v, 0, 1, 0)),
    "translate_y_pixels": _affine(lambda v, w, h: (1, 0, 0, 0, 1, v)),
}
