"""KGRec: scores of triples, masks, views and losses against dense NumPy."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from knowledge_oracles import (
    N_ITEMS,
    N_USERS,
    Triple,
    batch,
    found,
    norms,
    ranking,
    softmax,
    softplus,
    triples,
    weights,
)

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.models.peers.kgrec import KGRec, KGRecConfig, aligned_views_loss, item_rationales, mask_top

Weights = dict[str, np.ndarray]


@pytest.fixture
def model(tiny_dataset: RecDataset) -> KGRec:
    config = KGRecConfig(
        dim=5,
        layers=2,
        dropout=0.0,
        edge_dropout=0.3,
        masked=6,
        mask_weight=0.5,
        contrast_dropout=0.4,
        contrast_weight=0.2,
        temperature=0.5,
    )
    built = KGRec(tiny_dataset, config, torch.Generator().manual_seed(2), torch.device("cpu"))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():  # biases start at zero, and scores near each other: both would hide a mistake
        for head in (built.knowledge_head, built.interaction_head):
            for bias in (head.first_bias, head.second_bias):
                bias.uniform_(-0.5, 0.5, generator=generator)
        built.query_map.mul_(4.0)
    return built


def entities_of(part: Weights) -> np.ndarray:
    return np.vstack([part["item_embedding"], part["entity_embedding"]])


def attention(edges: list[Triple], entities: np.ndarray, part: Weights) -> dict[Triple, float]:
    """Return ω of each edge."""
    result = {}
    for node in {head for head, _, _ in edges}:
        own = [edge for edge in edges if edge[0] == node]
        logits = []
        for head, relation, tail in own:
            key = (entities[tail] @ part["key_map"]) * part["relation_embedding"][relation]
            logits.append(float((entities[head] @ part["query_map"]) @ key) / math.sqrt(entities.shape[1]))
        result.update(zip(own, softmax(logits), strict=True))
    return result


def scores_of(edges: list[Triple], part: Weights) -> dict[Triple, float]:
    """Return γ of each edge."""
    degree = {node: sum(head == node for head, _, _ in edges) for node, _, _ in edges}
    share = attention(edges, entities_of(part), part)
    return {edge: degree[edge[0]] * weight for edge, weight in share.items()}


def unit(x: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def sent(share: dict[Triple, float], entities: np.ndarray, part: Weights) -> np.ndarray:
    total = np.zeros_like(entities)
    for (head, relation, tail), weight in share.items():
        total[head] += weight * part["relation_embedding"][relation] * entities[tail]
    return total


def encoded(edges: list[Triple], mean: np.ndarray, part: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Return users and entities after two layers over edges and weighted interactions."""
    users, entities = part["user_embedding"], entities_of(part)
    totals = [users, entities]
    for _ in range(2):
        users, entities = (
            unit(mean @ entities[:N_ITEMS]),
            unit(sent(attention(edges, entities, part), entities, part)),
        )
        totals = [totals[0] + users, totals[1] + entities]
    return totals[0], totals[1]


def greatest(values: Iterable[float], among: np.ndarray, count: int) -> np.ndarray:
    order = [n for n in np.argsort(-np.array(list(values)), kind="stable") if among[n]]
    chosen = np.zeros(len(among), dtype=bool)
    chosen[order[:count]] = True
    return chosen


def perceptron(x: np.ndarray, part: Weights, name: str) -> np.ndarray:
    hidden = np.maximum(x @ part[f"{name}.first"] + part[f"{name}.first_bias"], 0)
    return hidden @ part[f"{name}.second"] + part[f"{name}.second_bias"]


def aligned(first: np.ndarray, second: np.ndarray, other: list[int], temperature: float) -> float:
    first, second = unit(first), unit(second)
    values = []
    for node, wrong in enumerate(other):
        own = np.exp(first[node] @ second[node] / temperature)
        across = np.exp(first[node] @ second[wrong] / temperature)
        back = np.exp(first[wrong] @ second[node] / temperature)
        values.append(-np.log(own / (2 * own + across + back)))
    return float(np.mean(values))


def test_scores_and_representations_equal_their_equations(tiny_dataset: RecDataset, model: KGRec) -> None:
    edges, part = [edge for edge, _ in triples(tiny_dataset)], weights(model)
    expected = scores_of(edges, part)
    np.testing.assert_allclose(
        model.rationale_scores().numpy(), [expected[edge] for edge in edges], rtol=1e-4
    )
    for node in {head for head, _, _ in edges}:
        assert np.mean([expected[edge] for edge in edges if edge[0] == node]) == pytest.approx(1.0)
    rows = tiny_dataset.matrix("train").toarray().astype(float)
    users, entities = encoded(edges, rows / np.maximum(rows.sum(axis=1, keepdims=True), 1), part)
    for shown, table in zip(model.representations(), (users, entities[:N_ITEMS]), strict=True):
        np.testing.assert_allclose(shown.numpy(), table, rtol=1e-4, atol=1e-6)


def test_a_step_equals_its_equations(tiny_dataset: RecDataset, model: KGRec) -> None:
    known, part = triples(tiny_dataset), weights(model)
    edges, pairs = [edge for edge, _ in known], tiny_dataset.pairs("train")
    terms = found(model.losses(*batch(), generator=torch.Generator().manual_seed(9)))

    generator = torch.Generator().manual_seed(9)
    assert tiny_dataset.kg is not None

    def drawn(count: int) -> np.ndarray:
        return torch.rand(count, generator=generator).double().numpy()

    kept_triples = drawn(tiny_dataset.kg.n_triples) >= 0.3
    stays = np.array([kept_triples[number] for _, number in known])
    left = [edge for edge, stay in zip(edges, stays, strict=True) if stay]
    assert 0 < len(left) < len(edges)
    of_edge = scores_of(left, part)
    score = np.array([of_edge.get(edge, 0.0) for edge in edges])
    noisy = score - np.log(-np.log(drawn(len(edges))))
    masked = greatest(noisy, stays, 6) | greatest(drawn(len(edges)), stays, 6)
    assert 6 < masked.sum() <= 12
    present = drawn(len(pairs)) >= 0.3
    rows = np.zeros((N_USERS, N_ITEMS))
    rows[pairs[:, 0], pairs[:, 1]] = 1
    by_user, by_item = rows.sum(axis=1), rows.sum(axis=0)
    mean = np.zeros_like(rows)
    for (user, item), there in zip(pairs, present, strict=True):
        mean[user, item] = there / 0.7 / by_user[user]
    used = [edge for edge, use in zip(edges, stays & ~masked, strict=True) if use]
    users, entities = encoded(used, mean, part)
    rebuilt = [
        softplus(-float(entities[head] @ (entities[tail] * part["relation_embedding"][relation])))
        for (head, relation, tail), mask in zip(edges, masked, strict=True)
        if mask
    ]

    # The view of knowledge keeps the edges with the best noisy scores, and means what they send.
    of_knowledge = greatest(noisy, stays, math.ceil(0.6 * stays.sum()))
    assert of_knowledge.sum() < stays.sum()
    chosen = [edge for edge, use in zip(edges, of_knowledge, strict=True) if use]
    equal = {edge: 1 / sum(other[0] == edge[0] for other in chosen) for edge in chosen}
    by_knowledge = layer = entities_of(part)
    for _ in range(2):
        layer = unit(sent(equal, layer, part))
        by_knowledge = by_knowledge + layer
    # The other one keeps interactions of items whose triples score well.
    phi = np.zeros(N_ITEMS)
    for item in range(N_ITEMS):
        for end in (0, 2):
            own = [of_edge[edge] for edge in left if edge[end] == item]
            phi[item] += (np.mean(own) if own else 1.0) / 2
    assert len(set(np.round(phi, 6))) > 5
    preference = phi[pairs[:, 1]] - np.log(-np.log(drawn(len(pairs))))
    stay = greatest(preference, present, math.ceil(0.6 * present.sum()))
    symmetric = np.zeros_like(rows)
    for (user, item), there in zip(pairs, stay, strict=True):
        symmetric[user, item] = there / 0.7 / 0.6 / np.sqrt(by_user[user] * by_item[item])
    user, item = part["user_embedding"], part["item_embedding"]
    by_interactions = item
    for _ in range(2):
        user, item = unit(symmetric @ item), unit(symmetric.T @ user)
        by_interactions = by_interactions + item
    other = torch.randperm(N_ITEMS, generator=generator).tolist()
    contrast = aligned(
        perceptron(by_interactions, part, "interaction_head"),
        perceptron(by_knowledge[:N_ITEMS], part, "knowledge_head"),
        other,
        0.5,
    )
    assert terms == pytest.approx(
        {
            "bpr": ranking(users, entities[:N_ITEMS]),
            "regularisation": model.config.regularisation * norms(part),
            "masked": 0.5 * np.mean(rebuilt),
            "contrast": 0.2 * contrast,
        },
        rel=1e-4,
    )


def test_every_weight_learns_and_scores_have_no_gradient(model: KGRec) -> None:
    assert not model.rationale_scores().requires_grad
    terms = model.losses(*batch(), generator=torch.Generator().manual_seed(1))
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert parameter.grad.abs().sum() > 0, name


def test_masks_take_the_greatest_of_what_may_be_taken() -> None:
    scores = torch.tensor([0.1, 5.0, 0.3, 2.0, 4.0])
    among = torch.tensor([True, False, True, True, True])
    assert mask_top(scores, among, 2).tolist() == [False, False, False, True, True]
    assert not mask_top(scores, among, 0).any()
    assert mask_top(scores, among, 4).equal(among)


def test_items_without_triples_count_as_the_mean() -> None:
    head, tail = torch.tensor([0, 0, 5, 1]), torch.tensor([5, 6, 0, 0])
    kept = torch.tensor([True, True, True, False])
    phi = item_rationales(torch.tensor([0.5, 1.5, 3.0, 9.0]), kept, head, tail, 3)
    torch.testing.assert_close(phi, torch.tensor([(1.0 + 3.0) / 2, 1.0, 1.0]))


def test_alike_views_have_the_loss_of_chance() -> None:
    x = torch.ones(4, 3)
    assert float(aligned_views_loss(x, x, torch.tensor([1, 2, 3, 0]), 0.1)) == pytest.approx(math.log(4))
