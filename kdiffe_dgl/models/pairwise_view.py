r"""The pairwise view: embeddings of its own, learned from pairs by a dot product, at a pace of its own.

The main view learns from a cross entropy over all items, and its cosines forget the lengths of vectors. A
view that is trained on pairs of an observed and a sampled item, with BPR, ranks otherwise, and on some data
the sum of both is better than either. They share no parameters: trained on the same embeddings, each costs
the other some of what it knows. Nor does one moment to stop suit both: views converge at different rates
(Wang, Tran, Feiszli, *What Makes Training Multi-Modal Classification Networks Hard?*, CVPR 2020). So this one
is a side network: in each epoch of the model it makes several passes over the interactions.

With features, its encoder is that of MGCN: gated by behaviour, they travel over the graphs of users and items
and of similar items. Without, it is what is left of that, LightGCN.

With :math:`z_u \cdot z_i` its product, the view adds

.. math:: w \sigma_0 \frac{z_u \cdot z_i - \mu_u}{\sigma_u}

to the score, where μ_u and σ_u are mean and standard deviation of the user's products over the items, and σ_0
is the deviation of the learned score, averaged over the users; w is fitted like the weight of a profile
(:mod:`.profiles`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import nn

from kdiffe_dgl.config import Component
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.models.base import EpochLog
from kdiffe_dgl.models.lightgcn import LightGCN, LightGCNConfig
from kdiffe_dgl.models.pairwise import PairwiseModel
from kdiffe_dgl.models.peers.item_features import FeatureConfig
from kdiffe_dgl.models.peers.mgcn import MGCN, MGCNConfig
from kdiffe_dgl.models.profiles import PAIRS, ProfileView, deviations
from kdiffe_dgl.optimiser import adam
from kdiffe_dgl.search import Between, Choices, SearchSpace
from kdiffe_dgl.training.batches import PairBatches, batch_size

__all__ = ["PairwiseView", "PairwiseViewConfig"]

_LEAST = 1e-12
# Products that take the time of one unit of a denoiser's cost: 20 to 140 were measured on several data sets.
_PRODUCTS = 50


class PairwiseViewConfig(Component):
    """The pairwise view."""

    SEARCH: ClassVar[SearchSpace] = {
        "weight": Choices((0.0, 0.2, 0.4)),
        "passes": Between(1, 3),
        "encoder": None,
    }

    weight: float = Field(0.0, ge=0)
    """Weight w of the view, as a share of the spread of the learned score; 0: without (paper)."""
    passes: int = Field(2, ge=1)
    """Passes over the interactions in each epoch of the model."""
    batch_size: int = Field(4096, ge=1)
    """Most interactions a step."""
    min_steps: int = Field(16, ge=1)
    """Least steps a pass: data with few interactions get smaller batches."""
    learning_rate: float = Field(2e-3, gt=0)
    """Step size of its optimiser (Adam)."""
    encoder: MGCNConfig = MGCNConfig(
        layers=4,
        item_layers=2,
        contrast_weight=0.008,
        temperature=0.3,
        regularisation=2e-6,
        features=FeatureConfig(trained=False),
    )
    """Settings of the encoder. Without features, those of LightGCN among them count."""


class PairwiseView(nn.Module):
    """The pairwise view of a data set, with its optimiser.

    Parameters
    ----------
    dataset
        Its training interactions and features are read.
    config
        Settings.
    generator
        Source of the initial weights, on the CPU.
    device
        Where to compute.

    Raises
    ------
    InputError
        If some user has interacted with every item, so that there are no pairs.
    """

    def __init__(
        self,
        dataset: RecDataset,
        config: PairwiseViewConfig,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.config = config
        pairs = np.asarray(dataset.pairs("train"))
        self._n_pairs, self._size = len(pairs), batch_size(len(pairs), config.batch_size, config.min_steps)
        self._batches = PairBatches(pairs, dataset.n_users, dataset.n_items, self._size)
        encoder = config.encoder
        self.encoder: PairwiseModel
        if dataset.features:
            self.encoder = MGCN(dataset, encoder, generator, device)
        else:
            settings = {name: getattr(encoder, name) for name in LightGCNConfig.model_fields}
            self.encoder = LightGCN(dataset, LightGCNConfig(**settings), generator, device)
        self._is_known = np.bincount(pairs[:, 0], minlength=dataset.n_users) > 0
        self.optimiser = adam(self.encoder.parameters(), config.learning_rate)

    @property
    def cost(self) -> float:
        """About what an epoch takes, in the unit of :attr:`.GraphDiffusion.cost`."""
        encoder, n_pairs, n_items = self.config.encoder, self._n_pairs, self.encoder.n_items
        products = 2 * encoder.layers * n_pairs
        for width in self.encoder.features.widths if isinstance(self.encoder, MGCN) else []:
            products += n_items * (width + encoder.item_layers * encoder.neighbours) + n_pairs
        steps = self.config.passes * -(-n_pairs // self._size)
        return steps * encoder.dim * products / _PRODUCTS

    def train_epoch(self, generator: torch.Generator) -> EpochLog:
        """Make the passes of an epoch; return the mean of each loss term.

        Parameters
        ----------
        generator
            Source of order, negatives and dropout.
        """
        # Order and negatives are drawn on the CPU, wherever the view is computed.
        seed = torch.randint(2**62, (1,), generator=generator, device=generator.device)
        drawing = torch.Generator().manual_seed(int(seed))
        self.encoder.train()
        passes = [
            self._batches.train(self.encoder, self.optimiser, drawing, generator)
            for _ in range(self.config.passes)
        ]
        return {f"pairs/{name}": sum(one[name] for one in passes) / len(passes) for name in passes[0]}

    def task(self, generator: torch.Generator) -> Callable[[], EpochLog]:
        """Train an epoch, as one of the tasks of :mod:`.diffusion_epoch`."""
        log = self.train_epoch(generator)
        return lambda: log

    @torch.no_grad()
    def view(self) -> ProfileView:
        """Return users and items whose products have, over a user's items, a mean of 0 and a deviation of 1.

        Of users without training interactions nothing is known, and where all products are alike they rank
        nothing: such users have rows of zeros.
        """
        self.encoder.eval()
        users, items = (side.cpu().numpy() for side in self.encoder.representations())
        found = deviations(users, items)[:, np.newaxis]
        speaks = (found > _LEAST) & self._is_known[:, np.newaxis]
        unit = np.divide(users, found, out=np.zeros_like(users), where=speaks)
        return ProfileView(PAIRS, unit.astype(np.float32), items - items.mean(axis=0), 1.0)
