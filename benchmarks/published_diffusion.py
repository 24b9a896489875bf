r"""The diffusion of the published procedure as it stands in the paper: dense rows, full-width network.

Source of the equations: Mo, Liu, Tang, Gao, Liu, *Knowledge-aware Diffusion-Enhanced Multimedia
Recommendation* (2025), with the schedule and network of Wang et al., *Diffusion Recommender Model* (SIGIR
2023). A baseline for benchmarks, in plain PyTorch; it shares nothing with :mod:`kdiffe_dgl.diffusion`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["DenseDenoiser", "DenseDiffusion", "DenseSchedule"]


class DenseSchedule:
    """Linear variance schedule of T steps, as float32 tables.

    Attributes
    ----------
    signal, sigma
        Factors of x_0 and of the noise in x_t, ``[T]``.
    weight
        Weight of the loss at t: 1 at t = 0, else SNR(t-1) - SNR(t), ``[T]``.
    posterior_x0, posterior_xt
        Factors of the posterior mean, ``[T]``.
    """

    def __init__(self, steps: int, scale: float = 0.1, minimum: float = 1e-4, maximum: float = 0.02) -> None:
        variance = torch.linspace(scale * minimum, scale * maximum, steps, dtype=torch.float64)
        betas = [1e-4]
        for t in range(1, steps):
            betas.append(min(1 - float((1 - variance[t]) / (1 - variance[t - 1])), 0.999))
        beta = torch.tensor(betas, dtype=torch.float64)
        alpha_bar = torch.cumprod(1 - beta, 0)
        before = torch.cat([torch.ones(1, dtype=torch.float64), alpha_bar[:-1]])
        ratio = alpha_bar / (1 - alpha_bar)
        self.steps = steps
        self.signal, self.sigma = alpha_bar.sqrt().float(), (1 - alpha_bar).sqrt().float()
        self.weight = torch.cat([torch.ones(1, dtype=torch.float64), ratio[:-1] - ratio[1:]]).float()
        self.posterior_x0 = (beta * before.sqrt() / (1 - alpha_bar)).float()
        self.posterior_xt = ((1 - before) * (1 - beta).sqrt() / (1 - alpha_bar)).float()


class DenseDenoiser(nn.Module):
    """Perceptron [width + 10 -> hidden -> width] with tanh, which predicts x_0 from x_t and t."""

    def __init__(self, width: int, hidden: int, time_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.time_dim = time_dim
        self.time = nn.Linear(time_dim, time_dim)
        self.first = nn.Linear(width + time_dim, hidden)
        self.second = nn.Linear(hidden, width)
        for layer in (self.time, self.first, self.second):
            nn.init.xavier_normal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """Predict x_0 ``[batch, width]`` from x_t, of the same shape, and t ``[batch]``."""
        half = self.time_dim // 2
        frequency = torch.exp(-math.log(10000.0) * torch.arange(half) / half)
        angle = timesteps.unsqueeze(1) * frequency
        embedding = self.time(torch.cat([torch.cos(angle), torch.sin(angle)], dim=1))
        return self.second(torch.tanh(self.first(torch.cat([x, embedding], dim=1))))


class DenseDiffusion:
    """Guided diffusion over dense rows: training loss, training epoch, reverse process.

    Parameters
    ----------
    rows
        Binary adjacency, float32 ``[rows, width]``.
    denoiser, schedule
        Network and schedule.
    guidance
        Weight λ of the guidance term.
    learning_rate, batch_size
        Of the denoiser's own Adam.
    """

    def __init__(
        self,
        rows: Tensor,
        denoiser: DenseDenoiser,
        schedule: DenseSchedule,
        guidance: float,
        learning_rate: float = 1e-3,
        batch_size: int = 1024,
    ) -> None:
        self.rows, self.denoiser, self.schedule = rows, denoiser, schedule
        self.guidance, self.batch_size = guidance, batch_size
        self.optimiser = torch.optim.Adam(denoiser.parameters(), lr=learning_rate)

    def loss(
        self,
        x0: Tensor,
        timesteps: Tensor,
        noise: Tensor,
        condition: Tensor | None,
        basis: Tensor,
        target: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Compute weighted reconstruction error and guidance penalty of some rows, ``[batch]`` each.

        Parameters
        ----------
        x0, noise
            ``[batch, width]``.
        timesteps
            int64 ``[batch]``.
        condition
            Scalar of each row, ``[batch]``, added to all components of x_t.
        basis, target
            What a component of a row stands for, ``[width or less, dim]``, and what the row should give,
            ``[batch, dim]``. A shorter basis covers the first components alone.
        """
        signal, sigma = self.schedule.signal[timesteps], self.schedule.sigma[timesteps]
        xt = signal.unsqueeze(1) * x0 + sigma.unsqueeze(1) * noise
        if condition is not None:
            xt = xt + condition.unsqueeze(1)
        predicted = self.denoiser(xt, timesteps)
        error = ((x0 - predicted) ** 2).mean(dim=1)
        proposed = predicted[:, : len(basis)] @ basis
        penalty = ((proposed - target) ** 2).mean(dim=1)
        return self.schedule.weight[timesteps] * error, penalty

    def train_epoch(
        self, condition: Tensor | None, basis: Tensor, target: Tensor, generator: torch.Generator
    ) -> float:
        """Train on every row once; condition ``[rows]`` and target ``[rows, dim]`` are of all rows."""
        total, n_rows = 0.0, len(self.rows)
        for batch in torch.randperm(n_rows, generator=generator).split(self.batch_size):
            x0 = self.rows[batch]
            timesteps = torch.randint(0, self.schedule.steps, (len(batch),), generator=generator)
            noise = torch.randn(x0.shape, generator=generator)
            own = None if condition is None else condition[batch]
            reconstruction, penalty = self.loss(x0, timesteps, noise, own, basis, target[batch])
            loss = (reconstruction + self.guidance * penalty).mean()
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            total += loss.item() * len(batch)
        return total / n_rows

    @torch.no_grad()
    def reverse(self, x0: Tensor, condition: Tensor | None) -> Tensor:
        """Run T reverse steps at full width from noise-free rows ``[batch, width]``."""
        x = x0
        for t in range(self.schedule.steps - 1, -1, -1):
            timesteps = torch.full((len(x),), t, dtype=torch.int64)
            given = x if condition is None else x + condition.unsqueeze(1)
            predicted = self.denoiser(given, timesteps)
            x = self.schedule.posterior_x0[t] * predicted + self.schedule.posterior_xt[t] * x
        return x

    @torch.no_grad()
    def best_columns(self, q: int, condition: Tensor | None) -> Tensor:
        """Regenerate all rows and return the q best columns of each, int64 ``[rows, q]``."""
        kept = []
        for batch in torch.arange(len(self.rows)).split(self.batch_size):
            own = None if condition is None else condition[batch]
            kept.append(torch.topk(self.reverse(self.rows[batch], own), q, dim=1).indices)
        return torch.cat(kept)
