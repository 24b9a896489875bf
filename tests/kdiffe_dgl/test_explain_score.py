"""Scores with edges weighed or deleted are those of a model whose graphs were built that way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from kdiffe_dgl.explain.score import EdgeScore
from kdiffe_dgl.graph.bipartite import BipartiteOperator
from kdiffe_dgl.graph.hetero import bipartite, knowledge_graph
from kdiffe_dgl.graph.operators import normalised_adjacency
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.models.kdiffe_config import KDiffEConfig
from kdiffe_dgl.models.knowledge import KnowledgeView

VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {},
    "deep": {"layers": 2, "knowledge": {"layers": 2, "residual": 0.7}},
    "regenerated": {
        "item_bias": True,
        "knowledge": {"main": "regenerated", "candidates": ["two_hop"], "normalise": False, "layers": 2},
        "modality": {"gated": True, "top": 2},
        "profile": {"knowledge_weight": 0.6},
    },
    "temperature": {
        "score_temperature": 0.3,
        "item_bias": True,
        "knowledge": {"layers": 2},
        "modality": {"score_weight": 0.4},
        "profile": {"knowledge_weight": 1.5, "modality_weight": 0.4, "interaction_weight": 0.5, "rank": 3},
    },
    "profiles": {
        "profile": {"knowledge_weight": 0.8, "modality_weight": 0.3, "interaction_weight": 0.6, "rank": 500}
    },
    "pairwise": {
        "score_temperature": 0.3,
        "pairwise": {"weight": 0.4, "min_steps": 2, "encoder": {"dim": 5, "layers": 2}},
        "profile": {"knowledge_weight": 0.7, "modality_weight": 0.3},
    },
    "generated graphs have no weight": {"modality": {"adjacency_weight": 0.0, "top": 3}},
    "silent": {"modality": {"score_weight": 0.0}, "profile": {"modality_weight": 0.4}},
    "no walks": {"attention": {"epsilon": 0.0}, "layers": 0, "knowledge": {"layers": 3}},
    "no knowledge": {"knowledge": {"layers": 0}, "profile": {"knowledge_weight": 0.5}},
}


def build(dataset: Any, variant: str) -> KDiffE:
    """Return a model with trained-like weights: an epoch's graphs, and weights that are not small."""
    generator = torch.Generator().manual_seed(3)
    config = KDiffEConfig.model_validate({"dim": 6, **VARIANTS[variant]})
    model = KDiffE(dataset, config, generator, torch.device("cpu"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    model.begin_epoch(generator)
    return model.eval()


def learned(model: KDiffE) -> np.ndarray:
    """Return the scores without profiles."""
    users, items = model.joint(model.score_views())
    return (users.double() @ items.double().T).detach().numpy()


def unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)


def profiles(model: KDiffE, dataset: Any, gone: set[tuple[int, int]], apart: set[tuple[int, int]]) -> Any:
    """Return what profiles add to all scores by their definition, densely, without some pairs and links."""
    config, sigma = model.config.profile, learned(model)
    whole = dataset.matrix("train").toarray() > 0
    met = whole.copy()
    for user, item in gone:
        met[user, item] = False

    def mean(chosen: np.ndarray, table: np.ndarray) -> np.ndarray:
        return (chosen @ table) / np.maximum(chosen.sum(axis=1, keepdims=True), 1)

    def added(weight: float, table: np.ndarray, after: np.ndarray) -> np.ndarray:
        products = (mean(whole, table) @ table.T)[whole.any(axis=1)]
        scale = weight * sigma.std(axis=1).mean() / products.std(axis=1).mean()
        return scale * mean(met, after) @ after.T

    edges = list(zip(model.edges.head.tolist(), model.edges.tail.tolist(), strict=True))
    if model.config.knowledge.main == "regenerated":
        assert model.regenerated is not None
        proposed = zip(model.regenerated.head.tolist(), model.regenerated.tail.tolist(), strict=True)
        edges = [edge for edge, kept in zip(edges, model.regenerated.kept, strict=True) if kept]
        edges += list(proposed)
    known, left = np.zeros((2, model.n_items, len(model.entity_embedding)))
    for head, tail in edges:
        if head < model.n_items:
            known[head, tail] = 1
            left[head, tail] = (min(head, tail), max(head, tail)) not in apart
    rarity = np.log(model.n_items / np.maximum(known.sum(axis=0), 1))
    before, after = unit(known * rarity), unit(left * rarity)
    _, values, right = np.linalg.svd(before)
    directions = right[: min(config.rank, int((values > 1e-10).sum()))].T
    total = np.zeros(met.shape)
    if config.knowledge_weight:
        total += added(config.knowledge_weight, before @ directions, after @ directions)
    if config.modality_weight:
        for features in dataset.features.values():
            left_vectors, values, _ = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
            table = unit(left_vectors[:, : min(config.rank, int((values > 1e-5).sum()))])
            total += added(config.modality_weight, table, table)
    if config.interaction_weight:
        _, values, right = np.linalg.svd(whole.astype(float), full_matrices=False)
        share = values**2 / (values**2 + config.ridge * whole.sum() / model.n_items)
        rows = (right.T * np.sqrt(share))[:, : config.rank]
        table = rows / np.sqrt(1 - (rows**2).sum(axis=1, keepdims=True))
        total += added(config.interaction_weight, table, table)
    return total


def pairwise(model: KDiffE) -> Any:
    """Return what the pairwise view adds, by its definition: it does not follow what becomes of edges."""
    if model.pairwise_view is None:
        return 0.0
    users, items = (side.double().numpy() for side in model.pairwise_view.encoder.representations())
    products = users @ items.T
    unit = (products - products.mean(axis=1, keepdims=True)) / products.std(axis=1, keepdims=True)
    share = model.config.pairwise.weight * learned(model).std(axis=1).mean()
    return share * unit * (bipartite(model.graph).toarray().any(axis=1, keepdims=True))


def scores(model: KDiffE) -> np.ndarray:
    users, items = model.representations()
    return (users.double() @ items.double().T).numpy()


def rebuilt(model: KDiffE, dataset: Any, explained: EdgeScore, deleted: np.ndarray) -> np.ndarray:
    """Return all scores after the model's graphs are built without some edges, by the model's own code."""
    pairs, links = explained.edges.pairs, explained.edges.links
    gone = {(pairs.users[n], pairs.items[n]) for n in deleted if n < len(pairs)}
    interactions = bipartite(model.graph).tolil()
    similarity = interactions.copy().astype(np.float64)
    epsilon = model.config.attention.epsilon
    matrix = np.asarray(model.graphs.operator.to_users._forward.to_dense(), dtype=np.float64)
    degree = [1 + np.asarray(interactions.sum(axis=axis)).ravel() for axis in (1, 0)]
    for user, item in zip(*interactions.nonzero(), strict=True):
        entry = matrix[user, item] * np.sqrt(degree[0][user] * degree[1][item])
        similarity[user, item] = (entry - 1) / epsilon if epsilon else 0.0
    for user, item in gone:
        interactions[user, item] = similarity[user, item] = 0.0
    interactions, similarity = interactions.tocsr(), similarity.tocsr()
    interactions.eliminate_zeros()
    n_users = model.n_users
    new = normalised_adjacency(interactions, similarity, epsilon)
    graphs = replace(model.graphs, operator=BipartiteOperator.from_scipy(new, n_users))
    generated = {}
    for name, (users, items) in model._generated_edges.items():
        stay = np.array([pair not in gone for pair in zip(users.tolist(), items.tolist(), strict=True)])
        binary = np.zeros((n_users, model.n_items))
        binary[users.numpy()[stay], items.numpy()[stay]] = 1.0
        from scipy.sparse import csr_matrix

        generated[name] = BipartiteOperator.from_scipy(normalised_adjacency(csr_matrix(binary)), n_users)
    graphs = replace(graphs, generated=generated)
    apart: set[tuple[int, int]] = set()
    if links is not None:
        apart = {
            (links.first[n - len(pairs)], links.second[n - len(pairs)]) for n in deleted if n >= len(pairs)
        }
        head, tail = model.edges.head, model.edges.tail
        keep = torch.tensor(
            [(min(h, t), max(h, t)) not in apart for h, t in zip(head.tolist(), tail.tolist(), strict=True)]
        )
        proposed = None
        if model.config.knowledge.main == "regenerated":
            assert model.regenerated is not None
            keep &= model.regenerated.kept
            ends = model.regenerated.head, model.regenerated.tail
            stay = torch.tensor(
                [
                    (min(h, t), max(h, t)) not in apart
                    for h, t in zip(*(e.tolist() for e in ends), strict=True)
                ]
            )
            proposed = tuple(end[stay.bool()] for end in ends)
        view = KnowledgeView(knowledge_graph(model.edges, keep, proposed), torch.device("cpu"))
        key = "regenerated" if model.config.knowledge.main == "regenerated" else "knowledge"
        graphs = replace(graphs, **{key: view})
    agreement = profiles(model, dataset, gone, apart) + pairwise(model)
    before, model.graphs = model.graphs, graphs
    found = learned(model)
    model.graphs = before
    return found + agreement


@pytest.mark.parametrize(
    ("variant", "joins"), [("paper", True), ("generated graphs have no weight", False), ("silent", False)]
)
def test_generated_graphs_are_edges_where_the_score_reads_them(
    tiny_dataset: Any, variant: str, joins: bool
) -> None:
    model = build(tiny_dataset, variant)
    assert all(len(users) for users, _ in model._generated_edges.values())
    pairs = EdgeScore(model).edges.pairs
    found = {*zip(pairs.users.tolist(), pairs.items.tolist(), strict=True)}
    observed = {*map(tuple, tiny_dataset.pairs("train").tolist())}
    assert (found > observed) is joins
    assert found >= observed


@pytest.mark.parametrize("variant", VARIANTS)
def test_score_with_all_edges_is_that_of_the_model(tiny_dataset: Any, variant: str) -> None:
    model = build(tiny_dataset, variant)
    explained, expected = EdgeScore(model), scores(model)
    for user, item in [(0, 0), (5, 13), (23, 17)]:
        assert explained.score(user, item) == pytest.approx(expected[user, item], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_deletion_is_building_without(tiny_dataset: Any, variant: str) -> None:
    model = build(tiny_dataset, variant)
    explained, rng = EdgeScore(model), np.random.default_rng(1)
    pairs, links = explained.edges.pairs, explained.edges.links
    user, item = 4, 7
    own = np.flatnonzero(pairs.users == user)
    deletions = [own, own[:1], rng.choice(len(pairs), 9, replace=False)]
    if links is not None:
        of_item = len(pairs) + np.flatnonzero((links.first == item) | (links.second == item))
        met = pairs.items[own]
        of_met = len(pairs) + np.flatnonzero(np.isin(links.first, met) | np.isin(links.second, met))
        deletions += [of_item, of_item[:1], np.concatenate([own[:2], of_item[:2]])]
        deletions += [of_met, np.concatenate([own[:1], of_met[::2]])]
    found = explained.without(user, item, deletions)
    whole = explained.score(user, item)
    for deleted, score in zip(deletions, found, strict=True):
        expected = rebuilt(model, tiny_dataset, explained, deleted)[user, item]
        assert score == pytest.approx(expected, rel=1e-4, abs=1e-5)
        assert abs(score - whole) > 1e-4  # these edges matter


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient_is_the_slope_of_the_weighted_score(tiny_dataset: Any, variant: str) -> None:
    explained = EdgeScore(build(tiny_dataset, variant))
    n_pairs, links = len(explained.edges.pairs), explained.edges.links
    user, item = 4, 7
    wanted = np.empty(0, dtype=np.int64) if links is None else n_pairs + np.flatnonzero(links.first == item)
    slope = explained.gradient(user, item, wanted)
    assert explained.gradient(user, item, wanted[:0])[n_pairs:].max(initial=0) == 0
    for edge in [*np.flatnonzero(explained.edges.pairs.users == user), *wanted[:3]]:
        values = []
        for step in (-1e-5, 1e-5):
            pairs, others = (
                torch.ones(n_pairs, dtype=torch.float64),
                torch.ones(len(wanted), dtype=torch.float64),
            )
            if edge < n_pairs:
                pairs[edge] += step
            else:
                others[np.searchsorted(wanted, edge)] += step
            values.append(float(explained._weighted(user, item, pairs, wanted - n_pairs, others)))
        assert slope[edge] == pytest.approx((values[1] - values[0]) / 2e-5, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("variant", ["paper", "regenerated", "profiles"])
def test_weight_zero_deletes(tiny_dataset: Any, variant: str) -> None:
    explained = EdgeScore(build(tiny_dataset, variant))
    links, n_pairs = explained.edges.links, len(explained.edges.pairs)
    assert links is not None
    gone = np.array([0, 5, n_pairs + 2, n_pairs + 9])
    pairs = torch.ones(n_pairs, dtype=torch.float64)
    pairs[[0, 5]] = 0.0
    weighted = explained._weighted(0, 2, pairs, np.array([2, 9]), torch.zeros(2, dtype=torch.float64))
    assert float(weighted) == pytest.approx(explained.without(0, 2, [gone])[0], abs=1e-12)


@pytest.mark.parametrize("variant", ["paper", "regenerated", "no walks"])
def test_attention_of_an_edge_is_its_mean_over_the_layers(tiny_dataset: Any, variant: str) -> None:
    model = build(tiny_dataset, variant)
    encoder = EdgeScore(model).encoder
    assert encoder is not None
    assert model.knowledge_encoder is not None
    relations, weight = (p.detach().double().numpy() for p in (encoder._relations, encoder._weight))
    layer = model.entity_embedding.detach().double().numpy()
    head, relation, tail = (
        part.numpy() for part in (encoder.links.head, encoder.links.relation, encoder.links.tail)
    )
    settings = model.config.knowledge
    expected, shares = np.zeros(len(head)), 0.0
    for number in range(settings.layers):
        ends = np.concatenate([layer[head], layer[tail]], axis=1)
        logit = (ends @ weight * relations[relation]).sum(axis=1)
        power = np.exp(np.where(logit > 0, logit, 0.2 * logit))
        sums = np.zeros(len(layer))
        np.add.at(sums, head, power)
        alpha = power / sums[head]
        share = settings.residual ** (settings.layers - 1 - number)
        expected, shares = expected + share * alpha, shares + share
        after = layer.copy()
        np.add.at(after, head, alpha[:, None] * layer[tail])
        norm = np.linalg.norm(after, axis=1, keepdims=True) if settings.normalise else 2.0
        layer = after / norm
    np.testing.assert_allclose(encoder.attention.numpy(), expected / shares, atol=1e-9)
    of_head = np.zeros(len(layer))
    np.add.at(of_head, head, encoder.attention.numpy())
    np.testing.assert_allclose(of_head[np.unique(head)], 1.0)
