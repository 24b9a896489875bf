"""Variance schedule of the forward process, apart from any network."""

from __future__ import annotations

import torch
from torch import Tensor

from kdiffe_dgl.errors import InputError

__all__ = ["LinearVarianceSchedule"]


class LinearVarianceSchedule:
    r"""Forward process :math:`q(x_t|x_0) = N(\sqrt{\bar\alpha_t} x_0, (1-\bar\alpha_t) I)`, t from 0 to T-1.

    The total variance :math:`1-\bar\alpha_t` grows linearly from ``scale * minimum`` to
    ``scale * maximum``; the first step is fixed at :math:`\beta_0 = 10^{-4}`. (KDiffE, guided
    diffusion; the schedule is that of Wang et al., *Diffusion Recommender Model*, SIGIR 2023.)

    Parameters
    ----------
    steps
        Number of timesteps T, at least 1.
    scale, minimum, maximum
        Noise scale s and the ends of the linear variance; ``0 < scale * minimum <= scale * maximum < 1``.

    Attributes
    ----------
    beta, alpha_bar
        Variance of a step, and :math:`\bar\alpha_t = \prod_{s \le t} (1-\beta_s)`; float64 ``[T]``.
    alpha_bar_previous
        :math:`\bar\alpha_{t-1}`, with :math:`\bar\alpha_{-1} = 1`.
    posterior_x0, posterior_xt
        Coefficients of the posterior mean :math:`E[x_{t-1}|x_t, \hat x_0] = k_1 \hat x_0 + k_2 x_t`.

    Raises
    ------
    InputError
        If a parameter is out of range.
    """

    def __init__(
        self,
        steps: int,
        scale: float = 0.1,
        minimum: float = 1e-4,
        maximum: float = 0.02,
        first: float = 1e-4,
    ) -> None:
        if steps < 1:
            raise InputError(f"diffusion: steps is {steps}; expected at least 1")
        if not 0 < scale * minimum <= scale * maximum < 1:
            raise InputError(
                f"diffusion: noise from {scale * minimum:g} to {scale * maximum:g} is not a variance "
                "schedule; expected 0 < scale * minimum <= scale * maximum < 1"
            )
        self.steps = steps
        variance = torch.linspace(scale * minimum, scale * maximum, steps, dtype=torch.float64)
        target = 1 - variance
        beta = torch.empty(steps, dtype=torch.float64)
        beta[0] = first
        # From the linear targets, not the cumulative product: the fixed first step shifts all later ones.
        beta[1:] = (1 - target[1:] / target[:-1]).clamp(max=0.999)
        self.beta = beta
        self.alpha_bar = torch.cumprod(1 - beta, dim=0)
        self.alpha_bar_previous = torch.cat([torch.ones(1, dtype=torch.float64), self.alpha_bar[:-1]])
        remaining = 1 - self.alpha_bar
        self.posterior_x0 = beta * self.alpha_bar_previous.sqrt() / remaining
        self.posterior_xt = (1 - self.alpha_bar_previous) * (1 - beta).sqrt() / remaining

    def signal_and_noise(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return :math:`\sqrt{\bar\alpha_t}` and :math:`\sqrt{1-\bar\alpha_t}`, float32 ``[batch, 1]``."""
        alpha_bar = self.alpha_bar[timesteps.cpu()].unsqueeze(1)
        device = timesteps.device
        return alpha_bar.sqrt().float().to(device), (1 - alpha_bar).sqrt().float().to(device)

    def loss_weight(self, timesteps: Tensor) -> Tensor:
        r"""Return :math:`SNR(t-1) - SNR(t)`, and 1 at t = 0, float32 ``[batch]``.

        The signal-to-noise ratio is :math:`SNR = \bar\alpha / (1-\bar\alpha)`.
        """
        snr = self.alpha_bar / (1 - self.alpha_bar)
        weight = torch.ones_like(snr)
        weight[1:] = snr[:-1] - snr[1:]
        return weight[timesteps.cpu()].float().to(timesteps.device)
