r"""Loss and reverse process of guided diffusion, exact, without a dense row.

With :math:`\hat x_0 = V y + b`, :math:`y = \tanh(W x_t + c_t)`:

* the squared error expands into
  :math:`\|x_0\|^2 - 2 x_0 \cdot \hat x_0 + y^T (V^T V) y + 2 b^T V y + \|b\|^2`, in which
  :math:`x_0 \cdot \hat x_0` touches only the non-zeros of :math:`x_0`;
* noise enters only as :math:`W \epsilon \sim N(0, W W^T)`, drawn through the h × h Cholesky factor;
* the posterior mean :math:`x_{t-1} = k_1 \hat x_0 + k_2 x_t` is linear, so the state :math:`u_t = W x_t`
  evolves as :math:`u_{t-1} = k_1 (M y + W b) + k_2 u_t`, :math:`M = W V`.

A step costs O(nnz·h + E·h²) in place of O(B·E·h), and O(E·h) memory in place of O(B·E). The E·h² lies in
products that all rows of a step share: see :mod:`kdiffe_dgl.diffusion.products`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from kdiffe_dgl.diffusion.denoiser import FactorisedDenoiser
from kdiffe_dgl.diffusion.guidance import LinearGuidance, guidance_penalty
from kdiffe_dgl.diffusion.products import LossProducts, ReverseProducts, draw_noise, noise_root
from kdiffe_dgl.diffusion.rows import RowBatch, SparseRows
from kdiffe_dgl.diffusion.schedule import LinearVarianceSchedule

__all__ = ["DiffusionProcess", "RowSums", "Weighting", "hidden_noise", "squared_error"]

Weighting = Literal["snr", "rows"]


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
    return draw_noise(noise_root(weight), rows, generator)


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
    overlap = (clean.sum_of(output) * activation).sum(dim=1) + _sum_of_bias(clean, output_bias)
    energy = _energy(activation, output.t() @ output, output_bias @ output, output_bias.square().sum())
    return clean.counts - 2 * overlap + energy


def _energy(activation: Tensor, gram: Tensor, bias_output: Tensor, bias_square: Tensor) -> Tensor:
    r"""Return :math:`\|V y + b\|^2`, ``[batch]``."""
    return ((activation @ gram + 2 * bias_output) * activation).sum(dim=1) + bias_square


def _sum_of_bias(clean: RowBatch, bias: Tensor) -> Tensor:
    r"""Return :math:`x_0 \cdot b`, ``[batch]``."""
    return clean.sum_of(bias.unsqueeze(1)).squeeze(1)


@dataclass(frozen=True)
class RowSums:
    r"""Sums over the non-zeros of some rows: all that the loss reads of :math:`x_0`.

    Attributes
    ----------
    input
        :math:`W x_0`, with input dropout, ``[batch, hidden]``.
    output
        :math:`x_0^T V`, ``[batch, hidden]``.
    bias
        :math:`x_0 \cdot b`, ``[batch]``.
    counts
        Non-zeros of each row, ``[batch]``.
    """

    input: Tensor
    output: Tensor
    bias: Tensor
    counts: Tensor

    @classmethod
    def of(cls, net: FactorisedDenoiser, clean: RowBatch, edge_weights: Tensor | None) -> RowSums:
        """Sum the parameters of a denoiser over the non-zeros of some rows; differentiable."""
        return cls(
            clean.sum_of(net.input, edge_weights),
            clean.sum_of(net.output),
            _sum_of_bias(clean, net.output_bias),
            clean.counts,
        )


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
    weighting
        ``"snr"``: the error of a row is its mean over the columns, by the weight of its timestep (KDiffE);
        ``"rows"``: all timesteps count alike, and the error of a row of n edges is divided by √n.
    """

    def __init__(
        self,
        schedule: LinearVarianceSchedule,
        denoiser: FactorisedDenoiser,
        dropout: float = 0.0,
        weighting: Weighting = "snr",
    ) -> None:
        self.schedule, self.denoiser, self.dropout = schedule, denoiser, dropout
        self.weighting = weighting

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
        root = noise_root(net.input)
        products = LossProducts.of(net, guidance, root)
        if noise is None:
            noise = draw_noise(root, len(rows), generator)
        sums = RowSums.of(net, clean, self.edge_weights(clean, generator))
        own = None if context is None else context[rows]
        target = None if guidance is None else guidance.target[rows]
        return self.loss_of(sums, products, timesteps, own, target, noise)

    def loss_of(
        self,
        sums: RowSums,
        products: LossProducts,
        timesteps: Tensor,
        context: Tensor | None,
        target: Tensor | None,
        noise: Tensor,
    ) -> tuple[Tensor, Tensor]:
        r"""Compute the two parts of the loss from what it needs of rows and parameters.

        Parameters
        ----------
        sums
            Sums over the non-zeros of the rows.
        products
            Products of the parameters.
        timesteps
            t of each row, int64 ``[batch]``.
        context
            Condition of each row, ``[batch, context_dim]``.
        target
            Target g of the guidance for each row, ``[batch, dim]``; None leaves guidance out.
        noise
            :math:`W \epsilon`, ``[batch, hidden]``.

        Returns
        -------
        tuple of Tensor
            As of :meth:`loss`.
        """
        net = self.denoiser
        signal, sigma = self.schedule.signal_and_noise(timesteps)
        state = signal * sums.input + sigma * noise
        activation = torch.tanh(state + net.shift(timesteps, context, products.column_sum))
        overlap = (sums.output * activation).sum(dim=1) + sums.bias
        energy = _energy(activation, products.gram, products.bias_output, products.bias_square)
        error = sums.counts - 2 * overlap + energy
        if self.weighting == "snr":
            reconstruction = self.schedule.loss_weight(timesteps) * (error / net.width)
        else:
            # SNR weights differ by orders of magnitude, so that of a batch the few rows at t = 1 count; and
            # a node that thousands touch errs more than all others together.
            reconstruction = error / sums.counts.clamp(min=1).to(error.dtype).sqrt()
        if target is None or products.guided is None or products.guided_bias is None:
            return reconstruction, torch.zeros_like(reconstruction)
        return reconstruction, guidance_penalty(activation, products.guided, products.guided_bias, target)

    def edge_weights(self, clean: RowBatch, generator: torch.Generator) -> Tensor | None:
        """Draw the weight of each observed edge in the input: 0 where it is hidden; null without dropout."""
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
        products: ReverseProducts | None = None,
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
        products
            ``ReverseProducts.of(denoiser, noise_steps > 0)``, where they are known: with many blocks
            of rows they are computed once.

        Returns
        -------
        Tensor
            Activation y of the last step, ``[batch, hidden]``: ``denoiser.decode(y)`` are the rows x̂_0,
            ``denoiser.decode_at`` single components of them.
        """
        net, schedule = self.denoiser, self.schedule
        products = products or ReverseProducts.of(net, noise_steps > 0)
        state = matrix.batch(rows).sum_of(net.input)
        condition = net.context_shift(None if context is None else context[rows], products.column_sum)
        if noise_steps > 0:
            assert products.root is not None
            signal, sigma = schedule.signal_and_noise(torch.full_like(rows, noise_steps - 1))
            state = signal * state + sigma * draw_noise(products.root, len(rows), generator)
        # All rows are at the same timestep, so its part of the shift is one row.
        times = net.time_shift(torch.arange(schedule.steps, device=rows.device))
        if condition is None:
            condition = times.new_zeros(())
        for t in range(schedule.steps - 1, 0, -1):
            activation = torch.tanh(state + (times[t] + condition))
            k1, k2 = float(schedule.posterior_x0[t]), float(schedule.posterior_xt[t])
            state = k1 * (activation @ products.mixing + products.offset) + k2 * state
        # At t = 0 the posterior mean is x̂_0 itself: k1 = 1, k2 = 0.
        return torch.tanh(state + (times[0] + condition))
