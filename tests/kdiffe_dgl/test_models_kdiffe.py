"""KDiffE as a whole: every part takes part, regeneration, determinism, any number of modalities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from kdiffe_dgl.config import parse_config
from kdiffe_dgl.data import RecDataset
from kdiffe_dgl.diffusion.regenerate import pair_keys
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.models.contrast import draw_anchors
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.models.kdiffe_config import ContrastConfig, KDiffEConfig
from kdiffe_dgl.models.lightgcn import LightGCN, LightGCNConfig
from kdiffe_dgl.training.losses import bpr_loss, info_nce

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "dim": 8,
    "attention": {"walk_length": 5, "n_walks": 2},
    "knowledge": {"diffusion": {"hidden": 6, "steps": 3}},
    "modality": {"diffusion": {"hidden": 6, "steps": 3}, "top": 2},
}


def make(dataset: Any, seed: int = 0, **changes: Any) -> tuple[KDiffE, torch.Generator]:
    from kdiffe_dgl.config import merge

    config = parse_config(KDiffEConfig, merge(SMALL, changes), "test")
    model = KDiffE(dataset, config, torch.Generator().manual_seed(seed), CPU)
    generator = torch.Generator().manual_seed(seed + 1)
    model.begin_epoch(generator)
    return model, generator


def batch(dataset: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    users, items = torch.tensor(dataset.pairs("train")[:20]).T.contiguous()
    return users, items, (items + 1) % dataset.n_items


def test_every_recommender_parameter_is_reached_and_no_denoiser_is(tiny_dataset: Any) -> None:
    model, generator = make(tiny_dataset, layers=2)
    model.zero_grad()
    torch.stack(list(model.losses(*batch(tiny_dataset), generator).values())).sum().backward()
    own = {id(parameter) for parameter in model.recommender_parameters()}
    for name, parameter in model.named_parameters():
        reached = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        assert reached == (id(parameter) in own), name


def test_losses_and_scores_are_composed_as_the_method_says(tiny_dataset: Any) -> None:
    model, _ = make(tiny_dataset, contrast={"method": "main", "temperature": 0.3}, regularisation=0.01)
    users, positives, negatives = batch(tiny_dataset)
    n, contrast = tiny_dataset.n_users, model.config.contrast
    with torch.no_grad():
        terms = model.losses(users, positives, negatives, None)  # no generator: no dropout
        user, item = model.representations()
        graphs, tables = model.graphs, (model.user_embedding, model.entity_embedding)
        main, other = (
            torch.cat(model._main_view(graphs, knowledge, *tables, None))
            for knowledge in (graphs.knowledge, graphs.regenerated)
        )
        projected = model.modality_views.project(None)
        multimodal = torch.cat(
            model.modality_views.multimodal(
                projected, tables[0], tables[1][: model.n_items], graphs.operator, graphs.generated
            )
        )
        views = [
            torch.cat(
                model.modality_views.contrastive(
                    projected[name], model.user_embedding, graphs.operator, graphs.generated[name]
                )
            )
            for name in projected
        ]
    score = main[:n] @ main[n:].t() + multimodal[:n] @ multimodal[n:].t()
    torch.testing.assert_close(user @ item.t(), score)
    torch.testing.assert_close(terms["bpr"], bpr_loss(score[users, positives], score[users, negatives]))

    object.__setattr__(model.config, "ranking", "softmax")
    with torch.no_grad():
        ranking = model.losses(users, positives, negatives, None)["softmax"]
    torch.testing.assert_close(ranking, torch.nn.functional.cross_entropy(score[users], positives))

    def both(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        by_user = info_nce(first[users], second[:n], users, 0.3)
        return by_user + info_nce(first[n + positives], second[n:], positives, 0.3)

    expected = contrast.knowledge_weight * both(main, other)
    torch.testing.assert_close(terms["contrast/knowledge"], expected)
    expected = contrast.modality_weight * sum(both(main, view) for view in views)
    torch.testing.assert_close(terms["contrast/modality"], expected)
    norm = model.user_embedding.square().sum() + model.entity_embedding.square().sum()
    torch.testing.assert_close(terms["regularisation"], 0.01 * norm.detach())

    object.__setattr__(contrast, "method", "modalities")
    with torch.no_grad():
        paired = model.losses(users, positives, negatives, None)["contrast/modality"]
    torch.testing.assert_close(paired, contrast.modality_weight * both(views[0], views[1]))


@pytest.mark.parametrize("method", ["main", "modalities"])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_batch_negatives_contrast_with_the_nodes_of_the_batch_alone(
    tiny_dataset: Any, layers: int, method: str
) -> None:
    contrast = {"negatives": "batch", "temperature": 0.4, "method": method}
    model, _ = make(tiny_dataset, layers=layers, contrast=contrast)
    users, items, negatives = batch(tiny_dataset)
    graphs, tables = model.graphs, (model.user_embedding, model.entity_embedding)
    with torch.no_grad():
        terms = model.losses(users, items, negatives, None)
        main, other = (
            model._main_view(graphs, knowledge, *tables, None)
            for knowledge in (graphs.knowledge, graphs.regenerated)
        )
        modal = [
            model.modality_views.contrastive(
                features, model.user_embedding, graphs.operator, graphs.generated[name]
            )
            for name, features in model.modality_views.project(None).items()
        ]

    def expected(view: Any, against: Any) -> float:
        total = 0.0
        for first, second, nodes in ((view[0], against[0], users), (view[1], against[1], items)):
            distinct = sorted(set(nodes.tolist()))
            position = torch.tensor([distinct.index(node) for node in nodes.tolist()])
            total += float(info_nce(first[nodes], second[distinct], position, 0.4).detach())
        return total

    weights = model.config.contrast
    found = float(terms["contrast/knowledge"]) / weights.knowledge_weight
    assert found == pytest.approx(expected(main, other), rel=1e-4)
    pairs = [(main, view) for view in modal] if method == "main" else [(modal[0], modal[1])]
    found = float(terms["contrast/modality"]) / weights.modality_weight
    assert found == pytest.approx(sum(expected(*pair) for pair in pairs), rel=1e-4)


def test_item_bias_starts_at_log_popularity_and_adds_to_the_score(tiny_dataset: Any) -> None:
    plain, biased = (
        make(tiny_dataset, item_bias=bias, contrast={"distinct": True})[0] for bias in (False, True)
    )
    scores = [user @ item.t() for user, item in (plain.representations(), biased.representations())]
    counts = np.asarray(tiny_dataset.matrix("train").sum(axis=0)).ravel() + 1
    expected = np.log(counts / counts.mean())
    np.testing.assert_allclose((scores[1] - scores[0]).numpy(), np.tile(expected, (24, 1)), atol=1e-5)
    terms = biased.losses(*batch(tiny_dataset), None)
    assert float(torch.autograd.grad(terms["bpr"], biased.item_bias)[0].abs().sum()) > 0


def test_anchors_are_distinct_nodes_of_the_batch() -> None:
    config, generator = ContrastConfig(distinct=True, anchors=3), torch.Generator().manual_seed(0)
    nodes, alone = torch.tensor([5, 5, 1, 9, 9, 9, 2]), torch.tensor([4, 4, 4])
    drawn = [draw_anchors(nodes, alone, (10, 10), config, generator) for _ in range(60)]
    chosen = [tuple(sorted(anchors.users.tolist())) for anchors in drawn]
    assert {len(set(anchors)) for anchors in chosen} == {3}
    assert set().union(*chosen) == {1, 2, 5, 9}
    assert len(set(chosen)) == 4  # every choice of 3 among 4 comes up
    assert drawn[0].items.tolist() == [4]


def test_regenerated_graph_holds_known_triples_with_inverses(tiny_dataset: Any) -> None:
    model, _ = make(tiny_dataset, knowledge={"top": 1, "keep_rate": 1.0})
    n = model.edges.n_entities
    known = set(
        zip(model.edges.head.tolist(), model.edges.relation.tolist(), model.edges.tail.tolist(), strict=True)
    )
    view = model.graphs.regenerated
    head, relation, tail = view.head, view.relation, view.tail
    assert torch.equal(torch.stack(view.graph.edges()), torch.stack([tail, head]))
    kept = list(zip(head.tolist(), relation.tolist(), tail.tolist(), strict=True))
    assert len(kept) == len(set(kept)) < len(known)
    assert set(kept) <= known
    # An edge is kept with all edges between the same two entities, its inverse among them.
    kept_pairs = set(pair_keys(head, tail, n).tolist())
    assert {t for t in known if min(t[0], t[2]) * n + max(t[0], t[2]) in kept_pairs} == set(kept)
    # Every entity with an edge keeps at least its best one.
    assert set(head.tolist()) == set(model.edges.head.tolist())


def test_context_is_the_mean_of_the_users_of_an_item_and_of_the_items_of_an_entity(tiny_dataset: Any) -> None:
    model, _ = make(tiny_dataset)
    user = model.user_embedding.detach()
    found = model.knowledge_diffusion.context(user).numpy()
    train = tiny_dataset.matrix("train").toarray()
    expected = np.zeros_like(found)
    for item in range(tiny_dataset.n_items):
        owners = np.flatnonzero(train[:, item])
        if len(owners):
            expected[item] = user.numpy()[owners].mean(axis=0)
    head, tail = model.edges.head.numpy(), model.edges.tail.numpy()
    for entity in range(tiny_dataset.n_items, len(found)):
        items = sorted(
            {t for h, t in zip(head, tail, strict=True) if h == entity and t < tiny_dataset.n_items}
        )
        expected[entity] = expected[items].mean(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("modalities", [0, 1, 3])
@pytest.mark.parametrize("with_knowledge", [False, True])
def test_any_number_of_modalities_with_or_without_knowledge(
    tiny_dataset: Any, modalities: int, with_knowledge: bool
) -> None:
    rng = np.random.default_rng(0)
    features = {
        f"m{m}": rng.normal(size=(tiny_dataset.n_items, 4 + m)).astype(np.float32) for m in range(modalities)
    }
    dataset = tiny_dataset.replace(features=features, kg=tiny_dataset.kg if with_knowledge else None)
    model, generator = make(dataset)
    terms = model.losses(*batch(dataset), generator)
    assert ("contrast/knowledge" in terms) == with_knowledge
    assert ("contrast/modality" in terms) == (modalities > 0)
    user, item = model.representations()
    assert user.shape == (dataset.n_users, 8 * (1 + (modalities > 0)))
    assert item.shape[0] == dataset.n_items
    assert torch.isfinite(user).all()
    assert torch.isfinite(item).all()


def test_one_seed_gives_one_model(tiny_dataset: Any) -> None:
    first, second, other = (make(tiny_dataset, seed)[0] for seed in (0, 0, 1))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert torch.equal(first.graphs.regenerated.head, second.graphs.regenerated.head)
    assert not torch.equal(first.user_embedding, other.user_embedding)


def test_only_training_interactions_are_read(tiny_dataset: Any) -> None:
    import polars as pl

    train_only = tiny_dataset.replace(
        interactions=tiny_dataset.interactions.filter(pl.col("split") == "train")
    )
    for whole, bare in zip(
        make(tiny_dataset)[0].representations(), make(train_only)[0].representations(), strict=True
    ):
        assert torch.equal(whole, bare)


def test_lightgcn_equals_its_equation(tiny_dataset: Any) -> None:
    model = LightGCN(tiny_dataset, LightGCNConfig(dim=5, layers=2), torch.Generator().manual_seed(0), CPU)
    train = tiny_dataset.matrix("train").toarray()
    n = len(train) + train.shape[1]
    adjacency = np.zeros((n, n))
    adjacency[: len(train), len(train) :] = train
    adjacency += adjacency.T
    degree = adjacency.sum(axis=1)
    scale = np.divide(1, np.sqrt(degree), out=np.zeros(n), where=degree > 0)
    operator = scale[:, None] * adjacency * scale
    ego = torch.cat([model.user_embedding, model.item_embedding]).detach().numpy()
    expected = (ego + operator @ ego + operator @ operator @ ego) / 3
    found = torch.cat(model.representations()).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    users, items, negatives = batch(tiny_dataset)
    terms = model.losses(users, items, negatives, torch.Generator())
    rows = np.concatenate([users, len(train) + items, len(train) + negatives])
    assert terms["regularisation"].item() == pytest.approx(
        1e-4 * np.square(ego[rows]).sum() / 2 / len(users), rel=1e-5
    )


@pytest.mark.parametrize("sources", [["two_hop"], ["neighbours"], ["two_hop", "neighbours"]])
def test_proposals_are_the_best_candidates_and_are_marked(tiny_dataset: Any, sources: list[str]) -> None:
    model, _ = make(tiny_dataset, knowledge={"top": 2, "candidates": sources, "proposals": 5}, neighbours=3)
    diffusion, n = model.knowledge_diffusion, model.edges.n_entities
    context = diffusion.context(model.user_embedding.detach())
    generator = torch.Generator().manual_seed(0)
    regenerated = diffusion.regenerate(context, generator)
    rows = torch.arange(n)
    activation = diffusion.process.reverse(diffusion.matrix, rows, context, 0, generator)
    scores = diffusion.denoiser.decode(activation).detach().numpy()
    allowed = diffusion._candidates.dense().numpy() > 0
    known = {(h, t) for h, t in zip(model.edges.head.tolist(), model.edges.tail.tolist(), strict=True)}
    assert {(h, t) for h, t in np.argwhere(allowed).tolist()} > known  # proposals are on offer
    pairs = set()
    for row in range(n):
        columns = np.flatnonzero(allowed[row])
        best = columns[np.argsort(-scores[row, columns], kind="stable")[:2]]
        pairs |= {frozenset((row, int(column))) for column in best}
    kept = {
        frozenset((h, t))
        for h, t, keep in zip(
            model.edges.head.tolist(), model.edges.tail.tolist(), regenerated.kept.tolist(), strict=True
        )
        if keep
    }
    proposed = {
        frozenset(pair) for pair in zip(regenerated.head.tolist(), regenerated.tail.tolist(), strict=True)
    }
    assert kept == {pair for pair in pairs if tuple(pair) in known or tuple(pair)[::-1] in known}
    assert proposed == pairs - kept
    assert len(regenerated.head) == 2 * len(proposed)
    view = model._view(regenerated)
    marked = view.relation == model.edges.n_relations
    assert {
        frozenset(p) for p in zip(view.head[marked].tolist(), view.tail[marked].tolist(), strict=True)
    } == proposed
    assert model.knowledge_encoder.relations.shape[0] == model.edges.n_relations + 1


def test_generated_items_of_a_modality_are_among_its_candidates(tiny_dataset: Any) -> None:
    model, _ = make(
        tiny_dataset, modality={"candidates": ["neighbours"], "proposals": 3, "top": 4}, neighbours=2
    )
    for name, operator in model.graphs.generated.items():
        allowed = model.modality_diffusions[name]._candidates.dense().numpy() > 0
        found = operator.to_users(torch.eye(tiny_dataset.n_items)).numpy() > 0
        assert (allowed & ~found).sum() > 0  # some were not chosen
        assert not (found & ~allowed).any()
        counts = allowed.sum(axis=1)
        assert (found.sum(axis=1) == np.minimum(counts, 4)).all()


def controlled(dataset: RecDataset, **knowledge: object) -> tuple[KDiffE, torch.Tensor]:
    config = parse_config(KDiffEConfig, {"dim": 8, "knowledge": {"top": 1, **knowledge}}, "test")
    model = KDiffE(dataset, config, torch.Generator().manual_seed(0), torch.device("cpu"))
    model.begin_epoch(torch.Generator().manual_seed(1))
    assert model.regenerated is not None
    return model, model.regenerated.kept


@pytest.mark.parametrize("scoring", ["reconstruction", "context", "structure"])
def test_controls_of_regeneration_keep_all_or_as_many_at_random(
    tiny_dataset: RecDataset, scoring: str
) -> None:
    model, scored = controlled(tiny_dataset, scoring=scoring, passing=0.5)
    _, drawn = controlled(tiny_dataset, scoring=scoring, passing=0.5, selection="random")
    _, every = controlled(tiny_dataset, scoring=scoring, selection="all")
    assert every.all()
    assert 0 < int(scored.sum()) < len(scored)
    assert not torch.equal(scored, drawn)
    size = model.edges.n_entities
    for kept in (scored, drawn):  # an edge goes with all others between its ends, or at least its inverse
        for triple in model.edges.triple[kept].unique():
            assert kept[model.edges.triple == triple].all()
    if scoring == "reconstruction":
        # Each row has one edge at least, whoever chose it.
        heads = model.edges.head.unique().tolist()
        assert (
            model.edges.head[drawn].unique().tolist() == heads == model.edges.head[scored].unique().tolist()
        )
    else:
        low = torch.minimum(model.edges.head, model.edges.tail)
        keys = low * size + torch.maximum(model.edges.head, model.edges.tail)
        counts = [torch.bincount(keys[kept].unique() // size, minlength=size) for kept in (scored, drawn)]
        assert torch.equal(*counts)


def test_edge_scores_are_those_of_either_row(tiny_dataset: RecDataset) -> None:
    model, _ = controlled(tiny_dataset)
    diffusion = model.knowledge_diffusion
    assert diffusion is not None
    context = diffusion.context(model.user_embedding.detach())
    scores = diffusion.edge_scores(context, torch.Generator())
    rows = diffusion.denoiser.decode(
        diffusion.process.reverse(
            diffusion.matrix, torch.arange(model.edges.n_entities), context, 0, torch.Generator()
        )
    )
    head, tail = model.edges.head, model.edges.tail
    torch.testing.assert_close(scores, (rows[head, tail] + rows[tail, head]) / 2)


def test_controls_of_generated_graphs(tiny_dataset: RecDataset) -> None:
    found = {}
    for selection in ("scored", "random", "all"):
        values = {"dim": 8, "modality": {"top": 2, "selection": selection}}
        config = parse_config(KDiffEConfig, values, "test")
        model = KDiffE(tiny_dataset, config, torch.Generator().manual_seed(0), torch.device("cpu"))
        log = model.begin_epoch(torch.Generator().manual_seed(1))
        assert (log["diffusion/image"] != 0) == (selection == "scored")
        state = model.graph_state()
        found[selection] = torch.stack([state["modality/0/users"], state["modality/0/items"]])
    own = torch.from_numpy(tiny_dataset.pairs("train")).t()
    assert torch.equal(found["all"], own)
    for selection in ("scored", "random"):
        pairs = found[selection].t()
        assert len(pairs.unique(dim=0)) == len(pairs)
        assert torch.equal(pairs[:, 0].unique(return_counts=True)[1], torch.full((len(own[0].unique()),), 2))
    assert not torch.equal(found["scored"], found["random"])


def test_proposals_need_a_reconstruction() -> None:
    with pytest.raises(InputError, match="candidates only where edges are scored by reconstruction"):
        parse_config(KDiffEConfig, {"knowledge": {"scoring": "context", "candidates": ["two_hop"]}}, "test")
