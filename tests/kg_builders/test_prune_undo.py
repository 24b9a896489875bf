"""Pruning and undoing it gives the graph that there was."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders import InputError, KnowledgeGraph, PruneSettings
from kg_builders.prune import REMOVED_SCHEMA, drop_rare_entities, plan_pruning, restore
from kg_builders.schema import ENTITY_SCHEMA, ITEM, RELATION_SCHEMA, TRIPLE_SCHEMA

ENDS = [("i0", ITEM), ("i1", ITEM), ("a", "x"), ("b", "x"), ("a", "y"), ("c", "y"), ("d", "y"), ("i2", ITEM)]


@st.composite
def graphs(draw: st.DrawFn) -> KnowledgeGraph:
    """Graphs with isolated entities, unused relations, loops, repeats and unsorted triples."""
    relations = [(at, f"r{at}", f"R {at}", draw(st.booleans())) for at in range(3)]
    triple = st.tuples(
        st.integers(0, len(ENDS) - 1),
        st.integers(0, 2),
        st.integers(0, len(ENDS) - 1),
        st.sampled_from(["s", "t", None]),
    )
    triples = draw(st.lists(triple, max_size=40))
    if draw(st.booleans()):
        # Relations 1 and 2 say nearly what relation 0 says, so that they are merged and the rest moves.
        symmetric = draw(st.booleans())
        relations = [(at, f"r{at}", f"R {at}", symmetric) for at in range(3)]
        end = st.integers(0, len(ENDS) - 1)
        pairs = draw(st.lists(st.tuples(end, end), min_size=8, max_size=16, unique=True))
        skipped = draw(st.tuples(*[st.integers(0, 3)] * 3))
        triples = [
            (head, at, tail, f"s{at}")
            for at in range(3)
            for place, (head, tail) in enumerate(pairs)
            if place != skipped[at]
        ]
    entities = [(at, name, name.upper(), kind) for at, (name, kind) in enumerate(ENDS)]
    return KnowledgeGraph(
        pl.DataFrame(entities, schema=ENTITY_SCHEMA, orient="row"),
        pl.DataFrame(relations, schema=RELATION_SCHEMA, orient="row"),
        pl.DataFrame(triples, schema=TRIPLE_SCHEMA, orient="row"),
    )


def content(kg: KnowledgeGraph) -> tuple[list[tuple], list[tuple], list[tuple]]:
    """The graph without numbers, repeated triples as often as they are."""
    entities = sorted(kg.entities.select("kind", "id", "label").rows())
    relations = sorted(kg.relations.select("name", "label", "symmetric").rows())
    ends, names = kg.entities, kg.relations["name"]
    triples = [
        (ends.row(head)[1:], names[relation], ends.row(tail)[1:], source or "")
        for head, relation, tail, source in kg.triples.iter_rows()
    ]
    return entities, relations, sorted(triples)


CHOSEN = st.builds(
    PruneSettings,
    duplicates=st.booleans(),
    inverse_relations=st.sampled_from([None, 0.5]),
    synonymous_relations=st.sampled_from([None, 0.3, 0.6]),
    duplicates_across_relations=st.booleans(),
    min_relation_triples=st.integers(1, 4),
    max_degree=st.sampled_from([None, 3]),
    min_degree=st.integers(1, 3),
    facts_per_item=st.sampled_from([None, 1, 3]),
    k_core=st.integers(1, 3),
    unreachable=st.booleans(),
    max_hops=st.sampled_from([None, 1]),
)


@given(graphs(), CHOSEN)
@settings(max_examples=80, deadline=None)
def test_undoing_all_steps_gives_the_graph_back(kg: KnowledgeGraph, chosen: PruneSettings) -> None:
    plan = plan_pruning(kg, chosen)
    pruned = plan.apply()
    assert pruned.n_items == kg.n_items
    assert kg.n_triples - pruned.n_triples == sum(step.triples for step in plan.steps)
    assert kg.n_entities - pruned.n_entities == sum(step.entities for step in plan.steps)
    assert kg.n_relations - pruned.n_relations == sum(step.relations for step in plan.steps)
    removed = plan.removed()
    assert content(restore(pruned, removed)) == content(kg)
    # A table that was sorted by nothing but its steps, as one read from a file may be, does as well.
    shuffled = pl.concat(
        [part.reverse() for part in removed.partition_by("step", maintain_order=True)] or [removed]
    )
    assert content(restore(pruned, shuffled)) == content(kg)


@given(graphs(), st.integers(2, 4))
@settings(max_examples=30, deadline=None)
def test_undoing_the_last_step_gives_what_was_before_it(kg: KnowledgeGraph, k: int) -> None:
    before = plan_pruning(kg, PruneSettings(unreachable=False)).apply()
    plan = plan_pruning(kg, PruneSettings(unreachable=False, k_core=k))
    after = restore(plan.apply(), plan.removed(), [f"{k}-core"]) if plan.steps[-1].triples else plan.apply()
    assert content(after) == content(before)


def test_ids_of_a_graph_in_order_come_back_and_the_table_survives_a_file(tmp_path: Path) -> None:
    rows = [("i1", "r", "a"), ("i0", "r", "a"), ("i0", "s", "b"), ("i2", "r", "c"), ("c", "r", "b")]
    named = [
        (ITEM if head[0] == "i" else "x", head, relation, "x", tail, tail.upper(), "file:field")
        for head, relation, tail in rows
    ]
    from kg_builders.schema import NAMED_SCHEMA

    kg = KnowledgeGraph.from_named(pl.DataFrame(named, schema=NAMED_SCHEMA, orient="row"))
    plan = plan_pruning(kg, PruneSettings(min_degree=3, min_relation_triples=2))
    plan.removed().write_parquet(tmp_path / "removed.parquet")
    back = restore(plan.apply(), pl.read_parquet(tmp_path / "removed.parquet"))
    assert back.entities.equals(kg.entities)
    assert back.relations.equals(kg.relations)
    assert back.triples.equals(kg.triples)
    assert plan.removed()["source"].unique().to_list() == ["file:field"]


def test_what_cannot_be_undone_is_told() -> None:
    kg = KnowledgeGraph.empty()
    nothing = pl.DataFrame(schema=REMOVED_SCHEMA)
    assert restore(kg, nothing) is kg
    with pytest.raises(InputError, match="nothing was taken by a step 'k-core'; the table is empty"):
        restore(kg, nothing, ["k-core"])
    with pytest.raises(InputError, match="removed triples lack the column 'step'"):
        restore(kg, nothing.drop("step"))
    _, step = drop_rare_entities(kg, 2)
    assert step.removed().is_empty()
