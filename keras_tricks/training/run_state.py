"""What a backup holds beside the model, where there are several devices."""

import sys


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

    def set_state(self, states):
        """Take over the state of this process."""
        if len(states) == self.distribution.num_processes:
            own = states[self.distribution.process_index]
        else:
            own = [entry for state in states for entry in state]
        self.part.set_state(own)


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

    def set_state(self, state):
        """Compare them with those of an interrupted run."""
        if state == self.now:
            return
        before, now = state["replicas"], self.now["replicas"]
        if not self.recipe.sync_batch_norm and before != now:
            raise ValueError(
                f"`distribution` must have {before} devices as before with "
                "sync_batch_norm=False: each normalizes its part of the "
                f"batch. Received: {now} devices"
            )
        print(
            f"Goes on with {_counts(self.now)}, before {_counts(state)}. "
            "Batches and learning rate stay the same; masks of dropout, and "
            "partners of mixup where processes read images of their own, "
            "are drawn in another way.",
            file=sys.stderr,
        )


def _counts(state):
    return f"{state['replicas']} devices of {state['processes']} processes"
