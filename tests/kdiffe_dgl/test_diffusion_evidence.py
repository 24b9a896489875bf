"""Decoys, evidence without the edge itself, and calibration, against brute force and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from kdiffe_dgl.data.synthetic import planted
from kdiffe_dgl.diffusion import evidence
from kdiffe_dgl.diffusion.calibration import calibrate, logistic_regression, threshold_of
from kdiffe_dgl.diffusion.decoys import proportional, random_triples
from kdiffe_dgl.graph.hetero import INVERSE, KnowledgeEdges, build_heterograph, knowledge_edges
from kdiffe_dgl.models.knowledge_trust import TripleTrust


def some_triples(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    head, tail = rng.integers(0, 12, 60), rng.integers(8, 30, 60)
    pairs = np.unique(np.sort(np.stack([head, tail]), axis=0), axis=1)
    pairs = pairs[:, pairs[0] != pairs[1]]
    relation = np.asarray(rng.integers(0, 3, pairs.shape[1]))
    return pairs[0], relation, pairs[1]


def adjacency_of(head: np.ndarray, tail: np.ndarray, size: int) -> sp.csr_matrix:
    dense = np.zeros((size, size))
    dense[head, tail] = dense[tail, head] = 1
    return sp.csr_matrix(dense)


@pytest.mark.parametrize("ends", ["relation", "any"])
def test_random_triples_are_new_distinct_and_of_their_relation(ends: str) -> None:
    head, relation, tail = map(torch.from_numpy, some_triples())
    counts = torch.tensor([7, 0, 500])
    generator = torch.Generator().manual_seed(3)
    drawn = random_triples(head, relation, tail, counts, 30, generator, ends)  # type: ignore[arg-type]
    known = {frozenset(pair) for pair in zip(head.tolist(), tail.tolist(), strict=True)}
    found = [frozenset(pair) for pair in zip(drawn[0].tolist(), drawn[2].tolist(), strict=True)]
    assert len(set(found)) == len(found)
    assert not known & set(found)
    assert all(len(pair) == 2 for pair in found)
    everyone = set(head.tolist()) | set(tail.tolist())
    free = 0
    for number in range(3):
        mine = relation == number
        heads, tails = set(head[mine].tolist()), set(tail[mine].tolist())
        if ends == "any":
            heads = tails = everyone
        own = drawn[1] == number
        assert set(drawn[0][own].tolist()) <= heads
        assert set(drawn[2][own].tolist()) <= tails
        free = len({frozenset((a, b)) for a in heads for b in tails if a != b} - known)
    assert torch.bincount(drawn[1], minlength=3)[:2].tolist() == [7, 0]
    # More were asked for than there are: the last relation gets nearly all that is free.
    assert free - 7 <= int((drawn[1] == 2).sum()) <= free


def test_random_triples_take_every_free_pair_alike() -> None:
    head, tail = torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5])
    counts = np.zeros((6, 6))
    for seed in range(240):
        drawn = random_triples(
            head, torch.zeros(3, dtype=torch.int64), tail, torch.tensor([1]), 6,
            torch.Generator().manual_seed(seed),
        )  # fmt: skip
        counts[drawn[0], drawn[2]] += 1
    free = counts[:3, 3:][~np.eye(3, dtype=bool)]
    assert counts.sum() == 240 == free.sum()
    assert np.abs(free - 40).max() < 4 * np.sqrt(40)


def test_proportional_counts() -> None:
    relation = torch.tensor([0] * 10 + [2] * 3)
    assert proportional(relation, 0.5, 4).tolist() == [5, 0, 2, 0]
    assert proportional(relation, 0.1, 3, least=2).tolist() == [2, 0, 2]


@pytest.mark.parametrize("most", [1024, 4])
def test_neighbour_similarity_equals_cosines_without_the_edge(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "PATHS", 50)  # several blocks
    monkeypatch.setattr(evidence, "MAX_DEGREE", most)
    head, _, tail = some_triples()
    matrix = adjacency_of(head, tail, 30)
    full = matrix.toarray()
    degree = full.sum(axis=0)
    weight = np.where((degree > 0) & (degree <= most), 1 / np.sqrt(np.maximum(degree, 1)), 0)
    expected = []
    for h, t in zip(head, tail, strict=True):
        without = full.copy()
        without[h, t] = without[t, h] = 0
        total = 0.0
        for other in np.flatnonzero(without[t]):
            norms = np.sqrt((without[h] @ weight) * (full[other] @ weight))
            if norms > 0:
                total += (without[h] * full[other]) @ weight / norms
        expected.append(total)
    np.testing.assert_allclose(evidence.neighbour_similarity(matrix, head, tail), expected, atol=1e-9)
    assert max(expected) > 0.5


def test_degrees_count_the_other_triples_of_the_relation() -> None:
    relation, head, tail = np.array([0, 0, 0, 1]), np.array([1, 1, 2, 1]), np.array([5, 6, 6, 6])
    found = np.expm1(evidence.degree_evidence(relation, head, tail, 7)) + 1
    np.testing.assert_allclose(found, [[1, 2], [2, 2], [2, 1], [1, 1]])


def test_context_agreement_equals_a_loop_over_items() -> None:
    head, _, tail = some_triples(1)
    full = adjacency_of(head, tail, 30).toarray()
    n_items = 20
    context = np.random.default_rng(2).normal(size=(n_items, 4))
    context[[3, 9]] = 0  # items without interactions
    known = np.abs(context).sum(axis=1) > 0
    centred = np.where(known[:, None], context - context[known].mean(axis=0), 0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-300)

    def one(item: int, entity: int) -> float:
        others = [j for j in np.flatnonzero(full[entity]) if j < n_items and j != item and known[j]]
        return float(sum(unit[item] @ unit[j] for j in others) / np.sqrt(max(len(others), 1)))

    expected = []
    for h, t in zip(head, tail, strict=True):
        seen = [one(a, b) for a, b in ((h, t), (t, h)) if a < n_items]
        expected.append(np.mean(seen) if seen else 0.0)
    incidence = sp.csr_matrix(full[:, :n_items])
    found = evidence.context_agreement(incidence, context, head, tail)
    informative = known[np.minimum(head, n_items - 1)] | (head >= n_items)
    np.testing.assert_allclose(found[informative], np.array(expected)[informative], atol=1e-9)
    assert (found[~informative & (tail >= n_items)] == 0).all()


def test_logistic_regression_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    known = rng.random(400) < 1 / (1 + np.exp(-(x @ [1.0, -2.0, 0.0] + 0.3)))
    weight = rng.random(400) + 0.5
    features = np.concatenate([np.ones((400, 1)), x], axis=1)
    found = logistic_regression(features, known, weight, np.zeros(400), np.array([1e-9, 1.0, 1.0, 1.0]))
    oracle = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(x, known, sample_weight=weight)
    np.testing.assert_allclose(found[1:], oracle.coef_[0], atol=2e-3)
    np.testing.assert_allclose(found[0], oracle.intercept_[0], atol=2e-3)


def test_calibration_finds_the_share_of_random_edges() -> None:
    """Two relations whose densities are known: one of noise alone, one with 70 % of signal."""
    rng = np.random.default_rng(1)
    n = 4000
    relation = np.repeat([0, 2], 2 * n)
    decoy = np.tile(np.repeat([False, True], n), 2)
    true = np.zeros(4 * n, dtype=bool)
    true[2 * n : 2 * n + int(0.7 * n)] = True
    x = rng.normal(size=4 * n) + np.where(true, 4.0, 0.0)
    found = calibrate(x[:, None], relation, decoy, 3)
    assert found.random_share[0] > 0.93
    assert abs(found.random_share[2] - 0.3) < 0.06
    assert np.isnan(found.random_share[1])
    known = ~decoy
    assert roc_auc_score(true[known], found.score[known]) > 0.98
    level = threshold_of(found.score[decoy], 0.2)
    assert np.mean(found.score[decoy] > level) <= 0.2
    # The exact posterior of an edge of the second relation.
    own = (relation == 2) & known
    signal, noise = (share * np.exp(-0.5 * (x[own] - mean) ** 2) for share, mean in ((0.7, 4), (0.3, 0)))
    posterior = signal / (signal + noise)
    assert np.abs(np.clip(found.score[own], 0, 1) - posterior).mean() < 0.05


@pytest.mark.parametrize(("passing", "share"), [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0)])
def test_a_share_of_decoys_passes(passing: float, share: float) -> None:
    scores = np.arange(8.0)
    assert np.mean(scores > threshold_of(scores, passing)) == share


def test_context_tells_relevant_relations_from_noise() -> None:
    """Planted data: only the relevant relations cause interactions."""
    made = planted()
    dataset = made.dataset
    edges = knowledge_edges(build_heterograph(dataset), dataset)
    interactions = dataset.matrix("train")
    users = np.random.default_rng(0).normal(size=(dataset.n_users, 128))
    context = torch.from_numpy(interactions.T @ users / np.maximum(interactions.sum(axis=0).T, 1))
    trust = TripleTrust(edges, dataset.n_items, "context", torch.Generator().manual_seed(0))
    scores = trust.scores(trust.gather(context))
    relation = np.array(edges.relation_names)[edges.relation.numpy()]
    relevant = np.isin([name.split("^")[0] for name in relation], made.config.relevant)
    assert len(scores) == len(edges)
    assert roc_auc_score(relevant, scores.numpy()) > 0.9
    # An edge and its inverse stay or go together.
    of_triple = [set(scores[edges.triple == number].tolist()) for number in range(20)]
    assert all(len(found) == 1 for found in of_triple)
    assert torch.equal(trust.kept(trust.gather(context), 1.0), torch.ones(len(edges), dtype=torch.bool))


@pytest.mark.parametrize("seed", [0, 1])
def test_random_edges_among_the_known_are_no_better_than_decoys(seed: int) -> None:
    """Many coefficients and few edges: fitted to themselves, known edges would look better by a half."""
    rng = np.random.default_rng(seed)
    relation = np.repeat(np.arange(4), 400)
    decoy = np.tile(np.arange(400) >= 300, 4)
    evidence = rng.normal(size=(len(relation), 4))
    found = calibrate(evidence, relation, decoy, 4).score
    passing = np.mean(found[~decoy] > threshold_of(found[decoy], 0.25))
    assert 0.17 < passing < 0.33
    assert 0.45 < roc_auc_score(~decoy, found) < 0.55


def test_a_graph_without_room_for_random_triples_stays_whole() -> None:
    head, tail = torch.triu_indices(5, 5, 1)
    ends = torch.cat([head, tail]), torch.cat([tail, head])
    order = torch.argsort(ends[0] * 5 + ends[1])
    n_triples = len(head)
    triple = torch.arange(n_triples).repeat(2)[order]
    relation = torch.zeros(2 * n_triples, dtype=torch.int64)
    edges = KnowledgeEdges(ends[0][order], relation, ends[1][order], triple, 5, ("near",))
    for kind in ("context", "structure", "held_out"):
        trust = TripleTrust(edges, 5, kind, torch.Generator().manual_seed(0))
        found = np.random.default_rng(0).normal(size=(len(trust.head), 2))
        assert trust.kept(found, 0.25).all()
        assert (trust.scores(found) == 0).all()


@pytest.mark.parametrize("name", ["kind", f"kind{INVERSE}"])
def test_every_triple_is_judged_whatever_its_relation_is_called(name: str) -> None:
    """Edges of 30 triples, each with its inverse; the evidence of a triple is its number."""
    rng = np.random.default_rng(0)
    pairs = rng.permutation(20 * 15)[:30]
    head, tail = torch.from_numpy(pairs // 15), torch.from_numpy(20 + pairs % 15)
    triple = torch.arange(30)
    order = torch.from_numpy(rng.permutation(60))
    edges = KnowledgeEdges(
        torch.cat([head, tail])[order],
        torch.cat([triple * 0, triple * 0 + 1])[order],
        torch.cat([tail, head])[order],
        triple.repeat(2)[order],
        35,
        (name, name + INVERSE),
    )
    trust = TripleTrust(edges, 20, "context", torch.Generator().manual_seed(0))
    known = trust.head[:30], trust.tail[:30]
    assert torch.equal(known[0], head)
    assert torch.equal(known[1], tail)
    scores = trust.scores(np.arange(len(trust.head), dtype=float)[:, None])
    assert [len(set(scores[edges.triple == number].tolist())) for number in range(30)] == [1] * 30
