"""The heterograph of a data set, and the two graphs that the model reads from it.

Node types are ``user``, ``item`` and ``entity`` (what the knowledge graph holds beside the items). A
relation becomes one canonical edge type for every pair of node types that it joins, with an inverse of
its own; a symmetric relation is its own inverse. Two graphs come back out: the bipartite training
interactions, and the knowledge graph over all entities, items first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import product

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from kdiffe_dgl.backend import dgl
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kg_builders.schema import KnowledgeGraph

__all__ = [
    "INTERACTED_BY",
    "INTERACTS",
    "INVERSE",
    "KnowledgeEdges",
    "bipartite",
    "build_heterograph",
    "knowledge_edges",
    "knowledge_graph",
    "relation_names",
]

EdgeType = tuple[str, str, str]

USER, ITEM, ENTITY = "user", "item", "entity"
INTERACTS: EdgeType = (USER, "interacts", ITEM)
INTERACTED_BY: EdgeType = (ITEM, "interacted_by", USER)
INVERSE = "^-1"
"""Ending of the name of an inverse relation."""


def build_heterograph(dataset: RecDataset) -> dgl.DGLGraph:
    """Build the heterograph of a data set.

    Parameters
    ----------
    dataset
        Only its training interactions become edges.

    Returns
    -------
    DGLGraph
        Nodes: ``user``, ``item`` and ``entity``, where entity ``j`` is entity ``n_items + j`` of the
        knowledge graph. Edges: ``interacts``, ``interacted_by`` and the relations with their inverses,
        ``name^-1``. Edges of relations carry ``triple``, the row of the stored triple that they come
        from. Item nodes carry the features, one matrix ``[items, width]`` a modality.

    Raises
    ------
    InputError
        If a relation has the name of another relation's inverse.
    """
    pairs = torch.from_numpy(dataset.pairs("train"))
    users, items = pairs[:, 0].contiguous(), pairs[:, 1].contiguous()
    edges: dict[EdgeType, tuple[Tensor, Tensor]] = {INTERACTS: (users, items), INTERACTED_BY: (items, users)}
    triples: dict[EdgeType, Tensor] = {}
    n_entities = 0 if dataset.kg is None else dataset.kg.n_entities - dataset.n_items
    sizes = {USER: dataset.n_users, ITEM: dataset.n_items, ENTITY: n_entities}
    if dataset.kg is not None:
        relation_names(dataset.kg)  # refuses names that clash
        for edge_type, head, tail, triple in _typed_relations(dataset.kg, dataset.n_items):
            edges[edge_type] = (head, tail)
            triples[edge_type] = triple
    graph = dgl.heterograph(edges, num_nodes_dict=sizes)
    for edge_type, triple in triples.items():
        graph.edges[edge_type].data["triple"] = triple
    for modality, matrix in dataset.features.items():
        # A copy: the matrix may be a read-only memory map.
        graph.nodes[ITEM].data[modality] = torch.from_numpy(np.array(matrix))
    return graph


def bipartite(graph: dgl.DGLGraph) -> sp.csr_matrix:
    """Return the training interactions of a heterograph as a binary matrix.

    Returns
    -------
    csr_matrix
        float32 ``[users, items]``, column indices sorted in each row.
    """
    users, items = (ends.cpu().numpy() for ends in graph.edges(etype=INTERACTS))
    shape = (graph.num_nodes(USER), graph.num_nodes(ITEM))
    matrix = sp.csr_matrix((np.ones(len(users), dtype=np.float32), (users, items)), shape=shape)
    matrix.sort_indices()
    return matrix


@dataclasses.dataclass(frozen=True)
class KnowledgeEdges:
    """Edges of the knowledge graph, inverses included, sorted by head, relation and tail.

    Parameters
    ----------
    head, relation, tail
        int64 ``[edges]``; entities are numbered with the items first.
    triple
        int64 ``[edges]``, the row of the stored triple that the edge comes from.
    n_entities
        Number of entities, items and isolated entities included.
    relation_names
        Name of every relation id, inverses included.
    """

    head: Tensor
    relation: Tensor
    tail: Tensor
    triple: Tensor
    n_entities: int
    relation_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.head)

    @property
    def n_relations(self) -> int:
        """Number of relations, inverses included."""
        return len(self.relation_names)

    def keys(
        self, head: Tensor | None = None, relation: Tensor | None = None, tail: Tensor | None = None
    ) -> Tensor:
        """Return a number for each edge, or for other triples of its ids, ascending with the edges.

        Raises
        ------
        ValueError
            If there are too many entities and relations for 64 bits.
        """
        if self.n_entities**2 * max(1, self.n_relations) > torch.iinfo(torch.int64).max:
            raise ValueError("too many entities and relations for 64-bit keys")
        if head is None or relation is None or tail is None:
            head, relation, tail = self.head, self.relation, self.tail
        return (head * self.n_relations + relation) * self.n_entities + tail

    def to(self, device: torch.device | str) -> KnowledgeEdges:
        """Return the edges on a device."""
        moved = {name: getattr(self, name).to(device) for name in ("head", "relation", "tail", "triple")}
        return dataclasses.replace(self, **moved)


def knowledge_edges(graph: dgl.DGLGraph, dataset: RecDataset) -> KnowledgeEdges:
    """Read the knowledge graph back from a heterograph.

    Parameters
    ----------
    graph
        From :func:`build_heterograph`.
    dataset
        The same data set: it numbers the relations, also those without a triple.
    """
    names = () if dataset.kg is None else relation_names(dataset.kg)
    numbers = {name: number for number, name in enumerate(names)}
    offsets = {ITEM: 0, ENTITY: graph.num_nodes(ITEM)}
    parts = [torch.empty(4, 0, dtype=torch.int64)]
    for edge_type in graph.canonical_etypes:
        head_type, name, tail_type = edge_type
        if USER in (head_type, tail_type):
            continue
        head, tail = graph.edges(etype=edge_type)
        relation = torch.full_like(head, numbers[name])
        triple = graph.edges[edge_type].data["triple"]
        parts.append(torch.stack([head + offsets[head_type], relation, tail + offsets[tail_type], triple]))
    edges = torch.cat([part.cpu() for part in parts], dim=1)
    order = np.lexsort(edges[[2, 1, 0]].numpy())
    head, relation, tail, triple = edges[:, torch.from_numpy(order)].unbind()
    n_entities = dataset.n_items if dataset.kg is None else dataset.kg.n_entities
    return KnowledgeEdges(head, relation, tail, triple, n_entities, names)


def knowledge_graph(
    edges: KnowledgeEdges, keep: Tensor | None = None, proposed: tuple[Tensor, Tensor] | None = None
) -> dgl.DGLGraph:
    """Return the knowledge graph as one homogeneous graph.

    Parameters
    ----------
    edges
        Edges with ids of relations.
    keep
        Boolean ``[edges]``: which to keep; null: all.
    proposed
        Heads and tails of further edges, which no triple states; their relation is the number after the last.

    Returns
    -------
    DGLGraph
        All entities, items first. Edges lead from tail to head, as messages do in the method, and
        carry ``relation``.
    """
    head, relation, tail = edges.head, edges.relation, edges.tail
    if keep is not None:
        head, relation, tail = head[keep], relation[keep], tail[keep]
    if proposed is not None:
        relation = torch.cat([relation, torch.full_like(proposed[0], edges.n_relations)])
        head, tail = torch.cat([head, proposed[0]]), torch.cat([tail, proposed[1]])
    graph = dgl.graph((tail, head), num_nodes=edges.n_entities)
    graph.edata["relation"] = relation
    return graph


def relation_names(kg: KnowledgeGraph) -> tuple[str, ...]:
    """Return the names of all relations, each followed by its inverse unless it is symmetric.

    Raises
    ------
    InputError
        If a relation has the name of another relation's inverse.
    """
    names: list[str] = []
    for name, symmetric in kg.relations.select("name", "symmetric").iter_rows():
        names += [name] if symmetric else [name, name + INVERSE]
    if len(set(names)) < len(names):
        clash = next(name for name in names if names.count(name) > 1)
        raise InputError(
            f"knowledge graph: relation {clash!r} has the name of an inverse; "
            f"expected names of relations that don't end in {INVERSE!r}"
        )
    return tuple(names)


def _typed_relations(kg: KnowledgeGraph, n_items: int) -> Iterator[tuple[EdgeType, Tensor, Tensor, Tensor]]:
    """Yield edge type, heads, tails and triples of every relation and its inverse.

    Heads and tails are numbered within their node types.
    """
    table = kg.triples.select("relation", "head", "tail").to_numpy().astype(np.int64)
    order = np.argsort(table[:, 0], kind="stable")
    bounds = np.searchsorted(table[order, 0], np.arange(kg.n_relations + 1))
    for relation, (name, symmetric) in enumerate(kg.relations.select("name", "symmetric").iter_rows()):
        rows = order[bounds[relation] : bounds[relation + 1]]
        head, tail = table[rows, 1], table[rows, 2]
        if symmetric:
            # One edge a direction, also for a loop and for a pair that is stored both ways.
            ends = np.concatenate([np.stack([head, tail], 1), np.stack([tail, head], 1)])
            ends, first = np.unique(ends, axis=0, return_index=True)
            named = [(name, ends[:, 0], ends[:, 1], np.tile(rows, 2)[first])]
        else:
            named = [(name, head, tail, rows), (name + INVERSE, tail, head, rows)]
        for label, heads, tails, triples in named:
            for head_type, tail_type in product((ITEM, ENTITY), repeat=2):
                chosen = ((heads < n_items) == (head_type == ITEM)) & (
                    (tails < n_items) == (tail_type == ITEM)
                )
                if chosen.any():
                    yield (
                        (head_type, label, tail_type),
                        torch.from_numpy(heads[chosen] - (head_type == ENTITY) * n_items),
                        torch.from_numpy(tails[chosen] - (tail_type == ENTITY) * n_items),
                        torch.from_numpy(triples[chosen]),
                    )
