"""The map of the items as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from kdiffe_dgl.inspection.canvas import SMALL, Names, legend, panels
from kdiffe_dgl.inspection.maps import NOTHING, OTHER, EmbeddingMap
from kg_builders.reporting.picture import INK, ITEM_COLOUR, PALETTE, PAPER, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kdiffe_dgl.inspection.inspection import Inspection

__all__ = ["draw_map"]

NAMED = 40
"""Most met items whose names are tried; those that find room are written."""
_COLOURS = (ITEM_COLOUR, *PALETTE[:-1], "#8b2252")


def draw_map(inspection: Inspection) -> Figure:
    """Draw the items by their representations; the names of some that many users met show where one is."""
    found = inspection.map
    assert found is not None
    axis = ("", "")
    if found.explained is not None:
        axis = tuple(f"component {n}: {100 * share:.0f}% of the variance"
                     for n, share in enumerate(found.explained, 1))  # type: ignore[assignment]  # fmt: skip
    title = "Principal components" if found.projection == "pca" else "t-SNE"
    figure, (axes,) = panels([(f"{title} of {len(found.points):,} items", *axis)], (9.0, 6.0))
    axes.grid(visible=False)
    if found.projection == "tsne":
        axes.set_xticks([])
        axes.set_yticks([])
    if found.colouring.shown:
        _by_value(axes, found)
    else:
        drawn = axes.scatter(
            found.points["x"], found.points["y"], c=np.log10(1 + found.points["interactions"].to_numpy()),
            s=9, cmap="viridis", rasterized=True,
        )  # fmt: skip
        bar = figure.colorbar(drawn, ax=axes, shrink=0.7)
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{10**value - 1:,.0f}")
        bar.set_label("training interactions", color=INK, size=9)
        bar.ax.tick_params(colors=INK, labelsize=8)
    _write_names(figure, axes, found)
    return figure


def _by_value(axes: Axes, found: EmbeddingMap) -> None:
    points, shown = found.points, found.colouring.shown
    names = Names([*shown, found.colouring.name])
    groups = [(NOTHING, QUIET, 0.25), (OTHER, QUIET, 0.6)]
    groups += [(value, _COLOURS[number % len(_COLOURS)], 0.85) for number, value in enumerate(shown)]
    told = names.distinct([value for value, _, _ in groups], "value", 26)
    for (value, colour, alpha), name in zip(groups, told, strict=True):
        chosen = points.filter(pl.col("value") == value)
        if chosen.is_empty():
            continue
        marker = "x" if value == NOTHING else "o"
        label = f"{name}: {len(chosen):,}"
        axes.plot(
            chosen["x"], chosen["y"], marker, color=colour, alpha=alpha, markersize=3.2, markeredgewidth=0.7
            if marker == "x" else 0, label=label, rasterized=True,
        )  # fmt: skip
    title = names.shown(found.colouring.name, "value", 28)
    legend(
        axes,
        names,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        title=title,
        title_fontsize=9,
        markerscale=2,
    )
    made = axes.get_legend()
    assert made is not None
    made.get_title().set_color(INK)
    names.dress([made.get_title()])


def _write_names(figure: Figure, axes: Axes, found: EmbeddingMap) -> None:
    """Write names beside their points, the most met first, where they cover no other name."""
    rows = found.points.sort("interactions", "item", descending=[True, False]).head(NAMED)
    names = Names([*rows["label"], *rows["id"]])
    figure.draw_without_rendering()
    frame = axes.get_window_extent()
    taken: list[tuple[float, float, float, float]] = []
    for x, y, label, id_ in rows.select("x", "y", "label", "id").iter_rows():
        text = axes.annotate(
            names.shown(label, id_, 24), (x, y), (3, 3), textcoords="offset points", size=SMALL - 1,
            color=INK, parse_math=False,
            bbox={"boxstyle": "square,pad=0.08", "facecolor": PAPER, "alpha": 0.7, "lw": 0},
        )  # fmt: skip
        names.dress([text])
        box = text.get_window_extent()
        inside = box.x0 >= frame.x0 and box.x1 <= frame.x1 and box.y0 >= frame.y0 and box.y1 <= frame.y1
        clear = all(
            box.x1 + 4 < left or box.x0 - 4 > right or box.y1 + 3 < low or box.y0 - 3 > high
            for left, right, low, high in taken
        )
        if inside and clear:
            taken.append((box.x0, box.x1, box.y0, box.y1))
        else:
            text.remove()
