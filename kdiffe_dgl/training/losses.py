"""Loss terms of the recommender, each on its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from kdiffe_dgl.edge_products import EdgeProducts
from kdiffe_dgl.unit_rows import unit_rows

__all__ = [
    "BLOCK_ENTRIES",
    "bpr_loss",
    "contrast_nodes",
    "info_nce",
    "pair_loss",
    "sample_candidates",
    "softmax_loss",
    "squared_norm",
]

BLOCK_ENTRIES = 1 << 24
"""Most scores of anchors and candidates held at once, 64 MB: a product of so many is kept for the gradient,
which takes a quarter less time than to make it again."""

_CACHED_ENTRIES = 1 << 20


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


def pair_loss(users: Tensor, items: Tensor, chosen: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Return :func:`bpr_loss` of dot products, with no row gathered.

    Parameters
    ----------
    users, items
        ``[users, dim]`` and ``[items, dim]``.
    chosen, positives, negatives
        User, observed item and sampled item of each pair, int64 ``[batch]`` each.
    """
    ends = chosen.repeat(2), torch.cat([positives, negatives])
    pairs = EdgeProducts.of(*ends, len(users), len(items))
    return bpr_loss(*pairs.scores(users, items).chunk(2))


def softmax_loss(
    users: Tensor,
    items: Tensor,
    positive: Tensor,
    log_weight: Tensor | None = None,
    block: int = BLOCK_ENTRIES,
    rows: Tensor | None = None,
) -> Tensor:
    r"""Cross entropy of the observed item among all items, or among a weighted sample of them.

    .. math:: -\frac1B \sum_b \ln
        \frac{\exp(z_{u_b} \cdot z_{i_b})}{\sum_j \exp(z_{u_b} \cdot z_j + w_j)}

    Parameters
    ----------
    users
        Users of the batch, ``[batch, dim]``; with ``rows``, each of them once, ``[users, dim]``.
    items
        All items, or a sample of them, ``[items, dim]``.
    positive
        Row in ``items`` of the observed item of each user, int64 ``[batch]``.
    log_weight
        w, ``[items]``: minus the logarithm of the expected number of times that the item is in the
        sample; null: 0. The sum then has the expectation of the sum over all items (Bengio and
        Senécal, *Adaptive Importance Sampling*, IEEE Trans. Neural Networks 2008). See
        :func:`sample_candidates`.
    block
        Most scores held at once.
    rows
        Row in ``users`` of the user of each observed item, int64 ``[batch]``; null: the same order. The
        sum over the items is a matter of the user alone, so that it is made once for each.

    Returns
    -------
    Tensor
        Scalar. It bounds ranking metrics more tightly than pairwise losses do (Bruch et al., *An
        Analysis of the Softmax Cost Function for Learning to Rank*, ICTIR 2019).
    """
    partition: Tensor = _LogPartition.apply(users, items, log_weight, block)
    if rows is not None:
        partition, users = partition[rows], users[rows]
    return (partition - (users * items[positive]).sum(dim=1)).mean()


def info_nce(
    anchors: Tensor,
    candidates: Tensor,
    positive: Tensor,
    temperature: float,
    log_weight: Tensor | None = None,
    block: int = BLOCK_ENTRIES,
    rows: Tensor | None = None,
) -> Tensor:
    r"""Contrast anchors with their own counterpart among all candidates.

    .. math:: -\frac1B \sum_b \ln
        \frac{\exp(\cos(a_b, c_{p_b})/\tau)}{\sum_v \exp(\cos(a_b, c_v)/\tau + w_v)}

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
    log_weight
        w, ``[nodes]``, where the candidates are a sample: see :func:`softmax_loss`.
    block, rows
        As for :func:`softmax_loss`.

    Returns
    -------
    Tensor
        Scalar (KDiffE, contrastive losses; van den Oord et al., 2018).
    """
    # The temperature divides the small matrix, not the large product.
    anchors, candidates = unit_rows(anchors) / temperature, unit_rows(candidates)
    return softmax_loss(anchors, candidates, positive, log_weight, block, rows)


def contrast_nodes(
    first: Tensor, second: Tensor, nodes: Tensor, temperature: float, negatives: Literal["all", "batch"]
) -> Tensor:
    r"""Contrast the nodes of a batch with themselves in another view, as often as they occur.

    :func:`info_nce` of ``first[nodes]``, with all rows of the other view as candidates, or those of the
    batch, ``second[nodes]``. A node that occurs n times is computed once: as a candidate it counts as
    :math:`n \exp(s) = \exp(s + \ln n)`.

    Parameters
    ----------
    first, second
        The views, ``[all, dim]`` each.
    nodes
        Those of the batch, int64 ``[batch]``, in any order and number.
    temperature
        τ > 0.
    negatives
        Whether the candidates are all nodes, or those of the batch.

    Returns
    -------
    Tensor
        Scalar.
    """
    chosen, rows, counts = torch.unique(nodes, return_inverse=True, return_counts=True)
    if negatives == "all":
        return info_nce(first[chosen], second, nodes, temperature, rows=rows)
    weight = counts.to(second.dtype).log()
    return info_nce(first[chosen], second[chosen], rows, temperature, weight, rows=rows)


def sample_candidates(
    count: int, required: Tensor, size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw candidates whose weighted partition function estimates that of all nodes without bias.

    Parameters
    ----------
    count
        Number of nodes.
    required
        Nodes that are candidates for certain, the positives of a batch, int64 ``[batch]``.
    size
        Number of further nodes, at least 1, drawn uniformly and without replacement; all, where there
        are no more.
    generator
        Source of randomness, on the device of ``required``.

    Returns
    -------
    tuple of Tensor
        The candidates, int64 ``[candidates]``, ascending; the position of each required node among
        them, int64 ``[batch]``; and their ``log_weight``, float32 ``[candidates]``.

    Raises
    ------
    ValueError
        If ``size`` is less than 1: nothing would stand for the nodes that are not required.
    """
    if size < 1:
        raise ValueError(f"a sample of {size} further candidates estimates nothing; expected at least 1")
    device = required.device
    certain = torch.zeros(count, dtype=torch.bool, device=device)
    certain[required] = True
    others = torch.nonzero(~certain).squeeze(1)
    chosen = certain.clone()
    chosen[others[torch.randperm(len(others), generator=generator, device=device)[:size]]] = True
    candidates = torch.nonzero(chosen).squeeze(1)
    drawn = min(size, len(others))
    weight = math.log(len(others) / drawn) if drawn else 0.0
    log_weight = torch.where(certain[candidates], 0.0, weight)
    return candidates, torch.searchsorted(candidates, required), log_weight


class _LogPartition(torch.autograd.Function):
    r"""Row-wise :math:`\ln \sum_v \exp(a_b \cdot c_v + w_v)`.

    Where the product ``[batch, nodes]`` fits a block, it is made once and turned into exponentials in
    place; both gradients are products with it, the row sums divide the small factors. That is a third
    of the memory traffic of the same expression left to autograd. A larger product is never whole: the
    sum runs over blocks of candidates with the greatest score so far taken out (Milakov and
    Gimelshein, *Online normalizer calculation for softmax*, 2018), and the gradient makes each block
    again.
    """

    @staticmethod
    def forward(
        ctx: Any, anchors: Tensor, candidates: Tensor, log_weight: Tensor | None, block: int
    ) -> Tensor:
        # Made again in blocks, scores are best small enough to stay in the cache of a processor.
        ctx.step = max(1, min(block, _CACHED_ENTRIES) // max(1, len(anchors)))
        if len(anchors) * len(candidates) <= block:
            exponential = _scores(anchors, candidates, log_weight)
            greatest = exponential.amax(dim=1, keepdim=True)
            exponential.sub_(greatest).exp_()
            total = exponential.sum(dim=1, keepdim=True)
            ctx.save_for_backward(anchors, candidates, log_weight, exponential, total)
            return (total.log() + greatest).squeeze(1)
        greatest = anchors.new_full((len(anchors), 1), -torch.inf)
        total = anchors.new_zeros((len(anchors), 1))
        for part, weight in _blocks(candidates, log_weight, ctx.step):
            scores = _scores(anchors, part, weight)
            before, greatest = greatest, torch.maximum(greatest, scores.amax(dim=1, keepdim=True))
            total = total * (before - greatest).exp() + scores.sub_(greatest).exp_().sum(dim=1, keepdim=True)
        partition = total.log() + greatest
        ctx.save_for_backward(anchors, candidates, log_weight, None, partition)
        return partition.squeeze(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        anchors, candidates, log_weight, exponential, total = ctx.saved_tensors
        outer = gradients[0].unsqueeze(1)
        if exponential is not None:
            share = outer / total
            by_weight = None if log_weight is None else exponential.t() @ share.squeeze(1)
            return (exponential @ candidates) * share, exponential.t() @ (anchors * share), by_weight, None
        by_anchor = torch.zeros_like(anchors)
        by_candidate = torch.empty_like(candidates)
        by_weight = None if log_weight is None else torch.empty_like(log_weight)
        scaled = anchors * outer
        for number, (part, weight) in enumerate(_blocks(candidates, log_weight, ctx.step)):
            probability = _scores(anchors, part, weight).sub_(total).exp_()
            by_anchor.addmm_(probability, part)
            where = slice(number * ctx.step, number * ctx.step + len(part))
            torch.mm(probability.t(), scaled, out=by_candidate[where])
            if by_weight is not None:
                torch.mv(probability.t(), outer.squeeze(1), out=by_weight[where])
        return by_anchor * outer, by_candidate, by_weight, None


def _scores(anchors: Tensor, candidates: Tensor, log_weight: Tensor | None) -> Tensor:
    """Return the weighted scores ``[batch, candidates]``."""
    if log_weight is None:
        return anchors @ candidates.t()
    return torch.addmm(log_weight, anchors, candidates.t())


def _blocks(
    candidates: Tensor, log_weight: Tensor | None, step: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield so many candidates at a time, with their weights."""
    for start in range(0, len(candidates), step):
        weight = None if log_weight is None else log_weight[start : start + step]
        yield candidates[start : start + step], weight


def squared_norm(embeddings: Iterable[Tensor]) -> Tensor:
    """Return the sum of the squares of all entries of all tensors, a scalar."""
    return torch.stack([embedding.square().sum() for embedding in embeddings]).sum()
