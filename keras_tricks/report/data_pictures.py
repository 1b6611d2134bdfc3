import numpy as np

from keras_tricks.data.transforms.decode import open_image
from keras_tricks.report.evaluation_figures import thumbnail

_LARGEST = 4


class Pictures:
    """Thumbnails of the records of a data set, with names and labels.

    Args:
        splits: Dict of a split to its `Records`.
        class_names: K names.

    Example:
    >>> from keras_tricks.data import open_images
    >>> data = open_images("digits")
    >>> picture = Pictures({"train": data.train}, data.class_names)("train", 0)
    >>> picture["name"], picture["label"], picture["source"][:15]
    ('digits train[0]', '0', 'data:image/png;')
    """

    def __init__(self, splits, class_names):
        self.splits, self.class_names = splits, class_names

    def __call__(self, split: str, index: int, note: str | None = None) -> dict:
        """Return what the template shows of a record.

        Args:
            split: `"train"` or `"test"`.
            index: Number of a record that can be read.
            note: What to show in place of its class.

        Returns:
            A dict of the picture, the name, the label and whether it is
            small.
        """
        records = self.splits[split]
        name = records.name(int(index))
        data, label = records.record(int(index))
        image = open_image(data, name) if isinstance(data, bytes) else data
        pixels = _fitted(image)
        return {
            "source": thumbnail(pixels),
            "name": name,
            "label": self._named(label) if note is None else note,
            "small": max(pixels.shape) <= 64,
        }

    def _named(self, label):
        if not np.ndim(label):
            return self.class_names[label]
        names = [self.class_names[i] for i in np.flatnonzero(label)]
        return ", ".join(names) or "no class"


def _fitted(image):
    """Return the pixels for a thumbnail; of a long image the middle."""
    if hasattr(image, "getbands"):
        image.thumbnail((4 * 192, 4 * 192))
        image = np.asarray(image)
    height, width = image.shape[:2]
    most = _LARGEST * min(height, width)
    top, left = max(height - most, 0) // 2, max(width - most, 0) // 2
    return image[top : top + most, left : left + most]
