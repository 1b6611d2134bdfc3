"""Mistakes with schedules, optimizers, losses, layers and models."""

import keras
import numpy as np

from keras_tricks.data import Batches
from keras_tricks.layers import ConvNorm, MixUp
from keras_tricks.losses import (
    KnowledgeDistillation,
    LabelSmoothedBinaryCrossentropy,
    LabelSmoothedCrossentropy,
    LabelSmoothedKD,
    balanced_weights,
    pack_targets,
    smooth_labels,
)
from keras_tricks.metrics import BalancedAccuracy
from keras_tricks.models import ResNet
from keras_tricks.optimizers import SGD, no_bias_decay
from keras_tricks.schedules import (
    CosineDecay,
    StepDecay,
    Warmup,
    scale_learning_rate,
)
from keras_tricks.surgery import zero_gamma

IMAGES = np.zeros((4, 8, 8, 3), "uint8")
LABELS = np.array([0, 1, 2, 0])
LOGITS = np.linspace(-1, 1, 12).reshape(4, 3).astype("float32")
PROBABILITIES = np.full((4, 3), 1 / 3, "float32")


def dense(activation=None):
    layer = keras.layers.Dense(3, activation=activation)
    return keras.Sequential([keras.Input((2,)), layer])


def fit(labels, loss="mse", optimizer="sgd", **options):
    """Compiles and fits a tiny classifier as a user does."""
    model = dense()
    model.compile(optimizer, loss, run_eagerly=True)
    model.fit(np.ones((4, 2), "float32"), labels, verbose=0, **options)


def pre_activation():
    inputs = keras.Input((8, 8, 4))
    x = keras.layers.Conv2D(4, 3, padding="same")(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return keras.Model(inputs, keras.layers.Add()([inputs, x]))


# The mistake, its error, and the message, in which an ellipsis stands for
# any text.
MISTAKES = {
    "negative warmup": (
        lambda _: Warmup(0.1, -1),
        ValueError,
        "`warmup_steps` must be … at least 0. Received: warmup_steps=-1",
    ),
    "decay over no steps": (
        lambda _: CosineDecay(0.1, decay_steps=0),
        ValueError,
        "`decay_steps` must be … at least 1. Received: decay_steps=0",
    ),
    "unsorted boundaries": (
        lambda _: StepDecay(0.1, boundaries=[30, 20]),
        ValueError,
        "`boundaries` must be … increasing. Received: boundaries=[30, 20]",
    ),
    "negative learning rate": (
        lambda _: scale_learning_rate(-0.1, 256),
        ValueError,
        "`base_learning_rate` must be … (0, inf). Received: …=-0.1",
    ),
    "empty batch": (
        lambda _: scale_learning_rate(0.1, 0),
        ValueError,
        "`batch_size` must be … at least 1. Received: batch_size=0",
    ),
    "momentum 1": (
        lambda _: SGD(0.1, momentum=1),
        ValueError,
        "`momentum` must be … [0, 1). Received: momentum=1",
    ),
    "pattern that decays nothing": (
        lambda _: fit(LOGITS, optimizer=SGD(0.1, decay="konv")),
        ValueError,
        "`decay` must match … such as '…kernel'; … Received: decay='konv'",
    ),
    "no bias decay of a model that is not built": (
        lambda _: no_bias_decay(
            keras.optimizers.AdamW(), keras.Sequential([keras.layers.Dense(3)])
        ),
        ValueError,
        "`model` must be built … Received: 0 trainable variables",
    ),
    "label K": (
        lambda _: fit(np.array([0, 1, 2, 3]), LabelSmoothedCrossentropy()),
        ValueError,
        "`y_true` must hold integer labels from 0 to 2. Received: 3",
    ),
    "label -1": (
        lambda _: fit(np.array([0, 1, -1, 2]), LabelSmoothedKD()),
        ValueError,
        "`y_true` must hold integer labels from 0 to 2. Received: -1",
    ),
    "label between two": (
        lambda _: LabelSmoothedCrossentropy()(LABELS + 0.5, LOGITS),
        ValueError,
        "`y_true` must hold integer labels from 0 to 2. Received: 0.5",
    ),
    "labels of another batch": (
        lambda _: LabelSmoothedCrossentropy()(LABELS[:3], LOGITS),
        ValueError,
        "`y_true` must be … shape (4,) … Received: y_true.shape=(3,)",
    ),
    "integer labels without their number": (
        lambda _: smooth_labels(LABELS),
        ValueError,
        "`labels` must have shape … classes) … Received: labels.shape=(4,)",
    ),
    "probabilities as logits": (
        lambda _: LabelSmoothedCrossentropy()(LABELS, PROBABILITIES),
        ValueError,
        "`y_pred` must be logits, … Received: probabilities, … begins with […]",
    ),
    "a teacher's probabilities": (
        lambda _: pack_targets(LABELS, PROBABILITIES),
        ValueError,
        "`teacher_logits` must be logits, … Received: probabilities, …]",
    ),
    "packed targets of another width": (
        lambda _: fit(np.ones((4, 5), "float32"), LabelSmoothedKD()),
        ValueError,
        "`y_true` must be … axis of 3 or 6 … Received: y_true.shape=(…, 5)",
    ),
    "smoothing 1": (
        lambda _: LabelSmoothedCrossentropy(label_smoothing=1),
        ValueError,
        "`label_smoothing` must be … [0, 1). Received: label_smoothing=1",
    ),
    "negative smoothing": (
        lambda _: LabelSmoothedKD(label_smoothing=-0.1),
        ValueError,
        "`label_smoothing` must be … [0, 1). Received: label_smoothing=-0.1",
    ),
    "soft loss at temperature 0": (
        lambda _: KnowledgeDistillation(temperature=0),
        ValueError,
        "`temperature` must be … (0, inf). Received: temperature=0",
    ),
    "negative temperature": (
        lambda _: LabelSmoothedKD(temperature=-20),
        ValueError,
        "`temperature` must be … (0, inf). Received: temperature=-20",
    ),
    "negative alpha": (
        lambda _: MixUp(alpha=-0.1),
        ValueError,
        "`alpha` must be … [0, inf). Received: alpha=-0.1",
    ),
    "unknown per": (
        lambda _: MixUp(per="pixel"),
        ValueError,
        "`per` must be one of 'batch', 'sample'. Received: per='pixel'",
    ),
    "mixing without the number of classes": (
        lambda _: MixUp()(IMAGES, LABELS),
        ValueError,
        "…`num_classes` must be given … Received: num_classes=None",
    ),
    "mixing three labels with four images": (
        lambda _: MixUp(num_classes=3)(IMAGES, LABELS[:3]),
        ValueError,
        "…`labels` must have the same batch size. Received: …(3,)",
    ),
    "mixing label K": (
        lambda _: Batches(IMAGES, LABELS, 4, mix_up=MixUp(num_classes=2))[0],
        ValueError,
        "…`labels` must be in 0 ... 1. Received: labels from 0 to 2",
    ),
    "mixing values, not images": (
        lambda _: MixUp(num_classes=3)(LABELS, LABELS),
        ValueError,
        "…`images` must be … rank 2 or more. Received: images.shape=(4,)",
    ),
    "mixing inside a model": (
        lambda _: MixUp(num_classes=3)(keras.Input((8, 8, 3)), LABELS),
        ValueError,
        "`MixUp` belongs in the data pipeline … Received: images=<KerasTensor…",
    ),
    "even kernel": (
        lambda _: ConvNorm(8, kernel_size=4),
        ValueError,
        "`kernel_size` must be odd, … Received: kernel_size=4",
    ),
    "unknown variant": (
        lambda _: ResNet(50, "E"),
        ValueError,
        "`variant` must be one of 'A', 'B', 'C', 'D'. Received: variant='E'",
    ),
    "unknown depth": (
        lambda _: ResNet(20),
        ValueError,
        "`depth` must be one of 18, 34, … Received: depth=20",
    ),
    "odd width": (
        lambda _: ResNet(18, width=15),
        ValueError,
        "`width` must be even. Received: width=15",
    ),
    "images too small": (
        lambda _: ResNet(18, input_shape=(16, 16, 3)),
        ValueError,
        "`input_shape` must have … at least 32 (8 with small_images=True). "
        "Received: input_shape=(16, 16, 3)",
    ),
    "shape of a batch": (
        lambda _: ResNet(18, input_shape=(None, 32, 32, 3)),
        ValueError,
        "`input_shape` must be (…channels…), … Received: "
        "input_shape=(None, 32, 32, 3)",
    ),
    "zero gamma without a residual": (
        lambda _: zero_gamma(dense()),
        ValueError,
        "`model` must have residual branches … Received: … without residual "
        "additions",
    ),
    "zero gamma before an activation": (
        lambda _: zero_gamma(pre_activation()),
        ValueError,
        "`model` must have no activation … Received: …activation='re_lu…'",
    ),
    "weights of another number of classes": (
        lambda _: fit(LABELS, LabelSmoothedCrossentropy(class_weights=[1, 2])),
        ValueError,
        "`class_weights` must be as many as the model has outputs, 3. "
        "Received: 2 in class_weights=[1.0, 2.0]",
    ),
    "weight of a class without samples": (
        lambda _: balanced_weights([5, 0, 3]),
        ValueError,
        "`counts` must be at least 1, … Received: 0 samples of class 1",
    ),
    "logit adjustment without the shares of the classes": (
        lambda _: LabelSmoothedCrossentropy(logit_adjustment=1),
        ValueError,
        "`class_priors` must be given with `logit_adjustment` above 0, … "
        "Received: class_priors=None, logit_adjustment=1",
    ),
    "counts in the place of shares": (
        lambda _: LabelSmoothedCrossentropy(
            logit_adjustment=1, class_priors=[20, 10, 5]
        ),
        ValueError,
        "`class_priors` must be the shares … sum to 1. Received: …20.0…",
    ),
    "several labels beside weights of classes": (
        lambda _: LabelSmoothedBinaryCrossentropy(class_weights=[1, 2, 3])(
            np.ones((4, 3), "float32"), LOGITS
        ),
        ValueError,
        "`y_true` must hold rows of class weights that sum to 1, … Received: …",
    ),
    "scores as targets of a sigmoid": (
        lambda _: fit(
            10 * np.eye(3, dtype="float32")[LABELS],
            LabelSmoothedBinaryCrossentropy(),
        ),
        ValueError,
        "`y_true` must hold a share from 0 to 1 … Received: …10.0…",
    ),
    "sampler of batches in their order": (
        lambda _: Batches(IMAGES, LABELS, 2, shuffle=False, sampler="sqrt"),
        ValueError,
        "`sampler` must be 'none' without shuffling. Received: sampler='sqrt'",
    ),
    "balanced accuracy of other classes": (
        lambda _: BalancedAccuracy(5).update_state(LABELS, LOGITS),
        ValueError,
        "`num_classes` must be that of the logits, 3. Received: …=5",
    ),
    "lists of labels": (
        lambda _: pack_targets(LABELS.tolist(), LOGITS),
        ValueError,
        "`labels` must be an array or a tensor. Received: list",
    ),
    "a step before the first": (
        lambda _: MixUp(num_classes=3)(IMAGES, LABELS, step=-1),
        ValueError,
        "`step` must be an integer of at least 0. Received: step=-1",
    ),
}
