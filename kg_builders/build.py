"""One call from a recipe to a knowledge graph and the report of everything on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Group, RenderableType

from kg_builders.agreement import link_agreement
from kg_builders.config import nearest
from kg_builders.engines import Engine
from kg_builders.errors import InputError
from kg_builders.extract import extract_triples
from kg_builders.extraction_report import ExtractionReport
from kg_builders.link import LinkReport, link_external
from kg_builders.modality import ModalityReport, check_features, modality_graph
from kg_builders.prune import PruneStep, prune_graph, prune_table
from kg_builders.recipe import FeatureSettings, LastfmSource, RecbolePair, RecboleSource, Recipe, parse_recipe
from kg_builders.report import describe, render
from kg_builders.rules import Rules, load_rules, preset_names
from kg_builders.schema import KnowledgeGraph
from kg_builders.sources import (
    ExternalTriples,
    ItemRecords,
    read_item_links,
    read_lastfm,
    read_recbole_items,
    read_recbole_kg,
    read_tabular,
    read_triples,
)

__all__ = ["BuildReport", "build_graph", "read_features", "read_source"]


@dataclass(frozen=True)
class BuildReport:
    """What each part of a build did, and what the graph holds in the end."""

    extraction: ExtractionReport | None = None
    links: tuple[LinkReport, ...] = ()
    modalities: Mapping[str, ModalityReport] = field(default_factory=dict)
    pruning: tuple[PruneStep, ...] = ()
    graph: Mapping[str, Any] = field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        """What looks wrong with the given graphs; what looks wrong in the result is in ``graph``."""
        return [warning for link in self.links if (warning := link.warning()) is not None]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "warnings": self.warnings,
            "extraction": None if self.extraction is None else self.extraction.to_dict(),
            "links": [link.to_dict() for link in self.links],
            "modalities": {name: report.to_dict() for name, report in self.modalities.items()},
            "pruning": [step.to_dict() for step in self.pruning],
            "graph": dict(self.graph),
        }

    def render(self) -> RenderableType:
        """Return tables for the terminal."""
        parts: list[RenderableType] = []
        if self.extraction is not None:
            parts.append(self.extraction.table())
        parts.extend(link.sentence() for link in self.links)
        parts.extend(f"Warning: {warning}" for warning in self.warnings)
        for name, report in self.modalities.items():
            parts.append(
                f"features {name}: {report.neighbour_pairs:,} pairs of neighbours, {report.clusters:,} "
                f"clusters; {report.missing:,} items without, {report.repeated:,} with the same as another"
            )
        parts.append(prune_table(list(self.pruning)))
        parts.append(render(dict(self.graph)))
        return Group(*parts)


def build_graph(
    recipe: Recipe | Mapping[str, Any],
    folder: str | Path = ".",
    items: pl.DataFrame | None = None,
    features: Mapping[str, np.ndarray] | None = None,
    engine: Engine | None = None,
) -> tuple[KnowledgeGraph, BuildReport]:
    """Build a knowledge graph.

    Parameters
    ----------
    recipe
        What to build from.
    folder
        Where its relative paths begin.
    items
        Columns ``id`` and ``label``: the catalogue. Records of other items are left out, and the
        items of the graph come first, in this order. Without it, the items are those of the source.
    features
        Modality to matrix [items, width], aligned with the items, instead of the recipe's files. They
        are used for the modalities that the recipe names.
    engine
        What runs the extraction; Polars by default.

    Returns
    -------
    KnowledgeGraph
        Extracted, linked and computed triples together, pruned.
    BuildReport
        What was found, left out and why.

    Raises
    ------
    InputError
        If the recipe is not valid or what it names can't be read.
    """
    chosen = recipe if isinstance(recipe, Recipe) else parse_recipe(recipe)
    folder = Path(folder)
    graphs: list[KnowledgeGraph] = []
    extraction: ExtractionReport | None = None
    known: pl.DataFrame | None = None
    if chosen.source is None and items is None:
        raise InputError("recipe: no source and no items; expected a source of item records")
    if chosen.source is None and chosen.rules is not None:
        raise InputError("recipe: has rules but no source; expected a source of item records")
    if chosen.source is not None:
        records = read_source(chosen, folder)
        rules = None if chosen.rules is None else _rules(chosen.rules, folder)
        known = records.labels(None if rules is None else rules.label)
        if items is None:
            items = known
        else:
            _catalogue(items)
            records = records.select_items(items["id"].cast(pl.Utf8).to_list())
            items = _with_labels(items, known)
        if rules is not None:
            extracted = extract_triples(records, rules, engine)
            graphs.append(extracted.kg)
            extraction = extracted.report
    catalogue = _catalogue(items)
    links: list[LinkReport] = []
    for given in chosen.external:
        graph, link = link_external(_read_external(given, folder), catalogue, given.entity, known)
        if extraction is not None:
            link = replace(link, agreement=link_agreement(graphs[0], graph))
        graphs.append(graph)
        links.append(link)
    modalities: dict[str, ModalityReport] = {}
    if chosen.features:
        matrices = {
            name: _matrix(name, settings, folder, features or {}, len(catalogue))
            for name, settings in chosen.features.items()
        }
        graph, modalities = modality_graph(matrices, catalogue["id"].to_list(), chosen.features)
        graphs.append(graph)
    joined = KnowledgeGraph.empty().union(*graphs).align_items(catalogue)
    pruned, steps = prune_graph(joined, chosen.prune)
    report = BuildReport(extraction, tuple(links), modalities, tuple(steps), describe(pruned))
    return pruned, report


def read_source(recipe: Recipe, folder: str | Path = ".") -> ItemRecords:
    """Read the item records that a recipe names."""
    source = recipe.source
    if source is None:
        raise InputError("recipe: no source; expected a source of item records")
    path = Path(folder) / source.path
    if isinstance(source, RecboleSource):
        return read_recbole_items(path, source.id, source.label)
    if isinstance(source, LastfmSource):
        return read_lastfm(path, source.artists, source.tags)
    return read_tabular(
        path,
        source.id,
        label=source.label,
        lists=source.lists,
        numbers=source.numbers,
        delimiter=source.delimiter,
        kind=source.format,
    )


def read_features(path: str | Path) -> np.ndarray:
    """Read a ``.npy`` matrix, memory-mapped; arrays of Python objects are refused.

    Raises
    ------
    InputError
        If the file is missing, truncated, or of another kind.
    """
    path = Path(path)
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; expected features as .npy") from error
    except (ValueError, OSError, EOFError) as error:
        raise InputError(
            f"{path}: can't be read as .npy; the file is truncated, of another kind, or holds Python objects"
        ) from error


def _catalogue(items: pl.DataFrame | None) -> pl.DataFrame:
    if items is None or not {"id", "label"} <= set(items.columns):
        raise InputError("items: expected a table with columns id and label")
    return items.select(pl.col("id").cast(pl.Utf8), pl.col("label").cast(pl.Utf8))


def _with_labels(items: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Name the items that have no label as the records do."""
    named = _catalogue(items).join(
        known.rename({"label": "known"}), on="id", how="left", maintain_order="left"
    )
    return named.select("id", pl.coalesce("label", "known").alias("label"))


def _rules(rules: str | Rules, folder: Path) -> Rules:
    if isinstance(rules, Rules):
        return rules
    return load_rules(rules if rules in preset_names() else _existing(rules, folder))


def _existing(rules: str, folder: Path) -> Path | str:
    """Return the file beside the recipe, or the bare name, which ``load_rules`` then complains about."""
    path = folder / rules
    return path if path.exists() or path.suffix in (".yaml", ".yml") else rules


def _read_external(given: Any, folder: Path) -> ExternalTriples:
    triples, links = folder / given.triples, folder / given.links
    if isinstance(given, RecbolePair):
        return read_recbole_kg(triples, links)
    return ExternalTriples(
        read_triples(triples, given.delimiter),
        read_item_links(links, given.delimiter),
        triples.name,
        links.name,
    )


def _matrix(
    name: str, settings: FeatureSettings, folder: Path, features: Mapping[str, np.ndarray], n_items: int
) -> np.ndarray:
    if name in features:
        return features[name]
    if settings.path is None:
        expected = nearest(name, features) if features else "; expected a path to a .npy file"
        raise InputError(f"recipe: features {name!r} are neither given nor in a file{expected}")
    matrix = read_features(folder / settings.path)
    try:
        check_features(name, matrix, n_items)
    except InputError as error:
        raise InputError(f"{folder / settings.path}: {error}") from error
    return matrix
