"""Reading and writing knowledge graphs: Parquet, the native format, and those of other tools.

A folder or file is written beside its destination and renamed, so a half-written one never exists, and the
same graph gives the same bytes.
"""

from __future__ import annotations

from kg_builders.formats.networkx import from_networkx, to_networkx
from kg_builders.formats.parquet import (
    BUILD_FILE,
    RECIPE_FILE,
    REMOVED_FILE,
    REPORT_FILE,
    REPORT_PAGE,
    REVIEW_FILE,
    SIDE_FILES,
    read_knowledge_graph,
    staged_knowledge_graph,
    write_knowledge_graph,
)
from kg_builders.formats.registry import GraphFormat, export_formats, export_graph, import_graph

__all__ = [
    "BUILD_FILE",
    "RECIPE_FILE",
    "REMOVED_FILE",
    "REPORT_FILE",
    "REPORT_PAGE",
    "REVIEW_FILE",
    "SIDE_FILES",
    "GraphFormat",
    "export_formats",
    "export_graph",
    "from_networkx",
    "import_graph",
    "read_knowledge_graph",
    "staged_knowledge_graph",
    "to_networkx",
    "write_knowledge_graph",
]
