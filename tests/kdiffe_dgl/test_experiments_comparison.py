"""Comparisons: plans with mistakes, figures by hand, what is used again, and the command."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from refusals import refused
from scipy import stats

from kdiffe_dgl.api import Run
from kdiffe_dgl.cli import main
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments import compare, read_plan
from kdiffe_dgl.experiments.figures import dataset_figures
from kdiffe_dgl.experiments.grid import NoWatcher
from kdiffe_dgl.experiments.output import file_names
from kdiffe_dgl.experiments.plan import EXAMPLE, entry_config
from kdiffe_dgl.experiments.results import measure_run

PLAN = {
    "datasets": {"Tiny & 100%": "data"},
    "entries": {
        "EASE": {"model": "ease"},
        "BPR_MF": {"model": "bprmf", "set": ["training.epochs=2", "model.dim=4"]},
        "Popular": {"model": "popularity"},
    },
    "set": ["training.min_steps=1"],
    "seeds": 2,
    "metrics": ["recall@3", "ndcg@5"],
    "cutoffs": [5],
    "output": "out",
}


class States(NoWatcher):
    """Remembers how runs ended."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}

    def job_ends(self, result):
        self.states[result.job.label] = result.state


@pytest.fixture(scope="module")
def folder(tiny_dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("comparison")
    tiny_dataset.save(made / "data")
    (made / "plan.yaml").write_text(yaml.safe_dump(PLAN, sort_keys=False), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def command(folder) -> Result:
    return CliRunner().invoke(main, ["compare", str(folder / "plan.yaml"), "--quiet"])


@pytest.fixture(scope="module")
def found(folder, command):
    """Return the same, from what the command has trained."""
    watcher = States()
    made = compare(folder / "plan.yaml", watcher=watcher)
    assert set(watcher.states.values()) == {"found"}
    return made


def test_figures_are_those_of_the_runs(found, folder, tiny_dataset):
    facts = json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))
    told = facts["datasets"]["Tiny & 100%"]
    assert told["fingerprint"] == tiny_dataset.fingerprint
    per_user = {}
    for name, entry in told["entries"].items():
        evaluations = [
            Run(run["folder"], tiny_dataset).evaluate("test", ("train",), (3, 5)) for run in entry["runs"]
        ]
        assert [run["seed"] for run in entry["runs"]] == [0, 1]
        for metric in PLAN["metrics"]:
            values = [one.metrics[metric] for one in evaluations]
            assert [run["test"][metric] for run in entry["runs"]] == pytest.approx(values)
            assert entry["summary"][metric]["mean"] == pytest.approx(np.mean(values))
            assert entry["summary"][metric]["std"] == pytest.approx(np.std(values, ddof=1))
            per_user[name, metric] = np.mean([one.per_user[metric] for one in evaluations], axis=0)
        assert entry["settings"]["training"]["min_steps"] == 1
        for run in entry["runs"]:
            stored = json.loads((Path(run["folder"]) / "metrics.json").read_text(encoding="utf-8"))
            assert run["best_epoch"] == stored["best_epoch"]
            assert run["test"]["recall@3"] == pytest.approx(stored["test"]["recall@3"])
    assert len(told["comparisons"]) == 4
    raw = []
    for one in told["comparisons"]:
        metric = one["metric"]
        means = {name: found_.mean() for (name, which), found_ in per_user.items() if which == metric}
        assert means[one["reference"]] == max(means.values())
        difference = per_user[one["reference"], metric] - per_user[one["other"], metric]
        assert one["difference"] == pytest.approx(difference.mean())
        if np.ptp(difference):
            assert one["p_wilcoxon"] == pytest.approx(stats.wilcoxon(difference).pvalue)
        raw.append(one["p_t"])
        assert one["p_t_corrected"] >= one["p_t"]
    smallest = min(told["comparisons"], key=lambda one: one["p_t"])
    assert smallest["p_t_corrected"] == pytest.approx(min(1.0, 4 * min(raw)))


def test_files_of_two_runs_in_one_folder_are_told(found, folder, tiny_dataset, tmp_path: Path):
    runs = {path.name.split("-")[0]: path for path in sorted((folder / "out" / "runs").glob("*/*-0"))}
    mixed = tmp_path / "mixed"
    shutil.copytree(runs["bprmf"], mixed)
    whole, _ = measure_run(tiny_dataset, mixed, ["recall@3"], cutoffs=(3, 5))
    shutil.copy(runs["ease"] / "representations.safetensors", mixed)
    with pytest.raises(InputError, match=r"mixed: its representations have recall@3 .*files of one run"):
        measure_run(tiny_dataset, mixed, ["recall@3"], cutoffs=(3, 5))
    # With another mask there is nothing to compare it with.
    other, _ = measure_run(tiny_dataset, mixed, ["recall@3"], ("train", "validation"), (3, 5))
    assert other.test["recall@3"] != whole.test["recall@3"]


def test_a_changed_plan_trains_only_what_is_new(found, folder):
    changed = {
        **PLAN,
        "seeds": [0, 1, 2],
        "metrics": ["mrr@4"],
        "datasets": {"Renamed": folder / "data"},
        "output": folder / "out",
        "entries": {
            # Another name for the same settings, and other settings for one that keeps its name.
            "EASE twin": {"model": "ease"},
            # Settings of the training loop, of which there is none for it.
            "EASE twin again": {"model": "ease", "set": ["training.batch_size=7"]},
            "Popular": {"model": "popularity"},
            "BPR_MF": {"model": "bprmf", "set": ["training.epochs=1", "model.dim=4"]},
        },
        "reference": "Popular",
    }
    watcher = States()
    again = compare(changed, watcher=watcher)
    by_state = {
        state: {label for label, one in watcher.states.items() if one == state}
        for state in ("found", "trained")
    }
    assert by_state["found"] == {
        f"{name} on Renamed, seed {seed}" for name in ("EASE twin again", "Popular") for seed in (0, 1)
    }
    assert by_state["trained"] == {
        "EASE twin again on Renamed, seed 2",
        "Popular on Renamed, seed 2",
        *(f"BPR_MF on Renamed, seed {seed}" for seed in range(3)),
    }
    assert {one.reference for one in again.datasets[0].contrasts} == {"Popular"}
    assert "differs from Popular with" in again.markdown()
    twins = [entry.summary()["mrr@4"] for entry in again.datasets[0].entries[:2]]
    assert twins[0] == twins[1]
    assert len({run.folder for entry in again.datasets[0].entries[:2] for run in entry.runs}) == 3


def test_failures_leave_the_others_and_are_told(folder, tiny_dataset):
    tiny_dataset.replace(features={}).save(folder / "bare", overwrite=True)
    plan = {
        **PLAN,
        "datasets": {"full": folder / "data", "bare": folder / "bare"},
        "seeds": [0],
        "output": folder / "out",
        "entries": {
            "VBPR": {"model": "vbpr", "set": ["training.epochs=1", "model.dim=4"]},
            "EASE": {"model": "ease"},
            "Nowhere": {"model": "ease", "skip": ["full", "bare"]},
        },
    }
    made = compare(plan)
    assert len(made.failures) == 1
    assert made.failures[0].startswith("VBPR on bare, seed 0: ")
    full, bare = made.datasets
    assert [len(entry.runs) for entry in full.entries] == [1, 1]
    assert [len(entry.runs) for entry in bare.entries] == [0, 1]
    text = made.markdown()
    assert "VBPR failed with seed 0" in text
    assert "| VBPR | – | – | – |" in text
    assert bare.contrasts == ()
    # Nobody is left to differ from.
    assert set(dataset_figures(bare)) == {"metrics", "cutoffs", "groups"}


def test_the_command_writes_all_forms(folder, found, command):
    assert command.exit_code == 0, command.output
    assert "Tiny & 100%: test split, mean ± standard deviation over 2 seeds" in command.stdout
    assert "±: sample standard deviation, divisor n − 1." in command.stdout
    assert command.stderr == ""
    out = folder / "out"
    assert (out / "tables.md").read_text(encoding="utf-8") == found.markdown()
    assert r"Tiny \& 100\%: test split" in (out / "tables.tex").read_text(encoding="utf-8")
    assert r"BPR\_MF &" in (out / "tables.tex").read_text(encoding="utf-8")
    kinds = {path.name for path in (out / "figures").iterdir()}
    names = ("metrics", "cutoffs", "differences", "groups")
    assert kinds == {f"Tiny-100-{name}.{suffix}" for name in names for suffix in ("png", "svg")}
    assert not list(out.rglob(".*"))
    assert found._repr_html_().count("<pre") == 1
    summed = {}
    for kind, groups in found.datasets[0].entries[0].runs[0].groups.items():
        summed[kind] = sum(group["n"] for group in groups.values())
    assert summed == {"users": 24, "items": 24}


def test_the_command_tells_of_failed_runs_and_of_interruptions(folder, monkeypatch):
    bad = {
        "output": "bad",
        "datasets": {"a": "data"},
        "entries": {"X": {"model": "bprmf", "set": ["model.dim=4", "training.learning_rate=1e30"]}},
        "seeds": 1,
    }
    (folder / "bad.yaml").write_text(yaml.safe_dump(bad), encoding="utf-8")
    result = CliRunner().invoke(main, ["compare", str(folder / "bad.yaml")])
    assert result.exit_code == 1
    assert "1/1  X on a, seed 0  FAILED: " in result.stderr
    assert "failed  X on a, seed 0: " in result.stderr

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kdiffe_dgl.experiments.jobs.train_run", interrupted)
    result = CliRunner().invoke(main, ["compare", str(folder / "bad.yaml")])
    assert result.exit_code == 130
    assert "the same command goes on" in result.stderr


def test_the_example_is_a_plan(tmp_path):
    result = CliRunner().invoke(main, ["compare", "--example"])
    assert result.exit_code == 0
    assert read_plan(yaml.safe_load(EXAMPLE)).output == Path("runs/comparison")
    assert result.stdout == EXAMPLE
    (tmp_path / "plan.yaml").write_text(EXAMPLE, encoding="utf-8")
    plan = read_plan(tmp_path / "plan.yaml")
    assert list(plan.entries) == ["KDiffE", "LightGCN", "RP3beta"]
    assert plan.output == tmp_path / "runs" / "comparison"
    assert plan.seeds == (0, 1, 2, 3, 4)


def test_settings_differ_by_data_set(tmp_path, tiny_dataset):
    (tmp_path / "own.yaml").write_text("{model: {dim: 5}, training: {batch_size: 7}}")
    (tmp_path / "tuned.yaml").write_text("{model: {name: bprmf, dim: 6}, training: {epochs: 3}}")
    text = """
    datasets: {a: a, b: b}
    set: [training.patience=4]
    entries:
      One:
        model: lightgcn
        config: own.yaml
        set: [model.layers=2]
        datasets:
          b: {set: [model.layers=1, model.dim=9]}
      Two: {preset: tuned.yaml}
    """
    (tmp_path / "plan.yaml").write_text(text)
    plan = read_plan(tmp_path / "plan.yaml")
    on_a, on_b = (entry_config(plan, "One", name).to_dict() for name in "ab")
    assert (on_a["model"]["dim"], on_a["model"]["layers"]) == (5, 2)
    assert (on_b["model"]["dim"], on_b["model"]["layers"]) == (9, 1)
    assert on_a["training"]["batch_size"] == on_b["training"]["batch_size"] == 7
    assert on_a["training"]["patience"] == 4
    two = entry_config(plan, "Two", "a")
    assert (two.name, two.to_dict()["model"]["dim"], two.training.epochs) == ("bprmf", 6, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entry": {}}, "plan: unknown key 'entry'; did you mean 'entries'?"),
        ({"entries": {}}, "plan: entries is {}; expected"),
        ({"entries": {"X": {"modle": "ease"}}}, "plan, entry X: unknown key 'modle'; did you mean 'model'?"),
        (
            {"entries": {"X": "ease"}},
            "plan, entry X: is 'ease'; expected settings, such as {model: lightgcn}",
        ),
        (
            {"entries": {"X": {"datasets": {"b": {}}}}},
            "plan: entry X: 'b' is no data set of the plan; expected one of",
        ),
        ({"entries": {"X": {"datasets": {"b": {"st": 1}}}}}, "plan, entry X: unknown key"),
        (
            {"entries": {"X": {"model": "eas"}}},
            "entry X on Tiny & 100%: unknown model 'eas'; did you mean 'ease'?",
        ),
        (
            {"entries": {"X": {"preset": "defalt"}}},
            "entry X on Tiny & 100%: unknown preset 'defalt'; did you",
        ),
        (
            {"entries": {"X": {"set": ["model.dmi=3"]}}},
            "entry X on Tiny & 100%: set model.dmi=3: unknown key",
        ),
        (
            {"metrics": ["recall"]},
            "plan: metrics is ['recall']; expected metrics with a cutoff",
        ),
        ({"metrics": ["coverage@5"]}, "not 'coverage@5'; metrics: recall"),
        ({"seeds": 0}, "plan: seeds is 0; expected a number from 1 to 1000, or a list of seeds"),
        ({"seeds": 10**12}, "expected a number from 1 to 1000, or a list of seeds"),
        ({"seeds": True}, "plan: seeds is true; expected a number of at least 1, or a list of seeds"),
        ({"seeds": [0.5]}, "plan: seeds is [0.5]; expected a number of at least 1, or a list of seeds"),
        ({"seeds": [-1]}, "plan: seeds is [-1]; expected seeds from 0, less than 2**31"),
        ({"seeds": [2**70]}, "expected seeds from 0, less than 2**31"),
        ({"metrics": [f"recall@{10**20}"]}, "expected metrics with a cutoff"),
        ({"metrics": [f"recall@{'9' * 5000}"]}, "expected metrics with a cutoff"),
        ({"metrics": ["recall@020"]}, "expected metrics with a cutoff, such as recall@20, not 'recall@020'"),
        ({"cutoffs": [10**15]}, "plan: cutoffs[0] is 1000000000000000; expected a number of at most 1000000"),
        ({"output": "plan.yaml/sub"}, "plan.yaml/sub: can't be written to"),
        ({"seeds": [1, 1]}, "expected a list of different seeds"),
        ({"reference": "Z"}, "plan: reference 'Z' is no entry; expected one of EASE"),
        ({"datasets": {"a": 3}}, "plan: data set a is 3; expected its folder"),
        ({"datasets": {"a": "nowhere"}}, "nowhere"),
        ({"output": "data"}, "data: holds other files; expected a new or empty folder"),
    ],
)
def test_mistakes_in_a_plan_are_told_before_anything_is_trained(change, message, folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(InputError) as caught:
        compare({**PLAN, "output": "never", **change})
    assert message in str(caught.value)
    assert not (folder / "never").exists()


def test_the_command_refuses_bad_plans_in_one_sentence(tmp_path):
    (tmp_path / "plan.yaml").write_text("datasets: {a: b}\nentries: {x: [1]}\n")
    told = refused(CliRunner().invoke(main, ["compare", str(tmp_path / "plan.yaml")]))
    assert "plan.yaml, entry x: is [1]; expected settings" in told
    (tmp_path / "plan.yaml").write_text("datasets: {a: b}\nentries:\n  x: {model: ease}\n  x: {}\n")
    told = refused(CliRunner().invoke(main, ["compare", str(tmp_path / "plan.yaml")]))
    assert "plan.yaml, line 4: is not valid YAML (the key 'x' stands twice)" in told
    assert "no such configuration file" in refused(CliRunner().invoke(main, ["compare", "nowhere.yaml"]))


def test_labels_differ_and_figures_of_a_data_set_that_left_the_plan_go(folder, tmp_path: Path):
    plan = {**PLAN, "entries": {"EASE": {"model": "ease"}}, "seeds": 1, "output": tmp_path / "out"}
    made = compare({**plan, "datasets": {name: folder / "data" for name in ("A 1", "A-1", "B")}})
    made.write()
    labels = re.findall(r"\\label{(.*)}", made.latex())
    assert {"tab:A-1", "tab:A-1-2", "tab:B"} <= set(labels)
    assert len(set(labels)) == len(labels) == len(made.tables())
    figures = tmp_path / "out" / "figures"
    (figures / "B-mine.png").write_bytes(b"of the user")
    before = {path.name for path in figures.iterdir()}
    assert {"A-1-metrics.png", "A-1-2-metrics.svg", "B-metrics.png"} <= before
    compare({**plan, "datasets": {"A 1": folder / "data"}}).write()
    after = {path.name for path in figures.iterdir()}
    assert after == {"B-mine.png", *(name for name in before if re.match("A-1-[a-z]", name))}
    # What a results.json of somebody else names is left alone, as is what lies elsewhere.
    (tmp_path / "out" / "results.json").write_text('{"figures": ["../mine.png", 3, "B-mine.txt"]}')
    (tmp_path / "out" / "mine.png").write_bytes(b"of the user")
    compare({**plan, "datasets": {"A 1": folder / "data"}}).write()
    assert (tmp_path / "out" / "mine.png").exists()
    assert {path.name for path in figures.iterdir()} == after


def test_file_names_are_safe_and_differ():
    assert file_names(["a b", "a/b", "A-B", "…"]) == {
        "a b": "a-b",
        "a/b": "a-b-2",
        "A-B": "A-B-3",
        "…": "data",
    }
