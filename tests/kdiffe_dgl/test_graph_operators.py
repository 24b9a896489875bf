"""The propagation matrix and its product, against dense NumPy and torch's own derivatives."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdiffe_dgl.graph.operators import (
    Propagation,
    normalised_adjacency,
    normalised_adjacency_from_edges,
    row_normalised,
)


def random_matrix(rows, columns, density, seed, dtype=np.float32):
    generator = np.random.default_rng(seed)
    dense = (generator.random((rows, columns)) < density) * generator.uniform(0.1, 2.0, (rows, columns))
    return sp.csr_matrix(dense.astype(dtype))


def dense_normalised(interactions, similarity, epsilon):
    """Equation of the paper, written out on dense matrices."""
    users, items = interactions.shape
    adjacency = np.zeros((users + items, users + items))
    adjacency[:users, users:] = interactions
    adjacency[users:, :users] = interactions.T
    with_loops = adjacency + np.eye(users + items)
    attention = np.zeros_like(adjacency)
    attention[:users, users:] = similarity
    attention[users:, :users] = similarity.T
    scale = np.diag(with_loops.sum(axis=1) ** -0.5)
    return scale @ (with_loops + epsilon * attention) @ scale


@settings(max_examples=30, deadline=None)
@given(
    users=st.integers(1, 8),
    items=st.integers(1, 8),
    density=st.floats(0, 1),
    epsilon=st.floats(0, 2),
    seed=st.integers(0, 2**16),
)
def test_adjacency_equals_the_dense_equation(users, items, density, epsilon, seed):
    observed = random_matrix(users, items, density, seed)
    observed.data[:] = 1
    similarity = observed.copy()
    similarity.data[:] = np.random.default_rng(seed + 1).random(similarity.nnz)
    found = normalised_adjacency(observed, similarity, epsilon)
    expected = dense_normalised(observed.toarray(), similarity.toarray(), epsilon)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-5, atol=1e-6)


def test_adjacency_is_symmetric_to_the_last_bit():
    dense = normalised_adjacency(random_matrix(30, 20, 0.3, 0)).toarray()
    np.testing.assert_array_equal(dense, dense.T)


def test_without_self_loops_it_is_the_operator_of_lightgcn():
    observed = sp.csr_matrix([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    adjacency = np.block([[np.zeros((3, 3)), observed.toarray()], [observed.toarray().T, np.zeros((3, 3))]])
    degrees = adjacency.sum(axis=1)
    scale = np.diag([degree**-0.5 if degree else 0 for degree in degrees])
    found = normalised_adjacency(observed, self_loops=False)
    np.testing.assert_allclose(found.toarray(), scale @ adjacency @ scale, rtol=1e-6)
    assert found.nnz == 6


def test_a_known_value():
    # User 0 has one item, item 0 has two users: degrees with self-loops 2 and 3.
    adjacency = normalised_adjacency(
        sp.csr_matrix([[1.0], [1.0]]), sp.csr_matrix([[0.5], [0.25]]), 0.8
    ).toarray()
    assert adjacency[0, 2] == pytest.approx((1 + 0.8 * 0.5) / np.sqrt(2 * 3), rel=1e-6)
    assert adjacency[0, 0] == pytest.approx(1 / 2)
    assert adjacency[2, 2] == pytest.approx(1 / 3)
    assert adjacency[0, 1] == 0


def test_similarity_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="similarity has the shape"):
        normalised_adjacency(random_matrix(3, 4, 0.5, 0), random_matrix(4, 3, 0.5, 0), 0.5)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_impossible_weights_are_refused(value):
    with pytest.raises(ValueError, match="negative or non-finite"):
        normalised_adjacency(sp.csr_matrix([[value, 1.0]]))


def test_edges_give_the_same_matrix_in_any_order():
    matrix = random_matrix(9, 7, 0.4, 3)
    edges = matrix.tocoo()
    order = np.random.default_rng(0).permutation(matrix.nnz)
    found = normalised_adjacency_from_edges(edges.row[order], edges.col[order], edges.data[order], 9, 7)
    np.testing.assert_allclose(
        found.toarray(), dense_normalised(matrix.toarray(), np.zeros((9, 7)), 0), rtol=1e-5, atol=1e-6
    )
    tensors = (torch.from_numpy(edges.row), torch.from_numpy(edges.col), torch.from_numpy(edges.data))
    assert (found != normalised_adjacency_from_edges(*tensors, 9, 7)).nnz == 0


def test_edges_without_weights_count_one_each():
    found = normalised_adjacency_from_edges([0, 0], [1, 2], None, 2, 3).toarray()
    expected = dense_normalised(np.array([[0, 1, 1], [0, 0, 0]]), np.zeros((2, 3)), 0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[1, 1] == 1  # a user without an edge keeps its self-loop


@pytest.mark.parametrize(("users", "items"), [([0, 5], [0, 0]), ([0], [0, 1]), ([-1], [0])])
def test_edges_that_do_not_fit_are_refused(users, items):
    with pytest.raises(ValueError, match=r"."):
        normalised_adjacency_from_edges(users, items, None, 2, 3)


def test_rows_sum_to_one_or_stay_empty():
    matrix = sp.csr_matrix([[1.0, 3.0], [0.0, 0.0], [0.0, 2.0]])
    np.testing.assert_allclose(row_normalised(matrix).toarray(), [[0.25, 0.75], [0, 0], [0, 1]])


@pytest.mark.parametrize("shape", [(6, 6), (5, 9), (9, 5), (4, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_product_and_gradient_equal_the_dense_ones(shape, dtype):
    matrix = random_matrix(*shape, 0.4, 7, dtype)
    dense = torch.from_numpy(matrix.toarray())
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape[1], 3, generator=generator, dtype=dense.dtype, requires_grad=True)
    y = torch.randn(shape[0], 3, generator=generator, dtype=dense.dtype)
    operator = Propagation.from_scipy(matrix)
    found = operator(x)
    assert operator.shape == shape
    assert found.dtype == dense.dtype
    torch.testing.assert_close(found, dense @ x)
    (gradient,) = torch.autograd.grad((found * y).sum(), x)
    torch.testing.assert_close(gradient, dense.T @ y)
    torch.testing.assert_close(operator.transposed(y), dense.T @ y)


def test_derivatives_pass_gradcheck_twice():
    operator = Propagation.from_scipy(random_matrix(5, 7, 0.5, 1, np.float64))
    x = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert torch.autograd.gradcheck(operator, (x,))
    assert torch.autograd.gradgradcheck(lambda x: operator(x) ** 2, (x,))


def test_gradient_flows_through_expanded_and_transposed_inputs():
    matrix = random_matrix(5, 7, 0.5, 2)
    operator = Propagation.from_scipy(matrix)
    x = torch.ones(3, 7, requires_grad=True)
    operator(x.t()).sum().backward()  # the incoming gradient is an expanded scalar
    torch.testing.assert_close(x.grad, torch.from_numpy(matrix.toarray()).sum(0).expand(3, 7))


def test_symmetric_matrix_is_stored_once_and_others_are_not():
    symmetric = Propagation.from_scipy(normalised_adjacency(random_matrix(6, 4, 0.5, 0)))
    assert symmetric._backward is symmetric._forward
    square = Propagation.from_scipy(random_matrix(6, 6, 0.5, 0))
    assert square._backward is not square._forward


def test_operator_does_not_share_memory_with_its_source():
    matrix = random_matrix(4, 4, 0.8, 0)
    operator = Propagation.from_scipy(matrix)
    before = operator(torch.eye(4))
    matrix.data[:] = 0
    torch.testing.assert_close(operator(torch.eye(4)), before, rtol=0, atol=0)


def test_empty_matrix_gives_zeros():
    assert torch.equal(
        Propagation.from_scipy(sp.csr_matrix((3, 2)))(torch.ones(2, 4).double()), torch.zeros(3, 4).double()
    )


def test_repeated_products_agree_to_the_last_bit():
    matrix = normalised_adjacency(random_matrix(400, 300, 0.05, 4))
    x = torch.randn(700, 16, generator=torch.Generator().manual_seed(0))
    first = Propagation.from_scipy(matrix)(x)
    assert torch.equal(first, Propagation.from_scipy(matrix.tocoo().tocsr())(x))


def test_a_wrong_transpose_is_refused():
    operator = Propagation.from_scipy(random_matrix(3, 5, 0.5, 0))
    with pytest.raises(ValueError, match="transpose has the shape"):
        Propagation(operator._forward, operator._forward)


def test_moving_to_the_same_device_keeps_the_operator():
    operator = Propagation.from_scipy(random_matrix(3, 5, 0.5, 0), device="cpu")
    assert operator.to("cpu") is operator
    assert operator.device == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_agrees_with_cpu():
    matrix = normalised_adjacency(random_matrix(50, 40, 0.2, 4))
    x = torch.randn(90, 8, generator=torch.Generator().manual_seed(0))
    on_gpu = Propagation.from_scipy(matrix, device="cuda")(x.cuda())
    torch.testing.assert_close(on_gpu.cpu(), Propagation.from_scipy(matrix)(x))


def test_no_warning_reaches_the_user():
    # A process of its own: torch gives its notices once a process.
    program = (
        "import scipy.sparse as sp, torch\n"
        "from kdiffe_dgl.graph.operators import Propagation\n"
        "x = torch.ones(3, 2, requires_grad=True)\n"
        "Propagation.from_scipy(sp.eye(3, 3, format='csr')).to('cpu')(x.double()).sum().backward()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
