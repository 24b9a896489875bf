"""Where the boxes of a small graph go: near their neighbours, on no other box, inside the frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Layout", "place_boxes"]

Floats = NDArray[np.float64]

GAP = 0.14
"""Inches between boxes."""
ROUNDS = 400


@dataclass(frozen=True)
class Layout:
    """Boxes on a page, in inches.

    Parameters
    ----------
    centres
        [boxes, 2].
    halves
        [boxes, 2], half of width and height.
    """

    centres: Floats
    halves: Floats

    def border(self, box: int, towards: Floats) -> Floats:
        """Return the point on the border of a box where the line from its centre to a point leaves it."""
        direction = towards - self.centres[box]
        with np.errstate(divide="ignore"):
            reach = np.min(self.halves[box] / np.maximum(np.abs(direction), 1e-9))
        return self.centres[box] + direction * min(reach, 1.0)

    def covered(self, centre: Floats, half: Floats) -> float:
        """Return the area of all boxes that a rectangle would cover."""
        overlap = self.halves + half - np.abs(self.centres - centre)
        return float(np.prod(np.clip(overlap, 0.0, None), axis=1).sum())


def place_boxes(
    pairs: NDArray[np.int64],
    sizes: Floats,
    frame: tuple[float, float, float, float],
    lengths: Floats | None = None,
    seed: int = 0,
) -> Layout:
    """Place boxes.

    The layout of Kamada and Kawai (1989), which makes distances on the page like those in the graph, is
    stretched to the frame; then boxes that overlap push each other apart, and make way for lines and the
    texts on them.

    Parameters
    ----------
    pairs
        [edges, 2], boxes that are joined.
    sizes
        [boxes, 2], width and height.
    frame
        Left, bottom, right and top.
    lengths
        [edges], what a line should measure between the boxes that it joins; by default nothing.
    seed
        Of the layout that Kamada and Kawai's begins with.
    """
    halves = sizes / 2
    left, bottom, right, top = frame
    low, high = np.array([left, bottom]) + halves, np.array([right, top]) - halves
    # A box wider than the frame has nowhere to go but its middle.
    middle = np.array([(left + right) / 2, (bottom + top) / 2])
    low, high = np.minimum(low, middle), np.maximum(high, middle)
    points = _stretched(_kamada_kawai(pairs, len(sizes), seed))
    centres = low + (high - low) * points
    for at in range(ROUNDS):
        push = _push(centres, halves + GAP / 2)
        # The last rounds are for boxes alone: a line behind a box is a lesser evil than a box on another.
        if at < ROUNDS // 2:
            push = push + _push_off_lines(centres, halves + GAP / 4, pairs)
            if lengths is not None:
                push = push + _push_to_length(centres, halves, pairs, lengths)
        if not push.any():
            break
        centres = np.clip(centres + push, low, high)
    return Layout(centres, halves)


def _kamada_kawai(pairs: NDArray[np.int64], count: int, seed: int) -> Floats:
    # Imported here: it takes a while, and not every report draws.
    import networkx as nx  # noqa: PLC0415

    if count == 1:
        return np.zeros((1, 2))
    graph = nx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from(pairs.tolist())
    steps = dict(nx.all_pairs_shortest_path_length(graph))
    # Parts that no path joins lie a little further apart than anything within a part.
    furthest = max(max(reached.values()) for reached in steps.values()) + 1.0
    distance = {
        start: {end: float(steps[start].get(end, furthest)) for end in range(count)} for start in range(count)
    }
    begin = nx.spring_layout(graph, seed=seed)
    placed = nx.kamada_kawai_layout(graph, dist=distance, pos=begin)
    return np.array([placed[node] for node in range(count)], dtype=np.float64)


def _stretched(points: Floats) -> Floats:
    """Turn the points so that they spread most from left to right, and scale both axes to 0 to 1."""
    points = points - points.mean(axis=0)
    _, axes = np.linalg.eigh(points.T @ points)
    axes = axes[:, ::-1]
    # The direction of an eigenvector is free; its largest part is made positive.
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.where(axes[largest, [0, 1]] < 0, -1.0, 1.0)
    turned = points @ axes
    spread = turned.max(axis=0) - turned.min(axis=0)
    return np.where(spread > 1e-9, (turned - turned.min(axis=0)) / np.maximum(spread, 1e-9), 0.5)


def _push(centres: Floats, halves: Floats) -> Floats:
    """Return [boxes, 2], how far each box moves so as to leave the others, along the shorter way out."""
    apart = centres[:, None] - centres[None]
    overlap = halves[:, None] + halves[None] - np.abs(apart)
    np.einsum("iik->ik", overlap)[:] = 0.0
    touching = np.all(overlap > 1e-6, axis=2)
    # Boxes on the same spot are told apart by their numbers.
    number = np.arange(len(centres))
    sign = np.where(apart != 0, np.sign(apart), np.sign(number[:, None] - number[None])[:, :, None])
    shorter = overlap.argmin(axis=2)
    way = np.stack([shorter == 0, shorter == 1], axis=2)
    return np.where(touching[:, :, None] & way, 0.5 * overlap * sign, 0.0).sum(axis=1) * 0.6


def _push_off_lines(centres: Floats, halves: Floats, pairs: NDArray[np.int64]) -> Floats:
    """Return [boxes, 2], how far each box moves so as not to lie on a line between two others."""
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    if not len(pairs):
        return np.zeros_like(centres)
    begin, along = centres[pairs[:, 0]], centres[pairs[:, 1]] - centres[pairs[:, 0]]
    length = np.maximum((along**2).sum(axis=1), 1e-9)
    offset = centres[None] - begin[:, None]
    share = np.clip((offset * along[:, None]).sum(axis=2) / length[:, None], 0.0, 1.0)
    # From the nearest point of the line to the centre of the box, [lines, boxes, 2].
    away = offset - share[..., None] * along[:, None]
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.sqrt(length)[:, None]
    side = (away * normal[:, None]).sum(axis=2)
    # How far the box reaches across the line.
    reach = np.abs(normal) @ halves.T
    depth = np.where((share > 0.0) & (share < 1.0), reach - np.abs(side), 0.0)
    lines = np.arange(len(pairs))
    depth[lines, pairs[:, 0]] = depth[lines, pairs[:, 1]] = 0.0
    moved = np.clip(depth, 0.0, None) * np.where(side < 0, -1.0, 1.0)
    return 0.15 * (moved[..., None] * normal[:, None]).sum(axis=0)


def _push_to_length(centres: Floats, halves: Floats, pairs: NDArray[np.int64], lengths: Floats) -> Floats:
    """Return [boxes, 2], how far each box moves so that the lines are as long as they should be."""
    along = centres[pairs[:, 1]] - centres[pairs[:, 0]]
    distance = np.maximum(np.sqrt((along**2).sum(axis=1)), 1e-6)
    way = along / distance[:, None]
    # What the boxes cover of the line: to the side of the box that it leaves by.
    inside = np.min(
        (halves[pairs[:, 0]], halves[pairs[:, 1]]) / np.maximum(np.abs(way), 1e-6)[None], axis=2
    ).sum(axis=0)
    short = np.clip(lengths - (distance - inside), 0.0, None)
    push = np.zeros_like(centres)
    np.add.at(push, pairs[:, 1], 0.05 * short[:, None] * way)
    np.add.at(push, pairs[:, 0], -0.05 * short[:, None] * way)
    return push
