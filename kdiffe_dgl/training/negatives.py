"""Uniform negative sampling that never returns a training positive, without a loop over interactions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kdiffe_dgl.errors import InputError

__all__ = ["NegativeSampler"]


class NegativeSampler:
    """Draws, for each user, an item that is not among the user's training items, uniformly.

    A rank r among the I - n free items of a user is drawn, and turned into an item exactly: the free
    item of rank r is r + c, where c counts the user's training items that lie before it. No draw is
    rejected, so the cost does not depend on how dense a user's row is.

    Parameters
    ----------
    pairs
        Training interactions, int64 ``[n, 2]`` of user and item, each pair once.
    n_users, n_items
        Sizes.

    Raises
    ------
    InputError
        If some user has interacted with every item, so that no negative exists.
    """

    def __init__(self, pairs: np.ndarray, n_users: int, n_items: int) -> None:
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        users, items = pairs[order, 0], pairs[order, 1]
        counts = np.bincount(users, minlength=n_users)
        full = np.flatnonzero(counts >= n_items)
        if len(full):
            raise InputError(
                f"training interactions: user {int(full[0])} has all {n_items} items, so no negative can be "
                "drawn; expected at least one item without an interaction"
            )
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        # Free items before the j-th training item of a user; ascending within the user.
        free_before = items - (np.arange(len(items)) - starts[users])
        self._n_items = n_items
        self._counts = torch.from_numpy(counts)
        self._starts = torch.from_numpy(starts)
        self._keys = torch.from_numpy(users * (n_items + 1) + free_before)

    def sample(self, users: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one negative item for each user.

        Parameters
        ----------
        users
            int64 ``[batch]``, on the CPU.
        generator
            Source of randomness, on the CPU.

        Returns
        -------
        Tensor
            int64 ``[batch]``.
        """
        free = self._n_items - self._counts[users]
        uniform = torch.rand(len(users), generator=generator, dtype=torch.float64)
        rank = torch.minimum((uniform * free).long(), free - 1)
        # Training items with at most `rank` free items before them lie before the free item of that rank.
        before = (
            torch.searchsorted(self._keys, users * (self._n_items + 1) + rank, right=True)
            - self._starts[users]
        )
        return rank + before
