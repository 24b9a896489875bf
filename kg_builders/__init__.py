"""Build knowledge graphs from raw item metadata; knows nothing of DGL, torch or ``kdiffe_dgl``.

The public names are imported when they are first used, so that a command which only prints its help
does not wait for the table engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kg_builders.late_names import late_names as _late_names

if TYPE_CHECKING:
    from kg_builders.build import BuildProgress, build_graph
    from kg_builders.build_report import BuildReport
    from kg_builders.drawing import draw_subgraph, sample_subgraph
    from kg_builders.encoders import create_encoder, encode_items, encoder_names
    from kg_builders.engines import open_engine
    from kg_builders.errors import InputError
    from kg_builders.expand import extract_neighbourhood
    from kg_builders.extract import Extraction, extract_triples
    from kg_builders.infer import infer_mapping
    from kg_builders.io import (
        export_graph,
        import_graph,
        read_knowledge_graph,
        to_networkx,
        write_knowledge_graph,
    )
    from kg_builders.label_link import link_by_label
    from kg_builders.leakage import check_leakage
    from kg_builders.link import LinkReport, link_external
    from kg_builders.modality import ModalityReport, ModalitySettings, modality_graph
    from kg_builders.output import write_build
    from kg_builders.prune import PruneSettings, PruneStep, plan_pruning, prune_graph, restore
    from kg_builders.recipe import Recipe, load_recipe, parse_recipe
    from kg_builders.report import describe, render, write_report
    from kg_builders.resolve import ResolveSettings, resolve_entities
    from kg_builders.review import Review, read_review, write_review
    from kg_builders.rules import Rules, load_rules, parse_rules, preset_names
    from kg_builders.schema import KnowledgeGraph
    from kg_builders.sources import ItemRecords, read_amazon, read_lastfm, read_movielens, read_table
    from kg_builders.usefulness import relation_usefulness

_HOMES = {
    "build": ("BuildProgress", "build_graph"),
    "build_report": ("BuildReport",),
    "drawing": ("draw_subgraph", "sample_subgraph"),
    "encoders": ("create_encoder", "encode_items", "encoder_names"),
    "engines": ("open_engine",),
    "errors": ("InputError",),
    "extract": ("Extraction", "extract_triples"),
    "expand": ("extract_neighbourhood",),
    "infer": ("infer_mapping",),
    "io": ("export_graph", "import_graph", "read_knowledge_graph", "to_networkx", "write_knowledge_graph"),
    "label_link": ("link_by_label",),
    "leakage": ("check_leakage",),
    "link": ("LinkReport", "link_external"),
    "modality": ("ModalityReport", "ModalitySettings", "modality_graph"),
    "output": ("write_build",),
    "prune": ("PruneSettings", "PruneStep", "plan_pruning", "prune_graph", "restore"),
    "recipe": ("Recipe", "load_recipe", "parse_recipe"),
    "report": ("describe", "render", "write_report"),
    "resolve": ("ResolveSettings", "resolve_entities"),
    "review": ("Review", "read_review", "write_review"),
    "rules": ("Rules", "load_rules", "parse_rules", "preset_names"),
    "schema": ("KnowledgeGraph",),
    "sources": ("ItemRecords", "read_amazon", "read_lastfm", "read_movielens", "read_table"),
    "usefulness": ("relation_usefulness",),
}
"""Module to the public names that it holds."""

__all__ = [
    "BuildProgress",
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
    "ResolveSettings",
    "Review",
    "Rules",
    "build_graph",
    "check_leakage",
    "create_encoder",
    "describe",
    "draw_subgraph",
    "encode_items",
    "encoder_names",
    "export_graph",
    "extract_neighbourhood",
    "extract_triples",
    "import_graph",
    "infer_mapping",
    "link_by_label",
    "link_external",
    "load_recipe",
    "load_rules",
    "modality_graph",
    "open_engine",
    "parse_recipe",
    "parse_rules",
    "plan_pruning",
    "preset_names",
    "prune_graph",
    "read_amazon",
    "read_knowledge_graph",
    "read_lastfm",
    "read_movielens",
    "read_review",
    "read_table",
    "relation_usefulness",
    "render",
    "resolve_entities",
    "restore",
    "sample_subgraph",
    "to_networkx",
    "write_build",
    "write_knowledge_graph",
    "write_report",
    "write_review",
]

__getattr__, __dir__ = _late_names(__name__, _HOMES)
