"""Loss terms of the recommender, each on its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["bpr_loss", "info_nce", "softmax_loss", "squared_norm"]


def bpr_loss(positive: Tensor, negative: Tensor) -> Tensor:
    r"""Bayesian personalised ranking, :math:`-\frac1B \sum \ln \sigma(s_{ui} - s_{uj})`.

    Parameters
    ----------
    positive, negative
        Scores of the observed and of the sampled item of each pair, ``[batch]`` each.

    Returns
    -------
    Tensor
        Scalar (Rendle et al., *BPR*, UAI 2009).
    """
    return functional.softplus(negative - positive).mean()


def softmax_loss(users: Tensor, items: Tensor, positive: Tensor) -> Tensor:
    r"""Cross entropy of the observed item among all items.

    .. math:: -\frac1B \sum_b \ln \frac{\exp(z_{u_b} \cdot z_{i_b})}{\sum_j \exp(z_{u_b} \cdot z_j)}

    Parameters
    ----------
    users
        Users of the batch, ``[batch, dim]``.
    items
        All items, ``[items, dim]``.
    positive
        Observed item of each user, int64 ``[batch]``.

    Returns
    -------
    Tensor
        Scalar. It bounds ranking metrics more tightly than pairwise losses do (Bruch et al., *An
        Analysis of the Softmax Cost Function for Learning to Rank*, ICTIR 2019).
    """
    partition: Tensor = _LogPartition.apply(users, items)
    return (partition - (users * items[positive]).sum(dim=1)).mean()


def info_nce(anchors: Tensor, candidates: Tensor, positive: Tensor, temperature: float) -> Tensor:
    r"""Contrast anchors with their own counterpart among all candidates.

    .. math:: -\frac1B \sum_b \ln \frac{\exp(\cos(a_b, c_{p_b})/\tau)}{\sum_v \exp(\cos(a_b, c_v)/\tau)}

    Parameters
    ----------
    anchors
        One view of some nodes, ``[batch, dim]``.
    candidates
        The other view of the nodes that serve as negatives, ``[nodes, dim]``.
    positive
        Row of each anchor's counterpart in ``candidates``, int64 ``[batch]``.
    temperature
        τ > 0.

    Returns
    -------
    Tensor
        Scalar (KDiffE, contrastive losses; van den Oord et al., 2018).
    """
    # The temperature divides the small matrix, not the large product.
    anchors, candidates = functional.normalize(anchors) / temperature, functional.normalize(candidates)
    return softmax_loss(anchors, candidates, positive)


class _LogPartition(torch.autograd.Function):
    r"""Row-wise :math:`\ln \sum_v \exp(a_b \cdot c_v)`.

    The product ``[batch, nodes]`` is made once and turned into exponentials in place; both gradients
    are products with it, the row sums divide the small factors. That is a third of the memory
    traffic of the same expression left to autograd.
    """

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, candidates: Tensor) -> Tensor:
        exponential = anchors @ candidates.t()
        greatest = exponential.amax(dim=1, keepdim=True)
        exponential.sub_(greatest).exp_()
        total = exponential.sum(dim=1, keepdim=True)
        ctx.save_for_backward(anchors, candidates, exponential, total)
        return (total.log() + greatest).squeeze(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        anchors, candidates, exponential, total = ctx.saved_tensors
        share = gradients[0].unsqueeze(1) / total
        return (exponential @ candidates) * share, exponential.t() @ (anchors * share)


def squared_norm(embeddings: Iterable[Tensor]) -> Tensor:
    """Return the sum of the squares of all entries of all tensors, a scalar."""
    return torch.stack([embedding.square().sum() for embedding in embeddings]).sum()
