"""Mistakes with the shape of images, their channels and their policies."""

import numpy as np

from keras_tricks import Recipe
from keras_tricks.data import (
    ArrayRecords,
    ImageBatches,
    ImageData,
    Preprocessing,
    TrainTransform,
    load,
)
from keras_tricks.data.transforms import (
    AugMix,
    apply_aug_mix,
    draw_aug_mix,
    letterbox,
    resize,
)
from keras_tricks.networks import build_network

RNG = np.random.default_rng(0)
IMAGE = np.zeros((9, 12, 3), "uint8")
CROPS = {"augmentation": "crop", "image_size": (16, 24)}


def five_channels():
    x, y = np.zeros((2, 8, 8, 5), "uint8"), np.array([0, 1])
    return ImageData(x, y, x, y, ("a", "b"), "fives")


# As in the other files of mistakes.
MISTAKES = {
    "a crop below nothing": (
        lambda _: Recipe(crop_ratio=-1),
        ValueError,
        "`crop_ratio` must be a number in [0, 1]. Received: crop_ratio=-1",
    ),
    "one side in a tuple": (
        lambda path: Recipe(image_size=(16,)),
        ValueError,
        "`image_size` must be an integer, or two: height and width. "
        "Received: image_size=(16,)",
    ),
    "a size as a flag has it": (
        lambda path: Recipe(image_size="16x24"),
        ValueError,
        "`image_size` must be an integer, or two: height and width. "
        "Received: image_size='16x24'",
    ),
    "too short a side": (
        lambda path: Recipe(test_image_size=(16, 7)),
        ValueError,
        "`test_image_size` must be an integer … Received: test_image_size=7",
    ),
    "growing sizes that are no squares": (
        lambda path: Recipe(progressive_sizes=(8, 16), **CROPS),
        ValueError,
        "`progressive_sizes` must be None with image_size=(16, 24), since it "
        "has the sides of squares. Received: progressive_sizes=(8, 16)",
    ),
    "arrays of another shape": (
        lambda path: load("digits", image_size=(8, 12)),
        ValueError,
        "`image_size` must be None or the size of digits's images, (8, 8). "
        "Received: image_size=(8, 12)",
    ),
    "a crop of a letterbox": (
        lambda path: Recipe(resize="letterbox", crop_ratio=1.0, **CROPS),
        ValueError,
        "`crop_ratio` must be 0.875 with resize='letterbox', which crops "
        "nothing. Received: crop_ratio=1.0",
    ),
    "a letterbox in memory": (
        lambda path: Recipe(resize="letterbox"),
        ValueError,
        "`resize` must be 'crop' with images in memory, which does not use it "
        "(augmentation='crop' does, or input_engine='tf.data' or 'grain'). "
        "Received: resize='letterbox'",
    ),
    "an unknown resize": (
        lambda path: Preprocessing(resize="stretch"),
        ValueError,
        "`resize` must be one of 'crop', 'letterbox'. "
        "Received: resize='stretch'",
    ),
    "ten crops of a letterbox": (
        lambda path: Preprocessing(8, resize="letterbox").views(ten_crop=True),
        ValueError,
        "`ten_crop` must be False with resize='letterbox', which crops "
        "nothing. Received: ten_crop=True",
    ),
    "a letterbox without height": (
        lambda path: letterbox(IMAGE, (0, 8)),
        ValueError,
        "`size` must be an integer of at least 1. Received: size=0",
    ),
    "gray images that are normalized as colors": (
        lambda path: ImageBatches(
            ArrayRecords(IMAGE[None], np.array([0]), ("a", "b")),
            Preprocessing(8),
            1,
            transform=TrainTransform(8, channels=1),
        ),
        ValueError,
        "`transform` must give images of 3 channels, which `preprocessing` "
        "normalizes. Received: 1 channels",
    ),
    "two channels": (
        lambda path: Recipe(channels=2),
        ValueError,
        "`channels` must be one of 1, 3. Received: channels=2",
    ),
    "arrays that are neither gray nor colored": (
        lambda path: five_channels().with_channels(1),
        ValueError,
        "`channels` must be None for images of 5 channels. "
        "Received: channels=1",
    ),
    "a mean for each of three channels of gray": (
        lambda path: Preprocessing(8, channels="L"),
        ValueError,
        "`mean` must be one number for the one channel L. Received: …",
    ),
    "gray for a network of others that knows colors": (
        lambda path: build_network(
            "applications/MobileNet", (32, 32, 1), 3, weights="imagenet"
        ),
        ValueError,
        "`model` must be a network for these images and weights (…3 channels…"
        "Received: model='applications/MobileNet', images of shape "
        "(32, 32, 1), weights='imagenet'",
    ),
    "severity without AugMix": (
        lambda path: Recipe(severity=5.0, policy="rand_augment", **CROPS),
        ValueError,
        "`severity` must be 3 without policy='aug_mix'. Received: severity=5.0",
    ),
    "too severe": (
        lambda path: Recipe(severity=11.0, policy="aug_mix", **CROPS),
        ValueError,
        "`severity` must be a number in [0.1, 10]. Received: severity=11.0",
    ),
    "no chain to mix": (
        lambda path: draw_aug_mix(RNG, width=0),
        ValueError,
        "`width` must be an integer of at least 1. Received: width=0",
    ),
    "gray images to mix": (
        lambda path: apply_aug_mix(IMAGE[..., :1], draw_aug_mix(RNG)),
        ValueError,
        "`image` must be RGB of shape (H, W, 3). Received: image.shape=…",
    ),
    "resizing floats": (
        lambda _: resize(np.zeros((4, 4, 3)), 2),
        ValueError,
        "`image` must be uint8 of shape … Received: image.dtype=float64, …",
    ),
    "resizing a batch": (
        lambda _: resize(np.zeros((2, 4, 4, 3), "uint8"), 2),
        ValueError,
        "`image` must be uint8 of shape … Received: …(2, 4, 4, 3)",
    ),
    "chains whose weights are half": (
        lambda _: apply_aug_mix(
            np.zeros((4, 4, 3), "uint8"), AugMix(((),), (0.5,), 0.5)
        ),
        ValueError,
        "`mix` must have a weight for each of 1 chains, 1 in sum. "
        "Received: weights=(0.5,)",
    ),
    "more of an image than there is": (
        lambda _: apply_aug_mix(
            np.zeros((4, 4, 3), "uint8"), AugMix(((),), (1.0,), 2.0)
        ),
        ValueError,
        "`mix.share` must be a number in [0, 1]. Received: mix.share=2.0",
    ),
}
