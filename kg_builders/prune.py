"""Removal of what helps nobody: every step counts what it takes and says why.

Items are never removed. Each step is a function from a graph to a smaller one and a record; ``prune`` runs
those that its settings ask for, in a fixed order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field
from rich.table import Table

from kg_builders.config import StrictModel, nearest
from kg_builders.core import hops_from, k_core_mask, simple_adjacency
from kg_builders.errors import InputError
from kg_builders.schema import ITEM, KnowledgeGraph

__all__ = [
    "PruneSettings",
    "PruneStep",
    "drop_common_entities",
    "drop_distant_entities",
    "drop_duplicates",
    "drop_inverse_relations",
    "drop_isolated_entities",
    "drop_outside_core",
    "drop_rare_entities",
    "drop_rare_relations",
    "drop_relations",
    "drop_unreachable",
    "prune_graph",
    "prune_table",
]


class PruneSettings(StrictModel):
    """Which steps run; they run in the order of the fields."""

    drop_relations: tuple[str, ...] = ()
    """Relations to leave out, by name."""
    duplicates: bool = True
    """Merge triples that say the same."""
    inverse_relations: float | None = Field(default=0.95, gt=0.0, le=1.0)
    """A relation of which this share of the triples is the reverse of another relation's is merged into it;
    null to keep both."""
    min_relation_triples: int = Field(default=1, ge=1)
    """A relation with fewer triples is dropped."""
    max_share: float | None = Field(default=None, gt=0.0, le=1.0)
    """An entity that more than this share of the items is joined to is dropped; null to keep all."""
    min_degree: int = Field(default=1, ge=1)
    """An entity with fewer neighbours is dropped, once."""
    k_core: int = Field(default=1, ge=1)
    """Entities with fewer neighbours are dropped until none is left."""
    unreachable: bool = True
    """Drop entities that no path joins to an item."""
    max_hops: int | None = Field(default=None, ge=1)
    """Entities that are more steps away from every item are dropped; null to keep them."""


@dataclass(frozen=True)
class PruneStep:
    """What a step took.

    Parameters
    ----------
    name
        Which step.
    reason
        Why, in words.
    triples, entities, relations
        How many of each it took.
    items
        Items that lost at least one triple.
    examples
        A few of what it took.
    """

    name: str
    reason: str
    triples: int
    entities: int
    relations: int
    items: int
    examples: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


Result = tuple[KnowledgeGraph, PruneStep]


def prune_graph(
    kg: KnowledgeGraph, settings: PruneSettings | None = None
) -> tuple[KnowledgeGraph, list[PruneStep]]:
    """Run the steps that the settings ask for.

    Returns
    -------
    KnowledgeGraph
        The pruned graph, with all items.
    list of PruneStep
        A record of each step that ran, also of those that took nothing.

    Raises
    ------
    InputError
        If a relation to drop doesn't exist.
    """
    chosen = settings or PruneSettings()
    steps: list[Callable[[KnowledgeGraph], Result]] = [drop_isolated_entities]
    if chosen.drop_relations:
        steps.append(lambda graph: drop_relations(graph, chosen.drop_relations))
    if chosen.duplicates:
        steps.append(drop_duplicates)
    if chosen.inverse_relations is not None:
        overlap = chosen.inverse_relations
        steps.append(lambda graph: drop_inverse_relations(graph, overlap))
    if chosen.min_relation_triples > 1:
        steps.append(lambda graph: drop_rare_relations(graph, chosen.min_relation_triples))
    if chosen.max_share is not None:
        share = chosen.max_share
        steps.append(lambda graph: drop_common_entities(graph, share))
    if chosen.min_degree > 1:
        steps.append(lambda graph: drop_rare_entities(graph, chosen.min_degree))
    if chosen.k_core > 1:
        steps.append(lambda graph: drop_outside_core(graph, chosen.k_core))
    if chosen.unreachable:
        steps.append(drop_unreachable)
    if chosen.max_hops is not None:
        hops = chosen.max_hops
        steps.append(lambda graph: drop_distant_entities(graph, hops))
    records = []
    for step in steps:
        kg, record = step(kg)
        records.append(record)
    return kg, records


def drop_isolated_entities(kg: KnowledgeGraph) -> Result:
    """Drop entities without a triple."""
    used = np.zeros(kg.n_entities, dtype=bool)
    used[kg.triples["head"].to_numpy()] = True
    used[kg.triples["tail"].to_numpy()] = True
    return _drop_entities(kg, ~used & ~_items(kg), "isolated entities", "entities without a triple")


def drop_relations(kg: KnowledgeGraph, names: tuple[str, ...]) -> Result:
    """Drop relations by name."""
    known = kg.relations["name"].to_list()
    for name in names:
        if name not in known:
            raise InputError(f"drop_relations: no relation {name!r}{nearest(name, known)}")
    gone = kg.relations.filter(pl.col("name").is_in(list(names)))
    kept = ~pl.col("relation").is_in(gone["relation"].implode())
    return _keep(
        kg, kg.triples.filter(kept), "named relations", "relations that the settings name", list(gone["name"])
    )


def drop_duplicates(kg: KnowledgeGraph) -> Result:
    """Merge triples that say the same: equal ones, and in a symmetric relation a triple and its reverse."""
    symmetric = kg.relations.select("relation", "symmetric")
    both = pl.col("symmetric")
    kept = (
        kg.triples.join(symmetric, on="relation", how="left", maintain_order="left")
        .with_columns(
            pl.when(both).then(pl.min_horizontal("head", "tail")).otherwise("head").alias("low"),
            pl.when(both).then(pl.max_horizontal("head", "tail")).otherwise("tail").alias("high"),
        )
        .sort("low", "relation", "high", "head", "source", nulls_last=True)
        .unique(["low", "relation", "high"], keep="first", maintain_order=True)
        .drop("low", "high", "symmetric")
    )
    return _keep(kg, kept, "duplicate triples", "triples that say what another says")


def drop_inverse_relations(kg: KnowledgeGraph, overlap: float = 0.95) -> Result:
    """Merge a relation into its inverse.

    Whoever passes messages adds the inverse of every relation, so that a graph which stores both
    "directed" and "directed by" would count each fact twice. The relation that begins at items is kept.

    Parameters
    ----------
    overlap
        Share of a relation's triples that must be the reverse of triples of the other. Only those are
        taken; what the relation says beyond them stays.
    """
    forward = kg.triples.select("head", "relation", "tail")
    mirrored = forward.join(
        forward.rename({"head": "tail", "tail": "head", "relation": "other"}), on=["head", "tail"]
    ).filter(pl.col("relation") != pl.col("other"))
    totals = kg.relation_counts().select("relation", "name", "triples")
    items = np.flatnonzero(_items(kg))
    from_items = kg.triples.group_by("relation").agg(pl.col("head").is_in(items).mean().alias("from_items"))
    pairs = (
        mirrored.group_by("relation", "other")
        .len()
        .join(totals, on="relation")
        .join(totals.select(other="relation", other_name="name"), on="other")
        .join(from_items, on="relation")
        .join(from_items.select(other="relation", other_from="from_items"), on="other")
        .filter(pl.col("len") >= overlap * pl.col("triples"))
        # The one that goes is the one that begins at fewer items; then, by the alphabet.
        .sort("from_items", "name", "other_name", descending=[False, True, False])
    )
    gone: dict[int, tuple[int, str]] = {}
    kept_whole: set[int] = set()
    for relation, other, name, other_name in pairs.select(
        "relation", "other", "name", "other_name"
    ).iter_rows():
        if relation in gone or other in gone or relation in kept_whole:
            continue
        gone[relation] = (other, f"{name} (inverse of {other_name})")
        kept_whole.add(other)
    taken = pl.DataFrame(
        {"relation": list(gone), "other": [other for other, _ in gone.values()]},
        schema={"relation": pl.Int64, "other": pl.Int64},
    )
    reverse = mirrored.join(taken, on=["relation", "other"], how="semi")
    kept = kg.triples.join(reverse, on=["head", "relation", "tail"], how="anti", maintain_order="left")
    return _keep(
        kg,
        kept,
        "inverse relations",
        f"triples whose reverse is in another relation that mirrors at least {overlap:.0%} of theirs",
        [text for _, text in gone.values()],
    )


def drop_rare_relations(kg: KnowledgeGraph, min_triples: int) -> Result:
    """Drop relations with fewer than ``min_triples`` triples."""
    rare = kg.relation_counts().filter(pl.col("triples") < min_triples).sort("triples", "name")
    kept = kg.triples.filter(~pl.col("relation").is_in(rare["relation"].implode()))
    reason = f"relations with fewer than {min_triples} triples"
    return _keep(kg, kept, "rare relations", reason, list(rare["name"]))


def drop_common_entities(kg: KnowledgeGraph, max_share: float) -> Result:
    """Drop entities joined to more than ``max_share`` of the items: they tell few items apart."""
    items = _items(kg)
    joined = _adjacency(kg)[:, np.flatnonzero(items)].sum(axis=1)
    share = np.asarray(joined).ravel() / max(int(items.sum()), 1)
    reason = f"entities joined to more than {max_share:.1%} of the items"
    return _drop_entities(kg, ~items & (share > max_share), "common entities", reason, share)


def drop_rare_entities(kg: KnowledgeGraph, min_degree: int) -> Result:
    """Drop entities with fewer than ``min_degree`` neighbours, counted before anything is dropped."""
    degree = np.diff(_adjacency(kg).indptr)
    reason = f"entities with fewer than {min_degree} neighbours"
    return _drop_entities(kg, ~_items(kg) & (degree < min_degree), "rare entities", reason, degree)


def drop_outside_core(kg: KnowledgeGraph, k: int) -> Result:
    """Drop entities with fewer than ``k`` neighbours until none is left; items stay, as neighbours too."""
    adjacency = _adjacency(kg)
    stays = k_core_mask(adjacency, k, _items(kg))
    reason = f"entities outside the {k}-core, in which each has {k} neighbours"
    return _drop_entities(kg, ~stays, f"{k}-core", reason, np.diff(adjacency.indptr))


def drop_unreachable(kg: KnowledgeGraph) -> Result:
    """Drop entities in parts of the graph without an item: no message reaches an item from there."""
    gone = np.isinf(hops_from(_adjacency(kg), _items(kg)))
    return _drop_entities(kg, gone, "unreachable entities", "entities that no path joins to an item")


def drop_distant_entities(kg: KnowledgeGraph, max_hops: int) -> Result:
    """Drop entities more than ``max_hops`` steps away from every item.

    A model with L layers of message passing hears of nothing farther than L steps.
    """
    hops = hops_from(_adjacency(kg), _items(kg))
    reason = f"entities more than {max_hops} steps away from every item"
    return _drop_entities(kg, hops > max_hops, "distant entities", reason)


def prune_table(steps: list[PruneStep]) -> Table:
    """Return a table for the terminal, one row a step."""
    table = Table(title="Pruning")
    for name in ("step", "taken because"):
        table.add_column(name)
    for name in ("triples", "entities", "relations", "items touched"):
        table.add_column(name, justify="right")
    for step in steps:
        examples = f": {', '.join(step.examples[:5])}" if step.examples else ""
        counts = (step.triples, step.entities, step.relations, step.items)
        table.add_row(step.name, f"{step.reason}{examples}", *(f"{count:,}" for count in counts))
    return table


def _items(kg: KnowledgeGraph) -> NDArray[np.bool_]:
    return (kg.entities["kind"] == ITEM).to_numpy()


def _adjacency(kg: KnowledgeGraph) -> Any:
    return simple_adjacency(kg.triples["head"].to_numpy(), kg.triples["tail"].to_numpy(), kg.n_entities)


def _drop_entities(
    kg: KnowledgeGraph,
    gone: NDArray[np.bool_],
    name: str,
    reason: str,
    weight: NDArray[Any] | None = None,
) -> Result:
    """Drop entities with their triples; the heaviest ones become the examples."""
    lost = pl.Series("gone", gone)
    touched = lost.gather(kg.triples["head"]) | lost.gather(kg.triples["tail"])
    order = np.flatnonzero(gone)
    if weight is not None:
        order = order[np.argsort(-weight[order], kind="stable")]
    labels = kg.entities["label"].gather(order[:5].tolist())
    kinds = kg.entities["kind"].gather(order[:5].tolist())
    examples = [f"{label} ({kind})" for label, kind in zip(labels, kinds, strict=True)]
    return _keep(kg, kg.triples.filter(~touched), name, reason, examples)


def _keep(
    kg: KnowledgeGraph, kept: pl.DataFrame, name: str, reason: str, examples: list[str] | None = None
) -> Result:
    """Return the graph with only ``kept`` triples, and the record of the difference."""
    after = kg.with_triples(kept)
    columns = ["head", "relation", "tail"]
    before = kg.triples.group_by(columns).len("before")
    counts = before.join(kept.group_by(columns).len("after"), on=columns, how="left")
    lost = counts.filter(pl.col("after").is_null() | (pl.col("after") < pl.col("before")))
    ends = pl.concat([lost["head"], lost["tail"].alias("head")]).unique()
    step = PruneStep(
        name=name,
        reason=reason,
        triples=kg.n_triples - after.n_triples,
        entities=kg.n_entities - after.n_entities,
        relations=kg.n_relations - after.n_relations,
        items=int(pl.Series(_items(kg)).gather(ends).sum()),
        examples=tuple((examples or [])[:5]),
    )
    return after, step
