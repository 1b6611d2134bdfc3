"""What the page, the Markdown and the CSV of an ablation show."""

import json
import math
import os
import statistics
from pathlib import Path

from keras_tricks.report import page
from keras_tricks.report.comparison_figures import (
    cost_pictures,
    curve_pictures,
    gain_pictures,
)
from keras_tricks.report.contrasts import HELPS, HURTS, OPEN
from keras_tricks.report.metric_text import (
    format_signed,
    format_value,
    is_share,
    metric_name,
)

_KINDS = {HELPS: "helps", HURTS: "hurts"}


class ComparisonView:
    """What the page, the Markdown and the CSV show, in one place."""

    def __init__(self, runs, decisions, rule, metric, failed, folder):
        self.runs, self.decisions, self.rule = runs, decisions, rule
        self.metric, self.failed, self.folder = metric, failed, folder
        self.first = next(name for name in runs if runs[name])
        self.scale = 100.0 if is_share(metric) else 1.0
        self.interval_name = f"{100 * (1 - rule.level):g} % interval"
        self.unit = (
            "percentage points" if is_share(metric) else metric_name(metric)
        )

    def signed(self, value):
        return format_signed(value, self.metric)

    def subtitle(self):
        count = sum(map(len, self.runs.values()))
        some = next(iter(self.runs[self.first].values()))
        words = [
            f"{len(self.runs)} configurations",
            f"{count} run{'s' * (count != 1)}",
        ]
        where = [
            str(some.result[key])
            for key in ("dataset", "model", "backend")
            if some.result.get(key)
        ]
        return ", ".join([*words, *where])

    def ends(self, decision):
        """Return the two configurations of a difference, or None."""
        weights = decision.contrast.weights
        plus = [name for name, factor in weights.items() if factor > 0]
        minus = [name for name, factor in weights.items() if factor < 0]
        if len(plus) != 1 or len(minus) != 1:
            return None
        return plus[0], minus[0]

    def ratio(self, decision):
        """Return the step time of what is asked about over that without."""
        ends = self.ends(decision)
        if ends is None:
            return math.nan
        return self.speed(ends[1]) / self.speed(ends[0])

    def times(self, decision):
        """Return the ratio, with its range over the seeds, as text."""
        ratio = self.ratio(decision)
        if not math.isfinite(ratio):
            return "–"
        plus, minus = self.ends(decision)
        speeds = [
            [
                self.runs[name][seed].result.get("images_per_second")
                for name in (minus, plus)
            ]
            for seed in decision.deltas
        ]
        ratios = [pair[0] / pair[1] for pair in speeds if all(pair)]
        if len(ratios) < 2:
            return f"{ratio:.2f}"
        return f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"

    def speed(self, name):
        speeds = [
            run.result.get("images_per_second")
            for run in self.runs.get(name, {}).values()
        ]
        speeds = [speed for speed in speeds if speed]
        return statistics.median(speeds) if speeds else math.nan

    def questions(self):
        rows = []
        for decision in self.decisions:
            difference = decision.difference
            pairs = 0 if difference is None else difference.pairs
            # Without a spread there is no interval.
            no_ends = not math.isfinite(decision.low) or not difference.error
            rows.append(
                {
                    "name": decision.contrast.name,
                    "verdict": decision.verdict,
                    "kind": _KINDS.get(decision.verdict, "other"),
                    "difference": (
                        self.signed(difference.mean) if pairs else "–"
                    ),
                    "interval": (
                        "–"
                        if no_ends
                        else f"{self.signed(decision.low)} to "
                        f"{self.signed(decision.high)}"
                    ),
                    "p": _p_value(decision.corrected),
                    "seeds": str(pairs),
                    "needed": _needed(decision),
                    "time": self.times(decision),
                }
            )
        return rows

    def gains(self):
        shown = [d for d in self.decisions if d.difference is not None]
        if not shown:
            return None
        parts = [
            f"{d.contrast.name} {self.signed(d.difference.mean)}" for d in shown
        ]
        return {
            "title": f"Difference in {metric_name(self.metric)}",
            "note": (
                f"Bar: mean over the seeds; line: {self.interval_name}. "
                "Green helps, orange hurts, gray is open or too small."
            ),
            "sources": gain_pictures(shown, self.scale, self.unit),
            "alt": f"Differences in {self.unit}: {', '.join(parts)}.",
        }

    def configurations(self):
        rows = []
        for name, runs in self.runs.items():
            values = [run.last(self.metric) for run in runs.values()]
            epochs = sorted({run.epochs for run in runs.values()})
            speed = self.speed(name)
            spread = statistics.stdev(values) if len(values) > 1 else math.nan
            digits = 2 if is_share(self.metric) else 4
            rows.append(
                {
                    "name": name,
                    "mean": (
                        format_value(statistics.fmean(values), self.metric)
                        if values
                        else "–"
                    ),
                    "std": (
                        "–"
                        if math.isnan(spread)
                        else f"{self.scale * spread:.{digits}f}"
                    ),
                    "runs": str(len(values)),
                    "failed": str(len(self.failed.get(name, {})) or ""),
                    "epochs": ", ".join(map(str, epochs)) or "–",
                    "speed": f"{speed:,.0f}" if speed == speed else "–",
                    "weights": self.weights(name),
                    "memory": self.memory(name),
                    "reach": self.reach(name),
                }
            )
        return rows

    def memory(self, name):
        """Return the median of the peaks, as text."""
        peaks = [
            run.result.get("peak_memory_bytes")
            for run in self.runs[name].values()
        ]
        peaks = [peak for peak in peaks if peak]
        return f"{statistics.median(peaks) / 1e6:,.0f}" if peaks else "–"

    def weights(self, name):
        sizes = {
            run.result.get("parameters") for run in self.runs[name].values()
        } - {None}
        return f"{max(sizes) * 4 / 1e6:.2f}" if sizes else "–"

    def reach(self, name):
        """Return the median epoch that reaches the first's last accuracy."""
        column = "val_accuracy"
        first = [
            run.history[column][-1]
            for run in self.runs[self.first].values()
            if column in run.history
        ]
        if not first or not self.runs[name]:
            return "–"
        goal, counts = statistics.fmean(first), []
        for run in self.runs[name].values():
            curve = run.history.get(column, [])
            reached = [i + 1 for i, x in enumerate(curve) if x >= goal]
            counts.append(reached[0] if reached else math.inf)
        middle = statistics.median_low(counts)
        return f"{middle}" if math.isfinite(middle) else "not reached"

    def figures(self):
        found = []
        for column in dict.fromkeys([self.metric, "val_crossentropy"]):
            curves = {
                name: [run.history[column] for run in runs.values()]
                for name, runs in self.runs.items()
                if runs and all(column in run.history for run in runs.values())
            }
            if curves:
                name = metric_name(column)
                many = "; of many configurations the first and the last"
                found.append(
                    {
                        "title": name[0].upper() + name[1:],
                        "note": "Mean over the seeds; the band is the middle "
                        f"half of them{many if len(curves) > 7 else ''}.",
                        "sources": curve_pictures(curves, is_share(column)),
                        "alt": f"{name} over the epochs.",
                    }
                )
        points = [
            (d.contrast.name, self.ratio(d), self.scale * d.difference.mean)
            for d in self.decisions
            if d.difference is not None and math.isfinite(self.ratio(d))
        ]
        if points:
            found.append(
                {
                    "title": "Cost against gain",
                    "note": "Above the line it gains, right of it it costs "
                    "time. Times are of runs one after the other, on whatever "
                    "the machine did beside them.",
                    "sources": cost_pictures(points, self.unit),
                    "alt": "; ".join(
                        f"{name}: time {ratio:.2f}, gain {gain:+.2f}"
                        for name, ratio, gain in points
                    ),
                }
            )
        return found

    def settings(self):
        recipes = {
            name: next(iter(runs.values())).recipe
            for name, runs in self.runs.items()
            if runs
        }
        names = dict.fromkeys(key for r in recipes.values() for key in r)
        differing = [
            key
            for key in names
            if key != "seed"
            and len({json.dumps(r.get(key)) for r in recipes.values()}) > 1
        ]
        first = recipes[self.first]
        return [
            {
                "name": name,
                "text": ", ".join(
                    f"{key}={page.show(recipe.get(key))}"
                    for key in differing
                    if name == self.first or recipe.get(key) != first.get(key)
                )
                or "as the first",
            }
            for name, recipe in recipes.items()
            if differing
        ]

    def run_rows(self):
        rows = []
        for name, runs in self.runs.items():
            shown = {
                seed: {
                    "text": f"{seed}: "
                    f"{format_value(run.last(self.metric), self.metric)}",
                    "link": _link(run.folder, self.folder),
                }
                for seed, run in runs.items()
            }
            for seed, why in self.failed.get(name, {}).items():
                text = f"{seed}: failed, {why}"
                shown[seed] = {"text": text, "link": ""}
            if shown:
                ordered = [shown[seed] for seed in sorted(shown)]
                rows.append({"name": name, "runs": ordered})
        return rows


def _link(run_folder, folder):
    report = run_folder / "report.html"
    if not report.exists():
        return ""
    return Path(os.path.relpath(report, folder)).as_posix()


def _needed(decision):
    if decision.verdict != OPEN:
        return ""
    if not decision.seeds:
        return "–"
    return "hundreds" if decision.seeds > 100 else str(decision.seeds)


def _p_value(value):
    if math.isnan(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
