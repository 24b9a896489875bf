"""A knowledge graph for DGL, by itself: no users, no data set.

For the graph of a data set, which the model trains on, see :mod:`kdiffe_dgl.graph.hetero`; names of relations
and their inverses are the same here.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import torch

from kdiffe_dgl.backend import dgl
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.graph.hetero import relation_names
from kg_builders.schema import KnowledgeGraph

__all__ = ["to_dgl"]


def to_dgl(kg: KnowledgeGraph, homogeneous: bool = False, inverses: bool = True) -> dgl.DGLGraph:
    """Return a knowledge graph as a DGL graph, whose edges lead from head to tail.

    Parameters
    ----------
    kg
        The graph.
    homogeneous
        One type of nodes, the entities by their numbers, and relations as ids; otherwise a heterograph.
    inverses
        Add the inverse of each edge: one edge a direction for symmetric relations, ``NAME^-1`` for the
        others. Without, every triple is one edge.

    Returns
    -------
    DGLGraph
        Homogeneous: nodes ``[entities]``; edges carry ``relation``, an id that
        :func:`kdiffe_dgl.graph.hetero.relation_names` names if there are inverses, and otherwise the graph's
        own; and ``triple``, the row of the triple they come from. Edges are in the order of the triples, the
        inverses after them.

        Heterograph: a node type for each kind, in which nodes carry their number as ``entity``; an edge type
        (kind of the head, relation, kind of the tail) for each that occurs; edges carry ``relation`` and
        ``triple`` as above. Kinds and relations that nothing is of are left out.

    Raises
    ------
    InputError
        If a relation has the name of another relation's inverse, and there are inverses; or a heterograph is
        to be made of no triple, which DGL doesn't allow.

    Examples
    --------
    >>> graph = to_dgl(kg)  # doctest: +SKIP
    >>> graph.num_edges(("item", "genre", "genre"))  # doctest: +SKIP
    """
    edges, names = _edges(kg, inverses)
    if homogeneous:
        ends = (_tensor(edges["head"]), _tensor(edges["tail"]))
        graph = dgl.graph(ends, num_nodes=kg.n_entities)
        graph.edata["relation"] = _tensor(edges["relation"])
        graph.edata["triple"] = _tensor(edges["triple"])
        return graph
    if not len(edges):
        raise InputError(
            "the knowledge graph has no triple, of which DGL makes no heterograph; "
            "expected one at least, or homogeneous=True"
        )
    # Number of each entity among those of its kind.
    entities = kg.entities.select("kind", "entity", node=pl.int_range(pl.len()).over("kind"))
    edges = edges.select(
        "relation",
        "triple",
        head_kind=entities["kind"].gather(edges["head"]),
        head=entities["node"].gather(edges["head"]),
        tail_kind=entities["kind"].gather(edges["tail"]),
        tail=entities["node"].gather(edges["tail"]),
    )
    parts = {
        (head_kind, names[relation], tail_kind): part
        for (head_kind, relation, tail_kind), part in edges.partition_by(
            ["head_kind", "relation", "tail_kind"], as_dict=True, maintain_order=True
        ).items()
    }
    sizes = dict(entities.group_by("kind", maintain_order=True).len().iter_rows())
    graph = dgl.heterograph(
        {kind: (_tensor(part["head"]), _tensor(part["tail"])) for kind, part in parts.items()},
        num_nodes_dict=sizes,
    )
    for kind, part in entities.partition_by("kind", as_dict=True).items():
        graph.nodes[kind[0]].data["entity"] = _tensor(part["entity"])
    for edge_type, part in parts.items():
        graph.edges[edge_type].data["relation"] = _tensor(part["relation"])
        graph.edges[edge_type].data["triple"] = _tensor(part["triple"])
    return graph


def _edges(kg: KnowledgeGraph, inverses: bool) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return columns head, relation, tail and triple of the edges, and the names of the relations."""
    edges = kg.triples.select("head", "relation", "tail", triple=pl.int_range(pl.len(), dtype=pl.Int64))
    if not inverses:
        return edges, tuple(kg.relations["name"])
    names = relation_names(kg)
    numbers = {name: number for number, name in enumerate(names)}
    table = kg.relations.select(
        "relation",
        pl.col("symmetric").fill_null(False),
        forward=pl.Series([numbers[name] for name in kg.relations["name"]], dtype=pl.Int64),
    ).with_columns(backward=pl.col("forward") + (~pl.col("symmetric")).cast(pl.Int64))
    edges = edges.join(table, on="relation", how="left", maintain_order="left")
    forward = edges.select("head", "tail", "triple", "symmetric", relation="forward")
    backward = edges.select("triple", "symmetric", head="tail", tail="head", relation="backward")
    both = pl.concat([forward, backward.select(forward.columns)])
    # One edge a direction, also for a loop and for a pair that is stored both ways.
    repeated = pl.col("symmetric") & ~pl.struct("head", "relation", "tail").is_first_distinct()
    return both.filter(~repeated).select("head", "relation", "tail", "triple"), names


def _tensor(column: pl.Series) -> torch.Tensor:
    # A copy: Polars' memory is read-only.
    return torch.from_numpy(np.array(column.to_numpy(), dtype=np.int64))
