"""The picture of an explanation: user, history, what is shared, item, from left to right."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from kdiffe_dgl.explain.arrange import columns_of, drawn_ends, rows_of
from kdiffe_dgl.explain.colours import FAINT, colours_of, relation_colour, tint
from kdiffe_dgl.explain.explanation import Edge, Explanation, Node
from kg_builders.reporting.fonts import Fonts, find_fonts, plain_text
from kg_builders.reporting.picture import INK, ITEM_COLOUR, PAPER, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "FILLS",
    "PATHS_TOLD",
    "PICTURE_FORMATS",
    "WIDTH_TOLD",
    "colours_of",
    "draw_explanation",
    "heading_of",
    "legend_of",
    "picture_bytes",
    "relation_colour",
    "signed",
]

PICTURE_FORMATS = ("png", "svg", "pdf")
LABEL, LABEL_LINES, GAP = 2.1, 2, 1.35
"""Inches: greatest width of a label; its most lines; least width between columns, inches."""
SIZE, SMALL = 9.0, 8.0
THIN, THICK, BOLD, RIM = 0.8, 6.0, 1.8, 1.4
"""Points: width of the weakest and of the strongest attention; least width of a bold line, and its rim."""
WIDTH_TOLD = "line width: attention, relative to the strongest of its kind"
PATHS_TOLD = "Best paths, each with what the score loses when it is deleted after those before it:"
FILLS = {
    "user": "#e3e6ea",
    "history": "#d3e6f5",
    "proposed": PAPER,
    "entity": PAPER,
    "other user": "#eef0f2",
    "item": ITEM_COLOUR,
}
_HEADINGS = {
    "user": "user",
    "history": "history",
    "proposed": "joined by diffusion",
    "entity": "shared facts",
    "other user": "other users",
    "item": "recommended",
}


def draw_explanation(explanation: Explanation) -> Figure:
    """Draw an explanation.

    Width is attention, colour the relation; edges that diffusion dropped are dashed, those that it kept or
    proposed are bold, with a dark rim. Faint edges are facts that the item shares with the history but no
    shown path runs over. Numbers tell which sentence is which path. Labels are literal; those that are too
    long end in an ellipsis.

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


def heading_of(nodes: list[Node]) -> str:
    """Return what stands above a column."""
    roles = {node.role for node in nodes}
    return ", ".join(heading for role, heading in _HEADINGS.items() if role in roles)


def legend_of(explanation: Explanation) -> list[tuple[str, str, bool, bool]]:
    """Return what the lines mean: name, colour, whether dashed, whether with a rim; only what there is."""
    entries = [
        (name, colour, False, False) for colour, name in dict.fromkeys(colours_of(explanation).values())
    ]
    states = {edge.state for edge in explanation.edges}
    if "dropped" in states:
        entries.append(("dashed: dropped by diffusion", QUIET, True, False))
    if states & {"kept", "proposed"}:
        told = " or ".join(state for state in ("kept", "proposed") if state in states)
        entries.append((f"dark rim: {told} by diffusion", tint(QUIET, FAINT), False, True))
    if not all(edge.on_path for edge in explanation.edges):
        entries.append(("faint: shared facts on none of the paths", tint(QUIET, FAINT), False, False))
    return entries


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
        self._widths: dict[tuple[str, float], float] = {}
        self._renderer: Any = self.figure.canvas.get_renderer()  # type: ignore[attr-defined]
        self.columns, self.places = columns_of(explanation)
        self.ends = drawn_ends(explanation, self.columns)
        self.labels = {
            key: self._wrap(self._label(node), LABEL, LABEL_LINES, SIZE) for key, node in self.nodes.items()
        }
        lines = {key: len(label) for key, label in self.labels.items()}
        self.rows = rows_of(explanation, self.columns, self.places, lines)
        self.centre: dict[str, tuple[float, float]] = {}
        self.half: dict[str, float] = {}
        self._compose()

    def _compose(self) -> None:
        """Give all parts their places, and draw them."""
        present = [[key for key in column if key in self.nodes] for column in self.columns]
        headings = [heading_of([self.nodes[key] for key in column]) for column in present]
        boxes = {key: max(map(self._width, label)) + 0.26 for key, label in self.labels.items()}
        widths = [
            max(self._width(heading, SMALL), *(boxes[key] for key in column))
            for heading, column in zip(headings, present, strict=True)
        ]
        self.width = max(sum(widths) + GAP * (len(widths) - 1) + 0.5, 9.0)
        gap = (self.width - 0.5 - sum(widths)) / max(1, len(widths) - 1)
        legend, lines = self._legend_places(), self._footer()
        bottom = 0.2 * len(lines) + 0.35
        self.top = bottom + 0.22 * legend[-1][1] + 0.3 + self.rows.height
        height = self.top + 1.0
        self._page(self.width, height)
        left = 0.25
        for column, width, heading in zip(self.columns, widths, headings, strict=True):
            self._text(left + width / 2, self.top + 0.12, heading, SMALL, QUIET, ha="center")
            for key in column:
                self.centre[key] = left + width / 2, self.top - self.rows.centre[key]
                self.half[key] = boxes.get(key, width) / 2
            left += width + gap
        title = self._fit(self._drawable(self.explanation.title, "Explanation"), self.width - 0.5, 13.0)
        self._text(0.25, height - 0.3, title, 13.0, INK)
        lost = self.explanation.score - sum(path.contribution for path in self.explanation.paths)
        told = f"score {self.explanation.score:.3f}; {lost:.3f} without the paths below"
        self._text(0.25, height - 0.58, told, SMALL, QUIET)
        curves = self._edges()
        self._boxes()
        self._ranks(curves)
        self._legend(legend, self.top - self.rows.height - 0.3)
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
        """Return the width of a text without line breaks, inches."""
        if (text, size) not in self._widths:
            from matplotlib.font_manager import FontProperties  # noqa: PLC0415

            font = FontProperties(family=list(self.fonts.families), size=size)
            wide, _, _ = self._renderer.get_text_width_height_descent(text, font, ismath=False)
            self._widths[text, size] = wide / self.figure.dpi
        return self._widths[text, size]

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

    def _wrap(self, text: str, width: float, most: int, size: float, indent: str = "") -> list[str]:
        """Break a text into lines; what the last one has no room for becomes an ellipsis."""
        space = self._width("a a", size) - 2 * self._width("a", size)
        lines: list[list[str]] = [[]]
        used = 0.0
        for word in text.split(" "):
            wide = self._width(word, size) + space
            if lines[-1] and used + wide > width and len(lines) < most:
                lines.append([])
                used = self._width(indent, size)
            lines[-1].append(word)
            used += wide
        told = [" ".join(words) for words in lines]
        return [self._fit(line, width, size) for line in (told[0], *(indent + line for line in told[1:]))]

    def _footer(self) -> list[tuple[str, str]]:
        lines: list[tuple[str, str]] = [(PATHS_TOLD, QUIET)]
        width = self.width - 0.5
        for rank, path in enumerate(self.explanation.paths, 1):
            sentence = self._drawable(path.sentence, f"path {rank}")
            told = f"{rank}.  {signed(path.contribution)}  {sentence}"
            lines += [(line, INK) for line in self._wrap(told, width, 20, SMALL, "    ")]
        notes = list(self.explanation.notes)
        replaced = sum(self.fonts.drawable(plain_text(node.label)) is None for node in self.nodes.values())
        if replaced:
            notes.append(f"{replaced} shown by id, for want of a font that has the characters of the label.")
        for note in notes:
            lines += [
                (line, QUIET) for line in self._wrap(self._drawable(note, ""), width, 20, SMALL, "    ")
            ]
        return lines

    def _legend_places(self) -> list[tuple[float, int, str, str, bool, bool]]:
        """Return the entries of the legend with their places: distance from the left, and row."""
        found, x, row = [], 0.25, 1
        for name, colour, dashed, rim in legend_of(self.explanation):
            told = self._fit(self._drawable(name, "relation"), 3.0, SMALL)
            width = self._width(told, SMALL) + 0.75
            if x > 0.25 and x + width > self.width:
                x, row = 0.25, row + 1
            found.append((x, row, told, colour, dashed, rim))
            x += width
        return found

    def _legend(self, entries: list[tuple[float, int, str, str, bool, bool]], top: float) -> None:
        self._text(0.25, top, WIDTH_TOLD, SMALL, QUIET)
        for x, row, name, colour, dashed, rim in entries:
            xs, y = [x, x + 0.35], top - 0.22 * row
            if rim:
                self.axes.plot(xs, [y, y], color=INK, lw=4.0 + RIM, solid_capstyle="butt", zorder=5)
            self.axes.plot(
                xs, [y, y], color=colour, lw=2.0 if dashed else 4.0, solid_capstyle="butt", zorder=5,
                linestyle=(0, (3, 2)) if dashed else "-",
            )  # fmt: skip
            self._text(x + 0.43, y, name, SMALL, INK)

    def _edges(self) -> dict[tuple[str, str], np.ndarray]:
        """Draw the edges; return the curve of the first one between each two nodes, points ``[k, 2]``."""
        strongest: dict[str, float] = {}
        for edge in self.explanation.edges:
            strongest[edge.kind] = max(strongest.get(edge.kind, 0.0), edge.weight or 0.0)
        curves: dict[tuple[str, str], np.ndarray] = {}
        for number, edge in enumerate(self.explanation.edges):
            points = self._curve(number)
            share = (edge.weight or 0.0) / max(strongest[edge.kind], 1e-12)
            self._edge(edge, points, THIN + (THICK - THIN) * share)
            curves.setdefault((edge.source, edge.target), points)
        return curves

    def _curve(self, number: int) -> np.ndarray:
        """Return begin, and further points of the cubic pieces, of an edge, ``[1 + 3 pieces, 2]``."""
        first, second = self.ends[number]
        begin_y, end_y = (self.top - y for y in self.rows.ends[number])
        begin = np.array([self.centre[first][0] + self.half[first], begin_y])
        if abs(self.centre[first][0] - self.centre[second][0]) < 1e-9:
            # Within a column: a bow to the right.
            end = np.array([self.centre[second][0] + self.half[second], end_y])
            bow = np.array([max(begin[0], end[0]) + 0.6, 0.0])
            return np.array([begin, [bow[0], begin_y], [bow[0], end_y], end])
        end = np.array([self.centre[second][0] - self.half[second], end_y])
        points = [begin]
        for key in self.places.get((first, second), []):
            stop = np.array(self.centre[key]) + np.array([0.0, self.rows.shift[number]])
            reach = np.array([self.half[key], 0.0])
            points += [*_bend(points[-1], stop - reach), *_bend(stop - reach, stop + reach)]
        return np.array([*points, *_bend(points[-1], end)])

    def _edge(self, edge: Edge, points: np.ndarray, width: float) -> None:
        from matplotlib.patches import PathPatch  # noqa: PLC0415
        from matplotlib.path import Path  # noqa: PLC0415

        path = Path(points, [Path.MOVETO] + [Path.CURVE4] * (len(points) - 1))
        share, level = (1.0, 3.0) if edge.on_path else (FAINT, 1.0)
        bold = edge.state in ("kept", "proposed")
        width = max(width, BOLD) if bold else width
        layers = [(tint(self.colours[edge.kind, edge.relation][0], share), width, edge.state == "dropped")]
        if bold:
            layers.insert(0, (tint(INK, share), width + RIM, False))
        if edge.on_path:
            # A seam of paper, so that crossing lines can be told apart.
            layers.insert(0, (PAPER, layers[0][1] + 1.2, False))
        for colour, wide, dashed in layers:
            dashes = (0, (max(1.0, 6.0 / wide), max(0.6, 4.0 / wide))) if dashed else "-"
            self.axes.add_patch(
                PathPatch(
                    path, fc="none", ec=colour, lw=wide, capstyle="butt", zorder=level, linestyle=dashes
                )
            )

    def _boxes(self) -> None:
        from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415

        for key, node in self.nodes.items():
            (x, y), half, high = self.centre[key], self.half[key], self.rows.half[key]
            self.axes.add_patch(
                FancyBboxPatch(
                    (x - half + 0.06, y - high + 0.06), 2 * half - 0.12, 2 * high - 0.12,
                    boxstyle="round,pad=0.06,rounding_size=0.06", facecolor=FILLS[node.role],
                    edgecolor=ITEM_COLOUR if node.kind == "item" else QUIET, linewidth=0.9, zorder=4,
                )
            )  # fmt: skip
            colour = PAPER if node.role == "item" else INK
            label = "\n".join(self.labels[key])
            self._text(x, y - 0.005, label, SIZE, colour, ha="center", linespacing=1.15)

    def _ranks(self, curves: dict[tuple[str, str], np.ndarray]) -> None:
        """Write the rank of each path beside its second step, where the paths part, clear of each other."""
        taken: list[np.ndarray] = []
        for rank, path in enumerate(self.explanation.paths, 1):
            first, second, *_ = path.nodes[1:] if len(path.nodes) > 2 else path.nodes
            curve = curves[first, second]
            spots = [_along(curve, share) for share in (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8)]
            clear = [spot for spot in spots if all(np.hypot(*(spot - other)) > 0.24 for other in taken)]
            x, y = (clear or spots)[0]
            taken.append(np.array([x, y]))
            self.axes.plot([x], [y], "o", ms=12.5, mfc=PAPER, mec=INK, mew=0.8, zorder=7)
            self._text(x, y - 0.005, str(rank), 7.5, INK, ha="center", zorder=8)


def signed(contribution: float) -> str:
    """Return what a score changes by when it loses a contribution."""
    return f"{'−' if contribution >= 0 else '+'}{abs(contribution):.3f}"


def _bend(begin: np.ndarray, end: np.ndarray) -> list[np.ndarray]:
    """Return the further points of a curve that begins and ends level."""
    bend = np.array([0.45 * (end[0] - begin[0]), 0.0])
    return [begin + bend, end - bend, end]


def _along(points: np.ndarray, share: float) -> np.ndarray:
    """Return the point of a curve of cubic pieces at a share of its pieces."""
    pieces = (len(points) - 1) // 3
    piece = min(int(share * pieces), pieces - 1)
    t = share * pieces - piece
    weights = np.array([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    place: np.ndarray = weights @ points[3 * piece : 3 * piece + 4]
    return place
