"""The factorised diffusion against a plain dense implementation of the same equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from kdiffe_dgl.diffusion.denoiser import FactorisedDenoiser, time_embedding
from kdiffe_dgl.diffusion.guidance import LinearGuidance
from kdiffe_dgl.diffusion.process import DiffusionProcess, Weighting, hidden_noise, squared_error
from kdiffe_dgl.diffusion.rows import RowBatch, SparseRows
from kdiffe_dgl.diffusion.schedule import LinearVarianceSchedule
from kdiffe_dgl.errors import InputError

WIDTH, HIDDEN, CONTEXT, TIME = 40, 12, 5, 10


def make_process(conditioning: str, steps: int = 6, seed: int = 0) -> DiffusionProcess:
    generator = torch.Generator().manual_seed(seed)
    denoiser = FactorisedDenoiser(WIDTH, HIDDEN, TIME, CONTEXT, conditioning, generator)
    with torch.no_grad():
        for bias in (denoiser.output_bias, denoiser.input_bias, denoiser.time_bias):
            bias.copy_(torch.randn(bias.shape, generator=generator) * 0.3)
    return DiffusionProcess(LinearVarianceSchedule(steps, scale=1.0, maximum=0.5), denoiser)


def make_rows(seed: int = 0, n_rows: int = 9) -> SparseRows:
    rng = np.random.default_rng(seed)
    row, column = np.nonzero(rng.random((n_rows, WIDTH)) < 0.15)
    return SparseRows.from_pairs(torch.from_numpy(row), torch.from_numpy(column), n_rows, WIDTH)


def dense_forward(
    process: DiffusionProcess, x: torch.Tensor, t: torch.Tensor, context: torch.Tensor
) -> torch.Tensor:
    """The network of the paper on whole rows: concatenated time embedding, one hidden layer, tanh."""
    net = process.denoiser
    emb = time_embedding(t, TIME) @ net.time + net.time_bias
    if net.conditioning == "scalar":
        x = x + context.mean(dim=1, keepdim=True)
    weight = torch.cat([net.input, net.time_input])
    hidden = torch.cat([x, emb], dim=1) @ weight + net.input_bias
    if net.conditioning == "vector":
        hidden = hidden + context @ net.context_input
    return torch.tanh(hidden) @ net.output.t() + net.output_bias


@pytest.mark.parametrize("weighting", ["snr", "rows"])
@pytest.mark.parametrize("conditioning", ["vector", "scalar", "none"])
def test_loss_and_gradients_equal_the_dense_computation(conditioning: str, weighting: Weighting) -> None:
    process, matrix = make_process(conditioning), make_rows()
    process.weighting = weighting
    generator = torch.Generator().manual_seed(1)
    rows = torch.tensor([0, 3, 3, 8, 5, 1])
    t = torch.tensor([0, 1, 5, 2, 3, 4])
    context = torch.randn(9, CONTEXT, generator=generator)
    guidance = LinearGuidance(
        torch.randn(WIDTH, 7, generator=generator), torch.randn(9, 7, generator=generator)
    )
    epsilon = torch.randn(len(rows), WIDTH, generator=generator)
    net, schedule = process.denoiser, process.schedule

    parts = process.loss(matrix, rows, t, context, guidance, generator, noise=epsilon @ net.input)
    (parts[0] + 0.7 * parts[1]).sum().backward()
    found = {name: parameter.grad.clone() for name, parameter in net.named_parameters()}
    net.zero_grad()

    x0 = matrix.dense()[rows]
    alpha_bar = schedule.alpha_bar.float()[t].unsqueeze(1)
    x_t = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * epsilon
    predicted = dense_forward(process, x_t, t, context[rows])
    snr = schedule.alpha_bar / (1 - schedule.alpha_bar)
    weight = torch.tensor([1.0 if s == 0 else float(snr[s - 1] - snr[s]) for s in t.tolist()])
    if weighting == "rows":
        weight = WIDTH / x0.sum(dim=1).clamp(min=1).sqrt()
    reconstruction = weight * (x0 - predicted).square().mean(dim=1)
    penalty = (predicted @ guidance.basis - guidance.target[rows]).square().mean(dim=1)
    (reconstruction + 0.7 * penalty).sum().backward()

    torch.testing.assert_close(parts[0], reconstruction, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(parts[1], penalty, rtol=1e-4, atol=1e-5)
    for name, parameter in net.named_parameters():
        scale = float(parameter.grad.abs().max())
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-4 * scale, msg=name)


@pytest.mark.parametrize("conditioning", ["vector", "scalar", "none"])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_reverse_equals_dense_posterior_means(conditioning: str, steps: int) -> None:
    process, matrix = make_process(conditioning, steps), make_rows()
    generator = torch.Generator().manual_seed(2)
    context = torch.randn(9, CONTEXT, generator=generator)
    rows = torch.tensor([2, 7, 0])
    with torch.no_grad():
        activation = process.reverse(matrix, rows, context, 0, generator)
        found = process.denoiser.decode(activation)
        x = matrix.dense()[rows]
        beta, bar = process.schedule.beta, process.schedule.alpha_bar
        for t in range(steps - 1, -1, -1):
            predicted = dense_forward(process, x, torch.full_like(rows, t), context[rows])
            before = bar[t - 1] if t else torch.tensor(1.0, dtype=torch.float64)
            k1 = float(beta[t] * before.sqrt() / (1 - bar[t]))
            k2 = float((1 - before) * (1 - beta[t]).sqrt() / (1 - bar[t]))
            x = k1 * predicted + k2 * x
    torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-5)
    where = RowBatch(torch.tensor([4, 39, 0]), torch.tensor([0, 1, 1]), torch.tensor([1, 0, 2]))
    picked = process.denoiser.decode_at(activation, where)
    torch.testing.assert_close(picked, x[[0, 2, 2], [4, 39, 0]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [40, 5, 3])
def test_hidden_noise_has_mean_and_covariance_of_projected_noise(width: int) -> None:
    """Through the Cholesky factor of a wide W; through W itself where it is narrow, also of low rank."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(width, 4, generator=generator)
    draws = hidden_noise(weight, 200_000, generator)
    expected = weight.t() @ weight
    error = float(expected.diagonal().max()) / math.sqrt(200_000)
    assert torch.allclose(
        draws.mean(dim=0), torch.zeros(4), atol=5 * math.sqrt(float(expected.max()) / 200_000)
    )
    assert torch.allclose(draws.t() @ draws / len(draws), expected, atol=10 * error)


def test_noise_is_normal_along_any_direction() -> None:
    generator = torch.Generator().manual_seed(7)
    weight, direction = torch.randn(40, 4, generator=generator), torch.randn(4, generator=generator)
    along = (hidden_noise(weight, 20_000, generator) @ direction).double().numpy()
    assert kstest(along, "norm", args=(0.0, float((weight @ direction).norm()))).pvalue > 0.01


def test_hidden_noise_gradient_agrees_with_projected_noise_on_average() -> None:
    generator = torch.Generator().manual_seed(4)
    weight = torch.randn(30, 3, generator=generator, requires_grad=True)
    for draw in (
        hidden_noise(weight, 400_000, generator),
        torch.randn(400_000, 30, generator=generator) @ weight,
    ):
        (gradient,) = torch.autograd.grad((draw.square() @ torch.tensor([1.0, 2.0, 3.0])).mean(), weight)
        # E[sum_k c_k (Wε)_k²] = sum_k c_k |W_k|², whose gradient is 2 c_k W_k.
        expected = 2 * weight.detach() * torch.tensor([1.0, 2.0, 3.0])
        torch.testing.assert_close(gradient, expected, rtol=0.0, atol=0.15)


def test_noisy_start_has_the_mean_of_the_forward_process() -> None:
    process, matrix = make_process("none", steps=1), make_rows()
    rows = torch.full((50_000,), 4)
    activation = process.reverse(matrix, rows, None, 1, torch.Generator().manual_seed(5))
    net = process.denoiser
    state = torch.atanh(activation.double()) - net.shift(torch.zeros(1, dtype=torch.int64), None).detach()
    signal = float(process.schedule.alpha_bar[0].sqrt())
    mean = signal * (matrix.dense()[4] @ net.input.detach())
    torch.testing.assert_close(state.mean(dim=0).float(), mean, rtol=0.0, atol=2e-3)


@given(seed=st.integers(0, 10_000), n_rows=st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_squared_error_for_any_rows(seed: int, n_rows: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    matrix = make_rows(seed, n_rows)
    output, bias = torch.randn(WIDTH, 6, generator=rng), torch.randn(WIDTH, generator=rng)
    activation = torch.randn(n_rows, 6, generator=rng)
    found = squared_error(matrix.batch(torch.arange(n_rows)), activation, output, bias)
    expected = (matrix.dense() - (activation @ output.t() + bias)).square().sum(dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_dropout_draws_the_weights_of_observed_edges() -> None:
    process, matrix = make_process("none"), make_rows(n_rows=1)
    process.dropout = 0.5
    generator = torch.Generator().manual_seed(6)
    rows = torch.zeros(4000, dtype=torch.int64)
    weights = process.edge_weights(matrix.batch(rows), generator)
    assert set(weights.tolist()) == {0.0, 2.0}
    assert float(weights.mean()) == pytest.approx(1.0, abs=0.03)


def test_dropout_changes_the_input_alone() -> None:
    """The dense network reads the row with hidden edges; its target is the whole row."""
    process, matrix = make_process("none"), make_rows()
    process.dropout = 0.4
    rows, t = torch.arange(9), torch.tensor([0, 1, 2, 3, 4, 5, 0, 1, 2])
    clean = matrix.batch(rows)
    weights = process.edge_weights(clean, torch.Generator().manual_seed(8))
    noise = torch.zeros(9, HIDDEN)
    found, _ = process.loss(matrix, rows, t, None, None, torch.Generator().manual_seed(8), noise=noise)
    hidden = torch.zeros(9, WIDTH)
    hidden[torch.repeat_interleave(rows, clean.counts), clean.columns] = weights
    assert 0 < int((hidden == 0).sum() - (matrix.dense() == 0).sum()) < len(weights)
    alpha_bar = process.schedule.alpha_bar.float()[t].unsqueeze(1)
    predicted = dense_forward(process, alpha_bar.sqrt() * hidden, t, torch.zeros(9, CONTEXT))
    expected = process.schedule.loss_weight(t) * (matrix.dense() - predicted).square().mean(dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("steps", "scale", "maximum"), [(1, 0.1, 0.02), (10, 0.1, 0.02), (50, 1.0, 0.5)])
def test_schedule_agrees_with_its_definition(steps: int, scale: float, maximum: float) -> None:
    schedule = LinearVarianceSchedule(steps, scale, 1e-4, maximum)
    variance = np.linspace(scale * 1e-4, scale * maximum, steps)
    beta = [1e-4] + [min(1 - (1 - variance[t]) / (1 - variance[t - 1]), 0.999) for t in range(1, steps)]
    np.testing.assert_allclose(schedule.beta.numpy(), beta, rtol=1e-12)
    np.testing.assert_allclose(schedule.alpha_bar.numpy(), np.cumprod(1 - np.array(beta)), rtol=1e-12)
    assert float(schedule.posterior_x0[0]) == pytest.approx(1.0)
    assert float(schedule.posterior_xt[0]) == 0.0


def test_posterior_mean_is_that_of_the_gaussian_chain() -> None:
    """Bayes' rule on q(x_t|x_{t-1}) q(x_{t-1}|x_0), by precision-weighted means."""
    schedule = LinearVarianceSchedule(8, 1.0, 1e-3, 0.6)
    for t in range(1, 8):
        beta, before = float(schedule.beta[t]), float(schedule.alpha_bar[t - 1])
        prior, likelihood = 1 / (1 - before), (1 - beta) / beta
        x0_share = prior * math.sqrt(before) / (prior + likelihood)
        xt_share = math.sqrt(1 - beta) / beta / (prior + likelihood)
        assert float(schedule.posterior_x0[t]) == pytest.approx(x0_share)
        assert float(schedule.posterior_xt[t]) == pytest.approx(xt_share)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"steps": 3, "scale": 0.0}, {"steps": 3, "maximum": 20.0}])
def test_impossible_schedules_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="diffusion"):
        LinearVarianceSchedule(**wrong)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 10)), max_size=40),
    st.lists(st.integers(0, 6), max_size=10),
)
@settings(max_examples=60, deadline=None)
def test_sparse_rows_hold_what_they_were_built_from(pairs: list[tuple[int, int]], wanted: list[int]) -> None:
    rows = torch.tensor([row for row, _ in pairs], dtype=torch.int64)
    columns = torch.tensor([column for _, column in pairs], dtype=torch.int64)
    matrix = SparseRows.from_pairs(rows, columns, 7, 11)
    dense = torch.zeros(7, 11)
    for row, column in pairs:
        dense[row, column] = 1
    assert torch.equal(matrix.dense(), dense)
    batch = matrix.batch(torch.tensor(wanted, dtype=torch.int64))
    table = torch.randn(11, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(batch.sum_of(table), dense[wanted] @ table)
    assert matrix.occupied().tolist() == sorted({row for row, _ in pairs})


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 10)), max_size=40),
    st.lists(st.integers(0, 6), min_size=2, max_size=10),
)
@settings(max_examples=25, deadline=None)
def test_parts_and_transpose_of_a_batch(pairs: list[tuple[int, int]], wanted: list[int]) -> None:
    rows = torch.tensor([row for row, _ in pairs], dtype=torch.int64)
    columns = torch.tensor([column for _, column in pairs], dtype=torch.int64)
    matrix = SparseRows.from_pairs(rows, columns, 7, 11)
    batch, dense = matrix.batch(torch.tensor(wanted)), matrix.dense()[wanted]
    table = torch.randn(11, 3, generator=torch.Generator().manual_seed(0))
    for start in range(len(wanted)):
        for stop in range(start + 1, len(wanted) + 2):
            part = batch.part(start, min(stop, len(wanted)))
            torch.testing.assert_close(part.sum_of(table), dense[start:stop] @ table)
    weights = torch.rand(len(batch.columns), generator=torch.Generator().manual_seed(1))
    values = torch.randn(len(wanted), 3, generator=torch.Generator().manual_seed(2))
    transposed, order = batch.transposed(11)
    torch.testing.assert_close(transposed.sum_of(values), dense.t() @ values)
    weighted = torch.zeros_like(dense)
    weighted[torch.repeat_interleave(torch.arange(len(wanted)), batch.counts), batch.columns] = weights
    torch.testing.assert_close(transposed.sum_of(values, weights[order]), weighted.t() @ values)
    assert torch.equal(torch.from_numpy(matrix.to_scipy().toarray()).float(), matrix.dense())
    back = SparseRows.from_scipy(matrix.to_scipy())
    assert torch.equal(back.indptr, matrix.indptr)
    assert torch.equal(back.columns, matrix.columns)


def test_time_embedding_is_the_sinusoidal_one() -> None:
    found = time_embedding(torch.tensor([0, 3]), 7)
    for row, t in enumerate((0, 3)):
        angles = [t * 10000 ** (-k / 3) for k in range(3)]
        expected = [math.cos(a) for a in angles] + [math.sin(a) for a in angles] + [0.0]
        assert found[row].tolist() == pytest.approx(expected, abs=1e-6)
