"""Build knowledge graphs from raw item metadata; knows nothing of DGL, torch or ``kdiffe_dgl``."""

from kg_builders.errors import InputError
from kg_builders.schema import KnowledgeGraph

__all__ = ["InputError", "KnowledgeGraph"]
