"""Neighbour-sampled parts of the heterograph, for graphs on which a step over the whole takes too long.

The users and items of a batch are the seeds. DGL samples their neighbours, hop by hop and relation by
relation, and induces the sub-graph on all nodes that it met; the losses of the method then run on that
sub-graph as they do on the whole one (Zeng et al., *Decoupling the Depth and Scope of Graph Neural
Networks*, NeurIPS 2021). With all neighbours and as many hops as the views have layers, the seeds get the
same representations as on the whole graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdiffe_dgl.backend import dgl, single_dgl_thread
from kdiffe_dgl.graph.hetero import ENTITY, ITEM, USER, KnowledgeEdges

__all__ = ["NeighbourSampler", "Sample"]


@dataclass(frozen=True)
class Sample:
    """Nodes of a sample, and the edges of the knowledge graph among them.

    Attributes
    ----------
    users, entities
        Numbers in the whole graph, int64; seeds first, and among the entities the items first.
    n_items
        How many of the entities are items.
    head, tail
        Ends of the knowledge graph's edges among the entities, as positions in ``entities``.
    edge
        Row of each in the whole graph's :class:`KnowledgeEdges`.
    """

    users: Tensor
    entities: Tensor
    n_items: int
    head: Tensor
    tail: Tensor
    edge: Tensor

    @property
    def items(self) -> Tensor:
        """Numbers of the items in the whole graph."""
        return self.entities[: self.n_items]


class NeighbourSampler:
    """Samples sub-graphs around seeds with DGL.

    Parameters
    ----------
    graph
        Heterograph of users, items and entities.
    edges
        Its knowledge graph.
    fanouts
        Neighbours of a node that are followed at each hop, for each edge type; -1: all of them.
    """

    def __init__(self, graph: dgl.DGLGraph, edges: KnowledgeEdges, fanouts: Sequence[int]) -> None:
        # The structure alone: DGL would otherwise cut the features of every sample out, too.
        self._graph = dgl.heterograph(
            {edge_type: graph.edges(etype=edge_type) for edge_type in graph.canonical_etypes},
            num_nodes_dict={node_type: graph.num_nodes(node_type) for node_type in graph.ntypes},
        )
        self._n_items: int = graph.num_nodes(ITEM)
        self._relations = [
            edge_type for edge_type in graph.canonical_etypes if USER not in (edge_type[0], edge_type[2])
        ]
        keys = edges.keys()
        for edge_type in self._relations:
            head, tail = graph.edges(etype=edge_type)
            relation = edges.relation_names.index(edge_type[1])
            rows = edges.keys(
                head + self._offset(edge_type[0], self._n_items),
                torch.full_like(head, relation),
                tail + self._offset(edge_type[2], self._n_items),
            )
            self._graph.edges[edge_type].data["edge"] = torch.searchsorted(keys, rows)
        self._sampler = dgl.dataloading.ShaDowKHopSampler(list(fanouts))

    @staticmethod
    def _offset(node_type: str, n_items: int) -> int:
        return n_items if node_type == ENTITY else 0

    def sample(self, users: Tensor, items: Tensor, generator: torch.Generator) -> Sample:
        """Sample around seeds.

        Parameters
        ----------
        users, items
            Seeds, int64, each once, on the CPU.
        generator
            Source of randomness; DGL is seeded from it.
        """
        seed = torch.randint(2**31, (1,), generator=generator, device=generator.device)
        with single_dgl_thread():
            dgl.seed(int(seed))
            nodes, _, part = self._sampler.sample(self._graph, {USER: users, ITEM: items})
        n_items = len(nodes[ITEM])
        heads, tails, rows = [], [], []
        for edge_type in self._relations:
            head, tail = part.edges(etype=edge_type)
            heads.append(head + self._offset(edge_type[0], n_items))
            tails.append(tail + self._offset(edge_type[2], n_items))
            rows.append(part.edges[edge_type].data["edge"])
        empty = torch.empty(0, dtype=torch.int64)
        return Sample(
            nodes[USER],
            torch.cat([nodes[ITEM], nodes[ENTITY] + self._n_items]),
            n_items,
            torch.cat([empty, *heads]),
            torch.cat([empty, *tails]),
            torch.cat([empty, *rows]),
        )
