"""Passes over the training interactions, in batches of pairs with a sampled item each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from kdiffe_dgl.models.base import RecommenderModel
from kdiffe_dgl.training.negatives import NegativeSampler

__all__ = ["PairBatches", "batch_size"]


def batch_size(n_pairs: int, most: int, min_steps: int) -> int:
    """Return the interactions of a step: at most so many, and few enough for so many steps a pass."""
    return max(1, min(most, -(-n_pairs // min_steps)))


class PairBatches:
    """The training interactions of a data set, from which models learn batch by batch.

    Parameters
    ----------
    pairs
        User and item of each, int64 ``[n, 2]``.
    n_users, n_items
        Sizes.
    size
        Interactions of a step.

    Raises
    ------
    InputError
        If some user has interacted with every item, so that no negative exists.
    """

    def __init__(self, pairs: np.ndarray, n_users: int, n_items: int, size: int) -> None:
        self._pairs, self._size = torch.from_numpy(pairs), size
        self._sampler = NegativeSampler(pairs, n_users, n_items)

    def train(
        self,
        model: RecommenderModel,
        optimiser: torch.optim.Optimizer,
        sampling: torch.Generator,
        generator: torch.Generator,
        tell: Callable[[Tensor], object] | None = None,
    ) -> dict[str, float]:
        """Make one pass in random order, a step of the optimiser a batch.

        Parameters
        ----------
        model, optimiser
            Whose losses are minimised, and by what.
        sampling
            Source of order and negatives, on the CPU.
        generator
            Source of the model's dropout, on its device.
        tell
            Takes the loss of each batch, a scalar.

        Returns
        -------
        dict of str to float
            The mean of each loss term.
        """
        totals: dict[str, Tensor] = {}
        for rows in torch.randperm(len(self._pairs), generator=sampling).split(self._size):
            users, positives = self._pairs[rows].T.contiguous()
            negatives = self._sampler.sample(users, sampling)
            chosen, observed, sampled = (side.to(model.device) for side in (users, positives, negatives))
            terms = model.losses(chosen, observed, sampled, generator)
            loss = torch.stack(list(terms.values())).sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            share = len(rows) / len(self._pairs)
            for name, value in terms.items():
                totals[name] = totals.get(name, torch.zeros((), device=model.device)) + value.detach() * share
            if tell is not None:
                tell(loss.detach())
        return {name: float(value) for name, value in totals.items()}
