r"""Results by groups: users by activity, items by popularity, both in the training interactions.

A mean over users says little about those with few interactions, and nothing about items that few have met.
Both groupings are functions of the number of training interactions, so that equals are never told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.evaluator import Evaluation
from kdiffe_dgl.evaluation.metrics import cutoff_of

__all__ = ["Group", "Groups", "group_values", "items_by_popularity", "users_by_activity"]

_THIRDS = ("head", "mid", "tail")


@dataclass(frozen=True)
class Group:
    """Users or items that are alike in their number of training interactions.

    Parameters
    ----------
    name
        Name in tables.
    low, high
        Least and greatest number of training interactions of a member.
    size
        Number of members, those without relevant items included.
    """

    name: str
    low: int
    high: int
    size: int

    @property
    def label(self) -> str:
        """Name with the number of training interactions, as ``head (30–583)``."""
        span = str(self.low) if self.low == self.high else f"{self.low}–{self.high}"
        return span if self.name == "" else f"{self.name} ({span})"


@dataclass(frozen=True)
class Groups:
    """A grouping of all users, or of all items.

    Parameters
    ----------
    groups
        The groups that have a member.
    member
        Number of the group of each user or item, int64 ``[users]`` or ``[items]``.
    """

    groups: tuple[Group, ...]
    member: np.ndarray


def _grouped(names: Sequence[str], label: np.ndarray, counts: np.ndarray) -> Groups:
    """Leave out groups without members; ``label`` numbers ``names`` for each user or item."""
    groups: list[Group] = []
    member = np.full(len(counts), -1, dtype=np.int64)
    for number, name in enumerate(names):
        mine = label == number
        if mine.any():
            member[mine] = len(groups)
            groups.append(Group(name, int(counts[mine].min()), int(counts[mine].max()), int(mine.sum())))
    return Groups(tuple(groups), member)


def users_by_activity(dataset: RecDataset, n_groups: int = 4) -> Groups:
    """Group users by their number of training interactions, at its quantiles.

    Users without training interactions are a group of their own. Users with equally many are in one group,
    so groups may differ in size, and there may be fewer.

    Parameters
    ----------
    dataset
        The data set.
    n_groups
        Most groups of the users with training interactions.

    Returns
    -------
    Groups
        The least active first; their names are empty, as their labels say all.

    Raises
    ------
    InputError
        If ``n_groups`` is less than 1.
    """
    if n_groups < 1:
        raise InputError(f"groups: {n_groups} groups of users; expected at least 1")
    counts = np.diff(dataset.matrix("train").indptr).astype(np.int64)
    active = counts[counts > 0]
    label = np.zeros(len(counts), dtype=np.int64)
    if len(active):
        # Upper bounds that are numbers of interactions which occur: users on one are all below the next.
        shares = np.arange(1, n_groups) / n_groups
        bounds = np.unique(np.quantile(active, shares, method="inverted_cdf"))
        label = np.where(counts > 0, 1 + np.searchsorted(bounds, counts, side="left"), 0)
    return _grouped([""] * (n_groups + 1), label, counts)


def items_by_popularity(dataset: RecDataset) -> Groups:
    """Group items by their share in the training interactions.

    The most popular items are the ``head``: those with less than a third of the interactions at more popular
    ones. ``mid`` and ``tail`` are the items of the second and the last third, and items without any training
    interaction are ``cold``. Items that are equally popular are in one group.

    Returns
    -------
    Groups
        Named ``head``, ``mid``, ``tail`` and ``cold``.
    """
    counts = np.bincount(dataset.matrix("train").indices, minlength=dataset.n_items).astype(np.int64)
    values, place, size = np.unique(counts, return_inverse=True, return_counts=True)
    interactions = values * size
    more_popular = interactions.sum() - np.cumsum(interactions)
    thirds = np.minimum(3 * more_popular // max(1, int(interactions.sum())), 2)
    return _grouped([*_THIRDS, "cold"], np.where(counts > 0, thirds[place], 3), counts)


def group_values(
    dataset: RecDataset, evaluation: Evaluation, metrics: Sequence[str], n_groups: int = 4
) -> dict[str, dict[str, Mapping[str, float | int]]]:
    """Measure an evaluation by groups of users and of items.

    Parameters
    ----------
    dataset
        The data set that was evaluated.
    evaluation
        What an evaluator found.
    metrics
        Metrics with values by user, such as ``"recall@20"``. For items, the share of the relevant pairs of
        user and item that are in the lists, at each of their cutoffs, named as recall: unlike the mean over
        users, it counts every pair alike.
    n_groups
        Most groups of users, see :func:`users_by_activity`.

    Returns
    -------
    dict
        ``"users"`` and ``"items"`` -> label of a group -> ``"n"`` (evaluated users, or relevant pairs) and
        metric -> value. Groups without any are left out.

    Raises
    ------
    InputError
        If a metric has no values by user.
    """
    for metric in metrics:
        if metric not in evaluation.per_user:
            raise InputError(
                f"groups: {metric!r} has no values by user; expected one of {', '.join(evaluation.per_user)}"
            )
    users, items = users_by_activity(dataset, n_groups), items_by_popularity(dataset)
    found: dict[str, dict[str, Mapping[str, float | int]]] = {"users": {}, "items": {}}
    mine = users.member[evaluation.users]
    n_users = np.bincount(mine, minlength=len(users.groups))
    sums = {metric: np.bincount(mine, evaluation.per_user[metric], len(users.groups)) for metric in metrics}
    for place, group in enumerate(users.groups):
        if n_users[place]:
            means = {metric: float(sums[metric][place] / n_users[place]) for metric in metrics}
            found["users"][group.label] = {"n": int(n_users[place]), **means}
    relevant = dataset.matrix(evaluation.split).indices
    pairs = np.bincount(items.member[relevant], minlength=len(items.groups))
    cutoffs = sorted({cutoff_of(metric) for metric in metrics})
    hits = {
        cutoff: np.bincount(items.member, evaluation.hits_by_item[cutoff], len(items.groups))
        for cutoff in cutoffs
    }
    for place, group in enumerate(items.groups):
        if pairs[place]:
            shares = {f"recall@{cutoff}": float(hits[cutoff][place] / pairs[place]) for cutoff in cutoffs}
            found["items"][group.label] = {"n": int(pairs[place]), **shares}
    return found
