"""Removal of what helps nobody: every step counts what it takes and says why.

Items are never removed. The steps run one after another on one set of integer arrays
(``kg_builders.pruning``); the pruned graph is made when it is asked for, so that a plan costs no more
than its records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from kg_builders.pruning.budget import take_beyond_budget
from kg_builders.pruning.duplicates import take_across_relations, take_duplicates, take_inverse
from kg_builders.pruning.entities import (
    take_common,
    take_distant,
    take_hubs,
    take_isolated,
    take_outside_core,
    take_rare,
    take_unreachable,
)
from kg_builders.pruning.record import PruneStep, prune_table
from kg_builders.pruning.relations import take_named, take_rare_relations, take_uninformative
from kg_builders.pruning.selection import take_useless
from kg_builders.pruning.settings import PruneSettings
from kg_builders.pruning.synonyms import take_same_item_sets, take_synonymous
from kg_builders.pruning.undo import REMOVED_SCHEMA, restore
from kg_builders.pruning.working import WorkingGraph
from kg_builders.schema import KnowledgeGraph

__all__ = [
    "REMOVED_SCHEMA",
    "PrunePlan",
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
    "plan_pruning",
    "prune_graph",
    "prune_table",
    "restore",
]

Result = tuple[KnowledgeGraph, PruneStep]


@dataclass(frozen=True, eq=False)
class PrunePlan:
    """What pruning takes, before a pruned graph is made.

    Parameters
    ----------
    steps
        Records of all steps that ran, also of those that took nothing.
    usefulness
        What each relation tells about the training interactions, if that was asked for.
    graph
        What is left.
    """

    steps: tuple[PruneStep, ...]
    usefulness: pl.DataFrame | None
    graph: WorkingGraph

    def apply(self) -> KnowledgeGraph:
        """Return the pruned graph, with all items."""
        return self.graph.to_graph()

    def removed(self) -> pl.DataFrame:
        """Return all that was taken, in the order of the steps: what ``restore`` puts back."""
        return pl.concat([step.removed() for step in self.steps])


def plan_pruning(
    kg: KnowledgeGraph, settings: PruneSettings | None = None, interactions: pl.DataFrame | None = None
) -> PrunePlan:
    """Run the steps that the settings ask for, without making the pruned graph.

    Parameters
    ----------
    interactions
        Training interactions (columns ``user`` and ``item``, original ids) for ``keep_relations: useful``.
        A column ``split``, if there is one, must say ``train`` everywhere.

    Raises
    ------
    InputError
        If a relation to drop or a kind doesn't exist, or interactions are missing or not of training only.
    """
    chosen = settings or PruneSettings()
    graph = WorkingGraph(kg)
    take_isolated(graph)
    _take_repetition(graph, chosen)
    _take_by_degree(graph, chosen)
    usefulness = _take_uninformative(graph, chosen, interactions)
    if chosen.k_core > 1:
        take_outside_core(graph, chosen.k_core)
    if chosen.unreachable:
        take_unreachable(graph)
    if chosen.max_hops is not None:
        take_distant(graph, chosen.max_hops)
    return PrunePlan(tuple(graph.steps), usefulness, graph)


def prune_graph(
    kg: KnowledgeGraph, settings: PruneSettings | None = None, interactions: pl.DataFrame | None = None
) -> tuple[KnowledgeGraph, list[PruneStep]]:
    """Run the steps that the settings ask for.

    Parameters
    ----------
    interactions
        As for ``plan_pruning``.

    Returns
    -------
    KnowledgeGraph
        The pruned graph, with all items.
    list of PruneStep
        A record of each step that ran, also of those that took nothing.

    Raises
    ------
    InputError
        As ``plan_pruning``.
    """
    plan = plan_pruning(kg, settings, interactions)
    return plan.apply(), list(plan.steps)


def drop_isolated_entities(kg: KnowledgeGraph) -> Result:
    """Drop entities without a triple."""
    return _alone(kg, take_isolated)


def drop_relations(kg: KnowledgeGraph, names: tuple[str, ...]) -> Result:
    """Drop relations by name."""
    return _alone(kg, lambda graph: take_named(graph, names))


def drop_duplicates(kg: KnowledgeGraph) -> Result:
    """Merge triples that say the same: equal ones, and in a symmetric relation a triple and its reverse."""
    return _alone(kg, take_duplicates)


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
    return _alone(kg, lambda graph: take_inverse(graph, overlap))


def drop_rare_relations(kg: KnowledgeGraph, min_triples: int) -> Result:
    """Drop relations with fewer than ``min_triples`` triples."""
    return _alone(kg, lambda graph: take_rare_relations(graph, min_triples))


def drop_common_entities(kg: KnowledgeGraph, max_share: float) -> Result:
    """Drop entities joined to more than ``max_share`` of the items: they tell few items apart."""
    return _alone(kg, lambda graph: take_common(graph, max_share))


def drop_rare_entities(kg: KnowledgeGraph, min_degree: int) -> Result:
    """Drop entities with fewer than ``min_degree`` neighbours, counted before anything is dropped."""
    return _alone(kg, lambda graph: take_rare(graph, min_degree))


def drop_outside_core(kg: KnowledgeGraph, k: int) -> Result:
    """Drop entities with fewer than ``k`` neighbours until none is left; items stay, as neighbours too."""
    return _alone(kg, lambda graph: take_outside_core(graph, k))


def drop_unreachable(kg: KnowledgeGraph) -> Result:
    """Drop entities in parts of the graph without an item: no message reaches an item from there."""
    return _alone(kg, take_unreachable)


def drop_distant_entities(kg: KnowledgeGraph, max_hops: int) -> Result:
    """Drop entities more than ``max_hops`` steps away from every item.

    A model with L layers of message passing hears of nothing farther than L steps.
    """
    return _alone(kg, lambda graph: take_distant(graph, max_hops))


def _take_repetition(graph: WorkingGraph, chosen: PruneSettings) -> None:
    if chosen.drop_relations:
        take_named(graph, chosen.drop_relations)
    if chosen.duplicates:
        take_duplicates(graph)
    if chosen.inverse_relations is not None:
        take_inverse(graph, chosen.inverse_relations)
    if chosen.synonymous_relations is not None:
        take_synonymous(graph, chosen.synonymous_relations)
        take_same_item_sets(graph, chosen.synonymous_relations)
    if chosen.duplicates_across_relations:
        take_across_relations(graph)


def _take_by_degree(graph: WorkingGraph, chosen: PruneSettings) -> None:
    if chosen.min_relation_triples > 1:
        take_rare_relations(graph, chosen.min_relation_triples)
    if chosen.max_share is not None:
        take_common(graph, chosen.max_share)
    if chosen.max_degree is not None:
        take_hubs(graph, chosen.max_degree)
    if chosen.min_degree > 1 or chosen.min_degree_of:
        take_rare(graph, chosen.min_degree, chosen.min_degree_of)


def _take_uninformative(
    graph: WorkingGraph, chosen: PruneSettings, interactions: pl.DataFrame | None
) -> pl.DataFrame | None:
    """Take what tells little; return the usefulness of relations if it was asked for."""
    usefulness: pl.DataFrame | None = None
    if chosen.uninformative_relations != "keep":
        take_uninformative(graph, chosen.uninformative_share, chosen.uninformative_relations == "warn")
    if chosen.keep_relations == "useful":
        usefulness = take_useless(graph, interactions, chosen.significance, chosen.permutations, chosen.seed)
    if chosen.facts_per_item is not None:
        lift = (
            {} if usefulness is None else dict(usefulness.select("relation", "lift").drop_nulls().iter_rows())
        )
        take_beyond_budget(graph, chosen.facts_per_item, lift)
    return usefulness


def _alone(kg: KnowledgeGraph, step: Callable[[WorkingGraph], None]) -> Result:
    graph = WorkingGraph(kg)
    step(graph)
    return graph.to_graph(), graph.steps[0]
