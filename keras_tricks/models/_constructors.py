"""The networks that can be asked for by name."""

from keras_tricks.models import resnet_variants
from keras_tricks.models.inception_v3 import InceptionV3
from keras_tricks.models.mobilenet import MobileNet
from keras_tricks.models.resnet import DEPTHS

CONSTRUCTORS = {
    f"ResNet{depth}{variant}": getattr(
        resnet_variants, f"ResNet{depth}{variant}"
    )
    for depth in DEPTHS
    for variant in "ABCD"
}
CONSTRUCTORS |= {"InceptionV3": InceptionV3, "MobileNet": MobileNet}
"""By name: functions that take `num_classes`, `input_shape` and the rest."""
