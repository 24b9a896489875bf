"""The tables of an inspection say what dense sums over the same graphs and embeddings say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from kdiffe_dgl.inspection import Inspection, InspectionOptions
from kdiffe_dgl.inspection.views import _ablations, score_shares
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.run import train_run

SMALL = ["model.dim=8", "training.epochs=1", "training.batch_size=16"]
DIFFUSION = ["model.knowledge.candidates=[two_hop]", "model.knowledge.top=2", "model.item_bias=true"]


@pytest.fixture(scope="module")
def inspection(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Any) -> Inspection:
    run = tmp_path_factory.mktemp("inspection") / "run"
    train_run(tiny_dataset, run, resolve({}, [*SMALL, *DIFFUSION]), seed=1)
    return Inspection.load(run, tiny_dataset)


def kept_pairs(inspection: Inspection) -> tuple[set[frozenset[int]], set[frozenset[int]]]:
    """Return the pairs of entities that diffusion kept and those that it proposed, edge by edge."""
    model = inspection.model
    assert model is not None
    assert model.regenerated is not None
    edges, found = model.edges, model.regenerated
    ends = zip(edges.head.tolist(), edges.tail.tolist(), found.kept.tolist(), strict=True)
    kept = {frozenset((h, t)) for h, t, stays in ends if stays}
    proposed = {frozenset(pair) for pair in zip(found.head.tolist(), found.tail.tolist(), strict=True)}
    return kept, proposed


def test_kept_dropped_and_proposed_are_those_of_the_model(inspection: Inspection, tiny_dataset: Any) -> None:
    kept, proposed = kept_pairs(inspection)
    table, kg = inspection.relations, tiny_dataset.kg
    assert table is not None
    names = dict(kg.relations.select("relation", "name").iter_rows())
    counts: dict[str, list[int]] = {name: [0, 0] for name in names.values()}
    for head, relation, tail in kg.triples.select("head", "relation", "tail").iter_rows():
        counts[names[relation]][frozenset((head, tail)) not in kept] += 1
    for name, (stayed, went) in counts.items():
        row = table.row(by_predicate=pl.col("relation") == name, named=True)
        assert (row["kept"], row["dropped"]) == (stayed, went)
        assert row["triples"] == stayed + went
        assert row["kept_share"] == pytest.approx(stayed / (stayed + went))
    assert 0 < table["kept"].sum() < kg.n_triples
    kinds = kg.entities["kind"].to_list()
    joined: dict[str, int] = {}
    for pair in proposed:
        first, second = sorted(kinds[entity] for entity in pair)
        joined[f"{first} – {second}"] = joined.get(f"{first} – {second}", 0) + 1
    assert joined
    shown = table.filter(pl.col("relation") == "proposed by diffusion")
    assert dict(shown.select("label", "proposed").iter_rows()) == joined


def test_degrees_are_those_of_networkx(inspection: Inspection, tiny_dataset: Any) -> None:
    kept, proposed = kept_pairs(inspection)
    kg, table = tiny_dataset.kg, inspection.degrees
    assert table is not None
    before, after = nx.Graph(), nx.Graph()
    for graph in (before, after):
        graph.add_nodes_from(range(kg.n_entities))
    for head, tail in kg.triples.select("head", "tail").iter_rows():
        before.add_edge(head, tail)
        if frozenset((head, tail)) in kept:
            after.add_edge(head, tail)
    after.add_edges_from(tuple(pair) for pair in proposed)
    for graph in (before, after):
        graph.remove_edges_from(nx.selfloop_edges(graph))
    assert table["before"].to_list() == [degree for _, degree in before.degree]
    assert table["after"].to_list() == [degree for _, degree in after.degree]


def attention(inspection: Inspection, view: Any) -> list[tuple[int, int, int, float]]:
    """Return head, relation, tail and α of every edge, one softmax at a time, in double precision."""
    model = inspection.model
    assert model is not None
    encoder = model.knowledge_encoder
    assert encoder is not None
    entities = model.entity_embedding.detach().double().numpy()
    weight, relations = (table.detach().double().numpy() for table in (encoder.weight, encoder.relations))
    edges = list(zip(view.head.tolist(), view.relation.tolist(), view.tail.tolist(), strict=True))
    found = []
    for item in range(model.n_items):
        own = [edge for edge in edges if edge[0] == item]
        logits = []
        for head, relation, tail in own:
            score = np.concatenate([entities[head], entities[tail]]) @ weight @ relations[relation]
            logits.append(score if score > 0 else 0.2 * score)
        alpha = np.exp(logits) / np.exp(logits).sum() if own else []
        found += [(*edge, float(value)) for edge, value in zip(own, alpha, strict=True)]
    return found


def test_strength_is_the_attention_of_items(inspection: Inspection, tiny_dataset: Any) -> None:
    model, relations, entities = inspection.model, inspection.relation_strength, inspection.entity_strength
    assert model is not None
    assert relations is not None
    assert entities is not None
    # Relation numbers of the model, inverses beside their relations, proposals last.
    names = [name.removesuffix("^-1") for name in model.edges.relation_names] + ["proposed by diffusion"]
    assert len(names) == 6
    for when, view in (("before", model.graphs.knowledge), ("after", model.graphs.regenerated)):
        edges = attention(inspection, view)
        items = len({head for head, *_ in edges})
        shares = dict.fromkeys(names, 0.0)
        received = dict.fromkeys(range(tiny_dataset.kg.n_entities), 0.0)
        for _, relation, tail, alpha in edges:
            shares[names[relation]] += alpha / items
            received[tail] += alpha
        told = dict(relations.select("relation", when).iter_rows())
        assert told == pytest.approx(shares, abs=1e-6)
        assert sum(told.values()) == pytest.approx(1.0)
        for entity, value in entities.select("entity", when).iter_rows():
            assert value == pytest.approx(received[entity], abs=1e-5)
    assert (relations["change"].diff().drop_nulls() <= 0).all()
    strengthened, weakened = inspection.strengthened, inspection.weakened
    assert strengthened is not None
    assert weakened is not None
    assert strengthened["change"][0] == entities["change"].max()
    assert weakened["change"][0] == entities["change"].min()
    assert (strengthened["change"] > 0).all()
    assert (weakened["change"] < 0).all()


def test_generated_edges_are_counted(inspection: Inspection, tiny_dataset: Any) -> None:
    trained = {tuple(pair) for pair in tiny_dataset.pairs("train").tolist()}
    graphs, table = inspection.run.graphs(), inspection.interactions
    assert table is not None
    for number, name in enumerate(("image", "text")):
        ends = (graphs[f"modality/{number}/{side}"].tolist() for side in ("users", "items"))
        found = set(zip(*ends, strict=True))
        row = table.row(by_predicate=pl.col("modality") == name, named=True)
        assert row["kept"] == len(found & trained)
        assert row["proposed"] == len(found - trained)
        assert row["dropped"] == row["interactions"] - row["kept"] == len(trained) - len(found & trained)


def dense(inspection: Inspection) -> npt.NDArray[np.float64]:
    """Return Â as a dense matrix, float64 ``[users + items, users + items]``."""
    model = inspection.model
    assert model is not None
    size = model.n_users + model.n_items
    matrix = np.zeros((size, size))
    for number in range(size):
        unit = np.zeros((size, 1), dtype=np.float32)
        unit[number] = 1
        import torch

        users, items = torch.from_numpy(unit).split([model.n_users, model.n_items])
        matrix[:, number] = torch.cat(model.graphs.operator(users, items)).numpy()[:, 0]
    return matrix


def test_walk_attention_is_what_the_matrix_holds(inspection: Inspection, tiny_dataset: Any) -> None:
    model, table = inspection.model, inspection.attention
    assert model is not None
    assert table is not None
    adjacency = tiny_dataset.matrix("train").toarray()
    users, items = adjacency.sum(axis=1), adjacency.sum(axis=0)
    block = dense(inspection)[: model.n_users, model.n_users :]
    strength = block * np.sqrt(np.outer(1 + users, 1 + items))
    similarity = np.where(adjacency > 0, (strength - 1) / model.config.attention.epsilon, 0.0)
    assert similarity.max() > 0.1
    for side, axis, degree in (("user", 1, users), ("item", 0, items)):
        own = table.filter(pl.col("side") == side)
        present = np.flatnonzero(degree)
        assert own["number"].to_list() == present.tolist()
        assert own["degree"].to_list() == degree[present].tolist()
        expected = similarity.sum(axis=axis)[present] / degree[present]
        np.testing.assert_allclose(own["attention"].to_numpy(), expected, atol=2e-5)


def test_shares_of_the_score_are_covariances() -> None:
    rng = np.random.default_rng(3)
    users, items = rng.normal(size=(7, 5)), rng.normal(size=(11, 5))
    parts = {"a": slice(0, 2), "b": slice(2, 4), "c": slice(4, 5)}
    shares = score_shares(users, items, parts)
    scores = users @ items.T
    total = sum(np.var(row) for row in scores)
    for name, columns in parts.items():
        part = users[:, columns] @ items[:, columns].T
        covariance = sum(np.cov(p, s, bias=True)[0, 1] for p, s in zip(part, scores, strict=True))
        assert shares[name] == pytest.approx(covariance / total)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert score_shares(users, items * 0, parts) == dict.fromkeys(parts, 0.0)


def unit(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def lists_of(inspection: Inspection, users: Any, items: Any) -> list[set[int]]:
    """Return the three best items of each user with a history that the user has not seen."""
    splits = [inspection.dataset.pairs(split).tolist() for split in ("train", "validation")]
    seen = {tuple(pair) for pairs in splits for pair in pairs}
    scores = users @ items.T
    lists = []
    for user in sorted({user for user, _ in inspection.dataset.pairs("train").tolist()}):
        free = [item for item in range(len(items)) if (user, item) not in seen]
        lists.append(set(sorted(free, key=lambda item, user=user: -scores[user, item])[:3]))
    return lists


def overlap(first: list[set[int]], second: list[set[int]]) -> float:
    kept = sum(len(one & other) for one, other in zip(first, second, strict=True))
    return kept / sum(len(one) for one in first)


def test_what_is_taken_away_is_what_the_lists_lose(
    inspection: Inspection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The data set has 18 items: lists of three tell more than lists of all.
    monkeypatch.setattr("kdiffe_dgl.inspection.views.LIST_LENGTH", 3)
    model, run = inspection.model, inspection.run
    assert model is not None
    assert model.modality_views is not None
    table = Inspection(run, inspection.dataset).parts
    assert table is not None
    told = dict(table.select("part", "overlap").iter_rows())
    users, items = (rows.astype(np.float64) for rows in run.representations())
    whole = lists_of(inspection, users, items)
    for name, columns in (("main view", slice(0, 8)), ("multimodal view", slice(8, 16)), ("item bias", [16])):
        bare = [np.delete(rows, columns, axis=1) for rows in (users, items)]
        assert told[name] == pytest.approx(overlap(whole, lists_of(inspection, *bare)))
    matrix, n_users = dense(inspection), model.n_users
    user, entity = (
        table.detach().double().numpy() for table in (model.user_embedding, model.entity_embedding)
    )
    own = entity[: model.n_items]
    # No triples: an item is encoded by itself.
    encoded = np.concatenate([user, model.config.knowledge.residual * own + unit(own)])
    main = encoded + matrix @ encoded
    changed = [
        np.concatenate([main[:n_users], users[:, 8:]], 1),
        np.concatenate([main[n_users:], items[:, 8:]], 1),
    ]
    assert told["knowledge graph"] == pytest.approx(overlap(whole, lists_of(inspection, *changed)))
    # A modality whose features are the same for all items, and whose graph joins nobody.
    views = model.modality_views
    weights = views.weights().detach().double().numpy()
    projected = [rows.detach().double().numpy() for rows in views.project(None).values()]
    for number, name in enumerate(views.modalities):
        features = [rows if at != number else rows.mean(0) + 0 * rows for at, rows in enumerate(projected)]
        start = np.concatenate([user, sum(w * rows for w, rows in zip(weights, features, strict=True))])
        first = matrix @ start
        fused = first + matrix @ np.concatenate([first[:n_users], own])
        for at, other in enumerate(views.modalities):
            graph = np.concatenate([user, own])  # self-loops alone
            if at != number:
                import torch

                pair = model.graphs.generated[other](*(torch.from_numpy(t).float() for t in (user, own)))
                graph = torch.cat(pair).numpy()
            fused = fused + views.adjacency_weight * weights[at] * graph
        view = fused + matrix @ fused + views.residual * unit(fused)
        sides = (view[:n_users], users), (view[n_users:], items)
        changed = [np.concatenate([rows[:, :8], part, rows[:, 16:]], 1) for part, rows in sides]
        assert told[name] == pytest.approx(overlap(whole, lists_of(inspection, *changed)))
    learned = table.filter(pl.col("kind") == "modality")
    np.testing.assert_allclose(learned["weight"].to_numpy(), weights, rtol=1e-6)
    assert table["share"].sum() == pytest.approx(1.0)
    assert all(value < 1 for value in told.values())


def test_profiles_are_parts_and_go_with_what_they_are_made_of(
    tmp_path: Path, tiny_dataset: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdiffe_dgl.inspection.views.LIST_LENGTH", 3)
    profile = ["model.profile={knowledge_weight: 0.7, modality_weight: 0.4, rank: 2}", "model.item_bias=true"]
    # Without layers over the knowledge graph, its facts are read by the profile alone.
    bare = ["model.knowledge.layers=0", "model.pairwise={weight: 0.5, encoder: {dim: 3}}"]
    train_run(tiny_dataset, tmp_path / "run", resolve({}, [*SMALL, *profile, *bare]), seed=1)
    found = Inspection.load(tmp_path / "run", tiny_dataset)
    table, model = found.parts, found.model
    assert table is not None
    assert model is not None
    columns = {
        "main view": slice(0, 8),
        "multimodal view": slice(8, 16),
        "item bias": slice(16, 17),
        "profile of facts": slice(17, 19),
        "profile in image": slice(19, 21),
        "profile in text": slice(21, 23),
        "pairwise view": slice(23, 26),
    }
    of_views = table.filter(pl.col("kind") == "view")
    assert of_views["part"].to_list() == list(columns)
    assert of_views["share"].sum() == pytest.approx(1.0)
    users, items = (rows.astype(np.float64) for rows in found.run.representations())
    assert users.shape[1] == items.shape[1] == 26
    whole, scores = lists_of(found, users, items), users @ items.T
    variance = sum(np.var(row) for row in scores)
    shares, told = (dict(table.select("part", column).iter_rows()) for column in ("share", "overlap"))
    for name, own in columns.items():
        part = users[:, own] @ items[:, own].T
        covariance = sum(np.cov(p, s, bias=True)[0, 1] for p, s in zip(part, scores, strict=True))
        assert shares[name] == pytest.approx(covariance / variance, abs=1e-5)
        without = (np.delete(side, own, axis=1) for side in (users, items))
        assert told[name] == pytest.approx(overlap(whole, lists_of(found, *without)))
    # No view reads the graph: without it, the profile of its facts is lost, and nothing else.
    assert told["knowledge graph"] == told["profile of facts"]
    lost = dict(_ablations(model, (users, items), columns, model.profile_views()))
    np.testing.assert_allclose(lost["knowledge", "knowledge graph"][1][:, 17:], items[:, 19:], atol=1e-5)
    np.testing.assert_allclose(
        lost["modality", "image"][1][:, 17:], items[:, [17, 18, *range(21, 26)]], atol=1e-5
    )
    np.testing.assert_allclose(
        lost["modality", "text"][0][:, 17:], users[:, [*range(17, 21), *range(23, 26)]], atol=1e-5
    )


def test_users_that_are_compared_are_bounded(inspection: Inspection) -> None:
    few = Inspection(inspection.run, inspection.dataset, InspectionOptions(compared_users=5))
    assert len(few.compared) == 5
    assert len(inspection.compared) == 23
    assert few.parts is not None


def test_diffusion_by_epoch(inspection: Inspection) -> None:
    told = {row["name"]: row["value"] for row in inspection.diffusion.to_dicts()}
    assert told == inspection.run.history()[0]["side"]
    assert {"diffusion/knowledge", "kept/knowledge", "proposed/knowledge"} <= set(told)


def test_losses_of_the_pairwise_view_are_no_denoisers(tmp_path: Path, tiny_dataset: Any) -> None:
    settings = [*SMALL, "model.pairwise={weight: 0.5, encoder: {dim: 3}}"]
    train_run(tiny_dataset, tmp_path / "run", resolve({}, settings), seed=1)
    found = Inspection.load(tmp_path / "run", tiny_dataset)
    assert "pairs/bpr" in found.run.history()[0]["side"]
    assert not [name for name in found.diffusion["name"] if name.startswith("pairs/")]


def test_run_of_another_data_set_is_refused(
    inspection: Inspection, tiny_dataset: Any, tmp_path: Path
) -> None:
    from kdiffe_dgl.errors import InputError

    other = tiny_dataset.replace(kg=None)
    with pytest.raises(InputError, match="expected the data set that it was trained on"):
        Inspection.load(inspection.run.path, other)
    with pytest.raises(InputError, match="expected a run folder"):
        Inspection.load(tmp_path / "nowhere", tiny_dataset)
