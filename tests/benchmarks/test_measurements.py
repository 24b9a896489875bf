"""What the benchmarks measure is done in full, and their phases add up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest
from attention import attention_matrix
from common import Figures
from evaluation import evaluation_time
from random_data import Sizes
from scaling import DEFAULTS, diffusion_epoch, sizes_for, summary
from toolkit_epoch import summed_phases, toolkit_epochs
from topk import rank, recommend

TINY = asdict(
    Sizes(users=40, items=30, interactions=400, entities=20, triples=150, relations=2, modalities=2, width=5)
)
SMALL = [
    "model.knowledge.diffusion.hidden=8",
    "model.modality.diffusion.hidden=8",
    "model.attention.walk_length=5",
    "model.dim=8",
]


@pytest.mark.parametrize("model", ["kdiffe", "lightgcn"])
def test_phases_of_an_epoch_add_up(model: str) -> None:
    overrides = SMALL if model == "kdiffe" else ["model.name=lightgcn"]
    found = toolkit_epochs(None, TINY, "default", overrides, epochs=2, seed=0)
    assert found["model"] == model
    assert len(found["epochs"]) == 2
    for record in found["epochs"]:
        phases = dict(record["phases"])
        whole = phases.pop("whole epoch")
        assert 0.5 * whole < sum(phases.values()) <= whole
        assert 0 <= record["validation"]["recall@20"] <= 1
        if model == "kdiffe":
            expected = {f"diffusion training, {name}" for name in ("KG", "modality-1", "modality-2")}
            assert expected <= set(phases)
            kinds = summed_phases(phases)
            assert sum(kinds.values()) == pytest.approx(sum(phases.values()))
            assert min(kinds[kind] for kind in ("diffusion training", "regeneration")) > 0


@pytest.mark.parametrize("what", sorted(DEFAULTS))
def test_scaling_measures_the_size_it_was_asked_for(what: str) -> None:
    size = {"entities": 300, "triples": 900, "users": 50, "modalities": 3}[what]
    sizes = asdict(sizes_for(what, size))
    if what in ("triples", "users", "modalities"):  # the other sizes only cost time here
        sizes |= {"users": 50, "items": 40, "interactions": 200}
        sizes |= {"entities": 60} if what == "triples" else {}
    measured = diffusion_epoch(sizes, "default", SMALL, epochs=1, seed=0)
    found = summary(measured)
    assert found["epoch, s"] >= found["training, s"] + found["regeneration, s"] > 0
    assert found["training, s"] > 0
    if what == "entities":
        assert measured["entities"] == 300
        assert 0.9 * 1500 < measured["triples"] <= 1500
    graphs = {phase for phase in measured["phases"][0] if phase.startswith("diffusion training")}
    assert len(graphs) == {"entities": 1, "triples": 1, "users": 1, "modalities": 3}[what]


def test_growing_entities_keep_their_triples() -> None:
    small, large = sizes_for("entities", 1000), sizes_for("entities", 100_000)
    for sizes, size in ((small, 1000), (large, 100_000)):
        assert sizes.items + sizes.entities == size
        assert sizes.triples == 5 * size


@pytest.mark.parametrize("measure", [recommend, rank])
def test_every_user_gets_a_whole_list(measure: Callable[..., Figures]) -> None:
    found = measure(n_users=70, n_items=50, dim=4, k=7, asked=32, seed=0)
    assert found["rows"] == 70 * 7
    assert found["seconds"] > 0


def test_attention_and_evaluation() -> None:
    found = attention_matrix(None, (30, 20, 100), 5, 2, 0.2, None, 1, 0)
    assert found["edges"] == 100
    assert 0 < found["mean_similarity"] <= 1
    timed = evaluation_time(None, (30, 40), 4, 25, 1, 0)
    assert timed["users"] == 25
    assert timed["seconds"] > 0
