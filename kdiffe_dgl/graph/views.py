"""Generated user-item graphs as DGL views, and their operators."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kdiffe_dgl.backend import dgl
from kdiffe_dgl.graph.bipartite import BipartiteOperator
from kdiffe_dgl.graph.operators import normalised_adjacency_from_edges

__all__ = ["interaction_view", "require_edges", "view_operator"]


def require_edges(first: Tensor, second: Tensor, n_first: int, n_second: int) -> None:
    """Refuse what are no ends of edges: for edges that come from a file.

    Raises
    ------
    ValueError
        Unless both are int64, as long as each other, and numbers of nodes.
    """
    for end, count in ((first, n_first), (second, n_second)):
        if end.dtype != torch.int64 or end.dim() != 1 or len(end) != len(first):
            raise ValueError(f"ends of edges of {end.dtype} and shape {tuple(end.shape)}")
        if len(end) and not (int(end.min()) >= 0 and int(end.max()) < count):
            raise ValueError(f"an end of an edge beyond the {count} nodes")


def interaction_view(users: Tensor, items: Tensor, n_users: int, n_items: int) -> dgl.DGLGraph:
    """Return generated user-item edges as a DGL heterograph with edge type ``("user", "generated", "item")``.

    Parameters
    ----------
    users, items
        Ends of the edges, int64 ``[edges]`` each.
    n_users, n_items
        Sizes.
    """
    return dgl.heterograph(
        {("user", "generated", "item"): (users, items)}, num_nodes_dict={"user": n_users, "item": n_items}
    )


def view_operator(view: dgl.DGLGraph, device: torch.device) -> BipartiteOperator:
    """Return the symmetrically normalised adjacency of a generated view, with self-loops, as an operator."""
    users, items = view.edges(etype="generated")
    matrix = normalised_adjacency_from_edges(
        users.cpu().numpy(),
        items.cpu().numpy(),
        np.ones(len(users), dtype=np.float32),
        view.num_nodes("user"),
        view.num_nodes("item"),
    )
    return BipartiteOperator.from_scipy(matrix, view.num_nodes("user")).to(device)
