"""Rows of length 1, against torch's own function and its gradient."""

from __future__ import annotations

import torch
from torch.nn import functional

from kdiffe_dgl.unit_rows import unit_rows


def test_rows_and_gradients_are_those_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 7, generator=generator, dtype=torch.float64)
    x[3], x[5] = x[3] * 1e-6, x[5] * 1e9
    outer = torch.randn(40, 7, generator=generator, dtype=torch.float64)
    found, expected = x.clone().requires_grad_(), x.clone().requires_grad_()
    torch.testing.assert_close(unit_rows(found), functional.normalize(expected))
    unit_rows(found).backward(outer)
    functional.normalize(expected).backward(outer)
    torch.testing.assert_close(found.grad, expected.grad, rtol=1e-9, atol=0)


def test_a_row_of_zeros_stays() -> None:
    x = torch.zeros(2, 3, requires_grad=True)
    unit_rows(x).sum().backward()
    assert x.grad is not None
    same = torch.zeros(2, 3, requires_grad=True)
    functional.normalize(same).sum().backward()
    torch.testing.assert_close(x.grad, same.grad)
    assert not unit_rows(x).any()
