"""Data sets of images, and exact batches of them for training."""

from keras_tricks._random import random_generator as random_generator
from keras_tricks.data import transforms as transforms
from keras_tricks.data.inspection.data_report import DataReport as DataReport
from keras_tricks.data.inspection.inspect_images import (
    inspect_images as inspect_images,
)
from keras_tricks.data.open_images import ImageSet as ImageSet
from keras_tricks.data.open_images import open_images as open_images
from keras_tricks.data.pipeline.bad_records import (
    TooManyBadRecords as TooManyBadRecords,
)
from keras_tricks.data.pipeline.base import EpochBatches as EpochBatches
from keras_tricks.data.pipeline.base import RestOfEpoch as RestOfEpoch
from keras_tricks.data.pipeline.evaluation import (
    EvaluationBatches as EvaluationBatches,
)
from keras_tricks.data.pipeline.memory import Batches as Batches
from keras_tricks.data.pipeline.streaming import ImageBatches as ImageBatches
from keras_tricks.data.shards.records import (
    open_record_shards as open_record_shards,
)
from keras_tricks.data.shards.tar import open_tar_shards as open_tar_shards
from keras_tricks.data.shards.verify import verify_shards as verify_shards
from keras_tricks.data.shards.write import WrittenShards as WrittenShards
from keras_tricks.data.shards.write import write_shards as write_shards
from keras_tricks.data.sources.arrays import ImageData as ImageData
from keras_tricks.data.sources.class_names import ClassNames as ClassNames
from keras_tricks.data.sources.class_names import (
    read_class_names as read_class_names,
)
from keras_tricks.data.sources.folder_split import (
    open_folder_splits as open_folder_splits,
)
from keras_tricks.data.sources.folders import ImageFiles as ImageFiles
from keras_tricks.data.sources.folders import (
    open_image_files as open_image_files,
)
from keras_tricks.data.sources.hubs import open_huggingface as open_huggingface
from keras_tricks.data.sources.hubs import open_tfds as open_tfds
from keras_tricks.data.sources.load import load as load
from keras_tricks.data.sources.records import ArrayRecords as ArrayRecords
from keras_tricks.data.sources.records import Records as Records
from keras_tricks.data.transforms.preprocessing import (
    Preprocessing as Preprocessing,
)
from keras_tricks.data.transforms.train_transform import (
    TrainTransform as TrainTransform,
)
