"""Functions on one image: decode, crop, resize, colors, policies, erasing."""

from keras_tricks.data.transforms.aug_mix import AugMix as AugMix
from keras_tricks.data.transforms.aug_mix import apply_aug_mix as apply_aug_mix
from keras_tricks.data.transforms.aug_mix import draw_aug_mix as draw_aug_mix
from keras_tricks.data.transforms.colors import Jitter as Jitter
from keras_tricks.data.transforms.colors import add_lighting as add_lighting
from keras_tricks.data.transforms.colors import draw_jitter as draw_jitter
from keras_tricks.data.transforms.colors import draw_lighting as draw_lighting
from keras_tricks.data.transforms.colors import (
    jitter_and_light as jitter_and_light,
)
from keras_tricks.data.transforms.colors import jitter_colors as jitter_colors
from keras_tricks.data.transforms.crops import INTERPOLATIONS as INTERPOLATIONS
from keras_tricks.data.transforms.crops import center_crop as center_crop
from keras_tricks.data.transforms.crops import (
    resize_to_cover as resize_to_cover,
)
from keras_tricks.data.transforms.crops import ten_crop as ten_crop
from keras_tricks.data.transforms.decode import decode_image as decode_image
from keras_tricks.data.transforms.decode import open_image as open_image
from keras_tricks.data.transforms.erasing import draw_erasing as draw_erasing
from keras_tricks.data.transforms.erasing import erase as erase
from keras_tricks.data.transforms.letterbox import letterbox as letterbox
from keras_tricks.data.transforms.policies import POLICIES as POLICIES
from keras_tricks.data.transforms.policies import PolicyOp as PolicyOp
from keras_tricks.data.transforms.policies import apply_policy as apply_policy
from keras_tricks.data.transforms.policies import draw_policy as draw_policy
from keras_tricks.data.transforms.preprocessing import CHANNELS as CHANNELS
from keras_tricks.data.transforms.preprocessing import RESIZES as RESIZES
from keras_tricks.data.transforms.preprocessing import (
    channel_statistics as channel_statistics,
)
from keras_tricks.data.transforms.random_crops import CropBox as CropBox
from keras_tricks.data.transforms.random_crops import (
    crop_and_resize as crop_and_resize,
)
from keras_tricks.data.transforms.random_crops import draw_crop as draw_crop
from keras_tricks.data.transforms.resize import resize as resize
from keras_tricks.data.transforms.shift_flip import augmentation as augmentation
from keras_tricks.data.transforms.shift_flip import (
    random_shift_flip as random_shift_flip,
)
from keras_tricks.data.transforms.train_transform import (
    TransformParameters as TransformParameters,
)
