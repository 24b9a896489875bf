"""A build as a folder: the graph, and beside it everything a person needs to judge it or undo a part."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import polars as pl
import yaml

from kg_builders.build_report import BuildReport
from kg_builders.errors import InputError
from kg_builders.formats.atomic import refuse_existing
from kg_builders.formats.parquet import is_graph_folder, link_review_file
from kg_builders.io import (
    BUILD_FILE,
    RECIPE_FILE,
    REMOVED_FILE,
    REVIEW_FILE,
    staged_knowledge_graph,
)
from kg_builders.prune import REMOVED_SCHEMA, PruneStep
from kg_builders.recipe import Recipe
from kg_builders.report import json_text, write_report
from kg_builders.review import write_review
from kg_builders.schema import KnowledgeGraph
from kg_builders.sources.streams import file_name
from kg_builders.tables import conform

__all__ = ["read_removed", "require_free", "write_build", "write_steps"]


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
    earlier: pl.DataFrame | None = None,
) -> None:
    """Write a graph with the record of its build, whole or not at all.

    Besides the graph: ``build.json`` (what each part did), ``review.csv`` (merges, to be edited and fed
    back), ``link_review.csv`` (the same of links by label; ``link_review_2.csv`` for the second given graph
    that is linked so), ``removed.parquet`` (what pruning took, by step), ``recipe.yaml``, ``report.json``
    (what the graph holds) and ``report.html`` (both as a page). Steps of pruning whose triples were not kept
    in memory are not in ``removed.parquet``.

    Parameters
    ----------
    title
        Heading of the report; by default the name of the source.
    earlier
        What had been taken from the graph before this build, as :func:`read_removed` gives it.

    Raises
    ------
    InputError
        If there is something at ``path`` that may not be replaced, or it can't be written.
    """
    path = Path(path)
    with staged_knowledge_graph(kg, path, overwrite) as folder:
        facts = report.to_dict()
        parts = {name: told for name, told in facts.items() if name != "graph"}
        (folder / BUILD_FILE).write_text(json_text(parts), encoding="utf-8")
        if report.review is not None:
            write_review(report.review, folder / REVIEW_FILE)
        for number, review in enumerate(report.link_reviews, start=1):
            write_review(review, folder / link_review_file(number))
        write_steps(report.pruning, folder / REMOVED_FILE, earlier)
        if recipe is not None:
            values = recipe.model_dump(mode="json", exclude_unset=True)
            (folder / RECIPE_FILE).write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        write_report(kg, folder, facts, title or _title(recipe))


def read_removed(graph: str | Path) -> pl.DataFrame:
    """Return what was pruned from the graph in a folder, in the order of the steps; no rows if nothing was.

    Raises
    ------
    InputError
        If the file is broken or lacks a column.
    """
    file = Path(graph) / REMOVED_FILE
    if not file.is_file():
        return pl.DataFrame(schema=REMOVED_SCHEMA)
    try:
        removed = pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{file}: can't be read as Parquet; expected what a pruning took") from error
    return conform(removed, REMOVED_SCHEMA, str(file))


def write_steps(steps: Sequence[PruneStep], file: Path, earlier: pl.DataFrame | None = None) -> None:
    """Write what the steps of pruning took, in their order, after what had been taken before.

    A step that runs again gets a number, as in ``2-core (2)``, so that each can be undone alone.
    """
    before = pl.DataFrame(schema=REMOVED_SCHEMA) if earlier is None else earlier
    known = set(before["step"].unique())
    taken = []
    for step in steps:
        if step.source is None:
            continue
        names = (step.name if turn == 1 else f"{step.name} ({turn})" for turn in count(1))
        name = next(name for name in names if name not in known)
        taken.append(step.removed().with_columns(step=pl.lit(name)))
    table = pl.concat([before, *taken])
    table.write_parquet(file, compression="zstd", compression_level=3)


def _title(recipe: Recipe | None) -> str:
    # Not the name of the folder: the same recipe gives the same bytes wherever it is built.
    if recipe is None or recipe.source is None:
        return "Knowledge graph"
    name = file_name(recipe.source.path)
    return f"Knowledge graph of {recipe.source.kind if name in ('.', '..') else name}"
