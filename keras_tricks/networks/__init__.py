"""Networks by name: ours, of Keras, of KerasHub, from files, and your own."""

from keras_tricks.networks.adapt import NetworkReport as NetworkReport
from keras_tricks.networks.build_network import build_network as build_network
from keras_tricks.networks.normalization import (
    measure_normalization as measure_normalization,
)
