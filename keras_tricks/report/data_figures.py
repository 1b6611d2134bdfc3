import numpy as np

from keras_tricks.report.figures import COLORS, as_svg

# More names than this cannot be read below one another.
MOST_BARS = 40
_MOST_DOTS = 5000
_TITLES = {"train": "training", "test": "test"}


def balance_figure(names: list[str], counts: dict[str, np.ndarray]) -> str:
    """Draw how many images the classes have.

    A bar for each class, or, of many classes, a curve from the largest to
    the smallest.

    Args:
        names: Names of K classes.
        counts: Dict of a split, `"train"` or `"test"`, to its images of each
            class, shape (K,).

    Returns:
        An SVG picture as a data URI.

    Example:
    >>> balance_figure(["a", "b"], {"train": np.array([3, 4])})[:18]
    'data:image/svg+xml'
    """
    if len(names) > MOST_BARS:
        return as_svg(lambda axes: _draw_ranks(axes, counts), (9.5, 3.6))

    def draw(axes):
        rows = np.arange(len(names))
        height = 0.8 / len(counts)
        for i, (split, values) in enumerate(counts.items()):
            places = rows - 0.4 + height * (i + 0.5)
            bars = axes.barh(
                places,
                values,
                height,
                color=COLORS[i + 1],
                label=_TITLES[split],
            )
            if max(values, default=0):
                axes.bar_label(bars, padding=3, fontsize=8, color="#3c4650")
        axes.set_yticks(rows, [_short(name) for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("images")
        axes.margins(x=0.06)
        _legend_above(axes)

    return as_svg(draw, (9.5, 1.1 + 0.34 * len(names)))


def _draw_ranks(axes, counts):
    for i, (split, values) in enumerate(counts.items()):
        ranks = np.arange(1, len(values) + 1)
        axes.step(
            ranks, np.sort(values)[::-1], color=COLORS[i + 1], where="mid",
            label=_TITLES[split],
        )  # fmt: skip
    axes.set_xlabel("classes, the largest first")
    axes.set_ylabel("images")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    _legend_above(axes)


def sizes_figure(widths: np.ndarray, heights: np.ndarray) -> str:
    """Draw width against height, a dot for each image.

    Args:
        widths: In pixels, shape (N,).
        heights: In pixels, shape (N,). Of more than 5,000 images, some are
            drawn.

    Returns:
        An SVG picture as a data URI.

    Example:
    >>> sizes_figure(np.array([30, 40]), np.array([20, 20]))[:18]
    'data:image/svg+xml'
    """
    chosen = np.linspace(0, len(widths) - 1, min(len(widths), _MOST_DOTS))
    chosen = np.unique(chosen.round().astype(int))
    # The same size many times is one dot, the darker the more there are.
    sizes, counts = np.unique(
        np.stack([widths[chosen], heights[chosen]], axis=1),
        axis=0,
        return_counts=True,
    )

    def draw(axes):
        axes.scatter(
            *sizes.T, s=18, color=COLORS[1], linewidths=0, zorder=3,
            alpha=np.clip(0.35 + counts / 20, 0, 1),
        )  # fmt: skip
        axes.set_xlabel("width in pixels")
        axes.set_ylabel("height in pixels")
        _scale_pixels(axes.set_xscale, axes.set_xlim, sizes[:, 0], axes.xaxis)
        _scale_pixels(axes.set_yscale, axes.set_ylim, sizes[:, 1], axes.yaxis)

    return as_svg(draw, (5.2, 3.6))


def _scale_pixels(set_scale, set_limits, values, axis):
    """Scale from zero, or logarithmically for an image far from others."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    low, high = values.min(), values.max()
    if high > 20 * np.median(values) or low * 20 < np.median(values):
        set_scale("log")
        set_limits(low / 1.5, high * 1.5)
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axis.set_minor_formatter(NullFormatter())
    else:
        set_limits(0, 1.08 * high)


def histogram_figure(values: np.ndarray, label: str) -> str:
    """Draw how many images have which value.

    Args:
        values: Above 0, shape (N,).
        label: What they are, with their unit.

    Returns:
        An SVG picture as a data URI.

    Example:
    >>> histogram_figure(np.array([30, 40]), "short side in pixels")[:18]
    'data:image/svg+xml'
    """
    low, high = float(values.min()), float(values.max())
    wide = high > 50 * low
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = (np.geomspace if wide else np.linspace)(low, high, 31)

    def draw(axes):
        axes.hist(values, bins=edges, color=COLORS[1], edgecolor="white")
        axes.set_xlabel(label + (", log scale" if wide else ""))
        axes.set_ylabel("images")
        axes.ticklabel_format(axis="y", style="plain")
        if wide:
            from matplotlib.ticker import FuncFormatter, NullFormatter

            axes.set_xscale("log")
            formatter = FuncFormatter(lambda x, _: f"{x:,.10g}")
            axes.xaxis.set_major_formatter(formatter)
            axes.xaxis.set_minor_formatter(NullFormatter())

    return as_svg(draw, (5.2, 3.6))


def _legend_above(axes):
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderpad=0)


def _short(name, most=28):
    return name if len(name) <= most else f"{name[: most - 1]}…"
