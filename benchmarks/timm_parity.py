"""Are our networks timm's? Random weights of timm, in timm and in ours.

For each network: the largest difference of a logit, relative to the largest
logit, in both data formats, and whether as many values train.

    pip install timm
    KERAS_BACKEND=jax python benchmarks/timm_parity.py
"""

import math
import pathlib
import tempfile

import keras
import numpy as np
import timm
import torch
from absl import app, flags

from keras_tricks.models import InceptionV3, MobileNet, ResNet

NETWORKS = {
    "resnet18d": (ResNet, {"depth": 18, "variant": "D"}),
    "resnet34d": (ResNet, {"depth": 34, "variant": "D"}),
    "resnet50": (ResNet, {"depth": 50, "variant": "B"}),
    "resnet50c": (ResNet, {"depth": 50, "variant": "C"}),
    "resnet50d": (ResNet, {"depth": 50, "variant": "D"}),
    "resnet101d": (ResNet, {"depth": 101, "variant": "D"}),
    "resnet152d": (ResNet, {"depth": 152, "variant": "D"}),
    "inception_v3": (InceptionV3, {}),
    "mobilenetv1_100": (MobileNet, {"activation": "relu6"}),
}
_NETWORKS = flags.DEFINE_list("networks", list(NETWORKS), "Names in timm.")


def random_network(name):
    """Return a network of timm whose norms hide no mistake."""
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    return model


def compare(name, folder):
    """Return the differences in both formats, and the two counts."""
    theirs = random_network(name)
    path = pathlib.Path(folder) / f"{name}.pth"
    torch.save(theirs.state_dict(), path)
    size = 299 if name == "inception_v3" else 224
    x = np.random.default_rng(0).normal(size=(2, 3, size, size))
    x = x.astype("float32")
    with torch.no_grad():
        expected = theirs.cpu()(torch.from_numpy(x)).numpy()
    build, options = NETWORKS[name]
    differences = []
    for data_format in ("channels_last", "channels_first"):
        last = data_format == "channels_last"
        ours = build(
            **options,
            weights=path,
            data_format=data_format,
            input_shape=(size, size, 3) if last else (3, size, size),
        )
        images = x.transpose(0, 2, 3, 1) if last else x
        actual = ours.predict_on_batch(np.ascontiguousarray(images))
        scale = np.abs(expected).max()
        differences.append(float(np.abs(actual - expected).max() / scale))
    count = sum(math.prod(v.shape) for v in ours.trainable_variables)
    return differences, count, sum(p.numel() for p in theirs.parameters())


def main(argv):
    """Compare, and print a line for each network."""
    del argv
    print(f"timm {timm.__version__}, {keras.backend.backend()}")
    with tempfile.TemporaryDirectory() as folder:
        for name in _NETWORKS.value:
            differences, ours, theirs = compare(name, folder)
            print(
                f"{name:<18}{differences[0]:>9.1e}{differences[1]:>9.1e}"
                f"{ours:>14,}{theirs:>14,}",
                flush=True,
            )


if __name__ == "__main__":
    app.run(main)
