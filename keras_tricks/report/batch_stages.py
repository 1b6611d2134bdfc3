import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_tricks._checks import check_int
from keras_tricks._random import AUGMENT, random_generator
from keras_tricks.data import Batches, ImageBatches, TrainTransform
from keras_tricks.data.transforms import AugMix, CropBox, open_image
from keras_tricks.data.transforms.random_crops import image_extent
from keras_tricks.layers import CutMix, MixUpOrCutMix

# What a transform does after the crop, in its order, and the parameter of each.
_STEPS = ("flip", "policy", "jitter", "lighting", "erasing")
_OFF = {
    "flip": False,
    "policy": (),
    "jitter": None,
    "lighting": None,
    "erased": None,
}


@dataclasses.dataclass(frozen=True)
class Stage:
    """A sample after one step of its way into the network.

    Args:
        title: The step.
        image: uint8 or float32 in the units of the pixels, shape
            `(H, W, C)`.
        note: What was drawn for it, or "".
        box: A rectangle to draw into it, or `None`.
    """

    title: str
    image: np.ndarray
    note: str = ""
    box: CropBox | None = None


@dataclasses.dataclass(frozen=True)
class BatchStages:
    """A training batch, each sample step by step.

    Args:
        rows: For each sample its `Stage`s, the same steps for all.
        names: What the source calls the samples.
        labels: For each sample its class or classes, a dict of name to
            weight.

    Example:
    >>> row = (Stage("original", np.zeros((8, 8, 3), "uint8")),)
    >>> BatchStages((row,), ("a.png",), ({"cat": 1.0},)).rows[0][0].title
    'original'
    """

    rows: tuple[tuple[Stage, ...], ...]
    names: tuple[str, ...]
    labels: tuple[dict[str, float], ...]


def batch_stages(
    batches: Batches | ImageBatches,
    class_names: Sequence[str] | None,
    epoch: int = 0,
    step: int = 0,
    rows: int = 8,
) -> BatchStages:
    """Take a training batch apart into the steps that made it.

    Every step is computed by the function that training calls, with the
    parameters that it draws for this seed, epoch and step. The last image
    of a row is what `batches.batch(epoch, step)` holds, but not normalized.

    Args:
        batches: Of a run, see `keras_tricks.training.build_stages`.
        class_names: K names.
        epoch: The epoch, from 0. Defaults to 0.
        step: Index of the batch in it. Defaults to 0.
        rows: How many samples. Defaults to 8, or the whole batch.

    Returns:
        A `BatchStages`.

    Raises:
        ValueError: If an argument is not as described, or the images cannot
            be read.

    Example:
    >>> from keras_tricks.data import load
    >>> from keras_tricks.data.transforms import augmentation
    >>> data = load("digits")
    >>> batches = Batches(
    ...     data.x_train, data.y_train, 64, augment=augmentation("shift")
    ... )
    >>> stages = batch_stages(batches, data.class_names, rows=2)
    >>> [stage.title for stage in stages.rows[0]], stages.labels
    (['original', 'augmented'], ({'9': 1.0}, {'2': 1.0}))
    """
    check_int("epoch", epoch)
    if check_int("step", step) >= batches.num_batches:
        raise ValueError(
            f"`step` must be below {batches.num_batches}, the batches of an "
            f"epoch. Received: step={step}"
        )
    check_int("rows", rows, 1)
    take_apart = _files if isinstance(batches, ImageBatches) else _arrays
    names, stages, x, y = take_apart(batches, epoch, step, rows)
    mixed, shares, how = _mixed(batches, x, y, epoch, step)
    stages = stages[:rows]
    if mixed is not None:
        for i, row in enumerate(stages):
            row.append(Stage("mixed", mixed[i], how[i]))
    labels = tuple(_named(share, class_names) for share in shares[:rows])
    return BatchStages(tuple(map(tuple, stages)), tuple(names), labels)


def _arrays(batches, epoch, step, rows):
    """Take apart a batch of images in memory, augmented as a whole."""
    chosen = batches.indices(epoch, step)
    x, y = batches.images[chosen], batches.labels[chosen]
    names = [f"image {index}" for index in chosen[:rows]]
    stages = [[Stage("original", image)] for image in x[:rows]]
    if batches.augment is not None:
        x = batches.augment(
            x, random_generator(batches.seed, AUGMENT, epoch, step)
        )
        for row, image in zip(stages, x, strict=False):
            row.append(Stage("augmented", image))
    return names, stages, x, y


def _files(batches, epoch, step, rows):
    """Take apart a batch of image files, each transformed on its own."""
    read = batches.transformed(epoch, step)
    try:
        samples, x, y = next(read)
    finally:
        read.close()
    names, stages = [], []
    for sample, found in zip(samples[:rows].tolist(), x, strict=False):
        index = sample // batches.order.per_record
        name = batches.records.name(index)
        data, _ = batches.records.record(index)
        image = open_image(data, name) if isinstance(data, bytes) else data
        names.append(name)
        if isinstance(batches.loader.transform, TrainTransform):
            steps = _view_stages(batches.loader, image, epoch, sample)
            # Of a JPEG tf.data decodes the crop alone, whose last columns
            # then differ a little; training sees those.
            steps[-1] = dataclasses.replace(steps[-1], image=found)
            stages.append(steps)
        else:
            original = Stage("original", np.asarray(image))
            how = batches.loader.transform.resize
            title = "central crop" if how == "crop" else how
            stages.append([original, Stage(title, found)])
    return names, stages, x, y


def _view_stages(loader, image, epoch, sample):
    """Return the steps of a transform, each without the steps after it."""
    transform = loader.transform
    drawn = loader.draw(epoch, sample, *image_extent(image))
    box = drawn.box
    size = f"{box.height} x {box.width}"
    parameters = dataclasses.replace(drawn, **_OFF)
    stages = [
        Stage("original", np.asarray(image), box=box),
        Stage("crop", transform.apply(image, parameters), size),
    ]
    for name in _STEPS:
        if not getattr(transform, name):
            continue
        field = "erased" if name == "erasing" else name
        value = getattr(drawn, field)
        parameters = dataclasses.replace(parameters, **{field: value})
        pixels = transform.apply(image, parameters)
        stages.append(Stage(name, pixels, _NOTES[name](value)))
    return stages


def _note_policy(policy):
    if isinstance(policy, AugMix):
        shares = [(1 - policy.share) * weight for weight in policy.weights]
        chains = zip(shares, policy.chains, strict=True)
        notes = [f"{s:.0%} {', '.join(op.name for op in c)}" for s, c in chains]
        return "\n".join((f"{policy.share:.0%} as it was", *notes))
    return "\n".join(
        f"{op.name.replace('_', ' ')} {op.value:.3g}" if op.value else op.name
        for op in policy
    )


_NOTES = {
    "flip": lambda flip: "flipped" if flip else "as it was",
    "policy": _note_policy,
    "jitter": lambda jitter: "\n".join(
        f"{name} x {factor:.2f}"
        for name, factor in zip(jitter.names, jitter.factors, strict=True)
    ),
    "lighting": lambda light: ", ".join(f"{value:+.2f}" for value in light),
    "erasing": lambda box: f"{box.height} x {box.width}" if box else "none",
}


def _mixed(batches, x, y, epoch, step):
    """Mix a batch; return it, its labels, and the weights as text."""
    mix_up = batches.mix_up
    if mix_up is None:
        return None, y, None
    host, hosts = getattr(batches, "shard", (0, 1))
    step = step * hosts + host
    first = batches.data_format == "channels_first"
    x = np.moveaxis(x, -1, 1) if first else x
    mixed, y = (np.asarray(a) for a in mix_up(x, y, epoch=epoch, step=step))
    mixed = np.moveaxis(mixed, 1, -1) if first else mixed
    layer = mix_up
    if isinstance(mix_up, MixUpOrCutMix):
        layer = mix_up.layer_for(epoch, step)
    sides = mixed.shape[1:3] if isinstance(layer, CutMix) else ()
    if not hasattr(layer, "draw"):
        return mixed, y, [""] * len(mixed)
    lam, *_ = layer.draw(len(mixed), epoch, step, *sides)
    lam = np.broadcast_to(lam, len(mixed))
    return mixed, y, [f"{type(layer).__name__}, λ = {v:.2f}" for v in lam]


def _named(share, class_names):
    """Return the classes of a sample and their weights, the largest first."""
    if share.ndim == 0:
        return {class_names[int(share)]: 1.0}
    order = np.argsort(-share, kind="stable")
    return {class_names[i]: float(share[i]) for i in order if share[i] > 0}
