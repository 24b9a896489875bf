"""Build knowledge graphs from raw item metadata; knows nothing of DGL, torch or ``kdiffe_dgl``.

The public names are imported when they are first used, so that a command which only prints its help
does not wait for the table engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kg_builders.build import BuildReport, build_graph
    from kg_builders.errors import InputError
    from kg_builders.extract import Extraction, extract_triples
    from kg_builders.io import read_knowledge_graph, to_networkx, write_knowledge_graph
    from kg_builders.link import LinkReport, link_external
    from kg_builders.modality import ModalityReport, ModalitySettings, modality_graph
    from kg_builders.prune import PruneSettings, PruneStep, prune_graph
    from kg_builders.recipe import Recipe, load_recipe, parse_recipe
    from kg_builders.report import describe, render
    from kg_builders.rules import Rules, load_rules, parse_rules, preset_names
    from kg_builders.schema import KnowledgeGraph
    from kg_builders.sources import ItemRecords

_HOMES = {
    "build": ("BuildReport", "build_graph"),
    "errors": ("InputError",),
    "extract": ("Extraction", "extract_triples"),
    "io": ("read_knowledge_graph", "to_networkx", "write_knowledge_graph"),
    "link": ("LinkReport", "link_external"),
    "modality": ("ModalityReport", "ModalitySettings", "modality_graph"),
    "prune": ("PruneSettings", "PruneStep", "prune_graph"),
    "recipe": ("Recipe", "load_recipe", "parse_recipe"),
    "report": ("describe", "render"),
    "rules": ("Rules", "load_rules", "parse_rules", "preset_names"),
    "schema": ("KnowledgeGraph",),
    "sources": ("ItemRecords",),
}
"""Module to the public names that it holds."""

_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "BuildReport",
    "Extraction",
    "InputError",
    "ItemRecords",
    "KnowledgeGraph",
    "LinkReport",
    "ModalityReport",
    "ModalitySettings",
    "PruneSettings",
    "PruneStep",
    "Recipe",
    "Rules",
    "build_graph",
    "describe",
    "extract_triples",
    "link_external",
    "load_recipe",
    "load_rules",
    "modality_graph",
    "parse_recipe",
    "parse_rules",
    "preset_names",
    "prune_graph",
    "read_knowledge_graph",
    "render",
    "to_networkx",
    "write_knowledge_graph",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
