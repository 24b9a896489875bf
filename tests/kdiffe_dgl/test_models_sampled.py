"""Neighbour-sampled steps: exact with all neighbours, scaled and repeatable with some."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from kdiffe_dgl.config import merge, parse_config
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.graph.bipartite import BipartiteOperator
from kdiffe_dgl.graph.hetero import build_heterograph, knowledge_edges
from kdiffe_dgl.graph.operators import normalised_adjacency
from kdiffe_dgl.graph.sampling import NeighbourSampler
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.models.kdiffe_config import KDiffEConfig
from kg_builders.schema import KnowledgeGraph

CPU = torch.device("cpu")
N = 60
"""Users, and items, on a ring: user i knows items i and i + 1, so a few hops see a part of the ring."""


@pytest.fixture(scope="module")
def ring() -> RecDataset:
    users, items = (
        pl.DataFrame({side: range(N)}).with_columns(
            id=side[0] + pl.col(side).cast(pl.Utf8), label=pl.col(side).cast(pl.Utf8)
        )
        for side in ("user", "item")
    )
    interactions = pl.DataFrame(
        {
            "user": np.repeat(np.arange(N), 2),
            "item": np.stack([np.arange(N), (np.arange(N) + 1) % N], axis=1).ravel(),
            "split": "train",
        }
    )

    def triples(relation: str, kind: str, tails: list[str]) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "head_kind": "item",
                "head_id": items["id"],
                "relation": relation,
                "tail_kind": kind,
                "tail_id": tails,
                "tail_label": pl.Series([None] * N, dtype=pl.Utf8),
                "source": "ring",
            }
        )

    relations = pl.DataFrame({"name": ["tag", "next"], "label": ["tag", "next"], "symmetric": [False, True]})
    kg = KnowledgeGraph.from_named(
        pl.concat(
            [
                triples("tag", "tag", [f"t{i // 2}" for i in range(N)]),
                triples("next", "item", [f"i{(i + 1) % N}" for i in range(N)]),
            ]
        ),
        items.select("id", "label"),
        relations,
    )
    rng = np.random.default_rng(0)
    features = {name: rng.normal(size=(N, 5)).astype(np.float32) for name in ("picture", "text")}
    return RecDataset("ring", users, items, interactions, kg, features, {})


def make(dataset: RecDataset, **changes: Any) -> KDiffE:
    small = {
        "dim": 8,
        "layers": 1,
        "attention": {"walk_length": 5, "n_walks": 2},
        "knowledge": {"dropout": 0, "diffusion": {"hidden": 6, "steps": 3}},
        # Proposals near by: what diffusion generates may otherwise join both ends of the ring.
        "modality": {
            "dropout": 0,
            "candidates": ["two_hop"],
            "top": 2,
            "diffusion": {"hidden": 6, "steps": 3},
        },
        "contrast": {"negatives": "batch"},
    }
    config = parse_config(KDiffEConfig, merge(small, changes), "test")
    model = KDiffE(dataset, config, torch.Generator().manual_seed(0), CPU)
    model.begin_epoch(torch.Generator().manual_seed(1))
    return model


BATCH = torch.tensor([3, 4, 7]), torch.tensor([3, 5, 8]), torch.tensor([9, 6, 5])


@pytest.mark.parametrize("ranking", ["bpr", "softmax"])
@pytest.mark.parametrize("main", ["full", "regenerated"])
@pytest.mark.parametrize("candidates", [[], ["two_hop"]])
def test_with_all_neighbours_losses_and_gradients_are_those_of_the_whole_graph(
    ring: RecDataset, ranking: str, main: str, candidates: list[str]
) -> None:
    changes = {
        "ranking": ranking,
        "item_bias": True,
        "knowledge": {"main": main, "candidates": candidates},
    }
    whole = make(ring, **changes)
    # More candidates asked for than there are items: the softmax loss then sees them all.
    part = make(ring, **changes, sampling={"fanouts": [-1] * 7, "negatives": 10 * N})
    results = []
    for model in (whole, part):
        terms = model.losses(*BATCH, torch.Generator().manual_seed(2))
        del terms["regularisation"]  # on a sample: of its embeddings alone
        parameters = model.recommender_parameters()
        gradients = torch.autograd.grad(
            torch.stack(list(terms.values())).sum(), parameters, allow_unused=True
        )
        results.append((terms, gradients))
    for name, value in results[0][0].items():
        torch.testing.assert_close(results[1][0][name], value, rtol=1e-5, atol=1e-6)
    for first, second in zip(results[0][1], results[1][1], strict=True):
        assert (first is None) == (second is None)
        if first is not None and second is not None:
            torch.testing.assert_close(second, first, rtol=1e-4, atol=1e-6)


def test_a_sample_holds_the_seeds_first_and_only_what_is_near(ring: RecDataset) -> None:
    graph = build_heterograph(ring)
    edges = knowledge_edges(graph, ring)
    sampler = NeighbourSampler(graph, edges, [-1, -1])
    sample = sampler.sample(torch.tensor([10]), torch.tensor([40, 30]), torch.Generator().manual_seed(0))
    assert sample.users[0] == 10
    assert sample.items[:2].tolist() == [40, 30]
    # Two hops: user 10 -> items 10, 11 -> users 9..11 and what is next to them or shares their tag.
    near = {item for seed in (10.5, 30, 40) for item in range(N) if abs(item - seed) <= 2.5}
    assert set(sample.items.tolist()) <= near
    assert len(set(sample.entities.tolist())) == len(sample.entities) < edges.n_entities
    # All edges among the nodes, and no others.
    chosen = set(sample.entities.tolist())
    expected = {
        row
        for row, (head, tail) in enumerate(zip(edges.head.tolist(), edges.tail.tolist(), strict=True))
        if head in chosen and tail in chosen
    }
    assert set(sample.edge.tolist()) == expected
    assert torch.equal(sample.entities[sample.head], edges.head[sample.edge])
    assert torch.equal(sample.entities[sample.tail], edges.tail[sample.edge])


def test_fanout_bounds_the_sample_and_one_generator_gives_one_sample(tiny_dataset: Any) -> None:
    graph = build_heterograph(tiny_dataset)
    sampler = NeighbourSampler(graph, knowledge_edges(graph, tiny_dataset), [1])
    seeds = torch.tensor([0, 3]), torch.tensor([2])
    first, again, other = (sampler.sample(*seeds, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    # At most one more node for each seed and edge type that ends in it.
    assert len(first.users) <= 2 + 1
    assert torch.equal(first.entities, again.entities)
    assert torch.equal(first.users, again.users)
    assert torch.equal(first.edge, again.edge)
    assert not (torch.equal(first.entities, other.entities) and torch.equal(first.users, other.users))


@pytest.mark.parametrize("rescale", [False, True])
def test_sampled_operator_keeps_the_weights_or_their_sums(tiny_dataset: Any, rescale: bool) -> None:
    matrix = normalised_adjacency(tiny_dataset.matrix("train"))
    n = tiny_dataset.n_users
    operator = BipartiteOperator.from_scipy(matrix, n)
    users, items = torch.tensor([5, 0, 9, 22]), torch.tensor([3, 11, 0, 6, 1])
    sample = operator.sample(users, items, rescale)
    dense = matrix.toarray()
    block = dense[np.ix_(users, n + items)]
    to_users, to_items = block.copy(), block.T.copy()
    if rescale:
        to_users, to_items = (
            part * np.divide(full.sum(1), part.sum(1), out=np.ones(len(part)), where=part.sum(1) > 0)[:, None]
            for part, full in ((to_users, dense[users, n:]), (to_items, dense[n + items, :n]))
        )
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32)
    found = sample(torch.tensor(x), torch.tensor(y))
    diagonal = dense.diagonal()
    np.testing.assert_allclose(found[0], to_users @ y + diagonal[users][:, None] * x, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        found[1], to_items @ x + diagonal[n + items][:, None] * y, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("ranking", ["bpr", "softmax"])
def test_steps_on_samples_learn(tiny_dataset: Any, ranking: str) -> None:
    model = make(tiny_dataset, ranking=ranking, sampling={"fanouts": [3, 2], "negatives": 6})
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(model.recommender_parameters(), lr=0.02)
    pairs = torch.from_numpy(tiny_dataset.pairs("train"))
    train = tiny_dataset.matrix("train").toarray()

    def separation() -> float:
        user, item = model.representations()
        score = (user @ item.t()).numpy()
        known = tiny_dataset.matrix("train").toarray() > 0
        return float(score[known].mean() - score[~known].mean())

    before = separation()
    for _ in range(30):
        users, items = pairs[torch.randperm(len(pairs), generator=generator)[:16]].T.contiguous()
        negatives = torch.tensor([int(np.flatnonzero(train[user] == 0)[0]) for user in users.tolist()])
        loss = sum(model.losses(users, items, negatives, generator).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert separation() > 2 * abs(before) + 0.1
