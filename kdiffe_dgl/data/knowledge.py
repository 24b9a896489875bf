"""The knowledge graph of a data set: a ``kg_builders`` recipe, built for the items at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kg_builders.build import build_graph
from kg_builders.leakage import check_leakage
from kg_builders.recipe import Recipe, load_recipe, parse_recipe
from kg_builders.schema import ITEM, KnowledgeGraph

__all__ = ["KnowledgeOptions", "attach_graph", "with_knowledge"]


@dataclass(frozen=True)
class KnowledgeOptions:
    """Where a knowledge graph comes from, without a recipe file for the common cases.

    Parameters
    ----------
    recipe
        A recipe file; then nothing else is given. Its paths are relative to its folder.
    rules
        Preset or YAML file of rules for the metadata.
    metadata, metadata_format, metadata_id
        Item metadata: file or folder, its layout (``"recbole"``, ``"lastfm"`` or ``"table"``), and the
        id field of a table.
    triples, links
        A given graph and its item-id map; both or neither. A file that ends in ``.kg`` is RecBole's and
        so is its map; others are tab-separated without a header.
    modalities
        Settings of nearest-neighbour and cluster relations, for every modality; None: no such relations.
    prune
        Settings of pruning; None: the defaults.
    """

    recipe: Path | None = None
    rules: str | None = None
    metadata: Path | None = None
    metadata_format: str | None = None
    metadata_id: str = "id"
    triples: Path | None = None
    links: Path | None = None
    modalities: dict[str, Any] | None = None
    prune: dict[str, Any] | None = None

    def resolve(self, dataset: RecDataset) -> tuple[Recipe, Path] | None:
        """Return the recipe and the folder of its paths, or None where no graph is asked for.

        Raises
        ------
        InputError
            If options contradict each other or one needs another.
        """
        parts = (self.rules, self.metadata, self.triples, self.links, self.modalities)
        if self.recipe is not None:
            if any(part is not None for part in (*parts, self.prune)):
                raise InputError(
                    f"{self.recipe}: a recipe says everything; expected no other option of the graph"
                )
            return load_recipe(self.recipe), self.recipe.parent
        if all(part is None for part in parts):
            return None
        if (self.rules is None) != (self.metadata is None):
            raise InputError(
                "a graph of metadata needs both rules and the metadata (--kg-rules and --metadata)"
            )
        if (self.triples is None) != (self.links is None):
            raise InputError("a given graph needs its triples and its id map (--kg-triples and --kg-links)")
        if self.modalities is not None and not dataset.features:
            raise InputError(f"data set {dataset.name}: no features to relate items by; expected a modality")
        data: dict[str, Any] = {"prune": self.prune or {}}
        if self.metadata is not None:
            data["source"] = {"kind": self.metadata_format or "table", "path": str(self.metadata)}
            if data["source"]["kind"] == "table":
                data["source"]["id"] = self.metadata_id
            data["rules"] = self.rules
        if self.triples is not None:
            kind = "recbole" if self.triples.suffix == ".kg" else "triples"
            data["external"] = [{"kind": kind, "triples": str(self.triples), "links": str(self.links)}]
        if self.modalities is not None:
            data["features"] = dict.fromkeys(dataset.features, self.modalities)
        return parse_recipe(data, "knowledge graph options"), Path()


def with_knowledge(dataset: RecDataset, recipe: Recipe, folder: Path) -> RecDataset:
    """Return the data set with the graph of a recipe, entity ``i`` being item ``i``.

    The recipe, and what each of its parts gave and lost, is told in the provenance under
    ``knowledge``.

    Parameters
    ----------
    recipe
        What to build from; features that it names and gives no file for are those of the data set.
    folder
        Where its relative paths begin.

    Raises
    ------
    InputError
        If what the recipe names can't be read or doesn't fit the items, or the graph was made from held-out
        interactions.
    """
    chosen = recipe.prune.keep_relations == "useful"
    kg, report = build_graph(
        recipe,
        folder,
        _names(dataset),
        dataset.features,
        interactions=_training_pairs(dataset) if chosen else None,
    )
    _refuse_leaks(dataset, kg)
    facts = report.to_dict() | {"recipe": recipe.model_dump(mode="json", exclude_defaults=True)}
    del facts["graph"]
    if report.review is not None:
        # Nothing is merged silently: the data set tells what became what.
        facts["resolution"]["merges"] = report.review.table.filter(pl.col("decision") == "merge").to_dicts()
    return _joined(dataset, kg, facts)


def _names(dataset: RecDataset) -> pl.DataFrame:
    """Return ``id`` and ``label`` of the items; null where the label is only the id."""
    label = pl.when(pl.col("label") != pl.col("id")).then("label").alias("label")
    return dataset.items.select("id", label)


def _joined(dataset: RecDataset, kg: KnowledgeGraph, facts: Mapping[str, Any]) -> RecDataset:
    """Return the data set with a graph, from which items without a name of their own take theirs."""
    labels = kg.entities["label"].head(dataset.n_items)
    return dataset.replace(
        items=dataset.items.with_columns(labels.alias("label")),
        kg=kg,
        provenance=dict(dataset.provenance) | {"knowledge": facts},
    )


def _training_pairs(dataset: RecDataset) -> pl.DataFrame:
    """Return the training interactions by original ids; nothing else may shape the graph."""
    return _pairs_by_id(dataset, "train").drop("split")


def _pairs_by_id(dataset: RecDataset, *splits: str) -> pl.DataFrame:
    """Return interactions as original ids: columns ``user``, ``item`` and ``split``."""
    chosen = dataset.interactions.filter(pl.col("split").is_in(splits))
    return chosen.select(
        dataset.users["id"].gather(chosen["user"]).alias("user"),
        dataset.items["id"].gather(chosen["item"]).alias("item"),
        pl.col("split").cast(pl.Utf8),
    )


def _refuse_leaks(dataset: RecDataset, kg: KnowledgeGraph) -> None:
    """Refuse a graph in which the interactions that it is going to be tested on have left traces."""
    held_out = _pairs_by_id(dataset, "validation", "test")
    if len(held_out) and kg.n_triples:
        check_leakage(kg, _training_pairs(dataset), held_out).refuse()


def attach_graph(dataset: RecDataset, kg: KnowledgeGraph, origin: str) -> RecDataset:
    """Return the data set with a graph that was built elsewhere, in place of the one that it has.

    Items meet by their original ids. Items of the graph that the data set doesn't have become ordinary
    entities of it: what is known of them still joins the others.

    Parameters
    ----------
    kg
        The graph.
    origin
        Where it is from, for the provenance.

    Raises
    ------
    InputError
        If the graph knows none of the items, or was made from held-out interactions.
    """
    own = kg.entities.filter(pl.col("kind") == ITEM)
    known = int(dataset.items["id"].is_in(own["id"].implode()).sum())
    if not known:
        example, other = dataset.items["id"][0], own["id"][0] if len(own) else "none"
        raise InputError(
            f"{origin}: knows no item of data set {dataset.name}, whose ids look like {example!r}; "
            f"its own look like {other!r}"
        )
    _refuse_leaks(dataset, kg)
    facts = {"graph": origin, "items_known": known, "warnings": []}
    return _joined(dataset, kg.align_items(_names(dataset)), facts)
