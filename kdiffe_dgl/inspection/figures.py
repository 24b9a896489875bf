"""The figures of an inspection, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.explain.colours import relation_colour
from kdiffe_dgl.explain.facts import PROPOSED as PROPOSED_NAME
from kdiffe_dgl.inspection.canvas import Names, counts, legend, note, panels, percent
from kdiffe_dgl.inspection.map_figure import draw_map
from kg_builders.reporting.picture import INK, ITEM_COLOUR, PALETTE, QUIET
from kg_builders.schema import ITEM

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kdiffe_dgl.inspection.inspection import Inspection

__all__ = ["FIGURES", "MOST_RELATIONS", "draw", "names_of"]

MOST_RELATIONS = 16
"""Relations of the figure, those with most triples."""
_MARKERS = "os^DvPX*"


def names_of(inspection: Inspection) -> list[str]:
    """Return the names of the figures for which the run has something to show."""
    return [name for name, (has, _) in FIGURES.items() if has(inspection)]


def draw(inspection: Inspection, name: str) -> Figure:
    """Draw a figure; see :meth:`Inspection.draw`."""
    if name not in FIGURES or not FIGURES[name][0](inspection):
        there = ", ".join(names_of(inspection))
        raise InputError(f"inspect: the run has no figure {name!r}; expected one of {there}")
    return FIGURES[name][1](inspection)


def _relations(inspection: Inspection) -> Figure:
    table, strength, kg = inspection.relations, inspection.relation_strength, inspection.dataset.kg
    assert table is not None
    assert strength is not None
    assert kg is not None
    rows = table.filter(pl.col("triples") > 0).sort("triples", descending=True, maintain_order=True)
    rows = rows.head(MOST_RELATIONS)
    proposed = int(table["proposed"].sum())
    names = rows["relation"].to_list() + [PROPOSED_NAME] * bool(proposed)
    place = {name: number for number, name in enumerate(kg.relations["name"])}
    colours = [relation_colour(place[name]) if name in place else relation_colour(None) for name in names]
    several = len(strength) > 1
    headings = [("What diffusion kept", "share of the triples", "")]
    if several:
        headings.append(("What items attend to", "share of attention, before ○ and after ●", ""))
    figure, found = panels(headings, (9.5, 1.3 + 0.34 * len(names)), shared_rows=True)
    axes = found[0]
    labels = Names(rows["label"])
    kept = rows["kept_share"].to_numpy()
    axes.barh(range(len(rows)), np.ones(len(rows)), color=QUIET, alpha=0.18, height=0.62)
    axes.barh(range(len(rows)), kept, color=colours[: len(rows)], height=0.62)
    for row, (part, of, share) in enumerate(rows.select("kept", "triples", "kept_share").iter_rows()):
        note(axes, 1.02, row, f"{part:,} of {of:,} ({100 * share:.0f}%)", va="center")
    if proposed:
        note(axes, 0.0, len(rows), f" {proposed:,} links", va="center")
    axes.set_xlim(0, 1.55)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    percent(axes)
    shown = [labels.shown(label, name) for label, name in rows.select("label", "relation").iter_rows()]
    labels.name_rows(axes, shown + [PROPOSED_NAME] * bool(proposed))
    if several:
        values = {row["relation"]: (row["before"], row["after"]) for row in strength.iter_rows(named=True)}
        _changes(found[1], np.array([values[name] for name in names]), colours)
        percent(found[1])
        found[1].tick_params(labelleft=False)
    return figure


def _changes(axes: Axes, values: npt.NDArray[np.float64], colours: list[str]) -> None:
    """Draw a row for each two values: a ring for the first, a dot for the second, a line between."""
    rows = np.arange(len(values))
    axes.hlines(rows, values[:, 0], values[:, 1], colors=colours, linewidth=2.2, zorder=2)
    axes.scatter(values[:, 0], rows, s=34, facecolors="none", edgecolors=colours, linewidths=1.6, zorder=3)
    axes.scatter(values[:, 1], rows, s=40, c=colours, zorder=4)
    axes.grid(visible=False, axis="y")


def _entities(inspection: Inspection) -> Figure:
    up, down = inspection.strengthened, inspection.weakened
    assert up is not None
    assert down is not None
    below = "attention, before ○ and after ●"
    height = 1.2 + 0.3 * max(len(up), len(down), 3)
    figure, found = panels([("Most strengthened", below, ""), ("Most weakened", below, "")], (10.0, height))
    for axes, table, colour in ((found[0], up, ITEM_COLOUR), (found[1], down, "#d55e00")):
        if table.is_empty():
            axes.set_yticks([])
            axes.text(0.5, 0.5, "none", color=QUIET, ha="center", transform=axes.transAxes)
            continue
        names = Names([*table["label"], *table["kind"], *table["id"]])
        shown = [
            f"{names.shown(label, id_, 26)} ({names.shown(kind, 'entity', 12)})"
            for label, id_, kind in table.select("label", "id", "kind").iter_rows()
        ]
        values = table.select("before", "after").to_numpy()
        _changes(axes, values, [colour] * len(table))
        axes.set_xscale("symlog", linthresh=1.0)
        axes.set_xlim(left=-0.06)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.minorticks_off()
        names.name_rows(axes, shown)
    return figure


def _degrees(inspection: Inspection) -> Figure:
    table = inspection.degrees
    assert table is not None
    sides = [
        (title, chosen)
        for title, chosen in (
            ("Items", table.filter(pl.col("kind") == ITEM)),
            ("Other entities", table.filter(pl.col("kind") != ITEM)),
        )
        if len(chosen)
    ]
    headings = [(title, "neighbours, at least", "share of them") for title, _ in sides]
    figure, found = panels(headings, (4.8 * len(sides), 3.4))
    for axes, (_, chosen) in zip(found, sides, strict=True):
        for name, colour, line in (("before", QUIET, "--"), ("after", ITEM_COLOUR, "-")):
            degrees = np.sort(chosen[name].to_numpy())
            values, first = np.unique(degrees, return_index=True)
            alone = float((degrees == 0).mean())
            at_least = 1.0 - first / len(degrees)
            label = f"{name}: mean {degrees.mean():.3g}, {100 * alone:.2g}% have none"
            joined = values > 0
            # What has no neighbour has no place on a logarithmic axis.
            axes.step(values[joined], at_least[joined], where="pre", label=label, color=colour, ls=line)
        counts(axes)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        axes.yaxis.minorticks_off()
        # Room for the legend below the curves.
        axes.set_ylim(bottom=0.25 * axes.get_ylim()[0])
        legend(axes, loc="lower left")
    return figure


def _attention(inspection: Inspection) -> Figure:
    table = inspection.attention
    assert table is not None
    below, beside = "training interactions", "walk similarity, mean over them"
    figure, found = panels([("Users", below, beside), ("Items", below, beside)], (9.6, 3.5))
    rng = np.random.default_rng(inspection.options.seed)
    most = inspection.options.most_points
    for axes, side in zip(found, ("user", "item"), strict=True):
        degree, attention = table.filter(pl.col("side") == side).select("degree", "attention").to_numpy().T
        if not len(degree):
            continue
        shown = np.arange(len(degree))
        if len(shown) > most:
            shown = rng.choice(len(shown), most, replace=False)
        axes.plot(
            degree[shown], attention[shown], ".", markersize=3, color=ITEM_COLOUR, alpha=0.35, rasterized=True
        )
        # Bins that double in width hold about as many nodes each.
        bins = np.floor(np.log2(degree)).astype(np.int64)
        wanted = [number for number in np.unique(bins) if (bins == number).sum() >= 5]
        quartiles = np.array([np.quantile(attention[bins == n], [0.25, 0.5, 0.75]) for n in wanted])
        if len(wanted) > 1:
            middle = np.array([np.median(degree[bins == number]) for number in wanted])
            axes.fill_between(middle, quartiles[:, 0], quartiles[:, 2], color=PALETTE[0], alpha=0.35, lw=0)
            axes.plot(middle, quartiles[:, 1], color="#b35900", linewidth=2, label="median and quartiles")
            legend(axes)
        counts(axes)
        axes.set_ylim(bottom=0)
    return figure


def _parts(inspection: Inspection) -> Figure:
    table = inspection.parts
    assert table is not None
    names = Names(table["part"])
    measures = [
        ("Learned modality weight", "softmax-ed weight", table.drop_nulls("weight"), "weight"),
        ("Share of the score", "share of its variance", table.drop_nulls("share"), "share"),
        (
            "What the lists rely on",
            "share that changes without it",
            table.drop_nulls("overlap").with_columns(overlap=1 - pl.col("overlap")),
            "overlap",
        ),
    ]
    measures = [one for one in measures if len(one[2])]
    rows = max(len(one[2]) for one in measures)
    figure, found = panels(
        [(title, below, "") for title, below, *_ in measures], (3.4 * len(measures), 1.2 + 0.36 * rows)
    )
    for axes, (_, _, chosen, column) in zip(found, measures, strict=True):
        values = chosen[column].to_numpy()
        colours = [ITEM_COLOUR if kind == "modality" else QUIET if kind == "view" else PALETTE[1]
                   for kind in chosen["kind"]]  # fmt: skip
        axes.barh(range(len(values)), values, color=colours, height=0.6)
        for row, value in enumerate(values):
            note(axes, max(value, 0.0) + 0.02, row, f"{100 * value:.3g}%", va="center")
        axes.set_xlim(min(0.0, float(values.min()) * 1.1), max(1.0, float(values.max())) * 1.22)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
        percent(axes)
        names.name_rows(axes, [names.shown(part, "part", 24) for part in chosen["part"]])
    return figure


def _training(inspection: Inspection) -> Figure:
    from kdiffe_dgl.evaluation.curves import training_curves  # noqa: PLC0415

    return training_curves(inspection.history)


def _diffusion(inspection: Inspection) -> Figure:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    table = inspection.diffusion
    is_share = pl.col("name").str.contains("^(kept|proposed)/")
    groups = [
        ("Denoisers", "loss", table.filter(~is_share)),
        ("Regenerated knowledge graph", "share of its edges", table.filter(is_share)),
    ]
    groups = [one for one in groups if len(one[2])]
    figure, found = panels(
        [(title, "epoch", beside) for title, beside, _ in groups], (4.8 * len(groups), 3.4)
    )
    for axes, (_, beside, rows) in zip(found, groups, strict=True):
        series = rows["name"].unique(maintain_order=True).to_list()
        names = Names(series)
        for number, name in enumerate(series):
            epoch, value = rows.filter(pl.col("name") == name).select("epoch", "value").to_numpy().T
            colour = INK if number >= len(PALETTE) else (ITEM_COLOUR, *PALETTE)[number]
            marker = _MARKERS[number % len(_MARKERS)]
            axes.plot(epoch, value, color=colour, marker=marker, markersize=3, linewidth=1.2,
                      label=names.shown(name, "series"))  # fmt: skip
        if beside == "loss" and rows["value"].to_numpy().min() > 0:
            axes.set_yscale("log")
        if beside != "loss":
            axes.set_ylim(0, 1.15 * max(rows["value"].to_numpy().max(), 0.01))
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend(axes, names)
    return figure


def _has_relations(inspection: Inspection) -> bool:
    return inspection.relations is not None and inspection.relations["triples"].sum() > 0


FIGURES: dict[str, tuple[Callable[[Inspection], bool], Callable[[Inspection], Figure]]] = {
    "relations": (_has_relations, _relations),
    "entities": (_has_relations, _entities),
    "degrees": (_has_relations, _degrees),
    "attention": (lambda found: found.attention is not None and len(found.attention) > 0, _attention),
    "parts": (lambda found: found.parts is not None, _parts),
    "training": (lambda found: bool(found.history), _training),
    "diffusion": (lambda found: len(found.diffusion) > 0, _diffusion),
    "map": (lambda found: found.map is not None, draw_map),
}
