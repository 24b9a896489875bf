"""The knowledge graph's tables: ids, round trips, alignment, union and removal of triples."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_builders import InputError, KnowledgeGraph
from kg_builders.schema import ENTITY_SCHEMA, ITEM, NAMED_SCHEMA, RELATION_SCHEMA, TRIPLE_SCHEMA

NAMES = st.sampled_from(["a", "b", "c", "d", "7"])
TRIPLE = st.tuples(
    st.sampled_from([ITEM, "genre", "person"]),
    NAMES,
    st.sampled_from(["likes", "made_by", "near"]),
    st.sampled_from([ITEM, "genre", "person"]),
    NAMES,
)
TRIPLES = st.lists(TRIPLE, max_size=25)
SYMMETRIC = pl.DataFrame({"name": ["near"], "label": ["is near"], "symmetric": [True]})


def named(rows: list[tuple[str, str, str, str, str]], source: str = "test") -> pl.DataFrame:
    return pl.DataFrame([(*row[:5], None, source) for row in rows], schema=NAMED_SCHEMA, orient="row")


def facts(graph: KnowledgeGraph) -> set[tuple[str, ...]]:
    """The triples as a set; a symmetric one with its ends in alphabetical order."""
    symmetric = set(graph.relations.filter(pl.col("symmetric"))["name"])
    result = set()
    for head_kind, head_id, relation, tail_kind, tail_id, _, _ in graph.to_named().rows():
        ends = [(head_kind, head_id), (tail_kind, tail_id)]
        if relation in symmetric:
            ends.sort()
        result.add((*ends[0], relation, *ends[1]))
    return result


def expected_facts(rows: list[tuple[str, str, str, str, str]], symmetric: set[str]) -> set[tuple[str, ...]]:
    result = set()
    for head_kind, head_id, relation, tail_kind, tail_id in rows:
        ends = [(head_kind, head_id), (tail_kind, tail_id)]
        if relation in symmetric:
            ends.sort()
        result.add((*ends[0], relation, *ends[1]))
    return result


def test_from_named_gives_ids_in_the_documented_order() -> None:
    triples = pl.DataFrame(
        [
            (ITEM, "9", "genre", "genre", "g2", "Drama", "f:g:list"),
            (ITEM, "2", "genre", "genre", "g1", "Comedy", "f:g:list"),
            (ITEM, "2", "genre", "genre", "g2", "drama", "f:g:list"),
            (ITEM, "5", "genre", "genre", "g2", "Drama", "f:g:list"),
        ],
        schema=NAMED_SCHEMA,
        orient="row",
    )
    items = pl.DataFrame({"id": ["9", "1"], "label": ["Nine", None]})
    graph = KnowledgeGraph.from_named(triples, items)
    assert graph.entities.rows() == [
        (0, "9", "Nine", ITEM),
        (1, "1", "1", ITEM),
        (2, "2", "2", ITEM),
        (3, "5", "5", ITEM),
        (4, "g1", "Comedy", "genre"),
        (5, "g2", "Drama", "genre"),
    ]
    assert graph.relations.rows() == [(0, "genre", "genre", False)]
    assert graph.triples.select("head", "tail").rows() == [(0, 5), (2, 4), (2, 5), (3, 5)]
    assert (graph.n_entities, graph.n_items, graph.n_relations, graph.n_triples) == (6, 4, 1, 4)
    assert graph.item_coverage() == 0.75


@given(TRIPLES, st.randoms())
@settings(max_examples=60, deadline=None)
def test_from_named_keeps_every_fact_once_and_ignores_row_order(rows: list, random: object) -> None:
    graph = KnowledgeGraph.from_named(named(rows), relations=SYMMETRIC)
    expected = expected_facts(rows, {"near"})
    assert facts(graph) == expected
    assert graph.n_triples == len(expected)
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = KnowledgeGraph.from_named(named(shuffled), relations=SYMMETRIC)
    assert again.entities.equals(graph.entities)
    assert again.triples.equals(graph.triples)


@given(TRIPLES)
@settings(max_examples=60, deadline=None)
def test_named_round_trip(rows: list) -> None:
    graph = KnowledgeGraph.from_named(named(rows), relations=SYMMETRIC)
    again = KnowledgeGraph.from_named(graph.to_named(), relations=graph.relations)
    assert again.entities.equals(graph.entities)
    assert again.relations.equals(graph.relations)
    assert again.triples.equals(graph.triples)


@given(TRIPLES, st.permutations(["a", "b", "c", "d", "7", "new"]))
@settings(max_examples=60, deadline=None)
def test_align_items_puts_the_given_items_first(rows: list, order: list[str]) -> None:
    graph = KnowledgeGraph.from_named(named(rows), relations=SYMMETRIC)
    aligned = graph.align_items(
        pl.DataFrame({"id": order[:4], "label": [f"the {name}" for name in order[:4]]})
    )
    assert aligned.entities["id"].to_list()[:4] == order[:4]
    assert aligned.entities["kind"].to_list()[:4] == [ITEM] * 4
    assert facts(aligned) == facts(graph)
    before = set(graph.entities.select("kind", "id").rows())
    assert set(aligned.entities.select("kind", "id").rows()) == before | {(ITEM, name) for name in order[:4]}


def test_align_items_keeps_the_label_of_the_graph_where_none_is_given() -> None:
    graph = KnowledgeGraph.from_named(named([]), pl.DataFrame({"id": ["1"], "label": ["One"]}))
    items = pl.DataFrame({"id": ["2", "1"], "label": [None, None]}, schema={"id": pl.Utf8, "label": pl.Utf8})
    assert graph.align_items(items).entities["label"].to_list() == ["2", "One"]


@given(TRIPLES, TRIPLES)
@settings(max_examples=60, deadline=None)
def test_union_is_the_union_of_facts_and_items(first: list, second: list) -> None:
    left = KnowledgeGraph.from_named(named(first), relations=SYMMETRIC)
    right = KnowledgeGraph.from_named(
        named(second), pl.DataFrame({"id": ["alone"], "label": ["Alone"]}), SYMMETRIC
    )
    both = left.union(right)
    assert facts(both) == facts(left) | facts(right)
    assert both.n_triples == len(facts(left) | facts(right))
    assert both.entities.filter(pl.col("id") == "alone")["label"].to_list() == ["Alone"]
    assert facts(left.union()) == facts(left)


def test_union_keeps_labels_of_entities_that_are_only_heads() -> None:
    people = pl.DataFrame({"kind": ["person", ITEM], "id": ["p", "1"], "label": ["Pat", "One"]})
    rows = [("person", "p", "made", ITEM, "1")]
    left = KnowledgeGraph.from_named(named(rows))
    right = KnowledgeGraph.from_named(named(rows), entities=people)
    assert left.entities["label"].to_list() == ["1", "p"]
    assert left.union(right).entities["label"].to_list() == ["One", "Pat"]


@given(TRIPLES, st.data())
@settings(max_examples=60, deadline=None)
def test_with_triples_keeps_items_and_drops_what_lost_everything(rows: list, data: st.DataObject) -> None:
    graph = KnowledgeGraph.from_named(named(rows), relations=SYMMETRIC)
    keep = data.draw(st.lists(st.booleans(), min_size=graph.n_triples, max_size=graph.n_triples))
    mask = pl.Series(keep, dtype=pl.Boolean)
    kept = graph.with_triples(graph.triples.filter(mask))
    unnumbered = KnowledgeGraph(graph.entities, graph.relations, graph.triples.filter(mask))
    assert facts(kept) == facts(unnumbered)
    assert kept.n_triples == sum(keep)
    used = {end for row in kept.to_named().rows() for end in ((row[0], row[1]), (row[3], row[4]))}
    items = {(ITEM, name) for name in graph.entities.filter(pl.col("kind") == ITEM)["id"]}
    assert set(kept.entities.select("kind", "id").rows()) == used | items
    assert set(kept.relations["name"]) == {row[2] for row in kept.to_named().rows()}


def test_with_triples_keeps_symmetry_labels_and_order() -> None:
    people = pl.DataFrame({"kind": ["person"], "id": ["p"], "label": ["Pat"]})
    rows = [("person", "p", "made", ITEM, "1"), (ITEM, "1", "near", ITEM, "2"), (ITEM, "2", "aaa", "x", "y")]
    graph = KnowledgeGraph.from_named(named(rows), relations=SYMMETRIC, entities=people)
    kept = graph.with_triples(graph.triples.filter(pl.col("relation") != 0))
    assert kept.relations.rows() == [(0, "made", "made", False), (1, "near", "is near", True)]
    assert kept.entities["label"].to_list() == ["1", "2", "Pat"]
    assert kept.entities["entity"].to_list() == [0, 1, 2]


def test_relation_counts() -> None:
    rows = [
        (ITEM, "1", "r", "x", "a"),
        (ITEM, "1", "r", "x", "b"),
        (ITEM, "2", "r", "x", "b"),
        (ITEM, "2", "s", "x", "a"),
    ]
    counts = KnowledgeGraph.from_named(named(rows)).relation_counts()
    assert counts.select("name", "triples", "heads", "tails").rows() == [("r", 3, 2, 2), ("s", 1, 1, 1)]


def test_empty_graph() -> None:
    graph = KnowledgeGraph.empty()
    assert graph.item_coverage() == 0.0
    assert graph.union(graph).n_entities == 0
    assert graph.relation_counts().is_empty()


def tables() -> dict[str, pl.DataFrame]:
    return {
        "entities": pl.DataFrame(
            [(0, "1", "One", ITEM), (1, "a", "A", "x")], schema=ENTITY_SCHEMA, orient="row"
        ),
        "relations": pl.DataFrame([(0, "r", "r", False)], schema=RELATION_SCHEMA, orient="row"),
        "triples": pl.DataFrame([(0, 0, 1, "s")], schema=TRIPLE_SCHEMA, orient="row"),
    }


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("triples", pl.lit(5).alias("relation"), "triple 0 has unknown relation 5 .* from 0 to 0"),
        ("triples", pl.lit(-1).alias("head"), "unknown entity -1 as its head"),
        ("triples", pl.lit(None, dtype=pl.Int64).alias("tail"), "unknown entity None as its tail"),
        ("triples", pl.lit("x").alias("head"), "triples have a column of another type; expected head Int64"),
        ("entities", pl.col("entity") + 1, "entity ids must be 0, 1, 2"),
        ("entities", pl.lit(None).alias("id"), "entity 0 has no id"),
        (
            "entities",
            [pl.lit("i").alias("id"), pl.lit("k").alias("kind")],
            "entity 'k i' occurs more than once",
        ),
        ("relations", pl.lit(3).alias("relation"), "relation ids must be 0, 1, 2"),
        ("relations", pl.lit(None).alias("name"), "relation 0 has no name"),
    ],
)
def test_invalid_tables_are_refused(table: str, change: pl.Expr, message: str) -> None:
    parts = tables()
    KnowledgeGraph(**parts)
    parts[table] = parts[table].with_columns(change)
    with pytest.raises(InputError, match=message):
        KnowledgeGraph(**parts)


def test_missing_column_null_end_and_repeated_item_are_refused() -> None:
    parts = tables()
    parts["triples"] = parts["triples"].drop("source")
    with pytest.raises(InputError, match="triples lack the column 'source'; expected head, relation"):
        KnowledgeGraph(**parts)
    with pytest.raises(InputError, match="named triple 1 has no tail_id"):
        KnowledgeGraph.from_named(named([(ITEM, "1", "r", "x", "a"), (ITEM, "1", "r", "x", None)]))  # type: ignore[list-item]
    twice = pl.DataFrame({"id": ["1", "1"], "label": ["a", "b"]})
    with pytest.raises(InputError, match="item 'item 1' occurs more than once"):
        KnowledgeGraph.from_named(named([]), twice)
    with pytest.raises(InputError, match="item 'item 1' occurs more than once"):
        KnowledgeGraph.empty().align_items(twice)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("film.film.award_won", "film award won"),
        ("film.actor.film", "film actor film"),
        ("also_buy", "also buy"),
        ("a.a.a_b", "a b"),
        ("filmfilm", "filmfilm"),
    ],
)
def test_a_relation_without_label_is_named_by_its_words_each_once_in_a_row(name: str, label: str) -> None:
    triples = pl.DataFrame([(ITEM, "1", name, "thing", "t", None, "test")], schema=NAMED_SCHEMA, orient="row")
    assert KnowledgeGraph.from_named(triples).relations["label"].to_list() == [label]
