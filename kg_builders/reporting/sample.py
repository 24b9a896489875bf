"""Choice of a neighbourhood that a person can take in at a glance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kg_builders.config import nearest
from kg_builders.errors import InputError
from kg_builders.schema import ITEM, KnowledgeGraph
from kg_builders.tables import number_rows

__all__ = ["sample_subgraph"]

Ints = NDArray[np.int64]

SEEDS = 4
WELL_KNOWN = 20
"""The first item is drawn from so many that have the most facts, or a hundredth of all, if that is more."""
UNNAMED = 6
"""One place in so many goes to entities without a name, where there are others."""
HUB = 0.5
"""Entities joined to a greater share of the items say little about any of them."""


def sample_subgraph(
    kg: KnowledgeGraph,
    seeds: Sequence[str] | None = None,
    max_nodes: int = 30,
    generator: np.random.Generator | None = None,
) -> KnowledgeGraph:
    """Choose a few items and the entities that say most about how they are alike and how they differ.

    A third of the places is for entities that several of the items share, a sixth for what lies one step
    further (such as a broader category), the rest for facts of one item; relations, and items, take turns.
    Entities with a name are preferred to those with an id alone.

    Parameters
    ----------
    seeds
        Ids of the items; by default one of those with the most facts, and the items that share most with it.
    max_nodes
        Number of entities at most, the items among them.
    generator
        Draws the first item; by default always the same.

    Returns
    -------
    KnowledgeGraph
        The chosen entities and all triples between them; its items come first, the seeds before others.

    Raises
    ------
    InputError
        If a seed is no item of the graph or ``max_nodes`` leaves no room for anything.
    """
    if max_nodes < 1:
        raise InputError(f"sub-graph: max_nodes is {max_nodes}; expected at least 1")
    edges = _Edges(kg)
    chosen = _given(kg, seeds) if seeds is not None else edges.pick_seeds(generator, max_nodes)
    chosen = chosen[:max_nodes]
    room = max_nodes - len(chosen)
    around = edges.candidates(chosen)
    shared = around.filter(pl.col("seeds") > 1)
    if not around["unnamed"].all():
        # Ids that mean nothing to a person fill no more than a part of the picture.
        room = min(room, around.filter(~pl.col("unnamed")).height + max(max_nodes // UNNAMED, 1))
        max_nodes = len(chosen) + room
    told = shared.sort(
        "unnamed", "hub", "turn", "seeds", "entity", descending=[False, False, False, True, False]
    )
    chosen = _extend(chosen, told["entity"], room // 3)
    own = around.with_columns(pl.col("seeds") > 1).sort(
        "unnamed", "seeds", "hub", "turn_of_seed", "first_seed", "relation", "entity"
    )
    chosen = _extend(chosen, own["entity"], max_nodes - len(chosen) - room // 6)
    inner = chosen[~edges.items[chosen]]
    beyond = edges.candidates(inner).filter(~pl.col("item")).sort("unnamed", "turn", "entity")
    chosen = _extend(chosen, beyond["entity"], max_nodes - len(chosen))
    chosen = _extend(chosen, own["entity"], max_nodes - len(chosen))
    return _induced(kg, chosen, edges.items)


class _Edges:
    """The edges of a graph as arrays, without direction.

    Parameters
    ----------
    kg
        The graph.
    """

    def __init__(self, kg: KnowledgeGraph) -> None:
        heads, tails, relations = (kg.triples[name].to_numpy() for name in ("head", "tail", "relation"))
        apart = heads != tails
        self.heads, self.tails, self.relations = heads[apart], tails[apart], relations[apart]
        self.items = (kg.entities["kind"] == ITEM).to_numpy().astype(bool)
        count = kg.n_entities
        self.unnamed = _unnamed(kg)
        self.facts = np.bincount(self.heads, minlength=count) + np.bincount(self.tails, minlength=count)
        self.item_facts = np.bincount(self.heads[self.items[self.tails]], minlength=count)
        self.item_facts += np.bincount(self.tails[self.items[self.heads]], minlength=count)

    def around(self, entities: Ints) -> tuple[Ints, Ints, Ints]:
        """Return the edges at some entities: entity, other end and relation."""
        wanted = np.zeros(len(self.items), dtype=bool)
        wanted[entities] = True
        out, back = wanted[self.heads], wanted[self.tails]
        return (
            np.concatenate([self.heads[out], self.tails[back]]),
            np.concatenate([self.tails[out], self.heads[back]]),
            np.concatenate([self.relations[out], self.relations[back]]),
        )

    def pick_seeds(self, generator: np.random.Generator | None, max_nodes: int) -> Ints:
        """Draw a well-known item, and take those that share most with it, rare entities counting more."""
        known = np.flatnonzero(self.items & (self.facts > 0))
        if not len(known):
            return np.argsort(-self.facts, kind="stable")[:1].astype(np.int64)
        rng = generator or np.random.default_rng(0)
        order = known[np.argsort(-self.facts[known], kind="stable")]
        first = int(rng.choice(order[: max(WELL_KNOWN, len(order) // 100)]))
        _, near, _ = self.around(np.array([first]))
        near = near[~self.items[near] & ~self._hubs()[near]]
        entity, other, _ = self.around(near)
        weight = 1.0 / np.log2(2.0 + self.item_facts[entity])
        shared = np.bincount(other, weights=weight, minlength=len(self.items))
        # Cosine-like, so that items with a great many facts don't win by that alone.
        shared = shared / np.sqrt(np.maximum(self.facts, 1))
        shared[~self.items] = 0.0
        shared[first] = 0.0
        alike = np.argsort(-shared, kind="stable")[: min(SEEDS - 1, max(max_nodes // 4 - 1, 0))]
        return np.concatenate([[first], alike[shared[alike] > 0]]).astype(np.int64)

    def candidates(self, entities: Ints) -> pl.DataFrame:
        """Return what some entities are joined to, with all that the choice depends on.

        Columns ``entity``, ``seeds`` (how many of the entities it is joined to), ``first_seed``,
        ``relation``, ``item``, ``unnamed``, ``hub``, ``turn`` (its place among those of the same relation,
        those of most items first) and ``turn_of_seed`` (likewise, among those of its first seed alone).
        """
        seed, other, relation = self.around(entities)
        place = np.zeros(len(self.items), dtype=np.int64)
        place[entities] = np.arange(len(entities))
        outside = ~np.isin(other, entities)
        found = (
            pl.DataFrame(
                {"entity": other[outside], "seed": place[seed[outside]], "relation": relation[outside]}
            )
            .group_by("entity")
            .agg(
                pl.col("seed").n_unique().alias("seeds"),
                pl.col("seed").min().alias("first_seed"),
                pl.col("relation").min(),
            )
            .sort("entity")
        )
        entity = found["entity"].to_numpy()
        return (
            found.with_columns(
                pl.Series("item", self.items[entity], dtype=pl.Boolean),
                pl.Series("unnamed", self.unnamed[entity], dtype=pl.Boolean),
                pl.Series("hub", self._hubs()[entity], dtype=pl.Boolean),
                pl.Series("known", self.item_facts[entity], dtype=pl.Int64),
            )
            .sort("unnamed", "known", "entity", descending=[False, True, False])
            .with_columns(
                pl.int_range(pl.len()).over("relation").alias("turn"),
                pl.int_range(pl.len())
                .over("relation", "first_seed", pl.col("seeds") > 1)
                .alias("turn_of_seed"),
            )
        )

    def _hubs(self) -> NDArray[np.bool_]:
        return self.item_facts > max(HUB * int(self.items.sum()), SEEDS)


def _given(kg: KnowledgeGraph, seeds: Sequence[str]) -> Ints:
    """Return the entities of the named items, each once."""
    items = kg.entities.filter(pl.col("kind") == ITEM)
    known = dict(zip(items["id"], items["entity"], strict=True))
    for seed in seeds:
        if str(seed) not in known:
            raise InputError(f"sub-graph: no item {str(seed)!r}{nearest(str(seed), list(known)[:10000])}")
    return np.array(list(dict.fromkeys(known[str(seed)] for seed in seeds)), dtype=np.int64)


def _unnamed(kg: KnowledgeGraph) -> NDArray[np.bool_]:
    """Return which entities are known by an id alone.

    What a rule makes of a field is a word or a number that a person understands, also where it is its own id;
    entities of given graphs, and URIs, are not.
    """
    bare = (kg.entities["label"].fill_null(kg.entities["id"]) == kg.entities["id"]).to_numpy().astype(bool)
    given = np.zeros(kg.n_entities, dtype=bool)
    source = kg.triples["source"].fill_null("").str.ends_with(":given").to_numpy()
    given[kg.triples["head"].to_numpy()[source]] = True
    given[kg.triples["tail"].to_numpy()[source]] = True
    return bare & (given | kg.entities["id"].str.contains("://", literal=True).to_numpy().astype(bool))


def _extend(chosen: Ints, candidates: pl.Series, room: int) -> Ints:
    """Add the first candidates that are not chosen yet, as many as there is room for."""
    fresh = candidates.to_numpy()
    fresh = fresh[~np.isin(fresh, chosen)]
    return np.concatenate([chosen, fresh[: max(room, 0)]])


def _induced(kg: KnowledgeGraph, chosen: Ints, items: NDArray[np.bool_]) -> KnowledgeGraph:
    """Return the graph of the chosen entities, items first, otherwise in the order of choice."""
    ordered = np.concatenate([chosen[items[chosen]], chosen[~items[chosen]]])
    inside = np.zeros(kg.n_entities, dtype=bool)
    inside[ordered] = True
    number = np.zeros(kg.n_entities, dtype=np.int64)
    number[ordered] = np.arange(len(ordered))
    heads, tails = kg.triples["head"].to_numpy(), kg.triples["tail"].to_numpy()
    triples = kg.triples.filter(pl.Series(inside[heads] & inside[tails] & (heads != tails), dtype=pl.Boolean))
    relations = number_rows(
        kg.relations.filter(pl.col("relation").is_in(triples["relation"].unique().implode())).rename(
            {"relation": "old"}
        ),
        "relation",
    )
    moved = triples.rename({"relation": "old"}).join(relations.select("old", "relation"), on="old")
    return KnowledgeGraph(
        number_rows(kg.entities[ordered].drop("entity"), "entity"),
        relations,
        moved.with_columns(
            pl.Series("head", number[moved["head"].to_numpy()], dtype=pl.Int64),
            pl.Series("tail", number[moved["tail"].to_numpy()], dtype=pl.Int64),
        ).sort("head", "relation", "tail", "source", nulls_last=True),
    )
