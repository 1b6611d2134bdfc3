"""A trained classifier, with its images and its names, and how good it is."""

from keras_tricks.data.preprocessing_file import (
    read_preprocessing_file as read_preprocessing_file,
)
from keras_tricks.evaluation.classifier import Classifier as Classifier
from keras_tricks.evaluation.evaluate import evaluate as evaluate
from keras_tricks.evaluation.evaluate import merge_crops as merge_crops
from keras_tricks.evaluation.images import LabeledImages as LabeledImages
from keras_tricks.evaluation.images import (
    check_preprocessing as check_preprocessing,
)
from keras_tricks.evaluation.images import load_images as load_images
from keras_tricks.evaluation.load_classifier import (
    load_classifier as load_classifier,
)
from keras_tricks.evaluation.multi_label import (
    MultiLabelEvaluation as MultiLabelEvaluation,
)
from keras_tricks.evaluation.result import Evaluation as Evaluation
from keras_tricks.evaluation.result import Share as Share
