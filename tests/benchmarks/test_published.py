"""The baseline of the speed benchmarks computes what the toolkit computes, so the comparison is fair."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from common import Stopwatch
from published import PublishedKDiffE, PublishedSettings, info_nce_by_sums
from published_diffusion import DenseDenoiser, DenseDiffusion, DenseSchedule

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.diffusion.denoiser import FactorisedDenoiser
from kdiffe_dgl.diffusion.guidance import LinearGuidance
from kdiffe_dgl.diffusion.process import DiffusionProcess
from kdiffe_dgl.diffusion.rows import SparseRows
from kdiffe_dgl.diffusion.schedule import LinearVarianceSchedule
from kdiffe_dgl.graph.bipartite import BipartiteOperator
from kdiffe_dgl.graph.operators import normalised_adjacency
from kdiffe_dgl.graph.views import interaction_view, view_operator
from kdiffe_dgl.models.modality import ModalityViews
from kdiffe_dgl.models.registry import model_class
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.losses import info_nce

WIDTH, HIDDEN, STEPS, DIM = 40, 12, 6, 5


def share_weights(ours: FactorisedDenoiser, dense: DenseDenoiser) -> None:
    with torch.no_grad():
        dense.time.weight.copy_(ours.time.T)
        dense.time.bias.copy_(ours.time_bias)
        dense.first.weight.copy_(torch.cat([ours.input, ours.time_input]).T)
        dense.first.bias.copy_(ours.input_bias)
        dense.second.weight.copy_(ours.output)
        dense.second.bias.copy_(ours.output_bias)


def both_diffusions(conditioning: str) -> tuple[DiffusionProcess, DenseDiffusion, SparseRows]:
    generator = torch.Generator().manual_seed(0)
    ours = FactorisedDenoiser(WIDTH, HIDDEN, 10, DIM, conditioning, generator)
    with torch.no_grad():
        for bias in (ours.output_bias, ours.input_bias, ours.time_bias):
            bias.copy_(torch.randn(bias.shape, generator=generator) * 0.3)
    dense = DenseDenoiser(WIDTH, HIDDEN, 10, generator)
    share_weights(ours, dense)
    filled = torch.nonzero(torch.rand(9, WIDTH, generator=generator) < 0.15)
    rows = SparseRows.from_pairs(filled[:, 0], filled[:, 1], 9, WIDTH)
    process = DiffusionProcess(LinearVarianceSchedule(STEPS, 1.0, 1e-4, 0.5), ours)
    schedule = DenseSchedule(STEPS, 1.0, 1e-4, 0.5)
    return process, DenseDiffusion(rows.dense(), dense, schedule, guidance=0.7), rows


@pytest.mark.parametrize("conditioning", ["none", "scalar"])
def test_diffusion_loss_and_gradients_are_the_same(conditioning: str) -> None:
    process, dense, matrix = both_diffusions(conditioning)
    generator = torch.Generator().manual_seed(1)
    rows, t = torch.tensor([0, 3, 3, 8, 5, 1]), torch.tensor([0, 1, 5, 2, 3, 4])
    context = torch.randn(9, DIM, generator=generator)
    basis, target = torch.randn(WIDTH, 7, generator=generator), torch.randn(9, 7, generator=generator)
    noise = torch.randn(len(rows), WIDTH, generator=generator)
    net = process.denoiser
    ours = process.loss(
        matrix, rows, t, context, LinearGuidance(basis, target), generator, noise=noise @ net.input
    )
    (ours[0] + 0.7 * ours[1]).sum().backward()
    condition = context.mean(dim=1)[rows] if conditioning == "scalar" else None
    theirs = dense.loss(dense.rows[rows], t, noise, condition, basis, target[rows])
    (theirs[0] + 0.7 * theirs[1]).sum().backward()
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    first = torch.cat([net.input.grad, net.time_input.grad]).T
    for found, layer in ((first, dense.denoiser.first), (net.output.grad, dense.denoiser.second)):
        scale = float(layer.weight.grad.abs().max())
        torch.testing.assert_close(found, layer.weight.grad, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize("conditioning", ["none", "scalar"])
def test_reverse_process_is_the_same(conditioning: str) -> None:
    process, dense, matrix = both_diffusions(conditioning)
    generator = torch.Generator().manual_seed(2)
    context, rows = torch.randn(9, DIM, generator=generator), torch.tensor([2, 7, 0])
    with torch.no_grad():
        ours = process.denoiser.decode(process.reverse(matrix, rows, context, 0, generator))
    condition = context.mean(dim=1)[rows] if conditioning == "scalar" else None
    theirs = dense.reverse(dense.rows[rows], condition)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_basis_of_items_alone_is_a_basis_that_is_zero_elsewhere() -> None:
    _, dense, _ = both_diffusions("none")
    generator = torch.Generator().manual_seed(3)
    t, noise = torch.arange(6), torch.randn(6, WIDTH, generator=generator)
    basis, target = torch.randn(25, DIM, generator=generator), torch.randn(6, DIM, generator=generator)
    padded = torch.cat([basis, torch.zeros(WIDTH - 25, DIM)])
    short, long = (dense.loss(dense.rows[:6], t, noise, None, each, target)[1] for each in (basis, padded))
    torch.testing.assert_close(short, long)


def test_schedules_are_the_same_in_the_published_range() -> None:
    ours, theirs = LinearVarianceSchedule(10), DenseSchedule(10)
    t = torch.arange(10)
    signal, sigma = ours.signal_and_noise(t)
    torch.testing.assert_close(theirs.signal, signal.squeeze(1))
    torch.testing.assert_close(theirs.sigma, sigma.squeeze(1))
    torch.testing.assert_close(theirs.weight, ours.loss_weight(t))
    np.testing.assert_allclose(theirs.posterior_x0, ours.posterior_x0, rtol=1e-6)
    np.testing.assert_allclose(theirs.posterior_xt, ours.posterior_xt, rtol=1e-6, atol=1e-9)


def quiet_settings() -> PublishedSettings:
    return PublishedSettings(dim=8, hidden=12, epsilon=0.0, dropout=0.0, batch_size=16, keep_rate=1.0)


@pytest.mark.parametrize("residual", [0.5, 0.0])
def test_main_view_is_that_of_the_toolkit(tiny_dataset: RecDataset, residual: float) -> None:
    bare = tiny_dataset.replace(features={})
    settings = quiet_settings()
    theirs = PublishedKDiffE(tiny_dataset, PublishedSettings(**{**vars(settings), "residual": residual}), 0)
    config = resolve(
        {"model": {"dim": 8, "layers": 1, "attention": {"epsilon": 0.0}}},
        [f"model.knowledge.residual={residual}", "model.knowledge.layers=1"],
    )
    ours = model_class("kdiffe")(bare, config.model, torch.Generator().manual_seed(5), torch.device("cpu"))
    with torch.no_grad():
        theirs.user_embedding.copy_(ours.user_embedding)
        theirs.entity_embedding.copy_(ours.entity_embedding)
        theirs.relation_embedding.copy_(ours.knowledge_encoder.relations)
        theirs.attention_weight.copy_(ours.knowledge_encoder.weight)
        user, item = ours.representations()
        view = theirs.main_view(theirs.edges, train=False)
    torch.testing.assert_close(view, torch.cat([user, item]), rtol=1e-5, atol=1e-6)


def test_modality_views_are_those_of_the_toolkit(tiny_dataset: RecDataset) -> None:
    theirs = PublishedKDiffE(tiny_dataset, quiet_settings(), 0)
    generator = torch.Generator().manual_seed(6)
    best = {name: torch.randint(18, (24, 2), generator=generator) for name in theirs.features}
    theirs.generated = {name: theirs.interaction_graph(items) for name, items in best.items()}
    ours = ModalityViews(theirs.features, 8, "linear", 1, 0.2, 0.5, 0.0, generator)
    operator = BipartiteOperator.from_scipy(normalised_adjacency(tiny_dataset.matrix("train")), 24)
    generated = {
        name: view_operator(
            interaction_view(torch.arange(24).repeat_interleave(2), items.flatten(), 24, 18),
            torch.device("cpu"),
        )
        for name, items in best.items()
    }
    users, items = theirs.user_embedding, theirs.entity_embedding[:18]
    with torch.no_grad():
        theirs.fusion.copy_(torch.tensor([0.3, -0.4]))
        ours.fusion.copy_(theirs.fusion)
        for own, layer in zip(ours.projections, theirs.projections.values(), strict=True):
            own.weight.copy_(layer.weight.T)
            own.bias.copy_(layer.bias)
        projected = {name: theirs.project(name, train=False) for name in theirs.features}
        for name, value in ours.project(None).items():
            torch.testing.assert_close(value, projected[name], rtol=1e-5, atol=1e-6)
        found = torch.cat(ours.multimodal(projected, users, items, operator, generated))
        torch.testing.assert_close(found, theirs.multimodal_view(projected), rtol=1e-5, atol=1e-6)
        for name, value in projected.items():
            own = torch.cat(ours.contrastive(value, users, operator, generated[name]))
            torch.testing.assert_close(own, theirs.contrastive_view(name, value), rtol=1e-5, atol=1e-6)


def test_contrastive_loss_is_that_of_the_toolkit() -> None:
    generator = torch.Generator().manual_seed(7)
    view, other = torch.randn(2, 30, 8, generator=generator)
    nodes = torch.tensor([0, 4, 4, 29, 7])
    found = info_nce_by_sums(view, other, nodes, 0.7)
    torch.testing.assert_close(found, info_nce(view[nodes], other, nodes, 0.7))


def test_filter_keeps_known_pairs_with_their_inverses(tiny_dataset: RecDataset) -> None:
    model = PublishedKDiffE(tiny_dataset, quiet_settings(), 0)
    edges = set(zip(*(ends.tolist() for ends in model.edges), strict=True))
    known = {(head, tail) for head, _, tail in edges}
    best = torch.randint(model.n_entities, (model.n_entities, 3), generator=torch.Generator().manual_seed(8))
    proposed = {(head, tail) for head, tails in enumerate(best.tolist()) for tail in tails} & known
    assert proposed, "the draw must propose some known pairs"
    expected = {edge for edge in edges if {(edge[0], edge[2]), (edge[2], edge[0])} & proposed}
    kept = list(zip(*(ends.tolist() for ends in model.filter_known(best)), strict=True))
    assert len(kept) == len(set(kept))
    assert set(kept) == expected


def test_filter_of_nothing_known_is_an_empty_graph(tiny_dataset: RecDataset) -> None:
    model = PublishedKDiffE(tiny_dataset, quiet_settings(), 0)
    own = torch.arange(model.n_entities).unsqueeze(1)  # no entity is its own neighbour
    empty = model.filter_known(own)
    assert [len(ends) for ends in empty] == [0, 0, 0]
    view = model.knowledge_view(empty, train=False)
    entity = model.entity_embedding
    torch.testing.assert_close(view, 0.5 * entity + torch.nn.functional.normalize(entity))


def test_it_trains(tiny_dataset: RecDataset) -> None:
    model = PublishedKDiffE(tiny_dataset, quiet_settings(), 0)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    users, positives = torch.from_numpy(tiny_dataset.pairs("train")).T
    negatives = (positives + 1) % tiny_dataset.n_items
    losses, diffusion = [], model.knowledge_diffusion
    # The loss of an epoch depends on the timesteps drawn more than on training; these are fixed.
    fixed = torch.arange(10), torch.zeros(10, model.n_entities), None
    target = model.entity_embedding.detach()[:10]
    before = diffusion.loss(diffusion.rows[:10], *fixed, target, target)[0].sum()
    for _ in range(15):
        watch = Stopwatch()
        model.begin_epoch(watch)
        assert set(watch.seconds) == {
            f"{kind}, {graph}"
            for kind in ("diffusion training", "regeneration")
            for graph in ("KG", *tiny_dataset.features)
        }
        loss = model.loss(users, positives, negatives)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert diffusion.loss(diffusion.rows[:10], *fixed, target, target)[0].sum() < 0.8 * before
