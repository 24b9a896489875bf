"""Every pruning step against an independent count; items always stay; every removal is recorded."""

from __future__ import annotations

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders import InputError, KnowledgeGraph, PruneSettings, parse_recipe, prune_graph
from kg_builders.core import hops_from, k_core_mask, simple_adjacency
from kg_builders.prune import (
    drop_common_entities,
    drop_distant_entities,
    drop_duplicates,
    drop_inverse_relations,
    drop_isolated_entities,
    drop_outside_core,
    drop_rare_entities,
    drop_rare_relations,
    drop_unreachable,
    prune_table,
)
from kg_builders.schema import ENTITY_SCHEMA, ITEM, NAMED_SCHEMA, RELATION_SCHEMA, TRIPLE_SCHEMA

Row = tuple[str, str, str]


def graph(rows: list[Row]) -> KnowledgeGraph:
    """A graph from short names; an end that begins with "i" is an item."""

    def kind(name: str) -> str:
        return ITEM if name.startswith("i") else "thing"

    named = [(kind(h), h, r, kind(t), t, None, "src") for h, r, t in rows]
    return KnowledgeGraph.from_named(pl.DataFrame(named, schema=NAMED_SCHEMA, orient="row"))


def rows_of(kg: KnowledgeGraph) -> set[Row]:
    return set(kg.to_named().select("head_id", "relation", "tail_id").rows())


def neighbours_of(rows: set[Row]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for head, _, tail in rows:
        found.setdefault(head, set())
        found.setdefault(tail, set())
        if head != tail:
            found[head].add(tail)
            found[tail].add(head)
    return found


NAMES = st.sampled_from(["i0", "i1", "i2", "i3", "a", "b", "c", "d", "e"])
ROWS = st.lists(st.tuples(NAMES, st.sampled_from(["r", "s"]), NAMES), max_size=30)


@given(ROWS, st.integers(1, 4))
@settings(max_examples=80, deadline=None)
def test_rare_entities(rows: list[Row], least: int) -> None:
    kg, step = drop_rare_entities(graph(rows), least)
    near = neighbours_of(set(rows))
    gone = {name for name, others in near.items() if name[0] != "i" and len(others) < least}
    expected = {row for row in set(rows) if not {row[0], row[2]} & gone}
    assert rows_of(kg) == expected
    lost = set(rows) - expected
    assert step.triples == len(lost)
    assert step.items == len({end for head, _, tail in lost for end in (head, tail) if end[0] == "i"})
    assert kg.n_items == graph(rows).n_items


@given(ROWS, st.sampled_from([0.2, 0.5, 0.75, 1.0]))
@settings(max_examples=80, deadline=None)
def test_common_entities(rows: list[Row], share: float) -> None:
    before = graph(rows)
    kg, _ = drop_common_entities(before, share)
    items = before.n_items
    near = neighbours_of(set(rows))
    gone = {
        name for name, others in near.items()
        if name[0] != "i" and sum(other[0] == "i" for other in others) > share * items
    }  # fmt: skip
    assert rows_of(kg) == {row for row in set(rows) if not {row[0], row[2]} & gone}


@given(ROWS, st.integers(1, 4))
@settings(max_examples=80, deadline=None)
def test_core_with_items_protected(rows: list[Row], k: int) -> None:
    kg, step = drop_outside_core(graph(rows), k)
    remaining = set(rows)
    while True:
        near = neighbours_of(remaining)
        gone = {name for name, others in near.items() if name[0] != "i" and len(others) < k}
        if not gone:
            break
        remaining = {row for row in remaining if not {row[0], row[2]} & gone}
    assert rows_of(kg) == remaining
    assert step.triples == len(set(rows)) - len(remaining)
    assert kg.n_items == graph(rows).n_items


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_core_agrees_with_networkx(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    heads, tails = rng.integers(0, 120, 400), rng.integers(0, 120, 400)
    stays = k_core_mask(simple_adjacency(heads, tails, 120), k)
    oracle = nx.Graph(
        (head, tail) for head, tail in zip(heads.tolist(), tails.tolist(), strict=True) if head != tail
    )
    assert set(np.flatnonzero(stays).tolist()) == set(nx.k_core(oracle, k).nodes)


def test_core_of_a_long_path_takes_time_in_proportion_to_it() -> None:
    count = 200_000
    path = simple_adjacency(np.arange(count - 1), np.arange(1, count), count)
    protected = np.zeros(count, dtype=bool)
    assert not k_core_mask(path[:2000, :2000], 2).any()
    protected[[0, count - 1]] = True
    assert k_core_mask(path, 2, protected).all()


@given(ROWS, st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_distant_and_unreachable_entities(rows: list[Row], hops: int) -> None:
    before = graph(rows)
    oracle = nx.Graph((head, tail) for head, _, tail in rows)
    items = [name for name in oracle if name[0] == "i"]
    distance = nx.multi_source_dijkstra_path_length(oracle, items) if items else {}
    far, _ = drop_distant_entities(before, hops)
    near = {name for name, steps in distance.items() if steps <= hops}
    assert rows_of(far) == {row for row in set(rows) if {row[0], row[2]} <= near}
    reached, _ = drop_unreachable(before)
    assert rows_of(reached) == {row for row in set(rows) if {row[0], row[2]} <= set(distance)}
    heads, tails = before.triples["head"].to_numpy(), before.triples["tail"].to_numpy()
    adjacency = simple_adjacency(heads, tails, before.n_entities)
    numbers = hops_from(adjacency, (before.entities["kind"] == ITEM).to_numpy())
    assert dict(zip(before.entities["id"], numbers, strict=True)) == {
        name: distance.get(name, np.inf) for name in before.entities["id"]
    }


def test_duplicates_are_merged_also_reversed_ones_of_symmetric_relations() -> None:
    entities = pl.DataFrame([(0, "1", "1", ITEM), (1, "2", "2", ITEM)], schema=ENTITY_SCHEMA, orient="row")
    relations = pl.DataFrame(
        [(0, "near", "near", True), (1, "then", "then", False)], schema=RELATION_SCHEMA, orient="row"
    )
    triples = [(0, 0, 1, "b"), (1, 0, 0, "a"), (0, 0, 1, "a"), (0, 1, 1, "c"), (1, 1, 0, "c"), (0, 1, 1, "d")]
    kg = KnowledgeGraph(entities, relations, pl.DataFrame(triples, schema=TRIPLE_SCHEMA, orient="row"))
    pruned, step = drop_duplicates(kg)
    assert pruned.triples.rows() == [(0, 0, 1, "a"), (0, 1, 1, "c"), (1, 1, 0, "c")]
    assert (step.triples, step.items, step.entities) == (3, 2, 0)


def test_inverse_relations_are_merged_into_the_one_that_begins_at_items() -> None:
    rows = [
        ("i0", "by", "a"),
        ("i1", "by", "a"),
        ("i2", "by", "b"),
        ("i0", "sequel", "i1"),
        ("i1", "prequel", "i0"),
    ]
    mirrored = [("a", "made", "i0"), ("a", "made", "i1"), ("b", "made", "i2"), ("b", "made", "i3")]
    kg, step = drop_inverse_relations(graph(rows + mirrored), 0.75)
    assert rows_of(kg) == {*rows[:3], ("i1", "prequel", "i0"), ("b", "made", "i3")}
    assert step.examples == ("made (inverse of by)", "sequel (inverse of prequel)")
    assert step.triples == 4
    whole, step = drop_inverse_relations(graph(rows[:3] + mirrored), 0.8)
    assert rows_of(whole) == {
        ("a", "made", "i0"),
        ("a", "made", "i1"),
        ("b", "made", "i2"),
        ("b", "made", "i3"),
    }
    assert step.examples == ("by (inverse of made)",)
    kept, step = drop_inverse_relations(graph(rows[:3]), 0.8)
    assert (rows_of(kept), step.triples, step.relations) == (set(rows[:3]), 0, 0)


def test_rare_relations_and_isolated_entities() -> None:
    kg = graph([("i0", "r", "a"), ("i1", "r", "a"), ("i0", "s", "b")])
    pruned, step = drop_rare_relations(kg, 2)
    assert rows_of(pruned) == {("i0", "r", "a"), ("i1", "r", "a")}
    assert (step.triples, step.entities, step.relations, step.items, step.examples) == (1, 1, 1, 1, ("s",))
    alone = KnowledgeGraph(kg.entities, kg.relations, kg.triples.filter(pl.col("relation") == 0))
    tidy, step = drop_isolated_entities(alone)
    assert (tidy.n_entities, step.entities, step.triples, step.examples) == (3, 1, 0, ("b (thing)",))


def test_pipeline_counts_add_up_and_items_stay() -> None:
    rng = np.random.default_rng(0)
    rows = [(f"i{a}", f"r{r}", f"t{t}") for a, r, t in rng.integers(0, [60, 3, 40], (300, 3)).tolist()]
    rows += [(f"i{number}", "hub", "everywhere") for number in range(60)] + [
        ("x", "r0", "y"),
        ("i0", "odd", "z"),
    ]
    kg = graph(rows)
    chosen = PruneSettings(
        drop_relations=("r2",), min_relation_triples=2, max_share=0.5, min_degree=3, k_core=2, max_hops=2
    )
    pruned, steps = prune_graph(kg, chosen)
    assert [step.name for step in steps] == [
        "isolated entities", "named relations", "duplicate triples", "inverse relations",
        "synonymous relations", "relations with the same item sets", "rare relations",
        "common entities", "rare entities", "uninformative relations", "2-core",
        "unreachable entities", "distant entities",
    ]  # fmt: skip
    assert kg.n_triples - pruned.n_triples == sum(step.triples for step in steps)
    assert kg.n_entities - pruned.n_entities == sum(step.entities for step in steps)
    assert kg.n_relations - pruned.n_relations == sum(step.relations for step in steps)
    assert pruned.n_items == kg.n_items == 60
    by_name = {step.name: step for step in steps}
    assert by_name["common entities"].examples[0] == "everywhere (thing)"
    assert by_name["common entities"].items == 60
    assert by_name["rare relations"].examples == ("odd",)
    again, more = prune_graph(pruned, PruneSettings())
    assert again.triples.equals(pruned.triples)
    assert all(step.triples == 0 for step in more)
    assert more[0].to_dict()["reason"] == "entities without a triple"
    table = prune_table(steps)
    busy = [step.name for step in steps if step.triples or step.entities or step.relations or step.moved]
    assert 0 < len(busy) < len(steps)
    assert [str(cell) for cell in table.columns[0].cells] == busy
    assert all((step.name in str(table.caption)) == (step.name not in busy) for step in steps)


def test_empty_graph_and_bad_settings() -> None:
    pruned, _ = prune_graph(
        KnowledgeGraph.empty(), PruneSettings(k_core=3, min_degree=2, max_share=0.5, max_hops=1)
    )
    assert pruned.n_entities == 0
    with pytest.raises(InputError, match=r"drop_relations: no relation 'gendre'; did you mean 'genre'"):
        prune_graph(graph([("i0", "genre", "a")]), PruneSettings(drop_relations=("gendre",)))
    with pytest.raises(
        InputError, match=r"recipe: prune: unknown key 'mindegree'; did you mean 'min_degree'"
    ):
        parse_recipe({"prune": {"mindegree": 2}})
    with pytest.raises(InputError, match=r"prune.max_share: input should be less than or equal to 1, got 2"):
        parse_recipe({"prune": {"max_share": 2}})
