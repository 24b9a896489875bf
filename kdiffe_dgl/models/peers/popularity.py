"""Popularity: the same list for everyone."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from kdiffe_dgl.config import Component
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.models.closed_form import ClosedFormModel

__all__ = ["Popularity", "PopularityConfig"]


class PopularityConfig(Component):
    """Settings of popularity: there are none."""


class Popularity(ClosedFormModel):
    r"""Rank by the number of training users of an item.

    :math:`s_{ui} = \sum_v x_{vi}`, X the binary training interactions: the same for all users. It is the
    floor that every personalised recommender has to be above. (Non-personalised ranking by counts, as in
    Cremonesi et al., *Performance of Recommender Algorithms on Top-N Recommendation Tasks*, RecSys 2010,
    section 3.1, *TopPop*.)
    """

    name: ClassVar[str] = "popularity"
    Config: ClassVar[type[Component]] = PopularityConfig

    def __init__(
        self, dataset: RecDataset, config: PopularityConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        counts = np.bincount(dataset.pairs("train")[:, 1], minlength=self.n_items)
        self._counts = torch.from_numpy(counts.astype(np.float32)).to(device)

    def representations(self) -> tuple[Tensor, Tensor]:
        """Return 1 for each user, ``[users, 1]``, and the counts of the items, ``[items, 1]``."""
        return torch.ones(self.n_users, 1, device=self.device), self._counts.unsqueeze(1)
