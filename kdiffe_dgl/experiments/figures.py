"""The figures of a comparison: entries by metric, over cutoffs, against the reference, and by groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kdiffe_dgl.evaluation.significance import SeedSummary
from kdiffe_dgl.evaluation.tables import by_cutoff
from kdiffe_dgl.experiments.results import DatasetResult

__all__ = [
    "dataset_figures",
    "differences",
    "empty_figure",
    "group_bars",
    "literal",
    "metric_bars",
    "name_rows",
    "over_cutoffs",
]

_CURVES = ("recall", "ndcg")


def empty_figure(number: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure of so many inches with panels side by side; it belongs to no window."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    made = figure.subplots(1, number, squeeze=False)[0]
    for axes in made:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    return figure, list(made)


def literal(figure: Figure) -> Figure:
    """Let names be taken as they are: a dollar sign begins no formula."""
    for text in figure.findobj(lambda artist: hasattr(artist, "set_parse_math")):
        text.set_parse_math(False)  # type: ignore[attr-defined]
    return figure


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Write a name beside each row, the first at the top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)


def metric_bars(result: DatasetResult) -> Figure:
    """Draw the mean of each entry as a bar, its deviation over seeds as a whisker, each run as a point."""
    entries = [entry for entry in result.entries if entry.runs]
    width = 2.0 + 2.8 * len(result.metrics)
    figure, panels = empty_figure(len(result.metrics), width, 1.2 + 0.34 * len(entries))
    for number, (axes, metric) in enumerate(zip(panels, result.metrics, strict=True)):
        found = [entry.summary()[metric] for entry in entries]
        axes.barh(
            range(len(entries)),
            [one.mean for one in found],
            xerr=[one.std for one in found],
            color=[f"C{place % 10}" for place in range(len(entries))],
            alpha=0.6,
            error_kw={"capsize": 3, "elinewidth": 1},
        )
        for place, entry in enumerate(entries):
            values = [run.test[metric] for run in entry.runs]
            axes.plot(values, [place] * len(values), ".", color="black", markersize=3)
        name_rows(axes, [entry.name for entry in entries] if not number else [""] * len(entries))
        axes.set_title(metric)
        # Bars from zero, or differences look larger than they are.
        axes.set_xlim(left=0)
    figure.suptitle(f"{result.name}: test, mean ± deviation over seeds")
    return literal(figure)


def differences(result: DatasetResult) -> Figure | None:
    """Draw what the reference of each metric is ahead of the others, with 95 % intervals over users."""
    if not result.contrasts:
        return None
    height = 1.2 + 0.34 * len(result.entries)
    figure, panels = empty_figure(len(result.metrics), 2.0 + 2.8 * len(result.metrics), height)
    for axes, metric in zip(panels, result.metrics, strict=True):
        found = [one for one in result.contrasts if one.paired.metric == metric]
        means = np.array([one.paired.difference for one in found])
        bounds = np.array([one.paired.interval for one in found]).reshape(len(found), 2)
        # A percentile interval may miss the mean by rounding.
        spans = np.maximum([means - bounds[:, 0], bounds[:, 1] - means], 0.0)
        axes.errorbar(means, range(len(found)), xerr=spans, fmt="o", capsize=3)
        axes.axvline(0.0, color="black", linewidth=1)
        name_rows(axes, [f"{one.other} {one.mark}".strip() for one in found])
        axes.set_title(f"{metric}: {found[0].reference} minus …")
    figure.suptitle(f"{result.name}: differences by user, 95 % interval (bootstrap)")
    return literal(figure)


def over_cutoffs(result: DatasetResult) -> Figure:
    """Draw recall and nDCG against the length of the list, with a band of one deviation over seeds."""
    figure, panels = empty_figure(len(_CURVES), 9.0, 3.6)
    for place, entry in enumerate(result.entries):
        summary = entry.summary()
        _, rows = by_cutoff({metric: one.mean for metric, one in summary.items()})
        for axes, name in zip(panels, _CURVES, strict=True):
            values = rows.get(name, {})
            cutoffs = sorted(values)
            means = np.array([values[cutoff] for cutoff in cutoffs])
            spread = np.array([summary[f"{name}@{cutoff}"].std for cutoff in cutoffs])
            axes.plot(cutoffs, means, marker=".", color=f"C{place % 10}", label=entry.name)
            axes.fill_between(cutoffs, means - spread, means + spread, color=f"C{place % 10}", alpha=0.2)
    for axes, name in zip(panels, _CURVES, strict=True):
        axes.set_title(f"{name}@K")
        axes.set_xlabel("K")
    panels[-1].legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(f"{result.name}: test")
    return literal(figure)


def group_bars(
    title: str, entries: Mapping[str, Mapping[str, Mapping[str, Mapping[str, SeedSummary]]]], metric: str
) -> Figure:
    """Draw a metric by groups of users, and the recall of test items by groups of items.

    Parameters
    ----------
    title
        Name of the data set.
    entries
        Entry -> ``"users"`` and ``"items"`` -> label of a group -> metric -> mean and deviation.
    metric
        Metric of the users, whose cutoff is also that of the items.
    """
    figure, panels = empty_figure(2, 11.0, 3.8)
    shown = (("users", metric), ("items", f"recall@{metric.partition('@')[2]}"))
    for axes, (kind, name) in zip(panels, shown, strict=True):
        rows = {entry: groups[kind] for entry, groups in entries.items() if groups.get(kind)}
        labels = list(next(iter(rows.values()), {}))
        step = 0.8 / max(1, len(rows))
        for place, (entry, groups) in enumerate(rows.items()):
            found = [groups[label][name] for label in labels if label in groups]
            axes.bar(
                np.arange(len(found)) - 0.4 + step * (place + 0.5),
                [one.mean for one in found],
                step,
                yerr=[one.std for one in found],
                color=f"C{place % 10}",
                error_kw={"elinewidth": 1},
                label=entry,
            )
        axes.set_xticks(range(len(labels)), labels, fontsize="small")
        axes.set_title(f"{kind}: {name}")
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("training interactions")
    if panels[0].get_legend_handles_labels()[1]:
        panels[-1].legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(title)
    return literal(figure)


def dataset_figures(result: DatasetResult) -> dict[str, Figure]:
    """Return the figures of a data set by short name; none where no run is finished."""
    if not any(entry.runs for entry in result.entries):
        return {}
    groups = {
        entry.name: {kind: entry.group_summary(kind) for kind in ("users", "items")}
        for entry in result.entries
    }
    found = {
        "metrics": metric_bars(result),
        "cutoffs": over_cutoffs(result),
        "differences": differences(result),
        "groups": group_bars(f"{result.name}: test, by group", groups, result.metrics[0]),
    }
    return {name: figure for name, figure in found.items() if figure is not None}
