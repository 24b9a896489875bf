"""A picture of a small graph: labelled boxes, coloured by kind, and arrows with the names of relations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kg_builders.errors import InputError
from kg_builders.reporting.fonts import Fonts, find_fonts, plain_text, shorten
from kg_builders.reporting.layout import Layout, place_boxes
from kg_builders.schema import ITEM, KnowledgeGraph

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["INK", "ITEM_COLOUR", "PALETTE", "PAPER", "QUIET", "draw_subgraph"]

INK, PAPER, QUIET = "#1c2126", "#fffffe", "#6a737d"
"""Colours of text and lines, of the background, and of what matters less."""
ITEM_COLOUR = "#0072b2"
# Colours that people with any kind of colour blindness can tell apart (Okabe and Ito, 2008).
PALETTE = ("#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#b8a800", "#7f7f7f")
MOST_NODES = 200
FEW_LINES = 2
"""A relation of no more lines is written along each."""
TEXT_SIZE, ITEM_SIZE, RELATION_SIZE = 9.0, 9.5, 7.5
_ON_COLOUR = "#fefefe"


@dataclass(frozen=True)
class _Line:
    """A line between two boxes: its relations, its arrow, and the kind of entity that it leads to."""

    first: int
    second: int
    names: tuple[str, ...]
    arrow: str
    kind: str
    colour: str


def draw_subgraph(
    kg: KnowledgeGraph, seed: int = 0, title: str | None = None, size: tuple[float, float] | None = None
) -> Figure:
    """Draw a small graph, such as one of ``sample_subgraph``.

    Items are filled boxes, other entities tinted ones, each kind in its colour. An arrow leads from head to
    tail; a symmetric relation has none. Labels are shortened; one that no font of the machine can show is
    replaced by the entity's id, and a note says so.

    Parameters
    ----------
    seed
        Of the layout.
    size
        Width and height in inches; by default by the number of entities.

    Returns
    -------
    matplotlib.figure.Figure
        It belongs to no window and no global state; ``savefig`` writes it.

    Raises
    ------
    InputError
        If the graph is too large for a picture.
    """
    if kg.n_entities > MOST_NODES:
        raise InputError(
            f"drawing: the graph has {kg.n_entities:,} entities; expected at most {MOST_NODES}, such as a "
            "part of it by sample_subgraph"
        )
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    width, height = size or _size(kg.n_entities)
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0.0, width)
    axes.set_ylim(0.0, height)
    axes.set_axis_off()
    top = height
    if title:
        top -= 0.45
    fonts = _fonts(kg, title)
    labels, replaced = _labels(kg, fonts)
    colours = _colours(kg)
    if title:
        heading = fonts.drawable(plain_text(title)) or "Knowledge graph"
        axes.text(0.15, height - 0.3, heading, size=12, color=INK, va="center", **_font(fonts))
    lines = _lines(kg, colours, fonts)
    told = _told_in_legend(lines)
    bottom = _legend(axes, kg, colours, told, fonts, replaced)
    if kg.n_entities == 0:
        axes.text(width / 2, height / 2, "no entities", color=QUIET, ha="center", **_font(fonts))
        return figure
    sizes = _text_sizes(axes, kg, labels, fonts)
    pairs = np.array([(line.first, line.second) for line in lines], dtype=np.int64).reshape(-1, 2)
    lengths = np.array([0.3 if line.kind in told else _written(axes, line, fonts)[0] + 0.3 for line in lines])
    layout = place_boxes(pairs, sizes, (0.1, bottom, width - 0.1, top - 0.1), lengths, seed)
    _draw_edges(axes, layout, lines, set(told), fonts)
    _draw_boxes(axes, kg, layout, labels, colours, fonts)
    return figure


def _size(count: int) -> tuple[float, float]:
    """Return width and height in inches that give each box its room."""
    width = float(np.clip(2.15 * np.sqrt(count), 5.5, 16.0))
    return width, 0.68 * width


def _fonts(kg: KnowledgeGraph, title: str | None) -> Fonts:
    texts = [title, *kg.entities["label"], *kg.entities["id"], *kg.entities["kind"], *kg.relations["label"]]
    return find_fonts([plain_text(text) for text in texts])


def _font(fonts: Fonts) -> dict[str, Any]:
    # A dollar sign is a dollar sign, not the beginning of a formula.
    return {"family": list(fonts.families), "parse_math": False}


def _labels(kg: KnowledgeGraph, fonts: Fonts) -> tuple[list[str], int]:
    """Return what to write into each box, and how many labels could not be drawn."""
    labels, replaced = [], 0
    for entity, identifier, label, kind in kg.entities.iter_rows():
        wanted = plain_text(label)
        drawn = fonts.drawable(wanted)
        replaced += bool(wanted) and drawn is None
        text = (
            drawn or fonts.drawable(plain_text(identifier)) or f"{fonts.drawable(kind) or 'entity'} {entity}"
        )
        labels.append(shorten(text, 20, 2))
    return labels, replaced


def _colours(kg: KnowledgeGraph) -> dict[str, str]:
    """Return the colour of each kind; those after the last colour share it."""
    kinds = [kind for kind in kg.entities["kind"].unique(maintain_order=True) if kind != ITEM]
    return {
        ITEM: ITEM_COLOUR,
        **{kind: PALETTE[min(at, len(PALETTE) - 1)] for at, kind in enumerate(sorted(kinds))},
    }


def _legend(
    axes: Axes,
    kg: KnowledgeGraph,
    colours: Mapping[str, str],
    told: Mapping[str, str],
    fonts: Fonts,
    replaced: int,
) -> float:
    """Draw the kinds below the picture, and return where the picture may begin."""
    from matplotlib.patches import Patch  # noqa: PLC0415

    width = axes.get_xlim()[1]
    present = set(kg.entities["kind"])
    shown = [kind for kind in colours if kind in present]
    handles = [
        Patch(facecolor=colours[kind], edgecolor=colours[kind], alpha=1.0 if kind == ITEM else 0.55)
        for kind in shown
    ]
    names = [shorten(fonts.drawable(plain_text(kind)) or "?", 24) for kind in shown]
    names = [
        f"{name} (→ {told[kind]})" if kind in told else name for kind, name in zip(shown, names, strict=True)
    ]
    widest = max((_extent(axes, name, TEXT_SIZE, fonts)[0] for name in names), default=0.0) + 0.65
    columns = max(1, min(len(shown), int((width - 0.2) / widest)))
    height = 0.0
    if shown:
        legend = axes.legend(
            handles, names, loc="lower center", ncols=columns, frameon=False, bbox_to_anchor=(0.5, 0.0),
            prop={"family": list(fonts.families), "size": TEXT_SIZE}, labelcolor=INK,
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)
        height = 0.1 + 0.22 * -(-len(shown) // columns)
    if replaced:
        note = f"{replaced} shown by id, for want of a font that has the characters of the label"
        axes.text(
            width / 2, height + 0.12, note, size=RELATION_SIZE, color=QUIET, ha="center", **_font(fonts)
        )
        height += 0.25
    return height + 0.1


def _text_sizes(axes: Axes, kg: KnowledgeGraph, labels: list[str], fonts: Fonts) -> np.ndarray:
    """Return width and height of each box in inches."""
    items = (kg.entities["kind"] == ITEM).to_list()
    sizes = [
        _extent(axes, label, ITEM_SIZE if item else TEXT_SIZE, fonts)
        for label, item in zip(labels, items, strict=True)
    ]
    return np.array(sizes) + np.array([0.18, 0.12])


def _extent(axes: Axes, text: str, size: float, fonts: Fonts) -> tuple[float, float]:
    figure = axes.figure
    drawn = axes.text(0, 0, text, size=size, **_font(fonts))
    box = drawn.get_window_extent()
    drawn.remove()
    return box.width / figure.dpi, box.height / figure.dpi


def _written(axes: Axes, line: _Line, fonts: Fonts) -> tuple[float, float]:
    """Return width and height of the names on a line, in inches."""
    return _extent(axes, "\n".join(line.names), RELATION_SIZE, fonts)


def _draw_boxes(
    axes: Axes,
    kg: KnowledgeGraph,
    layout: Layout,
    labels: list[str],
    colours: Mapping[str, str],
    fonts: Fonts,
) -> None:
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415

    rounding = 0.08
    for entity, kind in enumerate(kg.entities["kind"]):
        (x, y), (half_width, half_height) = layout.centres[entity], layout.halves[entity]
        colour, is_item = colours[kind], kind == ITEM
        # Paper first, so that no arrow shines through the tint.
        for face, edge, alpha in ((PAPER, colour, 1.0), (colour, "none", 1.0 if is_item else 0.22)):
            axes.add_artist(
                FancyBboxPatch(
                    (x - half_width + rounding, y - half_height + rounding),
                    2 * (half_width - rounding),
                    2 * (half_height - rounding),
                    boxstyle=f"round,pad={rounding},rounding_size={rounding}",
                    facecolor=face, edgecolor=edge, alpha=alpha, linewidth=1.2, zorder=3,
                )
            )  # fmt: skip
        axes.text(
            x, y, labels[entity], ha="center", va="center", zorder=4, linespacing=1.1,
            size=ITEM_SIZE if is_item else TEXT_SIZE, color=_ON_COLOUR if is_item else INK, **_font(fonts),
        )  # fmt: skip


def _draw_edges(axes: Axes, layout: Layout, lines: list[_Line], told: set[str], fonts: Fonts) -> None:
    """Draw the lines, and the relations of those that the legend does not name."""
    from matplotlib.patches import FancyArrowPatch  # noqa: PLC0415

    taken: list[tuple[np.ndarray, np.ndarray]] = []
    for line in lines:
        begin = layout.border(line.first, layout.centres[line.second])
        end = layout.border(line.second, layout.centres[line.first])
        axes.add_artist(
            FancyArrowPatch(
                tuple(begin), tuple(end), arrowstyle=line.arrow, mutation_scale=8, shrinkA=0, shrinkB=1.5,
                color=line.colour, linewidth=1.0, alpha=0.9, zorder=1,
            )
        )  # fmt: skip
        if line.kind in told:
            continue
        text, extent = "\n".join(line.names), np.array(_written(axes, line, fonts))
        place, angle = _label_place(begin, end, extent, layout, taken)
        axes.text(
            place[0], place[1], text, size=RELATION_SIZE, color=QUIET, ha="center", va="center",
            rotation=angle, rotation_mode="anchor", zorder=2, linespacing=1.1,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}, **_font(fonts),
        )  # fmt: skip


def _lines(kg: KnowledgeGraph, colours: Mapping[str, str], fonts: Fonts) -> list[_Line]:
    """Return one line for each pair of entities, with the names of all relations between the two."""
    names = [
        shorten(fonts.drawable(plain_text(label)) or f"relation {number}", 26)
        for number, label in enumerate(kg.relations["label"])
    ]
    symmetric = kg.relations["symmetric"].to_list()
    kinds = kg.entities["kind"].to_list()
    joined: dict[tuple[int, int], tuple[dict[str, None], set[bool]]] = {}
    for head, relation, tail, _ in kg.triples.iter_rows():
        told, turned = joined.setdefault((min(head, tail), max(head, tail)), ({}, set()))
        told[names[relation]] = None
        if not symmetric[relation]:
            turned.add(head > tail)
    arrows = {(): "-", (False,): "-|>", (True,): "<|-", (False, True): "<|-|>"}
    lines = []
    for (first, second), (told, turned) in joined.items():
        kind = kinds[second] if kinds[second] != ITEM else kinds[first]
        arrow = arrows[tuple(sorted(turned))]
        lines.append(_Line(first, second, tuple(told), arrow, kind, colours[kind]))
    return lines


def _told_in_legend(lines: list[_Line]) -> dict[str, str]:
    """Return the kinds that one relation leads to, again and again: it is named once, in the legend."""
    names: dict[str, list[tuple[str, ...]]] = {}
    for line in lines:
        names.setdefault(line.kind, []).append(line.names)
    return {
        kind: found[0][0]
        for kind, found in names.items()
        if kind != ITEM and len(found) > FEW_LINES and len(set(found)) == 1 and len(found[0]) == 1
    }


def _label_place(
    begin: np.ndarray,
    end: np.ndarray,
    extent: np.ndarray,
    layout: Layout,
    taken: list[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, float]:
    """Return the place along a line where a text covers least, and the angle of the line."""
    along = end - begin
    angle = float(np.degrees(np.arctan2(along[1], along[0])))
    angle = angle - 180 if angle > 90 else angle + 180 if angle < -90 else angle
    turn = np.radians(angle)
    spread = np.abs(np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])) @ (extent / 2)
    best: tuple[float, np.ndarray] | None = None
    for step in (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74):
        centre = begin + step * along
        cost = layout.covered(centre, spread) + abs(step - 0.5) * 0.02
        for other, half in taken:
            overlap = np.clip(half + spread - np.abs(other - centre), 0.0, None)
            cost += float(overlap.prod())
        if best is None or cost < best[0] - 1e-9:
            best = cost, centre
    assert best is not None
    taken.append((best[1], spread))
    return best[1], angle
