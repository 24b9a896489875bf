"""Proposals against walks followed one by one over dense matrices."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdiffe_dgl.diffusion import candidates as module
from kdiffe_dgl.diffusion.candidates import from_neighbours, two_hop, unite
from kdiffe_dgl.diffusion.rows import SparseRows
from kdiffe_dgl.errors import InputError

ROWS, COLUMNS = 6, 8


def pairs_of(n_rows: int, n_columns: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    return st.lists(st.tuples(st.integers(0, n_rows - 1), st.integers(0, n_columns - 1)), max_size=30)


def matrix_of(pairs: list[tuple[int, int]], n_rows: int, n_columns: int) -> SparseRows:
    rows = torch.tensor([row for row, _ in pairs], dtype=torch.int64)
    columns = torch.tensor([column for _, column in pairs], dtype=torch.int64)
    return SparseRows.from_pairs(rows, columns, n_rows, n_columns)


def walked(
    known: np.ndarray, start: np.ndarray, steps: list[np.ndarray], limit: int, max_degree: int, loops: bool
) -> list[list[int]]:
    """Follow every walk with its probability, a fraction of whole units, and rank where they end."""
    result = []
    for row in range(len(known)):
        walks = {int(node): Fraction(1) for node in np.flatnonzero(start[row])}
        for step in steps:
            ends: dict[int, Fraction] = {}
            for node, weight in walks.items():
                degree = int(step[node].sum())
                if not 0 < degree <= max_degree:
                    continue
                for end in np.flatnonzero(step[node]):
                    # Rounded to units of 2^-16, as documented, so that ties are the same.
                    share = Fraction(round(2**16 / degree), 2**16)
                    ends[int(end)] = ends.get(int(end), Fraction(0)) + weight * share
            walks = ends
        new = [end for end in walks if not known[row, end] and (loops or end != row)]
        result.append(sorted(sorted(new, key=lambda end: (-walks[end], end))[:limit]))
    return result


def lists(found: SparseRows) -> list[list[int]]:
    return [found.columns[a:b].tolist() for a, b in zip(found.indptr[:-1], found.indptr[1:], strict=True)]


@pytest.fixture(params=[1, 30, 1 << 22], autouse=True, scope="module")
def _paths(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every size of blocks: one row at a time, some, all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PATHS", request.param)
        yield


@given(pairs_of(COLUMNS, COLUMNS), st.integers(1, 5), st.sampled_from([1, 2, 3, 128]))
@settings(max_examples=30, deadline=None)
def test_two_hops_over_the_same_nodes(pairs: list[tuple[int, int]], limit: int, degree: int) -> None:
    matrix = matrix_of(pairs, COLUMNS, COLUMNS)
    dense = matrix.dense().numpy()
    found = two_hop(matrix, limit, max_degree=degree)
    assert lists(found) == walked(dense, dense, [dense], limit, degree, loops=False)
    assert found.width == COLUMNS


@given(pairs_of(ROWS, COLUMNS), st.integers(1, 5), st.sampled_from([1, 2, 3, 128]))
@settings(max_examples=30, deadline=None)
def test_two_hops_between_rows_and_columns(pairs: list[tuple[int, int]], limit: int, degree: int) -> None:
    matrix = matrix_of(pairs, ROWS, COLUMNS)
    dense = matrix.dense().numpy()
    found = two_hop(matrix, limit, max_degree=degree)
    assert lists(found) == walked(dense, dense, [dense.T, dense], limit, degree, loops=True)


@given(pairs_of(ROWS, ROWS), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_a_square_matrix_may_join_different_nodes(pairs: list[tuple[int, int]], limit: int) -> None:
    matrix = matrix_of(pairs, ROWS, ROWS)
    dense = matrix.dense().numpy()
    found = two_hop(matrix, limit, homogeneous=False)
    assert lists(found) == walked(dense, dense, [dense.T, dense], limit, 128, loops=True)


@given(pairs_of(ROWS, COLUMNS), pairs_of(COLUMNS, COLUMNS), pairs_of(ROWS, ROWS), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_proposals_from_neighbours(
    pairs: list[tuple[int, int]],
    of_columns: list[tuple[int, int]],
    of_rows: list[tuple[int, int]],
    limit: int,
) -> None:
    matrix = matrix_of(pairs, ROWS, COLUMNS)
    columns, rows = matrix_of(of_columns, COLUMNS, COLUMNS), matrix_of(of_rows, ROWS, ROWS)
    dense, similar, alike = (x.dense().numpy() for x in (matrix, columns, rows))
    found = from_neighbours(matrix, columns, limit)
    assert lists(found) == walked(dense, dense, [similar], limit, 128, loops=True)
    found = from_neighbours(matrix, rows, limit, of="rows")
    assert lists(found) == walked(dense, alike, [dense], limit, 128, loops=True)


def test_a_rare_thing_in_common_says_more_than_a_common_one() -> None:
    # Row 0 reaches column 5 over node 1, which leads to 5 alone, and column 6 over node 2, which leads
    # to two; column 4 over both hubs is not reached, since they lead to too many.
    matrix = matrix_of([(0, 1), (0, 2), (0, 3), (1, 5), (2, 6), (2, 7), (3, 4), (3, 5), (3, 6)], 8, 8)
    assert lists(two_hop(matrix, 1, max_degree=2))[0] == [5]
    assert lists(two_hop(matrix, 8, max_degree=2))[0] == [5, 6, 7]
    assert lists(two_hop(matrix, 8))[0] == [4, 5, 6, 7]


@given(pairs_of(ROWS, COLUMNS), pairs_of(ROWS, COLUMNS), pairs_of(ROWS, COLUMNS))
@settings(max_examples=30, deadline=None)
def test_union_holds_each_edge_once_and_knows_the_known(
    known: list[tuple[int, int]], first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    matrices = [matrix_of(pairs, ROWS, COLUMNS) for pairs in (known, first, second)]
    found = unite(*matrices)
    rows, columns = found.edges.coordinates()
    edges = list(zip(rows.tolist(), columns.tolist(), strict=True))
    assert edges == sorted({*known, *first, *second})
    assert found.known.tolist() == [edge in set(known) for edge in edges]
    assert torch.equal(found.proposed, ~found.known)
    order = torch.randperm(len(edges), generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.is_known(rows[order], columns[order]), found.known[order])


def test_bad_input_is_told_in_one_sentence() -> None:
    matrix = matrix_of([(0, 0)], ROWS, COLUMNS)
    with pytest.raises(InputError, match="limit is 0; expected at least 1"):
        two_hop(matrix, 0)
    with pytest.raises(InputError, match="max_degree is 0; expected at least 1"):
        two_hop(matrix, 1, max_degree=0)
    with pytest.raises(InputError, match="expected a square one"):
        two_hop(matrix, 1, homogeneous=True)
    with pytest.raises(InputError, match=r"shape \(6, 6\); expected \(8, 8\), those of the columns"):
        from_neighbours(matrix, matrix_of([], ROWS, ROWS), 1)
    with pytest.raises(InputError, match=r"shape \(6, 6\); expected \(6, 8\)"):
        unite(matrix, matrix_of([], ROWS, ROWS))
