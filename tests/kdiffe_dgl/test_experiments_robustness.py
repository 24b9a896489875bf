"""Noise: what it costs and what regeneration throws out, against the runs themselves and scikit-learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from kdiffe_dgl.cli import main
from kdiffe_dgl.data import RecDataset
from kdiffe_dgl.data.planted_files import save_planted
from kdiffe_dgl.data.synthetic import PlantedConfig, planted
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.changes import NOISE, RandomInteractions, RandomTriples
from kdiffe_dgl.experiments.lock import only_one
from kdiffe_dgl.experiments.robustness import area_under_curve, robustness
from kdiffe_dgl.experiments.variants import Setup
from kdiffe_dgl.models.kdiffe import KDiffE
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.restore import restore_model

SMALL = [
    word
    for setting in (
        "model.dim=4",
        "training.epochs=1",
        "model.knowledge.diffusion.hidden=4",
        "model.modality.diffusion.hidden=4",
    )
    for word in ("--set", setting)
]


def test_area_under_curve_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    good, score = rng.random(200) < 0.3, rng.integers(0, 10, 200) / 10
    assert area_under_curve(good, score) == pytest.approx(roc_auc_score(good, score), abs=1e-12)
    assert np.isnan(area_under_curve(np.ones(3, dtype=bool), np.arange(3.0)))


def recall_at_20(folder: str, dataset: RecDataset, seen: RecDataset) -> float:
    """Recall@20 of the test split without what users have met in the training of a data set, user by user."""
    user, item = RunFolder(folder).representations()
    scores = user @ item.T
    scores[tuple(seen.pairs("train").T)] = -np.inf
    relevant = dataset.matrix("test").toarray() > 0
    found = [
        relevant[one, np.argsort(-scores[one], kind="stable")[:20]].sum() / relevant[one].sum()
        for one in np.flatnonzero(relevant.any(axis=1))
    ]
    return float(np.mean(found))


def test_the_command_tells_what_is_thrown_out_and_ranks_the_same_items(tmp_path: Path) -> None:
    made = planted(PlantedConfig(n_users=60, n_items=60, n_values=6, interactions_per_user=8))
    data, out = tmp_path / "planted", tmp_path / "out"
    save_planted(made, data)
    arguments = ["robustness", "--data", str(data), "--out", str(out), "--seeds", "1", "--quiet"]
    arguments += [
        "--triples",
        "0.5",
        "--interactions",
        "2",
        *SMALL,
        "--set",
        "model.knowledge.scoring=context",
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    facts = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert facts["levels"] == {
        "triples": {"triples +50%": 0.5},
        "interactions": {"interactions +200%": 2},
    }
    entry = facts["entries"]["interactions +200%"]
    ranked = [
        recall_at_20(entry["runs"][0]["folder"], made.dataset, seen)
        for seen in (made.dataset, RandomInteractions(2)(made.dataset))
    ]
    assert ranked[0] < ranked[1]
    assert entry["summary"]["recall@20"]["mean"] == pytest.approx(ranked[0])
    left_out = facts["added_interactions_left_out"]["interactions +200%"]
    assert left_out["recall@20"]["mean"] == pytest.approx(ranked[1])
    assert set(facts["added_triples"]) == {"triples +50%"}
    noisy = RandomTriples(0.5)(made.dataset)
    entry = facts["entries"]["triples +50%"]["runs"][0]
    model = restore_model(RunFolder(entry["folder"]), noisy)
    assert isinstance(model, KDiffE)
    assert model.regenerated is not None
    assert model.knowledge_diffusion is not None
    assert noisy.kg is not None
    added = (noisy.kg.triples["source"] == NOISE).to_numpy()[model.edges.triple.numpy()]
    gone = ~model.regenerated.kept.numpy()
    diffusion = model.knowledge_diffusion
    scores = diffusion.edge_scores(diffusion.context(model.user_embedding.detach()), torch.Generator())
    found = facts["added_triples"]["triples +50%"][0]
    # Over edges of both directions as over triples: each triple has two.
    assert found["gone"] == pytest.approx(recall_score(added, gone))
    assert found["precision"] == pytest.approx(precision_score(added, gone))
    assert found["stay"] == pytest.approx(recall_score(~added, ~gone))
    assert found["auc"] == pytest.approx(roc_auc_score(~added, scores.numpy()), abs=1e-9)
    assert set(facts["planted"]) == {"no noise", "triples +50%", "interactions +200%"}
    of = {
        tuple(row[:3]): row[3]
        for row in made.triples.select("head_id", "relation", "tail_id", "relevant").rows()
    }
    ids, names = noisy.kg.entities["id"].to_list(), noisy.kg.relations["name"].to_list()
    rows = noisy.kg.triples.select("head", "relation", "tail").rows()
    causes = np.array([of.get((ids[head], names[kind], ids[tail]), False) for head, kind, tail in rows])
    causes = causes[model.edges.triple.numpy()]
    assert 0 < causes.sum() < (~added).sum()
    found = facts["planted"]["triples +50%"][0]
    assert found["gone"] == pytest.approx(recall_score(~causes, gone))
    assert found["stay"] == pytest.approx(recall_score(causes, ~gone))
    assert found["auc"] == pytest.approx(roc_auc_score(causes, scores.numpy()), abs=1e-9)
    figures = {path.name for path in (out / "figures").iterdir()}
    assert {"noise.png", "regeneration.png"} <= figures
    tables = (out / "tables.md").read_text(encoding="utf-8")
    assert "what noise costs" in tables
    assert "| interactions +200%, these left out |" in tables


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--triples", "0"], "a level is 0; expected more than 0 and at most 10"),
        (["--triples", "half"], "'half' is not a list of shares such as 0.1,0.5,1"),
        (["--triples", "nan"], "a level is nan"),
        (["--triples", "10"], "its graph has room for"),
        (["--interactions", "10"], "has room for"),
    ],
)
def test_bad_levels_are_told(tiny_dataset: RecDataset, tmp_path: Path, options: list[str], told: str) -> None:
    tiny_dataset.save(tmp_path / "data")
    out = tmp_path / "out"
    arguments = ["robustness", "--data", str(tmp_path / "data"), "--out", str(out), *options]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert told in result.output
    assert not out.exists()


def test_close_levels_are_not_mixed_up_and_a_model_without_regeneration_has_none(
    tiny_dataset: RecDataset, tmp_path: Path
) -> None:
    tiny_dataset.save(tmp_path / "data")
    out = tmp_path / "out"
    base = resolve({}, [*SMALL[1::2], "model.knowledge.layers=0"])
    setup = Setup(tmp_path / "data", base, out, seeds=(0,))
    with only_one(out), pytest.raises(InputError, match="another process is at work in it"):
        robustness(setup, triples=(0.5,))
    found = robustness(setup, triples=(0.301, 0.3))
    assert found.levels == {"triples": {"triples +30%": 0.3, "triples +30.1%": 0.301}}
    assert not found.failures
    assert found.edges == {}
    assert found.planted == {}


def test_records_are_refused_before_data_are_read(tmp_path: Path) -> None:
    setup = Setup(tmp_path / "nowhere", resolve({}, []), tmp_path / "out", records=tmp_path / "records")
    with pytest.raises(InputError, match="graphs of its runs, which records lack"):
        robustness(setup)
    assert not list(tmp_path.iterdir())
