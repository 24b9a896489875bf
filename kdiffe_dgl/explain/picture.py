"""The picture of an explanation: user, history, what is shared, item, from left to right."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from kdiffe_dgl.explain.arrange import columns_of
from kdiffe_dgl.explain.explanation import Edge, Explanation, Node
from kg_builders.reporting.fonts import Fonts, find_fonts, plain_text
from kg_builders.reporting.picture import INK, ITEM_COLOUR, PALETTE, PAPER, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PICTURE_FORMATS", "colours_of", "draw_explanation", "heading_of", "picture_bytes"]

PICTURE_FORMATS = ("png", "svg", "pdf")
ROW, LABEL, GAP = 0.46, 2.5, 1.25
"""Inches: height of a row, greatest width of a label, least width between columns."""
SIZE, SMALL = 9.0, 8.0
THIN, THICK = 0.8, 6.0
"""Points of the width of the weakest and of the strongest attention."""
INTERACTION, GENERATED, PROPOSED = "#7d8790", "#a0522d", "#6f42c1"
# Grey is the colour of interactions here.
_RELATIONS = (*PALETTE[:-1], "#c51b7d", "#01665e", "#8c8c00")
_FILLS = {
    "user": "#e3e6ea",
    "history": "#d3e6f5",
    "entity": PAPER,
    "other user": "#eef0f2",
    "item": ITEM_COLOUR,
}
_HEADINGS = {"user": "user", "history": "history", "item": "recommended"}


def draw_explanation(explanation: Explanation) -> Figure:
    """Draw an explanation.

    Width is attention, colour the relation; edges that diffusion dropped are dashed, those that it kept or
    proposed are bold, with a dark rim. Faint edges are facts that the item shares with the history but no
    shown path runs over. Labels are literal; those that are too long end in an ellipsis.

    Returns
    -------
    matplotlib.figure.Figure
        It belongs to no window and no global state; ``savefig`` writes it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    return _Drawing(explanation, Figure(facecolor=PAPER), FigureCanvasAgg).figure


def picture_bytes(explanation: Explanation, form: str) -> bytes:
    """Return the picture as PNG, SVG or PDF; the same explanation gives the same bytes."""
    import matplotlib as mpl  # noqa: PLC0415

    buffer = io.BytesIO()
    undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with mpl.rc_context({"svg.hashsalt": "kdiffe"}):
        draw_explanation(explanation).savefig(buffer, format=form, dpi=150, metadata=undated.get(form))
    return buffer.getvalue()


def colours_of(explanation: Explanation) -> dict[tuple[str, str], tuple[str, str]]:
    """Return colour and name of each relation of an explanation: (kind, relation) -> (colour, name)."""
    names: dict[tuple[str, str], str] = {}
    for edge in explanation.edges:
        names.setdefault((edge.kind, edge.relation), edge.label)
    # Relations for which no colour is left share the last one.
    place = {relation: number for number, relation in enumerate(explanation.relations)}
    colours = {}
    for (kind, relation), name in names.items():
        if kind == "knowledge":
            at = place.get(relation)
            colour = PROPOSED if at is None else _RELATIONS[min(at, len(_RELATIONS) - 1)]
        else:
            colour = INTERACTION if kind == "interaction" else GENERATED
        colours[kind, relation] = colour, name
    return colours


def heading_of(nodes: list[Node]) -> str:
    """Return what stands above a column."""
    roles = {node.role for node in nodes}
    if roles == {"entity", "other user"}:
        return "shared facts, other users"
    role = nodes[0].role
    return _HEADINGS.get(role, "other users" if role == "other user" else "shared facts")


class _Drawing:
    """One picture in the making; inches throughout."""

    def __init__(self, explanation: Explanation, figure: Figure, canvas: Any) -> None:
        self.explanation, self.figure = explanation, figure
        canvas(figure)
        self.axes: Axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self.axes.set_axis_off()
        self.nodes = {node.key: node for node in explanation.nodes}
        self.colours = colours_of(explanation)
        self.fonts = self._find_fonts()
        self.columns, self.places = columns_of(explanation)
        # Until the size is known, one unit is one inch of a page to measure on.
        self._page(10.0, 10.0)
        self.labels = {key: self._fit(self._label(node), LABEL - 0.2) for key, node in self.nodes.items()}
        self.centre: dict[str, tuple[float, float]] = {}
        self.half: dict[str, float] = {}
        self._compose()

    def _compose(self) -> None:
        """Give all parts their places, and draw them."""
        present = [[key for key in column if key in self.nodes] for column in self.columns]
        headings = [heading_of([self.nodes[key] for key in column]) for column in present]
        widths = [
            max(self._width(heading, SMALL), *(self._width(self.labels[key]) for key in column)) + 0.24
            for heading, column in zip(headings, present, strict=True)
        ]
        self.width = max(sum(widths) + GAP * (len(widths) - 1) + 0.5, 8.5)
        gap = (self.width - 0.5 - sum(widths)) / max(1, len(widths) - 1)
        lines = self._footer()
        footer = 0.2 * len(lines) + 0.5 + 0.22 * self._legend_rows()
        graph = max(ROW * max(len(column) for column in self.columns), 1.6)
        height = graph + footer + 1.1
        self._page(self.width, height)
        left, top = 0.25, height - 1.0
        for column, width, heading in zip(self.columns, widths, headings, strict=True):
            self._text(left + width / 2, top + 0.12, heading, SMALL, QUIET, ha="center")
            for row, key in enumerate(column):
                self.centre[key] = left + width / 2, top - graph * (row + 0.5) / len(column)
                is_box = key in self.nodes
                self.half[key] = (self._width(self.labels[key]) + 0.2) / 2 if is_box else width / 2
            left += width + gap
        title = self._fit(self._drawable(self.explanation.title, "Explanation"), self.width - 0.5, 13.0)
        self._text(0.25, height - 0.3, title, 13.0, INK)
        left = self.explanation.score - sum(path.contribution for path in self.explanation.paths)
        told = f"score {self.explanation.score:.3f}; {left:.3f} without the paths below"
        self._text(0.25, height - 0.58, told, SMALL, QUIET)
        self._edges()
        self._boxes()
        self._legend(footer)
        for number, (line, colour) in enumerate(lines):
            self._text(0.25, 0.2 * (len(lines) - number), line, SMALL, colour)

    def _page(self, width: float, height: float) -> None:
        self.figure.set_size_inches(width, height)
        self.axes.set_xlim(0.0, width)
        self.axes.set_ylim(0.0, height)

    def _find_fonts(self) -> Fonts:
        explanation = self.explanation
        texts = [explanation.title, *explanation.sentences, *explanation.notes, "…“”–"]
        texts += [name for _, name in self.colours.values()]
        texts += [text for node in explanation.nodes for text in (node.label, node.id, node.kind)]
        return find_fonts([plain_text(text) for text in texts])

    def _drawable(self, text: str, otherwise: str) -> str:
        plain = plain_text(text)
        found = self.fonts.drawable(plain)
        if found is not None:
            return found
        drawn = "".join("\ufffd" if character in self.fonts.missing else character for character in plain)
        return self.fonts.drawable(drawn) or otherwise

    def _label(self, node: Node) -> str:
        found = self.fonts.drawable(plain_text(node.label), plain_text(node.id))
        name = found or node.key
        return f"user {name}" if node.role in ("user", "other user") and node.label == node.id else name

    def _text(self, x: float, y: float, text: str, size: float, colour: str, **options: Any) -> Any:
        # A dollar sign is a dollar sign, not the beginning of a formula.
        return self.axes.text(
            x, y, text, size=size, color=colour, family=list(self.fonts.families), parse_math=False,
            **{"va": "center", "zorder": 6, **options},
        )  # fmt: skip

    def _width(self, text: str, size: float = SIZE) -> float:
        drawn = self._text(0, 0, text, size, INK)
        width = drawn.get_window_extent().width / self.figure.dpi
        drawn.remove()
        return float(width)

    def _fit(self, text: str, width: float, size: float = SIZE) -> str:
        """Return a text, or as much of it as there is room for, and an ellipsis."""
        if self._width(text, size) <= width:
            return text
        low, high = 0, len(text)
        while low < high - 1:
            middle = (low + high) // 2
            if self._width(text[:middle].rstrip() + "…", size) <= width:
                low = middle
            else:
                high = middle
        return text[:low].rstrip() + "…"

    def _wrap(self, text: str, width: float) -> list[str]:
        lines, line = [], ""
        for word in text.split(" "):
            longer = f"{line} {word}" if line else word
            if line and self._width(longer, SMALL) > width:
                lines.append(line)
                line = "    " + word
            else:
                line = longer
        return [self._fit(one, width, SMALL) for one in (*lines, line)]

    def _footer(self) -> list[tuple[str, str]]:
        lines: list[tuple[str, str]] = []
        for rank, path in enumerate(self.explanation.paths, 1):
            sentence = self._drawable(path.sentence, f"path {rank}")
            told = f"{rank}.  −{path.contribution:.3f}  {sentence}"
            lines += [(line, INK) for line in self._wrap(told, self.width - 0.5)]
        notes = list(self.explanation.notes)
        replaced = sum(self.fonts.drawable(plain_text(node.label)) is None for node in self.nodes.values())
        if replaced:
            notes.append(f"{replaced} shown by id, for want of a font that has the characters of the label.")
        for note in notes:
            lines += [(line, QUIET) for line in self._wrap(self._drawable(note, ""), self.width - 0.5)]
        return lines

    def _legend_entries(self) -> list[tuple[str, dict[str, Any]]]:
        entries = [
            (self._fit(self._drawable(name, relation), 2.4, SMALL), {"color": colour, "linewidth": 3.0})
            for (colour, name), relation in {told: key[1] for key, told in self.colours.items()}.items()
        ]
        states = {edge.state for edge in self.explanation.edges}
        if "dropped" in states:
            entries.append(
                ("dropped by diffusion", {"color": QUIET, "linewidth": 2.0, "linestyle": (0, (3, 2))})
            )
        if states & {"kept", "proposed"}:
            entries.append(("bold, dark rim: kept or proposed", {"color": INK, "linewidth": 4.0}))
        return entries

    def _legend_columns(self) -> int:
        return max(1, int((self.width - 0.5) / 3.0))

    def _legend_rows(self) -> int:
        return -(-len(self._legend_entries()) // self._legend_columns())

    def _legend(self, top: float) -> None:
        y = top - 0.12
        self._text(0.25, y, "line width: attention (relative to the strongest of its kind)", SMALL, QUIET)
        for number, (name, style) in enumerate(self._legend_entries()):
            row, column = divmod(number, self._legend_columns())
            x, level = 0.25 + 3.0 * column, y - 0.22 * (row + 1)
            self.axes.plot([x, x + 0.35], [level, level], solid_capstyle="butt", zorder=5, **style)
            self._text(x + 0.45, level, name, SMALL, INK)

    def _edges(self) -> None:
        strongest: dict[str, float] = {}
        for edge in self.explanation.edges:
            strongest[edge.kind] = max(strongest.get(edge.kind, 0.0), edge.weight or 0.0)
        together: dict[tuple[str, str], list[Edge]] = {}
        for edge in self.explanation.edges:
            together.setdefault((edge.source, edge.target), []).append(edge)
        for edges in together.values():
            for number, edge in enumerate(edges):
                share = (edge.weight or 0.0) / max(strongest[edge.kind], 1e-12)
                self._edge(edge, THIN + (THICK - THIN) * share, 0.09 * (number - (len(edges) - 1) / 2))

    def _edge(self, edge: Edge, width: float, shift: float) -> None:
        from matplotlib.patches import PathPatch  # noqa: PLC0415
        from matplotlib.path import Path  # noqa: PLC0415

        source, target = np.array(self.centre[edge.source]), np.array(self.centre[edge.target])
        outward = self.half[edge.source], self.half[edge.target]
        if abs(source[0] - target[0]) < 1e-9:
            # Within a column: a bow to the right.
            begin, end = source + np.array([outward[0], 0.0]), target + np.array([outward[1], 0.0])
            bend = np.array([0.6, 0.0])
            points = [begin, begin + bend, end + bend, end]
        else:
            begin, end = source + np.array([outward[0], shift]), target + np.array([-outward[1], shift])
            points = [begin]
            for key in self.places.get((edge.source, edge.target), []):
                stop, reach = (
                    np.array(self.centre[key]) + np.array([0.0, shift]),
                    np.array([self.half[key], 0.0]),
                )
                points += [*_bend(points[-1], stop - reach), *_bend(stop - reach, stop + reach)]
            points += _bend(points[-1], end)
        path = Path(points, [Path.MOVETO] + [Path.CURVE4] * (len(points) - 1))
        colour = self.colours[edge.kind, edge.relation][0]
        alpha = 1.0 if edge.on_path else 0.35
        dashed = edge.state == "dropped"
        if edge.state in ("kept", "proposed"):
            self.axes.add_patch(
                PathPatch(path, fc="none", ec=INK, lw=width + 2.0, alpha=alpha, capstyle="butt", zorder=1)
            )
        self.axes.add_patch(
            PathPatch(
                path, fc="none", ec=colour, lw=width, alpha=alpha, capstyle="butt", zorder=2 if edge.on_path
                else 1, linestyle=(0, (max(1.0, 6.0 / width), max(0.6, 4.0 / width))) if dashed else "-",
            )
        )  # fmt: skip

    def _boxes(self) -> None:
        from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415

        for key, node in self.nodes.items():
            (x, y), half = self.centre[key], self.half[key]
            self.axes.add_patch(
                FancyBboxPatch(
                    (x - half + 0.06, y - 0.1), 2 * half - 0.12, 0.2,
                    boxstyle="round,pad=0.06,rounding_size=0.06", facecolor=_FILLS[node.role],
                    edgecolor=ITEM_COLOUR if node.kind == "item" else QUIET, linewidth=0.9, zorder=4,
                )
            )  # fmt: skip
            colour = PAPER if node.role == "item" else INK
            self._text(x, y - 0.005, self.labels[key], SIZE, colour, ha="center")


def _bend(begin: np.ndarray, end: np.ndarray) -> list[np.ndarray]:
    """Return the further points of a curve that begins and ends level."""
    bend = np.array([0.45 * (end[0] - begin[0]), 0.0])
    return [begin + bend, end - bend, end]
