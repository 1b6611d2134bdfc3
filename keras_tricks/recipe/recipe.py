"""The recipe of a training run: one field for each trick."""

import dataclasses
from typing import Any

import keras

from keras_tricks import _checks
from keras_tricks.networks.names import OF_OURS, is_ours
from keras_tricks.recipe.explain import explain
from keras_tricks.recipe.fields import option
from keras_tricks.recipe.fine_tuning_fields import FineTuningFields
from keras_tricks.recipe.input_fields import InputFields
from keras_tricks.recipe.loss_fields import LossFields
from keras_tricks.recipe.model_fields import ModelFields
from keras_tricks.recipe.optimizer_fields import OptimizerFields
from keras_tricks.recipe.presets import PRESETS, SETTINGS, TEACHER_PRESETS
from keras_tricks.recipe.recipe_file import RecipeFile
from keras_tricks.recipe.rules import (
    check_combinations,
    check_field,
    check_names,
)
from keras_tricks.schedules import scale_learning_rate


@dataclasses.dataclass(frozen=True)
class Recipe(
    RecipeFile,
    LossFields,
    OptimizerFields,
    FineTuningFields,
    ModelFields,
    InputFields,
):
    """Everything that decides a training run, checked at construction.

    The defaults are the whole bag of tricks on scikit-learn's handwritten
    digits with a small ResNet-18-D. `Recipe.preset` gives the rows of the
    paper's tables; every field is also a flag of `recipes/train.py`.

    Args:
        dataset: See `keras_tricks.data.load` and `open_images` there.
        data_dir: A folder of class folders, of images with a table of labels,
            of TFRecord, ArrayRecord or WebDataset shards with
            `augmentation="crop"`, or an .npz; it wins.
        image_key: See `keras_tricks.data.open_images`.
        label_key: See there.
        label_offset: See there.
        multi_label: Whether an image may be of several classes at once, which
            `keras_tricks.training.fit_to_data` finds out.
        image_size: Side of training images in pixels, or (height, width).
        channels: 1 for gray images, 3 for colors; None for those of arrays in
            memory, and 3 of all others.
        train_samples: How many training images to use, all by default.
        test_samples: How many test images to validate on, all by default.
        validation_share: Share of each class of the training images that is
            held out to validate on, in place of the test images, so that
            choices can be made without them; 0 for none.
        split_seed: Seed of what is held out.
        augmentation: `"none"`, `"shift"` or `"shift_flip"` for small images
            in memory; `"crop"`, the paper's transform of image files, which are
            read while training runs.
        min_crop_area: Smallest share of the area of a crop.
        color_jitter: Strength of the color jitter, 0 for none.
        jitter_convention: `"paper"` or `"gluon"`.
        lighting: Standard deviation of the PCA noise, 0 for none.
        policy: `"none"`, `"rand_augment"`, `"trivial_augment"` or
            `"aug_mix"`.
        magnitude: Of RandAugment.
        severity: Of AugMix.
        erasing: Probability of random erasing.
        repeated_augmentation: Times that an image is in a batch.
        sampler: `"none"`, `"balanced"` or `"sqrt"`, see
            `keras_tricks.data.Batches`.
        ignore_label: Training and test images with this label are left out
            when the data are opened; None for none.
        test_image_size: Of validation images, likewise; `image_size` by
            default.
        crop_ratio: Side of validation images over that of the resized ones.
        resize: `"crop"` or `"letterbox"`: how a validation image gets its
            size, see `keras_tricks.data.Preprocessing`.
        progressive_sizes: Sides of training images in equal parts of the
            run, the last `image_size`; None for one size.
        input_engine: `"auto"`, `"memory"`, `"tf.data"` or `"grain"`.
        workers: See `keras_tricks.data.ImageBatches`.
        finish_on: Where images are normalized and mixed: `"host"`,
            `"device"` or `"auto"`.
        max_bad_records: How many unreadable images to skip.
        model: `"resnet"`, `"inception_v3"` or `"mobilenet"`, the paper's; or
            a network of others, see `keras_tricks.networks.build_network`:
            `"applications/NAME"`, `"hub/PRESET"`, a .keras file, or
            `"module:function"`.
        depth: Of a ResNet: 18, 34, 50, 101 or 152.
        variant: Of a ResNet: `"A"`, `"B"`, `"C"` or `"D"`.
        width: Channels of the first stage of a ResNet; 64 is the paper's. The
            other networks have `width_multiplier=width / 64`.
        small_images: Whether the stem keeps the resolution.
        activation: In place of every ReLU.
        zero_gamma: Whether residual branches start silent; where there are
            none, or the weights are trained, it does nothing.
        dropout: Rate before the logits; None for the network's own.
        drop_path: Stochastic depth of residual branches, see
            `models.ResNet`.
        frozen_norm: Whether batch norms keep what they are.
        weights: What the network starts from, see
            `keras_tricks.models.load_weights_from`; None for random weights.
            Of `applications/NAME` `"imagenet"` or a file.
            If the weights know how images are normalized, it is done so.
        skip_head: Whether the last layer starts random all the same.
        data_format: `"auto"` takes the fastest for backend and device, and
            channels last for networks of others.
        freeze: What of the network does not train, see
            `keras_tricks.surgery.freeze`; None for nothing.
        unfreeze_epoch: After how many epochs all trains; None for never.
        cache_features: Whether what is in front of a head that trains alone
            is computed once: `"auto"` where it is the same in each epoch,
            `"on"` refuses where it is not, `"off"`.
        layer_decay: In (0, 1]: factor of the learning rate from a block to
            the one before it, see `keras_tricks.surgery.layer_rate_scales`;
            1 for one rate.
        head_learning_rate: Of the last layer, as `base_learning_rate`, with
            which it is scaled; None for the same.
        optimizer: `"sgd"`, the paper's, or `"adamw"`, `"lamb"`, `"muon"`,
            `"lion"` or `"schedule_free_adamw"`, see `keras_tricks.optimizers`.
        epochs: Length of the run.
        batch_size: The global batch of one update.
        base_learning_rate: Peak rate for a batch of 256.
        learning_rate_scaling: How the peak grows with `batch_size / 256`:
            `"linear"`, `"sqrt"`, `"none"`, or `"auto"`, which is linear for
            SGD and the square root for the adaptive optimizers.
        warmup_epochs: Length of the linear warmup, may be a fraction.
        schedule: `"cosine"`, `"step"` or `"constant"`.
        step_epochs: Absolute epochs at which the step schedule divides by
            10. Defaults to the quarters: 30, 60 and 90 of 120.
        momentum: Of SGD, in [0, 1).
        nesterov: Whether SGD has Nesterov momentum.
        momentum_form: Of SGD, `"pytorch"` or `"keras"`.
        beta_1: Of the adaptive optimizers; None for the optimizer's own.
        beta_2: Likewise.
        epsilon: Likewise, but Lion has none.
        trust_ratio: Of LAMB, `"all"` or `"decayed"`.
        clipnorm: Largest norm of the gradient of each variable, or None.
        global_clipnorm: Largest norm of all gradients together, or None.
        agc_clipping: Of `keras_tricks.optimizers.AdaptiveGradientClipping`,
            which leaves the head out; 0 for none.
        sam_rho: Of `keras_tricks.optimizers.sharpness_aware`; 0 for none.
        weight_decay: Coupled L2 with SGD, inside of the ratio with LAMB,
            decoupled with the others.
        decay: `"kernels"`, `"all"` or a regular expression on paths.
        gradient_accumulation_steps: Batches in one update; `batch_size`
            counts all of them.
        sync_batch_norm: Whether batch norms take the statistics of the whole
            batch where it is split over several devices, see
            `keras_tricks.distribute.distribute`.
        ema_decay: Decay per update of averaged weights; 0 for none.
        precision: A dtype policy.
        loss: `"crossentropy"`, or `"binary_crossentropy"`, see
            `keras_tricks.losses.LabelSmoothedBinaryCrossentropy`.
        target_threshold: Of the latter: in [0, 1), or None.
        class_reduction: Of the latter: `"mean"` or `"sum"`.
        label_smoothing: In [0, 1).
        smoothing_convention: `"paper"` or `"uniform"`, or `"binary"` with
            `loss="binary_crossentropy"`.
        class_weights: `"balanced"` or `"effective_number"`, see
            `keras_tricks.losses`, from the counts of the training labels; or a
            number for each class; None for none.
        effective_number_beta: β of `"effective_number"`, in [0, 1).
        logit_adjustment: τ of logit adjustment, with the shares of the
            classes among the training labels; 0 for none.
        mixup_alpha: Of the Beta distribution; 0 for no mixup.
        cutmix_alpha: Of CutMix, in every second batch, by chance, if there is
            mixup too; 0 for no CutMix.
        mixup_per: `"batch"` or `"sample"`.
        mixup_off_epochs: Last epochs without mixup and CutMix.
        teacher: A saved .keras model, the name of one in
            `keras_tricks.models` together with `teacher_weights`, or another
            name that `model` may be, that the student learns from; None for
            no distillation.
        teacher_weights: Weights of a teacher that is given by name, as
            `weights`.
        temperature: T of distillation, above 0.
        distillation: `"softmax"`, or `"sigmoid"` with
            `loss="binary_crossentropy"`, see
            `keras_tricks.losses.binary_distillation_loss`.
        hard_weight: w in [0, 1] for `w * hard + (1 - w) * soft`; None for
            the paper's 1 : 1 sum.
        seed: Of weights, order, augmentation and mixing.
        jit_compile: `"auto"` takes the fastest; `"on"` or `"off"`.

    Raises:
        ValueError: If a value is of the wrong kind or out of its range, or
            a combination of values makes no sense.

    Example:
    >>> from keras_tricks import Recipe
    >>> recipe = Recipe.preset("+cosine", epochs=20, warmup_epochs=2)
    >>> recipe.schedule, recipe.label_smoothing
    ('cosine', 0.0)
    >>> Recipe.from_json(recipe.to_json()) == recipe
    True

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187)
    """

    seed: int = option(
        0, "Seed of weights, order and mixing.", low=0, high=2**32 - 1
    )
    jit_compile: str = option(
        "auto",
        "Compile the step with XLA or inductor; auto takes the fastest.",
        choices=("auto", "on", "off"),
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = check_field(field, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        check_combinations(self)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "Recipe":
        """Return the settings of a row of the paper's tables.

        | name | what it adds to the one before |
        |---|---|
        | baseline | ResNet-A, batch 256, step decay, no trick |
        | efficient | ResNet-D, batch 1024, float16, linear scaling, warmup, zero gamma, no bias decay |
        | +cosine | cosine decay |
        | +label_smoothing | label smoothing of 0.1 |
        | +mixup | mixup of alpha 0.2, 200 epochs for 120 |
        | +distillation | to +label_smoothing: a teacher, T = 20 |
        | +mixup+distillation | to +mixup: the same |
        | patient_consistent | beyond the paper: to +mixup, the teacher alone, T = 1, mixup of alpha 1 for each sample, 600 epochs |

        The last three need `teacher=`.

        Args:
            name: Name of the preset.
            **changes: Fields that are to differ.

        Returns:
            A `Recipe`. Data, depth and width are those of the defaults.

        Raises:
            ValueError: If the name or a field is unknown, or as at
                construction.

        Example:
        >>> Recipe.preset("efficient").batch_size
        1024

        Reference:
            - [He et al., 2018](https://arxiv.org/abs/1812.01187), tables 3, 5
              and 6
            - `patient_consistent`: [Beyer et al.,
              2021](https://arxiv.org/abs/2106.05237)
        """  # noqa: E501
        _checks.check_choice("name", name, PRESETS)
        if name in TEACHER_PRESETS and changes.get("teacher") is None:
            raise ValueError(
                f"`teacher` must be given with the preset {name!r}. "
                "Received: teacher=None"
            )
        settings = SETTINGS[name]
        if not is_ours(str(changes.get("model", cls.model))):
            # Of the paper's networks, with which the rows were made.
            settings = {k: v for k, v in settings.items() if k not in OF_OURS}
        return cls(**check_names(cls, {**settings, **changes}))

    def replace(self, **changes: Any) -> "Recipe":
        """Return a copy with other values, checked as at construction."""
        return dataclasses.replace(self, **check_names(Recipe, changes))

    @property
    def learning_rate(self) -> float:
        """The peak learning rate, scaled with the global batch or not."""
        if self.scaling == "none":
            return self.base_learning_rate
        return scale_learning_rate(
            self.base_learning_rate, self.batch_size, scaling=self.scaling
        )

    @property
    def measure(self) -> str:
        """Name in the logs of what tells the best epoch."""
        return "val_mean_ap" if self.multi_label else "val_accuracy"

    @property
    def boundaries(self) -> tuple[int, ...]:
        """The absolute epochs of the step schedule."""
        if self.step_epochs is not None:
            return self.step_epochs
        quarters = {round(self.epochs * share / 4) for share in (1, 2, 3)}
        return tuple(sorted(quarters - {0, self.epochs}))

    def explain(self, model: keras.Model, dataset_size: int) -> str:
        """Say what training will do, before it does it.

        Args:
            model: The built Keras model.
            dataset_size: Number of training images.

        Returns:
            Text: steps and batches, the curve of the learning rate, what
            decays and what does not, the gammas that are zero, dtypes,
            parameters, loss and mixing.

        Example:
        >>> from keras_tricks.models import ResNet18D
        >>> recipe = Recipe(epochs=2, warmup_epochs=1)
        >>> model = ResNet18D(num_classes=10, width=4, input_shape=(32, 32, 3))
        >>> print(recipe.explain(model, 640).splitlines()[0])
        updates   10 an epoch x 2 epochs = 20, each of 64 images
        """
        return explain(self, model, dataset_size)
