"""Contrastive terms: which nodes of a batch are contrasted, against which others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kdiffe_dgl.graph.bipartite import Rows
from kdiffe_dgl.models.kdiffe_config import ContrastConfig
from kdiffe_dgl.training.losses import info_nce

__all__ = ["Anchors", "draw_anchors"]

View = tuple[Tensor, Tensor]
"""Users and items of a view, ``[n, dim]`` each."""


@dataclass(frozen=True)
class Anchors:
    """The contrasted nodes of a batch, and where their counterparts lie in the other view.

    Attributes
    ----------
    users, items
        Contrasted nodes, int64 ``[anchors]`` each; rows of the first view.
    user_position, item_position
        Row of each one's counterpart in the other view.
    rows
        Nodes of the other view, which are the negatives as well; null: all nodes.
    temperature
        τ.
    """

    users: Tensor
    items: Tensor
    user_position: Tensor
    item_position: Tensor
    rows: Rows | None
    temperature: float

    def loss(self, view: View, other: View) -> Tensor:
        """Contrast two views: InfoNCE over the users plus InfoNCE over the items, a scalar.

        Parameters
        ----------
        view
            All nodes.
        other
            The nodes of ``rows``.
        """
        by_user = info_nce(view[0][self.users], other[0], self.user_position, self.temperature)
        return by_user + info_nce(view[1][self.items], other[1], self.item_position, self.temperature)

    def among_rows(self) -> Anchors:
        """Return the anchors for two views that both hold the nodes of ``rows`` alone."""
        if self.rows is None:
            return self
        return Anchors(
            self.user_position,
            self.item_position,
            self.user_position,
            self.item_position,
            self.rows,
            self.temperature,
        )


def draw_anchors(
    users: Tensor,
    items: Tensor,
    config: ContrastConfig,
    generator: torch.Generator | None,
    whole: bool = True,
) -> Anchors:
    """Choose the contrasted nodes among those of a batch.

    Parameters
    ----------
    users, items
        Of the batch, int64 ``[batch]`` each.
    config
        Settings.
    generator
        Source of the choice.
    whole
        Whether the views hold all nodes, so that all may be negatives.
    """
    users, items = (_chosen(nodes, config, generator) for nodes in (users, items))
    if whole and config.negatives == "all":
        return Anchors(users, items, users, items, None, config.temperature)
    every_user, user_position = users.unique(return_inverse=True)
    every_item, item_position = items.unique(return_inverse=True)
    return Anchors(users, items, user_position, item_position, (every_user, every_item), config.temperature)


def _chosen(nodes: Tensor, config: ContrastConfig, generator: torch.Generator | None) -> Tensor:
    if config.distinct:
        nodes = nodes.unique()
    if not config.anchors or config.anchors >= len(nodes):
        return nodes
    return nodes[torch.randperm(len(nodes), generator=generator, device=nodes.device)[: config.anchors]]
