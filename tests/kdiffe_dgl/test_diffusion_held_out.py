"""What the denoiser makes of edges that it was not shown, against dense rows and on planted truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from kdiffe_dgl.data import RecDataset
from kdiffe_dgl.data.synthetic import PlantedConfig, planted
from kdiffe_dgl.diffusion.denoiser import time_embedding
from kdiffe_dgl.diffusion.held_out import LEAST, PARTS, held_out_evidence
from kdiffe_dgl.diffusion.rows import SparseRows
from kdiffe_dgl.diffusion.trainer import DiffusionConfig, GraphDiffusion
from kdiffe_dgl.experiments.changes import NOISE, RandomTriples
from kdiffe_dgl.graph.hetero import build_heterograph, knowledge_edges
from kdiffe_dgl.models.kdiffe_config import KnowledgeConfig, Scoring
from kdiffe_dgl.models.knowledge_diffusion import KnowledgeDiffusion

SIZE, CONTEXT = 17, 4


def make_diffusion(steps: int = 3) -> tuple[GraphDiffusion, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a diffusion with some context, and edges: some in both directions, one several times."""
    rng = np.random.default_rng(0)
    first, second = np.nonzero(np.triu(rng.random((SIZE, SIZE)) < 0.3, 1))
    flip = rng.random(len(first)) < 0.5
    head = torch.from_numpy(np.where(flip, second, first))
    tail = torch.from_numpy(np.where(flip, first, second))
    head, tail = torch.cat([head, tail[:3], head[:1]]), torch.cat([tail, head[:3], tail[:1]])
    rows = SparseRows.from_pairs(torch.cat([head, tail]), torch.cat([tail, head]), SIZE, SIZE)
    config = DiffusionConfig(steps=steps, hidden=8, noise_scale=1.0, noise_max=0.5)
    generator = torch.Generator().manual_seed(1)
    diffusion = GraphDiffusion(rows, config, CONTEXT, generator, torch.device("cpu"))
    with torch.no_grad():
        diffusion.denoiser.output_bias.uniform_(0.1, 0.6, generator=generator)
    return diffusion, torch.randn(SIZE, CONTEXT, generator=generator), head, tail


def regenerated(diffusion: GraphDiffusion, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
    """Run the reverse process on whole rows, as the paper has it."""
    net, schedule = diffusion.denoiser, diffusion.process.schedule
    for t in range(schedule.steps - 1, -1, -1):
        time = time_embedding(torch.full((len(x),), t), net.time_dim) @ net.time + net.time_bias
        hidden = x @ net.input + time @ net.time_input + net.input_bias + context @ net.context_input
        predicted = torch.tanh(hidden) @ net.output.t() + net.output_bias
        x = float(schedule.posterior_x0[t]) * predicted + float(schedule.posterior_xt[t]) * x
    return x


@pytest.mark.parametrize("block", [1, 5, 8192])
@pytest.mark.parametrize("steps", [1, 3])
def test_evidence_equals_dense_rows_that_lack_the_edges(steps: int, block: int) -> None:
    diffusion, context, head, tail = make_diffusion(steps)
    found = held_out_evidence(
        diffusion, head, tail, context, torch.Generator().manual_seed(5), block=block
    ).exp()

    pairs = sorted({(min(edge), max(edge)) for edge in zip(head.tolist(), tail.tolist(), strict=True)})
    part = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(5)) % PARTS
    own, usual, rows = {}, torch.zeros(SIZE), 0
    with torch.no_grad():
        for number in range(PARTS):
            shown = torch.zeros(SIZE, SIZE)
            hidden = [pair for pair, of in zip(pairs, part.tolist(), strict=True) if of == number]
            for pair, of in zip(pairs, part.tolist(), strict=True):
                if of != number:
                    shown[pair[0], pair[1]] = shown[pair[1], pair[0]] = 1
            whole = regenerated(diffusion, shown, context)
            own |= {(a, b): float(whole[a, b]) for pair in hidden for a, b in (pair, pair[::-1])}
            judged = sorted({end for pair in hidden for end in pair})
            usual += whole[judged].sum(dim=0)
            rows += len(judged)
    for edge, (h, t) in enumerate(zip(head.tolist(), tail.tolist(), strict=True)):
        expected = torch.tensor([own[h, t], own[t, h], usual[t] / rows, usual[h] / rows])
        torch.testing.assert_close(found[edge], expected.clamp(min=LEAST), rtol=1e-4, atol=1e-5)
    assert int((found[:, :2] > 2 * LEAST).sum()) > len(head)  # most values are none that were cut off


def test_a_graph_without_edges_has_no_evidence() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    diffusion = GraphDiffusion(
        SparseRows.from_pairs(none, none, SIZE, SIZE),
        DiffusionConfig(hidden=8),
        CONTEXT,
        torch.Generator().manual_seed(0),
        torch.device("cpu"),
    )
    found = held_out_evidence(
        diffusion, none, none, torch.zeros(SIZE, CONTEXT), torch.Generator().manual_seed(0)
    )
    assert found.shape == (0, 4)


def trained(
    dataset: RecDataset, scoring: Scoring, epochs: int
) -> tuple[KnowledgeDiffusion, torch.Tensor, torch.Generator]:
    """Return a diffusion that was trained for some epochs, its context, and the generator to go on with."""
    edges = knowledge_edges(build_heterograph(dataset), dataset)
    # Embeddings such as a trained recommender has: who likes the same lies near.
    left, values, _ = np.linalg.svd(dataset.matrix("train").toarray(), full_matrices=False)
    users = torch.from_numpy((left * values)[:, :64].astype(np.float32))
    config = KnowledgeConfig(
        scoring=scoring,
        passing=0.25,
        diffusion=DiffusionConfig(weighting="rows", dropout=0.5, guidance=0.0, min_steps=8),
    )
    diffusion = KnowledgeDiffusion(
        edges, dataset.matrix("train"), edges.n_entities, config, 64,
        torch.Generator().manual_seed(1), torch.device("cpu"),
    )  # fmt: skip
    context, generator = diffusion.context(users), torch.Generator().manual_seed(2)
    for _ in range(epochs):
        assert diffusion.train_guided(context, torch.zeros(edges.n_entities, 64), generator) > 0
    return diffusion, context, generator


@pytest.fixture(scope="module")
def judged() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, KnowledgeDiffusion]:
    """Return what is relevant, scores while edges are hidden and while they are shown, and what is kept."""
    made = planted()
    scores = {}
    for scoring in ("reconstruction", "held_out"):
        diffusion, context, generator = trained(made.dataset, scoring, 30)
        scores[scoring] = diffusion.edge_scores(context, generator).numpy()
    edges = diffusion.edges
    relation = np.array(edges.relation_names)[edges.relation.numpy()]
    relevant = np.isin([name.split("^")[0] for name in relation], made.config.relevant)
    kept = diffusion.regenerate(context, generator).kept.numpy()
    return relevant, scores["held_out"], scores["reconstruction"], kept, diffusion


def test_hidden_edges_tell_relevant_relations_from_noise_where_shown_ones_do_not(judged: tuple) -> None:
    relevant, hidden, shown, kept, _ = judged
    assert roc_auc_score(relevant, hidden) > 0.9
    assert roc_auc_score(relevant, shown) < roc_auc_score(relevant, hidden) - 0.1
    assert kept[relevant].mean() > 0.8
    assert kept[~relevant].mean() < 0.3


def test_an_edge_and_its_inverse_stay_or_go_together(judged: tuple) -> None:
    _, hidden, _, kept, diffusion = judged
    for triple in range(0, int(diffusion.edges.triple.max()), 50):
        own = (diffusion.edges.triple == triple).numpy()
        assert len(set(hidden[own])) == len(set(kept[own])) == 1


def test_random_edges_in_their_place_are_as_many_in_each_row() -> None:
    dataset = planted().dataset
    edges = knowledge_edges(build_heterograph(dataset), dataset)
    kept = {}
    for selection in ("scored", "random"):
        config = KnowledgeConfig(scoring="held_out", selection=selection)
        one = KnowledgeDiffusion(
            edges, dataset.matrix("train"), edges.n_entities, config, 8,
            torch.Generator().manual_seed(1), torch.device("cpu"),
        )  # fmt: skip
        context = torch.ones(edges.n_entities, 8)
        assert one.train_guided(context, context, torch.Generator().manual_seed(2)) > 0
        kept[selection] = one.regenerate(context, torch.Generator().manual_seed(3)).kept
    assert not torch.equal(kept["scored"], kept["random"])
    first = torch.minimum(edges.head, edges.tail)
    counts = [torch.bincount(first[each], minlength=edges.n_entities) for each in kept.values()]
    assert torch.equal(*counts)


@pytest.mark.parametrize(
    ("rows", "batch_size", "min_steps", "max_steps", "steps"),
    [(10, 2048, 1, 32, 1), (10, 2048, 4, 32, 4), (10, 2, 4, 32, 5), (10, 1, 1, 3, 3), (2, 8, 4, 9, 2)],
)
def test_a_pass_has_steps_between_its_bounds(
    rows: int, batch_size: int, min_steps: int, max_steps: int, steps: int
) -> None:
    nodes = torch.arange(rows)
    diffusion = GraphDiffusion(
        SparseRows.from_pairs(nodes, nodes, rows, rows),
        DiffusionConfig(hidden=2, batch_size=batch_size, min_steps=min_steps, max_steps=max_steps),
        CONTEXT,
        torch.Generator().manual_seed(0),
        torch.device("cpu"),
    )
    diffusion.train_epoch(torch.zeros(rows, CONTEXT), None, torch.Generator().manual_seed(0))
    # W and V are stepped one after the other; the bias of V goes with V.
    assert diffusion.optimiser.state[diffusion.denoiser.output_bias]["step"] == steps


def test_more_least_steps_than_most_steps_are_refused() -> None:
    with pytest.raises(ValidationError, match="min_steps of at most max_steps, 3"):
        DiffusionConfig(min_steps=4, max_steps=3)


@pytest.mark.parametrize("data", [PlantedConfig(), PlantedConfig(n_values=150, likes=20)])
def test_added_random_triples_pass_like_decoys(data: PlantedConfig) -> None:
    """Also where entities have few items each, so that much would be known of a hidden edge from any leak."""
    made = planted(data).dataset
    dataset = RandomTriples(0.3)(made)
    assert dataset.kg is not None
    diffusion, context, generator = trained(dataset, "held_out", 30)
    # Of several ways to deal out the edges, since one draw of a few hundred triples says little.
    passed = []
    added = (dataset.kg.triples["source"] == NOISE).to_numpy()[diffusion.edges.triple.numpy()]
    for _ in range(4):
        passed.append(diffusion.regenerate(context, generator).kept.numpy()[added].mean())
    assert np.mean(passed) < 0.25 + 0.08
