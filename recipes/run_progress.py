import functools

import keras

from keras_tricks.data.sources.class_names import describe_classes


@functools.cache
def print_classes(names):
    """Print the names of the classes, a tuple, once."""
    print(f"classes: {describe_classes(names)}", flush=True)


class RunProgress(keras.callbacks.Callback):
    """One progress bar for a whole run, where `fit` shows one an epoch."""

    def on_train_begin(self, logs=None):
        epochs = self.params["epochs"]
        self._bar = keras.utils.Progbar(epochs, unit_name="epoch", width=24)
        self._bar.stateful_metrics = {
            "loss",
            "val_accuracy",
            "val_mean_ap",
            "images_per_second",
        }

    def on_epoch_end(self, epoch, logs=None):
        shown = [
            (name, logs[name])
            for name in sorted(self._bar.stateful_metrics)
            if name in logs
        ]
        self._bar.update(epoch + 1, shown)
