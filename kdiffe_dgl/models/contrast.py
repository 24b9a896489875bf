"""Contrastive terms: which nodes of a batch are contrasted, against which others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdiffe_dgl.graph.bipartite import Rows
from kdiffe_dgl.models.kdiffe_config import ContrastConfig
from kdiffe_dgl.training.losses import info_nce, sample_candidates

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
    log_weights
        For the users and the items of ``rows``: see :func:`kdiffe_dgl.training.losses.softmax_loss`; null: 0.
    temperature
        τ.
    """

    users: Tensor
    items: Tensor
    user_position: Tensor
    item_position: Tensor
    rows: Rows | None
    log_weights: tuple[Tensor | None, Tensor | None]
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
        tau, (user_weight, item_weight) = self.temperature, self.log_weights
        by_user = info_nce(view[0][self.users], other[0], self.user_position, tau, user_weight)
        return by_user + info_nce(view[1][self.items], other[1], self.item_position, tau, item_weight)

    def among_rows(self) -> Anchors:
        """Return the anchors for two views that both hold the nodes of ``rows`` alone."""
        if self.rows is None:
            return self
        return replace(self, users=self.user_position, items=self.item_position)

    def renumbered(self, users: Tensor, items: Tensor) -> Anchors:
        """Return the anchors as positions in sorted lists of users and items that hold all of them."""
        rows = self.rows
        if rows is not None:
            rows = torch.searchsorted(users, rows[0]), torch.searchsorted(items, rows[1])
        return replace(
            self,
            users=torch.searchsorted(users, self.users),
            items=torch.searchsorted(items, self.items),
            rows=rows,
        )


def draw_anchors(
    users: Tensor,
    items: Tensor,
    sizes: tuple[int, int],
    config: ContrastConfig,
    generator: torch.Generator,
    whole: bool = True,
) -> Anchors:
    """Choose the contrasted nodes among those of a batch, and their negatives.

    Parameters
    ----------
    users, items
        Of the batch, int64 ``[batch]`` each.
    sizes
        Numbers of all users and items.
    config
        Settings.
    generator
        Source of the choice.
    whole
        Whether the views hold all nodes. If not, those of the batch stand in where all are asked for.
    """
    users, items = (_chosen(nodes, config, generator) for nodes in (users, items))
    tau = config.temperature
    if config.negatives == "all" and whole:
        return Anchors(users, items, users, items, None, (None, None), tau)
    if config.negatives == "sampled":
        of_users = sample_candidates(sizes[0], users, config.samples, generator)
        of_items = sample_candidates(sizes[1], items, config.samples, generator)
        rows, weights = (of_users[0], of_items[0]), (of_users[2], of_items[2])
        return Anchors(users, items, of_users[1], of_items[1], rows, weights, tau)
    every_user, user_position = users.unique(return_inverse=True)
    every_item, item_position = items.unique(return_inverse=True)
    return Anchors(users, items, user_position, item_position, (every_user, every_item), (None, None), tau)


def _chosen(nodes: Tensor, config: ContrastConfig, generator: torch.Generator) -> Tensor:
    if config.distinct:
        nodes = nodes.unique()
    if not config.anchors or config.anchors >= len(nodes):
        return nodes
    return nodes[torch.randperm(len(nodes), generator=generator, device=nodes.device)[: config.anchors]]
