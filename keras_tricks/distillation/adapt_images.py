import dataclasses

from keras import ops

from keras_tricks import _checks
from keras_tricks._types import Tensor
from keras_tricks.layers.conv_norm import get_data_format

_INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "lanczos3")


@dataclasses.dataclass(frozen=True)
class AdaptImages:
    """Turns the student's images into those that a teacher was trained on.

    Formula: `((x * student_std + student_mean) - teacher_mean) / teacher_std`
    for each channel, then a resize, then another order of the axes. The view
    stays the same: only its units and its resolution change.

    Means and deviations are in the units of the pixels, those of 0 to 255 if
    that is what both were computed from.

    Args:
        image_size: Side of the teacher's images, or (height, width), or None
            to keep the size. Defaults to None.
        student_mean: What was subtracted from the student's images: a number
            or one for each channel. Defaults to 0.
        student_std: What they were divided by. Defaults to 1.
        teacher_mean: What the teacher's images have subtracted. Defaults
            to 0.
        teacher_std: What they are divided by. Defaults to 1.
        data_format: Layout of the student's images; Keras' default if None.
        teacher_data_format: Layout that the teacher wants; the student's if
            None.
        interpolation: Of the resize, with antialiasing. Defaults to
            `"bilinear"`.
        reverse_channels: Whether one has RGB where the other has BGR.
            `teacher_mean` and `teacher_std` are in the teacher's order.
            Defaults to `False`.

    Call arguments:
        images: `(B, H, W, C)`, or `(B, C, H, W)`, any dtype.

    Returns:
        The images for the teacher, float32.

    Raises:
        ValueError: If an argument is out of its range, or if the images are
            not of rank 4.

    Example:
    >>> adapt = AdaptImages(16, student_mean=127.5, student_std=127.5)
    >>> images = np.zeros((2, 8, 8, 3), "float32")
    >>> float(adapt(images)[0, 0, 0, 0]), tuple(adapt(images).shape)
    (127.5, (2, 16, 16, 3))
    """

    image_size: int | tuple[int, int] | None = None
    student_mean: float | tuple[float, ...] = 0.0
    student_std: float | tuple[float, ...] = 1.0
    teacher_mean: float | tuple[float, ...] = 0.0
    teacher_std: float | tuple[float, ...] = 1.0
    data_format: str | None = None
    teacher_data_format: str | None = None
    interpolation: str = "bilinear"
    reverse_channels: bool = False

    def __post_init__(self):
        for name in ("mean", "std"):
            for who in ("student", "teacher"):
                field = f"{who}_{name}"
                value = _check_channels(field, getattr(self, field))
                object.__setattr__(self, field, value)
        size = self.image_size
        if size is not None:
            size = size if isinstance(size, (tuple, list)) else (size, size)
            if len(size) != 2:
                raise ValueError(
                    "`image_size` must be a side or (height, width). "
                    f"Received: image_size={self.image_size!r}"
                )
            size = tuple(
                _checks.check_int("image_size", side, 1) for side in size
            )
            object.__setattr__(self, "image_size", size)
        for field in ("data_format", "teacher_data_format"):
            if field == "data_format" or getattr(self, field) is not None:
                value = get_data_format(getattr(self, field))
                object.__setattr__(self, field, value)
        _checks.check_choice(
            "interpolation", self.interpolation, _INTERPOLATIONS
        )

    def __call__(self, images: Tensor) -> Tensor:
        x = ops.cast(images, "float32")
        if len(x.shape) != 4:
            raise ValueError(
                "`images` must be a batch of rank 4. "
                f"Received: images.shape={tuple(x.shape)}"
            )
        last = self.data_format == "channels_last"
        scale, offset = self._scale_and_offset(x.shape[-1 if last else 1])
        if scale is not None:
            shape = (1, 1, 1, -1) if last else (1, -1, 1, 1)
            scale, offset = (
                ops.reshape(ops.convert_to_tensor(v, "float32"), shape)
                for v in (scale, offset)
            )
            x = x * scale + offset
        if self.reverse_channels:
            x = ops.flip(x, -1 if last else 1)
        sides = tuple(x.shape[1:3] if last else x.shape[2:4])
        if self.image_size is not None and self.image_size != sides:
            x = ops.image.resize(
                x,
                self.image_size,
                interpolation=self.interpolation,
                antialias=True,
                data_format=self.data_format,
            )
        if self.teacher_data_format in (None, self.data_format):
            return x
        return ops.transpose(x, (0, 3, 1, 2) if last else (0, 2, 3, 1))

    def _scale_and_offset(self, channels):
        """Return the affine map of each channel, or None where it is x -> x."""
        values = {}
        for field in ("mean", "std"):
            for who in ("student", "teacher"):
                value = getattr(self, f"{who}_{field}")
                if len(value) not in (1, channels):
                    raise ValueError(
                        f"`{who}_{field}` must hold one number or one for "
                        f"each of the {channels} channels. "
                        f"Received: {who}_{field}={value}"
                    )
                value *= channels // len(value)
                if self.reverse_channels and who == "teacher":
                    value = value[::-1]
                values[who, field] = value
        rows = list(zip(*values.values(), strict=True))
        scale = [s / t for _, _, s, t in rows]
        offset = [(m - n) / t for m, n, _, t in rows]
        if set(scale) == {1.0} and set(offset) == {0.0}:
            return None, None
        return scale, offset


def _check_channels(name, value):
    """Return a tuple of floats, positive ones for a deviation."""
    items = value if hasattr(value, "__len__") else [value]
    positive = name.endswith("std")
    return tuple(
        _checks.check_real(
            name,
            item.item() if hasattr(item, "item") else item,
            0 if positive else None,
            open_low=positive,
        )
        for item in items
    )
