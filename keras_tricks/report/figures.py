import base64
import io
import warnings

import numpy as np

from keras_tricks.report.page import missing_extra

# Okabe and Ito's colors, which color-blind readers can tell apart; the first
# is for the baseline.
COLORS = (
    "#5f6b7a", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
    "#56b4e9", "#000000",
)  # fmt: skip

_STYLE = {
    "font.size": 10,
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
    # A dollar sign in a name is a dollar sign.
    "text.parse_math": False,
}


# Of letters that the font of matplotlib lacks, the first that is installed of
# each kind of system.
_FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans",
    "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "PingFang SC",
    "Hiragino Sans GB", "Hiragino Sans", "Apple SD Gothic Neo",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Arial Unicode MS",
    "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari",
    "Noto Sans Thai", "Unifont",
)  # fmt: skip
_NO_GLYPH = r"Glyph .* missing from"


def _style(matplotlib):
    """Return the style, with the fonts that are installed."""
    installed = set(matplotlib.font_manager.fontManager.get_font_names())
    fallbacks = [name for name in _FALLBACKS if name in installed]
    return {**_STYLE, "font.family": ["sans-serif", *fallbacks]}


def _matplotlib():
    try:
        import matplotlib
        import matplotlib.figure
        import matplotlib.font_manager
    except ImportError as error:
        raise missing_extra(error) from None
    return matplotlib


# In place of the colors of paper, on a page that is dark.
_DARK = {
    "axes.edgecolor": "#6b7682",
    "axes.labelcolor": "#c3ccd5",
    "grid.color": "#313b46",
    "xtick.color": "#c3ccd5",
    "ytick.color": "#c3ccd5",
    "text.color": "#c3ccd5",
    "axes.facecolor": "none",
    "figure.facecolor": "none",
}


def as_pictures(draw, wide: tuple, narrow: tuple) -> dict[str, str]:
    """Draw the same for a desktop and a phone, for light and dark pages.

    Args:
        draw: Called with the axes; `draw(axes)`.
        wide: Inches on a desktop.
        narrow: Inches on a phone, where letters are to be as large.

    Returns:
        Dict of `wide`, `wide_dark`, `narrow` and `narrow_dark` to an SVG
        picture as a data URI.
    """
    return {
        f"{name}{'_dark' if dark else ''}": as_svg(draw, size, dark)
        for name, size in (("wide", wide), ("narrow", narrow))
        for dark in (False, True)
    }


def as_svg(draw, size, dark=False):
    """Call `draw(axes)`; return a picture of `size` inches as a data URI."""
    matplotlib = _matplotlib()

    def save(fonttype):
        buffer = io.BytesIO()
        style = _style(matplotlib) | {"svg.fonttype": fonttype}
        style |= _DARK if dark else {}
        with matplotlib.rc_context(style):
            figure = matplotlib.figure.Figure(size, layout="constrained")
            draw(figure.subplots())
            figure.savefig(buffer, format="svg", metadata={"Date": None})
        return base64.b64encode(buffer.getvalue()).decode("ascii")

    with warnings.catch_warnings():
        try:
            warnings.filterwarnings("error", _NO_GLYPH)
            code = save("path")
        except UserWarning:
            # Letters that no font here has: the reader's browser has some.
            warnings.filterwarnings("ignore", _NO_GLYPH)
            code = save("none")
    return f"data:image/svg+xml;base64,{code}"


def as_png(draw, size, dpi=100):
    """Call `draw(figure)`; return a picture of `size` inches as a PNG."""
    matplotlib = _matplotlib()
    buffer = io.BytesIO()
    style = matplotlib.rc_context(_style(matplotlib))
    with style, warnings.catch_warnings():
        warnings.filterwarnings("ignore", _NO_GLYPH)
        figure = matplotlib.figure.Figure(size, dpi, layout="constrained")
        draw(figure)
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _scale_epochs(axes, epochs):
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    space = max(0.04 * (epochs[-1] - epochs[0]), 0.3)
    axes.set_xlim(epochs[0] - space, epochs[-1] + space)


def as_percent(axis):
    """Label an axis of shares in percent and end it at 0 and 100 %."""
    from matplotlib.ticker import PercentFormatter

    low, high = axis.get_view_interval()
    low, high = max(low, -0.01), min(high, 1.01)
    axis.set_view_interval(low, high, ignore=True)
    decimals = int(high - low < 0.06)
    axis.set_major_formatter(PercentFormatter(1.0, decimals, symbol=" %"))


def scale_values(axes, values, percent=False, from_zero=False):
    """Scale the axis of values: percent, linear, or logarithmic if wide."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    values = np.asarray(values, "float64")
    values = values[np.isfinite(values)]
    if from_zero and values.size:
        axes.set_ylim(0, 1.08 * values.max() or 1)
    if percent:
        as_percent(axes.yaxis)
    elif not from_zero and values.size and 0 < 20 * values.min() < values.max():
        axes.set_yscale("log")
        axes.set_ylabel("log scale")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(_as_number))
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif values.size and values.max() >= 10_000:
        axes.yaxis.set_major_formatter(FuncFormatter(_as_number))


def _as_number(value, _):
    return f"{value:,.10g}"


def curve_figure(
    epochs: list, curves: dict, percent: bool = False, from_zero: bool = False
) -> str:
    """Draw one line for each curve over the epochs.

    Args:
        epochs: List of epoch numbers.
        curves: Dict of a label to a list of values; NaN leaves a gap. One
            curve may have the label "".
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
        _scale_epochs(axes, epochs)
        scale_values(axes, list(curves.values()), percent, from_zero)
        if any(curves):
            axes.legend()

    return as_svg(draw, (5.2, 3.0))


def legible(label):
    """Return a label that matplotlib shows: not one that starts with _."""
    return f" {label}" if label.startswith("_") else label
