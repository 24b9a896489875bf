"""Weighted sums and scores over edges, against gathered ends and autograd's own gradients."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kdiffe_dgl.edge_products import EdgeProducts

EDGES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=100)


def ends_of(edges: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    first, second = (torch.tensor([edge[side] for edge in edges], dtype=torch.int64) for side in (0, 1))
    return first, second


def same_gradients(found: Tensor, expected: Tensor, leaves: list[Tensor], generator: torch.Generator) -> None:
    torch.testing.assert_close(found, expected)
    outer = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    for mine, theirs in zip(
        torch.autograd.grad(found, leaves, outer), torch.autograd.grad(expected, leaves, outer), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


@settings(deadline=None)
@given(EDGES, st.integers(0, 2**31))
def test_weighted_sum_and_its_gradients(edges: list[tuple[int, int]], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = ends_of(edges)
    weights, x = (
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in ((len(edges),), (6, 3))
    )
    found = EdgeProducts.of(first, second, 5, 6).weighted_sum(weights, x)
    gathered = torch.zeros(5, 3, dtype=torch.float64).index_add(0, first, x[second] * weights.unsqueeze(1))
    same_gradients(found, gathered, [weights, x], generator)


@settings(deadline=None)
@given(EDGES, st.integers(0, 2**31))
def test_scores_and_their_gradients(edges: list[tuple[int, int]], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = ends_of(edges)
    a, b = (torch.randn(n, 3, generator=generator, dtype=torch.float64).requires_grad_() for n in (5, 6))
    found = EdgeProducts.of(first, second, 5, 6).scores(a, b)
    same_gradients(found, (a[first] * b[second]).sum(dim=1), [a, b], generator)


def test_no_gradient_is_made_where_none_is_wanted() -> None:
    first, second = ends_of([(0, 1), (4, 5), (0, 1)])
    weights, x = torch.ones(3), torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    weights.requires_grad_()
    EdgeProducts.of(first, second, 5, 6).weighted_sum(weights, x).sum().backward()
    assert x.grad is None
    assert weights.grad is not None
    torch.testing.assert_close(weights.grad, x[second].sum(dim=1))


def test_two_nodes_may_have_any_number_of_edges() -> None:
    zero = torch.zeros(50, dtype=torch.int64)
    edges = EdgeProducts.of(zero, zero, 1, 1)
    a, b = torch.tensor([[2.0, 1.0]], requires_grad=True), torch.tensor([[3.0, 4.0]], requires_grad=True)
    scores = edges.scores(a, b)
    torch.testing.assert_close(scores, torch.full((50,), 10.0))
    weights = torch.full((50,), 0.5, requires_grad=True)
    (scores.sum() + edges.weighted_sum(weights, b).sum()).backward()
    torch.testing.assert_close(a.grad, torch.tensor([[150.0, 200.0]]))
    torch.testing.assert_close(b.grad, torch.tensor([[125.0, 75.0]]))
    torch.testing.assert_close(weights.grad, torch.full((50,), 7.0))
