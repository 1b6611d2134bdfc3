"""Randomness as a function of (seed, epoch, step), never of hidden state."""

import numpy as np

from keras_tricks._checks import check_int

ORDER, AUGMENT, MIX, SPLIT, CUT, SWITCH, TRANSFORM, SAMPLE = range(8)


def random_generator(
    seed: int, stream: int, epoch: int = 0, step: int = 0
) -> np.random.Generator:
    """Return the generator that belongs to one step of one epoch.

    The generator is Philox, a counter-based one, keyed by a hash of all four
    numbers. Equal arguments give an equal stream in every thread, process and
    machine, and neighboring seeds, epochs or steps give unrelated ones.

    Args:
        seed: Integer, at least 0.
        stream: What the numbers are for, an integer that sets them apart from
            other numbers of the same seed. Those below 100 are used here.
        epoch: Integer, at least 0.
        step: Integer, at least 0.

    Returns:
        A `numpy.random.Generator`.

    Example:
    >>> from keras_tricks.data import random_generator
    >>> a = random_generator(7, 100, epoch=2, step=5).random()
    >>> a == random_generator(7, 100, epoch=2, step=5).random()
    True
    """
    key = np.random.SeedSequence(
        check_int("seed", seed),
        spawn_key=(
            stream,
            check_int("epoch", epoch),
            check_int("step", step),
        ),
    )
    return np.random.Generator(np.random.Philox(key))
