"""Lists the published recipes that come with the package, with their figures.

    python recipes/recipes.py
    python recipes/recipes.py rsb_a2
    python recipes/recipes.py markdown    # the tables of the documentation

Each is a flagfile of recipes/flags, found by its name:
`recipes/train.py --flagfile=rsb_a2 --data_dir=imagenet`.
"""

import dataclasses
import sys
import textwrap
from pathlib import Path

import output_streams as output_streams  # So that all can be printed.

FLAGFILES = Path(__file__).with_name("flags")
_WIDTH = 79


@dataclasses.dataclass(frozen=True)
class Published:
    """What the head of a flagfile says.

    Attributes:
        name: Name of the flagfile.
        summary: What it is.
        notes: What to give besides.
        accuracy: The published number and what it is of, or "".
        source: A link.
        differs: What cannot be the same here, or "".
        flags: The flags, one a line.
    """

    name: str
    summary: str
    notes: str
    accuracy: str
    source: str
    differs: str
    flags: tuple[str, ...]


def read_flagfile(path: Path) -> Published:
    """Read a flagfile with its head.

    Raises:
        ValueError: If it has no head with a summary and a source.
    """
    lines = path.read_text("utf-8").splitlines()
    head = [line[2:] for line in lines if line.startswith("# ")]
    said = {"Published": "", "Source": "", "Differs": ""}
    plain = []
    for line in head:
        key, colon, text = line.partition(": ")
        if colon and key in said:
            said[key] = text
        else:
            plain.append(line)
    if not plain or not said["Source"]:
        raise ValueError(
            f"{path} must begin with a summary and `# Source: ...`. "
            f"Received: {head}"
        )
    return Published(
        path.stem,
        plain[0],
        " ".join(plain[1:]),
        said["Published"],
        said["Source"],
        said["Differs"],
        tuple(line for line in lines if line.startswith("--")),
    )


def published() -> list[Published]:
    """Return all recipes by their names."""
    return [read_flagfile(path) for path in sorted(FLAGFILES.glob("*.flags"))]


def overview(recipes: list[Published]) -> str:
    """Return a line for each recipe: its name, its figure and a summary."""
    width = max(len(recipe.name) for recipe in recipes)
    lines = []
    for recipe in recipes:
        figure = recipe.accuracy.partition(" %")[0]
        lines.append(f"{recipe.name:<{width}}  {figure:>6}  {recipe.summary}")
    head = f"{'name':<{width}}  {'top-1':>6}  what it is"
    return "\n".join(
        [
            head,
            *lines,
            "",
            "The numbers are those that were published, on ImageNet.",
            "keras-tricks recipes NAME shows one of them.",
            "keras-tricks train --flagfile=NAME --data_dir=... trains it.",
        ]
    )


def describe(recipe: Published) -> str:
    """Return all that is known of a recipe."""
    rows = [
        ("published", recipe.accuracy or "no number of its own"),
        ("source", recipe.source),
        ("differs", recipe.differs or "nothing known"),
    ]
    lines = [recipe.name, f"  {recipe.summary} {recipe.notes}", ""]
    for label, text in rows:
        lines += textwrap.wrap(
            f"{label:<10}{text}", _WIDTH, subsequent_indent=" " * 10
        )
    return "\n".join([*lines, "", *recipe.flags])


def as_markdown(recipes: list[Published]) -> str:
    """Return the tables of docs/recipes_published.md."""
    parts = []
    for source in dict.fromkeys(recipe.source for recipe in recipes):
        parts += [
            f"### <{source}>",
            "",
            "| recipe | top-1, published | what it is | differs |",
            "|---|---|---|---|",
        ]
        parts += [
            f"| `{recipe.name}` | {recipe.accuracy or '–'} | {recipe.summary} "
            f"| {recipe.differs or 'nothing known'} |"
            for recipe in recipes
            if recipe.source == source
        ]
        parts.append("")
    return "\n".join(parts)


def main(argv: list[str]) -> None:
    """Print the list, one recipe, or the tables of the documentation."""
    recipes = published()
    by_name = {recipe.name: recipe for recipe in recipes}
    asked = argv[1:]
    if not asked:
        print(overview(recipes))
    elif asked[0] in ("--help", "-h"):
        print(__doc__)
    elif asked == ["markdown"]:
        print(as_markdown(recipes))
    elif len(asked) > 1 or asked[0] not in by_name:
        sys.exit(
            f"The name must be one of {', '.join(by_name)}. "
            f"Received: {' '.join(asked)}"
        )
    else:
        print(describe(by_name[asked[0]]))


if __name__ == "__main__":
    main(sys.argv)
