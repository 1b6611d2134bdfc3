"""Data sets, small-image augmentation and exact batches."""

from keras_tricks.data.inspection.data_report import DataReport as DataReport
from keras_tricks.data.inspection.inspect_images import (
    inspect_images as inspect_images,
)
from keras_tricks.data.open_images import ImageSet as ImageSet
from keras_tricks.data.open_images import open_images as open_images
from keras_tricks.data.pipeline.base import RestOfEpoch as RestOfEpoch
from keras_tricks.data.pipeline.evaluation import (
    EvaluationBatches as EvaluationBatches,
)
from keras_tricks.data.pipeline.memory import Batches as Batches
from keras_tricks.data.pipeline.memory import epoch_order as epoch_order
from keras_tricks.data.pipeline.streaming import ImageBatches as ImageBatches
from keras_tricks.data.shards.example_proto import (
    decode_example as decode_example,
)
from keras_tricks.data.shards.example_proto import (
    encode_example as encode_example,
)
from keras_tricks.data.shards.records import RecordShards as RecordShards
from keras_tricks.data.shards.records import (
    open_record_shards as open_record_shards,
)
from keras_tricks.data.shards.tar import TarShards as TarShards
from keras_tricks.data.shards.tar import open_tar_shards as open_tar_shards
from keras_tricks.data.shards.verify import verify_shards as verify_shards
from keras_tricks.data.shards.write import WrittenShards as WrittenShards
from keras_tricks.data.shards.write import write_shards as write_shards
from keras_tricks.data.sources.arrays import ImageData as ImageData
from keras_tricks.data.sources.arrays import (
    stratified_order as stratified_order,
)
from keras_tricks.data.sources.arrays import (
    stratified_split as stratified_split,
)
from keras_tricks.data.sources.class_names import ClassNames as ClassNames
from keras_tricks.data.sources.class_names import (
    read_class_names as read_class_names,
)
from keras_tricks.data.sources.decoded_records import (
    DecodedRecords as DecodedRecords,
)
from keras_tricks.data.sources.folder_split import (
    open_folder_splits as open_folder_splits,
)
from keras_tricks.data.sources.folders import ImageFiles as ImageFiles
from keras_tricks.data.sources.folders import (
    open_image_files as open_image_files,
)
from keras_tricks.data.sources.hubs import (
    HuggingFaceRecords as HuggingFaceRecords,
)
from keras_tricks.data.sources.hubs import TfdsRecords as TfdsRecords
from keras_tricks.data.sources.hubs import (
    open_huggingface as open_huggingface,
)
from keras_tricks.data.sources.hubs import open_tfds as open_tfds
from keras_tricks.data.sources.load import DATASETS as DATASETS
from keras_tricks.data.sources.load import load as load
from keras_tricks.data.sources.load import load_digits as load_digits
from keras_tricks.data.sources.load import (
    load_keras_dataset as load_keras_dataset,
)
from keras_tricks.data.sources.load import load_npz as load_npz
from keras_tricks.data.sources.load_folder import load_folder as load_folder
from keras_tricks.data.sources.records import ArrayRecords as ArrayRecords
from keras_tricks.data.sources.records import Records as Records
from keras_tricks.data.sources.records import SomeRecords as SomeRecords
from keras_tricks.data.sources.records import take_records as take_records
from keras_tricks.data.transforms.colors import Jitter as Jitter
from keras_tricks.data.transforms.colors import add_lighting as add_lighting
from keras_tricks.data.transforms.colors import draw_jitter as draw_jitter
from keras_tricks.data.transforms.colors import draw_lighting as draw_lighting
from keras_tricks.data.transforms.colors import (
    jitter_and_light as jitter_and_light,
)
from keras_tricks.data.transforms.colors import jitter_colors as jitter_colors
from keras_tricks.data.transforms.crops import center_crop as center_crop
from keras_tricks.data.transforms.crops import (
    resize_short_side as resize_short_side,
)
from keras_tricks.data.transforms.crops import ten_crop as ten_crop
from keras_tricks.data.transforms.decode import decode_image as decode_image
from keras_tricks.data.transforms.decode import open_image as open_image
from keras_tricks.data.transforms.erasing import draw_erasing as draw_erasing
from keras_tricks.data.transforms.erasing import erase as erase
from keras_tricks.data.transforms.policies import POLICIES as POLICIES
from keras_tricks.data.transforms.policies import PolicyOp as PolicyOp
from keras_tricks.data.transforms.policies import apply_policy as apply_policy
from keras_tricks.data.transforms.policies import draw_policy as draw_policy
from keras_tricks.data.transforms.preprocessing import (
    Preprocessing as Preprocessing,
)
from keras_tricks.data.transforms.preprocessing import (
    channel_statistics as channel_statistics,
)
from keras_tricks.data.transforms.random_crops import CropBox as CropBox
from keras_tricks.data.transforms.random_crops import (
    crop_and_resize as crop_and_resize,
)
from keras_tricks.data.transforms.random_crops import draw_crop as draw_crop
from keras_tricks.data.transforms.shift_flip import augmentation as augmentation
from keras_tricks.data.transforms.shift_flip import (
    random_shift_flip as random_shift_flip,
)
from keras_tricks.data.transforms.train_transform import (
    TrainTransform as TrainTransform,
)
from keras_tricks.data.transforms.train_transform import (
    TransformParameters as TransformParameters,
)
