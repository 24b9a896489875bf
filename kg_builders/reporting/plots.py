"""Plots of a description, and how a figure becomes a part of a page."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kg_builders.reporting.fonts import find_fonts, plain_text, shorten
from kg_builders.reporting.markup import Markup, text
from kg_builders.reporting.picture import INK, ITEM_COLOUR, PALETTE, PAPER, QUIET
from kg_builders.schema import ITEM

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["degree_plots", "svg"]

MOST_KINDS = 7


def degree_plots(degrees: Mapping[str, Any]) -> Figure:
    """Plot how many items have how many facts, and the share of entities with at least so many neighbours.

    Parameters
    ----------
    degrees
        As ``describe`` tells them: ``facts_per_item`` and ``neighbours`` by kind, histograms whose
        bins double.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9.6, 3.7), facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    facts = degrees["facts_per_item"]
    names = [_bin(low, high) for low, high in zip(facts["edges"], facts["edges"][1:], strict=False)]
    left.bar(range(len(names)), facts["counts"], color=ITEM_COLOUR)
    left.set_xticks(range(len(names)), names, rotation=45 if len(names) > 7 else 0)
    left.set(xlabel="facts", ylabel="items", title="Items by number of facts")
    kinds = list(degrees["neighbours"].items())[:MOST_KINDS]
    fonts = find_fonts([plain_text(kind) for kind, _ in kinds])
    others = 0
    largest = 1
    for kind, told in kinds:
        total = sum(told["counts"])
        if not total:
            continue
        # The share of entities at or above the lower edge of each bin; those without neighbours have no place
        # on a logarithmic axis, but count in the total.
        at_least = [sum(told["counts"][at:]) / total for at in range(1, len(told["counts"]))]
        edges = told["edges"][1:-1]
        largest = max([largest, *edges])
        colour = ITEM_COLOUR if kind == ITEM else PALETTE[others % len(PALETTE)]
        marker = "o" if kind == ITEM else "sD^vPX*"[others % 7]
        others += kind != ITEM
        label = shorten(fonts.drawable(plain_text(kind)) or f"kind {others}", 20)
        right.plot(edges, at_least, marker=marker, markersize=4, color=colour, linewidth=1.4, label=label)
    right.set_xscale("log", base=2)
    right.set_yscale("log")
    right.set_xticks([2**power for power in range(0, largest.bit_length(), 1 + largest.bit_length() // 8)])
    right.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    right.yaxis.set_major_formatter(lambda value, _: f"{value:.6%}".rstrip("0%").rstrip(".") + "%")
    right.set(
        xlabel="neighbours, at least", ylabel="share of the kind", title="Entities by number of neighbours"
    )
    if right.get_legend_handles_labels()[1]:
        legend = right.legend(frameon=False, labelcolor=INK, prop={"family": list(fonts.families), "size": 8})
        for entry in legend.get_texts():
            entry.set_parse_math(False)
    for axes in (left, right):
        axes.set_facecolor(PAPER)
        axes.grid(color=QUIET, alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(colors=INK, labelsize=8, which="both")
        axes.minorticks_off()
        for part in (axes.title, axes.xaxis.label, axes.yaxis.label):
            part.set_color(INK)
            part.set_fontsize(9.5)
        for name, spine in axes.spines.items():
            spine.set_visible(name in ("left", "bottom"))
            spine.set_color(QUIET)
    return figure


def svg(figure: Figure, name: str, caption: str) -> Markup:
    """Return a figure as inline SVG with the colours of the page, light or dark.

    Parameters
    ----------
    name
        Unique on the page; the names inside the drawing begin with it.
    caption
        What it shows, for readers and for screen readers.
    """
    from matplotlib import rc_context  # noqa: PLC0415

    buffer = io.StringIO()
    # Glyphs as outlines look the same everywhere; a fixed salt and no date give the same bytes.
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", drawing)
    for colour, variable in ((INK, "ink"), (PAPER, "paper"), (QUIET, "quiet")):
        drawing = drawing.replace(colour, f"var(--{variable})")
    # The page gives the size; the view box keeps the proportions.
    drawing = re.sub(r'<svg ([^>]*?)(?:width|height)="[^"]*"\s*', r"<svg \1", drawing, count=1)
    drawing = re.sub(r'<svg ([^>]*?)(?:width|height)="[^"]*"\s*', r"<svg \1", drawing, count=1)
    label = text(caption, None)
    drawing = drawing.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    return Markup(f"<figure>{drawing.strip()}<figcaption>{label}</figcaption></figure>")


def _bin(low: int, high: int) -> str:
    return f"{low:,}" if high - low == 1 else f"{low:,}–{high - 1:,}"
