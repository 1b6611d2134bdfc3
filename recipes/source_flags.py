"""Flags that say what in shards, or in a data set of a hub, is what."""

from absl import flags

_IMAGE_KEY = flags.DEFINE_string(
    "image_key",
    None,
    "Feature of shards, or column of a hub, that is the image; the usual or "
    "the only one by default.",
)
_LABEL_KEY = flags.DEFINE_string(
    "label_key", None, "Feature or column that is the class, likewise."
)
_LABEL_OFFSET = flags.DEFINE_integer(
    "label_offset",
    0,
    "What the label of the first class is stored as in shards.",
    lower_bound=0,
)


def given() -> dict:
    """Return the arguments of `keras_tricks.data.open_images` they are for."""
    return {
        "image_key": _IMAGE_KEY.value,
        "label_key": _LABEL_KEY.value,
        "label_offset": _LABEL_OFFSET.value,
    }
