"""Top candidates of each row, thinning, and the whole of a regeneration, against brute force."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from kdiffe_dgl.config import parse_config
from kdiffe_dgl.diffusion.regenerate import keep_top, pair_keys, thin, top_of_blocks, top_order
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


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 8), st.sampled_from([-2.0, -0.5, -0.0, 0.0, 1e-30, 3.0])),
        max_size=40,
        unique_by=lambda edge: edge[:2],
    ),
    st.lists(st.integers(0, 4), min_size=6, max_size=6),
    st.sampled_from([torch.float32, torch.float64, torch.int64]),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_top_order_equals_sorting_each_row(
    found: list[tuple[int, int, float]], quota: list[int], dtype: torch.dtype, ordered: bool
) -> None:
    found = sorted(found) if ordered else found
    rows = torch.tensor([edge[0] for edge in found], dtype=torch.int64)
    columns = torch.tensor([edge[1] for edge in found], dtype=torch.int64)
    scores = torch.tensor([edge[2] for edge in found]).to(dtype)
    expected = []
    for row in range(6):
        mine = [i for i in range(len(found)) if found[i][0] == row]
        mine.sort(key=lambda i: (-float(scores[i]), found[i][1]))
        expected += mine[: quota[row]]
    assert top_order(rows, columns, scores, torch.tensor(quota)).tolist() == expected


def test_top_order_ranks_integers_of_any_size() -> None:
    scores = torch.tensor([2**40, 2**40 + 1, -(2**50), 2**40 + 1])
    zeros, columns = torch.zeros(4, dtype=torch.int64), torch.arange(4)
    assert top_order(zeros, columns, scores, 4).tolist() == [1, 3, 0, 2]


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 13), st.integers(2, 4))
@settings(max_examples=100, deadline=None)
def test_top_of_blocks_equals_sorting_whole_rows(seed: int, k: int, step: int, levels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(levels, (4, 12), generator=generator).float()
    found = top_of_blocks(scores.split(step, dim=1), k)
    expected = [sorted(range(12), key=lambda j: (-row[j], j))[:k] for row in scores.tolist()]
    assert found.tolist() == expected


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


def make_diffusion(seed: int = 0, **settings: Any) -> GraphDiffusion:
    """Rows of two communities, and one edge of each row that crosses over."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(60).repeat_interleave(9)
    columns = torch.cat([torch.randperm(15, generator=generator)[:8] + 15 * (row % 2) for row in range(60)])
    columns = columns.view(60, 8)
    crossing = torch.tensor([15 * ((row + 1) % 2) + row % 15 for row in range(60)]).unsqueeze(1)
    columns = torch.cat([columns, crossing], dim=1).flatten()
    matrix = SparseRows.from_pairs(rows, columns, 60, 30)
    fixed = {"hidden": 16, "batch_size": 20, "learning_rate": 5e-3, "conditioning": "none"}
    config = DiffusionConfig(**{**fixed, **settings})
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


def test_top_among_candidates_equals_brute_force() -> None:
    diffusion = make_diffusion()
    generator = torch.Generator().manual_seed(1)
    activation = diffusion.process.reverse(diffusion.matrix, torch.arange(60), None, 0, generator)
    whole = diffusion.denoiser.decode(activation).detach()
    pairs = torch.randint(60 * 30, (300,), generator=generator)
    pairs = pairs[pairs // 30 != 7]  # a row without candidates
    candidates = SparseRows.from_pairs(pairs // 30, pairs % 30, 60, 30)
    quota = torch.randint(4, (60,), generator=generator)
    for k, block in ((2, 60), (2, 7), (quota, 13)):
        rows, columns = diffusion.top_among(candidates, k, None, generator, block=block)
        expected = []
        for row in range(60):
            mine = torch.nonzero(candidates.dense()[row]).flatten().tolist()
            best = sorted(mine, key=lambda j: (-float(whole[row, j]), j))
            expected += [(row, j) for j in best[: k if isinstance(k, int) else int(k[row])]]
        assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == expected
    none = SparseRows.from_pairs(pairs[:0], pairs[:0], 60, 30)
    assert [len(x) for x in diffusion.top_among(none, 2, None, generator)] == [0, 0]


def test_ties_go_to_the_lower_column() -> None:
    diffusion = make_diffusion()
    with torch.no_grad():
        diffusion.denoiser.output.zero_()
        diffusion.denoiser.output_bias.copy_(torch.tensor([0.5, 1.0, 0.0]).repeat(10))
    columns = diffusion.top_columns(12, None, torch.Generator())[1].view(60, 12)
    assert (columns == torch.tensor([*range(1, 30, 3), 0, 3])).all()
    candidates = SparseRows.from_pairs(torch.zeros(4, dtype=torch.int64), torch.tensor([9, 4, 3, 28]), 60, 30)
    assert diffusion.top_among(candidates, 3, None, torch.Generator())[1].tolist() == [4, 28, 3]


def test_whole_rows_are_decoded_in_bounded_blocks() -> None:
    net = make_diffusion().denoiser
    activation = torch.randn(7, 16, generator=torch.Generator().manual_seed(0))
    for entries, sizes in ((1, [1] * 30), (7 * 8, [8, 8, 8, 6]), (1000, [30])):
        blocks = list(net.decode_blocks(activation, entries))
        assert [block.shape[1] for block in blocks] == sizes
        torch.testing.assert_close(torch.cat(blocks, dim=1), net.decode(activation))


@pytest.mark.parametrize("noise_steps", [0, 3])
@pytest.mark.parametrize("conditioning", ["vector", "scalar", "none"])
def test_products_for_many_blocks_are_those_of_one(conditioning: str, noise_steps: int) -> None:
    diffusion = make_diffusion(conditioning=conditioning, sampling_noise_steps=noise_steps)
    context = torch.randn(60, 4, generator=torch.Generator().manual_seed(3))
    rows, columns = diffusion.matrix.coordinates()
    whole, parts = (
        diffusion.score_edges(rows, columns, context, torch.Generator().manual_seed(1), block=block)
        for block in (60, 16)
    )
    if noise_steps == 0:
        torch.testing.assert_close(whole, parts)
    # One step after another, each with the sums that it needs.
    generator = torch.Generator().manual_seed(1)
    for start in range(0, 60, 16):
        own = torch.arange(start, min(start + 16, 60))
        activation = diffusion.process.reverse(diffusion.matrix, own, context, noise_steps, generator)
        mine = (rows >= start) & (rows < start + 16)
        expected = diffusion.denoiser.decode(activation)[rows[mine] - start, columns[mine]]
        torch.testing.assert_close(parts[mine], expected, rtol=1e-4, atol=1e-5)


def test_one_seed_gives_one_result() -> None:
    runs = []
    for _ in range(2):
        diffusion, generator = make_diffusion(dropout=0.3), torch.Generator().manual_seed(9)
        runs.append([diffusion.train_epoch(None, None, generator) for _ in range(3)])
    assert runs[0] == runs[1]


def test_more_noise_steps_than_timesteps_are_refused() -> None:
    with pytest.raises(InputError, match="sampling_noise_steps of at most steps, 3"):
        parse_config(DiffusionConfig, {"steps": 3, "sampling_noise_steps": 4}, "test")
