"""What is wrong with a file for a model, told in one line."""

import dataclasses

SHOWN = 6
"""So many names of a list are shown; the others are counted."""


@dataclasses.dataclass
class Problems:
    """Lists of names, filled while a file is matched with a model.

    Attributes:
        missing: Names that the file lacks.
        unknown: Names of no variable of the model.
        shapes: Names and shapes of tensors of another shape than ours.
        values: Names and types of tensors that are not finite floats.
        foreign: Paths of variables that no layout knows.
        classes: Numbers of classes of file and model, if they differ.
        channels: Channels of the images of file and model, if they differ.
    """

    missing: list[str] = dataclasses.field(default_factory=list)
    unknown: list[str] = dataclasses.field(default_factory=list)
    shapes: list[str] = dataclasses.field(default_factory=list)
    values: list[str] = dataclasses.field(default_factory=list)
    foreign: list[str] = dataclasses.field(default_factory=list)
    classes: tuple[int, int] | None = None
    channels: tuple[int, int] | None = None

    def check(self, origin: str, layout, differences: tuple[str, ...]):
        """Raise an error that names all problems, if there are any.

        Args:
            origin: Where the tensors come from.
            layout: The layout that was tried.
            differences: How the model differs from the layout's networks.
        """
        lists = {
            "missing": self.missing,
            "unknown": self.unknown,
            "of another shape": self.shapes,
            "without finite floats": self.values,
            "in the model only": self.foreign,
        }
        found = [f"{k}: {_some(names)}" for k, names in lists.items() if names]
        if not found:
            self._check_classes(origin)
            return
        if set(self.unknown) == set(layout.head[:2]) and len(found) == 1:
            found.append("skip_head=True leaves the head out")
        if self.channels is not None:
            theirs, ours = self.channels
            found.append(
                f"the weights are for images of {theirs} channels, and the "
                f"model takes {ours}"
            )
        found += [f"besides, it has {text}" for text in differences]
        raise ValueError(
            "`source` must hold every weight of the model once and nothing "
            f"else. Received: {origin}, nearest to layout {layout.name!r}; "
            f"{'; '.join(found)}"
        )

    def _check_classes(self, origin):
        if self.classes is not None:
            theirs, ours = self.classes
            raise ValueError(
                "`skip_head` must be True for other classes than those of the "
                "weights; the model then keeps its own last layer. Received: "
                f"skip_head=False, {theirs} classes in {origin}, {ours} in the "
                "model"
            )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    more = len(names) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
