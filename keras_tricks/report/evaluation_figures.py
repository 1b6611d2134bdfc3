import base64
import io

import numpy as np

from keras_tricks.data.transforms.crops import import_pillow
from keras_tricks.report.figures import COLORS, as_percent, as_svg

# A confusion matrix of more classes cannot be read.
MOST_CLASSES = 20
_THUMBNAIL = 192


def reliability_figure(
    count: np.ndarray, confidence: np.ndarray, right: np.ndarray
) -> str:
    """Draw accuracy against confidence, a bar for each bin.

    Args:
        count: Predictions in each bin, shape (B,), from
            `Evaluation.calibration_bins`.
        confidence: Sum of their confidences.
        right: Number of those that are right.

    Returns:
        An SVG picture as a data URI.

    Example:
    >>> bins = np.array([0, 4]), np.array([0, 3.5]), np.array([0, 3])
    >>> reliability_figure(*bins)[:18]
    'data:image/svg+xml'
    """
    edges = np.arange(len(count)) / len(count)
    width = 1 / len(count)
    some = np.maximum(count, 1)
    accuracy, mean = right / some, confidence / some
    full = count > 0

    def draw(axes):
        axes.plot([0, 1], [0, 1], color="#8a95a3", linestyle="--", zorder=3)
        axes.bar(
            edges[full], accuracy[full], width, align="edge",
            color=COLORS[1], edgecolor="white",
        )  # fmt: skip
        axes.plot(
            mean[full], accuracy[full], "o", color=COLORS[2], markersize=4,
            clip_on=False, zorder=4,
        )  # fmt: skip
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("confidence")
        axes.set_ylabel("accuracy")
        as_percent(axes.xaxis)
        as_percent(axes.yaxis)

    return as_svg(draw, (5.2, 3.6))


def confidence_figure(
    confidences: np.ndarray, hits: np.ndarray, bins: int = 15
) -> str:
    """Draw how many predictions have which confidence, right and wrong.

    Args:
        confidences: Largest probability of each prediction, shape (N,).
        hits: Whether it is right, shape (N,).
        bins: Number of bars. Defaults to 15.

    Returns:
        An SVG picture as a data URI.

    Example:
    >>> confidence_figure(np.array([0.9, 0.4]), np.array([True, False]))[:18]
    'data:image/svg+xml'
    """

    def draw(axes):
        axes.hist(
            [confidences[hits], confidences[~hits]],
            bins=np.linspace(0, 1, bins + 1),
            stacked=True,
            color=[COLORS[1], COLORS[2]],
            edgecolor="white",
            label=["right", "wrong"],
        )
        axes.set_xlim(0, 1)
        axes.set_xlabel("confidence")
        axes.set_ylabel("images")
        as_percent(axes.xaxis)
        # Above the axes: no bar is there, however the images are spread.
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderpad=0
        )

    return as_svg(draw, (5.2, 3.6))


def most_confused(confusions: np.ndarray, most: int = MOST_CLASSES):
    """Choose the classes to show: all, or those of the worst pairs.

    Args:
        confusions: Images of class i taken for class j, shape (K, K).
        most: How many classes at most.

    Returns:
        Their numbers, ascending.

    Example:
    >>> confusions = np.diag([5, 5, 5, 5])
    >>> confusions[1, 3] = 2
    >>> most_confused(confusions, most=2).tolist()
    [1, 3]
    """
    size = len(confusions)
    if size <= most:
        return np.arange(size)
    wrong = confusions - np.diag(np.diag(confusions))
    share = wrong / np.maximum(confusions.sum(1, keepdims=True), 1)
    # By number, then by share: of classes of few images each is a lot.
    order = np.lexsort((-share.ravel(), -wrong.ravel()))
    chosen: list[int] = []
    for pair in order[: int((wrong > 0).sum())]:
        for index in divmod(int(pair), size):
            if index not in chosen and len(chosen) < most:
                chosen.append(index)
        if len(chosen) == most:
            break
    return np.sort(np.array(chosen, int))


def confusion_figure(
    confusions: np.ndarray,
    labels: list[str],
    names: list[str],
    totals: np.ndarray,
) -> str:
    """Draw which class is taken for which.

    Args:
        confusions: Images of class i taken for class j, shape (L, K).
        labels: Names of the L rows.
        names: Names of the K columns.
        totals: Images of each row's class, shape (L,); what a full color
            means.

    Returns:
        An SVG picture as a data URI.

    Example:
    >>> names = ["a", "b"]
    >>> figure = confusion_figure(np.eye(2), names, names, np.ones(2))
    >>> figure[:18]
    'data:image/svg+xml'
    """
    height, width = confusions.shape
    share = confusions / np.maximum(totals, 1)[:, None]
    labels, names = ([_short(name) for name in x] for x in (labels, names))
    longest = [max(map(len, x)) for x in (labels, names)]
    upright = width * longest[1] > 40

    def draw(axes):
        from matplotlib.colors import LinearSegmentedColormap

        colors = LinearSegmentedColormap.from_list("", ["#ffffff", COLORS[1]])
        axes.imshow(share, cmap=colors, vmin=0, vmax=1)
        axes.set_xticks(range(width), names, rotation=90 if upright else 0)
        axes.set_yticks(range(height), labels)
        axes.set_xlabel("taken for")
        axes.set_ylabel("label")
        axes.tick_params(length=0, labelsize=9)
        axes.grid(visible=False)
        for i, j in np.argwhere(confusions > 0):
            axes.text(
                j, i, f"{confusions[i, j]:g}", ha="center", va="center",
                fontsize=9, color="white" if share[i, j] > 0.5 else "#1c2733",
            )  # fmt: skip

    # Inches of the cells, the letters beside and below, and the titles.
    size = (
        0.36 * width + 0.08 * longest[0] + 0.6,
        0.36 * height + 0.08 * (longest[1] if upright else 2) + 0.6,
    )
    return as_svg(draw, size)


def _short(name, most=28):
    return name if len(name) <= most else f"{name[: most - 1]}…"


def thumbnail(image: np.ndarray) -> str:
    """Make a small picture of what the network sees.

    Args:
        image: uint8, shape (H, W, C); of other than 3 channels the first is
            shown.

    Returns:
        A JPEG, or a PNG of small images, as a data URI.

    Example:
    >>> thumbnail(np.zeros((8, 8, 1), "uint8"))[:15]
    'data:image/png;'
    """
    pillow = import_pillow()
    pixels = image if image.shape[2] == 3 else image[..., 0]
    picture = pillow.fromarray(np.ascontiguousarray(pixels))
    small = max(picture.size) <= 64
    if not small:
        picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    buffer = io.BytesIO()
    kind = "png" if small else "jpeg"
    picture.save(buffer, kind, **({} if small else {"quality": 80}))
    code = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{kind};base64,{code}"
