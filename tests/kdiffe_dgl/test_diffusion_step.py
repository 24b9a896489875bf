"""A step over chunks of rows against autograd over the whole loss, and what it holds at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kdiffe_dgl.diffusion.guidance import LinearGuidance
from kdiffe_dgl.diffusion.rows import SparseRows
from kdiffe_dgl.diffusion.step import accumulate
from kdiffe_dgl.diffusion.trainer import DiffusionConfig, GraphDiffusion
from kdiffe_dgl.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

ROWS, WIDTH, CONTEXT = 50, 40, 5


def make_diffusion(**settings: Any) -> tuple[GraphDiffusion, torch.Tensor, LinearGuidance]:
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.randint(ROWS - 1, (200,), generator=generator), None
    columns = torch.randint(WIDTH, (200,), generator=generator)
    matrix = SparseRows.from_pairs(rows, columns, ROWS, WIDTH)
    config = DiffusionConfig(
        **{"hidden": 12, "batch_size": 16, "noise_scale": 1.0, "noise_max": 0.5, **settings}
    )
    diffusion = GraphDiffusion(matrix, config, CONTEXT, generator, torch.device("cpu"))
    with torch.no_grad():
        for bias in ("output_bias", "input_bias", "time_bias"):
            getattr(diffusion.denoiser, bias).normal_(std=0.3, generator=generator)
    context = torch.randn(ROWS, CONTEXT, generator=generator)
    guidance = LinearGuidance(
        torch.randn(WIDTH, 7, generator=generator), torch.randn(ROWS, 7, generator=generator)
    )
    return diffusion, context, guidance


# A hidden layer of 30 is its own root of the noise; one of 12 goes through the Cholesky factor.
@pytest.mark.parametrize("conditioning", ["vector", "scalar", "none"])
@pytest.mark.parametrize("hidden", [12, 30])
@pytest.mark.parametrize(("dropout", "guided"), [(0.0, True), (0.3, True), (0.3, False)])
def test_gradients_in_chunks_are_those_of_autograd(
    conditioning: str, hidden: int, dropout: float, guided: bool
) -> None:
    diffusion, context, guidance = make_diffusion(conditioning=conditioning, hidden=hidden, dropout=dropout)
    net, process = diffusion.denoiser, diffusion.process
    rows = diffusion.rows[torch.tensor([3, 0, 7, 7, 30, 12, 45, 20, 21, 22, 2])]
    timesteps = torch.tensor([0, 9, 3, 2, 5, 8, 1, 4, 6, 7, 0])
    penalised = guidance if guided else None
    for chunk in (1, 4, 11, None):
        net.zero_grad()
        generator = torch.Generator().manual_seed(4)
        whole = []
        for part in range(0, 11, chunk or 11):
            own = slice(part, part + (chunk or 11))
            parts = process.loss(diffusion.matrix, rows[own], timesteps[own], context, penalised, generator)
            whole.append((parts[0] + 0.7 * parts[1]).sum())
        expected_loss = torch.stack(whole).sum() / 11
        expected_loss.backward()
        expected = {name: parameter.grad for name, parameter in net.named_parameters()}
        net.zero_grad(set_to_none=True)

        generator = torch.Generator().manual_seed(4)
        found = accumulate(
            process, diffusion.matrix, rows, timesteps, context, penalised, 0.7, generator, chunk=chunk
        )
        net.output.grad, net.output_bias.grad = found.of_output()
        net.input.grad = found.of_input()
        torch.testing.assert_close(found.loss, expected_loss.detach(), rtol=1e-5, atol=1e-6)
        for name, parameter in net.named_parameters():
            scale = float(expected[name].abs().max())
            assert scale > 0
            torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=2e-6 * scale, msg=name)


def test_training_is_plain_adam_on_the_loss() -> None:
    diffusion, context, guidance = make_diffusion(dropout=0.2)
    reference, _, _ = make_diffusion(dropout=0.2)
    generator = torch.Generator().manual_seed(5)
    losses = [diffusion.train_epoch(context, guidance, generator) for _ in range(3)]

    net, generator = reference.denoiser, torch.Generator().manual_seed(5)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    for epoch in range(3):
        total = 0.0
        order = reference.rows[torch.randperm(len(reference.rows), generator=generator)]
        for rows in order.split(16):
            timesteps = torch.randint(10, (len(rows),), generator=generator)
            parts = reference.process.loss(reference.matrix, rows, timesteps, context, guidance, generator)
            loss = (parts[0] + 0.5 * parts[1]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(rows)
        assert losses[epoch] == pytest.approx(total / len(reference.rows), rel=1e-5)
    for ours, theirs in zip(diffusion.denoiser.parameters(), net.parameters(), strict=True):
        # Adam's first steps have the size of the learning rate, whatever that of the gradient.
        torch.testing.assert_close(ours, theirs, rtol=0.0, atol=2e-5)


@pytest.mark.parametrize(
    ("max_steps", "batch_size", "steps"), [(3, 1, 3), (100, 16, 3), (1, 5, 1), (9, 6, 8)]
)
def test_an_epoch_has_at_most_so_many_steps(max_steps: int, batch_size: int, steps: int) -> None:
    diffusion, context, guidance = make_diffusion(max_steps=max_steps, batch_size=batch_size)
    assert len(diffusion.rows) == 48
    diffusion.train_epoch(context, guidance, torch.Generator().manual_seed(0))
    for parameter in diffusion.denoiser.parameters():
        assert int(diffusion.optimiser.state[parameter]["step"]) == steps


def test_a_stopped_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    states = []
    for stopped in (False, True):
        diffusion, context, guidance = make_diffusion()
        generator = torch.Generator().manual_seed(6)
        diffusion.train_epoch(context, guidance, generator)
        if stopped:
            held = Checkpoint(diffusion, {"adam": diffusion.optimiser}, {"main": generator})
            save_checkpoint(held, tmp_path / "state")
            diffusion, _, _ = make_diffusion()
            generator = torch.Generator()
            held = Checkpoint(diffusion, {"adam": diffusion.optimiser}, {"main": generator})
            load_checkpoint(held, tmp_path / "state")
        diffusion.train_epoch(context, guidance, generator)
        states.append(diffusion.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def _stored(tensor: torch.Tensor) -> torch.Tensor:
    """Return what a tensor keeps in memory: of a sparse one, an array as long as its entries."""
    return tensor.col_indices() if tensor.layout == torch.sparse_csr else tensor


class _Large(TorchDispatchMode):
    """Counts the tensors of more than so many entries that operations make, by their shape."""

    def __init__(self, entries: int) -> None:
        super().__init__()
        self.entries, self.shapes = entries, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {_stored(x).data_ptr() for x in args if isinstance(x, torch.Tensor)}
        found = func(*args, **(kwargs or {}))
        for each in found if isinstance(found, tuple | list) else (found,):
            if not isinstance(each, torch.Tensor):
                continue
            held = _stored(each)
            # A view, or what is changed in place, takes no memory of its own.
            if held.numel() > self.entries and held.data_ptr() not in given:
                self.shapes.append(tuple(held.shape))
        return found


def wide_diffusion(rows: int, width: int, **settings: Any) -> GraphDiffusion:
    generator = torch.Generator().manual_seed(0)
    matrix = SparseRows.from_pairs(
        torch.randint(rows, (3 * rows,), generator=generator),
        torch.randint(width, (3 * rows,), generator=generator),
        rows,
        width,
    )
    config = DiffusionConfig(hidden=16, max_steps=4, dropout=0.1, **settings)
    return GraphDiffusion(matrix, config, 4, generator, torch.device("cpu"))


@pytest.mark.parametrize("conditioning", ["vector", "scalar"])
def test_a_step_makes_one_gradient_of_each_wide_matrix_and_nothing_larger(conditioning: str) -> None:
    width = 3000
    diffusion = wide_diffusion(2000, width, batch_size=1, conditioning=conditioning)
    generator = torch.Generator().manual_seed(1)
    context = torch.randn(2000, 4, generator=generator)
    guidance = LinearGuidance(
        torch.randn(width, 4, generator=generator), torch.randn(2000, 4, generator=generator)
    )
    diffusion.train_epoch(context, guidance, generator)  # Adam makes its moments
    with _Large(width * 8) as seen:
        diffusion.train_epoch(context, guidance, generator)
    assert seen.shapes == [(width, 16)] * 2 * 4


def test_regeneration_makes_nothing_as_large_as_rows_by_columns() -> None:
    rows, width = 1000, 3000
    diffusion = wide_diffusion(rows, width)
    edges = diffusion.matrix.coordinates()
    with _Large(2 * len(edges[0])) as seen:
        diffusion.score_edges(*edges, None, torch.Generator(), block=100)
        diffusion.top_among(diffusion.matrix, 2, None, torch.Generator(), block=100)
    assert not [shape for shape in seen.shapes if torch.Size(shape).numel() > 100 * width]
