import dataclasses
import os

import keras

from keras_tricks.data.transforms.preprocessing import Preprocessing
from keras_tricks.models.weights._gray import sum_channels
from keras_tricks.models.weights._own import NAME, layout_of
from keras_tricks.models.weights._source import (
    preprocessing_from_timm,
    read_source,
)
from keras_tricks.models.weights._units import find_network
from keras_tricks.models.weights.matching import (
    find_differences,
    find_layout,
    match,
)


@dataclasses.dataclass(frozen=True)
class WeightsReport:
    """What `load_weights_from` did to a model.

    Attributes:
        source: File, name on the hub with its revision, or name of a model.
        layout: Name of the layout of the file.
        tensors: Number of tensors that were loaded.
        values: Number of values that the model got.
        dropped: Names of the tensors that are known and not needed.
        kept: Paths of the variables that the model keeps as they were.
        folded_biases: Number of biases of convolutions that were folded into
            the means of their norms.
        folded_norms: Number of norms that the file has folded into kernels
            and biases. Such norms know no statistics: the model is for
            inference, or for training with `frozen_norm=True`.
        converted: Types of tensors that were converted.
        differences: What the model computes otherwise than the networks of
            the layout.
        key: Which state dictionary of the file was taken, or `None`.
        preprocessing: What the weights expect to be done to images, if known.
        summed_channels: Number of channels over which the first kernel was
            summed, for a model that sees gray; 0 if it was not.

    Example:
    >>> report = WeightsReport("model.pth", "timm", tensors=7, values=100)
    >>> print(report)
    loaded 7 tensors, 100 values, of layout timm from model.pth
    """

    source: str
    layout: str
    tensors: int
    values: int
    dropped: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    folded_biases: int = 0
    folded_norms: int = 0
    converted: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    key: str | None = None
    preprocessing: Preprocessing | None = None
    summed_channels: int = 0

    def __str__(self):
        place = self.source if self.key is None else f"{self.source}:{self.key}"
        lines = [
            f"loaded {self.tensors} tensors, {self.values:,} values, of layout "
            f"{self.layout} from {place}"
        ]
        if self.converted:
            lines.append(f"  converted from {', '.join(self.converted)}")
        if self.folded_biases:
            lines.append(f"  folded {self.folded_biases} biases into norms")
        if self.folded_norms:
            lines.append(
                f"  {self.folded_norms} norms without statistics: for inference"
            )
        if self.summed_channels:
            lines.append(
                f"  summed {self.summed_channels} channels of the first "
                "kernel into one, for gray images"
            )
        if self.dropped:
            lines.append(f"  dropped {len(self.dropped)} tensors")
        if self.kept:
            lines.append(f"  kept {', '.join(self.kept)}")
        lines += [f"  the weights are for {text}" for text in self.differences]
        return "\n".join(lines)


def load_weights_from(
    model: keras.Model,
    source: str | os.PathLike | keras.Model,
    layout: str | None = None,
    skip_head: bool = False,
    allow_differences: bool = False,
    key: str | None = None,
) -> WeightsReport:
    """Load weights that another library has trained into a model of ours.

    Each variable gets the tensor that is its own in the other library, with
    the axes reordered:

        ours                        theirs
        kernel, (H, W, in, out)     (out, in, H, W) in all but Keras
        moving_mean                 running_mean - bias of the convolution
        moving_variance             running_var + their epsilon - ours

    so that the two networks are the same function at inference. Each tensor
    of the file is used once and each variable filled once; else nothing is
    changed at all. What may be left over is known: counters of batches, the
    auxiliary head of Inception-V3.

    The file may be .safetensors, .pth, .pt, .npz, an .h5 of
    `keras.applications`, or a .keras or .weights.h5 of a network of ours; what
    it contains decides, not its name. Nothing in it is run as code. float16,
    bfloat16 and float64 are converted. Of a training checkpoint the averaged
    weights are taken, if it has any.

    Args:
        model: A `ResNet`, `InceptionV3` or `MobileNet` of `keras_tricks`,
            with or without its head.
        source: Path of a file, or of a folder with `model.safetensors` or
            `pytorch_model.bin`; or a name on the Hugging Face hub, such as
            `"timm/resnet50d.ra4_e3600_r224_in1k"`, with `@revision` if
            wanted; or a model, of `keras.applications` or of ours.
        layout: `"timm"`, `"torchvision"`, `"gluon"`, `"paddle"`, `"keras"`,
            `"keras_tricks"`, or `None` to tell by the names. Those of
            torchvision are timm's: say `"torchvision"` to get its
            preprocessing. Defaults to `None`.
        skip_head: Whether the model keeps its own last layer, say for other
            classes. Defaults to `False`.
        allow_differences: Whether the model may be another function than the
            one that the weights were trained for, with another variant,
            activation, padding or stem. Defaults to `False`.
        key: Key of the state dictionary in a .pth file that has several.
            Defaults to `None`: `"state_dict_ema"`, `"model_ema"`,
            `"state_dict"`, `"model"`, whichever comes first.

    Returns:
        A `WeightsReport`, which is `model.weights_report` as well. Its
        `preprocessing` becomes `model.preprocessing`, and is saved and loaded
        with the model.

    Raises:
        ValueError: If the source is none or damaged, or does not fit the
            model, naming the tensors. The model is as it was then.
        ImportError: If a package is missing, naming the extra.
        ConnectionError: If the hub cannot be reached.

    Example:
    >>> import tempfile
    >>> from keras_tricks.models import ResNet, save_weights_as
    >>> options = {"width": 8, "input_shape": (32, 32, 3)}
    >>> student = ResNet(18, num_classes=10, **options)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_weights_as(ResNet(18, **options), folder + "/a.npz")
    ...     report = load_weights_from(student, path, skip_head=True)
    >>> report.layout, report.tensors, report.kept
    ('timm', 110, ('logits/kernel', 'logits/bias'))

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 6:
          transfer learning
    """
    network = find_network(model)
    found = read_source(source, key, model)
    if found.network is not None and layout in (None, NAME):
        chosen = layout_of(found.network)
    else:
        chosen = find_layout(network, found.tensors, layout)
    preprocessing = found.preprocessing or chosen.preprocessing
    if found.config is not None:
        shape = model.inputs[0].shape
        last = network.units[0].layer.data_format == "channels_last"
        preprocessing = preprocessing_from_timm(
            found.config, shape[1:3] if last else shape[2:]
        )
    tensors, summed = sum_channels(
        network, chosen, found.tensors, preprocessing
    )
    if summed and preprocessing is not None:
        preprocessing = preprocessing.gray()
    result = match(network, chosen, tensors, found.origin, skip_head)
    differences = find_differences(network, chosen)
    if differences and not allow_differences:
        raise ValueError(
            "`model` must be the function that the weights were trained for, "
            "or pass allow_differences=True. Received: "
            f"{found.origin} of layout {chosen.name!r}, which has "
            f"{', '.join(differences)}"
        )
    for variable, value in result.values:
        variable.assign(value.astype("float32"))
    report = WeightsReport(
        source=found.origin,
        layout=chosen.name,
        tensors=sum(name in found.tensors for name in result.used),
        values=sum(value.size for _, value in result.values),
        dropped=tuple(result.dropped),
        kept=tuple(result.kept),
        folded_biases=result.folded_biases,
        folded_norms=result.folded_norms,
        summed_channels=summed,
        converted=tuple(result.converted),
        differences=differences,
        key=found.key,
        preprocessing=preprocessing,
    )
    model.preprocessing = preprocessing
    model.weights_report = report
    return report
