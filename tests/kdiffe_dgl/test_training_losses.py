"""Partition functions in blocks and from samples, against dense autograd and enumeration."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kdiffe_dgl.training.losses import contrast_nodes, info_nce, sample_candidates, softmax_loss

BATCH, NODES, DIM = 5, 23, 4


def make_case(
    seed: int = 0, scale: float = 3.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    users = scale * torch.randn(BATCH, DIM, generator=generator, dtype=torch.float64)
    items = scale * torch.randn(NODES, DIM, generator=generator, dtype=torch.float64)
    weight = torch.randn(NODES, generator=generator, dtype=torch.float64)
    return users, items, torch.tensor([0, 22, 7, 7, 11]), weight


# Blocks of 1, 4 and 11 candidates leave a last one that is shorter; 23 fit exactly, one more is room.
BLOCKS = [1, BATCH, 4 * BATCH, 11 * BATCH, 22 * BATCH, 23 * BATCH, 24 * BATCH, 1 << 22]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_and_gradients_in_blocks_are_those_of_dense_autograd(block: int, weighted: bool) -> None:
    users, items, positive, weight = make_case()
    leaves = [x.clone().requires_grad_() for x in ((users, items, weight) if weighted else (users, items))]
    scores = leaves[0] @ leaves[1].t()
    dense = -(scores[torch.arange(BATCH), positive] - (scores + (leaves[2] if weighted else 0)).logsumexp(1))
    expected = torch.autograd.grad(dense.mean(), leaves)
    found = softmax_loss(leaves[0], leaves[1], positive, leaves[2] if weighted else None, block=block)
    torch.testing.assert_close(found, dense.mean(), rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(torch.autograd.grad(found, leaves), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("block", [BATCH, 7 * BATCH, 1 << 22])
def test_gradients_in_blocks_are_those_of_finite_differences(block: int) -> None:
    users, items, positive, weight = (x[:9] for x in make_case(1, 1.0))
    positive = positive.clamp(max=8)
    leaves = tuple(x.clone().requires_grad_() for x in (users, items, weight))
    assert torch.autograd.gradcheck(lambda u, i, w: softmax_loss(u, i, positive, w, block=block), leaves)
    assert torch.autograd.gradcheck(lambda a, c, w: info_nce(a, c, positive, 0.3, w, block=block), leaves)


@pytest.mark.parametrize("block", [BATCH, 1 << 22])
def test_users_that_occur_several_times_are_those_of_a_batch_with_repetitions(block: int) -> None:
    users, items, _, weight = make_case()
    rows, positive = torch.tensor([3, 0, 3, 1, 3, 4, 0]), torch.tensor([0, 22, 7, 7, 11, 1, 2])
    leaves = [x.clone().requires_grad_() for x in (users, items, weight)]
    scores = leaves[0][rows] @ leaves[1].t() + leaves[2]
    observed = (leaves[0][rows] * leaves[1][positive]).sum(dim=1)
    expected = (scores.logsumexp(1) - observed).mean()
    found = softmax_loss(leaves[0], leaves[1], positive, leaves[2], block=block, rows=rows)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    wanted = torch.autograd.grad(expected, leaves)
    for ours, theirs in zip(torch.autograd.grad(found, leaves), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("negatives", ["all", "batch"])
def test_nodes_of_a_batch_count_as_often_as_they_occur(negatives: Literal["all", "batch"]) -> None:
    _, first, _, _ = make_case(3)
    _, second, _, _ = make_case(4)
    nodes, tau = torch.tensor([5, 2, 5, 22, 0, 5, 2]), 0.3
    leaves = [x.clone().requires_grad_() for x in (first, second)]
    anchors, others = (torch.nn.functional.normalize(x, dim=1) for x in leaves)
    candidates, place = (others, nodes) if negatives == "all" else (others[nodes], torch.arange(len(nodes)))
    expected = torch.nn.functional.cross_entropy(anchors[nodes] @ candidates.t() / tau, place)
    found = contrast_nodes(*leaves, nodes, tau, negatives)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    wanted = torch.autograd.grad(expected, leaves)
    for ours, theirs in zip(torch.autograd.grad(found, leaves), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_scores_that_overflow_alone_do_so_in_no_block() -> None:
    users, items, positive, _ = make_case(2, 60.0)
    expected = torch.nn.functional.cross_entropy(users @ items.t(), positive)
    for block in BLOCKS:
        torch.testing.assert_close(softmax_loss(users, items, positive, block=block), expected)


class _Largest(TorchDispatchMode):
    """Keeps the number of entries of the largest tensor that an operation returns."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for each in found if isinstance(found, tuple | list) else (found,):
            if isinstance(each, torch.Tensor):
                self.entries = max(self.entries, each.numel())
        return found


def test_no_array_is_larger_than_a_block() -> None:
    users, items, positive, _ = make_case()
    items = items.repeat(40, 1)
    leaves = users.requires_grad_(), items.requires_grad_()
    block = 200 * BATCH
    with _Largest() as seen:
        softmax_loss(*leaves, positive, block=block).backward()
    # The gradient of the items is as large as they are; the whole product would be larger.
    assert block <= seen.entries <= items.numel() < BATCH * len(items)


def test_a_sample_of_everything_is_everything() -> None:
    users, items, positive, _ = make_case()
    for size in (NODES, NODES - 4):
        candidates, position, weight = sample_candidates(NODES, positive, size, torch.Generator())
        assert torch.equal(candidates, torch.arange(NODES))
        assert torch.equal(position, positive)
        assert torch.equal(weight, torch.zeros(NODES))
        found = softmax_loss(users, items[candidates], position, weight.double())
        torch.testing.assert_close(found, softmax_loss(users, items, positive))


def test_the_expectation_of_the_weighted_sum_is_the_sum_over_all() -> None:
    """By enumeration: all equally likely samples of 2 of the 4 other nodes, and their mean."""
    users, items, _, _ = make_case(3, 0.5)
    items, required = items[:6], torch.tensor([1, 4])
    weight = math.log(4 / 2)
    whole = (users @ items.t()).exp().sum(dim=1)
    sums = []
    for chosen in itertools.combinations([0, 2, 3, 5], 2):
        nodes = sorted({1, 4, *chosen})
        w = torch.tensor([0.0 if node in (1, 4) else weight for node in nodes], dtype=torch.float64)
        sums.append((users @ items[nodes].t() + w).exp().sum(dim=1))
    torch.testing.assert_close(torch.stack(sums).mean(dim=0), whole)

    generator, seen = torch.Generator().manual_seed(0), {}
    for _ in range(600):
        candidates, position, log_weight = sample_candidates(6, required, 2, generator)
        assert candidates[position].tolist() == [1, 4]
        assert log_weight[position].tolist() == [0.0, 0.0]
        assert sorted(log_weight.tolist())[2:] == pytest.approx([weight, weight])
        seen[tuple(candidates.tolist())] = seen.get(tuple(candidates.tolist()), 0) + 1
    # Six samples, equally likely: 100 each on average, with a deviation of 9.
    assert len(seen) == 6
    assert min(seen.values()) > 60


def test_an_estimate_from_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        sample_candidates(5, torch.tensor([1]), 0, torch.Generator())
