"""What do augmentation policies cost, for one image on one core?

    python benchmarks/policies.py --data_dir=photos

Draws and applies RandAugment, TrivialAugment and AugMix in turn, to the same
images of 224 x 224 pixels, and prints milliseconds of processor time and their
ratio to RandAugment's: medians over rounds.
"""

import statistics
import time

import numpy as np
from absl import app, flags

from keras_tricks.data import Preprocessing, open_images, transforms

_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "A folder of class folders.", required=True
)
_IMAGES = flags.DEFINE_integer("images", 50, "In each round.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 9, "Of all policies.", lower_bound=1)


def of_name(name):
    """Return a function that changes an image by a policy."""

    def change(image, rng):
        operations = transforms.draw_policy(rng, name)
        return transforms.apply_policy(image, operations)

    return change


def aug_mix(image, rng):
    """Change an image by three chains of one to three operations."""
    return transforms.apply_aug_mix(image, transforms.draw_aug_mix(rng))


POLICIES = {
    **{name: of_name(name) for name in ("rand_augment", "trivial_augment")},
    "aug_mix": aug_mix,
}


def main(argv):
    """Time the policies in turn and print a table."""
    del argv
    records = open_images(data_dir=_DATA_DIR.value).train
    preprocessing = Preprocessing(224)
    count = min(_IMAGES.value, len(records))
    images = [
        preprocessing.transform(transforms.decode_image(records.record(i)[0]))
        for i in range(count)
    ]
    times = {name: [] for name in POLICIES}
    for number in range(_ROUNDS.value):
        for name, change in POLICIES.items():
            rng = np.random.default_rng(number)
            start = time.process_time()
            for image in images:
                change(image, rng)
            seconds = time.process_time() - start
            times[name].append(1000 * seconds / count)
    print("| policy | ms | over rand_augment |\n|---|---:|---:|")
    for name, found in times.items():
        ratios = [
            one / other
            for one, other in zip(found, times["rand_augment"], strict=True)
        ]
        print(
            f"| {name} | {statistics.median(found):.2f} | "
            f"{statistics.median(ratios):.1f} |"
        )


if __name__ == "__main__":
    app.run(main)
