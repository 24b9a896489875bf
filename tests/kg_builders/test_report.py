"""The description of a graph, against counts with Python sets."""

from __future__ import annotations

import io
import json
import re
from collections import Counter, defaultdict
from itertools import combinations, pairwise

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from kg_builders.prune import PruneSettings
from kg_builders.report import describe, render
from kg_builders.reporting import structure
from kg_builders.reporting.distributions import histogram
from kg_builders.rules import ListRule, Rules
from kg_builders.schema import ITEM, KnowledgeGraph

KINDS = (ITEM, "tag", "place")


def graph_of(
    kinds: list[str],
    triples: list[tuple[int, int, int]],
    symmetric: list[bool],
    labels: list[str] | None = None,
    sources: list[str | None] | None = None,
) -> KnowledgeGraph:
    """Make a graph from entity kinds, (head, relation, tail) and which relations are symmetric."""
    entities = pl.DataFrame(
        {
            "entity": range(len(kinds)),
            "id": [f"e{number}" for number in range(len(kinds))],
            "label": labels or [f"Entity {number}" for number in range(len(kinds))],
            "kind": kinds,
        },
        schema={"entity": pl.Int64, "id": pl.Utf8, "label": pl.Utf8, "kind": pl.Utf8},
    )
    relations = pl.DataFrame(
        {
            "relation": range(len(symmetric)),
            "name": [f"r{number}" for number in range(len(symmetric))],
            "label": [f"relates {number}" for number in range(len(symmetric))],
            "symmetric": symmetric,
        },
        schema={"relation": pl.Int64, "name": pl.Utf8, "label": pl.Utf8, "symmetric": pl.Boolean},
    )
    table = pl.DataFrame(
        [
            (*triple, source)
            for triple, source in zip(triples, sources or ["f.csv:x:list"] * len(triples), strict=True)
        ],
        schema={"head": pl.Int64, "relation": pl.Int64, "tail": pl.Int64, "source": pl.Utf8},
        orient="row",
    )
    return KnowledgeGraph(entities, relations, table)


@st.composite
def graphs(draw: st.DrawFn) -> KnowledgeGraph:
    """Draw small graphs with repeated triples, loops, parallel and reverse edges."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=9))
    symmetric = draw(st.lists(st.booleans(), min_size=1, max_size=4))
    entity, relation = st.integers(0, len(kinds) - 1), st.integers(0, len(symmetric) - 1)
    triples = draw(st.lists(st.tuples(entity, relation, entity), max_size=40))
    return graph_of(kinds, triples, symmetric)


def text_of(renderable: object, width: int = 200) -> str:
    buffer = io.StringIO()
    Console(file=buffer, width=width).print(renderable)
    return buffer.getvalue()


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_counts_equal_those_of_sets(kg: KnowledgeGraph) -> None:
    told = describe(kg, few_facts=2)
    assert json.loads(json.dumps(told)) == told
    kinds = kg.entities["kind"].to_list()
    symmetric = kg.relations["symmetric"].to_list()
    triples = kg.triples.select("head", "relation", "tail").rows()
    items = {entity for entity, kind in enumerate(kinds) if kind == ITEM}
    facts: Counter[int] = Counter()
    for head, _, tail in triples:
        facts.update({head, tail})
    values = [facts[item] for item in sorted(items)]
    about = told["item_facts"]
    assert about["items_without_facts"] == sum(value == 0 for value in values)
    assert about["items_with_few_facts"] == sum(value < 2 for value in values)
    assert {row["facts"]: row["items"] for row in about["fewer_than"]} == {
        bound: sum(value < bound for value in values) for bound in (1, 2, 3, 5, 10, 20)
    }
    undirected = nx.Graph([(head, tail) for head, _, tail in triples if head != tail])
    undirected.add_nodes_from(range(len(kinds)))
    sizes = sorted(map(len, nx.connected_components(undirected)), reverse=True)
    assert told["components"]["count"] == len(sizes)
    assert told["component_sizes"]["largest"] == sizes[:5]
    assert told["component_sizes"]["single_entities"] == sizes.count(1)
    joined = {
        entity: len(items & set(undirected[entity])) for entity in range(len(kinds)) if entity not in items
    }
    assert [hub["items"] for hub in told["hubs"]] == sorted((n for n in joined.values() if n), reverse=True)
    for row in told["kinds"]:
        members = [entity for entity, kind in enumerate(kinds) if kind == row["kind"]]
        assert row["entities"] == len(members)
        assert row["used_once"] == sum(facts[entity] == 1 for entity in members)
        assert row["neighbours"]["max"] == max(undirected.degree(entity) for entity in members)
        counts = told["degrees"]["neighbours"][row["kind"]]
        assert sum(counts["counts"]) == len(members)
    for row in told["relation_table"]:
        number = int(row["name"][1:])
        mine = [(head, tail) for head, relation, tail in triples if relation == number]
        ends = {end for pair in mine for end in pair}
        assert row["triples"] == len(mine)
        assert row["heads"] == len({head for head, _ in mine})
        assert row["tails"] == len({tail for _, tail in mine})
        assert row["items"] == len(ends & items)
        assert {(end["head"], end["tail"]): end["triples"] for end in row["ends"]}.items() <= Counter(
            (kinds[head], kinds[tail]) for head, tail in mine
        ).items()
        if mine:
            most = max(Counter(tail for _, tail in mine).values())
            assert row["commonest_tail"]["share"] == pytest.approx(most / len(mine))
        else:
            assert row["commonest_tail"] is None
        assert len(row["examples"]) == min(3, len(mine))
    _check_redundancy(told, triples, symmetric)
    _check_same_facts(told, triples, symmetric, items)


def _check_redundancy(told: dict, triples: list, symmetric: list[bool]) -> None:
    said: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for head, relation, tail in triples:
        said[relation].add((min(head, tail), max(head, tail)) if symmetric[relation] else (head, tail))
    redundancy = told["redundancy"]
    assert redundancy["duplicate_triples"] == len(triples) - sum(map(len, said.values()))
    assert redundancy["loops"] == sum(head == tail for head, _, tail in triples)
    expected: dict[str, dict[frozenset[str], int]] = {"overlapping": {}, "inverse": {}}
    for (first, ours), (second, theirs) in combinations(said.items(), 2):
        either = symmetric[first] or symmetric[second]
        turned = {(tail, head) for head, tail in theirs if head != tail}
        same = len(ours & theirs) + (len(ours & turned) if either else 0)
        reverse = 0 if either else len(ours & turned)
        for key, shared in (("overlapping", same), ("inverse", reverse)):
            if shared / min(len(ours), len(theirs)) >= 0.05:
                expected[key][frozenset((f"r{first}", f"r{second}"))] = shared
    for key, pairs in expected.items():
        assert {frozenset(pair["relations"]): pair["triples"] for pair in redundancy[key]} == pairs
        for pair in redundancy[key]:
            smaller = len(said[int(pair["relations"][0][1:])])
            assert pair["share"] == pytest.approx(pair["triples"] / smaller)
            assert smaller <= len(said[int(pair["relations"][1][1:])])
    both = {
        f"r{relation}": len({pair for pair in pairs if pair[0] != pair[1] and pair[::-1] in pairs})
        / len(pairs)
        for relation, pairs in said.items()
        if not symmetric[relation]
    }
    assert {row["relation"]: row["share"] for row in redundancy["both_ways"]} == pytest.approx(
        {name: share for name, share in both.items() if share >= 0.05}
    )


def _check_same_facts(told: dict, triples: list, symmetric: list[bool], items: set[int]) -> None:
    sets: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for head, relation, tail in triples:
        sets[head].append((relation, 0, tail))
        sets[tail].append((relation, 0 if symmetric[relation] else 1, head))
    groups = Counter(tuple(sorted(sets[item])) for item in items if sets[item])
    assert told["item_facts"]["same_facts"]["items"] == sum(size for size in groups.values() if size > 1)
    assert told["item_facts"]["same_facts"]["groups"] == sum(size > 1 for size in groups.values())


def test_facts_are_the_same_only_in_the_same_direction() -> None:
    kinds = [ITEM, ITEM, "tag"]
    there_and_back = [(0, 0, 2), (2, 0, 1)]
    for symmetric, items in ((False, 0), (True, 2)):
        told = describe(graph_of(kinds, there_and_back, [symmetric]))["item_facts"]["same_facts"]
        assert told["items"] == items
    assert told["examples"] == [{"items": 2, "facts": 1, "labels": ["Entity 0", "Entity 1"]}]


@settings(max_examples=50, deadline=None)
@given(graphs())
def test_ids_too_large_to_pack_give_the_same(kg: KnowledgeGraph) -> None:
    packed = structure.read_structure(kg).cells
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structure, "_PACKED_LIMIT", 0)
        sorted_by_keys = structure.read_structure(kg).cells
    for name in ("row", "column", "low", "high"):
        np.testing.assert_array_equal(getattr(packed, name), getattr(sorted_by_keys, name))


@given(st.lists(st.integers(0, 5000), max_size=60))
def test_histogram_bins_double(values: list[int]) -> None:
    told = histogram(np.array(values, dtype=np.int64))
    edges = told["edges"]
    assert edges[:2] == [0, 1]
    assert all(later == 2 * earlier for earlier, later in pairwise(edges[1:]))
    assert told["counts"] == [sum(low <= value < high for value in values) for low, high in pairwise(edges)]
    assert sum(told["counts"]) == len(values)


def test_provenance_by_file_field_and_rule() -> None:
    sources = [
        *["items.csv:tags:list"] * 2,
        "kg.nt:http://x.org/made:by:given",
        "by hand",
        None,
        "s3://shop/items.jsonl:brand:categorical",
    ]
    kg = graph_of([ITEM, "tag"], [(0, 0, 1)] * 6, [False], sources=sources)
    told = describe(kg)["provenance"]
    assert told["without_source"] == 1
    rows = {
        row["source"]: (row["file"], row["field"], row["rule"], row["triples"]) for row in told["sources"]
    }
    assert rows == {
        "items.csv:tags:list": ("items.csv", "tags", "list", 2),
        "kg.nt:http://x.org/made:by:given": ("kg.nt", "http://x.org/made:by", "given", 1),
        "by hand": (None, None, None, 1),
        None: (None, None, None, 1),
        "s3://shop/items.jsonl:brand:categorical": ("s3://shop/items.jsonl", "brand", "categorical", 1),
    }
    assert told["sources"][0]["source"] == "items.csv:tags:list"


ITEMS = [ITEM] * 120


def _many(kind: str, count: int) -> list[str]:
    return [*ITEMS, *([kind] * count)]


ONE_TAIL = graph_of(_many("tag", 1), [(i, 0, 120) for i in range(120)], [False])
THREES = graph_of(_many("tag", 40), [(i, 0, 120 + i // 3) for i in range(120)], [False])
RARE = [(0, relation, 121) for relation in range(1, 6)]


@pytest.mark.parametrize(
    ("kg", "message"),
    [
        (graph_of(ITEMS, [], [False]), "the graph has no triple; .*lower min_items or raise max_share"),
        (graph_of(_many("tag", 1), [(i, 0, 120) for i in range(40)], [False]),
         "only 33.3% of the items have a fact"),
        (graph_of(_many("tag", 2), [(i, 0, 120 + i % 2) for i in range(108)], [False]),
         r"12 items \(10.0%\) have no fact, such as 'Entity 108', .*; lower min_items"),
        (ONE_TAIL, "relation 'r0' has one tail for all its heads .*name it in drop_relations"),
        (ONE_TAIL, r"'Entity 120' \(tag\) is joined to 100.0% of the items; set max_share"),
        (graph_of(_many("tag", 2), [(0, 0, 120), (0, 0, 120)], [False]),
         "1 triple says what another says; set duplicates: true"),
        (graph_of(_many("tag", 20), [t for i in range(20) for t in ((i, 0, 120 + i), (120 + i, 1, i))],
                  [False] * 2),
         "100.0% of relation 'r0' is the reverse of 'r1'; set inverse_relations"),
        (graph_of(_many("tag", 20), [(i, r, 120 + i) for i in range(20) for r in (0, 1)], [False] * 2),
         "100.0% of relation 'r0' is the same as 'r1'; set synonymous_relations: 1.0 to merge them"),
        (graph_of(_many("tag", 40), [(i, r, 120 + i) for i in range(40) for r in (0, 1) if r or i < 10],
                  [False] * 2),
         "100.0% of relation 'r0' is the same as 'r1'; name one of them in drop_relations"),
        (graph_of(ITEMS, [t for i in range(0, 20, 2) for t in ((i, 0, i + 1), (i + 1, 0, i))], [False]),
         "100.0% of relation 'r0' is stored in both directions; mark it as symmetric"),
        (THREES, r"120 items \(100.0%\) have facts, but fewer than 3; lower min_items or min_degree"),
        (THREES, "120 of the 120 items with facts have exactly the facts of another"),
        (THREES, r"117 items with facts \(97.5%\) are joined by no path to the largest part"),
        (graph_of(_many("tag", 120), [(i, 0, 120 + i) for i in range(120)], [False]),
         "100.0% of the 120 entities of kind 'tag' are in a single triple .*set min_degree: 2"),
        (graph_of(ITEMS, [(0, 0, 1)], [False], labels=[f"e{number}" for number in range(120)]),
         "120 items have no name besides their id.*; set label"),
        (graph_of(_many("tag", 10), [*((i, 0, 120 + k) for i in range(120) for k in range(9)), *RARE],
                  [False] * 6),
         "5 of 6 relations have fewer than 10 triples, such as 'r1', 'r2', 'r3'; set min_relation_triples"),
    ],
)  # fmt: skip
def test_warnings_name_the_setting_that_helps(kg: KnowledgeGraph, message: str) -> None:
    warnings = describe(kg)["warnings"]
    assert any(re.search(message, warning) for warning in warnings), warnings
    settings = {*PruneSettings.model_fields, *ListRule.model_fields, *Rules.model_fields}
    for warning in warnings:
        named = set(re.findall(r"\b[a-z]+_[a-z_]+\b|(?<=set )\w+", warning))
        assert named <= settings, warning


def test_a_sound_graph_has_no_warning() -> None:
    rng = np.random.default_rng(0)
    triples = [(item, 0, 120 + int(tag)) for item in range(120) for tag in rng.choice(30, 6, replace=False)]
    assert describe(graph_of(_many("tag", 30), triples, [False]))["warnings"] == []


def test_labels_like_markup_are_shown_as_they_are() -> None:
    labels = ["[/red]", "[bold]Tag[/bold]", "[link=x]z"]
    kg = graph_of([ITEM, "[/x]", ITEM], [(0, 0, 1), (2, 0, 1)], [False], labels=labels)
    text = text_of(render(describe(kg)))
    assert "[/red] → [bold]Tag[/bold]" in text
    assert "[/x]" in text


def test_the_terminal_counts_what_it_does_not_show() -> None:
    kg = graph_of([ITEM, "tag"], [(0, number, 1) for number in range(50)], [False] * 50)
    assert "10 more" in text_of(render(describe(kg)))
