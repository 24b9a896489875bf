"""Loss terms of the recommender, each on its own."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["bpr_loss", "info_nce", "squared_norm"]


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
    anchors, candidates = functional.normalize(anchors), functional.normalize(candidates)
    similarity = anchors @ candidates.t() / temperature
    return functional.cross_entropy(similarity, positive)


def squared_norm(embeddings: Iterable[Tensor]) -> Tensor:
    """Return the sum of the squares of all entries of all tensors, a scalar."""
    return torch.stack([embedding.square().sum() for embedding in embeddings]).sum()
