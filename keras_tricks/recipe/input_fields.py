"""The fields of a recipe that say where images come from, and how."""

import dataclasses

from keras_tricks._image_size import ImageSize
from keras_tricks.data.transforms.preprocessing import MOST_SIDE, RESIZES
from keras_tricks.recipe.fields import option


@dataclasses.dataclass(frozen=True)
class InputFields:
    """The fields of `Recipe` that say where images come from, and how.

    Args:
        **fields: See `Recipe`, which lists them first.

    Example:
    >>> InputFields(augmentation="crop").input_engine
    'auto'
    """

    dataset: str = option("digits", "Name of the data set.")
    data_dir: str | None = option(
        None,
        "Folder of class folders, of images with labels.csv, of shards with "
        "--augmentation=crop, or an .npz; wins over --dataset.",
    )
    image_key: str | None = option(
        None,
        "Feature of shards, or column of a hub, that is the image; the usual "
        "or the only one.",
    )
    label_key: str | None = option(
        None, "Feature or column that is the class, likewise."
    )
    label_offset: int = option(
        0, "What the label of the first class is stored as in shards."
    )
    multi_label: bool = option(
        False,
        "Whether an image may be of several classes, where the data do not "
        "show it.",
    )
    image_size: ImageSize | None = option(
        None,
        "Side in pixels of images from files, or height x width: 224x320.",
        low=8,
        high=MOST_SIDE,
    )
    channels: int | None = option(
        None,
        "1 for gray images, 3 for colors; those of arrays, or 3 of files.",
        choices=(1, 3),
    )
    train_samples: int | None = option(
        None, "Number of training images to use; all by default.", low=1
    )
    test_samples: int | None = option(
        None, "Number of test images to validate on; all by default.", low=1
    )
    validation_share: float = option(
        0.0,
        "Share of each class of the training images to validate on, in place "
        "of the test images, which stay unseen.",
        low=0,
        below=1,
    )
    split_seed: int = option(
        0,
        "Seed of what --validation_share holds out.",
        low=0,
        high=2**32 - 1,
    )
    augmentation: str = option(
        "shift",
        "Augmentation of training images; crop is the paper's.",
        choices=("none", "shift", "shift_flip", "crop"),
    )
    min_crop_area: float = option(
        0.08,
        "Smallest share of the area of a crop.",
        low=0,
        high=1,
        search=(0.08, 0.6, False),
    )
    color_jitter: float = option(
        0.4,
        "Strength of the color jitter; 0 for none.",
        low=0,
        high=1,
        search=(0.0, 0.8, False),
    )
    jitter_convention: str = option(
        "paper",
        "paper: hue, saturation, brightness; gluon: contrast, not hue.",
        choices=("paper", "gluon"),
    )
    lighting: float = option(
        0.1, "Standard deviation of the PCA noise; 0 for none.", low=0
    )
    policy: str = option(
        "none",
        "Augmentation policy after the crop.",
        choices=("none", "rand_augment", "trivial_augment", "aug_mix"),
    )
    magnitude: float = option(
        9.0, "Magnitude of rand_augment, up to 30.", low=0, high=30
    )
    severity: float = option(
        3.0, "Severity of aug_mix, up to 10.", low=0.1, high=10
    )
    erasing: float = option(
        0.0,
        "Probability of random erasing.",
        low=0,
        high=1,
        search=(0.0, 0.5, False),
    )
    repeated_augmentation: int = option(
        1, "Times that an image is in a batch, for as many fewer images.", low=1
    )
    sampler: str = option(
        "none",
        "balanced: an epoch has as many images of each class; sqrt: by the "
        "square roots of their sizes; none: each image once.",
        choices=("none", "balanced", "sqrt"),
    )
    ignore_label: int | None = option(
        None,
        "Images with this label count nowhere: they are left out.",
        low=-(2**24),
        high=2**24,
    )
    test_image_size: ImageSize | None = option(
        None,
        "Size of validation images; --image_size by default.",
        low=8,
        high=MOST_SIDE,
    )
    crop_ratio: float = option(
        0.875,
        "Side of the validation crop over the resized one.",
        low=0,
        high=1,
    )
    resize: str = option(
        "crop",
        "How a validation image gets its size; crop: it is covered and the "
        "rest cut off; letterbox: all of it, on bars of one color.",
        choices=RESIZES,
    )
    progressive_sizes: tuple[int, ...] | None = option(
        None,
        "Sides of training images in equal parts of the run.",
        high=MOST_SIDE,
    )
    input_engine: str = option(
        "auto",
        "What reads the images; auto: memory, or for --augmentation=crop "
        "tf.data where TensorFlow is installed and Grain where it is not.",
        choices=("auto", "memory", "tf.data", "grain"),
    )
    workers: int | None = option(
        None,
        "tf.data: samples in work at a time. Grain: processes.",
        high=1024,
        changes_result=False,
    )
    finish_on: str = option(
        "auto",
        "Where images are normalized and mixed; auto: the device if it is "
        "an accelerator.",
        choices=("auto", "host", "device"),
    )
    max_bad_records: int = option(
        0, "Number of unreadable images that are skipped.", changes_result=False
    )

    @property
    def streams(self) -> bool:
        """Whether images are read while training runs, not before it."""
        engine = self.input_engine
        return self.augmentation == "crop" or engine in ("tf.data", "grain")

    @property
    def training_sizes(self) -> tuple[ImageSize, ...]:
        """Sizes of training images from files, in the order of the run."""
        return self.progressive_sizes or (self.image_size or 224,)
