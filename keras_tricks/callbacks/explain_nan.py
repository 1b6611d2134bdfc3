import math
import warnings

import keras

from keras_tricks._model_facts.last_activation import check_ends_in_logits
from keras_tricks.losses._targets import LogitsLoss
from keras_tricks.metrics._label_kinds import check_label_kinds

_CAUSES = (
    "something that goes into it cannot be meant. Labels outside of 0 ... "
    "classes - 1, rows of class weights that do not sum to 1, probabilities "
    "in place of logits, or inputs that are not finite. `run_eagerly=True` "
    "says which"
)


class ExplainNaN(keras.callbacks.Callback):
    """Ends training where the loss is no number, and says what may be why.

    Before the first step, it refuses a network that ends in softmax where the
    loss is one of `keras_tricks.losses` that takes logits. The losses look at
    values themselves and raise, but where a compiled step cannot raise, on
    TensorFlow with `jit_compile=True` and on JAX with a compilation cache,
    they are NaN instead: in the first step that is what this callback says.
    Later a NaN or an infinity comes of a step that was too large, or of one
    batch. In `evaluate`, and in the validation of `fit`, it warns.

    Beside those losses it also refuses metrics of Keras for other labels.
    After mixed batches Keras' `"accuracy"` is for class weights, and integer
    labels of validation would give a number without a meaning.

    Raises:
        ValueError: Before the first step, if the network gives no logits; at
            the end of an epoch or of an evaluation, if a metric of Keras
            cannot read the labels there were.
        FloatingPointError: At the end of the batch whose loss is NaN or
            infinite.

    Warns:
        UserWarning: At the end of an evaluation whose loss is NaN.

    Example:
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> model.compile("sgd", "mse")
    >>> x = np.ones((8, 4))
    >>> history = model.fit(x, x[:, :2], verbose=0, callbacks=[ExplainNaN()])

    Reference:
        - [`keras.callbacks.TerminateOnNaN`](https://keras.io/api/callbacks/terminate_on_nan/),
          which stops without an error
    """

    def __init__(self):
        super().__init__()
        self._epoch = 0
        self._is_first = True
        self._trains = False

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._is_first = self._trains = True
        self._begin()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._trains = False

    def on_test_begin(self, logs: dict | None = None) -> None:
        if self._trains:
            self._check_metrics()
        self._begin()

    def _begin(self):
        loss = getattr(self.model, "loss", None)
        if isinstance(loss, LogitsLoss):
            loss.kinds.clear()
            if getattr(loss, "from_logits", True):
                student = getattr(self.model, "student", self.model)
                check_ends_in_logits("model", student)

    def _check_metrics(self):
        loss = getattr(self.model, "loss", None)
        if isinstance(loss, LogitsLoss):
            check_label_kinds(self.model.metrics, loss.kinds)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._check_metrics()

    def on_test_end(self, logs: dict | None = None) -> None:
        self._check_metrics()
        if math.isnan((logs or {}).get("loss", 0.0)):
            warnings.warn(
                f"The loss of an evaluation is nan: {_CAUSES}", stacklevel=2
            )

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if math.isfinite(loss):
            self._is_first = False
        elif self._is_first:
            raise FloatingPointError(
                f"The loss is {loss} from the first step: {_CAUSES}"
            )
        else:
            raise FloatingPointError(
                f"The loss became {loss} in epoch {self._epoch + 1}: try a "
                "lower learning rate or a longer warmup, or look for a batch "
                "whose inputs are not finite"
            )
