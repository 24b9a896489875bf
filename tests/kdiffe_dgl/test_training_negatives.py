"""Negative sampling against the set of free items."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.training.negatives import NegativeSampler

pairs = st.sets(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=30).filter(
    lambda found: all(sum(user == u for user, _ in found) < 7 for u in range(5))
)


@given(pairs, st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_never_a_positive_and_every_free_item_is_reached(found: set[tuple[int, int]], seed: int) -> None:
    table = np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
    np.random.default_rng(seed).shuffle(table)
    sampler = NegativeSampler(table, 5, 7)
    users = torch.arange(5).repeat_interleave(200)
    drawn = sampler.sample(users, torch.Generator().manual_seed(seed))
    for user in range(5):
        free = set(range(7)) - {item for owner, item in found if owner == user}
        assert set(drawn[users == user].tolist()) == free


def test_free_items_are_drawn_uniformly() -> None:
    sampler = NegativeSampler(np.array([[0, 3], [0, 4], [0, 9]]), 1, 10)
    drawn = sampler.sample(torch.zeros(70_000, dtype=torch.int64), torch.Generator().manual_seed(0))
    counts = np.bincount(drawn.numpy(), minlength=10)
    assert counts[[3, 4, 9]].sum() == 0
    assert chisquare(counts[[0, 1, 2, 5, 6, 7, 8]]).pvalue > 1e-3


def test_a_user_with_all_items_is_refused() -> None:
    with pytest.raises(InputError, match="user 1 has all 2 items"):
        NegativeSampler(np.array([[0, 0], [1, 0], [1, 1]]), 2, 2)
