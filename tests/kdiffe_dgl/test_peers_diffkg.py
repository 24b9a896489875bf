"""DiffKG: encoder, collaborative term, reverse process and regenerated triples against dense NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from knowledge_oracles import (
    BATCH,
    N_ITEMS,
    N_USERS,
    Triple,
    batch,
    found,
    leaky,
    ranking,
    softmax,
    triples,
    weights,
)

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.models.peers.diffkg import DiffKG, DiffKGConfig

CPU = torch.device("cpu")
Weights = dict[str, np.ndarray]


def make(dataset: RecDataset, seed: int = 2, **settings: Any) -> DiffKG:
    diffusion = DiffKGConfig().diffusion.model_copy(update={"hidden": 8, "dropout": 0.0})
    config = DiffKGConfig(
        dim=5, layers=2, knowledge_layers=2, dropout=0.0, residual=0.3, diffusion=diffusion, **settings
    )
    return DiffKG(dataset, config, torch.Generator().manual_seed(seed), CPU)


def entities_of(part: Weights) -> np.ndarray:
    return np.vstack([part["item_embedding"], part["entity_embedding"]])


def rows_of(dataset: RecDataset) -> np.ndarray:
    """Return x_0, which entities a triple joins, ``[entities, entities]``."""
    assert dataset.kg is not None
    rows = np.zeros((dataset.kg.n_entities,) * 2)
    for (head, _, tail), _ in triples(dataset):
        rows[head, tail] = 1
    return rows


def encoded(edges: list[Triple], interactions: np.ndarray, part: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Return two layers of attention over edges, then two over the interactions with self-loops."""
    total = layer = entities_of(part)
    for _ in range(2):
        mixed = layer.copy()
        for node in {head for head, _, _ in edges}:
            own = [edge for edge in edges if edge[0] == node]
            logits = [
                float(
                    leaky(
                        np.concatenate([layer[node], layer[tail]])
                        @ part["encoder.weight"]
                        @ part["encoder.relations"][relation]
                    )
                )
                for _, relation, tail in own
            ]
            for (_, _, tail), share in zip(own, softmax(logits), strict=True):
                mixed[node] += share * layer[tail]
        layer = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
        total = 0.3 * total + layer
    adjacency = np.eye(N_USERS + N_ITEMS)
    adjacency[:N_USERS, N_USERS:], adjacency[N_USERS:, :N_USERS] = interactions, interactions.T
    scale = adjacency.sum(axis=1) ** -0.5
    adjacency = scale[:, None] * adjacency * scale[None, :]
    nodes = np.vstack([part["user_embedding"], total[:N_ITEMS]])
    nodes = nodes + adjacency @ nodes + adjacency @ adjacency @ nodes
    return nodes[:N_USERS], nodes[N_USERS:]


def contrast(anchors: np.ndarray, others: np.ndarray, nodes: list[int], temperature: float) -> float:
    anchors, others = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (anchors, others))
    values = [-np.log(softmax(list(anchors[node] @ others.T / temperature))[node]) for node in nodes]
    return float(np.mean(values))


@pytest.mark.parametrize("scored_by", ["regenerated", "whole"])
def test_encodings_and_losses_equal_their_equations(tiny_dataset: RecDataset, scored_by: str) -> None:
    model = make(tiny_dataset, scored_by=scored_by, contrast_weight=0.4, temperature=0.3, regularisation=0.01)
    edges, part = [edge for edge, _ in triples(tiny_dataset)], weights(model)
    interactions = tiny_dataset.matrix("train").toarray().astype(float)
    whole = encoded(edges, interactions, part)
    for shown, expected in zip(model.representations(), whole, strict=True):  # nothing is left out yet
        np.testing.assert_allclose(shown.numpy(), expected, rtol=1e-4, atol=1e-6)

    kept = torch.rand(len(edges), generator=torch.Generator().manual_seed(1)) < 0.4
    model.load_graph_state({"kept": kept})
    some = encoded([edge for edge, keep in zip(edges, kept, strict=True) if keep], interactions, part)
    main, other = (some, whole) if scored_by == "regenerated" else (whole, some)
    for shown, expected in zip(model.representations(), main, strict=True):
        np.testing.assert_allclose(shown.numpy(), expected, rtol=1e-4, atol=1e-6)
    own = [name for name in part if not name.startswith("diffusion.")]
    assert {id(parameter) for parameter in model.recommender_parameters()} == {
        id(dict(model.named_parameters())[name]) for name in own
    }
    sides = zip(other, main, BATCH[:2], strict=True)
    assert found(model.losses(*batch(), generator=torch.Generator())) == pytest.approx(
        {
            "bpr": ranking(*main),
            "regularisation": 0.01 * sum((part[name] ** 2).sum() for name in own),
            "contrast": 0.4 * sum(contrast(*side, temperature=0.3) for side in sides),
        },
        rel=1e-4,
    )


def denoised(part: Weights, shift: np.ndarray, x: np.ndarray) -> np.ndarray:
    hidden = np.tanh(x @ part["diffusion.denoiser.input"] + shift)
    return hidden @ part["diffusion.denoiser.output"].T + part["diffusion.denoiser.output_bias"]


def test_noise_and_both_terms_of_the_denoiser_equal_their_equations(tiny_dataset: RecDataset) -> None:
    model = make(tiny_dataset)
    with torch.no_grad():
        model.diffusion.denoiser.output_bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(4))
    part, clean = weights(model), rows_of(tiny_dataset)
    rows, timesteps = torch.tensor([0, 7, 19, 3]), torch.tensor([0, 1, 3, 4])
    noise = np.random.default_rng(5).normal(size=(4, len(clean)))
    process = model.diffusion.process
    reconstruction, collaborative = process.loss(
        model.diffusion.matrix,
        rows,
        timesteps,
        None,
        model.guidance(),
        torch.Generator(),
        torch.from_numpy(noise @ part["diffusion.denoiser.input"]).float(),
    )
    # Forward: the variance grows linearly, the first step is fixed; SNR(t-1) - SNR(t) is the weight.
    variance = np.linspace(0.1 * 1e-4, 0.1 * 0.02, 5)
    beta = np.concatenate([[1e-4], 1 - (1 - variance[1:]) / (1 - variance[:-1])])
    signal = np.cumprod(1 - beta)
    ratio = signal / (1 - signal)
    time = timesteps.numpy()
    noised = np.sqrt(signal[time])[:, None] * clean[rows] + np.sqrt(1 - signal[time])[:, None] * noise
    shift = process.denoiser.shift(timesteps, None).detach().double().numpy()
    restored = denoised(part, shift, noised)
    weight = np.where(time == 0, 1.0, ratio[np.maximum(time - 1, 0)] - ratio[time])
    np.testing.assert_allclose(
        reconstruction.detach().numpy(), weight * ((clean[rows] - restored) ** 2).mean(axis=1), rtol=1e-3
    )
    interactions = tiny_dataset.matrix("train").toarray().astype(float)
    proposed_users = restored[:, :N_ITEMS] @ interactions.T @ part["user_embedding"]
    expected = ((proposed_users - entities_of(part)[rows]) ** 2).mean(axis=1)
    np.testing.assert_allclose(collaborative.detach().numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize(("candidates", "top"), [("all", 1), ("all", 3), ("known", 2)])
def test_the_best_of_each_restored_row_are_the_regenerated_triples(
    tiny_dataset: RecDataset, candidates: str, top: int
) -> None:
    model = make(tiny_dataset, candidates=candidates, top=top, keep=1.0)
    model.begin_epoch(torch.Generator().manual_seed(8))
    part, clean = weights(model), rows_of(tiny_dataset)
    schedule, net, x = model.diffusion.process.schedule, model.diffusion.denoiser, clean
    shifts = net.time_shift(torch.arange(5)).detach().double().numpy()
    for step in reversed(range(5)):
        k1, k2 = float(schedule.posterior_x0[step]), float(schedule.posterior_xt[step])
        x = k1 * denoised(part, shifts[step], x) + k2 * x
    if candidates == "known":
        x = np.where(clean > 0, x, -np.inf)
    best = np.argsort(-x, axis=1, kind="stable")[:, :top]
    proposed = {
        (head, int(tail)) for head, tails in enumerate(best) for tail in tails if x[head, tail] > -np.inf
    }
    expected = [(h, t) in proposed or (t, h) in proposed for (h, _, t), _ in triples(tiny_dataset)]
    assert model.graph_state()["kept"].tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_thinning_keeps_both_directions_together(tiny_dataset: RecDataset) -> None:
    model = make(tiny_dataset, candidates="known", top=3, keep=0.5)
    thinned = [model.regenerate(torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert thinned[0].equal(thinned[1])
    assert not thinned[0].equal(thinned[2])
    edges = [edge for edge, _ in triples(tiny_dataset)]
    kept = {edge[::2] for edge, keep in zip(edges, thinned[0], strict=True) if keep}
    assert kept == {pair[::-1] for pair in kept}
    assert 0 < len(kept) < len({edge[::2] for edge in edges})


def test_the_denoiser_learns_and_graphs_are_restored(tiny_dataset: RecDataset) -> None:
    model, generator = make(tiny_dataset, candidates="known", top=2), torch.Generator().manual_seed(3)
    told = [model.begin_epoch(generator) for _ in range(30)]
    values = [each["diffusion/knowledge"] for each in told]
    assert np.mean(values[-5:]) < 0.9 * np.mean(values[:5])
    state = model.graph_state()
    assert told[-1]["kept"] == pytest.approx(float(state["kept"].float().mean()))
    other = make(tiny_dataset)
    other.load_state_dict(model.state_dict())
    other.load_graph_state(state)
    for shown, expected in zip(other.representations(), model.representations(), strict=True):
        torch.testing.assert_close(shown, expected, rtol=0, atol=0)
    other.load_graph_state({"kept": torch.zeros_like(state["kept"])})  # no triple is left
    assert all(bool(table.isfinite().all()) for table in other.representations())
    kept = state["kept"]
    for wrong in ({}, {"kept": kept[:-1]}, {"kept": kept.float()}, {"kept": kept, "more": kept}):
        with pytest.raises(ValueError, match="model diffkg: expected kept of"):
            other.load_graph_state(wrong)
