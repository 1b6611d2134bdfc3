"""Pictures of an ablation: gains, learning curves, cost against gain."""

import numpy as np

from keras_tricks.report.contrasts import HELPS, HURTS, Decision
from keras_tricks.report.figures import (
    COLORS,
    as_pictures,
    legible,
    scale_values,
)

_OF_VERDICT = {HELPS: COLORS[3], HURTS: COLORS[2]}
_OTHER = "#8a95a3"
_MOST_CURVES = 7


def gain_pictures(
    decisions: list[Decision], scale: float, unit: str
) -> dict[str, str]:
    """Draw a bar for each difference, with the interval that decides.

    Args:
        decisions: Those that have a difference.
        scale: What differences are multiplied by, 100 for points.
        unit: Name of the axis.

    Returns:
        See `figures.as_pictures`.
    """

    def draw(axes):
        rows = range(len(decisions))
        ends = []
        for row, decision in zip(rows, decisions, strict=True):
            mean = decision.difference.mean * scale
            color = _OF_VERDICT.get(decision.verdict, _OTHER)
            axes.barh(row, mean, height=0.55, color=color, alpha=0.45)
            low, high = decision.low * scale, decision.high * scale
            if np.isfinite([low, high]).all():
                axes.plot([low, high], [row, row], color=color, linewidth=2.4)
                ends += [low, high]
            axes.plot(mean, row, "o", color=color, markersize=5)
            ends.append(mean)
        axes.axvline(0, color="#8a95a3", linewidth=1)
        names = [decision.contrast.name for decision in decisions]
        axes.set_yticks(rows, names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(unit)
        low, high = min(ends), max(ends)
        space = 0.06 * (high - low or 1.0)
        axes.set_xlim(min(low - space, 0), max(high + space, 0))

    height = 0.9 + 0.36 * len(decisions)
    return as_pictures(draw, (9.5, height), (4.4, height))


def curve_pictures(
    curves: dict[str, list[list[float]]], percent: bool
) -> dict[str, str]:
    """Draw the mean over seeds of each configuration, and its quartiles.

    Args:
        curves: By configuration, a list of values for each seed. Of many the
            first and the last ones are drawn.
        percent: Whether the values are shares.

    Returns:
        See `figures.as_pictures`.
    """
    names = list(curves)
    if len(names) > _MOST_CURVES:
        half = _MOST_CURVES // 2
        names = [*names[:half], *names[-(_MOST_CURVES - half) :]]

    def draw(axes):
        for index, name in enumerate(names):
            values = np.array(list(zip(*curves[name], strict=False))).T
            color = COLORS[index % (len(COLORS) - 1)]
            epochs = np.arange(1, values.shape[1] + 1)
            axes.plot(epochs, values.mean(0), color=color, label=legible(name))
            if len(values) > 1:
                low, high = np.percentile(values, (25, 75), axis=0)
                axes.fill_between(
                    epochs, low, high, color=color, alpha=0.18, linewidth=0
                )
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        drawn = [x for name in names for seed in curves[name] for x in seed]
        scale_values(axes, drawn, percent)
        axes.figure.legend(
            loc="outside lower center",
            ncols=2 if axes.figure.get_figwidth() < 6 else 4,
        )

    return as_pictures(draw, (9.5, 4.6), (4.4, 4.8))


def cost_pictures(points: list[tuple], unit: str) -> dict[str, str]:
    """Draw what a trick costs against what it brings.

    Args:
        points: Of (name, ratio of the step's time, gain).
        unit: Name of the axis of gains.

    Returns:
        See `figures.as_pictures`.
    """

    def draw(axes):
        axes.axhline(0, color="#8a95a3", linewidth=1)
        axes.axvline(1, color="#8a95a3", linewidth=1)
        for index, (name, ratio, gain) in enumerate(points):
            color = COLORS[index % (len(COLORS) - 1)]
            axes.scatter(
                [ratio], [gain], color=color, s=48, label=legible(name)
            )
        axes.set_xlabel("time of a training image, over that without")
        axes.set_ylabel(unit)
        axes.margins(0.12)
        axes.figure.legend(
            loc="outside lower center",
            ncols=2 if axes.figure.get_figwidth() < 6 else 4,
        )

    return as_pictures(draw, (9.5, 4.6), (4.4, 5.0))
