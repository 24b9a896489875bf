"""Searches: what is declared, what a study remembers and stops, and that no test data are read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
import yaml
from click.testing import CliRunner
from refusals import refused

from kdiffe_dgl.api import Run
from kdiffe_dgl.cli import main
from kdiffe_dgl.config import parse_config
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.study import Study
from kdiffe_dgl.experiments.tuning import TuneOptions, declared_space, tune, without_test
from kdiffe_dgl.models.registry import MODELS, model_class
from kdiffe_dgl.search import Between, Choices, SearchSpace, search_space
from kdiffe_dgl.training.config import TrainingConfig, preset, resolve
from kdiffe_dgl.training.run import train_run

SPACE = {"x": Between(0.0, 1.0), "n": Between(1, 64, log=True), "kind": Choices(("a", "b", False))}
CONFIGS = {name: model_class(name).Config for name in MODELS} | {"training": TrainingConfig}


def nested(name: str, value: object) -> dict:
    for part in reversed(name.split(".")):
        value = {part: value}
    return value  # type: ignore[return-value]


@pytest.mark.parametrize("name", CONFIGS)
def test_declared_settings_exist_hold_the_default_and_can_be_tried(name):
    config = CONFIGS[name]
    space = search_space(config)
    assert bool(space) == (name != "popularity")
    for setting, searched in space.items():
        default = config()
        for part in setting.split("."):
            default = getattr(default, part)
        assert searched.holds(default), (setting, default)
        ends = searched.values if isinstance(searched, Choices) else (searched.low, searched.high)
        for value in ends:
            parse_config(config, nested(setting, value), setting)


def test_a_subclass_adds_replaces_and_leaves_out():
    space = search_space(CONFIGS["bm3"])
    assert space["regularisation"] == Between(1e-4, 1.0, log=True)
    assert space["layers"] == Between(1, 3)
    assert space["features.trained"] == Choices((True, False))

    class Without(CONFIGS["bm3"]):
        SEARCH: ClassVar[SearchSpace] = {"layers": None}

    assert "layers" not in search_space(Without)

    class Wrong(CONFIGS["bm3"]):
        SEARCH: ClassVar[SearchSpace] = {"layer": Between(1, 2)}

    with pytest.raises(ValueError, match=r"Wrong.SEARCH: there is no setting 'layer'"):
        search_space(Wrong)


def test_what_changes_nothing_beside_other_settings_is_not_searched(tiny_dataset):
    default = declared_space(resolve(preset("default")), tiny_dataset)
    # The default preset keeps what passes by evidence, and fits its weights.
    assert "model.knowledge.passing" in default
    assert "model.pairwise.passes" in default
    fitted = {f"model.profile.{kind}_weight" for kind in ("knowledge", "modality", "interaction")}
    assert not {*fitted, "model.pairwise.weight", "model.knowledge.top"} & set(default)
    paper = declared_space(resolve(preset("paper-tiktok")), tiny_dataset)
    assert "model.knowledge.passing" not in paper
    assert {*fitted, "model.pairwise.weight", "model.knowledge.top"} <= set(paper)
    # A weight of 0 is no start of a fit, but leaves the view out.
    bare = resolve(preset("default"), ["model.pairwise.weight=0", "model.knowledge.selection=all"])
    space = declared_space(bare, tiny_dataset)
    assert "model.pairwise.weight" in space
    assert not {"model.knowledge.passing", "model.knowledge.top"} & set(space)


def test_what_the_data_lack_and_what_is_given_is_not_searched(tiny_dataset):
    config = resolve({}, model="ease")
    assert set(declared_space(config, tiny_dataset)) == {"model.regularisation"}
    assert not declared_space(config, tiny_dataset, ["model.regularisation=3"])
    bm3 = resolve({}, model="bm3")
    given = set(declared_space(bm3, tiny_dataset, ["model.features={trained: true}", "training.epochs=3"]))
    assert "training.learning_rate" in given
    assert not any(name.startswith("model.features") for name in given)
    kdiffe = resolve({}, model="kdiffe")
    parts = {
        lack: {name.split(".")[1] for name in declared_space(kdiffe, tiny_dataset.replace(**{lack: nothing}))}
        for lack, nothing in (("kg", None), ("features", {}))
    }
    assert "knowledge" not in parts["kg"]
    assert "modality" in parts["kg"]
    assert "knowledge" in parts["features"]
    assert "modality" not in parts["features"]


def study(file: Path, seed: int = 0, pruner: str = "median", **about: object) -> Study:
    return Study(file, {"model": "m", **about}, SPACE, {"x": 0.5, "n": 900, "kind": "b"}, seed, pruner)


def run(one: Study, number: int) -> list[dict]:
    """Carry out trials of a made-up function, and return what was tried."""
    tried = []
    for _ in range(number):
        place, values = one.ask()
        tried.append(values)
        value = -((values["x"] - 0.3) ** 2) - 0.01 * (values["kind"] == "a")
        one.promising(place, 1, value - 1)
        one.promising(place, 2, value)
        one.end(place, value, 0.5)
    return tried


def test_what_is_searched_alone(tiny_dataset):
    config = resolve(preset("default"))
    every = declared_space(config, tiny_dataset)
    assert set(declared_space(config, tiny_dataset, only=["model.layers"])) == {"model.layers"}
    group = {name for name in every if name.startswith("model.contrast.")}
    assert len(group) > 1
    both = ["model.contrast", "training.learning_rate"]
    assert set(declared_space(config, tiny_dataset, only=both)) == {*group, "training.learning_rate"}
    # What is given is not searched, whatever else is asked for.
    left = set(declared_space(config, tiny_dataset, ["model.contrast.temperature=1"], ["model.contrast"]))
    assert left == group - {"model.contrast.temperature"}
    with pytest.raises(
        InputError, match=r"search 'model.layer': names nothing .*did you mean 'model.layers'"
    ):
        declared_space(config, tiny_dataset, only=["model.layer"])
    # A part of a name is no group.
    with pytest.raises(InputError, match=r"search 'model.cont'.*did you mean 'model.contrast'"):
        declared_space(config, tiny_dataset, only=["model.cont"])
    with pytest.raises(InputError, match=r"search 'model.layers': names nothing that can be searched here"):
        declared_space(config, tiny_dataset, ["model.layers=2"], ["model.layers"])


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    whole = run(study(tmp_path / "whole"), 14)
    # The first trial has the values to start from, where they are in the space.
    assert (whole[0]["x"], whole[0]["kind"]) == (0.5, "b")
    assert run(study(tmp_path / "part"), 9) == whole[:9]
    opened = study(tmp_path / "part")
    _, cut = opened.ask()
    assert cut == whole[9]
    # That trial was cut off: it is tried again, and is none of those that have ended.
    again = study(tmp_path / "part")
    assert len(again.ended()) == 9
    assert run(again, 5) == whole[9:]
    assert [trial.value for trial in again.ended()] == [
        trial.value for trial in study(tmp_path / "whole").ended()
    ]
    assert all(isinstance(one["n"], int) and 1 <= one["n"] <= 64 for one in whole)
    importance = again.importance()
    assert max(importance, key=lambda name: importance[name]) == "x"
    assert sum(importance.values()) == pytest.approx(1)
    lines = (tmp_path / "part").read_text(encoding="utf-8").splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)


def test_a_trial_below_the_median_is_stopped(tmp_path):
    one = study(tmp_path / "journal")
    for place in range(9):
        number, _ = one.ask()
        assert all(one.promising(number, epoch, float(place)) for epoch in (1, 2, 3))
        one.end(number, float(place), 1.0)
    for value, expected in ((3.9, False), (4.1, True)):
        number, _ = one.ask()
        assert one.promising(number, 1, 0.0)
        assert one.promising(number, 3, value) == expected
        one.end(number, None, 1.0)
    number, _ = one.ask()
    one.end(number, None, 1.0, "it diverged")
    ended = one.ended()
    assert [trial.state for trial in ended] == ["complete"] * 9 + ["pruned"] * 2 + ["failed"]
    assert ended[9].value == 3.9
    assert ended[-1].reason == "it diverged"


def test_another_search_in_the_same_place_is_refused(tmp_path):
    study(tmp_path / "journal", model="ease")
    with pytest.raises(InputError, match="is a search with another model; expected the same"):
        study(tmp_path / "journal", model="sgl")
    (tmp_path / "odd").write_text("{not json\n{}\n")
    with pytest.raises(InputError, match="odd: is a damaged journal"):
        study(tmp_path / "odd")
    (tmp_path / "note").write_text("no journal")
    with pytest.raises(InputError, match="note: is a damaged journal"):
        study(tmp_path / "note")
    assert (tmp_path / "note").read_text() == "no journal"
    text = (tmp_path / "journal").read_text(encoding="utf-8")
    (tmp_path / "strange").write_text(text + '{"op_code": 99, "worker_id": "x"}\n')
    with pytest.raises(InputError, match="strange: is a damaged journal"):
        study(tmp_path / "strange", model="ease")


def test_half_a_line_of_a_killed_process_is_forgotten(tmp_path):
    whole = run(study(tmp_path / "journal"), 3)
    written = (tmp_path / "journal").read_bytes()
    # The end of the third trial was being written.
    (tmp_path / "journal").write_bytes(written[:-20])
    again = study(tmp_path / "journal")
    assert len(again.ended()) == 2
    assert run(again, 1) == whole[2:]
    assert len(study(tmp_path / "journal").ended()) == 3


def test_a_search_that_was_stopped_after_any_line_goes_on_as_if_it_had_not_been(tmp_path):
    whole = tmp_path / "whole"
    run(study(whole), 2)
    early = whole.read_bytes().count(b"\n")
    run(study(whole), 7)
    late = whole.read_bytes().count(b"\n")
    run(study(whole), 1)
    lines = whole.read_bytes().splitlines(keepends=True)
    expected = [(trial.state, trial.value, trial.values) for trial in study(whole).ended()]
    assert expected[0][2]["x"] == 0.5
    # While the first trials were chosen and tried, and one that the sampler has learned for.
    for place in (*range(early), *range(late, len(lines))):
        part = tmp_path / f"part-{place}"
        part.write_bytes(b"".join(lines[:place]))
        again = study(part)
        wanted = expected[: 3 if place < early else 10]
        run(again, len(wanted) - len(again.ended()))
        assert [(trial.state, trial.value, trial.values) for trial in again.ended()] == wanted, place


@pytest.mark.parametrize("pruner", ["median", "halving"])
def test_trials_that_were_interrupted_stop_no_others(tmp_path, pruner):
    def search(file: Path, interrupted: bool) -> list[tuple]:
        one, begun = study(file, pruner=pruner), 0
        while len(one.ended()) < 30:
            number, values = one.ask()
            begun += 1
            if interrupted and begun % 2:
                # After some epochs, which the journal knows of; epochs come to more than 200 with the trials.
                for epoch in range(1, 40):
                    if not one.promising(number, epoch, values["x"] + epoch / 500):
                        break
                one = study(file, pruner=pruner)
                continue
            last = 190 + 10 * len(one.ended())
            going = all(
                one.promising(number, epoch, values["x"] + epoch / 500)
                for epoch in (*range(1, 40), *range(40, last, 50), last)
            )
            one.end(number, values["x"] if going else None, 1.0)
        return [(trial.state, trial.value, trial.epochs, trial.values) for trial in one.ended()]

    whole = search(tmp_path / "whole", interrupted=False)
    assert {state for state, *_ in whole} == {"complete", "pruned"}
    assert search(tmp_path / "part", interrupted=True) == whole


def test_trials_are_taken_up_again_once_however_often_a_search_is_stopped(tmp_path):
    whole = run(study(tmp_path / "whole"), 3)
    study(tmp_path / "part").ask()
    study(tmp_path / "part")
    lines = (tmp_path / "part").read_bytes().splitlines(keepends=True)
    assert b'"again"' in lines[-2]
    # It was stopped between the two lines: the trial waits to be tried, but has not ended yet.
    (tmp_path / "part").write_bytes(b"".join(lines[:-1]))
    assert run(study(tmp_path / "part"), 3) == whole
    # And here after the reason of a failure was written, before its end.
    failing = study(tmp_path / "failed")
    number, _ = failing.ask()
    failing.end(number, None, 1.0, "it diverged")
    lines = (tmp_path / "failed").read_bytes().splitlines(keepends=True)
    (tmp_path / "failed").write_bytes(b"".join(lines[:-1]))
    again = study(tmp_path / "failed")
    assert [trial.reason for trial in again.ended()] == ["it diverged"]
    _, values = again.ask()
    assert values["x"] != 0.5


def test_what_a_killed_process_locked_the_journal_with_is_not_waited_for(tmp_path):
    run(study(tmp_path / "study.jsonl"), 1)
    for name in ("study.jsonl.lock", "study.jsonl.lock0f1e.rename"):
        (tmp_path / name).symlink_to("searches/study.jsonl")
    (tmp_path / "study.jsonl.lock.txt").write_text("a note")
    # In a process of its own, which can be ended.
    code = (
        "from pathlib import Path\n"
        "from kdiffe_dgl.experiments.study import Study\n"
        "from kdiffe_dgl.search import Between\n"
        "space = {'x': Between(0.0, 1.0)}\n"
        "one = Study(Path('study.jsonl'), {'model': 'm'}, space, {'x': 0.5}, 0, 'median')\n"
        "one.end(one.ask()[0], 1.0, 0.5)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
    assert len(study(tmp_path / "study.jsonl").ended()) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"study.jsonl", "study.jsonl.lock.txt"}


@pytest.fixture(scope="module")
def folder(tiny_dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tuning")
    tiny_dataset.save(made / "data")
    without_test(tiny_dataset).save(made / "blind")
    return made


def test_the_command_tunes_goes_on_and_its_preset_trains_the_best(folder, monkeypatch, tiny_dataset):
    monkeypatch.chdir(folder)
    fixed = "training.monitor=ndcg@3"
    tune(Path("data"), Path("tuned"), model="rp3beta", overrides=[fixed], options=TuneOptions(trials=2))
    command = [
        "tune",
        "--data",
        "data",
        "--model",
        "rp3beta",
        "--output",
        "tuned",
        "--set",
        fixed,
        "--trials",
    ]
    result = CliRunner().invoke(main, [*command, "5"])
    assert result.exit_code == 0, result.output
    assert result.stderr.count("trained") == 3
    assert "best of 5 trials" in result.stdout
    facts = json.loads((folder / "tuned" / "trials.json").read_text(encoding="utf-8"))
    assert len(facts["trials"]) == 5
    assert facts["trials"][0]["values"] == {
        "model.neighbours": 400,
        "model.alpha": 0.7,
        "model.beta": 0.2,
    }
    values = [trial["value"] for trial in facts["trials"]]
    assert facts["best"]["value"] == max(values) > min(values)
    preset = yaml.safe_load((folder / "tuned" / "best.yaml").read_text(encoding="utf-8"))
    assert preset["model"]["alpha"] == facts["best"]["values"]["model.alpha"]
    trained = Run.train(tiny_dataset, "run", preset_name="tuned/best.yaml")
    assert trained.folder.metrics()["validation"]["ndcg@3"] == facts["best"]["value"]
    assert {path.name for path in (folder / "tuned").iterdir()} == {
        "study.jsonl", "trials.json", "tables.md", "best.yaml", "figures",
    }  # fmt: skip
    assert {path.stem for path in (folder / "tuned" / "figures").iterdir()} == {"history", "importance"}
    told = refused(CliRunner().invoke(main, [*command, "5", "--seed", "1"]))
    assert "is a search with another seed" in told


def test_test_data_are_never_read(folder):
    options = TuneOptions(trials=2, seed=4)
    fixed = ["training.epochs=2", "model.dim=4", "training.min_steps=1", "training.monitor=ndcg@3"]
    found = [
        tune(folder / data, folder / f"of-{data}", model="bprmf", overrides=fixed, options=options)
        for data in ("data", "blind")
    ]
    assert [trial.value for trial in found[0].trials] == [trial.value for trial in found[1].trials]
    assert all(trial.epochs in (1, 2) for trial in found[0].trials)
    assert found[0].best_settings().training.epochs == 2
    assert "best of 2 trials" in found[0]._repr_html_()


def test_a_trial_is_worth_what_its_run_has_after_weights_were_fitted(folder, tiny_dataset):
    fixed = [
        "model.profile={knowledge_weight: 0.1, modality_weight: 0.1, rank: 4, fit_weights: true}",
        "training.epochs=1", "model.dim=4", "training.min_steps=1", "training.monitor=ndcg@5",
    ]  # fmt: skip
    options = TuneOptions(trials=1)
    found = tune(folder / "data", folder / "fitted", model="kdiffe", overrides=fixed, options=options)
    outcome = train_run(
        without_test(tiny_dataset), folder / "run-fitted", found.best_settings(), device="cpu"
    )
    assert outcome.fit.scoring is not None
    assert found.best.value == outcome.fit.scoring.validation["ndcg@5"]
    assert found.best.value > outcome.fit.history[0]["validation"]["ndcg@5"]


def test_time_ends_a_search_and_failures_are_told(folder):
    with pytest.raises(InputError, match="no trial came to its end; expected more trials"):
        _ = tune(folder / "data", folder / "late", model="ease", options=TuneOptions(timeout=0)).best
    wild = ["training.learning_rate=1e30", "training.epochs=1", "model.dim=4"]
    found = tune(
        folder / "data", folder / "wild", model="bprmf", overrides=wild, options=TuneOptions(trials=1)
    )
    assert found.trials[0].state == "failed"
    with pytest.raises(InputError, match="no trial came to its end; the last one failed: "):
        found.write()
    assert not (folder / "wild" / "best.yaml").exists()


def test_bad_input_is_refused(folder, monkeypatch):
    with pytest.raises(InputError, match="model ease: has no setting to search"):
        tune(folder / "data", folder / "x", model="ease", overrides=["model.regularisation=3"])
    with pytest.raises(InputError, match="holds other files; expected a new or empty folder"):
        tune(folder / "data", folder / "data", model="ease")
    monkeypatch.setitem(sys.modules, "optuna", None)
    told = refused(CliRunner().invoke(main, ["tune", "--data", str(folder / "data"), "--output", "never"]))
    assert told == "error: tuning needs Optuna; expected pip install '.[tune]' in the checkout\n"
