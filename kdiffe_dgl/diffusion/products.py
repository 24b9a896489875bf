r"""What diffusion needs of the matrices that are as wide as a row: a few products, small ones.

The loss reads W, V and b only through the sums over the non-zeros of a row, which are cheap, and through
:math:`W W^T`, :math:`V^T V`, :math:`V^T b`, :math:`V^T G` and the like, which cost a pass over all
columns. They depend on the parameters alone, so one optimiser step needs each of them once, however many
rows it holds; likewise the reverse process for as long as the parameters stand still.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from kdiffe_dgl.diffusion.denoiser import FactorisedDenoiser
from kdiffe_dgl.diffusion.guidance import LinearGuidance

__all__ = ["LossProducts", "ReverseProducts", "covariance_root", "draw_noise", "noise_root"]


def noise_root(weight: Tensor) -> Tensor:
    r"""Return R ``[draws, hidden]`` with :math:`R^T R = W W^T`, differentiable in W.

    Parameters
    ----------
    weight
        W transposed, ``[width, hidden]``; where it is not much longer than wide, it is its own root:
        the covariance may be singular there, and the plain product is as cheap.
    """
    return weight if is_own_root(weight) else covariance_root(weight.t() @ weight)


def is_own_root(weight: Tensor) -> bool:
    """Whether noise goes through W, ``[width, hidden]``, itself and not a factor of its covariance."""
    width, hidden = weight.shape
    return width <= 2 * hidden


def covariance_root(covariance: Tensor) -> Tensor:
    """Return the transposed Cholesky factor of a covariance ``[hidden, hidden]``, made in float64."""
    double = covariance.double()
    jitter = 1e-7 * double.diagonal().mean().detach()
    identity = torch.eye(len(double), device=double.device, dtype=torch.float64)
    return torch.linalg.cholesky(double + jitter * identity).t().to(covariance.dtype)


def draw_noise(root: Tensor, rows: int, generator: torch.Generator) -> Tensor:
    """Draw ``[rows, hidden]`` with the covariance of a root ``[draws, hidden]``."""
    normal = torch.randn(rows, len(root), generator=generator, device=root.device, dtype=root.dtype)
    return normal @ root


@dataclass(frozen=True)
class LossProducts:
    r"""All that the loss needs of W, V, b and the guidance G beside sums over non-zeros.

    Attributes
    ----------
    root
        R with :math:`R^T R = W W^T`, ``[draws, hidden]``: see :func:`noise_root`.
    gram
        :math:`V^T V`, ``[hidden, hidden]``.
    bias_output
        :math:`V^T b`, ``[hidden]``.
    bias_square
        :math:`\|b\|^2`.
    column_sum
        Sum of the columns of W, ``[hidden]``; null unless the conditioning is ``"scalar"``.
    guided, guided_bias
        :math:`V^T G`, ``[hidden, dim]``, and :math:`b^T G`, ``[dim]``; null without guidance.
    """

    root: Tensor
    gram: Tensor
    bias_output: Tensor
    bias_square: Tensor
    column_sum: Tensor | None
    guided: Tensor | None
    guided_bias: Tensor | None

    @classmethod
    def of(cls, net: FactorisedDenoiser, guidance: LinearGuidance | None, root: Tensor) -> LossProducts:
        """Compute the products of a denoiser, given the root of its noise; differentiable."""
        bias = net.output_bias
        return cls(
            root,
            net.output.t() @ net.output,
            bias @ net.output,
            bias.square().sum(),
            net.input.sum(dim=0) if net.conditioning == "scalar" else None,
            None if guidance is None else net.output.t() @ guidance.basis,
            None if guidance is None else bias @ guidance.basis,
        )

    def leaves(self) -> LossProducts:
        """Return copies that start a graph of their own and collect gradients."""
        held = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(self, **{k: x.detach().requires_grad_() for k, x in held.items() if x is not None})


@dataclass(frozen=True)
class ReverseProducts:
    r"""All that the reverse process needs of W, V and b beside sums over non-zeros.

    Attributes
    ----------
    mixing
        :math:`(W V)^T`, ``[hidden, hidden]``.
    offset
        :math:`W b`, ``[hidden]``.
    column_sum
        Sum of the columns of W, ``[hidden]``; null unless the conditioning is ``"scalar"``.
    root
        R with :math:`R^T R = W W^T`, ``[draws, hidden]``; null where the reverse process starts
        without noise.
    """

    mixing: Tensor
    offset: Tensor
    column_sum: Tensor | None
    root: Tensor | None

    @classmethod
    @torch.no_grad()
    def of(cls, net: FactorisedDenoiser, noisy: bool) -> ReverseProducts:
        """Compute the products of a denoiser; they hold until its parameters change."""
        return cls(
            net.output.t() @ net.input,
            net.output_bias @ net.input,
            net.input.sum(dim=0) if net.conditioning == "scalar" else None,
            noise_root(net.input) if noisy else None,
        )
