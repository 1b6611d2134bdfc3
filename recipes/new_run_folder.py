import itertools
import os
import time


def new_run_folder() -> str:
    """Make a folder for a run that was given none.

    Returns:
        `runs/<date>-<time>`, with a number behind it where that is taken: no
        other run has it, however many start in the same second.
    """
    name = first = time.strftime("runs/%Y%m%d-%H%M%S")
    for number in itertools.count(2):
        try:
            os.makedirs(name)
            break
        except FileExistsError:
            name = f"{first}-{number}"
    return name
