import collections

import keras


def take_over(
    optimizer: keras.optimizers.Optimizer, other: keras.optimizers.Optimizer
) -> None:
    """Give an optimizer the state of another of the same kind.

    Its counters, its loss scale, and what it holds for each variable that the
    other one knew, such as momentum; that of other variables stays as it is.
    So training goes on where more, or fewer, variables train than before.

    Args:
        optimizer: A built optimizer, which changes.
        other: A built optimizer of the same class.

    Raises:
        ValueError: If one is not built, or of another class; if variables
            have the same path, and only some of them were known.

    Example:
    >>> from keras_tricks.optimizers import SGD
    >>> one, two = keras.Variable([1.0], name="one"), keras.Variable([1.0])
    >>> before, after = (SGD(0.1, weight_decay=0) for _ in range(2))
    >>> before.apply([keras.ops.ones(1)], [one])
    >>> after.build([one, two])
    >>> take_over(after, before)
    >>> int(after.iterations), float(after.momentums[0][0])
    (1, 1.0)
    """
    for name, one in (("optimizer", optimizer), ("other", other)):
        if not getattr(one, "built", False):
            raise ValueError(
                f"`{name}` must be an optimizer that is built: call its "
                f"`build` or train. Received: {name}={one!r}"
            )
    if type(optimizer) is not type(other):
        raise ValueError(
            "`other` must be of the class of `optimizer`, "
            f"{type(optimizer).__name__}. Received: other={other!r}"
        )
    ours, theirs = _by_name(optimizer), _by_name(other)
    for name in ours.keys() & theirs.keys():
        if len(ours[name]) != len(theirs[name]):
            raise ValueError(
                "`optimizer` must be of variables with different paths. "
                f"Received: {len(ours[name])} of the name {name!r}, of which "
                f"{len(theirs[name])} were known"
            )
        for target, source in zip(ours[name], theirs[name], strict=True):
            target.assign(source)


def _by_name(optimizer):
    named = collections.defaultdict(list)
    for variable in optimizer.variables:
        named[variable.name].append(variable)
    return named
