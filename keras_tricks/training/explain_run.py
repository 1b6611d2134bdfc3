"""What a run says before its first step, beside what its recipe says."""

from keras_tricks.data import ImageData, ImageSet
from keras_tricks.data.sources.class_names import describe_classes
from keras_tricks.distribute import Distribution
from keras_tricks.recipe import Recipe
from keras_tricks.training.class_balance import class_balance

_SHOWN = 10


def explain_devices(recipe: Recipe, distribution: Distribution) -> str:
    """Say what each device sees, and that the rate does not depend on it.

    Example:
    >>> from keras_tricks import Recipe
    >>> text = explain_devices(Recipe(), Distribution())
    >>> text.splitlines()[1].split(": ")[0].strip()
    'each sees 64 of the 64 images of a batch'
    """
    batch = recipe.batch_size // recipe.gradient_accumulation_steps
    part = batch // distribution.num_replicas
    scaled = ", as is the batch of the rate" * (recipe.scaling != "none")
    return (
        f"devices   {distribution.describe()}\n"
        f"          each sees {part} of the {batch} images of a batch: "
        f"{recipe.batch_size} for an update is that of all{scaled}\n"
    )


def explain_labels(data: ImageData | ImageSet) -> str:
    """Say which classes there are, and what labels of several hold.

    Example:
    >>> from keras_tricks.data import load
    >>> print(explain_labels(load("digits")))
    classes   10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
    <BLANKLINE>
    """
    text = f"classes   {describe_classes(data.class_names)}\n"
    if not data.multi_label:
        return text
    counts = data.class_counts
    if counts is None:
        return f"{text}labels    several classes of an image, or none\n"
    each = counts.sum() / data.train_size
    text += f"labels    {each:.3g} classes of a training image on average\n"
    names = zip(data.class_names, counts, strict=True)
    missing = [name for name, count in names if not count]
    if missing:
        text += f"          no training image: {describe_classes(missing)}\n"
    return text


def explain_class_balance(recipe: Recipe, data: ImageData | ImageSet) -> str:
    """Say what the training labels make of the loss: lines, or none.

    Example:
    >>> from keras_tricks import Recipe
    >>> from keras_tricks.data import load
    >>> recipe = Recipe(logit_adjustment=1)
    >>> print(explain_class_balance(recipe, load("digits"))[:42])
    balance   shares of the classes 0.09875, 0
    """
    counts = data.class_counts
    balance = class_balance(recipe, counts)
    lines = []
    if "class_weights" in balance:
        weights = balance["class_weights"]
        text = f"weights of the classes {_some(weights)}"
        if counts is not None:
            mean = (weights * counts).sum() / counts.sum()
            text += f"; their mean over the training images {mean:.4g}"
        lines.append(text)
    if "class_priors" in balance:
        lines.append(f"shares of the classes {_some(balance['class_priors'])}")
    heads = ["balance", *[""] * len(lines)]
    return "".join(
        f"{head:<10}{line}\n" for head, line in zip(heads, lines, strict=False)
    )


def _some(values):
    shown = ", ".join(f"{value:.4g}" for value in values[:_SHOWN])
    return shown + ", ..." * (len(values) > _SHOWN)


def explain_features(why_not):
    """Say whether features are computed once, or why they are not."""
    if why_not is None:
        text = (
            "computed once, without augmentation, and kept in the run folder: "
            "the head alone trains, on them"
        )
    else:
        text = f"computed in each epoch: {why_not}"
    return f"features  {text}\n"
