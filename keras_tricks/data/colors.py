"""Changes of color in training: jitter by two conventions, and PCA noise."""

import dataclasses

import numpy as np

from keras_tricks._checks import check_choice, check_real

JITTERS = {
    "paper": ("hue", "saturation", "brightness"),
    "gluon": ("brightness", "contrast", "saturation"),
}
"""What is scaled, by convention."""

# Principal components of the colors of ImageNet, pixels in 0 ... 255:
# standard deviations along them, and as columns the directions in RGB.
EIGENVALUES = (55.46, 4.794, 1.148)
EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)
_LUMA = np.array([0.299, 0.587, 0.114], "float32")


@dataclasses.dataclass(frozen=True)
class Jitter:
    """Factors for an image, in the order in which they are applied.

    Args:
        names: Of `"hue"`, `"saturation"`, `"brightness"`, `"contrast"`.
        factors: One for each.
        convention: `"paper"` or `"gluon"`: what a saturation is.

    Example:
    >>> Jitter(("hue",), (1.2,), "paper").factors
    (1.2,)
    """

    names: tuple[str, ...]
    factors: tuple[float, ...]
    convention: str


def draw_jitter(
    rng: np.random.Generator, strength: float = 0.4, convention: str = "paper"
) -> Jitter:
    """Draws the factors of a color jitter.

    Formula: each factor `~ U[1 - strength, 1 + strength]`.

    | convention | what is scaled | order |
    |---|---|---|
    | paper | hue, saturation and brightness | all at once, in HSV |
    | gluon | brightness, contrast and saturation, in RGB | random |

    Args:
        rng: The generator that draws.
        strength: In [0, 1]. Defaults to 0.4, the paper's.
        convention: `"paper"` (default), as the text of the paper says, or
            `"gluon"`, as the code of its authors does.

    Returns:
        A `Jitter`.

    Raises:
        ValueError: If an argument is not as described.

    Example:
    >>> jitter = draw_jitter(np.random.default_rng(0), 0.4)
    >>> all(0.6 <= factor <= 1.4 for factor in jitter.factors)
    True

    Reference:
        arXiv 1812.01187, section 2.1.
    """
    check_real("strength", strength, 0, 1)
    names = JITTERS[check_choice("convention", convention, tuple(JITTERS))]
    factors = rng.uniform(1 - strength, 1 + strength, len(names)).tolist()
    if convention == "gluon":
        order = rng.permutation(len(names)).tolist()
        names = tuple(names[i] for i in order)
        factors = [factors[i] for i in order]
    return Jitter(names, tuple(factors), convention)


def jitter_colors(image: np.ndarray, jitter: Jitter) -> np.ndarray:
    """Scales colors.

    Formula, for a pixel x of RGB and a factor f:

        paper, in HSV:  h -> h f mod 1,  s -> min(s f, 1),  v -> v f
        brightness:     x -> f x
        contrast:       x -> m + f (x - m),  m the mean luma of the image
        saturation:     x -> l + f (x - l),  l the luma of the pixel

    with luma `0.299 R + 0.587 G + 0.114 B`. Nothing is rounded, and nothing
    clipped at 255, which is white.

    Args:
        image: Shape `(H, W, 3)`, RGB in 0 ... 255.
        jitter: From `draw_jitter`.

    Returns:
        float32, of the same shape.

    Raises:
        ValueError: If the image has another shape.

    Example:
    >>> gray = np.full((1, 1, 3), 100, "uint8")
    >>> jitter_colors(gray, Jitter(("brightness",), (1.5,), "gluon")).tolist()
    [[[150.0, 150.0, 150.0]]]
    """
    x = _check_rgb(image)
    if jitter.convention == "paper":
        return _scale_hsv(
            x, dict(zip(jitter.names, jitter.factors, strict=True))
        )
    for name, factor in zip(jitter.names, jitter.factors, strict=True):
        factor = np.float32(factor)
        if name == "brightness":
            x = x * factor
            continue
        base = (x @ _LUMA)[..., None]
        if name == "contrast":
            base = base.mean(dtype="float64").astype("float32")
        x = base + factor * (x - base)
    return x


def _scale_hsv(x, factors):
    """Scales hue, saturation and value of float32 pixels.

    A color is `v - v s w(h)`, where the weight w of each channel is a
    function of the hue between 0 and 1.
    """
    value = x.max(-1)
    chroma = value - x.min(-1)
    safe = np.where(chroma > 0, chroma, 1)
    red, green, blue = np.moveaxis(x, -1, 0)
    hue = np.select(
        [value == red, value == green],
        [(green - blue) / safe % 6, (blue - red) / safe + 2],
        (red - green) / safe + 4,
    )
    hue = hue * np.float32(factors.get("hue", 1)) % 6
    saturation = chroma / np.where(value > 0, value, 1)
    saturation = np.minimum(
        saturation * np.float32(factors.get("saturation", 1)), 1
    )
    value = value * np.float32(factors.get("brightness", 1))
    k = (hue[..., None] + np.array([5, 3, 1], "float32")) % 6
    weight = np.clip(np.minimum(k, 4 - k), 0, 1)
    return value[..., None] * (1 - saturation[..., None] * weight)


def draw_lighting(
    rng: np.random.Generator, std: float = 0.1
) -> tuple[float, float, float]:
    """Draws the coefficients of PCA noise.

    Formula: `a_i ~ N(0, std)`, one for each principal component.

    Args:
        rng: The generator that draws.
        std: Standard deviation, at least 0. Defaults to 0.1, the paper's.

    Returns:
        Three numbers.

    Raises:
        ValueError: If `std` is not as described.

    Example:
    >>> drawn = draw_lighting(np.random.default_rng(0))
    >>> len(drawn), max(map(abs, drawn)) < 0.5
    (3, True)

    Reference:
        Krizhevsky et al., "ImageNet Classification with Deep Convolutional
        Neural Networks", section 4.1; arXiv 1812.01187, section 2.1.
    """
    check_real("std", std, 0)
    return tuple((rng.normal(size=3) * std).tolist())


def add_lighting(
    image: np.ndarray, coefficients: tuple[float, float, float]
) -> np.ndarray:
    """Adds the same color to every pixel, along the colors of ImageNet.

    Formula: `x + E (a * d)`, with the deviations d along the principal
    components (55.46, 4.794, 1.148 in 0 ... 255) and the directions E.

    Args:
        image: Shape `(H, W, 3)`, RGB in 0 ... 255.
        coefficients: The three a, from `draw_lighting`.

    Returns:
        float32, of the same shape, not clipped.

    Raises:
        ValueError: If the image has another shape.

    Example:
    >>> black = np.zeros((1, 1, 3), "uint8")
    >>> add_lighting(black, (-1.0, 0.0, 0.0)).round().tolist()
    [[[31.0, 32.0, 32.0]]]
    """
    x = _check_rgb(image)
    scaled = np.asarray(coefficients, "float64") * EIGENVALUES
    return x + (np.array(EIGENVECTORS) @ scaled).astype("float32")


def _check_rgb(image):
    if getattr(image, "ndim", None) != 3 or image.shape[2] != 3:
        raise ValueError(
            "`image` must be RGB of shape (H, W, 3). "
            f"Received: image.shape={np.shape(image)}"
        )
    return image.astype("float32")
