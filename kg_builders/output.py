"""A build as a folder: the graph, and beside it everything a person needs to judge it or undo a part."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import yaml

from kg_builders.build_report import BuildReport
from kg_builders.formats.atomic import refuse_existing
from kg_builders.formats.parquet import is_graph_folder
from kg_builders.io import (
    BUILD_FILE,
    RECIPE_FILE,
    REMOVED_FILE,
    REVIEW_FILE,
    staged_knowledge_graph,
)
from kg_builders.prune import REMOVED_SCHEMA, PruneStep
from kg_builders.recipe import Recipe
from kg_builders.report import write_report
from kg_builders.review import write_review
from kg_builders.schema import KnowledgeGraph

__all__ = ["require_free", "write_build", "write_steps"]


def require_free(path: str | Path, overwrite: bool) -> None:
    """Refuse a place that can't be written to, before the work begins rather than after it.

    Raises
    ------
    InputError
        If there is something already, and it is not a knowledge graph that may be overwritten.
    """
    refuse_existing(Path(path), overwrite, "a knowledge graph folder", is_graph_folder)


def write_build(
    kg: KnowledgeGraph,
    report: BuildReport,
    path: str | Path,
    recipe: Recipe | None = None,
    overwrite: bool = False,
    title: str | None = None,
) -> None:
    """Write a graph with the record of its build, whole or not at all.

    Besides the graph: ``build.json`` (what each part did), ``review.csv`` (merges, to be edited and fed
    back), ``removed.parquet`` (what pruning took, by step), ``recipe.yaml``, ``report.html`` and
    ``report.json``. Steps of pruning whose triples were not kept in memory are not in ``removed.parquet``.

    Raises
    ------
    InputError
        If there is something at ``path`` that may not be replaced, or it can't be written.
    """
    path = Path(path)
    with staged_knowledge_graph(kg, path, overwrite) as folder:
        facts = report.to_dict()
        told = json.dumps(facts, ensure_ascii=False, indent=2)
        (folder / BUILD_FILE).write_text(told + "\n", encoding="utf-8")
        if report.review is not None:
            write_review(report.review, folder / REVIEW_FILE)
        write_steps(report.pruning, folder / REMOVED_FILE)
        if recipe is not None:
            values = recipe.model_dump(mode="json", exclude_unset=True)
            (folder / RECIPE_FILE).write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        write_report(kg, folder, facts, title or f"Knowledge graph {path.name}")


def write_steps(steps: tuple[PruneStep, ...], file: Path) -> None:
    """Write what the steps of pruning took, in their order."""
    taken = [step.removed() for step in steps if step.source is not None]
    table = pl.concat([pl.DataFrame(schema=REMOVED_SCHEMA), *taken])
    table.write_parquet(file, compression="zstd", compression_level=3)
