"""DiffRec: denoise what a user has met until it shows what the user would have met."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from kdiffe_dgl.config import Component
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.diffusion.schedule import LinearVarianceSchedule
from kdiffe_dgl.models.base import RecommenderModel, dropout
from kdiffe_dgl.search import Between, Choices, SearchSpace

__all__ = ["DiffRec", "DiffRecConfig"]

_TIME = 10
"""Size of the embedding of a timestep, as in the authors' code."""


class DiffRecConfig(Component):
    """Settings of DiffRec."""

    SEARCH: ClassVar[SearchSpace] = {
        "hidden": Choices((200, 600, 1000)),
        "steps": Choices((2, 5, 10, 40)),
        "noise_scale": Between(1e-4, 0.5, log=True),
        "dropout": Between(0.1, 0.8),
    }

    hidden: int = Field(1000, ge=1)
    """Width of the hidden layer."""
    steps: int = Field(5, ge=1)
    """Timesteps T."""
    noise_scale: float = Field(0.1, gt=0)
    """s, scale of the noise."""
    noise_min: float = Field(1e-4, gt=0)
    """Least variance, before the scale."""
    noise_max: float = Field(0.02, gt=0)
    """Greatest variance, before the scale."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Dropout rate of the noisy rows that the network reads."""


class DiffRec(RecommenderModel):
    r"""Diffusion over the rows of users, with a network that predicts the row without noise.

    A row x_0 of the binary interactions is made noisy, :math:`x_t = \sqrt{\bar\alpha_t} x_0 +
    \sqrt{1 - \bar\alpha_t} \epsilon`, with a variance that grows linearly, and the network

    .. math:: \hat x_0(x_t, t) = V \tanh(W x_t + E s_t + c) + b

    with s_t a projected sinusoidal embedding of the timestep, is trained with :math:`(SNR(t-1) - SNR(t))
    \|x_0 - \hat x_0\|^2`, where the weight is 1 at the first step. Scores are what T reverse steps of
    the posterior mean make of the row itself, to which no noise is added. (Wang, Xu, Feng, Lin, He and
    Chua, *Diffusion Recommender Model*, SIGIR 2023, sections 3.1 to 3.3, with T' = 0; the norm is a
    mean over the row, as in the authors' code.)

    The last step returns :math:`\hat x_0`, which is linear in the hidden layer; so the hidden layer at
    that step, with a 1 beside it, represents a user, and V with b the items. For the same reason the
    reverse steps need no row as wide as the catalogue: :math:`u_t = W x_t` goes over into
    :math:`u_{t-1} = k_1 (W V y_t + W b) + k_2 u_t`, y the hidden layer, which is exact.

    Here: a batch is the distinct users of a batch of interactions, so active users are drawn more often;
    timesteps are drawn uniformly, not by the size of past losses; there is one hidden layer.
    """

    name: ClassVar[str] = "diffrec"
    Config: ClassVar[type[Component]] = DiffRecConfig

    def __init__(
        self, dataset: RecDataset, config: DiffRecConfig, generator: torch.Generator, device: torch.device
    ) -> None:
        super().__init__(dataset, config, generator, device)
        self.config = config
        self.schedule = LinearVarianceSchedule(
            config.steps, config.noise_scale, config.noise_min, config.noise_max, first=1e-5
        )
        rows = dataset.matrix("train")
        self._pointers = torch.from_numpy(rows.indptr.astype("int64"))
        self._columns = torch.from_numpy(rows.indices.astype("int64"))
        hidden = config.hidden
        self.encoder = _normal(self.n_items, hidden, generator)
        self.time = _normal(_TIME, _TIME, generator)
        self.time_bias = nn.Parameter(torch.randn(_TIME, generator=generator) * 1e-3)
        self.time_encoder = _normal(_TIME, hidden, generator)
        self.hidden_bias = nn.Parameter(torch.randn(hidden, generator=generator) * 1e-3)
        self.decoder = _normal(self.n_items, hidden, generator)
        self.bias = nn.Parameter(torch.randn(self.n_items, generator=generator) * 1e-3)
        self.to(device)

    def losses(
        self, users: Tensor, positives: Tensor, negatives: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Compute the weighted reconstruction of the rows of a batch's users; see the base class."""
        clean = self._rows(torch.unique(users))
        steps = torch.randint(self.config.steps, (len(clean),), generator=generator, device=self.device)
        signal, noise = self.schedule.signal_and_noise(steps)
        noisy = signal * clean + noise * torch.randn(clean.shape, generator=generator, device=self.device)
        noisy = dropout(noisy, self.config.dropout, generator)
        predicted = self._hidden(noisy @ self.encoder, steps) @ self.decoder.T + self.bias
        error = (clean - predicted).square().mean(dim=1)
        return {"reconstruction": (self.schedule.loss_weight(steps) * error).mean()}

    def _hidden(self, encoded: Tensor, steps: Tensor) -> Tensor:
        """Return the hidden layer of rows times W, ``[batch, hidden]``, at timesteps ``[batch]``."""
        time = _sinusoidal(steps) @ self.time + self.time_bias
        return torch.tanh(encoded + time @ self.time_encoder + self.hidden_bias)

    def _rows(self, users: Tensor) -> Tensor:
        """Return the dense rows of users, float32 ``[batch, items]``."""
        users = users.cpu()
        counts = self._pointers[users + 1] - self._pointers[users]
        first = torch.repeat_interleave(self._pointers[users] - torch.cumsum(counts, 0) + counts, counts)
        columns = self._columns[first + torch.arange(len(first))]
        rows = torch.zeros(len(users), self.n_items)
        rows[torch.repeat_interleave(torch.arange(len(users)), counts), columns] = 1.0
        return rows.to(self.device)

    @torch.no_grad()
    def representations(self) -> tuple[Tensor, Tensor]:
        """Return the hidden layer of the last reverse step and 1, and decoder and bias; see the class."""
        offsets = self._pointers[:-1].to(self.device)
        state = nn.functional.embedding_bag(self._columns.to(self.device), self.encoder, offsets, mode="sum")
        loop, shift = self.decoder.T @ self.encoder, self.bias @ self.encoder
        hidden = state
        for step in range(self.config.steps - 1, -1, -1):
            hidden = self._hidden(state, torch.full((1,), step, device=self.device))
            of_clean = float(self.schedule.posterior_x0[step])
            of_noisy = float(self.schedule.posterior_xt[step])
            state = of_clean * (hidden @ loop + shift) + of_noisy * state
        ones = torch.ones(self.n_users, 1, device=self.device)
        return torch.cat([hidden, ones], dim=1), torch.cat([self.decoder, self.bias.unsqueeze(1)], dim=1)


def _normal(rows: int, columns: int, generator: torch.Generator) -> nn.Parameter:
    """Draw a matrix with Glorot's normal initialisation."""
    deviation = math.sqrt(2.0 / (rows + columns))
    return nn.Parameter(torch.randn(rows, columns, generator=generator) * deviation)


def _sinusoidal(steps: Tensor) -> Tensor:
    """Return cosines and sines of timesteps, ``[batch, 10]``."""
    half = _TIME // 2
    exponents = torch.arange(half, device=steps.device) / half
    angles = steps.unsqueeze(1) * torch.exp(-math.log(10_000) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=1)
