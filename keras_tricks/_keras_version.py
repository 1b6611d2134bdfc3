"""Which versions of Keras the library's changes to it were checked with."""

import functools
import re
import warnings

import keras

OLDEST, NEWEST = (3, 13), (3, 15)
"""What these changes are for; docs/distribute.md says what ran on which."""


def check_keras_version() -> None:
    """Refuse a Keras too old to be changed, and warn of one too new.

    What trains on several devices, or finishes batches on the device,
    replaces private parts of Keras, and calls this first.

    Raises:
        RuntimeError: If Keras is older than `OLDEST`.

    Warns:
        UserWarning: Once, if it is newer than `NEWEST`.
    """
    _check(keras.__version__)


def keras_version() -> tuple[int, int]:
    """Return the first two numbers of the version of Keras.

    Example:
    >>> keras_version() >= OLDEST
    True
    """
    major, minor = re.findall(r"\d+", keras.__version__)[:2]
    return int(major), int(minor)


@functools.cache
def _check(version):
    found = keras_version()
    oldest, newest = (f"{v[0]}.{v[1]}" for v in (OLDEST, NEWEST))
    if found < OLDEST:
        raise RuntimeError(
            f"Keras must be {oldest} or later to train on several devices or "
            f"to finish batches on the device. Received: Keras {version}"
        )
    if found > NEWEST:
        warnings.warn(
            "Training on several devices and finishing batches on the device "
            f"change parts of Keras, which was checked with Keras {oldest} to "
            f"{newest}. Run tests/distribute and tests/training of "
            f"keras_tricks with yours. Received: Keras {version}",
            stacklevel=4,
        )
