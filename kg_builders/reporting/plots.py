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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["dress_axes", "facts_plot", "neighbours_plot", "svg"]

MOST_KINDS = 7
MARKERS = "sD^vPX*"


def facts_plot(facts: Mapping[str, Any]) -> Figure:
    """Plot how many items have how many facts.

    Parameters
    ----------
    facts
        Histogram as ``describe`` tells it, with bins that double in width.
    """
    figure, axes = _axes("facts", "items")
    names = [_bin(low, high) for low, high in zip(facts["edges"], facts["edges"][1:], strict=False)]
    axes.bar(range(len(names)), facts["counts"], color=ITEM_COLOUR)
    axes.set_xticks(range(len(names)), names, rotation=45 if len(names) > 7 else 0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    return figure


def neighbours_plot(neighbours: Mapping[str, Any]) -> Figure:
    """Plot the share of the entities of each kind with at least so many neighbours.

    Parameters
    ----------
    neighbours
        Kind to its histogram, as ``describe`` tells them; the first few kinds are drawn.
    """
    figure, axes = _axes("neighbours, at least", "share of the kind")
    # What has no neighbour has no place on a logarithmic axis.
    kinds = [(kind, told) for kind, told in neighbours.items() if any(told["counts"][1:])][:MOST_KINDS]
    if not kinds:
        axes.text(0.5, 0.5, "no neighbours", color=QUIET, ha="center", transform=axes.transAxes)
        return figure
    fonts = find_fonts([plain_text(kind) for kind, _ in kinds])
    others, largest = 0, 1
    for kind, told in kinds:
        total = sum(told["counts"])
        # The share of entities at or above the lower edge of each bin; those without neighbours count in the
        # total.
        at_least = [sum(told["counts"][at:]) / total for at in range(1, len(told["counts"]))]
        edges = told["edges"][1:-1]
        largest = max([largest, *edges])
        colour = ITEM_COLOUR if kind == ITEM else PALETTE[others]
        marker = "o" if kind == ITEM else MARKERS[others]
        others += kind != ITEM
        label = shorten(fonts.drawable(plain_text(kind)) or f"kind {others}", 20)
        axes.plot(edges, at_least, marker=marker, markersize=4, color=colour, linewidth=1.4, label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks([2**power for power in range(0, largest.bit_length(), 1 + largest.bit_length() // 8)])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.6f}".rstrip("0").rstrip(".") + "%")
    axes.minorticks_off()
    legend = axes.legend(frameon=False, labelcolor=INK, prop={"family": list(fonts.families), "size": 8})
    for entry in legend.get_texts():
        entry.set_parse_math(False)
    return figure


def svg(figure: Figure, name: str, caption: str, kind: str | None = None) -> Markup:
    """Return a figure as inline SVG with the colours of the page, light or dark.

    Parameters
    ----------
    name
        Unique on the page; the names inside the drawing begin with it.
    caption
        What it shows, for readers and for screen readers.
    kind
        Class of the figure on the page, if any.
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
    begin = f'<figure class="{kind}">' if kind else "<figure>"
    return Markup(f"{begin}{drawing.strip()}<figcaption>{label}</figcaption></figure>")


def _bin(low: int, high: int) -> str:
    return f"{low:,}" if high - low == 1 else f"{low:,}–{high - 1:,}"


def _axes(below: str, beside: str) -> tuple[Figure, Axes]:
    """Return an empty figure of the page's look with its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(5.0, 3.5), facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    dress_axes(axes, below, beside)
    return figure, axes


def dress_axes(axes: Axes, below: str, beside: str) -> None:
    """Give axes the look of the page, and say what they measure."""
    axes.set_facecolor(PAPER)
    axes.grid(color=QUIET, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=8, which="both")
    axes.set_xlabel(below, color=INK, size=9)
    axes.set_ylabel(beside, color=INK, size=9)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(QUIET)
