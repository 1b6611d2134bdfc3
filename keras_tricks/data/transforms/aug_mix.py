"""AugMix: several chains of simple changes, mixed with the image itself."""

import dataclasses

import numpy as np

from keras_tricks._checks import check_int, check_real
from keras_tricks.data.transforms.crops import FILL
from keras_tricks.data.transforms.policies import PolicyOp, apply_policy

# Those of AutoAugment that are no corruption of ImageNet-C.
_OPS = (
    "auto_contrast",
    "equalize",
    "posterize",
    "rotate",
    "solarize",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
# The strongest change, where it has a sign.
_STRONGEST = {
    "rotate": 30.0,
    **dict.fromkeys(("shear_x", "shear_y"), 0.3),
    **dict.fromkeys(("translate_x", "translate_y"), 1 / 3),
}


@dataclasses.dataclass(frozen=True)
class AugMix:
    """What was drawn to mix one image.

    Args:
        chains: Tuples of `PolicyOp`, each applied to the image itself.
        weights: A weight for each chain, 1 in sum.
        share: m in [0, 1], the weight of the unchanged image.

    Example:
    >>> AugMix(((PolicyOp("rotate", 9.0),),), (1.0,), 0.25).share
    0.25
    """

    chains: tuple[tuple[PolicyOp, ...], ...]
    weights: tuple[float, ...]
    share: float


def draw_aug_mix(
    rng: np.random.Generator,
    severity: float = 3.0,
    width: int = 3,
    depth: int = 3,
    alpha: float = 1.0,
) -> AugMix:
    """Draw the chains of one image, and how they are mixed.

    Formula, with k chains:

        w ~ Dirichlet(alpha, ..., alpha),   m ~ Beta(alpha, alpha)
        length of a chain ~ U{1 ... depth}
        each of its operations ~ U of nine,   s ~ U[0.1, severity] / 10

    | operation | value |
    |---|---|
    | `auto_contrast`, `equalize` | none |
    | `posterize` | 4 - floor(4 s) bits are kept |
    | `solarize` | 256 (1 - s) is the lowest value inverted |
    | `rotate` | ± 30 s degrees |
    | `shear_x`, `shear_y` | ± 0.3 s pixels per pixel |
    | `translate_x`, `translate_y` | ± s / 3 of the side |

    The paper takes the operations of AutoAugment, but for those that are also
    corruptions of ImageNet-C: no contrast, color, brightness or sharpness.
    Strengths are in the code of its authors alone, which rounds degrees and
    pixels of a translation to whole ones; here they are not.

    Args:
        rng: The generator that draws.
        severity: Largest strength, in [0.1, 10]. Defaults to 3.
        width: k, at least 1. Defaults to 3, the paper's.
        depth: Largest number of operations in a chain, at least 1. Defaults
            to 3, the paper's.
        alpha: Of both distributions, above 0. Defaults to 1, the paper's.

    Returns:
        An `AugMix`.

    Raises:
        ValueError: If an argument is not as described.

    Example:
    >>> mix = draw_aug_mix(np.random.default_rng(0))
    >>> [[op.name for op in chain] for chain in mix.chains]
    [['translate_y', 'shear_y'], ['posterize', 'rotate', 'shear_y'], \
['translate_x']]
    >>> round(sum(mix.weights), 6)
    1.0

    Reference:
        - [Hendrycks et al., 2019](https://arxiv.org/abs/1912.02781),
          algorithm 1
    """
    check_real("severity", severity, 0.1, 10)
    check_int("width", width, 1)
    check_int("depth", depth, 1)
    check_real("alpha", alpha, 0, open_low=True)
    weights = rng.dirichlet([alpha] * width).tolist()
    share = float(rng.beta(alpha, alpha))
    chains = []
    for _ in range(width):
        chain = []
        for _ in range(rng.integers(1, depth + 1)):
            name = _OPS[rng.integers(len(_OPS))]
            strength = float(rng.uniform(0.1, severity)) / 10
            sign = 1 - 2 * int(rng.integers(2))
            value = sign * strength * _STRONGEST.get(name, 0.0) + 0.0
            if name == "posterize":
                value = 4 - int(4 * strength)
            elif name == "solarize":
                value = 256 * (1 - strength)
            chain.append(PolicyOp(name, value))
        chains.append(tuple(chain))
    return AugMix(tuple(chains), tuple(weights), share)


def apply_aug_mix(
    image: np.ndarray,
    mix: AugMix,
    fill: tuple[int, int, int] = FILL,
    interpolation: str = "bilinear",
) -> np.ndarray:
    """Mix an image with chains of changes of it.

    Formula: `round(m x + (1 - m) Σ_i w_i chain_i(x))`, in float64, halves to
    the even number; every operation is Pillow's, on uint8.

    Args:
        image: uint8, shape `(H, W, 3)`, RGB.
        mix: From `draw_aug_mix`.
        fill: See `apply_policy`. In the code of the authors it is black.
        interpolation: See there. Defaults to `"bilinear"`, the authors'.

    Returns:
        uint8, of the same shape.

    Raises:
        ValueError: If an argument is not as described.
        ImportError: If Pillow is missing.

    Example:
    >>> image = np.full((4, 4, 3), 200, "uint8")
    >>> mix = AugMix(((PolicyOp("solarize", 100.0),),), (1.0,), 0.5)
    >>> apply_aug_mix(image, mix)[0, 0].tolist()
    [128, 128, 128]

    Reference:
        - [Hendrycks et al., 2019](https://arxiv.org/abs/1912.02781),
          algorithm 1
    """
    if len(mix.chains) != len(mix.weights) or abs(sum(mix.weights) - 1) > 1e-3:
        raise ValueError(
            f"`mix` must have a weight for each of {len(mix.chains)} chains, 1 "
            f"in sum. Received: weights={mix.weights!r}"
        )
    check_real("mix.share", mix.share, 0, 1)
    mixed = np.zeros(np.shape(image))
    for chain, weight in zip(mix.chains, mix.weights, strict=True):
        mixed += weight * apply_policy(image, chain, fill, interpolation)
    mixed = mix.share * image + (1 - mix.share) * mixed
    return mixed.round().astype("uint8")
