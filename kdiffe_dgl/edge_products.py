r"""The two products over edges whose weights or scores are learned, each with its gradients.

Over edges (i, j) they are adjoint to each other: the sum :math:`y_i = \sum_j w_{ij} x_j`, which
attention needs, and the scores :math:`s_{ij} = a_i \cdot b_j`, which ranking needs. The gradients of one are
made of the other, so no array of edges times dimensions is ever made; that is several times faster than
gathering both ends, and than message passing with any message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kdiffe_dgl.compressed_rows import CompressedRows

__all__ = ["EdgeProducts"]


@dataclass(frozen=True)
class EdgeProducts:
    """Products over the edges of a bipartite graph, or of one whose nodes are on both sides.

    Attributes
    ----------
    forward, backward
        The edges by their first and by their second end.
    """

    forward: CompressedRows
    backward: CompressedRows

    @classmethod
    def of(cls, first: Tensor, second: Tensor, n_first: int, n_second: int) -> EdgeProducts:
        """Take edges, int64 ``[edges]`` each, in any order and any of them more than once."""
        return cls(
            CompressedRows.of(first, second, n_first, n_second),
            CompressedRows.of(second, first, n_second, n_first),
        )

    def weighted_sum(self, weights: Tensor, x: Tensor) -> Tensor:
        """Return the weighted sum of the second ends at each first end, ``[first, dim]``.

        Parameters
        ----------
        weights
            ``[edges]``.
        x
            Of the second ends, ``[second, dim]``.
        """
        total: Tensor = _WeightedSum.apply(weights, x, self)
        return total

    def scores(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the scalar product of the two ends of each edge, ``[edges]``.

        Parameters
        ----------
        first, second
            ``[first, dim]`` and ``[second, dim]``.
        """
        products: Tensor = _Scores.apply(first, second, self)
        return products


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, x: Tensor, edges: EdgeProducts) -> Tensor:
        ctx.save_for_backward(weights, x)
        ctx.edges = edges
        return edges.forward.product(weights, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (weights, x), edges = ctx.saved_tensors, ctx.edges
        gradient = gradients[0].contiguous()
        of_weights = edges.forward.dot_products(gradient, x) if ctx.needs_input_grad[0] else None
        of_x = edges.backward.product(weights, gradient) if ctx.needs_input_grad[1] else None
        return of_weights, of_x, None


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, edges: EdgeProducts) -> Tensor:
        ctx.save_for_backward(first, second)
        ctx.edges = edges
        return edges.forward.dot_products(first, second)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (first, second), edges, gradient = ctx.saved_tensors, ctx.edges, gradients[0]
        of_first = edges.forward.product(gradient, second) if ctx.needs_input_grad[0] else None
        of_second = edges.backward.product(gradient, first) if ctx.needs_input_grad[1] else None
        return of_first, of_second, None
