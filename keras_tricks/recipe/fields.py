"""How a field of a recipe is declared."""

import dataclasses


def option(
    default,
    help,
    low=None,
    high=None,
    below=None,
    choices=None,
    changes_result=True,
    search=None,
    words=(),
):
    """Return a field with its help and its range, for checks and for flags.

    Args:
        default: Its default.
        help: Text of its flag.
        low: Smallest value.
        high: Largest value.
        below: The value must be below this.
        choices: All values there are.
        changes_result: Whether a run may not be resumed with another value.
        search: Range of `keras_tricks.ablation.search`: lowest and highest
            value, and whether the scale is logarithmic.
        words: What its flag may say in place of a value, which a script finds
            before there is a recipe.
    """
    metadata = {"help": help, "choices": choices}
    metadata |= {"low": low, "high": high, "below": below}
    metadata |= {
        "changes_result": changes_result,
        "search": search,
        "words": words,
    }
    return dataclasses.field(default=default, metadata=metadata)
