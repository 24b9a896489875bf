"""Top candidates of each row, thinning, and the whole of a regeneration, against brute force."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from kdiffe_dgl.config import parse_config
from kdiffe_dgl.diffusion.regenerate import keep_top, pair_keys, thin
from kdiffe_dgl.diffusion.rows import SparseRows
from kdiffe_dgl.diffusion.trainer import DiffusionConfig, GraphDiffusion
from kdiffe_dgl.errors import InputError

edges = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 8), st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    max_size=40,
    unique_by=lambda edge: edge[:2],
)


@given(edges, st.integers(0, 4), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
@settings(max_examples=100, deadline=None)
def test_keep_top_equals_sorting_each_row(
    found: list[tuple[int, int, float]], top: int, share: float
) -> None:
    rows = torch.tensor([edge[0] for edge in found], dtype=torch.int64)
    columns = torch.tensor([edge[1] for edge in found], dtype=torch.int64)
    scores = torch.tensor([edge[2] for edge in found])
    kept = keep_top(rows, columns, scores, top, share)
    expected = set()
    for row in range(6):
        mine = sorted((edge for edge in found if edge[0] == row), key=lambda edge: (-edge[2], edge[1]))
        expected |= {edge[:2] for edge in mine[: max(top, math.ceil(len(mine) * share - 1e-9))]}
    assert {found[i][:2] for i in torch.nonzero(kept).flatten().tolist()} == expected


def test_thinning_keeps_pairs_together_and_at_the_rate() -> None:
    keys = torch.arange(20_000).repeat(2)
    kept = thin(keys, 0.3, torch.Generator().manual_seed(0))
    assert torch.equal(kept[:20_000], kept[20_000:])
    assert float(kept.float().mean()) == pytest.approx(0.3, abs=0.02)
    assert bool(thin(keys, 1.0, torch.Generator()).all())


def test_an_edge_and_its_inverse_share_a_key() -> None:
    first, second = torch.tensor([3, 1, 4]), torch.tensor([1, 3, 4])
    keys = pair_keys(first, second, 10)
    assert keys[0] == keys[1] != keys[2]
    with pytest.raises(ValueError, match="64-bit"):
        pair_keys(first, second, 2**33)


def make_diffusion(seed: int = 0, **settings: float) -> GraphDiffusion:
    """Rows of two communities, and one edge of each row that crosses over."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(60).repeat_interleave(9)
    columns = torch.cat([torch.randperm(15, generator=generator)[:8] + 15 * (row % 2) for row in range(60)])
    columns = columns.view(60, 8)
    crossing = torch.tensor([15 * ((row + 1) % 2) + row % 15 for row in range(60)]).unsqueeze(1)
    columns = torch.cat([columns, crossing], dim=1).flatten()
    matrix = SparseRows.from_pairs(rows, columns, 60, 30)
    config = DiffusionConfig(hidden=16, batch_size=20, learning_rate=5e-3, conditioning="none", **settings)
    return GraphDiffusion(matrix, config, 4, generator, torch.device("cpu"))


def test_training_learns_the_structure_and_noise_edges_score_lower() -> None:
    diffusion = make_diffusion()
    generator = torch.Generator().manual_seed(1)
    first = diffusion.train_epoch(None, None, generator)
    for _ in range(150):
        last = diffusion.train_epoch(None, None, generator)
    assert last < first / 2
    matrix = diffusion.matrix
    rows = torch.repeat_interleave(torch.arange(60), matrix.indptr.diff())
    scores = diffusion.score_edges(rows, matrix.columns, None, generator, block=7)
    crossing = (matrix.columns // 15) != rows % 2
    assert roc_auc_score(~crossing, scores) > 0.85


def test_scored_edges_and_top_columns_agree_with_whole_rows() -> None:
    diffusion = make_diffusion()
    generator = torch.Generator().manual_seed(1)
    activation = diffusion.process.reverse(diffusion.matrix, torch.arange(60), None, 0, generator)
    whole = diffusion.denoiser.decode(activation).detach()
    rows, columns = torch.tensor([0, 0, 7, 59, 59]), torch.tensor([3, 29, 0, 1, 2])
    found = diffusion.score_edges(rows, columns, None, generator, block=1)
    torch.testing.assert_close(found, whole[rows, columns], rtol=1e-4, atol=1e-5)
    kept_rows, kept_columns = diffusion.top_columns(3, None, generator, block=13)
    assert torch.equal(kept_rows, torch.arange(60).repeat_interleave(3))
    assert torch.equal(kept_columns.view(60, 3), whole.topk(3, dim=1).indices)


def test_one_seed_gives_one_result() -> None:
    runs = []
    for _ in range(2):
        diffusion, generator = make_diffusion(dropout=0.3), torch.Generator().manual_seed(9)
        runs.append([diffusion.train_epoch(None, None, generator) for _ in range(3)])
    assert runs[0] == runs[1]


def test_more_noise_steps_than_timesteps_are_refused() -> None:
    with pytest.raises(InputError, match="sampling_noise_steps of at most steps, 3"):
        parse_config(DiffusionConfig, {"steps": 3, "sampling_noise_steps": 4}, "test")
