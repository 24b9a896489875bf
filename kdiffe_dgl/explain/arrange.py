"""Where an explanation's nodes stand and its edges end, for the picture and for the page alike.

Columns lead from the user to the item, ordered so that few edges cross. Heights are in inches, downwards from
the top; what stands beside what depends on the width of texts and is left to who draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from kdiffe_dgl.explain.explanation import Explanation

__all__ = ["Columns", "Rows", "columns_of", "drawn_ends", "rows_of"]

Columns = list[list[str]]

SWEEPS = 8
LINE, PADDING, ROW_GAP = 0.16, 0.16, 0.15
"""Inches: height of a line of text, room above and below it together, least room between boxes."""
PORT, END_PORT = 0.062, 0.12
"""Inches between two ends of edges on one side of a box, which grows with them; at user and item."""
PASSAGE = 0.2
"""Inches that an edge takes in a column that it passes by."""
TWIN = 0.07


def drawn_ends(explanation: Explanation, columns: Columns) -> list[tuple[str, str]]:
    """Return the ends of each edge, the one further left first."""
    at = {key: number for number, column in enumerate(columns) for key in column}
    return [
        (edge.source, edge.target) if at[edge.source] <= at[edge.target] else (edge.target, edge.source)
        for edge in explanation.edges
    ]


def columns_of(explanation: Explanation) -> tuple[Columns, dict[tuple[str, str], list[str]]]:
    """Return the keys of each column from top to bottom; columns without nodes are left out.

    An edge that skips columns gets a place of its own in each of them, so that it crosses no box; the second
    result tells the keys of these places by the ends of the edge, see :func:`drawn_ends`.

    The history keeps the order of its paths' ranks; every other column is ordered by the mean place of the
    neighbours (Sugiyama, Tagawa and Toda 1981, *Methods for Visual Understanding of Hierarchical System
    Structures*), back and forth a few times.
    """
    found: dict[int, list[str]] = {}
    for node in explanation.nodes:
        found.setdefault(node.column, []).append(node.key)
    columns = [found[column] for column in sorted(found)]
    at = {key: number for number, column in enumerate(columns) for key in column}
    places: dict[tuple[str, str], list[str]] = {}
    near: dict[str, list[str]] = {node.key: [] for node in explanation.nodes}
    for source, target in dict.fromkeys(drawn_ends(explanation, columns)):
        between = range(at[source] + 1, at[target])
        places[source, target] = [f"{source}>{target}@{number}" for number in between]
        for number, key in zip(between, places[source, target], strict=True):
            columns[number].append(key)
            near[key] = []
        way = [source, *places[source, target], target]
        for first, second in pairwise(way):
            near[first].append(second)
            near[second].append(first)
    for _ in range(SWEEPS):
        place = {key: (row + 0.5) / len(column) for column in columns for row, key in enumerate(column)}
        for number, column in enumerate(columns):
            if number == 1:
                continue
            mean = {key: sum(place[other] for other in near[key]) / max(1, len(near[key])) for key in column}
            column.sort(key=lambda key: (mean[key], place[key]))
            place |= {key: (row + 0.5) / len(column) for row, key in enumerate(column)}
    return columns, {edge: keys for edge, keys in places.items() if keys}


@dataclass(frozen=True)
class Rows:
    """Heights of nodes and of the ends of edges.

    Parameters
    ----------
    height
        Of all, inches.
    centre, half
        Of each node, and of each place that an edge passes by: distance from the top, and half its height.
    ends
        Of each edge: distances from the top where it leaves the left box and where it reaches the right one.
    shift
        Of each edge: distance from the middle of the places that it passes by.
    """

    height: float
    centre: Mapping[str, float]
    half: Mapping[str, float]
    ends: tuple[tuple[float, float], ...]
    shift: tuple[float, ...]


def rows_of(
    explanation: Explanation,
    columns: Columns,
    places: Mapping[tuple[str, str], list[str]],
    lines: Mapping[str, int] | None = None,
) -> Rows:
    """Spread the nodes of each column, and the ends of edges along the sides of their boxes.

    Parameters
    ----------
    explanation, columns, places
        What :func:`columns_of` gave.
    lines
        Lines of text in each box, 1 where nothing is told.
    """
    nodes = {node.key: node for node in explanation.nodes}
    at = {key: number for number, column in enumerate(columns) for key in column}
    ends = drawn_ends(explanation, columns)
    # Which edges end where: (node, side) -> (edge, node or place that it comes from).
    sides: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for edge, (first, second) in enumerate(ends):
        way = [first, *places.get((first, second), []), second]
        into = "right" if at[first] == at[second] else "left"
        sides.setdefault((first, "right"), []).append((edge, way[1]))
        sides.setdefault((second, into), []).append((edge, way[-2]))
    half = {key: PASSAGE / 2 for column in columns for key in column}
    port: dict[str, float] = {}
    for key, node in nodes.items():
        text, port[key] = LINE * (lines or {}).get(key, 1) + PADDING, PORT
        if node.role in ("user", "item"):
            port[key] = END_PORT
        most = max(len(sides.get((key, side), ())) for side in ("left", "right"))
        half[key] = max(text, port[key] * (most + 1)) / 2
    height = max(sum(2 * half[key] + ROW_GAP for key in column) for column in columns)
    centre: dict[str, float] = {}
    for column in columns:
        free = (height - sum(2 * half[key] for key in column)) / len(column)
        top = free / 2
        for key in column:
            centre[key] = top + half[key]
            top += 2 * half[key] + free
    reach: dict[tuple[int, str], float] = {}
    for (key, side), met in sides.items():
        met.sort(key=lambda found: (centre[found[1]], found[0]))
        step = 2 * half[key] / (len(met) + 1)
        if len(met) > 1:
            step = min(step, 2.5 * port[key])
        for place, (edge, _) in enumerate(met):
            reach[edge, f"{key} {side}"] = centre[key] + step * (place - (len(met) - 1) / 2)
    found, shift, twins = [], [], dict.fromkeys(ends, 0)
    for edge, (first, second) in enumerate(ends):
        into = "right" if at[first] == at[second] else "left"
        found.append((reach[edge, f"{first} right"], reach[edge, f"{second} {into}"]))
        shift.append(TWIN * (twins[first, second] - (ends.count((first, second)) - 1) / 2))
        twins[first, second] += 1
    return Rows(height, centre, half, tuple(found), tuple(shift))
