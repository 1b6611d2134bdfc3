from keras_tricks.models.weights.load_weights_from import (
    WeightsReport as WeightsReport,
)
from keras_tricks.models.weights.load_weights_from import (
    load_weights_from as load_weights_from,
)
from keras_tricks.models.weights.save_weights_as import (
    save_weights_as as save_weights_as,
)
