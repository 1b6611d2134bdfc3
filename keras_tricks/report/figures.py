import base64
import io
import math

from keras_tricks.report.page import missing_extra

# Okabe and Ito's colors, which color-blind readers can tell apart; the first
# is for the baseline.
COLORS = (
    "#5f6b7a", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
    "#56b4e9", "#000000",
)  # fmt: skip

_STYLE = {
    "font.size": 10,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa3ad",
    "axes.labelcolor": "#3c4650",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e9ed",
    "xtick.color": "#3c4650",
    "ytick.color": "#3c4650",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "keras_tricks",
}


def _matplotlib():
    try:
        import matplotlib
        import matplotlib.figure
    except ImportError as error:
        raise missing_extra(error) from None
    return matplotlib


def _as_svg(draw, size):
    """Calls `draw(axes)` and returns the picture as a data URI."""
    matplotlib = _matplotlib()
    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure = matplotlib.figure.Figure(size, layout="constrained")
        draw(figure.subplots())
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    code = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/svg+xml;base64,{code}"


def _scale_epochs(axes, epochs):
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    if epochs == 1:
        axes.set_xlim(0.5, 1.5)


def _as_percent(axes, axis):
    from matplotlib.ticker import PercentFormatter

    decimals = 0
    low, high = axes.get_ylim() if axis is axes.yaxis else axes.get_xlim()
    if high - low < 0.06:
        decimals = 1
    axis.set_major_formatter(PercentFormatter(1.0, decimals=decimals))


def curve_figure(
    epochs: list, curves: dict, percent: bool = False, from_zero: bool = False
) -> str:
    """Draws one line for each curve over the epochs.

    Args:
        epochs: List of epoch numbers.
        curves: Dict of a label to a list of values; NaN leaves a gap.
        percent: Whether the values are shares, drawn in percent.
        from_zero: Whether the axis starts at zero.

    Returns:
        An SVG picture as a data URI.

    Example:
    >>> curve_figure([1, 2], {"training": [2.0, 1.0]})[:18]
    'data:image/svg+xml'
    """

    def draw(axes):
        # The validation curve, drawn last, is the one that matters.
        colors = ["#8a95a3", COLORS[1]] if len(curves) > 1 else [COLORS[1]]
        for (label, values), color in zip(curves.items(), colors, strict=True):
            marker = "o" if len(epochs) < 3 else None
            axes.plot(epochs, values, color=color, label=label, marker=marker)
        _scale_epochs(axes, len(epochs))
        if from_zero:
            axes.set_ylim(bottom=0)
        if percent:
            _as_percent(axes, axes.yaxis)
        if len(curves) > 1:
            axes.legend()

    return _as_svg(draw, (5.2, 3.0))


def band_figure(curves: dict, percent: bool = False) -> str:
    """Draws the mean over seeds of each configuration, and its range.

    Args:
        curves: Dict of a label to a list of value lists, one for each seed.
            Lists of different lengths are drawn as far as all of them go.
        percent: Whether the values are shares, drawn in percent.

    Returns:
        An SVG picture as a data URI.

    Example:
    >>> band_figure({"baseline": [[0.1, 0.2], [0.1, 0.3]]})[:18]
    'data:image/svg+xml'
    """

    def draw(axes):
        longest = 1
        for index, (label, seeds) in enumerate(curves.items()):
            color = COLORS[index % len(COLORS)]
            columns = list(zip(*seeds, strict=False))
            epochs = range(1, len(columns) + 1)
            longest = max(longest, len(columns))
            mean = [math.fsum(column) / len(column) for column in columns]
            marker = "o" if len(columns) < 3 else None
            axes.plot(epochs, mean, color=color, label=label, marker=marker)
            if len(seeds) > 1:
                low = [min(column) for column in columns]
                high = [max(column) for column in columns]
                axes.fill_between(
                    epochs, low, high, color=color, alpha=0.16, linewidth=0
                )
        _scale_epochs(axes, longest)
        if percent:
            _as_percent(axes, axes.yaxis)
        axes.legend()

    return _as_svg(draw, (7.6, 3.8))


def dots_figure(values: dict, percent: bool = False) -> str:
    """Draws one dot for each seed and a line at each configuration's mean.

    Args:
        values: Dict of a label to a list of values, one for each seed.
        percent: Whether the values are shares, drawn in percent.

    Returns:
        An SVG picture as a data URI.

    Example:
    >>> dots_figure({"baseline": [0.1, 0.2]})[:18]
    'data:image/svg+xml'
    """

    def draw(axes):
        for row, (_, seeds) in enumerate(values.items()):
            color = COLORS[row % len(COLORS)]
            mean = math.fsum(seeds) / len(seeds)
            axes.plot(
                [mean, mean], [row - 0.3, row + 0.3], color=color, linewidth=3
            )
            axes.scatter(
                seeds, [row] * len(seeds), color=color, s=46, alpha=0.55,
                linewidths=0, zorder=3,
            )  # fmt: skip
        axes.set_yticks(range(len(values)), list(values))
        axes.set_ylim(len(values) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.08)
        if percent:
            _as_percent(axes, axes.xaxis)

    return _as_svg(draw, (7.6, 0.9 + 0.55 * len(values)))
