"""One page on a range test of the learning rate."""

from pathlib import Path

import numpy as np

from keras_tricks._files import write_atomically
from keras_tricks.report import figures, page


def write_range_report(
    folder: str | Path,
    rates: np.ndarray,
    losses: np.ndarray,
    smoothed: np.ndarray,
    suggested: float,
    facts: list[tuple[str, str, str]],
) -> Path:
    """Write learning_rate.html, the curve of a range test.

    Args:
        folder: Folder of the page.
        rates: Rising learning rates.
        losses: Training loss at each of them.
        smoothed: The same, smoothed.
        suggested: The rate that is suggested.
        facts: Of label, value and note, for the tiles.

    Returns:
        Path of the page.

    Raises:
        ImportError: If matplotlib or Jinja2 is missing.

    Example:
    >>> import tempfile
    >>> rates = np.float64([0.01, 0.1, 1.0])
    >>> facts = [("suggested", "0.1", "")]
    >>> path = write_range_report(
    ...     tempfile.mkdtemp(), rates, rates, rates, 0.1, facts
    ... )
    >>> path.name
    'learning_rate.html'
    """

    def draw(axes):
        axes.plot(rates, losses, color="#8a95a3", linewidth=1, label="batch")
        axes.plot(rates, smoothed, color=figures.COLORS[1], label="smoothed")
        axes.axvline(suggested, color=figures.COLORS[2], label="suggested")
        axes.set_xscale("log")
        # The style has no mathematical text, and a phone little room.
        axes.xaxis.set_major_formatter(
            lambda x, _: f"{x:g}" if x > 0.01 else f"1e{np.log10(x):.0f}"
        )
        axes.set_xlabel("learning rate")
        top = 1.5 * float(np.nanmax(smoothed[: len(smoothed) // 4 + 1]))
        axes.set_ylim(top=max(top, 1.1 * float(np.nanmin(smoothed))))
        axes.legend()

    figure = {
        "title": "Training loss",
        "note": "Of each batch, over the rate it was trained with.",
        "wide": figures.as_svg(draw, (7.5, 3.6)),
        "narrow": figures.as_svg(draw, (3.4, 2.8)),
        "alt": f"Loss over the learning rate; suggested is {suggested:.3g}.",
    }
    keys = "label", "value", "note"
    html = page.render(
        "range_report.html",
        title="Which learning rate?",
        subtitle=f"A range test of {len(rates)} updates",
        tiles=[dict(zip(keys, fact, strict=True)) for fact in facts],
        figure=figure,
        command="keras-tricks ablate --tune=base_learning_rate",
        folder=str(folder),
    )
    return write_atomically(Path(folder) / "learning_rate.html", html)
