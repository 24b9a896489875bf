"""The benchmark of the peers: figures beside the known ones, runs used again, mistakes told at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import peers
import pytest

from kdiffe_dgl.data.synthetic import PlantedConfig, planted
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.models.registry import model_names

BENCHMARKS = Path(peers.__file__).parent


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that runs the benchmark on small data and returns its figures."""
    planted(PlantedConfig(n_users=60, n_items=50)).dataset.save(tmp_path / "data")

    def run(*arguments: str) -> dict:
        given = ["--data", "data", "--runs", "runs", "--json", "figures.json", *arguments]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["peers.py", *given])
        peers.main()
        return json.loads((tmp_path / "figures.json").read_text())["peers"]

    return run


def test_figures_stand_beside_the_known_ones(run, tmp_path, capsys):
    (tmp_path / "known.yaml").write_text(
        "popularity: {known: {recall@20: 0.01, ndcg@20: 0.99}}\nease: {set: [model.regularisation=7]}\n"
    )
    found = run("--peers", "known.yaml", "--known", "ease=0.999,0.001", "--seeds", "2")
    assert list(found) == ["popularity", "ease"]
    assert [found["popularity"][metric]["below"] for metric in peers.METRICS] == [False, True]
    assert [found["ease"][metric]["below"] for metric in peers.METRICS] == [True, False]
    assert found["ease"]["settings"] == ["model.regularisation=7"]
    assert found["ease"]["seeds"] == 2
    metrics = json.loads((tmp_path / "runs" / "planted-ease-1" / "metrics.json").read_text())
    assert metrics["mask"] == ["train"]
    for split in ("validation", "test"):
        assert found["ease"]["ndcg@20"][split] == pytest.approx(metrics[split]["ndcg@20"])
    printed = capsys.readouterr()
    assert "0.9990" in printed.out
    assert printed.err.count("training runs/") == 4
    again = run("--peers", "known.yaml", "--seeds", "2", "--model", "popularity")
    assert again == {"popularity": found["popularity"]}
    assert "training" not in capsys.readouterr().err
    with pytest.raises(SystemExit, match="holds a run of other settings or seed"):
        run("--model", "ease")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ease: {sett: []}", "known.yaml, ease: unknown key 'sett'; did you mean 'set'?"),
        ("ease: {known: {recall@10: 0.1}}", "expected"),
        ("ease: {set: [model.regularization=3]}", "did you mean 'model.regularisation'?"),
        ("eas: {}", "unknown model 'eas'; did you mean 'ease'?"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(run, tmp_path, text, message):
    (tmp_path / "known.yaml").write_text(f"popularity: {{}}\n{text}\n")
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        run("--peers", "known.yaml")
    assert not (tmp_path / "runs").exists()


def test_known_figures_of_no_peer_are_refused(run, capsys):
    for wrong in (["--known", "ease=1"], ["--model", "ease", "--known", "esae=0.1,0.1"], []):
        with pytest.raises(SystemExit):
            run(*wrong)
    told = capsys.readouterr().err
    assert "'ease=1' is not of the form NAME=RECALL,NDCG" in told
    assert "--known esae: no such peer is trained; expected one of ease" in told
    assert "no peer to train" in told


@pytest.mark.parametrize("file", sorted((BENCHMARKS / "known").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_files_of_known_figures_are_of_models_that_are_there(file):
    for name, peer in peers.read_peers(file).items():
        assert name in model_names()
        config = peers.resolve({}, peer.set, str(file), name)
        assert config.evaluation.test_mask == ("train",)
