"""How often does the rule of `ablate --until` decide, rightly and wrongly?

Simulates whole sweeps: questions that share the baseline's seeds, a look after
each seed, Holm's correction, the rule as `keras_tricks.report.decide` has it.
Beside it the t test after each seed, which holds no level.

    python benchmarks/sequential_rule.py
"""

import _timing
import numpy as np
from absl import app, flags
from scipy import stats

from keras_tricks.report.sequential import PRIOR_VARIANCE

_SWEEPS = flags.DEFINE_integer("sweeps", 2000, "Simulated sweeps.")
_QUESTIONS = flags.DEFINE_integer("questions", 8, "Questions of a sweep.")
_SEEDS = flags.DEFINE_integer("most_seeds", 30, "Seeds at which it ends.")
_LEVEL = flags.DEFINE_float("level", 0.05, "1 - `--until`.")
_EFFECTS = flags.DEFINE_list(
    "effects",
    ["0", "0.5", "1", "2", "3"],
    "Of the first question, over the standard deviation of its differences.",
)


def differences(effect, rng):
    """Draw (sweeps, questions, seeds) of unit standard deviation."""
    shape = _SWEEPS.value, _QUESTIONS.value, _SEEDS.value
    own = rng.normal(0, 1, shape)
    baseline = rng.normal(0, 1, (shape[0], 1, shape[2]))
    drawn = (own - baseline) / np.sqrt(2)
    drawn[:, 0] += effect
    return drawn


def t_values(drawn):
    """Return t after each seed from the second on, and the seeds."""
    n = np.arange(1, drawn.shape[-1] + 1)
    mean = drawn.cumsum(-1) / n
    square = (drawn**2).cumsum(-1) - n * mean**2
    n, mean, square = n[1:], mean[..., 1:], square[..., 1:]
    return mean / np.sqrt(square / (n - 1) / n), n


def sequential_p(t, n):
    """Return the smallest 1 / B so far, see `report.sequential`."""
    growth = 1 + n * PRIOR_VARIANCE
    s = t**2 / (n - 1)
    logs = n / 2 * (np.log1p(s) - np.log1p(s / growth)) - np.log(growth) / 2
    return np.exp(-np.maximum.accumulate(np.maximum(logs, 0), -1))


def holm(p):
    """Correct along the questions."""
    order = np.argsort(p, axis=1)
    count = p.shape[1]
    factors = np.arange(count, 0, -1)[:, None]
    ranked = np.take_along_axis(p, order, 1) * factors
    ranked = np.minimum(np.maximum.accumulate(ranked, axis=1), 1)
    corrected = np.empty_like(p)
    np.put_along_axis(corrected, order, ranked, 1)
    return corrected


def main(argv):
    """Print the table."""
    del argv
    rows = []
    for text in _EFFECTS.value:
        effect = float(text)
        t, n = t_values(differences(effect, np.random.default_rng(0)))
        decided = holm(sequential_p(t, n)) < _LEVEL.value
        naive = holm(2 * stats.t.sf(np.abs(t), n - 1)) < _LEVEL.value
        true = decided[:, 0].any(-1)
        seeds = np.where(true, decided[:, 0].argmax(-1) + 2, _SEEDS.value)
        without = slice(0 if effect == 0 else 1, None)
        rows.append(
            [
                text,
                "–" if effect == 0 else f"{true.mean():.3f}",
                "–" if effect == 0 else f"{np.median(seeds):.0f}",
                f"{decided[:, without].any((1, 2)).mean():.4f}",
                f"{naive[:, without].any((1, 2)).mean():.3f}",
            ]
        )
    header = ["effect", "found", "seeds", "false, of sweeps", "false, t test"]
    _timing.print_table(
        f"{_SWEEPS.value} sweeps of {_QUESTIONS.value} questions, up to "
        f"{_SEEDS.value} seeds, level {_LEVEL.value}",
        header,
        rows,
    )


if __name__ == "__main__":
    app.run(main)
