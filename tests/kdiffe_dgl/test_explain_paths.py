"""Paths are those of a plain search, and their ranking that of plain deletion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from kdiffe_dgl.explain.edges import ScoreEdges
from kdiffe_dgl.explain.paths import Limits, PathTable, connecting_paths
from kdiffe_dgl.explain.rank import rank_paths
from kdiffe_dgl.explain.score import EdgeScore
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.models.kdiffe_config import KDiffEConfig


@pytest.fixture(scope="module")
def score(tiny_dataset: Any) -> EdgeScore:
    generator = torch.Generator().manual_seed(0)
    model = KDiffE(tiny_dataset, KDiffEConfig(dim=4), generator, torch.device("cpu"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    model.begin_epoch(generator)
    return EdgeScore(model.eval())


def searched(
    edges: ScoreEdges, user: int, item: int, hops: int
) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Find the paths by walking from neighbour to neighbour."""
    pairs, links = edges.pairs, edges.links
    assert links is not None
    n_users, n_pairs = pairs.n_users, len(pairs)
    near: dict[int, list[tuple[int, int]]] = {}
    ends = [
        (int(u), int(i) + n_users, n) for n, (u, i) in enumerate(zip(pairs.users, pairs.items, strict=True))
    ]
    ends += [
        (int(a) + n_users, int(b) + n_users, n_pairs + n)
        for n, (a, b) in enumerate(zip(links.first, links.second, strict=True))
        if a != b
    ]
    for first, second, edge in ends:
        near.setdefault(first, []).append((second, edge))
        near.setdefault(second, []).append((first, edge))
    found = set()
    open_walks = [((user,), ())]
    while open_walks:
        nodes, steps = open_walks.pop()
        for node, edge in near.get(nodes[-1], []):
            kinds = ["p" if step < n_pairs else "k" for step in (*steps, edge)]
            # From an item of the user's, either over links alone, or to one other user and on to the item.
            if node in nodes or len(kinds) > hops or (kinds.count("p") > 1 and kinds != ["p"] * len(kinds)):
                continue
            walk = (*nodes, node), (*steps, edge)
            if node == item + n_users:
                if kinds.count("p") in (1, 3) and kinds[0] == "p":
                    found.add(walk)
            elif kinds.count("p") < 3:
                open_walks.append(walk)
    return found


def as_set(paths: PathTable) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    rows = zip(paths.nodes.tolist(), paths.edges.tolist(), strict=True)
    return {(tuple(n for n in nodes if n >= 0), tuple(e for e in edges if e >= 0)) for nodes, edges in rows}


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
@pytest.mark.parametrize(("user", "item"), [(0, 0), (5, 13), (23, 17), (3, 3)])
def test_paths_are_those_of_a_search(score: EdgeScore, user: int, item: int, hops: int) -> None:
    paths = connecting_paths(score.edges, None, user, item, Limits(hops=hops))
    found = as_set(paths)
    assert len(found) == len(paths)
    assert found == searched(score.edges, user, item, hops)
    assert not paths.cuts
    lengths = (paths.edges >= 0).sum(axis=1)
    assert (np.diff(lengths) >= 0).all()


def test_neighbourhoods_are_cut_by_weight_and_the_cut_is_told(score: EdgeScore) -> None:
    user, item = 0, 6
    assert score.encoder is not None
    attention = score.encoder.attention.numpy()
    whole = connecting_paths(score.edges, attention, user, item)
    cut = connecting_paths(score.edges, attention, user, item, Limits(neighbours=2))
    assert as_set(cut) < as_set(whole)
    assert len(cut) < len(whole)
    own = np.flatnonzero(score.edges.pairs.users == user)
    heaviest = own[np.argsort(-score.edges.pairs.weight[own], kind="stable")[:2]]
    assert set(cut.edges[:, 0]) <= set(heaviest)
    told = [str(one) for one in cut.cuts]
    assert f"items of the user: the 2 of greatest weight of {len(own)}" in told
    few = connecting_paths(score.edges, attention, user, item, Limits(paths=1))
    assert any("paths through" in one.what for one in few.cuts)
    assert 0 < len(few) <= 3


def test_ranking_is_that_of_deleting_each_path_in_turn(score: EdgeScore) -> None:
    user, item = 4, 7
    paths = connecting_paths(score.edges, None, user, item)
    ranked = rank_paths(score, user, item, paths, 4, shortlist=len(paths))
    assert len(ranked) == 4
    gone: set[int] = set()
    for one in ranked:
        before = score.without(user, item, [np.array(sorted(gone), dtype=np.int64)])[0]
        losses = []
        for path in range(len(paths)):
            together = np.array(sorted(gone | set(paths.edges_of(path).tolist())))
            losses.append(before - score.without(user, item, [together])[0])
        assert one.contribution == pytest.approx(max(losses))
        assert losses[one.path] == pytest.approx(max(losses))
        own = paths.edges_of(one.path)
        assert one.alone == pytest.approx(score.score(user, item) - score.without(user, item, [own])[0])
        gone |= set(own.tolist())
    together = score.without(user, item, [np.array(sorted(gone))])[0]
    assert sum(one.contribution for one in ranked) == pytest.approx(score.score(user, item) - together)


def test_ranking_ends_where_nothing_more_is_lost(score: EdgeScore) -> None:
    user, item = 4, 7
    paths = connecting_paths(score.edges, None, user, item)
    ranked = rank_paths(score, user, item, paths, len(paths), shortlist=len(paths))
    assert len(ranked) < len(paths)
    assert all(one.contribution > 0 for one in ranked)
    assert (
        rank_paths(score, user, item, connecting_paths(score.edges, None, user, item, Limits(hops=1)), 5)
        == []
    )
