import keras

from keras_tricks._types import DType
from keras_tricks.losses._targets import (
    check_logit_values,
    nan_where,
)
from keras_tricks.losses.label_smoothing import hard_term
from keras_tricks.metrics._label_mean import LabelMean
from keras_tricks.metrics.dominant_label_accuracy import hard_targets


def _crossentropy(y_true, y_pred):
    labels, kind = hard_targets(y_true, y_pred)
    found = check_logit_values("y_pred", keras.ops.convert_to_tensor(y_pred))
    return nan_where([found], hard_term(labels, y_pred, kind, 0.0, "paper"))


@keras.saving.register_keras_serializable("keras_tricks")
class Crossentropy(LabelMean):
    """Mean cross-entropy of the labels as they are: no smoothing, no teacher.

    Formula: `-Σ_i p_i log softmax(z)_i`, in float32. Beside a smoothed or
    distilled loss it is the value that runs with other losses can be
    compared by: on validation data, plain cross-entropy on hard labels.
    Integer labels of weight 0 may be anything, in `weighted_metrics`.

    Args:
        name: Name of the metric.
        dtype: As of every Keras metric.
        ignore_label: Integer labels of this value count nowhere. Defaults to
            None: there is none.

    Call arguments:
        y_true: Labels (B,), (B, 1), (B, K) or packed targets (B, 2K), whose
            teacher logits are ignored.
        y_pred: Logits (B, K).

    Raises:
        ValueError: At the call, for probabilities in place of logits where
            values can be read; the result is NaN where not.

    Example:
    >>> metric = Crossentropy()
    >>> metric.update_state(np.array([1]), np.zeros((1, 4), "float32"))
    >>> round(float(metric.result()), 4)
    1.3863

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 5.4
    """

    def __init__(
        self,
        name: str = "crossentropy",
        dtype: DType = None,
        ignore_label: int | None = None,
    ):
        super().__init__(_crossentropy, name, dtype, ignore_label)
        self._direction = "down"
