import dataclasses


@dataclasses.dataclass(frozen=True)
class SurgeryReport:
    """What surgery changed in a model.

    Its length is the number of changed layers, and it iterates over their
    paths. A path is the name of a layer, after the names of the models around
    it. `print` shows all of it.

    Attributes:
        summary: What was done, in words.
        changed: Triples: path of a layer, what it was, what it is now.
        fresh: Paths of the layers whose weights start anew.
        skipped: Pairs: path of a layer that was left as it is, and why.
        notes: Sentences on what has to be known or done.

    Example:
    >>> report = SurgeryReport("swapped relu", (("block/act", "relu", "silu"),))
    >>> len(report), "block/act" in report
    (1, True)
    >>> print(report)
    swapped relu: 1 layers
      block/act: relu -> silu
    """

    summary: str
    changed: tuple[tuple[str, str, str], ...]
    fresh: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self):
        return len(self.changed)

    def __iter__(self):
        return (path for path, _, _ in self.changed)

    def __str__(self):
        lines = [f"{self.summary}: {len(self.changed)} layers"]
        lines += [
            f"  {path}: {old} -> {new}" for path, old, new in self.changed
        ]
        if self.fresh:
            lines.append(f"new weights: {len(self.fresh)} layers")
            lines += [f"  {path}" for path in self.fresh]
        if self.skipped:
            lines.append(f"left as they are: {len(self.skipped)} layers")
            lines += [f"  {path}: {why}" for path, why in self.skipped]
        return "\n".join([*lines, *self.notes])
