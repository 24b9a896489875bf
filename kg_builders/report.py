"""What a knowledge graph holds: counts, coverage, degrees, hubs and examples, as plain values or a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table

from kg_builders.core import component_labels, simple_adjacency
from kg_builders.schema import ITEM, KnowledgeGraph

__all__ = ["describe", "render"]

FEW_HEADS = 10
"""A relation with fewer heads is too small to warn of."""
QUANTILES = {"min": 0.0, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}


def describe(kg: KnowledgeGraph, few_facts: int = 3, n_examples: int = 3, n_hubs: int = 10) -> dict[str, Any]:
    """Describe a graph in values that JSON can hold.

    Parameters
    ----------
    few_facts
        Items with fewer triples than this are counted as poorly known.
    n_examples, n_hubs
        Number of example triples of each relation, and of the best-joined entities.

    Returns
    -------
    dict
        ``entities``, ``items``, ``relations``, ``triples``: counts; ``kinds``: entities of each kind with
        their degrees; ``relation_table``: triples, heads, tails, share of the items and examples of each
        relation; ``item_facts``: coverage, quantiles of triples an item, items with few; ``components``;
        ``hubs``: entities joined to most items; ``warnings``: what looks wrong and what to do.
    """
    items = (kg.entities["kind"] == ITEM).to_numpy()
    heads, tails = kg.triples["head"].to_numpy(), kg.triples["tail"].to_numpy()
    facts = np.bincount(np.concatenate([heads, tails[heads != tails]]), minlength=kg.n_entities)
    adjacency = simple_adjacency(heads, tails, kg.n_entities)
    item_neighbours = np.asarray(adjacency[:, np.flatnonzero(items)].sum(axis=1)).ravel()
    component = component_labels(adjacency)
    sizes = np.bincount(component, minlength=1) if kg.n_entities else np.zeros(1, dtype=np.int64)
    n_items = int(items.sum())
    described: dict[str, Any] = {
        "entities": kg.n_entities,
        "items": n_items,
        "relations": kg.n_relations,
        "triples": kg.n_triples,
        "kinds": _kinds(kg, np.diff(adjacency.indptr)),
        "relation_table": _relations(kg, items, n_examples),
        "item_facts": {
            "coverage": kg.item_coverage(),
            "facts_per_item": _quantiles(facts[items]),
            "few_facts": few_facts,
            "items_with_few_facts": int((facts[items] < few_facts).sum()),
            "items_without_facts": int((facts[items] == 0).sum()),
        },
        "components": {
            "count": len(np.unique(component)),
            "largest_share": float(sizes.max() / max(kg.n_entities, 1)),
        },
        "hubs": _hubs(kg, np.where(items, -1, item_neighbours), n_items, n_hubs),
    }
    described["warnings"] = _warnings(described)
    return described


def render(described: dict[str, Any]) -> RenderableType:
    """Return what ``describe`` told as tables for the terminal."""
    facts = described["item_facts"]
    quantiles = facts["facts_per_item"]
    head = Table(title="Knowledge graph", show_header=False)
    head.add_row("triples", f"{described['triples']:,} in {described['relations']} relations")
    head.add_row("entities", f"{described['entities']:,}, of which {described['items']:,} items")
    head.add_row("items with a fact", f"{facts['coverage']:.1%}")
    head.add_row(f"items with fewer than {facts['few_facts']} facts", f"{facts['items_with_few_facts']:,}")
    head.add_row("facts an item", ", ".join(f"{name} {value:g}" for name, value in quantiles.items()))
    head.add_row(
        "components",
        f"{described['components']['count']:,}, the largest with "
        f"{described['components']['largest_share']:.1%} of the entities",
    )
    kinds = Table(title="Entities by kind")
    kinds.add_column("kind")
    kinds.add_column("entities", justify="right")
    kinds.add_column("neighbours (median, largest)", justify="right")
    for kind in described["kinds"]:
        degrees = kind["neighbours"]
        kinds.add_row(kind["kind"], f"{kind['entities']:,}", f"{degrees['median']:g}, {degrees['max']:g}")
    relations = Table(title="Relations")
    relations.add_column("relation")
    for name in ("triples", "heads", "tails", "items"):
        relations.add_column(name, justify="right")
    relations.add_column("examples")
    for relation in described["relation_table"]:
        relations.add_row(
            relation["name"] + (" (symmetric)" if relation["symmetric"] else ""),
            f"{relation['triples']:,}",
            f"{relation['heads']:,}",
            f"{relation['tails']:,}",
            f"{relation['item_share']:.1%}",
            "; ".join(f"{example['head']} → {example['tail']}" for example in relation["examples"]),
        )
    parts: list[RenderableType] = [head, kinds, relations]
    if described["hubs"]:
        hubs = Table(title="Entities joined to most items")
        hubs.add_column("entity")
        hubs.add_column("kind")
        hubs.add_column("items", justify="right")
        for hub in described["hubs"]:
            hubs.add_row(hub["label"], hub["kind"], f"{hub['items']:,} ({hub['share']:.1%})")
        parts.append(hubs)
    parts.extend(f"Warning: {warning}" for warning in described["warnings"])
    return Group(*parts)


def _quantiles(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return dict.fromkeys(QUANTILES, 0.0)
    return {name: float(np.quantile(values, at)) for name, at in QUANTILES.items()}


def _kinds(kg: KnowledgeGraph, degree: np.ndarray) -> list[dict[str, Any]]:
    kinds = kg.entities["kind"].to_numpy()
    table = [
        {
            "kind": str(kind),
            "entities": int((kinds == kind).sum()),
            "neighbours": _quantiles(degree[kinds == kind]),
        }
        for kind in kg.entities["kind"].unique().sort()
    ]
    return sorted(table, key=lambda row: (row["kind"] != ITEM, -row["entities"], row["kind"]))


def _relations(kg: KnowledgeGraph, items: np.ndarray, n_examples: int) -> list[dict[str, Any]]:
    """Describe each relation, that with most triples first; examples are spread evenly over its triples."""
    labels = kg.entities["label"]
    is_item = pl.Series(items)
    table = []
    counts = kg.relation_counts().join(kg.relations.select("relation", "symmetric"), on="relation")
    for row in counts.sort(["triples", "name"], descending=[True, False]).iter_rows(named=True):
        triples = kg.triples.filter(pl.col("relation") == row["relation"])
        ends = pl.concat([triples["head"], triples["tail"].alias("head")]).unique()
        touched = int(is_item.gather(ends).sum())
        at = [len(triples) * index // n_examples for index in range(min(n_examples, len(triples)))]
        examples = triples[at]
        table.append(
            {
                **{key: row[key] for key in ("name", "label", "symmetric", "triples", "heads", "tails")},
                "items": touched,
                "item_share": touched / max(int(items.sum()), 1),
                "examples": [
                    {"head": labels[head], "tail": labels[tail], "source": source}
                    for head, tail, source in examples.select("head", "tail", "source").iter_rows()
                ],
            }
        )
    return table


def _hubs(kg: KnowledgeGraph, item_neighbours: np.ndarray, n_items: int, n_hubs: int) -> list[dict[str, Any]]:
    order = np.argsort(-item_neighbours, kind="stable")[:n_hubs]
    return [
        {
            "label": kg.entities["label"][int(entity)],
            "kind": kg.entities["kind"][int(entity)],
            "items": int(item_neighbours[entity]),
            "share": float(item_neighbours[entity] / max(n_items, 1)),
        }
        for entity in order
        if item_neighbours[entity] > 0
    ]


def _warnings(described: dict[str, Any]) -> list[str]:
    """Say what a person should look at, and what to do about it."""
    warnings = []
    facts = described["item_facts"]
    if described["items"] and facts["coverage"] < 0.5:
        warnings.append(
            f"only {facts['coverage']:.1%} of the items have a fact; add rules, features or a linked graph"
        )
    for relation in described["relation_table"]:
        if relation["tails"] == 1 and relation["heads"] >= FEW_HEADS:
            warnings.append(
                f"relation {relation['name']!r} has one tail for all its heads and tells none apart; drop it"
            )
    for hub in described["hubs"]:
        if hub["share"] > 0.5:
            warnings.append(
                f"{hub['label']!r} ({hub['kind']}) is joined to {hub['share']:.1%} of the items; "
                "set max_share to drop it"
            )
    return warnings
