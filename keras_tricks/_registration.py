"""What is registered, imported when a saved model asks for it.

Keras looks the classes of a saved model up in
`keras.saving.get_custom_objects()`, where a class stands once its module has
been imported. `import keras_tricks` imports none of them, so each has a
stand-in there, which its class replaces as soon as it is imported. It does not
import Keras either, which would choose the backend before the command
`keras-tricks` can: the stand-ins are there as soon as Keras is.
"""

import importlib
import sys

MODULES = {
    "data.transforms.preprocessing": ["Preprocessing"],
    "data.transforms.train_transform": ["TrainTransform"],
    "distillation.distiller": ["Distiller"],
    "layers.batch_norm": ["BatchNormalization"],
    "layers.conv_norm": ["ConvNorm"],
    "layers.cut_mix": ["CutMix"],
    "layers.drop_path": ["DropPath"],
    "layers.frozen_norm": ["FrozenBatchNormalization"],
    "layers.mix_up": ["MixUp"],
    "layers.mix_up_or_cut_mix": ["MixUpOrCutMix"],
    "layers.pooling": ["PaddedPooling2D"],
    "layers.residual": ["BasicBlock", "BottleneckBlock"],
    "layers.separable": ["SeparableBlock"],
    "layers.shortcut": ["Shortcut"],
    "layers.stem": ["Stem"],
    "losses.binary_crossentropy": [
        "LabelSmoothedBinaryCrossentropy",
        "label_smoothed_binary_crossentropy",
    ],
    "losses.binary_kd": ["LabelSmoothedBinaryKD", "binary_distillation_loss"],
    "losses.distillation": ["KnowledgeDistillation", "distillation_loss"],
    "losses.label_smoothed_kd": ["LabelSmoothedKD", "label_smoothed_kd"],
    "losses.label_smoothing": [
        "LabelSmoothedCrossentropy",
        "label_smoothed_crossentropy",
    ],
    "metrics.average_precision": ["MeanAveragePrecision"],
    "metrics.balanced_accuracy": ["BalancedAccuracy"],
    "metrics.calibration_error": ["CalibrationError"],
    "metrics.crossentropy": ["Crossentropy"],
    "metrics.dominant_label_accuracy": [
        "DominantLabelAccuracy",
        "dominant_label_accuracy",
    ],
    "metrics.teacher": ["TeacherAgreement", "TeacherKL", "teacher_agreement"],
    "metrics.top_k_accuracy": ["TopKAccuracy", "top_k_accuracy"],
    "models._network": ["ClassifierModel"],
    "optimizers.adamw": ["AdamW"],
    "optimizers.adaptive_gradient_clipping": ["AdaptiveGradientClipping"],
    "optimizers.lamb": ["Lamb"],
    "optimizers.lion": ["Lion"],
    "optimizers.muon": ["Muon"],
    "optimizers.schedule_free_adamw": ["ScheduleFreeAdamW"],
    "optimizers.sgd": ["SGD"],
    "schedules.cosine_decay": ["CosineDecay"],
    "schedules.exponential_range": ["ExponentialRange"],
    "schedules.step_decay": ["StepDecay"],
    "schedules.warmup": ["Warmup"],
}
"""The registered classes and functions by their modules; a test compares."""


class StandIn:
    """Stand for a class that is imported at its first use."""

    def __init__(self, module, name):
        self._module = module
        self._name = name

    def __call__(self, *args, **kwargs):
        return self._import()(*args, **kwargs)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._import(), name)

    def __repr__(self):
        return f"<class {self._module}.{self._name}, not yet imported>"

    def _import(self):
        return getattr(importlib.import_module(self._module), self._name)


def _function(module, name):
    """Stand for a function: Keras saves nothing else as one."""

    def stand_in(*args, **kwargs):
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    stand_in.__name__ = name
    return stand_in


def register() -> None:
    """Put a stand-in for all that has not been imported into Keras."""
    import keras

    known = keras.saving.get_custom_objects()
    to_keras = keras.saving.register_keras_serializable
    for module, names in MODULES.items():
        for name in names:
            if f"keras_tricks>{name}" not in known:
                make = _function if name.islower() else StandIn
                stand_in = make(f"keras_tricks.{module}", name)
                to_keras("keras_tricks", name)(stand_in)


class WhenImported:
    """Find Keras as the other finders do, and register behind its import."""

    def find_spec(self, name, path=None, target=None):
        if name != "keras":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next(filter(None, specs), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module):
                load(module)
                register()
                sys.meta_path.remove(self)

            spec.loader.exec_module = exec_module
        return spec


if "keras" in sys.modules:
    register()
else:
    sys.meta_path.insert(0, WhenImported())
