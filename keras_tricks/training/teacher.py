"""The teacher of a recipe, and the distiller around its student."""

import os

import keras

from keras_tricks._checks import first_line
from keras_tricks._model_facts.image_input import data_formats
from keras_tricks._untrusted import load_model
from keras_tricks.data import Preprocessing
from keras_tricks.distillation import AdaptImages, Distiller
from keras_tricks.models._constructors import CONSTRUCTORS
from keras_tricks.networks import build_network
from keras_tricks.networks.names import is_built
from keras_tricks.recipe import Recipe


def load_teacher(
    recipe: Recipe, image_shape: tuple[int, int, int], num_classes: int
) -> keras.Model:
    """Load the teacher of a recipe.

    Args:
        recipe: `teacher` is the path of a saved model, the name of one in
            `keras_tricks.models` whose weights are `teacher_weights`, see
            `keras_tricks.models.load_weights_from`, or a name of
            `keras_tricks.networks.build_network`.
        image_shape: Height, width and channels of the images.
        num_classes: Number of logits of a named model.

    Returns:
        The model, with its weights.

    Raises:
        ValueError: If a file is missing or unreadable, or weights do not
            belong to the model.

    Example:
    >>> import tempfile
    >>> from keras_tricks import Recipe
    >>> from keras_tricks.models import ResNet18D
    >>> path = tempfile.mkdtemp() + "/teacher.keras"
    >>> ResNet18D(num_classes=10, width=4, input_shape=(32, 32, 3)).save(path)
    >>> load_teacher(Recipe(teacher=path), (32, 32, 3), 10).name
    'resnet18_d'
    """
    if recipe.teacher in CONSTRUCTORS:
        return _named(recipe, image_shape, num_classes)
    if is_built(recipe.teacher):
        return _of_others(recipe, image_shape, num_classes)
    if os.path.isdir(recipe.teacher):
        raise ValueError(
            "`teacher` must be a saved .keras model: of the folder of a run "
            "its last.keras, say. Received: the folder "
            f"teacher={recipe.teacher!r}"
        )
    try:
        teacher = load_model(recipe.teacher)
    except ValueError as error:
        raise ValueError(
            "`teacher` must be the path of a saved .keras model, or the name "
            "of one in keras_tricks.models, such as ResNet50D "
            f"({first_line(error)}). Received: teacher={recipe.teacher!r}"
        ) from None
    if recipe.teacher_weights is not None:
        raise ValueError(
            "`teacher_weights` must be None for a saved model, which has its "
            f"own. Received: teacher={recipe.teacher!r}, "
            f"teacher_weights={recipe.teacher_weights!r}"
        )
    return teacher


def _named(recipe, image_shape, num_classes):
    weights = recipe.teacher_weights
    if weights is None:
        raise ValueError(
            f"`teacher_weights` must be the weights of {recipe.teacher}. "
            "Received: teacher_weights=None"
        )
    if keras.config.image_data_format() == "channels_first":
        image_shape = (image_shape[2], *image_shape[:2])
    try:
        return CONSTRUCTORS[recipe.teacher](
            num_classes=num_classes,
            input_shape=image_shape,
            small_images=recipe.small_images,
            weights=weights,
        )
    except ValueError as error:
        raise ValueError(
            f"`teacher_weights` must be the weights of {recipe.teacher} with "
            f"{num_classes} classes: {error}"
        ) from None


def _of_others(recipe, image_shape, num_classes):
    name, weights = recipe.teacher, recipe.teacher_weights
    if weights is None and name.startswith("applications/"):
        raise ValueError(
            f"`teacher_weights` must be the weights of {name}. "
            "Received: teacher_weights=None"
        )
    try:
        teacher = build_network(name, image_shape, num_classes, weights=weights)
    except ValueError as error:
        text = str(error).replace("`model`", "`teacher`")
        text = text.replace("`weights`", "`teacher_weights`")
        raise ValueError(text) from error
    if teacher.network_report.fresh_head:
        raise ValueError(
            f"`teacher` must be trained for the {num_classes} classes of the "
            f"data. Received: teacher={name!r}, whose last layer is random"
        )
    return teacher


def adapt_to(
    teacher: keras.Model,
    image_shape: tuple[int, int, int],
    data_format: str,
    preprocessing: Preprocessing | None = None,
) -> AdaptImages | None:
    """Return what turns the student's images into the teacher's, or None.

    Size and layout are known from the models. So is the normalization, where
    a model has `preprocessing`, as pretrained ones and those of our runs have.
    Otherwise that both were normalized alike is for the user to see to.

    Args:
        teacher: The teacher.
        image_shape: Height, width and channels of the student's images.
        data_format: Layout of the student's images.
        preprocessing: How they are normalized, if known.

    Raises:
        ValueError: If the teacher takes another number of channels.

    Example:
    >>> from keras_tricks.models import ResNet18D
    >>> teacher = ResNet18D(
    ...     num_classes=10, width=4, input_shape=(32, 32, 3),
    ...     data_format="channels_last",
    ... )
    >>> adapt_to(teacher, (28, 28, 3), "channels_last").image_size
    (32, 32)
    """
    shape = getattr(teacher, "input_shape", None)
    channels = image_shape[2]
    formats = data_formats(teacher, channels)
    if not formats:
        raise ValueError(
            f"`teacher` must take images of {channels} channels. "
            f"Received: teacher={teacher.name!r} of input shape {shape}"
        )
    theirs = data_format if data_format in formats else formats[0]
    sides = shape[1:3] if theirs == "channels_last" else shape[2:4]
    size = None if None in sides or sides == image_shape[:2] else sides
    units = _units(preprocessing, getattr(teacher, "preprocessing", None))
    if size is None and theirs == data_format and not units:
        return None
    return AdaptImages(
        size, data_format=data_format, teacher_data_format=theirs, **units
    )


def _units(ours, theirs):
    """Return the map from one normalization to another: none if known."""
    if ours is None or theirs is None:
        return {}
    same = (ours.mean, ours.std, ours.channels)
    if same == (theirs.mean, theirs.std, theirs.channels):
        return {}
    return {
        "student_mean": ours.mean,
        "student_std": ours.std,
        "teacher_mean": theirs.mean,
        "teacher_std": theirs.std,
        "reverse_channels": ours.channels != theirs.channels,
    }


def build_distiller(
    recipe: Recipe,
    student: keras.Model,
    image_shape: tuple[int, int, int],
    data_format: str,
) -> Distiller:
    """Put the student of a recipe and its teacher together.

    Args:
        recipe: A recipe with a teacher.
        student: The network to be trained.
        image_shape: Height, width and channels of the images.
        data_format: Layout of the batches.

    Raises:
        ValueError: As `load_teacher`, `adapt_to` and
            `keras_tricks.distillation.Distiller` do.

    Example:
    >>> import tempfile
    >>> from keras_tricks import Recipe, models
    >>> make = lambda: models.ResNet18D(
    ...     num_classes=10, width=4, input_shape=(32, 32, 3),
    ...     data_format="channels_last",
    ... )
    >>> path = tempfile.mkdtemp() + "/teacher.keras"
    >>> make().save(path)
    >>> recipe = Recipe(teacher=path)
    >>> build_distiller(recipe, make(), (32, 32, 3), "channels_last").name
    'distiller'
    """
    teacher = load_teacher(recipe, image_shape, student.output_shape[-1])
    adapt = adapt_to(
        teacher,
        image_shape,
        data_format,
        getattr(student, "preprocessing", None),
    )
    # `prepare` has measured the teacher on a batch.
    return Distiller(
        student, teacher, adapt, check_teacher=False, name="distiller"
    )
