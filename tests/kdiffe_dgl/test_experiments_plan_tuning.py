"""Comparisons of tuned entries: the search of the command, its best settings, never the test split."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import yaml
from click.testing import CliRunner
from refusals import refused

from kdiffe_dgl.cli import main
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments import compare
from kdiffe_dgl.experiments.grid import NoWatcher
from kdiffe_dgl.experiments.plan import Budget, read_plan
from kdiffe_dgl.experiments.plan_tuning import search_settings
from kdiffe_dgl.experiments.tuning import TuneOptions, tune

PLAN = {
    "datasets": {"Tiny": "data"},
    "entries": {
        "BPR-MF": {"model": "bprmf", "set": ["training.epochs=2", "model.dim=4"]},
        "EASE": {"model": "ease"},
        "As given": {"model": "ease", "set": ["model.regularisation=7"], "tune": False},
        "Popular": {"model": "popularity"},
    },
    "set": ["training.min_steps=1", "training.monitor=ndcg@3"],
    "seeds": 2,
    "metrics": ["recall@3"],
    "output": "out",
    "tune": {"trials": 3, "seed": 7, "pruner": "none"},
}


class Labels(NoWatcher):
    """Remembers what was trained."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def job_begins(self, job):
        self.begun.append(job.label)


@pytest.fixture(scope="module")
def folder(tiny_dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tuned")
    tiny_dataset.save(made / "data")
    (made / "plan.yaml").write_text(yaml.safe_dump(PLAN, sort_keys=False), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def first(folder) -> Labels:
    watcher = Labels()
    compare(folder / "plan.yaml", watcher=watcher).write()
    return watcher


def test_each_entry_has_its_trials_then_its_seeds(first):
    kinds = Counter(label.rpartition(",")[0] + " " + label.split()[-2] for label in first.begun)
    assert kinds == {
        "BPR-MF on Tiny trial": 3,
        "EASE on Tiny trial": 3,
        "BPR-MF on Tiny seed": 2,
        "EASE on Tiny seed": 2,
        "As given on Tiny seed": 2,
        "Popular on Tiny seed": 2,
    }


def test_settings_are_those_that_the_search_alone_finds(first, folder, tiny_dataset, tmp_path):
    told = json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))
    assert told["plan"]["tune"] == {"trials": 3, "seed": 7, "pruner": "none"}
    entries = told["datasets"]["Tiny"]["entries"]
    for name, model in (("BPR-MF", "bprmf"), ("EASE", "ease")):
        overrides = [*PLAN["set"], *PLAN["entries"][name].get("set", [])]
        alone = tune(
            folder / "data", tmp_path / model, model=model, overrides=overrides,
            options=TuneOptions(3, None, 7, "none"),
        )  # fmt: skip
        expected = alone.best_settings().to_dict()
        assert entries[name]["settings"]["model"] == expected["model"]
        assert entries[name]["settings"]["training"] == expected["training"]
        assert entries[name]["settings"]["evaluation"]["cutoffs"] == [3, 5, 10, 20, 50]
        search = entries[name]["search"]
        assert search["trials"] == 3
        assert search["value"] == alone.best.value
        assert (Path(search["folder"]) / "best.yaml").is_file()
        # What is given is not searched.
        assert entries[name]["settings"]["training"]["min_steps"] == 1
    assert entries["As given"]["search"] is entries["Popular"]["search"] is None
    assert entries["As given"]["settings"]["model"]["regularisation"] == 7.0
    tables = (folder / "out" / "tables.md").read_text(encoding="utf-8")
    assert "best on validation of so many trials: BPR-MF (3), EASE (3)." in tables


def test_the_same_call_trains_nothing_and_a_greater_budget_only_what_is_new(first, folder):
    watcher = Labels()
    compare(folder / "plan.yaml", watcher=watcher)
    assert not watcher.begun
    plan = replace(read_plan(folder / "plan.yaml"), tune=Budget(trials=4, seed=7, pruner="none"))
    search_settings(plan, watcher=watcher)
    assert watcher.begun == ["BPR-MF on Tiny, trial 3", "EASE on Tiny, trial 3"]


def test_another_test_split_finds_the_same_settings(first, folder, tiny_dataset, tmp_path):
    """Settings that read the test split would follow it."""
    told = json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))
    rows = tiny_dataset.interactions
    own = pl.col("split") == "test"
    moved = rows.with_columns(
        pl.when(own).then((pl.col("item") + 5) % tiny_dataset.n_items).otherwise(pl.col("item")).alias("item")
    ).unique(["user", "item"], keep="first", maintain_order=True)
    tiny_dataset.replace(interactions=moved.cast(dict(rows.schema))).save(tmp_path / "data")
    plan = replace(read_plan(folder / "plan.yaml"), datasets={"Tiny": tmp_path / "data"}, output=tmp_path)
    for (_, entry), search in search_settings(plan).items():
        expected = told["datasets"]["Tiny"]["entries"][entry]
        assert search.settings.to_dict()["model"] == expected["settings"]["model"]
        assert search.value == expected["search"]["value"]


def test_entries_share_a_search_if_they_search_the_same(folder, tmp_path):
    """How often a run is saved parts nobody; what is given, and so not searched, does."""
    entries = {
        "One": {"model": "ease"},
        "Saved more often": {"model": "ease", "set": ["training.checkpoint_seconds=1"]},
        "Regularised": {"model": "bprmf", "set": ["training.epochs=1", "model.regularisation=0.1"]},
        "The same, searched": {"model": "bprmf", "set": ["training.epochs=1"], "config": "own.yaml"},
    }
    (tmp_path / "own.yaml").write_text("{model: {regularisation: 0.1}}")
    plan = {
        **PLAN,
        "datasets": {"Tiny": str(folder / "data")},
        "entries": entries,
        "output": "out",
        "tune": 1,
    }
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan), encoding="utf-8")
    watcher = Labels()
    found = search_settings(read_plan(tmp_path / "plan.yaml"), watcher=watcher)
    assert len(watcher.begun) == 3
    folders = {entry: search.folder for (_, entry), search in found.items()}
    assert folders["One"] == folders["Saved more often"]
    assert len(set(folders.values())) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tune": 0}, "plan: tune.trials is 0; expected a number of at least 1"),
        ({"tune": "some"}, "plan: tune is 'some'; expected a number of trials, or settings such as"),
        ({"tune": True}, "plan: tune is true; expected a number of trials"),
        ({"tune": 1.5}, "plan: tune is 1.5; expected a number of trials"),
        ({"tune": []}, "plan: tune is []; expected a number of trials"),
        ({"tune": {"trial": 3}}, "plan: unknown key 'tune.trial'; did you mean 'tune.trials'?"),
        ({"tune": {"pruner": "best"}}, "plan: tune.pruner is 'best'; expected"),
        ({"tune": {"timeout": 9}}, "plan: unknown key 'tune.timeout'"),
        ({"entries": {"X": {"model": "ease", "tune": 5}}}, "plan, entry X: tune is 5; expected"),
    ],
)
def test_bad_budgets_are_told_before_anything_is_trained(change, message, folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(InputError) as caught:
        compare({**PLAN, "output": "never", **change})
    assert message in str(caught.value)
    assert not (folder / "never").exists()


def test_the_command_refuses_a_budget_in_one_sentence(tmp_path):
    (tmp_path / "plan.yaml").write_text("datasets: {a: b}\nentries: {x: {model: ease}}\ntune: -3\n")
    told = refused(CliRunner().invoke(main, ["compare", str(tmp_path / "plan.yaml")]))
    assert "plan.yaml: tune.trials is -3; expected" in told


def test_a_search_without_an_end_leaves_the_settings(folder, tmp_path):
    """Every trial diverges, so that the runs tell why."""
    values = {
        **PLAN,
        "datasets": {"Tiny": str(folder / "data")},
        "entries": {"BPR-MF": {"model": "bprmf", "set": ["training.learning_rate=1e30", "model.dim=4"]}},
        "tune": 1,
        "output": str(tmp_path / "out"),
    }
    found = compare(values)
    assert len(found.failures) == 2
    assert all("finite" in told for told in found.failures)
    assert found.datasets[0].entries[0].search is None
