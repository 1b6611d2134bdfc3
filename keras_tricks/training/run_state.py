"""What a backup holds beside the model, where there are several devices."""

import json
import sys

from keras_tricks.recipe import Recipe
from keras_tricks.training.run_folder import check_equal


class OfAllProcesses:
    """The state of a part of which each process has its own.

    A run that goes on with another number of processes gives each what all
    of them had.
    """

    def __init__(self, part, distribution):
        self.part = part
        self.distribution = distribution

    def get_state(self):
        """Return a list with the state of each process."""
        return self.distribution.gather(self.part.get_state())

    def check_state(self, states):
        """Refuse what is no list of states."""
        for state in states if isinstance(states, list) else (None,):
            self.part.check_state(state)

    def set_state(self, states):
        """Take over the state of this process."""
        if len(states) == self.distribution.num_processes:
            own = states[self.distribution.process_index]
        else:
            own = [entry for state in states for entry in state]
        self.part.set_state(own)


def bad_records(folder, stages, validation, distribution):
    """Tell batches that read files where to list what they cannot read."""
    found = {}
    for name, batches in (("training", stages[0][1]), ("test", validation)):
        if hasattr(batches, "bad"):
            batches.bad.path = folder / f"bad_{name}_records.tsv"
            found[f"bad_{name}_records"] = OfAllProcesses(
                batches.bad, distribution
            )
    return found


class SameRecipe:
    """Refuses to go on with another recipe, whatever recipe.json says."""

    def __init__(self, recipe, folder):
        self.recipe = recipe
        self.folder = folder

    def get_state(self):
        """Return the fields of the recipe."""
        return json.loads(self.recipe.to_json())

    def check_state(self, state):
        """Compare the recipe with that of an interrupted run."""
        other = Recipe.from_json(json.dumps(state))
        check_equal(self.recipe, other, self.folder)

    def set_state(self, state):
        """Change nothing: it is the same."""


class SameDevices:
    """Refuses to go on with other devices where that is another training.

    Batches, their order and the learning rate are those of all devices
    together, so that their number changes rounding alone. Not so with local
    batch norm; and what devices or processes draw for themselves is drawn
    anew.
    """

    def __init__(self, recipe, distribution):
        self.recipe = recipe
        self.now = {
            "processes": distribution.num_processes,
            "replicas": distribution.num_replicas,
        }

    def get_state(self):
        """Return the numbers of processes and replicas."""
        return self.now

    def check_state(self, state):
        """Refuse other devices where that is another training."""
        counts = state.values() if isinstance(state, dict) else ()
        if set(self.now) != set(state) or not all(
            isinstance(count, int) for count in counts
        ):
            raise ValueError(
                "A backup must have the numbers of processes and replicas. "
                f"Received: {state!r:.80}"
            )
        before, now = state["replicas"], self.now["replicas"]
        if not self.recipe.sync_batch_norm and before != now:
            raise ValueError(
                f"`distribution` must have {before} devices as before with "
                "sync_batch_norm=False: each normalizes its part of the "
                f"batch. Received: {now} devices"
            )

    def set_state(self, state):
        """Say so if there were others."""
        if state == self.now:
            return
        print(
            f"Goes on with {_counts(self.now)}, before {_counts(state)}. "
            "Batches and learning rate stay the same; masks of dropout, and "
            "partners of mixup where processes read images of their own, "
            "are drawn in another way.",
            file=sys.stderr,
        )


def _counts(state):
    return f"{state['replicas']} devices of {state['processes']} processes"
