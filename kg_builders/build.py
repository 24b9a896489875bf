"""One call from a recipe to a knowledge graph and the report of everything on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kg_builders.agreement import link_agreement
from kg_builders.build_report import BuildReport
from kg_builders.config import nearest
from kg_builders.encoders.store import read_record_of
from kg_builders.engines import Engine
from kg_builders.errors import InputError
from kg_builders.extract import extract_triples
from kg_builders.extraction_report import ExtractionReport
from kg_builders.given import LinkedGraph, link_given
from kg_builders.modality import ModalityReport, check_features, modality_graph
from kg_builders.prune import prune_graph
from kg_builders.reading import read_features, read_rules, read_source
from kg_builders.recipe import FeatureSettings, Recipe, parse_recipe
from kg_builders.report import describe
from kg_builders.resolve import resolve_entities
from kg_builders.review import Review, read_review
from kg_builders.rules import Rules
from kg_builders.schema import KnowledgeGraph
from kg_builders.sources import BadRecords, ItemRecords

__all__ = ["BuildProgress", "BuildReport", "SilentProgress", "build_graph"]


class BuildProgress(Protocol):
    """What a build tells while it goes on."""

    def phase(self, name: str) -> None:
        """Tell that a phase begins, such as ``reading``."""

    def read(self, done: int, size: int | None, records: int) -> None:
        """Tell how many bytes of how many were read, and how many records."""


class SilentProgress:
    """Tells nothing."""

    def phase(self, name: str) -> None:
        """Do nothing."""

    def read(self, done: int, size: int | None, records: int) -> None:
        """Do nothing."""


def build_graph(
    recipe: Recipe | Mapping[str, Any],
    folder: str | Path = ".",
    items: pl.DataFrame | None = None,
    features: Mapping[str, np.ndarray] | None = None,
    engine: Engine | None = None,
    *,
    interactions: pl.DataFrame | None = None,
    reviewed: Review | None = None,
    progress: BuildProgress | None = None,
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
    interactions
        Columns ``user`` and ``item`` (original ids): training interactions, where the recipe prunes by
        usefulness.
    reviewed
        Decided merges, in place of the file that the recipe names.
    progress
        Whom to tell.

    Returns
    -------
    KnowledgeGraph
        Extracted, linked and computed triples together, resolved and pruned.
    BuildReport
        What was found, left out, merged and why.

    Raises
    ------
    InputError
        If the recipe is not valid, what it names can't be read, or too many records are bad.
    """
    chosen = recipe if isinstance(recipe, Recipe) else parse_recipe(recipe)
    folder, tell = Path(folder), progress or SilentProgress()
    rules = None if chosen.rules is None else read_rules(chosen.rules, folder)
    _check_parts(chosen, items, reviewed, interactions is not None)
    graphs: list[KnowledgeGraph] = []
    extraction: ExtractionReport | None = None
    known: pl.DataFrame | None = None
    records: ItemRecords | None = None
    if chosen.source is not None:
        tell.phase("reading")
        records = read_source(chosen, folder, _needed(rules), tell.read)
        known = records.labels(None if rules is None else rules.label)
        if items is None:
            items = named = known
        else:
            told = _labelled(_catalogue(items), known)
            records = records.select_items(told["id"].to_list())
            # As the records name them; an item without a record is called by its id.
            named = told.select("id", label=pl.coalesce("known", "id"))
            items = told.select("id", pl.coalesce("label", "known"))
        if rules is not None:
            tell.phase("extracting")
            extracted = extract_triples(records, rules, engine, named)
            graphs.append(extracted.kg)
            extraction = extracted.report
    catalogue = _catalogue(items)
    links: list[LinkedGraph] = []
    for given in chosen.external:
        tell.phase(f"linking {given.triples}")
        linked = link_given(given, folder, catalogue, known)
        if extraction is not None:
            agreement = link_agreement(graphs[0], linked.graph)
            linked = replace(linked, report=replace(linked.report, agreement=agreement))
        graphs.append(linked.graph)
        links.append(linked)
    modalities: dict[str, ModalityReport] = {}
    if chosen.features:
        tell.phase("relating items by their features")
        graph, modalities = _relate(chosen, folder, features or {}, catalogue)
        graphs.append(graph)
    kg = _join(graphs, catalogue, extraction is not None)
    graphs.clear()
    review: Review | None = None
    if chosen.resolve is not None:
        tell.phase("resolving")
        decided = read_review(folder / chosen.review) if chosen.review is not None else None
        kg, review = resolve_entities(kg, chosen.resolve, reviewed or decided, folder)
    tell.phase("pruning")
    kg, steps = prune_graph(kg, chosen.prune, interactions)
    tell.phase("describing")
    report = BuildReport(
        bad=_bad_records(None if records is None else records.bad, *(linked.bad for linked in links)),
        extraction=extraction,
        links=tuple(linked.report for linked in links),
        label_links=tuple(linked.labels for linked in links if linked.labels is not None),
        expansions=tuple(linked.expansion for linked in links if linked.expansion is not None),
        modalities=modalities,
        review=review,
        link_reviews=tuple(linked.review for linked in links if linked.review is not None),
        pruning=tuple(steps),
        graph=describe(kg),
    )
    return kg, report


def _check_parts(
    recipe: Recipe, items: pl.DataFrame | None, reviewed: Review | None, interactions: bool
) -> None:
    """Refuse a recipe whose parts don't fit together, before anything is read."""
    if recipe.source is None and items is None:
        raise InputError("recipe: no source and no items; expected a source of item records")
    if recipe.source is None and recipe.rules is not None:
        raise InputError("recipe: has rules but no source; expected a source of item records")
    if recipe.prune.keep_relations == "useful" and not interactions:
        raise InputError(
            "recipe: keeps useful relations only; expected training interactions to judge them by"
        )
    if (recipe.review is not None or reviewed is not None) and recipe.resolve is None:
        raise InputError("recipe: has a review but no resolve; expected the kinds to resolve")


def _needed(rules: Rules | None) -> list[str] | None:
    """Return the fields that the rules read; None where there are no rules to go by."""
    if rules is None:
        return None
    named = [rule.field for rule in rules.rules]
    return sorted({*named, *([rules.label] if rules.label else [])})


def _join(graphs: list[KnowledgeGraph], catalogue: pl.DataFrame, extracted: bool) -> KnowledgeGraph:
    # What was extracted from the catalogue's own records, in their order, needs no joining.
    if extracted and len(graphs) == 1:
        return graphs[0]
    return KnowledgeGraph.empty().union(*graphs).align_items(catalogue)


def _catalogue(items: pl.DataFrame | None) -> pl.DataFrame:
    if items is None or not {"id", "label"} <= set(items.columns):
        raise InputError("items: expected a table with columns id and label")
    return items.select(pl.col("id").cast(pl.Utf8), pl.col("label").cast(pl.Utf8))


def _labelled(items: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Add a column ``known`` with the labels that the records have."""
    return items.join(known.rename({"label": "known"}), on="id", how="left", maintain_order="left")


def _bad_records(*told: BadRecords | None) -> BadRecords | None:
    """Return what was left out of all files that were read: the first that tells, with the others in it."""
    found = [bad for bad in told if bad is not None]
    if not found:
        return None
    return replace(found[0], others=[*found[0].others, *found[1:]])


def _relate(
    recipe: Recipe, folder: Path, features: Mapping[str, np.ndarray], catalogue: pl.DataFrame
) -> tuple[KnowledgeGraph, dict[str, ModalityReport]]:
    """Return what the features say of which items are alike."""
    ids = catalogue["id"].to_list()
    matrices, missing = {}, {}
    for name, settings in recipe.features.items():
        matrices[name] = _matrix(name, settings, folder, features, len(ids))
        mask = None if name in features else _filled_rows(name, settings, folder, ids)
        if mask is not None:
            missing[name] = mask
    return modality_graph(matrices, ids, recipe.features, missing=missing)


def _filled_rows(
    name: str, settings: FeatureSettings, folder: Path, ids: list[str]
) -> NDArray[np.bool_] | None:
    """Return which rows stand for items without input, where ``kg-build encode`` left a record of it."""
    if settings.path is None:
        return None
    record = read_record_of(folder / settings.path, ids, "this graph")
    return None if record is None else record.missing_mask()


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
