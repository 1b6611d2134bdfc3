from keras_tricks.models.inception_v3 import InceptionV3 as InceptionV3
from keras_tricks.models.mobilenet import MobileNet as MobileNet
from keras_tricks.models.resnet import ResNet as ResNet
from keras_tricks.models.resnet_variants import ResNet18A as ResNet18A
from keras_tricks.models.resnet_variants import ResNet18B as ResNet18B
from keras_tricks.models.resnet_variants import ResNet18C as ResNet18C
from keras_tricks.models.resnet_variants import ResNet18D as ResNet18D
from keras_tricks.models.resnet_variants import ResNet34A as ResNet34A
from keras_tricks.models.resnet_variants import ResNet34B as ResNet34B
from keras_tricks.models.resnet_variants import ResNet34C as ResNet34C
from keras_tricks.models.resnet_variants import ResNet34D as ResNet34D
from keras_tricks.models.resnet_variants import ResNet50A as ResNet50A
from keras_tricks.models.resnet_variants import ResNet50B as ResNet50B
from keras_tricks.models.resnet_variants import ResNet50C as ResNet50C
from keras_tricks.models.resnet_variants import ResNet50D as ResNet50D
from keras_tricks.models.resnet_variants import ResNet101A as ResNet101A
from keras_tricks.models.resnet_variants import ResNet101B as ResNet101B
from keras_tricks.models.resnet_variants import ResNet101C as ResNet101C
from keras_tricks.models.resnet_variants import ResNet101D as ResNet101D
from keras_tricks.models.resnet_variants import ResNet152A as ResNet152A
from keras_tricks.models.resnet_variants import ResNet152B as ResNet152B
from keras_tricks.models.resnet_variants import ResNet152C as ResNet152C
from keras_tricks.models.resnet_variants import ResNet152D as ResNet152D
from keras_tricks.models.weights import WeightsReport as WeightsReport
from keras_tricks.models.weights import load_weights_from as load_weights_from
from keras_tricks.models.weights import save_weights_as as save_weights_as
from keras_tricks.surgery.activations import (
    swap_activations as swap_activations,
)
from keras_tricks.surgery.batch_norm import (
    freeze_batch_norm as freeze_batch_norm,
)
from keras_tricks.surgery.report import SurgeryReport as SurgeryReport
from keras_tricks.surgery.variant import (
    change_resnet_variant as change_resnet_variant,
)
from keras_tricks.surgery.zero_gamma import ZeroGammaReport as ZeroGammaReport
from keras_tricks.surgery.zero_gamma import zero_gamma as zero_gamma
