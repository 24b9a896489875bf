"""Knowledge graphs to and from NetworkX, in memory."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import networkx as nx
import polars as pl

from kg_builders.errors import InputError
from kg_builders.schema import ENTITY_SCHEMA, RELATION_SCHEMA, TRIPLE_SCHEMA, KnowledgeGraph

__all__ = ["DEFAULT_KIND", "DEFAULT_RELATION", "from_networkx", "to_networkx"]

DEFAULT_KIND = "entity"
"""Kind of nodes that don't tell theirs."""
DEFAULT_RELATION = "related"
"""Relation of edges that don't tell theirs."""


def to_networkx(kg: KnowledgeGraph) -> nx.MultiDiGraph:
    """Return the graph for NetworkX: nodes are entity numbers, edges carry the relation's name as key.

    Nodes have ``id``, ``label`` and ``kind``; edges ``source``. The relations, as dictionaries of ``name``,
    ``label`` and ``symmetric``, are the graph's attribute ``relations``. Of triples that are there twice one
    edge is made.
    """
    graph = nx.MultiDiGraph(relations=kg.relations.select("name", "label", "symmetric").to_dicts())
    graph.add_nodes_from(
        (entity, {"id": id_, "label": label, "kind": kind})
        for entity, id_, label, kind in kg.entities.iter_rows()
    )
    named = kg.triples.join(kg.relations.select("relation", "name"), on="relation", maintain_order="left")
    graph.add_edges_from(
        (head, tail, name, {"source": source})
        for head, tail, name, source in named.select("head", "tail", "name", "source").iter_rows()
    )
    return graph


def from_networkx(graph: nx.Graph, kind: str = DEFAULT_KIND) -> KnowledgeGraph:
    """Return the knowledge graph of a NetworkX graph, from :func:`to_networkx` or anywhere else.

    Parameters
    ----------
    graph
        Directed or not. Nodes may have ``id`` (else the node itself, as text), ``label`` (else the id) and
        ``kind``. The relation of an edge is its attribute ``relation``, else its key if that is a text, else
        ``related``; relations of an undirected graph are symmetric. Attributes by another name are left out.
    kind
        Kind of nodes without one; with ``"item"``, all such nodes are catalogue items.

    Returns
    -------
    KnowledgeGraph
        Entities in the order of the nodes; relations as the graph's attribute ``relations`` tells, others
        after them as they come.

    Raises
    ------
    InputError
        If two nodes have the same kind and id, or the attribute ``relations`` is of another form.
    """
    numbers: dict[Hashable, int] = {node: number for number, node in enumerate(graph)}
    entities = []
    for node, number in numbers.items():
        facts: Mapping[str, Any] = graph.nodes[node]
        id_ = _text(facts.get("id"), str(node))
        entities.append((number, id_, _text(facts.get("label"), id_), _text(facts.get("kind"), kind)))
    relations = _told_relations(graph)
    known = {name: number for number, (name, _, _) in enumerate(relations)}
    triples = []
    edges = (
        graph.edges(keys=True, data=True)
        if graph.is_multigraph()
        else ((head, tail, None, facts) for head, tail, facts in graph.edges(data=True))
    )
    for head, tail, key, facts in edges:
        name = _text(facts.get("relation"), key if isinstance(key, str) else DEFAULT_RELATION)
        if name not in known:
            known[name] = len(relations)
            relations.append((name, name, not graph.is_directed()))
        triples.append((numbers[head], known[name], numbers[tail], _text(facts.get("source"), None)))
    return KnowledgeGraph(
        pl.DataFrame(entities, schema=ENTITY_SCHEMA, orient="row"),
        pl.DataFrame(
            [(number, *relation) for number, relation in enumerate(relations)],
            schema=RELATION_SCHEMA,
            orient="row",
        ),
        pl.DataFrame(triples, schema=TRIPLE_SCHEMA, orient="row"),
    )


def _told_relations(graph: nx.Graph) -> list[tuple[str, str, bool | None]]:
    told = graph.graph.get("relations", [])
    try:
        return [
            (str(relation["name"]), _text(relation.get("label"), relation["name"]), relation.get("symmetric"))
            for relation in told
        ]
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(
            "graph: the attribute 'relations' is of another form; "
            "expected a list of dictionaries with name, label and symmetric"
        ) from error


def _text(value: Any, otherwise: str | None) -> Any:
    return otherwise if value is None else str(value)
