from pathlib import Path

import numpy as np

from keras_tricks._files import write_atomically
from keras_tricks.report.batch_stages import BatchStages
from keras_tricks.report.figures import COLORS, as_png

_INCHES = 1.9
# Larger pictures than this cannot be told apart in a cell.
_MOST_PIXELS = 512


def write_batch_figure(
    path: str | Path, stages: BatchStages, title: str = ""
) -> Path:
    """Draw a training batch, a row for each sample, a column for each step.

    Pixels above 255 or below 0, which the color jitter may leave, are drawn
    as white and black.

    Args:
        path: The PNG file to write; its folder must exist.
        stages: From `batch_stages`.
        title: Heading of the picture. Defaults to none.

    Returns:
        The path.

    Raises:
        ValueError: If the folder does not exist.
        ImportError: If matplotlib is missing.

    Example:
    >>> import tempfile
    >>> from keras_tricks.data import Batches, load
    >>> from keras_tricks.report import batch_stages
    >>> data = load("digits")
    >>> batches = Batches(data.x_train, data.y_train, 64)
    >>> stages = batch_stages(batches, data.class_names, rows=2)
    >>> path = tempfile.mkdtemp() + "/batch.png"
    >>> write_batch_figure(path, stages).name
    'batch.png'
    """
    columns = len(stages.rows[0])
    lines = max(stage.note.count("\n") for row in stages.rows for stage in row)

    def draw(figure):
        grid = figure.subplots(len(stages.rows), columns + 1, squeeze=False)
        for axes, row, name, label in zip(
            grid, stages.rows, stages.names, stages.labels, strict=True
        ):
            for cell, stage in zip(axes[:-1], row, strict=True):
                _draw_stage(cell, stage)
            _write_labels(axes[-1], name, label)
        for cell, stage in zip(grid[0], stages.rows[0], strict=False):
            cell.set_title(stage.title, fontsize=10, fontweight="bold")
        grid[0, -1].set_title("label", fontsize=10, fontweight="bold")
        if title:
            figure.suptitle(title, fontsize=11)

    height = (_INCHES + 0.2 + 0.13 * lines) * len(stages.rows) + 0.7
    size = (_INCHES * (columns + 1), height)
    return write_atomically(path, as_png(draw, size))


def _draw_stage(axes, stage):
    from matplotlib.patches import Rectangle

    image = np.clip(np.rint(stage.image), 0, 255).astype("uint8")
    height, width = image.shape[:2]
    every = -(-max(height, width) // _MOST_PIXELS)
    image = image[::every, ::every]
    small = max(height, width) <= 64
    axes.imshow(
        image[..., 0] if image.shape[2] == 1 else image,
        cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0),
        interpolation="nearest" if small else "antialiased",
    )  # fmt: skip
    if stage.box is not None:
        box = stage.box
        axes.add_patch(
            Rectangle(
                (box.left, box.top),
                box.width,
                box.height,
                fill=False,
                edgecolor=COLORS[2],
                linewidth=2,
                clip_on=False,
            )  # fmt: skip
        )
    # A square around the image, so that the headings are at one height.
    left, top, side = width / 2, height / 2, max(height, width) / 2
    axes.set_xlim(left - side, left + side)
    axes.set_ylim(top + side, top - side)
    _bare(axes)
    axes.set_xlabel(stage.note, fontsize=7, labelpad=2)


def _write_labels(axes, name, label):
    shares = list(label.items())
    lines = [
        _short(share if value == 1 else f"{share}  {value:.2f}")
        for share, value in shares[:4]
    ]
    if len(shares) > 4:
        lines.append(f"and {len(shares) - 4} more")
    axes.text(
        0, 0.62, "\n".join(lines), fontsize=9, va="center",
        transform=axes.transAxes,
    )  # fmt: skip
    axes.text(
        0, 0.12, _short(Path(name).name), fontsize=6, color="#5a6673",
        va="center", transform=axes.transAxes,
    )  # fmt: skip
    axes.set_box_aspect(1)
    _bare(axes)


def _bare(axes):
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _short(text, most=26):
    return text if len(text) <= most else f"{text[: most - 1]}…"
