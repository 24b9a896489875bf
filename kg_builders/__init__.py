"""Build knowledge graphs from raw item metadata; knows nothing of DGL, torch or ``kdiffe_dgl``."""

from kg_builders.build import BuildReport, build
from kg_builders.errors import InputError
from kg_builders.extract import Extraction, extract
from kg_builders.io import read_knowledge_graph, to_networkx, write_knowledge_graph
from kg_builders.link import LinkReport, link_external
from kg_builders.modality import ModalityReport, ModalitySettings, modality_graph
from kg_builders.prune import PruneSettings, PruneStep, prune
from kg_builders.recipe import Recipe, load_recipe, parse_recipe
from kg_builders.report import describe, render
from kg_builders.rules import Rules, load_rules, parse_rules, preset_names
from kg_builders.schema import KnowledgeGraph
from kg_builders.sources import ItemRecords

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
    "build",
    "describe",
    "extract",
    "link_external",
    "load_recipe",
    "load_rules",
    "modality_graph",
    "parse_recipe",
    "parse_rules",
    "preset_names",
    "prune",
    "read_knowledge_graph",
    "render",
    "to_networkx",
    "write_knowledge_graph",
]
