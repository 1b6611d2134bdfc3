from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_tricks._files import write_atomically
from keras_tricks.data import ImageSet
from keras_tricks.data.inspection.data_report import QUANTILES, DataReport
from keras_tricks.data.sources.walk_folders import describe_left_out
from keras_tricks.report import data_figures as figures
from keras_tricks.report import page
from keras_tricks.report.data_pictures import Pictures

_ROWS = 50
_BAD = 100
_GROUPS = 12
_OF_A_GROUP = 6
_OF_A_KIND = 3
_OF_A_CLASS = 6
_CLASSES = 20

_MEANINGS = {
    "gray": "Three equal channels.",
    "CMYK": "RGB without a color profile.",
    "palette": "The colors of the palette.",
    "16 bits": "8 bits; gray is rounded, colors are cut off.",
    "unused bits": "Dark: of 16 bits the highest two or more are 0.",
    "transparent": "Transparency is left out: the colors under it count.",
    "animated": "The first picture.",
    "turned": "Turned upright, as the camera noted.",
    "other format": "Decoded by what the file holds, not by its name.",
    "tiny": "A side below 32 pixels: crops are enlarged.",
    "huge": "More than 20 million pixels: each costs as much time as many.",
    "long": "Sides beyond 4 : 1: a crop sees a small part.",
}


def write_data_report(
    path: str | Path,
    report: DataReport,
    images: ImageSet | Mapping | None = None,
    facts: dict | None = None,
    title: str | None = None,
) -> Path:
    """Write a page on a data set: one file that needs no network.

    Args:
        path: File to write; its folder must exist.
        report: From `keras_tricks.data.inspection.inspect_images`.
        images: What was inspected, for pictures. Defaults to `None`: none.
        facts: What else to show, a dict of name to value.
        title: Heading of the page. Defaults to the name of the data set.

    Returns:
        The path.

    Raises:
        ValueError: If the folder does not exist.
        ImportError: If matplotlib or Jinja2 is missing.

    Example:
    >>> import tempfile
    >>> from keras_tricks.data import inspect_images, open_images
    >>> images = open_images("digits", train_samples=50, test_samples=20)
    >>> path = tempfile.mkdtemp() + "/report.html"
    >>> write_data_report(path, inspect_images(images), images).name
    'report.html'
    """
    pictures = None
    if images is not None:
        splits = images
        if isinstance(images, ImageSet):
            splits = {"train": images.train, "test": images.test}
        pictures = Pictures(splits, report.class_names)
    html = page.render(
        "data_report.html",
        title=title or report.name,
        subtitle=_subtitle(report),
        tiles=_tiles(report),
        verdicts=verdicts(report),
        facts=_facts(report, facts or {}),
        bad=report.bad[:_BAD],
        bad_count=len(report.bad),
        balance=_balance(report),
        classes=len(report.class_names),
        **_classes(report),
        **_duplicates(report, pictures),
        **_sizes(report),
        **_odd(report, pictures),
        **_samples(report, pictures),
    )
    return write_atomically(path, html)


def verdicts(report: DataReport) -> list[str]:
    """Say in sentences what has to be done about a data set.

    Example:
    >>> from keras_tricks.data import inspect_images, open_images
    >>> verdicts(inspect_images(open_images("digits", test_samples=20)))
    ['Every record can be used.']
    """
    lines = []
    for one in report.splits:
        count = len(one.bad)
        if count:
            lines.append(
                f"{count:,} of {len(one):,} {one.split} records cannot be "
                "used: mend or remove them, or allow for them with "
                f"--max_bad_records={count}."
            )
    if not report.bad:
        lines.append("Every record can be used.")
    if report.left_out:
        lines.append(f"Left out: {describe_left_out(report.left_out)}.")
    if report.max_side is not None:
        lines.append(
            f"Images whose short side was above {report.max_side} pixels were "
            "resized to that when the shards were written."
        )
    dark = report.odd_counts().get("unused bits", 0)
    if dark:
        first = next(
            one.odd_names["unused bits"][0]
            for one in report.splits
            if "unused bits" in one.odd_names
        )
        lines.append(
            f"{_number(dark, 'image')} of 16 bits, such as {first}, "
            f"{_is(dark)} nearly black, since white is 65535: write values of "
            "12 bits, say, as value * 255 / 4095 in 8 bits."
        )
    for split, names in report.empty_classes().items():
        if names:
            shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            lines.append(
                f"{_number(len(names), 'class', 'classes')} without a usable "
                f"{split} image: {shown}."
            )
    same = [group for group in report.duplicates if group.exact]
    for what, groups in (
        ("the same", same),
        ("nearly the same", [g for g in report.duplicates if not g.exact]),
    ):
        leaked = sum(
            split == "test"
            for group in groups
            if group.across_splits
            for split, _ in group.members
        )
        if leaked:
            lines.append(
                f"{_number(leaked, 'test image')} {_is(leaked)} {what} as a "
                "training image: the accuracy on them says nothing."
            )
    torn = sum(group.labels_differ for group in report.duplicates)
    if torn:
        lines.append(
            f"{_number(torn, 'image')} {_is(torn)} there under two labels or "
            "more: one of them is wrong."
        )
    balance = report.train.balance()
    if balance["max"] > 10 * max(balance["min"], 1):
        lines.append(
            "The classes are unequal: the largest has "
            f"{balance['max']:,} training images, the smallest "
            f"{balance['min']:,}."
        )
    return lines


def _number(count, one, several=None):
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def _is(count):
    return "is" if count == 1 else "are"


def _subtitle(report):
    counts = ", ".join(f"{len(one):,} {one.split}" for one in report.splits)
    return f"{counts} records · {len(report.class_names):,} classes"


def _tiles(report):
    tiles = [
        (
            f"{one.split.capitalize()} images".replace("Train ", "Training "),
            f"{len(one.usable):,}",
            f"of {len(one):,} records",
        )
        for one in report.splits
    ]
    bad = f"{len(report.bad):,}"
    tiles.append(("Cannot be used", bad, "damaged, or no class"))
    odd = sum(np.count_nonzero(one.odd_flags) for one in report.splits)
    tiles.append(("Odd", f"{odd:,}", "used all the same"))
    same = sum(group.exact for group in report.duplicates)
    near = len(report.duplicates) - same
    tiles.append(("There twice", f"{same:,}", f"and {near:,} look alike"))
    return [
        {"label": label, "value": value, "note": note}
        for label, value, note in tiles
    ]


def _facts(report, facts):
    if report.mean:
        mean, std = (
            ", ".join(f"{value:.2f}" for value in values)
            for values in (report.mean, report.std)
        )
        facts = {**facts, "mean of R, G, B": mean, "deviation": std}
    for one in report.splits:
        formats = ", ".join(
            f"{name} {count:,}" for name, count in one.formats.items()
        )
        facts = {**facts, f"formats, {one.split}": formats or "none"}
    return [(name, page.show(value)) for name, value in facts.items()]


def _balance(report):
    counts = {one.split: one.counts for one in report.splits}
    balance = report.train.balance()
    return {
        "title": "Images of each class",
        "note": f"Training: {balance['min']:,} at least, "
        f"{balance['median']:,g} the median, {balance['max']:,} at most.",
        "source": figures.balance_figure(list(report.class_names), counts),
        "alt": f"Images of each of {len(report.class_names)} classes.",
    }


def _classes(report):
    """Return the table of classes, where the figure does not name them all."""
    head = ["the smallest classes"]
    head += [f"{one.split} images" for one in report.splits]
    order = []
    if len(report.class_names) > figures.MOST_BARS:
        order = np.argsort(report.train.counts, kind="stable")[:_ROWS]
    rows = [
        [report.class_names[i], *(f"{p.counts[i]:,}" for p in report.splits)]
        for i in order
    ]
    return {"class_head": head, "class_rows": rows}


def _duplicates(report, pictures):
    def count(exact, *tests):
        return sum(
            group.exact == exact and all(test(group) for test in tests)
            for group in report.duplicates
        )

    groups = sorted(
        report.duplicates,
        key=lambda g: (not g.labels_differ, not g.across_splits, not g.exact),
    )
    head = ["groups of images", "within train", "within test"]
    head += ["across both", "of several labels"]
    rows = [
        [
            name,
            count(exact, lambda g: {p for p, _ in g.members} == {"train"}),
            count(exact, lambda g: {p for p, _ in g.members} == {"test"}),
            count(exact, lambda g: g.across_splits),
            count(exact, lambda g: g.labels_differ),
        ]
        for name, exact in (("the same pixels", True), ("look alike", False))
    ]
    shown = groups[:_GROUPS] if pictures else []
    return {
        "repeated_head": head,
        "repeated": rows if groups else [],
        "groups": [_group(group, report, pictures) for group in shown],
        "more_groups": len(groups) - len(shown) if pictures else 0,
    }


def _group(group, report, pictures):
    title = "The same pixels" if group.exact else "Look alike"
    if group.across_splits:
        title += ", in both splits"
    if group.labels_differ:
        title += ", under several labels"
    more = len(group.members) - _OF_A_GROUP
    if more > 0:
        title += f", and {more} more"
    # The test image first: it may be beyond those that are shown.
    members = sorted(group.members)[:_OF_A_GROUP]
    return {"title": title, "pictures": [pictures(*m) for m in members]}


def _sizes(report):
    train = report.train
    chosen = train.usable
    rows = [
        [f"{one.split}, {name}", *(f"{value:,.0f}" for value in values)]
        for one in report.splits
        for name, values in one.quantiles().items()
    ]
    names = [f"{100 * q:g} %" for q in QUANTILES]
    names[0], names[-1] = "smallest", "largest"
    drawn = []
    if len(chosen):
        widths, heights = train.widths[chosen], train.heights[chosen]
        short = np.minimum(widths, heights)
        drawn = [
            {
                "title": "Width and height",
                "note": "Training images, upright.",
                "source": figures.sizes_figure(widths, heights),
                "alt": f"Width and height of {len(chosen)} images.",
            },
            {
                "title": "Short side",
                "note": "Training on more pixels than this enlarges.",
                "source": figures.histogram_figure(
                    short, "short side in pixels"
                ),
                "alt": f"Histogram; the median is {np.median(short):g}.",
            },
        ]
    return {"size_head": ["", *names], "size_rows": rows, "figures": drawn}


def _odd(report, pictures):
    counts = report.odd_counts()
    rows = [
        {"kind": kind, "count": f"{count:,}", "meaning": _MEANINGS[kind]}
        for kind, count in counts.items()
    ]
    shown = [
        pictures(one.split, index, note=kind)
        for kind in (counts if pictures else ())
        for one in report.splits
        for index in one.odd(kind)[:_OF_A_KIND]
    ]
    return {"odd": rows, "odd_pictures": shown}


def _samples(report, pictures):
    classes = np.unique(
        np.linspace(0, len(report.class_names) - 1, _CLASSES).astype(int)
    )
    chosen = [
        index
        for label in classes
        for index in _spread(report.train.of_class(label))
    ]
    return {
        "samples": [pictures("train", i) for i in chosen] if pictures else [],
        "shown_classes": len(classes),
    }


def _spread(places):
    """Return a few of the places, from the first to the last."""
    few = np.linspace(0, len(places) - 1, min(len(places), _OF_A_CLASS))
    return places[few.astype(int)]
