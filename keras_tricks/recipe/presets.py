"""Fields of `Recipe` for the rows of the paper's tables."""

SETTINGS = {
    "baseline": {
        "variant": "A",
        "zero_gamma": False,
        "epochs": 120,
        "batch_size": 256,
        "learning_rate_scaling": "none",
        "warmup_epochs": 0.0,
        "schedule": "step",
        "decay": "all",
        "label_smoothing": 0.0,
        "mixup_alpha": 0.0,
    }
}
SETTINGS["efficient"] = SETTINGS["baseline"] | {
    "variant": "D",
    "zero_gamma": True,
    "batch_size": 1024,
    "learning_rate_scaling": "linear",
    "warmup_epochs": 5.0,
    "decay": "kernels",
    "precision": "mixed_float16",
}
SETTINGS["+cosine"] = SETTINGS["efficient"] | {"schedule": "cosine"}
SETTINGS["+label_smoothing"] = SETTINGS["+cosine"] | {"label_smoothing": 0.1}
SETTINGS["+mixup"] = SETTINGS["+label_smoothing"] | {
    "mixup_alpha": 0.2,
    "epochs": 200,
}
_TEACHER = {"temperature": 20.0, "hard_weight": None}
SETTINGS["+distillation"] = SETTINGS["+label_smoothing"] | _TEACHER
SETTINGS["+mixup+distillation"] = SETTINGS["+mixup"] | _TEACHER
SETTINGS["patient_consistent"] = SETTINGS["+mixup"] | {
    "mixup_alpha": 1.0,
    "mixup_per": "sample",
    "epochs": 600,
    "temperature": 1.0,
    "hard_weight": 0.0,
    "label_smoothing": 0.0,
}
PRESETS = tuple(SETTINGS)
TEACHER_PRESETS = ("+distillation", "+mixup+distillation", "patient_consistent")
