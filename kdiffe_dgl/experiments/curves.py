"""Curves of a metric over a setting or over a level of noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from kdiffe_dgl.experiments.figures import empty_figure, literal
from kdiffe_dgl.experiments.results import EntryResult

__all__ = ["curves", "study_curve"]

Line = tuple[Sequence[float], Sequence[float], Sequence[float]]
"""Places, means and deviations."""


def study_curve(
    setting: str, values: Sequence[str], entries: Sequence[EntryResult], metrics: Sequence[str]
) -> Figure:
    """Draw each metric, mean and deviation over seeds, against the values of a setting.

    Parameters
    ----------
    setting
        Its name.
    values
        As they are written; where one is no number, they stand side by side.
    entries
        What each value brought.
    metrics
        A panel each.
    """
    try:
        places = [float(value) for value in values]
    except ValueError:
        places = [float(number) for number in range(len(values))]
        named = True
    else:
        named = False
    panels: dict[str, dict[str, Line]] = {}
    for metric in metrics:
        found = [(place, entry.summary()[metric]) for place, entry in zip(places, entries, strict=True)
                 if entry.runs]  # fmt: skip
        found.sort(key=lambda pair: pair[0])
        line = [p for p, _ in found], [s.mean for _, s in found], [s.std for _, s in found]
        panels[metric] = {"test": line}
    figure = curves(panels, setting)
    if named:
        for axes in figure.axes:
            axes.set_xticks(places, values)
    return figure


def curves(panels: Mapping[str, Mapping[str, Line]], label: str) -> Figure:
    """Draw panels of lines with bands of a deviation.

    Parameters
    ----------
    panels
        Title -> name of a line -> places, means and deviations.
    label
        Below every panel.
    """
    figure, made = empty_figure(len(panels), 0.6 + 3.6 * len(panels), 3.2)
    for axes, (title, lines) in zip(made, panels.items(), strict=True):
        for name, (places, means, deviations) in lines.items():
            axes.plot(places, means, marker="o", label=name)
            low, high = ([m + sign * d for m, d in zip(means, deviations, strict=True)] for sign in (-1, 1))
            axes.fill_between(places, low, high, alpha=0.2)
        axes.set_title(title)
        axes.set_xlabel(label)
        if len(lines) > 1:
            axes.legend(fontsize="small")
    return literal(figure)
