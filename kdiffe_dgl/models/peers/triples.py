"""What knowledge-aware peers share: embeddings that make triples plausible."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.graph.hetero import KnowledgeEdges, build_heterograph, knowledge_edges

__all__ = ["corrupted_tails", "edges_of", "translation_loss"]


def edges_of(dataset: RecDataset, model: str) -> KnowledgeEdges:
    """Return the edges of a data set's knowledge graph, inverses included.

    Raises
    ------
    InputError
        If there is no knowledge graph.
    """
    if dataset.kg is None:
        raise InputError(
            f"model {model}: data set {dataset.name!r} has no knowledge graph; expected one "
            "(kdiffe data attach --kg)"
        )
    return knowledge_edges(build_heterograph(dataset), dataset)


def corrupted_tails(
    n_edges: int, n_nodes: int, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw edges, and a node for each in place of its tail, both uniformly with replacement.

    A drawn node may happen to make a true triple; in a sparse graph that is rare.

    Returns
    -------
    tuple of Tensor
        Positions of the edges and nodes, int64 ``[count]``, on the generator's device.
    """
    device = generator.device
    chosen = torch.randint(n_edges, (count,), generator=generator, device=device)
    return chosen, torch.randint(n_nodes, (count,), generator=generator, device=device)


def translation_loss(head: Tensor, relation: Tensor, tail: Tensor, wrong: Tensor) -> Tensor:
    r"""Return :math:`-\frac1B \sum \ln \sigma(\|h + r - t'\|^2 - \|h + r - t\|^2)`.

    Parameters
    ----------
    head, relation, tail, wrong
        Embeddings of triples and of the nodes t' in place of their tails, ``[batch, dim]`` each.

    Returns
    -------
    Tensor
        Scalar: the pairwise loss of TransE (Bordes et al., *Translating Embeddings for Modeling
        Multi-relational Data*, NeurIPS 2013) and, with projected entities, of TransR (Lin et al.,
        *Learning Entity and Relation Embeddings for Knowledge Graph Completion*, AAAI 2015).
    """
    moved = head + relation
    right, other = (moved - tail).square().sum(dim=1), (moved - wrong).square().sum(dim=1)
    return functional.softplus(right - other).mean()
