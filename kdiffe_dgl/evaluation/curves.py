"""The training curves of a run as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["training_curves"]


def training_curves(history: Sequence[Mapping[str, Any]], metrics: Sequence[str] = ()) -> Figure:
    """Plot losses and validation metrics against the epoch.

    The figure belongs to no window and no global state; ``figure.savefig(path)`` writes it in the format
    of the suffix.

    Parameters
    ----------
    history
        One mapping an epoch: ``epoch``, ``losses`` (name -> value), ``validation`` (name -> value, or
        None where the epoch was not validated).
    metrics
        Validation metrics to show; by default recall and nDCG at 20 where measured, otherwise the
        first.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    loss_axes, metric_axes = figure.subplots(1, 2)
    losses = _series(history, "losses")
    for name, (epochs, values) in losses.items():
        loss_axes.plot(epochs, values, marker=".", label=name)
    # Loss terms differ by orders of magnitude, but a logarithm needs positive values.
    shown = [value for _, values in losses.values() for value in values]
    if shown and min(shown) > 0:
        loss_axes.set_yscale("log")
    measured = _series(history, "validation")
    wanted = [name for name in (metrics or ("recall@20", "ndcg@20")) if name in measured]
    for name in wanted or list(measured)[:1]:
        epochs, values = measured[name]
        (line,) = metric_axes.plot(epochs, values, marker=".", label=name)
        best = max(range(len(values)), key=values.__getitem__)
        metric_axes.plot(epochs[best], values[best], "o", color=line.get_color(), fillstyle="none", ms=10)
    for axes, title in ((loss_axes, "Training loss by term"), (metric_axes, "Validation (circle: best)")):
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize="small")
    return figure


def _series(history: Sequence[Mapping[str, Any]], field: str) -> dict[str, tuple[list[int], list[float]]]:
    """Collect name -> (epochs, values) of a field; values that are not finite are left out."""
    series: dict[str, tuple[list[int], list[float]]] = {}
    for entry in history:
        for name, value in (entry.get(field) or {}).items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                epochs, values = series.setdefault(name, ([], []))
                epochs.append(int(entry["epoch"]))
                values.append(float(value))
    return series
