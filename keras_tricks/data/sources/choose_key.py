"""Which of several features or columns is the image, and which the class."""

from collections.abc import Iterable

USUAL = {
    "image_key": ("image/encoded", "image"),
    "label_key": ("image/class/label", "label"),
}


def choose_key(
    argument: str,
    given: str | None,
    candidates: Iterable[str],
    names: Iterable[str],
    source: str,
    any_kind: bool = False,
) -> str:
    """Choose a feature: the one given, of the usual name, or the only one.

    Args:
        argument: `"image_key"` or `"label_key"`, for messages as well.
        given: Its name, or `None` to find it.
        candidates: Names of the features that are of the kind.
        names: Names of all features.
        source: What messages call the data set.
        any_kind: Whether the one given may be any feature. Defaults to
            `False`.

    Returns:
        The name of a feature.

    Raises:
        ValueError: If there is no such feature, none of the kind, or several
            of it without the usual name.

    Example:
    >>> choose_key("image_key", None, ["img"], ["img", "label"], "cifar10")
    'img'
    """
    candidates, names = list(candidates), list(names)
    found = [given] if given is not None else candidates
    usual = [name for name in USUAL[argument] if name in candidates]
    if given is None and usual:
        found = usual[:1]
    if len(found) == 1 and found[0] in (names if any_kind else candidates):
        return found[0]
    kind = "an image" if argument == "image_key" else "a class"
    there = ", ".join(candidates) or f"none among {', '.join(names) or 'none'}"
    raise ValueError(
        f"`{argument}` must be the name of {kind} in {source} ({there}). "
        f"Received: {argument}={given!r}"
    )
