"""A knowledge graph as a DGL graph, against its own tables and against the heterograph of a data set."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.graph.export import to_dgl
from kdiffe_dgl.graph.hetero import build_heterograph, knowledge_edges, relation_names
from kg_builders.schema import ENTITY_SCHEMA, RELATION_SCHEMA, TRIPLE_SCHEMA, KnowledgeGraph

KINDS = ["item", "genre", "item", "brand", "genre"]
RELATIONS = [("has genre", False), ("near", True), ("unused", False)]


def make(triples, kinds=KINDS, relations=RELATIONS):
    entities = [(number, f"e{number}", f"E{number}", kind) for number, kind in enumerate(kinds)]
    table = [(number, name, name, symmetric) for number, (name, symmetric) in enumerate(relations)]
    return KnowledgeGraph(
        pl.DataFrame(entities, schema=ENTITY_SCHEMA, orient="row"),
        pl.DataFrame(table, schema=RELATION_SCHEMA, orient="row"),
        pl.DataFrame([(*triple, "s") for triple in triples], schema=TRIPLE_SCHEMA, orient="row"),
    )


def expected(kg, inverses):
    """Edges as a set of (head, name, tail), in plain Python."""
    edges = set()
    for head, relation, tail, _ in kg.triples.rows():
        _, name, _, symmetric = kg.relations.row(relation)
        edges.add((head, name, tail))
        if inverses:
            edges.add((tail, name if symmetric else f"{name}^-1", head))
    return sorted(edges)


def homogeneous_edges(graph, names):
    heads, tails = graph.edges()
    relations = [names[number] for number in graph.edata["relation"].tolist()]
    return sorted(zip(heads.tolist(), relations, tails.tolist(), strict=True))


def heterogeneous_edges(graph):
    found = []
    for head_kind, name, tail_kind in graph.canonical_etypes:
        heads, tails = graph.edges(etype=(head_kind, name, tail_kind))
        heads = graph.nodes[head_kind].data["entity"][heads].tolist()
        tails = graph.nodes[tail_kind].data["entity"][tails].tolist()
        found += [(head, name, tail) for head, tail in zip(heads, tails, strict=True)]
    return sorted(found)


triples = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(0, 4)), unique=True, min_size=1, max_size=10
)


@given(triples, st.booleans())
@settings(max_examples=60, deadline=None)
def test_edges_are_the_triples(rows, inverses):
    kg = make(rows)
    names = relation_names(kg) if inverses else kg.relations["name"].to_list()
    flat = to_dgl(kg, homogeneous=True, inverses=inverses)
    assert flat.num_nodes() == kg.n_entities
    typed = to_dgl(kg, inverses=inverses)
    assert homogeneous_edges(flat, names) == expected(kg, inverses)
    assert heterogeneous_edges(typed) == expected(kg, inverses)
    for head, tail, row in zip(*flat.edges(), flat.edata["triple"].tolist(), strict=True):
        assert {int(head), int(tail)} == {rows[row][0], rows[row][2]}


def test_types_and_data_of_the_heterograph():
    kg = make([(0, 0, 1), (2, 0, 4), (0, 1, 2), (3, 0, 4)])
    graph = to_dgl(kg)
    assert {kind: graph.num_nodes(kind) for kind in graph.ntypes} == {"item": 2, "genre": 2, "brand": 1}
    assert set(graph.canonical_etypes) == {
        ("item", "has genre", "genre"),
        ("genre", "has genre^-1", "item"),
        ("brand", "has genre", "genre"),
        ("genre", "has genre^-1", "brand"),
        ("item", "near", "item"),
    }
    assert graph.nodes["genre"].data["entity"].tolist() == [1, 4]
    edges = graph.edges["genre", "has genre^-1", "item"].data
    assert edges["relation"].unique().tolist() == [1]
    assert sorted(edges["triple"].tolist()) == [0, 1]


def test_the_same_edges_as_in_the_graph_of_a_data_set(tiny_dataset):
    edges = knowledge_edges(build_heterograph(tiny_dataset), tiny_dataset)
    theirs = sorted(zip(edges.head.tolist(), edges.relation.tolist(), edges.tail.tolist(), strict=True))
    graph = to_dgl(tiny_dataset.kg, homogeneous=True)
    heads, tails = graph.edges()
    ours = sorted(zip(heads.tolist(), graph.edata["relation"].tolist(), tails.tolist(), strict=True))
    assert ours == theirs


def test_edge_cases():
    assert to_dgl(KnowledgeGraph.empty(), homogeneous=True).num_nodes() == 0
    bare = to_dgl(make([]), homogeneous=True)
    assert (bare.num_nodes(), bare.num_edges()) == (5, 0)
    clash = make([(0, 0, 1)], relations=[("a", False), ("a^-1", False)])
    with pytest.raises(InputError, match="name of an inverse"):
        to_dgl(clash)
    assert to_dgl(clash, inverses=False).num_edges() == 1


def test_a_heterograph_needs_a_triple():
    with pytest.raises(InputError, match="no triple, of which DGL makes no heterograph"):
        to_dgl(make([]))
