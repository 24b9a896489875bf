"""A small, readable part of a graph, and a picture of it."""

from __future__ import annotations

from kg_builders.reporting.picture import draw_subgraph
from kg_builders.reporting.sample import sample_subgraph

__all__ = ["draw_subgraph", "sample_subgraph"]
