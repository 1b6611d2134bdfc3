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
_LUMA = np.array([0.299, 0.587, 0.114])


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
    """Draw the factors of a color jitter.

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
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 2.1
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
    """Scale colors.

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
    return jitter_and_light(image, jitter, None)


def draw_lighting(
    rng: np.random.Generator, std: float = 0.1
) -> tuple[float, float, float]:
    """Draw the coefficients of PCA noise.

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
        - Krizhevsky et al., 2012, section 4.1
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 2.1
    """
    check_real("std", std, 0)
    return tuple((rng.normal(size=3) * std).tolist())


def add_lighting(
    image: np.ndarray, coefficients: tuple[float, float, float]
) -> np.ndarray:
    """Add the same color to every pixel, along the colors of ImageNet.

    Formula: `x + E (a * d)`, with the standard deviations d along the principal
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
    return jitter_and_light(image, None, coefficients)


def jitter_and_light(
    image: np.ndarray,
    jitter: Jitter | None,
    lighting: tuple[float, float, float] | None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Scale colors and add PCA noise, in one go.

    Formula: `add_lighting(jitter_colors(image, jitter), lighting)`. By the
    gluon convention all of it is one matrix and one color,

        x -> A x + b

    since the mean luma m, which the contrast needs, is that of the mean
    color.

    Args:
        image: Shape `(H, W, 3)`, RGB in 0 ... 255. uint8 is fastest.
        jitter: From `draw_jitter`, or `None`.
        lighting: From `draw_lighting`, or `None`.
        out: Where to write the result, such as an image of a batch: float32,
            of the shape of the image, contiguous. Defaults to a new array.

    Returns:
        float32, of the same shape, not clipped; `out` if it was given.

    Raises:
        ValueError: If the image or `out` is not as described.

    Example:
    >>> image = np.full((1, 1, 3), 100, "uint8")
    >>> jitter = Jitter(("brightness",), (1.5,), "gluon")
    >>> jitter_and_light(image, jitter, (-1.0, 0.0, 0.0)).round().tolist()
    [[[181.0, 182.0, 182.0]]]
    """
    image = _check_rgb(image)
    out = _check_out(out, image.shape)
    color = np.zeros(3)
    if lighting is not None:
        scaled = np.asarray(lighting, "float64") * EIGENVALUES
        color = np.array(EIGENVECTORS) @ scaled
    if jitter is not None and jitter.convention == "paper":
        factors = dict(zip(jitter.names, jitter.factors, strict=True))
        _scale_hsv(image, factors, color.tolist(), out)
        return out
    x = image
    if jitter is not None:
        x = image.astype("float32", copy=False)
        matrix, shift = _affine(x, jitter)
        matrix = matrix.T.astype("float32")
        x = np.matmul(x.reshape(-1, 3), matrix, out=out.reshape(-1, 3))
        color = color + shift
    # By rows of the image: a loop over three numbers at a time is slow.
    rows = (out.shape[0], -1)
    row = np.tile(color.astype("float32"), out.shape[1])
    np.add(x.reshape(rows), row, out=out.reshape(rows))
    return out


def _affine(x, jitter):
    """Return the A and b of gluon's jitter, in float64."""
    matrix, shift = np.eye(3), np.zeros(3)
    if "contrast" in jitter.names:
        rows = x.reshape(len(x), -1).sum(0).reshape(-1, 3)
        mean = rows.mean(0, dtype="float64") / len(x)
    for name, factor in zip(jitter.names, jitter.factors, strict=True):
        step, base = factor * np.eye(3), 0.0
        if name == "contrast":
            base = (1 - factor) * (_LUMA @ (matrix @ mean + shift))
        elif name == "saturation":
            step += (1 - factor) * _LUMA
        matrix, shift = step @ matrix, step @ shift + base
    return matrix, shift


def _scale_hsv(image, factors, color, out):
    """Scale hue, saturation and value, and add a color.

    With the largest channel v, the smallest u and c = v - u, saturation is
    c / v, and a color of hue h in 0 ... 6 is `v - c w(h)` with the weights

        red    2 - clip(|h - 3|, 1, 2)
        green  clip(|h - 2|, 1, 2) - 1
        blue   clip(|h - 4|, 1, 2) - 1

    which are 0 in the largest channel and 1 in the smallest. So the way from
    red, whichever side is shorter, is `d = 2 + w_red - w_green - w_blue`; h
    is d where g >= b, otherwise 6 - d.
    """
    red, green, blue = np.ascontiguousarray(image.reshape(-1, 3).T)
    value = np.maximum(np.maximum(red, green), blue)
    low = np.minimum(np.minimum(red, green), blue)
    hue, chroma, base, buffer = np.empty((4, len(red)), "float32")
    # c d, of differences that are never negative, since the input may be
    # uint8.
    np.add(value - red, green - low, out=hue, dtype="float32")
    hue += blue - low
    chroma[:] = value - low
    np.add(chroma, np.float32(1e-30), out=buffer)
    hue /= buffer
    np.multiply(green < blue, np.float32(6), out=buffer)
    hue -= buffer
    np.abs(hue, out=hue)
    factor = factors.get("hue", 1.0)
    hue *= np.float32(factor)
    if not 0 <= factor <= 1:
        np.multiply(hue, np.float32(1 / 6), out=buffer)
        np.floor(buffer, out=buffer)
        buffer *= np.float32(6)
        hue -= buffer
    base[:] = value
    chroma *= np.float32(factors.get("saturation", 1.0))
    np.minimum(chroma, base, out=chroma)
    chroma *= np.float32(factors.get("brightness", 1.0))
    base *= np.float32(factors.get("brightness", 1.0))
    base += chroma
    flat = out.reshape(-1, 3)
    for channel, center in ((1, 2), (2, 4), (0, 3)):
        if channel == 0:
            base -= np.multiply(chroma, np.float32(3), out=buffer)
            chroma *= np.float32(-1)
        np.subtract(hue, np.float32(center), out=buffer)
        np.abs(buffer, out=buffer)
        np.clip(buffer, np.float32(1), np.float32(2), out=buffer)
        buffer *= chroma
        if color[channel]:
            buffer -= np.float32(color[channel])
        np.subtract(base, buffer, out=flat[:, channel])


def _check_rgb(image):
    """Return a contiguous image, in float32 unless it is uint8."""
    if getattr(image, "ndim", None) != 3 or image.shape[2] != 3:
        raise ValueError(
            "`image` must be RGB of shape (H, W, 3). "
            f"Received: image.shape={np.shape(image)}"
        )
    dtype = "uint8" if image.dtype == np.uint8 else "float32"
    return np.ascontiguousarray(image, dtype)


def _check_out(out, shape):
    if out is None:
        return np.empty(shape, "float32")
    right = isinstance(out, np.ndarray) and out.dtype == np.float32
    if not right or out.shape != shape or not out.flags.c_contiguous:
        raise ValueError(
            f"`out` must be a contiguous float32 array of shape {shape}. "
            f"Received: out.dtype={getattr(out, 'dtype', None)}, "
            f"out.shape={np.shape(out)}"
        )
    return out
