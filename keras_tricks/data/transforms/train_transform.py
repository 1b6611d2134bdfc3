"""The paper's procedure from a decoded image to what training sees."""

import dataclasses

import keras
import numpy as np

from keras_tricks._checks import check_choice, check_real
from keras_tricks._image_size import ImageSize, check_size, sides_of
from keras_tricks._types import ImageLike
from keras_tricks.data.transforms.aug_mix import (
    AugMix,
    apply_aug_mix,
    draw_aug_mix,
)
from keras_tricks.data.transforms.colors import (
    JITTERS,
    Jitter,
    draw_jitter,
    draw_lighting,
    jitter_and_light,
)
from keras_tricks.data.transforms.crops import (
    FILLS,
    INTERPOLATIONS,
    to_channels,
)
from keras_tricks.data.transforms.erasing import draw_erasing, erase
from keras_tricks.data.transforms.policies import (
    POLICIES,
    PolicyOp,
    apply_policy,
    draw_policy,
)
from keras_tricks.data.transforms.preprocessing import MOST_SIDE
from keras_tricks.data.transforms.random_crops import (
    AREA,
    ASPECT,
    CropBox,
    check_range,
    cut,
    draw_crop,
    image_extent,
)
from keras_tricks.data.transforms.resize import RESIZERS, resize

_LUMA = np.array([[0.299], [0.587], [0.114]], "float32")


@dataclasses.dataclass(frozen=True)
class TransformParameters:
    """All that was drawn to transform one image.

    Args:
        box: The rectangle that is cut out.
        flip: Whether it is mirrored.
        jitter: Factors of the colors, or `None`.
        lighting: Coefficients of the PCA noise, or `None`.
        policy: Changes of an augmentation policy, none by default; or an
            `AugMix`.
        erased: The rectangle of the result that is painted over, or `None`.

    Example:
    >>> TransformParameters(CropBox(0, 0, 8, 8)).flip
    False
    """

    box: CropBox
    flip: bool = False
    jitter: Jitter | None = None
    lighting: tuple[float, float, float] | None = None
    policy: tuple[PolicyOp, ...] | AugMix = ()
    erased: CropBox | None = None


@keras.saving.register_keras_serializable("keras_tricks")
@dataclasses.dataclass(frozen=True)
class TrainTransform:
    """Transforms an image at random, as the paper does for training.

    In this order, each a function of its own:

    | step | formula | function |
    |---|---|---|
    | crop | 8 to 100 % of the area, aspect 3/4 to 4/3 of the result's, resized | `draw_crop`, `crop_and_resize` |
    | flip | left to right, with probability 1/2 | |
    | policy | off by default; RandAugment, TrivialAugment or AugMix | `draw_policy`, `apply_policy`, `draw_aug_mix`, `apply_aug_mix` |
    | jitter | hue, saturation, brightness times U[0.6, 1.4] | `draw_jitter`, `jitter_colors` |
    | lighting | PCA noise, coefficients N(0, 0.1) | `draw_lighting`, `jitter_and_light` |
    | erasing | off by default; a rectangle gets the mean color | `draw_erasing`, `erase` |

    Normalization comes after it, see `Preprocessing.normalize`. What is drawn
    is apart from what is computed: `draw` needs no pixels, `apply` no
    generator.

    Args:
        image_size: Side of the result in pixels, or (height, width). Defaults
            to 224.
        area: Smallest and largest share of the area. Defaults to
            `(0.08, 1)`.
        aspect: Smallest and largest width over height of the crop, over that
            of the result: how much the image may be stretched, whatever the
            result's shape. Defaults to `(3 / 4, 4 / 3)`.
        flip: Whether to flip. Defaults to `True`.
        policy: `None` (default), `"rand_augment"`, `"trivial_augment"` or
            `"aug_mix"`, beyond the paper; see `draw_policy` and
            `draw_aug_mix`.
        magnitude: Of RandAugment, in [0, 30]. Defaults to 9.
        jitter: Strength of the color jitter, in [0, 1]; 0 for none. Defaults
            to 0.4.
        jitter_convention: `"paper"` (default) or `"gluon"`, see
            `draw_jitter`.
        lighting: Standard deviation of the coefficients of the PCA noise; 0
            for none. Defaults to 0.1.
        erasing: Probability of random erasing, beyond the paper. Defaults to
            0.
        interpolation: Filter, see `Preprocessing`. Defaults to `"bilinear"`.
        resizer: Whose kernel resizes: `"auto"` (default), `"pillow"` or
            `"torch"`, see `keras_tricks.data.transforms.resize`.
        severity: Of AugMix, in [0.1, 10]. Defaults to 3.
        channels: 3 (default), or 1 for gray: the luma of what all steps but
            the last, erasing, make of the colors.

    Call arguments:
        image: uint8, shape `(H, W, 3)` in RGB, or `(H, W, 1)`, gray; or an
            image of Pillow from `open_image`.
        rng: The generator that draws.

    Returns:
        Shape `(height, width, channels)`, in the units of the pixels: uint8
        without jitter and lighting, otherwise float32, not clipped.

    Raises:
        ValueError: If an argument is not as described.

    Example:
    >>> transform = TrainTransform(image_size=8)
    >>> image = np.full((30, 40, 3), 100, "uint8")
    >>> x = transform(image, np.random.default_rng(0))
    >>> x.shape, x.dtype.name
    ((8, 8, 3), 'float32')
    >>> parameters = transform.draw(np.random.default_rng(0), 30, 40)
    >>> bool((transform.apply(image, parameters) == x).all())
    True

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 2.1
    """  # noqa: E501

    image_size: ImageSize = 224
    area: tuple[float, float] = AREA
    aspect: tuple[float, float] = ASPECT
    flip: bool = True
    policy: str | None = None
    magnitude: float = 9
    jitter: float = 0.4
    jitter_convention: str = "paper"
    lighting: float = 0.1
    erasing: float = 0.0
    interpolation: str = "bilinear"
    resizer: str = "auto"
    severity: float = 3.0
    channels: int = 3

    def __post_init__(self):
        size = check_size("image_size", self.image_size, 1, MOST_SIDE)
        object.__setattr__(self, "image_size", size)
        area = check_range("area", self.area, 1.0)
        aspect = check_range("aspect", self.aspect, None)
        object.__setattr__(self, "area", area)
        object.__setattr__(self, "aspect", aspect)
        check_choice("policy", self.policy, (None, *POLICIES, "aug_mix"))
        check_real("magnitude", self.magnitude, 0, 30)
        check_real("severity", self.severity, 0.1, 10)
        check_choice("channels", self.channels, (1, 3))
        check_real("erasing", self.erasing, 0, 1)
        check_real("jitter", self.jitter, 0, 1)
        check_choice(
            "jitter_convention", self.jitter_convention, tuple(JITTERS)
        )
        check_real("lighting", self.lighting, 0)
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        check_choice("resizer", self.resizer, RESIZERS)

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Shape of a transformed image."""
        return (*sides_of(self.image_size), self.channels)

    @property
    def output_dtype(self) -> str:
        """uint8, or float32 where colors are changed."""
        return "float32" if self.jitter or self.lighting else "uint8"

    def draw(
        self, rng: np.random.Generator, height: int, width: int
    ) -> TransformParameters:
        """Draw how to transform an image of H x W pixels."""
        rows, columns = size = sides_of(self.image_size)
        low, high = (value * (columns / rows) for value in self.aspect)
        box = draw_crop(rng, height, width, self.area, (low, high))
        flip = self.flip and bool(rng.random() < 0.5)
        jitter, lighting, erased = None, None, None
        policy: tuple[PolicyOp, ...] | AugMix = ()
        if self.policy == "aug_mix":
            policy = draw_aug_mix(rng, self.severity)
        elif self.policy:
            policy = draw_policy(rng, self.policy, magnitude=self.magnitude)
        if self.jitter:
            jitter = draw_jitter(rng, self.jitter, self.jitter_convention)
        if self.lighting:
            lighting = draw_lighting(rng, self.lighting)
        if self.erasing:
            erased = draw_erasing(rng, *size, self.erasing)
        return TransformParameters(box, flip, jitter, lighting, policy, erased)

    def apply(
        self, image: ImageLike, parameters: TransformParameters
    ) -> np.ndarray:
        """Transform an image as the parameters say."""
        if isinstance(image, np.ndarray):
            image = to_channels(image, 3)
        return self.apply_to_crop(cut(image, parameters.box), parameters)

    def apply_to_crop(
        self, crop: ImageLike, parameters: TransformParameters
    ) -> np.ndarray:
        """Apply what was drawn to a crop that was cut out already.

        Args:
            crop: uint8, shape `(h, w, 3)`, or an image of Pillow: the
                rectangle `parameters.box`.
            parameters: From `draw`.
        """
        x = resize(
            crop,
            self.image_size,
            self.interpolation,
            self.resizer,
            parameters.flip,
        )
        if isinstance(parameters.policy, AugMix):
            x = apply_aug_mix(x, parameters.policy)
        elif parameters.policy:
            x = apply_policy(x, parameters.policy)
        jitter, lighting = parameters.jitter, parameters.lighting
        if jitter is not None or lighting is not None:
            x = jitter_and_light(x, jitter, lighting)
        if self.channels == 1 and x.dtype == np.uint8:
            x = to_channels(x, 1)
        elif self.channels == 1:
            x = x @ _LUMA
        return erase(x, parameters.erased, FILLS[self.channels])

    def __call__(
        self, image: ImageLike, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw the parameters and apply them."""
        height, width = image_extent(image)
        return self.apply(image, self.draw(rng, height, width))

    def get_config(self) -> dict:
        """Return the fields."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_config(cls, config: dict) -> "TrainTransform":
        """Return what has this configuration."""
        return cls(**config)
