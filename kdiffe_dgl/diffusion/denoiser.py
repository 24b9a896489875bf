r"""The denoiser in factorised form: nothing in it is as large as a batch of dense rows.

The network of the paper is a multi-layer perceptron from a noisy row to the clean one,
:math:`\hat x_0 = V \tanh(W x_t + c_t) + b`, where :math:`c_t` gathers the time embedding, the bias and
the condition. Only :math:`W x_t` and products with :math:`V` are ever needed: see
:mod:`kdiffe_dgl.diffusion.process`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from kdiffe_dgl.compressed_rows import dot_products
from kdiffe_dgl.diffusion.rows import RowBatch

__all__ = ["Conditioning", "FactorisedDenoiser", "time_embedding"]

Conditioning = Literal["vector", "scalar", "none"]


def time_embedding(timesteps: Tensor, dim: int) -> Tensor:
    """Embed timesteps by sines and cosines of geometric frequencies.

    Parameters
    ----------
    timesteps
        int64 ``[batch]``.
    dim
        Width of the embedding; an odd width ends with a zero.

    Returns
    -------
    Tensor
        float32 ``[batch, dim]``: cosines, then sines (Vaswani et al., 2017).
    """
    half = dim // 2
    frequency = torch.exp(
        -math.log(10000.0) * torch.arange(half, dtype=torch.float32, device=timesteps.device) / half
    )
    angle = timesteps.float().unsqueeze(1) * frequency
    embedding = torch.cat([angle.cos(), angle.sin()], dim=1)
    return nn.functional.pad(embedding, (0, dim - 2 * half))


def _xavier(shape: tuple[int, int], generator: torch.Generator) -> nn.Parameter:
    """Draw a matrix with Glorot's normal initialisation from an explicit generator."""
    std = math.sqrt(2.0 / (shape[0] + shape[1]))
    return nn.Parameter(torch.randn(shape, generator=generator) * std)


class FactorisedDenoiser(nn.Module):
    r"""Denoiser :math:`\hat x_0 = V \tanh(W x_t + c_t) + b` (KDiffE, guided diffusion).

    Parameters
    ----------
    width
        Length of a row.
    hidden
        Hidden units h (the paper uses 1000).
    time_dim
        Width of the time embedding (10).
    context_dim
        Width of the condition of a row.
    conditioning
        How a row's context enters: ``"vector"`` by a learned linear map into the hidden layer;
        ``"scalar"`` as the paper has it, by adding the mean of the context to every component of the
        input; ``"none"`` not at all.
    generator
        Source of the initial weights (on the CPU).
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        time_dim: int,
        context_dim: int,
        conditioning: Conditioning,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.width, self.time_dim, self.conditioning = width, time_dim, conditioning
        self.input = _xavier((width, hidden), generator)  # W transposed
        self.output = _xavier((width, hidden), generator)  # V
        self.output_bias = nn.Parameter(torch.zeros(width))
        self.time = _xavier((time_dim, time_dim), generator)
        self.time_bias = nn.Parameter(torch.zeros(time_dim))
        self.time_input = _xavier((time_dim, hidden), generator)
        self.input_bias = nn.Parameter(torch.zeros(hidden))
        self.context_input = _xavier((context_dim, hidden), generator) if conditioning == "vector" else None

    @property
    def hidden(self) -> int:
        """Number of hidden units h."""
        return self.input.shape[1]

    def shift(self, timesteps: Tensor, context: Tensor | None, column_sum: Tensor | None = None) -> Tensor:
        """Return c_t: time, bias and condition in the hidden layer.

        Parameters
        ----------
        timesteps
            int64 ``[batch]``.
        context
            Condition of each row, ``[batch, context_dim]``; None leaves it out.
        column_sum
            Sum of the columns of W, ``[hidden]``, where it is known: see :meth:`context_shift`.

        Returns
        -------
        Tensor
            ``[batch, hidden]``.
        """
        shift, condition = self.time_shift(timesteps), self.context_shift(context, column_sum)
        return shift if condition is None else shift + condition

    def time_shift(self, timesteps: Tensor) -> Tensor:
        """Return the part of c_t that all rows share, ``[batch, hidden]`` for timesteps ``[batch]``."""
        time = time_embedding(timesteps, self.time_dim) @ self.time + self.time_bias
        return time @ self.time_input + self.input_bias

    def context_shift(self, context: Tensor | None, column_sum: Tensor | None = None) -> Tensor | None:
        """Return the part of c_t that the timesteps share, ``[batch, hidden]``; null without a condition.

        Parameters
        ----------
        context
            Condition of each row, ``[batch, context_dim]``; None leaves it out.
        column_sum
            Sum of the columns of W, ``[hidden]``, which ``"scalar"`` conditioning needs; computed, at
            the cost of a pass over W, where it is not given.
        """
        if context is None or self.conditioning == "none":
            return None
        if self.context_input is not None:
            return context @ self.context_input
        # Adding a scalar to every component of x_t adds its multiple of the column sums of W.
        total = self.input.sum(dim=0) if column_sum is None else column_sum
        return context.mean(dim=1, keepdim=True) * total

    def decode(self, activation: Tensor) -> Tensor:
        """Return whole rows x̂_0 ``[batch, width]`` of activations ``[batch, hidden]``; for blocks of rows."""
        return activation @ self.output.t() + self.output_bias

    def decode_blocks(self, activation: Tensor, entries: int = 1 << 22) -> Iterator[Tensor]:
        """Yield x̂_0 of activations ``[batch, hidden]`` by blocks of columns of at most so many entries."""
        step = max(1, entries // max(1, len(activation)))
        for start in range(0, self.width, step):
            bias = self.output_bias[start : start + step]
            yield torch.addmm(bias, activation, self.output[start : start + step].t())

    def decode_at(self, activation: Tensor, where: RowBatch) -> Tensor:
        """Return single components of x̂_0, without gradient.

        Parameters
        ----------
        activation
            ``[batch, hidden]``.
        where
            Which components of each of its rows.

        Returns
        -------
        Tensor
            One after the other, row by row, ``[components]``.
        """
        products = dot_products(where.pointers, where.columns, activation.detach(), self.output.detach())
        return products + self.output_bias.detach()[where.columns]
