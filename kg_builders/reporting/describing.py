"""The description of a graph in plain values."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from kg_builders.reporting.advice import warnings_of
from kg_builders.reporting.distributions import histogram, quantiles
from kg_builders.reporting.provenance import describe_provenance
from kg_builders.reporting.redundancy import describe_redundancy, same_facts
from kg_builders.reporting.relations import describe_relations
from kg_builders.reporting.structure import Structure, read_structure
from kg_builders.schema import ITEM, KnowledgeGraph

__all__ = ["describe"]

FACTS = (1, 2, 3, 5, 10, 20)
"""Numbers of facts below which items are counted."""
LARGEST_COMPONENTS = 5


def describe(kg: KnowledgeGraph, few_facts: int = 3, n_examples: int = 3, n_hubs: int = 10) -> dict[str, Any]:
    """Describe a graph in values that JSON can hold.

    All counts are exact; a graph of a million items and ten million triples takes seconds, and memory a few
    times that of its triples.

    Parameters
    ----------
    few_facts
        Items with fewer triples than this are counted as poorly known.
    n_examples, n_hubs
        Number of example triples of each relation, of items without a fact, and of sets of items with the
        same facts; number of the best-joined entities.

    Returns
    -------
    dict
        ``entities``, ``items``, ``relations``, ``triples``: counts.
        ``kinds``: entities of each kind, their numbers of neighbours, those in a single triple
        (``used_once``) and those with no name besides their id (``unnamed``).
        ``relation_table``: see ``describe_relations``.
        ``item_facts``: coverage, quantiles of triples an item, items with fewer than several numbers, items
        with none and examples of them, items that share all their facts with another.
        ``degrees``: histograms of facts an item and of neighbours an entity of each kind.
        ``components`` and ``component_sizes``.
        ``hubs``: entities joined to most items.
        ``redundancy``: see ``describe_redundancy``; and ``one_tail``, relations with a single tail.
        ``provenance``: see ``describe_provenance``.
        ``warnings``: what looks wrong and what to do.
    """
    structure = read_structure(kg)
    relation_table = describe_relations(kg, structure, n_examples)
    sizes = structure.component_sizes
    described: dict[str, Any] = {
        "entities": kg.n_entities,
        "items": int(structure.items.sum()),
        "relations": kg.n_relations,
        "triples": kg.n_triples,
        "kinds": _kinds(kg, structure),
        "relation_table": relation_table,
        "item_facts": _item_facts(kg, structure, few_facts, n_examples),
        "degrees": _degrees(kg, structure),
        "components": {
            "count": len(sizes),
            "largest_share": float(sizes.max(initial=0) / max(kg.n_entities, 1)),
        },
        "component_sizes": _components(structure),
        "hubs": _hubs(kg, structure, n_hubs),
        "redundancy": {
            **describe_redundancy(kg, structure),
            "one_tail": [row["name"] for row in relation_table if row["tails"] == 1],
        },
        "provenance": describe_provenance(kg),
    }
    described["warnings"] = warnings_of(described)
    return described


def _kinds(kg: KnowledgeGraph, structure: Structure) -> list[dict[str, Any]]:
    columns = {
        "row": np.arange(kg.n_entities),
        "once": structure.facts == 1,
        "unnamed": (kg.entities["label"].fill_null("") == kg.entities["id"])
        | (kg.entities["label"].fill_null("") == ""),
    }
    groups = (
        kg.entities.select("kind")
        .with_columns(**{name: pl.Series(values) for name, values in columns.items()})
        .group_by("kind")
        .agg(pl.col("row"), pl.col("once", "unnamed").sum())
    )
    table = []
    for kind, rows, once, unnamed in groups.sort("kind").iter_rows():
        degrees = structure.neighbours[np.asarray(rows, dtype=np.int64)]
        table.append(
            {
                "kind": kind,
                "entities": len(rows),
                "neighbours": quantiles(degrees),
                "used_once": int(once),
                "used_once_share": int(once) / len(rows),
                "unnamed": int(unnamed),
            }
        )
    return sorted(table, key=lambda row: (row["kind"] != ITEM, -row["entities"], row["kind"]))


def _item_facts(kg: KnowledgeGraph, structure: Structure, few_facts: int, n_examples: int) -> dict[str, Any]:
    facts = structure.facts[structure.items]
    count = len(facts)
    unknown = np.flatnonzero(structure.items & (structure.facts == 0))
    without = int((facts == 0).sum())
    return {
        "coverage": (count - without) / count if count else 0.0,
        "facts_per_item": quantiles(facts),
        "few_facts": few_facts,
        "items_with_few_facts": int((facts < few_facts).sum()),
        "items_without_facts": without,
        "fewer_than": [
            {"facts": number, "items": below, "share": below / max(count, 1)}
            for number, below in ((number, int((facts < number).sum())) for number in FACTS)
        ],
        "without_facts": kg.entities[unknown[:n_examples]].select("id", "label").to_dicts(),
        "same_facts": same_facts(kg, structure, n_examples),
    }


def _degrees(kg: KnowledgeGraph, structure: Structure) -> dict[str, Any]:
    kinds = kg.entities["kind"]
    return {
        "facts_per_item": histogram(structure.facts[structure.items]),
        "neighbours": {
            kind: histogram(structure.neighbours[(kinds == kind).to_numpy()])
            for kind in kinds.value_counts(sort=False).sort(["count", "kind"], descending=[True, False])[
                "kind"
            ]
        },
    }


def _components(structure: Structure) -> dict[str, Any]:
    sizes = structure.component_sizes
    largest = int(sizes.argmax()) if len(sizes) else 0
    inside = structure.items & (structure.component == largest)
    known = structure.items & (structure.facts > 0)
    return {
        "largest": [int(size) for size in np.sort(sizes)[::-1][:LARGEST_COMPONENTS]],
        "single_entities": int((sizes == 1).sum()),
        "items_in_largest": int(inside.sum()),
        "items_with_facts_elsewhere": int((known & ~inside).sum()),
    }


def _hubs(kg: KnowledgeGraph, structure: Structure, n_hubs: int) -> list[dict[str, Any]]:
    joined = np.where(structure.items, -1, structure.item_neighbours)
    count = max(int(structure.items.sum()), 1)
    labels, kinds = kg.entities["label"], kg.entities["kind"]
    return [
        {
            "label": labels[entity],
            "kind": kinds[entity],
            "items": int(joined[entity]),
            "share": float(joined[entity] / count),
        }
        for entity in np.argsort(-joined, kind="stable")[:n_hubs].tolist()
        if joined[entity] > 0
    ]
