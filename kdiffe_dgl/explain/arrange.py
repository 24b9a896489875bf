"""The order of an explanation's nodes: columns from the user to the item, few crossings."""

from __future__ import annotations

from itertools import pairwise

from kdiffe_dgl.explain.explanation import Explanation

__all__ = ["Columns", "columns_of"]

Columns = list[list[str]]

SWEEPS = 8


def columns_of(explanation: Explanation) -> tuple[Columns, dict[tuple[str, str], list[str]]]:
    """Return the keys of each column from top to bottom; columns without nodes are left out.

    An edge that skips columns gets a place of its own in each of them, so that it crosses no box; the second
    result tells the keys of these places.

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
    for source, target in dict.fromkeys((edge.source, edge.target) for edge in explanation.edges):
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
