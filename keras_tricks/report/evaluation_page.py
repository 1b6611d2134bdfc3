"""What the pages of evaluations have in common."""

import math
from pathlib import Path
from typing import Any

from keras_tricks._files import write_atomically
from keras_tricks.report import page


def percent(value: float, decimals: int = 2) -> str:
    """Return a share as text, and a dash for NaN."""
    return "–" if math.isnan(value) else f"{100 * value:.{decimals}f} %"


def write_evaluation_page(
    path: str | Path,
    template: str,
    evaluation: Any,
    tiles: list[tuple[str, str, str]],
    rows: list[dict],
    facts: dict | None,
    **more: Any,
) -> Path:
    """Write a page that extends evaluation_base.html.

    Args:
        path: File to write.
        template: Name of the page's own template.
        evaluation: What it is of.
        tiles: Label, value and note of the figures at its head.
        rows: The classes that are shown, the worst first.
        facts: What else to show, a dict of name to value.
        **more: What the template takes beside these.

    Returns:
        The path.
    """
    if evaluation.bad:
        count = f"{len(evaluation.bad):,}"
        note = "left out, see below"
        tiles = [*tiles, ("Unreadable images", count, note)]
    html = page.render(
        template,
        subtitle=f"{len(evaluation):,} images · "
        f"{evaluation.num_classes:,} classes",
        tiles=[
            {"label": label, "value": value, "note": note}
            for label, value, note in tiles
        ],
        rows=rows,
        bad=evaluation.bad,
        facts=[(name, page.show(v)) for name, v in (facts or {}).items()],
        **more,
    )
    return write_atomically(path, html)
