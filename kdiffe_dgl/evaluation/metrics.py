"""Metrics of top-K recommendation lists.

Accuracy metrics take ``hits``, a Boolean matrix whose entry ``h(u, r)`` says whether the item at rank ``r``
(counted from 1) of the list of user ``u`` is relevant, and the number of relevant items ``n(u)``. They
return one value a user; means are the caller's. ``ACCURACY_METRICS`` maps the names used in reports to the
functions.

Beyond-accuracy metrics describe what the lists do to the catalogue: coverage, Gini index of exposure
and novelty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

__all__ = [
    "ACCURACY_METRICS",
    "MOST_CUTOFF",
    "average_precision",
    "coverage",
    "cutoff_of",
    "gini",
    "hit_rate",
    "is_measured",
    "ndcg",
    "novelty",
    "precision",
    "recall",
    "reciprocal_rank",
    "self_information",
]

MOST_CUTOFF = 1_000_000
"""Longest list that is measured: ideal gains are tables of that length."""


def _top(hits: Tensor, cutoff: int) -> Tensor:
    return hits[:, :cutoff].to(torch.float64)


def _ranks(hits: Tensor) -> Tensor:
    return torch.arange(1, hits.shape[1] + 1, dtype=torch.float64, device=hits.device)


def _at_least_one(n_relevant: Tensor) -> Tensor:
    # A user without relevant items has no hits, so dividing by one gives zero.
    return n_relevant.to(torch.float64).clamp(min=1.0)


def recall(hits: Tensor, n_relevant: Tensor, cutoff: int) -> Tensor:
    """Share of a user's relevant items that the list holds: hits among the first K, divided by n(u).

    Parameters
    ----------
    hits
        Whether the item at each rank is relevant, best rank first. shape: ``[users, ranks]``; lists
        shorter than the cutoff are lists that end there.
    n_relevant
        Number of relevant items of each user. shape: ``[users]``
    cutoff
        Length K of the list.

    Returns
    -------
    Tensor
        float64, one value a user, 0 for a user without relevant items. shape: ``[users]``
    """
    return _top(hits, cutoff).sum(dim=1) / _at_least_one(n_relevant)


def precision(hits: Tensor, n_relevant: Tensor, cutoff: int) -> Tensor:
    """Share of the list that is relevant: hits among the first K, divided by K.

    The divisor is K also where the list is shorter, as in ``trec_eval``. Arguments and result are those of
    :func:`recall`; ``n_relevant`` is not used.
    """
    return _top(hits, cutoff).sum(dim=1) / cutoff


def hit_rate(hits: Tensor, n_relevant: Tensor, cutoff: int) -> Tensor:
    """1 where the list holds a relevant item, else 0 (``success`` in ``trec_eval``).

    Arguments and result are those of :func:`recall`; ``n_relevant`` is not used.
    """
    return hits[:, :cutoff].any(dim=1).to(torch.float64)


def reciprocal_rank(hits: Tensor, n_relevant: Tensor, cutoff: int) -> Tensor:
    """Reciprocal of the rank of the first relevant item, 0 if it is not within the cutoff.

    Its mean over users is the mean reciprocal rank, MRR@K. Arguments and result are those of
    :func:`recall`; ``n_relevant`` is not used.
    """
    top = _top(hits, cutoff)
    return (top / _ranks(top)).amax(dim=1) if top.shape[1] else top.sum(dim=1)


def ndcg(hits: Tensor, n_relevant: Tensor, cutoff: int) -> Tensor:
    """Normalised discounted cumulative gain with binary gains.

    The gain of the list, divided by that of an ideal list:

        DCG@K  = sum of h(u, r) / log2(r + 1) over r = 1 ... K
        IDCG@K = sum of 1 / log2(r + 1)       over r = 1 ... min(n(u), K)
        NDCG@K = DCG@K / IDCG@K

    The ideal list holds min(n(u), K) relevant items, so a perfect list scores 1 at every cutoff.
    Järvelin and Kekäläinen, *Cumulated gain-based evaluation of IR techniques*, TOIS 2002, with the
    discount of ``trec_eval``'s ``ndcg_cut``. Arguments and result are those of :func:`recall`.
    """
    top = _top(hits, cutoff)
    gain = (top / torch.log2(_ranks(top) + 1.0)).sum(dim=1)
    ranks = torch.arange(1, cutoff + 1, dtype=torch.float64, device=hits.device)
    ideal = torch.cumsum(1.0 / torch.log2(ranks + 1.0), dim=0)
    return gain / ideal[n_relevant.to(torch.int64).clamp(min=1, max=cutoff) - 1]


def average_precision(hits: Tensor, n_relevant: Tensor, cutoff: int) -> Tensor:
    """Average precision within the cutoff.

    The precision at the rank of each hit, added up and divided by the number of relevant items:

        AP@K = (sum of h(u, r) * (hits among the first r) / r over r = 1 ... K) / n(u)

    Its mean over users is MAP@K. Of the definitions in use this is the one of ``trec_eval``'s ``map_cut``
    (``AP@K`` in ir-measures): the divisor is the number of all relevant items, not min(n(u), K). Arguments
    and result are those of :func:`recall`.
    """
    top = _top(hits, cutoff)
    return (top * top.cumsum(dim=1) / _ranks(top)).sum(dim=1) / _at_least_one(n_relevant)


ACCURACY_METRICS: Mapping[str, Callable[[Tensor, Tensor, int], Tensor]] = MappingProxyType(
    {
        "recall": recall,
        "ndcg": ndcg,
        "precision": precision,
        "hit_rate": hit_rate,
        "mrr": reciprocal_rank,
        "map": average_precision,
    }
)
"""Name in reports -> per-user metric of (hits, n_relevant, cutoff)."""


def is_measured(metric: str) -> bool:
    """Whether results have values by user under a name such as ``recall@20``, which is how they write it."""
    name, _, cutoff = metric.partition("@")
    return name in ACCURACY_METRICS and re.fullmatch(r"[1-9][0-9]{0,5}", cutoff) is not None


def cutoff_of(metric: str) -> int:
    """Return the length of list that a metric such as ``recall@20`` is of."""
    return int(metric.partition("@")[2])


def coverage(exposure: Tensor) -> float:
    """Share of the catalogue that is recommended to at least one user.

    *Catalogue coverage* of Ge, Delgado-Battenfeld and Jannach, *Beyond accuracy*, RecSys 2010.

    Parameters
    ----------
    exposure
        Number of lists that hold each item. shape: ``[items]``

    Returns
    -------
    float
        From 0 to 1.
    """
    return float((exposure > 0).to(torch.float64).mean())


def gini(exposure: Tensor) -> float:
    """Gini index of the exposure of items: 0 if all items are shown equally often.

    With x(1) <= ... <= x(n) the counts of the n items in ascending order:

        G = (sum of (2 i - n - 1) * x(i) over i = 1 ... n) / (n * sum of all x)

    If one item takes all exposure, G is 1 - 1/n. Gunawardana and Shani, *Evaluating recommender systems*,
    Recommender Systems Handbook, 2015, with all items of the catalogue counted.

    Parameters
    ----------
    exposure
        Number of lists that hold each item. shape: ``[items]``

    Returns
    -------
    float
        From 0 to 1 - 1/n; 0 if nothing is shown.
    """
    counts = exposure.to(torch.float64).sort().values
    total = float(counts.sum())
    if total == 0.0:
        return 0.0
    n = len(counts)
    weights = 2.0 * torch.arange(1, n + 1, dtype=torch.float64, device=counts.device) - n - 1.0
    return float((weights * counts).sum() / (n * total))


def self_information(users_of_item: Tensor, n_users: int) -> Tensor:
    """Surprise of meeting an item, -log2 p(i), in bits.

    p(i) is the share of the training users who have interacted with item i. An item that no training user
    has met counts as if one had, which keeps the value finite and no smaller than that of any item seen.

    Parameters
    ----------
    users_of_item
        Number of training users of each item. shape: ``[items]``
    n_users
        Number of users with training interactions; less than one counts as one.

    Returns
    -------
    Tensor
        float64, at least 0. shape: ``[items]``
    """
    n = float(max(n_users, 1))
    return torch.log2(torch.tensor(n, dtype=torch.float64)) - torch.log2(
        users_of_item.to(torch.float64).clamp(min=1.0)
    )


def novelty(information: Tensor, items: Tensor, shown: Tensor, cutoff: int) -> Tensor:
    """Mean self-information of the items in a list, one value a user.

    Zhou et al., *Solving the apparent diversity-accuracy dilemma of recommender systems*, PNAS 2010.

    Parameters
    ----------
    information
        Self-information of each item in bits, see :func:`self_information`. shape: ``[items]``
    items
        Recommended items, best first. shape: ``[users, ranks]``
    shown
        Whether the entry is a recommendation (lists of users who have few items left are shorter).
        shape: ``[users, ranks]``
    cutoff
        Length of the list.

    Returns
    -------
    Tensor
        float64, 0 for an empty list. shape: ``[users]``
    """
    use = shown[:, :cutoff].to(torch.float64)
    return (information[items[:, :cutoff]] * use).sum(dim=1) / use.sum(dim=1).clamp(min=1.0)
