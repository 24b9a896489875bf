r"""Loss and reverse process of guided diffusion, exact, without a dense row.

With :math:`\hat x_0 = V y + b`, :math:`y = \tanh(W x_t + c_t)`:

* the squared error expands into
  :math:`\|x_0\|^2 - 2 x_0 \cdot \hat x_0 + y^T (V^T V) y + 2 b^T V y + \|b\|^2`, in which
  :math:`x_0 \cdot \hat x_0` touches only the non-zeros of :math:`x_0`;
* noise enters only as :math:`W \epsilon \sim N(0, W W^T)`, drawn through the h × h Cholesky factor;
* the posterior mean :math:`x_{t-1} = k_1 \hat x_0 + k_2 x_t` is linear, so the state :math:`u_t = W x_t`
  evolves as :math:`u_{t-1} = k_1 (M y + W b) + k_2 u_t`, :math:`M = W V`.

A step costs O(nnz·h + E·h²) in place of O(B·E·h), and O(E·h) memory in place of O(B·E).
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdiffe_dgl.diffusion.denoiser import FactorisedDenoiser
from kdiffe_dgl.diffusion.guidance import LinearGuidance
from kdiffe_dgl.diffusion.rows import RowBatch, SparseRows
from kdiffe_dgl.diffusion.schedule import LinearVarianceSchedule

__all__ = ["DiffusionProcess", "hidden_noise", "squared_error"]


def hidden_noise(weight: Tensor, rows: int, generator: torch.Generator) -> Tensor:
    r"""Draw :math:`W \epsilon` for independent standard normal :math:`\epsilon`, differentiably in W.

    Parameters
    ----------
    weight
        W transposed, ``[width, hidden]``.
    rows
        Number of draws.
    generator
        Source of randomness, on the device of ``weight``.

    Returns
    -------
    Tensor
        ``[rows, hidden]``, with covariance :math:`W W^T`.

    Notes
    -----
    The pathwise gradient through the Cholesky factor differs from the one through
    :math:`W \epsilon` draw by draw, but has the same mean: both reparametrise the same distribution.
    """
    width, hidden = weight.shape
    if width <= 2 * hidden:
        # The covariance may be singular here, and the plain product is as cheap.
        return (
            torch.randn(rows, width, generator=generator, device=weight.device, dtype=weight.dtype) @ weight
        )
    covariance = (weight.t() @ weight).double()
    jitter = 1e-7 * covariance.diagonal().mean().detach()
    factor = torch.linalg.cholesky(
        covariance + jitter * torch.eye(hidden, device=weight.device, dtype=torch.float64)
    )
    normal = torch.randn(rows, hidden, generator=generator, device=weight.device, dtype=weight.dtype)
    return normal @ factor.t().to(weight.dtype)


def squared_error(clean: RowBatch, activation: Tensor, output: Tensor, output_bias: Tensor) -> Tensor:
    r"""Return :math:`\|x_0 - (V y + b)\|^2` for each row from the non-zeros of :math:`x_0`.

    Parameters
    ----------
    clean
        Rows :math:`x_0`.
    activation
        y, ``[batch, hidden]``.
    output, output_bias
        V ``[width, hidden]`` and b ``[width]``.

    Returns
    -------
    Tensor
        ``[batch]``.
    """
    # One pass over the non-zeros gives both x_0 V and x_0 · b.
    table = torch.cat([output, output_bias.unsqueeze(1)], dim=1)
    observed = clean.sum_of(table)
    overlap = (observed[:, :-1] * activation).sum(dim=1) + observed[:, -1]
    gram = output.t() @ output
    energy = ((activation @ gram) * activation).sum(dim=1) + 2 * activation @ (output_bias @ output)
    return clean.counts - 2 * overlap + energy + output_bias.square().sum()


class DiffusionProcess:
    """Forward noising, training loss and reverse process of one denoiser.

    Parameters
    ----------
    schedule
        Variance schedule with T timesteps.
    denoiser
        Network that predicts x_0.
    dropout
        Probability of hiding an observed edge from the input of the denoiser in training; the others
        are scaled up. The target keeps all edges.
    """

    def __init__(
        self, schedule: LinearVarianceSchedule, denoiser: FactorisedDenoiser, dropout: float = 0.0
    ) -> None:
        self.schedule, self.denoiser, self.dropout = schedule, denoiser, dropout

    def loss(
        self,
        matrix: SparseRows,
        rows: Tensor,
        timesteps: Tensor,
        context: Tensor | None,
        guidance: LinearGuidance | None,
        generator: torch.Generator,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        r"""Compute the two parts of the loss for some rows (KDiffE, guided diffusion).

        Parameters
        ----------
        matrix, rows
            Adjacency, and which of its rows to use, int64 ``[batch]``.
        timesteps
            t of each row, int64 ``[batch]``.
        context
            Condition of every row of the matrix, ``[rows, context_dim]``.
        guidance
            Guidance penalty; None leaves it out.
        generator
            Source of noise and dropout.
        noise
            :math:`W \epsilon` in place of a draw, ``[batch, hidden]``; for tests.

        Returns
        -------
        tuple of Tensor
            Weighted reconstruction error, mean over the row, and guidance penalty, ``[batch]`` each.
        """
        net, clean = self.denoiser, matrix.batch(rows)
        signal, sigma = self.schedule.signal_and_noise(timesteps)
        if noise is None:
            noise = hidden_noise(net.input, len(rows), generator)
        state = signal * clean.sum_of(net.input, self._edge_weights(clean, generator)) + sigma * noise
        activation = torch.tanh(state + net.shift(timesteps, None if context is None else context[rows]))
        error = squared_error(clean, activation, net.output, net.output_bias) / net.width
        reconstruction = self.schedule.loss_weight(timesteps) * error
        if guidance is None:
            return reconstruction, torch.zeros_like(reconstruction)
        return reconstruction, guidance.penalty(activation, net.output, net.output_bias, rows)

    def _edge_weights(self, clean: RowBatch, generator: torch.Generator) -> Tensor | None:
        if self.dropout == 0:
            return None
        keep = 1 - self.dropout
        mask = torch.rand(len(clean.columns), generator=generator, device=clean.columns.device) < keep
        return mask.to(self.denoiser.input.dtype) / keep

    @torch.no_grad()
    def reverse(
        self,
        matrix: SparseRows,
        rows: Tensor,
        context: Tensor | None,
        noise_steps: int,
        generator: torch.Generator,
    ) -> Tensor:
        """Run the whole reverse process by posterior means, in hidden space.

        Parameters
        ----------
        matrix, rows
            Adjacency, and which of its rows to regenerate, int64 ``[batch]``.
        context
            Condition of every row of the matrix, ``[rows, context_dim]``.
        noise_steps
            Timesteps of noise on the rows at the start, from 0 (none, as published) to T.
        generator
            Source of that noise.

        Returns
        -------
        Tensor
            Activation y of the last step, ``[batch, hidden]``: ``denoiser.decode(y)`` are the rows x̂_0,
            ``denoiser.decode_at`` single components of them.
        """
        net, schedule = self.denoiser, self.schedule
        state = matrix.batch(rows).sum_of(net.input)
        own = None if context is None else context[rows]
        if noise_steps > 0:
            signal, sigma = schedule.signal_and_noise(torch.full_like(rows, noise_steps - 1))
            state = signal * state + sigma * hidden_noise(net.input, len(rows), generator)
        mixing = net.output.t() @ net.input  # (W V) transposed
        offset = net.output_bias @ net.input  # W b
        for t in range(schedule.steps - 1, 0, -1):
            activation = torch.tanh(state + net.shift(torch.full_like(rows, t), own))
            k1, k2 = float(schedule.posterior_x0[t]), float(schedule.posterior_xt[t])
            state = k1 * (activation @ mixing + offset) + k2 * state
        # At t = 0 the posterior mean is x̂_0 itself: k1 = 1, k2 = 0.
        return torch.tanh(state + net.shift(torch.zeros_like(rows), own))
