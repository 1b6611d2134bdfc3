"""The layouts that are known: names of other libraries beside ours."""

from keras_tricks.data.transforms.preprocessing import Preprocessing
from keras_tricks.models.weights._layout import Layout, Naming

BLOCK = r"stage(?P<stage>\d)_block(?P<block>\d+)"
CONV = BLOCK + r"/conv(?P<conv>\d)"
PROJECTION = BLOCK + "/shortcut/projection"

TORCH = Naming(
    kernel=".weight",
    bias=".bias",
    gamma=".weight",
    beta=".bias",
    moving_mean=".running_mean",
    moving_variance=".running_var",
)
GLUON = Naming(
    kernel=".weight",
    bias=".bias",
    gamma=".gamma",
    beta=".beta",
    moving_mean=".running_mean",
    moving_variance=".running_var",
)
# The names that Paddle's parameters have themselves, and those of the layers
# that hold them.
PADDLE_PARAMETERS = Naming(
    kernel="_weights",
    bias="_biases",
    gamma="_scale",
    beta="_offset",
    moving_mean="_mean",
    moving_variance="_variance",
)
PADDLE_LAYERS = Naming(
    kernel=".weight",
    bias=".bias",
    gamma=".weight",
    beta=".bias",
    moving_mean="._mean",
    moving_variance="._variance",
)
KERAS = Naming(
    kernel="/kernel",
    bias="/bias",
    gamma="/gamma",
    beta="/beta",
    moving_mean="/moving_mean",
    moving_variance="/moving_variance",
    conv="hwio->hwio",
    depthwise="hwc1->hwc1",
)

IMAGENET = Preprocessing()
CAFFE = Preprocessing(
    mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), channels="BGR"
)
HALVES = Preprocessing(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))
# The network itself turns ImageNet's normalization into this one.
INCEPTION = Preprocessing(
    image_size=299,
    crop_ratio=299 / 342,
    mean=(127.5, 127.5, 127.5),
    std=(127.5, 127.5, 127.5),
)

# ResNets of timm, torchvision and, from B on, gluon. A pool, or nothing in its
# place, is the first part of the shortcuts of D.
_STEM = (("stem/conv1", "conv1", "bn1"),)
_DEEP_STEM = (
    ("stem/conv1", "conv1.0", "conv1.1"),
    ("stem/conv2", "conv1.3", "conv1.4"),
    ("stem/conv3", "conv1.6", "bn1"),
)
_BLOCKS = (
    (
        CONV,
        "layer{stage}.{block-1}.conv{conv}",
        "layer{stage}.{block-1}.bn{conv}",
    ),
)
_SHORTCUT = (
    (
        PROJECTION,
        "layer{stage}.{block-1}.downsample.0",
        "layer{stage}.{block-1}.downsample.1",
    ),
)
_POOLED_SHORTCUT = (
    (
        PROJECTION,
        "layer{stage}.{block-1}.downsample.1",
        "layer{stage}.{block-1}.downsample.2",
    ),
)
_RESNET_B = _STEM + _BLOCKS + _SHORTCUT
_RESNET_C = _DEEP_STEM + _BLOCKS + _SHORTCUT
_RESNET_D = _DEEP_STEM + _BLOCKS + _POOLED_SHORTCUT
_FC = ("fc.weight", "fc.bias", "io->oi")

# ResNets of gluon's first version: lists of layers without names.
_GLUON_A = (
    ("stem/conv1", "features.0", "features.1"),
    *(
        (
            BLOCK + f"/conv{conv}",
            f"features.{{stage+3}}.{{block-1}}.body.{index}",
            f"features.{{stage+3}}.{{block-1}}.body.{index + 1}",
        )
        for conv, index in ((1, 0), (2, 3), (3, 6))
    ),
    (
        PROJECTION,
        "features.{stage+3}.{block-1}.downsample.0",
        "features.{stage+3}.{block-1}.downsample.1",
    ),
)

# ResNets of Paddle.
_PADDLE_BLOCKS = (
    (
        CONV,
        "res{stage+1}{letters}_branch2{conv:a}",
        "bn{stage+1}{letters}_branch2{conv:a}",
    ),
    (
        PROJECTION,
        "res{stage+1}{letters}_branch1",
        "bn{stage+1}{letters}_branch1",
    ),
)
_PADDLE_B = (("stem/conv1", "conv1", "bn_conv1"), *_PADDLE_BLOCKS)
_PADDLE_D = (
    (r"stem/conv(?P<conv>\d)", "conv1_{conv}", "bnv1_{conv}"),
    *_PADDLE_BLOCKS,
)
_PADDLE_LAYERS = (
    (r"stem/conv(?P<conv>\d)", "stem.{conv-1}.conv", "stem.{conv-1}.bn"),
    (
        CONV,
        "blocks.{number-1}.conv{conv-1}.conv",
        "blocks.{number-1}.conv{conv-1}.bn",
    ),
    (PROJECTION, "blocks.{number-1}.short.conv", "blocks.{number-1}.short.bn"),
)

_KERAS_RESNET = (
    ("stem/conv1", "conv1_conv", "conv1_bn"),
    (
        CONV,
        "conv{stage+1}_block{block}_{conv}_conv",
        "conv{stage+1}_block{block}_{conv}_bn",
    ),
    (
        PROJECTION,
        "conv{stage+1}_block{block}_0_conv",
        "conv{stage+1}_block{block}_0_bn",
    ),
)

_INCEPTION_V3 = (
    (r"c(?P<name>onv2d_\w+)", "C{name}.conv", "C{name}.bn"),
    (
        r"mixed_(?P<block>\w\w)_(?P<branch>\w+)",
        "Mixed_{block}.{branch}.conv",
        "Mixed_{block}.{branch}.bn",
    ),
)

_TIMM_MOBILENET = (
    ("stem", "conv_stem", "bn1"),
    (
        BLOCK + "/depthwise",
        "blocks.{stage-1}.{block-1}.conv_dw",
        "blocks.{stage-1}.{block-1}.bn1",
    ),
    (
        BLOCK + "/pointwise",
        "blocks.{stage-1}.{block-1}.conv_pw",
        "blocks.{stage-1}.{block-1}.bn2",
    ),
)
_KERAS_MOBILENET = (
    ("stem", "conv1", "conv1_bn"),
    (BLOCK + "/depthwise", "conv_dw_{number}", "conv_dw_{number}_bn"),
    (BLOCK + "/pointwise", "conv_pw_{number}", "conv_pw_{number}_bn"),
)


def _resnet(name, naming, rows, variants, head=_FC, **options):
    return Layout(name, "resnet", naming, rows, head, variants, **options)


def _inception_v3(name, preprocessing=None):
    return Layout(
        name,
        "inception_v3",
        TORCH,
        _INCEPTION_V3,
        _FC,
        epsilon=1e-3,
        dropped=r".*num_batches_tracked|AuxLogits\..*",
        preprocessing=preprocessing,
    )


LAYOUTS = (
    _resnet("timm", TORCH, _RESNET_B, "B"),
    _resnet("timm", TORCH, _RESNET_C, "C"),
    _resnet("timm", TORCH, _RESNET_D, "D"),
    _inception_v3("timm"),
    Layout(
        "timm",
        "mobilenet",
        TORCH,
        _TIMM_MOBILENET,
        ("classifier.weight", "classifier.bias", "io->oi"),
        activation="relu6",
    ),
    _resnet("torchvision", TORCH, _RESNET_B, "B", preprocessing=IMAGENET),
    _inception_v3("torchvision", INCEPTION),
    _resnet(
        "gluon",
        GLUON,
        _GLUON_A,
        "A",
        ("output.weight", "output.bias", "io->oi"),
        preprocessing=IMAGENET,
    ),
    _resnet("gluon", GLUON, _RESNET_B, "B", preprocessing=IMAGENET),
    _resnet("gluon", GLUON, _RESNET_C, "C", preprocessing=IMAGENET),
    _resnet("gluon", GLUON, _RESNET_D, "D", preprocessing=IMAGENET),
    *(
        _resnet(
            "paddle",
            PADDLE_PARAMETERS,
            rows,
            variants,
            ("fc_0.w_0", "fc_0.b_0", "io->io"),
            preprocessing=IMAGENET,
        )
        for rows, variants in ((_PADDLE_B, "B"), (_PADDLE_D, "CD"))
    ),
    _resnet(
        "paddle",
        PADDLE_LAYERS,
        _PADDLE_LAYERS,
        "BD",
        ("fc.weight", "fc.bias", "io->io"),
        preprocessing=IMAGENET,
    ),
    _resnet(
        "keras",
        KERAS,
        _KERAS_RESNET,
        "A",
        ("predictions/kernel", "predictions/bias", "io->io"),
        epsilon=1.001e-5,
        preprocessing=CAFFE,
    ),
    Layout(
        "keras",
        "mobilenet",
        KERAS,
        _KERAS_MOBILENET,
        ("conv_preds/kernel", "conv_preds/bias", "io->11io"),
        epsilon=1e-3,
        activation="relu6",
        padding="end",
        preprocessing=HALVES,
    ),
)
"""All layouts; of two that have the same names the first is found."""
