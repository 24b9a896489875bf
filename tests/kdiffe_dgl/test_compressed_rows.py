"""Products at the entries of compressed rows, against dense matrices and brute force."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils import deterministic as memory

from kdiffe_dgl.compressed_rows import (
    CompressedRows,
    _gathered_products,
    csr_tensor,
    dot_products,
    row_positions,
    sparse_product,
)

ENTRIES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=120)


def pointers_of(rows: list[int], n_rows: int) -> torch.Tensor:
    counts = torch.bincount(torch.tensor(rows, dtype=torch.int64), minlength=n_rows)
    return torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])


@settings(deadline=None)
@given(ENTRIES, st.lists(st.integers(0, 5), max_size=8))
def test_row_positions_are_those_of_a_loop(entries: list[tuple[int, int]], wanted: list[int]) -> None:
    pointers = pointers_of([row for row, _ in entries], 6)
    position, offsets, counts = row_positions(pointers, torch.tensor(wanted, dtype=torch.int64))
    expected = [list(range(int(pointers[row]), int(pointers[row + 1]))) for row in wanted]
    assert position.tolist() == [each for row in expected for each in row]
    assert counts.tolist() == [len(row) for row in expected]
    assert [position[o : o + c].tolist() for o, c in zip(offsets, counts, strict=True)] == expected


@settings(deadline=None)
@given(ENTRIES, st.sampled_from([torch.float32, torch.float64]), st.integers(0, 2**31))
def test_product_and_gradients_are_those_of_a_loop(
    entries: list[tuple[int, int]], kind: torch.dtype, seed: int
) -> None:
    """Unsorted entries, some of them twice."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.tensor([e[side] for e in entries], dtype=torch.int64) for side in (0, 1))
    matrix = CompressedRows.of(rows, columns, 6, 7)
    values, x = torch.randn(len(rows), generator=generator), torch.randn(7, 3, generator=generator)
    left = torch.randn(6, 3, generator=generator)
    values, x, left = values.to(kind), x.to(kind), left.to(kind)
    expected = np.zeros((6, 3))
    for (row, column), value in zip(entries, values, strict=True):
        expected[row] += float(value) * x[column].double().numpy()
    np.testing.assert_allclose(matrix.product(values, x).numpy(), expected, rtol=1e-5, atol=1e-5)
    dots = [float((left[row] * x[column]).sum()) for row, column in entries]
    found = matrix.dot_products(left, x)
    assert found.dtype == kind
    np.testing.assert_allclose(found.numpy(), np.array(dots), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
@pytest.mark.parametrize("products", [dot_products, _gathered_products])
def test_dot_products_are_entries_of_the_dense_product(kind: torch.dtype, products) -> None:  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(50, 40, generator=generator) < 0.3
    mask[7] = False
    pointers = torch.cat([torch.zeros(1, dtype=torch.int64), mask.sum(1).cumsum(0)]).to(kind)
    rows, columns = mask.nonzero(as_tuple=True)
    left, right = torch.randn(50, 8, generator=generator), torch.randn(40, 8, generator=generator)
    found = products(pointers, columns.to(kind), left, right)
    torch.testing.assert_close(found, (left @ right.t())[rows, columns])


def test_gathering_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    pointers, columns = torch.tensor([0, 3, 3, 7]), torch.tensor([0, 1, 1, 2, 0, 3, 3])
    left, right = torch.randn(3, 4, generator=generator), torch.randn(4, 4, generator=generator)
    whole = _gathered_products(pointers, columns, left, right)
    monkeypatch.setattr("kdiffe_dgl.compressed_rows._GATHERED_ENTRIES", 8)
    assert torch.equal(_gathered_products(pointers, columns, left, right), whole)


@pytest.fixture
def new_memory_holds_nan() -> Iterator[None]:
    """Torch fills what it allocates with not-a-number, so that reading it is seen."""
    before = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = True
    assert bool(torch.empty(3).isnan().all())
    yield
    torch.use_deterministic_algorithms(before[0])
    memory.fill_uninitialized_memory = before[1]


@pytest.mark.usefixtures("new_memory_holds_nan")
@pytest.mark.parametrize("density", [0.0, 0.2])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_what_memory_holds_does_not_come_into_a_product(density: float, kind: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(2)
    dense = torch.randn(300, 70, generator=generator, dtype=kind)
    dense *= torch.rand(300, 70, generator=generator) < density
    sparse = dense.to_sparse_csr()
    matrix = csr_tensor(sparse.crow_indices(), sparse.col_indices(), sparse.values(), 70, check=True)
    x = torch.randn(70, 16, generator=generator, dtype=kind)
    for columns in (x, x[:, :0], x.t().contiguous().t()):
        torch.testing.assert_close(sparse_product(matrix, columns), dense @ columns)
    found = sparse_product(matrix, x, add_to=torch.ones(300, 16, dtype=kind))
    torch.testing.assert_close(found, 1 + dense @ x)
