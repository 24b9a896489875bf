"""Rows of length 1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["unit_rows"]

_LEAST = 1e-12


def unit_rows(x: Tensor) -> Tensor:
    """Divide each row of ``x``, ``[rows, dim]``, by its length, as ``torch.nn.functional.normalize`` does.

    The gradient is written out: it needs a third of the passes over the rows that autograd makes. It is the
    same for rows of zeros, and for all whose length is 1e-12 or more.
    """
    rows: Tensor = _UnitRows.apply(x)
    return rows


class _UnitRows(torch.autograd.Function):
    r"""For :math:`y = x / \|x\|`, the gradient is :math:`(g - (g \cdot y) y) / \|x\|`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_min_(_LEAST)
        unit = x / length
        ctx.save_for_backward(unit, length)
        return unit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        unit, length = ctx.saved_tensors
        along = torch.linalg.vecdot(gradients[0], unit).unsqueeze(1)
        return torch.addcmul(gradients[0], unit, along, value=-1).div_(length)
