"""What a reader must know to read a comparison."""

import math

from keras_tricks.report.comparison_view import ComparisonView
from keras_tricks.report.contrasts import OPEN
from keras_tricks.report.metric_text import is_share, metric_name
from keras_tricks.report.sequential import PRIOR_VARIANCE
from keras_tricks.report.statistics import variance_components


def comparison_notes(view: ComparisonView) -> list[str]:
    """Return the sentences under "How to read it"."""
    rule = view.rule
    name = metric_name(view.metric)
    notes = [
        f"{name[0].upper()}{name[1:]} after the last epoch, never the best "
        "epoch, which would favor noise. Differences are paired by seed"
        + (", in percentage points." if is_share(view.metric) else ".")
    ]
    if rule.sequential:
        notes.append(
            "Seeds were added as long as questions were open. So the "
            "p-values and intervals are those of a sequential t test with "
            f"a normal prior of variance {PRIOR_VARIANCE:g} on the "
            "standardized effect, "
            "which holds however often one looks (Lai, 1976; Hendriksen, "
            "de Heide and Grünwald, 2021; Wang and Ramdas, 2023); they "
            "are wider than Student's."
        )
    else:
        notes.append("Intervals and p-values are Student's paired t.")
    shown = [d for d in view.decisions if d.difference is not None]
    count = len(view.decisions)
    notes.append(
        f"With {count} question{'s' * (count != 1)}, p-values are "
        f"corrected by Holm: in at most {100 * rule.level:g} of 100 such "
        "tables without any effect a single one would be decided. "
        "Intervals are not corrected."
    )
    if rule.smallest_effect:
        small = view.scale * rule.smallest_effect
        notes.append(f"Too small to matter: the interval is within ±{small:g}.")
    if any(d.verdict == OPEN for d in view.decisions):
        notes.append(
            "Undecided is not the same as without effect. The seeds needed "
            "are those with which Student's t finds the difference seen, "
            f"or the smallest that matters, {100 * rule.power:.0f} times "
            "of 100; of few seeds that is a rough guess, and looking after "
            "each seed takes about half as many again."
        )
    if any(d.difference and d.difference.error == 0 for d in shown):
        notes.append(
            "Where all seeds differ by the same number there is no "
            "interval, and the sign test judges: it takes six seeds."
        )
    notes.append(
        "Step time: of a training image, over that without the trick, with "
        "the range over the seeds; whatever else the machine did is in it."
    )
    notes += _bootstrap_notes(view)
    notes += _split_notes(view)
    return notes


def _bootstrap_notes(view):
    different = [
        d.contrast.name
        for d in view.decisions
        if math.isfinite(d.bootstrap[0])
        and d.difference.p_value == d.difference.p_value
        and (d.bootstrap[0] > 0 or d.bootstrap[1] < 0)
        != (d.difference.low > 0 or d.difference.high < 0)
    ]
    if different:
        return [
            "The bootstrap, which assumes no distribution, disagrees with "
            f"the t-interval on whether 0 is left out: "
            f"{', '.join(different)}."
        ]
    if any(math.isfinite(d.bootstrap[0]) for d in view.decisions):
        return [
            "Bootstrap intervals (BCa), where there are ten seeds, leave "
            "out 0 where the t-intervals do."
        ]
    return []


def _split_notes(view):
    """Say what of the variance is that of the data split."""
    runs = view.runs[view.first].values()
    splits = [run.recipe.get("split_seed", 0) for run in runs]
    values = [run.last(view.metric) * view.scale for run in runs]
    if len(set(splits)) < 2:
        return []
    between, within = variance_components(values, splits)
    if math.isnan(within):
        return [
            "Each data split has one seed, so that their variances cannot "
            "be told apart."
        ]
    return [
        f"Of {view.first}: standard deviation between data splits "
        f"{math.sqrt(between):.2f}, between seeds of one split "
        f"{math.sqrt(within):.2f}."
    ]
