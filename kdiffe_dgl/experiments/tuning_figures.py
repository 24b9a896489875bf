"""The figures of a search: its course, and which settings matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from kdiffe_dgl.experiments.figures import empty_figure, literal, name_rows
from kdiffe_dgl.experiments.study import Trial

__all__ = ["history", "importance_bars"]


def history(trials: Sequence[Trial], monitor: str, title: str) -> Figure:
    """Draw the metric of each trial by its number, and the best so far as a line."""
    figure, (axes,) = empty_figure(1, 7.0, 3.6)
    kinds = (("complete", "o", "C0", "trained to its end"), ("pruned", "x", "C7", "stopped early"))
    for state, marker, colour, label in kinds:
        numbers, values = _course(trials, state)
        if numbers:
            axes.plot(numbers, values, marker, color=colour, alpha=0.7, label=label)
    numbers, values = _course(trials, "complete")
    if numbers:
        best = np.maximum.accumulate(values)
        axes.step(numbers, best, where="post", color="C3", label="best so far")
        axes.legend(fontsize="small")
    axes.set_xlabel("trial")
    axes.set_ylabel(f"validation {monitor}")
    axes.set_title(title)
    return literal(figure)


def _course(trials: Sequence[Trial], state: str) -> tuple[list[int], list[float]]:
    """Return numbers and values of the trials that ended in a state."""
    mine = [(one.number, one.value) for one in trials if one.state == state and one.value is not None]
    return [number for number, _ in mine], [value for _, value in mine]


def importance_bars(importance: Mapping[str, float]) -> Figure:
    """Draw the share of variance that each setting explains, the greatest at the top."""
    ordered = sorted(importance.items(), key=lambda one: -one[1])
    figure, (axes,) = empty_figure(1, 6.5, 1.2 + 0.3 * len(ordered))
    axes.barh(range(len(ordered)), [share for _, share in ordered], color="C0", alpha=0.7)
    name_rows(axes, [name for name, _ in ordered])
    axes.set_xlabel("share of the metric's variance (functional ANOVA)")
    return literal(figure)
