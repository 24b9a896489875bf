"""The heterograph, and what is read back from it, against the data set's own tables."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.graph.hetero import (
    INTERACTED_BY,
    INTERACTS,
    bipartite,
    build_heterograph,
    knowledge_edges,
    knowledge_graph,
)
from kg_builders.schema import KnowledgeGraph

N_USERS, N_ITEMS = 3, 4
INTERACTIONS = [(0, 0, "train"), (0, 2, "train"), (1, 2, "train"), (1, 3, "validation"), (2, 1, "test")]


def make_kg(triples, relations, n_others):
    entities = pl.DataFrame(
        {
            "entity": range(N_ITEMS + n_others),
            "id": [f"e{number}" for number in range(N_ITEMS + n_others)],
            "label": [f"label {number}" for number in range(N_ITEMS + n_others)],
            "kind": ["item"] * N_ITEMS + ["genre"] * n_others,
        }
    )
    relation_table = pl.DataFrame(
        {
            "relation": range(len(relations)),
            "name": [name for name, _ in relations],
            "label": [name for name, _ in relations],
            "symmetric": [symmetric for _, symmetric in relations],
        },
        schema={"relation": pl.Int64, "name": pl.Utf8, "label": pl.Utf8, "symmetric": pl.Boolean},
    )
    schema = {"head": pl.Int64, "relation": pl.Int64, "tail": pl.Int64}
    table = pl.DataFrame(list(triples), schema=schema, orient="row").with_columns(source=pl.lit("test"))
    return KnowledgeGraph(entities, relation_table, table)


def make_dataset(kg=None, features=None, interactions=INTERACTIONS):
    return RecDataset(
        name="tiny",
        users=pl.DataFrame({"user": range(N_USERS), "id": list("abc"), "label": list("abc")}),
        items=pl.DataFrame(
            {
                "item": range(N_ITEMS),
                "id": [f"e{number}" for number in range(N_ITEMS)],
                "label": [f"item {number}" for number in range(N_ITEMS)],
            }
        ),
        interactions=pl.DataFrame(
            interactions, schema={"user": pl.Int64, "item": pl.Int64, "split": pl.Utf8}, orient="row"
        ),
        kg=kg,
        features=features or {},
    )


def expected_edges(kg):
    """Triples and inverses as a sorted list of (head, name, tail), in plain Python."""
    names = list(kg.relations.select("name", "symmetric").iter_rows())
    edges = set()
    for head, relation, tail in kg.triples.select("head", "relation", "tail").iter_rows():
        name, symmetric = names[relation]
        edges.add((head, name, tail))
        edges.add((tail, name if symmetric else f"{name}^-1", head))
    return sorted(edges)


def found_edges(edges):
    named = [edges.relation_names[relation] for relation in edges.relation.tolist()]
    return sorted(zip(edges.head.tolist(), named, edges.tail.tolist(), strict=True))


RELATIONS = [("has_genre", False), ("similar", True), ("made", False), ("unused", False)]
KG = make_kg(
    [
        (0, 0, 4), (1, 0, 4), (2, 0, 5),  # item -> entity
        (0, 1, 1), (1, 1, 0), (2, 1, 2), (3, 1, 2), (4, 1, 5),  # both ways, a loop, one way, entities
        (5, 2, 3), (4, 2, 5), (3, 2, 3),  # entity -> item, entity -> entity, a loop
    ],
    RELATIONS,
    n_others=3,
)  # fmt: skip


def test_knowledge_edges_are_the_triples_and_their_inverses():
    dataset = make_dataset(KG)
    edges = knowledge_edges(build_heterograph(dataset), dataset)
    assert found_edges(edges) == expected_edges(KG)
    assert len(edges) == len(expected_edges(KG))
    assert edges.relation_names == (
        "has_genre", "has_genre^-1", "similar", "made", "made^-1", "unused", "unused^-1",
    )  # fmt: skip
    assert edges.n_relations == 7
    assert edges.n_entities == N_ITEMS + 3


def test_edges_name_the_triple_they_come_from():
    dataset = make_dataset(KG)
    edges = knowledge_edges(build_heterograph(dataset), dataset)
    stored = KG.triples.select("head", "relation", "tail").to_numpy()[edges.triple.numpy()]
    for head, relation, tail, triple in zip(
        edges.head.tolist(), edges.relation.tolist(), edges.tail.tolist(), stored.tolist(), strict=True
    ):
        name = edges.relation_names[relation]
        assert name.removesuffix("^-1") == RELATIONS[triple[1]][0]
        assert (triple[0], triple[2]) in {(head, tail), (tail, head)}
        if name.endswith("^-1"):
            assert (triple[0], triple[2]) == (tail, head)


def test_edges_are_sorted_whatever_the_order_of_the_triples():
    shuffled = KnowledgeGraph(KG.entities, KG.relations, KG.triples.sample(fraction=1, shuffle=True, seed=1))
    parts = []
    for kg in (KG, shuffled):
        dataset = make_dataset(kg)
        edges = knowledge_edges(build_heterograph(dataset), dataset)
        parts.append(torch.stack([edges.head, edges.relation, edges.tail]))
    assert torch.equal(*parts)
    rows = parts[0].T.tolist()
    assert rows == sorted(rows)


def test_canonical_edge_types_carry_types_and_local_numbers():
    graph = build_heterograph(make_dataset(KG))
    assert set(graph.canonical_etypes) == {
        INTERACTS,
        INTERACTED_BY,
        ("item", "has_genre", "entity"),
        ("entity", "has_genre^-1", "item"),
        ("item", "similar", "item"),
        ("entity", "similar", "entity"),
        ("entity", "made", "item"),
        ("item", "made^-1", "entity"),
        ("entity", "made", "entity"),
        ("entity", "made^-1", "entity"),
        ("item", "made", "item"),
        ("item", "made^-1", "item"),
    }
    heads, tails = graph.edges(etype=("item", "has_genre", "entity"))
    assert sorted(zip(heads.tolist(), tails.tolist(), strict=True)) == [(0, 0), (1, 0), (2, 1)]
    heads, tails = graph.edges(etype=("item", "similar", "item"))
    assert sorted(zip(heads.tolist(), tails.tolist(), strict=True)) == [
        (0, 1),
        (1, 0),
        (2, 2),
        (2, 3),
        (3, 2),
    ]
    assert {kind: graph.num_nodes(kind) for kind in graph.ntypes} == {"user": 3, "item": 4, "entity": 3}


def test_bipartite_graph_holds_training_pairs_only():
    dataset = make_dataset(KG)
    matrix = bipartite(build_heterograph(dataset))
    expected = np.zeros((N_USERS, N_ITEMS))
    expected[[0, 0, 1], [0, 2, 2]] = 1
    np.testing.assert_array_equal(matrix.toarray(), expected)
    assert matrix.dtype == np.float32
    assert (matrix != dataset.matrix("train")).nnz == 0


def test_features_lie_on_the_items_as_copies():
    matrix = np.arange(8, dtype=np.float32).reshape(4, 2)
    matrix.setflags(write=False)  # as a memory map is
    graph = build_heterograph(make_dataset(features={"image": matrix}))
    assert torch.equal(graph.nodes["item"].data["image"], torch.arange(8.0).reshape(4, 2))


@pytest.mark.parametrize("kg", [None, make_kg([], [], 0), make_kg([], [("r", False)], 2)])
def test_data_without_triples_still_build(kg):
    dataset = make_dataset(kg)
    graph = build_heterograph(dataset)
    edges = knowledge_edges(graph, dataset)
    assert set(graph.canonical_etypes) == {INTERACTS, INTERACTED_BY}
    assert len(edges) == 0
    assert edges.n_entities == (N_ITEMS if kg is None else kg.n_entities)
    assert graph.num_nodes("entity") == edges.n_entities - N_ITEMS
    assert knowledge_graph(edges).num_nodes() == edges.n_entities


def test_data_without_training_interactions_still_build():
    dataset = make_dataset(KG, interactions=[(0, 0, "test")])
    assert bipartite(build_heterograph(dataset)).nnz == 0


def test_knowledge_graph_sends_messages_from_tail_to_head():
    dataset = make_dataset(KG)
    edges = knowledge_edges(build_heterograph(dataset), dataset)
    graph = knowledge_graph(edges)
    sources, destinations = graph.edges()
    assert torch.equal(sources, edges.tail)
    assert torch.equal(destinations, edges.head)
    assert torch.equal(graph.edata["relation"], edges.relation)
    assert graph.num_nodes() == edges.n_entities
    keep = edges.relation == 2
    kept = knowledge_graph(edges, keep)
    assert kept.num_edges() == int(keep.sum()) > 0
    assert torch.equal(kept.edges()[0], edges.tail[keep])
    assert kept.edata["relation"].unique().tolist() == [2]
    assert kept.num_nodes() == edges.n_entities


def test_moving_edges_keeps_them():
    dataset = make_dataset(KG)
    edges = knowledge_edges(build_heterograph(dataset), dataset)
    moved = edges.to("cpu")
    assert found_edges(moved) == found_edges(edges)
    assert moved.relation_names == edges.relation_names


def test_a_relation_named_like_an_inverse_is_refused():
    kg = make_kg([(0, 0, 1)], [("r", False), ("r^-1", True)], 0)
    with pytest.raises(InputError, match=r"'r\^-1' has the name of an inverse"):
        build_heterograph(make_dataset(kg))


def test_a_relation_may_be_called_like_the_interactions():
    dataset = make_dataset(make_kg([(0, 0, 4)], [("interacts", False)], 1))
    graph = build_heterograph(dataset)
    assert found_edges(knowledge_edges(graph, dataset)) == [(0, "interacts", 4), (4, "interacts^-1", 0)]
    assert bipartite(graph).nnz == 3


@settings(max_examples=40, deadline=None)
@given(
    triples=st.sets(st.tuples(st.integers(0, 6), st.integers(0, 2), st.integers(0, 6)), max_size=30),
    symmetric=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_any_knowledge_graph_comes_back_whole(triples, symmetric):
    kg = make_kg(sorted(triples), [(f"r{number}", flag) for number, flag in enumerate(symmetric)], 3)
    dataset = make_dataset(kg)
    edges = knowledge_edges(build_heterograph(dataset), dataset)
    assert found_edges(edges) == expected_edges(kg)
