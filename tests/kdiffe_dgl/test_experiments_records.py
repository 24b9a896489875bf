"""Records of comparisons: the same results without run folders, what is still trained, and damaged files."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from refusals import refused

from kdiffe_dgl.cli import main
from kdiffe_dgl.data import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.evaluator import Evaluation
from kdiffe_dgl.experiments import compare, read_plan
from kdiffe_dgl.experiments.grid import NoWatcher
from kdiffe_dgl.experiments.measures import Measured, Measures
from kdiffe_dgl.experiments.plan import EXAMPLE, entry_config
from kdiffe_dgl.experiments.records import Records
from kdiffe_dgl.experiments.results import RunResult
from kdiffe_dgl.models.peers.ease import EASEConfig
from kdiffe_dgl.training.config import RunConfig

KEY = b"kdiffe_records"
PLAN = {
    "datasets": {"Tiny": "data"},
    "entries": {
        "EASE": {"model": "ease"},
        "BPR-MF": {"model": "bprmf", "set": ["training.epochs=2", "model.dim=4", "training.min_steps=1"]},
        "EASE again": {"model": "ease", "set": ["training.checkpoint_seconds=1"]},
        "Popular": {"model": "popularity"},
    },
    "seeds": 2,
    "metrics": ["recall@3", "ndcg@5"],
    "cutoffs": [5, 10],
    "output": "out",
    "records": "records",
}


class Told(NoWatcher):
    """Remembers how runs ended, and how many were measured."""

    def __init__(self) -> None:
        self.states: dict[str, list[str]] = {}
        self.counts: list[tuple[int, int]] = []

    def job_ends(self, result):
        self.states.setdefault(result.state, []).append(result.job.label)

    def measured(self, runs, total):
        self.counts.append((runs, total))


def without_places(value):
    """Leave out where runs and records are."""
    if isinstance(value, dict):
        places = ("folder", "record", "records", "output")
        return {name: without_places(one) for name, one in value.items() if name not in places}
    return [without_places(one) for one in value] if isinstance(value, list) else value


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tiny_dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("records")
    tiny_dataset.save(made / "data")
    (made / "plan.yaml").write_text(yaml.safe_dump(PLAN, sort_keys=False), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def from_folders(folder):
    """Return a comparison without records; its run folders stay."""
    return compare(replace(read_plan(folder / "plan.yaml"), records=None))


@pytest.fixture(scope="module")
def recorded(folder, from_folders):
    """Return the comparison that writes the records, and what was told of it; then its runs are deleted."""
    told = Told()
    found = compare(folder / "plan.yaml", watcher=told)
    shutil.rmtree(folder / "out")
    return found, told


@pytest.fixture
def plan(folder, recorded, tmp_path):
    """Return the plan with a copy of the records, and no runs."""
    shutil.copytree(folder / "records", tmp_path / "records")
    return replace(read_plan(folder / "plan.yaml"), records=tmp_path / "records", output=tmp_path / "out")


def test_records_give_what_run_folders_give(plan, from_folders, recorded, tmp_path):
    written, told = recorded
    assert set(told.states) == {"found"}
    assert told.counts == [(done, 6) for done in range(7)]
    assert without_places(written.to_dict()) == without_places(from_folders.to_dict())
    before, again = contents(plan.records), Told()
    found = compare(plan, watcher=again)
    assert {state: len(labels) for state, labels in again.states.items()} == {"recorded": 6}
    assert again.counts == []
    assert without_places(found.to_dict()) == without_places(from_folders.to_dict())
    assert found.markdown() == from_folders.markdown()
    assert (written.recorded, found.recorded) == (0, 6)
    assert not list((tmp_path / "out" / "runs").iterdir())
    assert contents(plan.records) == before
    runs = found.to_dict()["datasets"]["Tiny"]["entries"]["EASE"]["runs"]
    assert [run["folder"] for run in runs] == [None, None]
    assert {Path(run["record"]).parent for run in runs} == {plan.records / "tiny"}
    assert {path.name for path in found.write()} >= {"results.json", "tables.md"}


def test_a_file_holds_the_values_of_users_and_nothing_of_the_folder(plan, folder, recorded, tiny_dataset):
    file = next((plan.records / "tiny").glob("bprmf-*.parquet"))
    frame = pl.read_parquet(file)
    assert frame.schema == {
        "seed": pl.Int32, "user": pl.Int32, "ndcg@5": pl.Float64, "recall@3": pl.Float64,
    }  # fmt: skip
    users = np.flatnonzero(np.diff(tiny_dataset.matrix("test").indptr))
    assert frame["user"].to_list() == [*users, *users]
    means = frame.group_by("seed", maintain_order=True).mean()
    entry = recorded[0].datasets[0].entries[1]
    assert means["recall@3"].to_list() == pytest.approx([run.test["recall@3"] for run in entry.runs])
    assert str(folder).encode() not in file.read_bytes()


def test_an_extended_plan_trains_only_what_is_new(plan, recorded):
    entries = {**plan.entries, "RP3beta": read_plan(extended_file(plan)).entries["RP3beta"]}
    told = Told()
    found = compare(replace(plan, entries=entries, seeds=(0, 1, 2)), watcher=told)
    assert sorted(told.states["trained"]) == sorted(
        [f"RP3beta on Tiny, seed {seed}" for seed in range(3)]
        + [f"{name} on Tiny, seed 2" for name in ("BPR-MF", "EASE again", "Popular")]
    )
    assert len(told.states["recorded"]) == found.recorded == 6
    assert told.counts[-1] == (6, 6)
    ours, theirs = found.datasets[0].entries[1].runs, recorded[0].datasets[0].entries[1].runs
    assert [without_places(run.to_dict()) for run in ours[:2]] == [
        without_places(run.to_dict()) for run in theirs
    ]
    # Where the run is still there, its folder is told.
    assert [run.folder is None for run in ours] == [True, True, False]
    shutil.rmtree(plan.output)
    again = compare(replace(plan, entries=entries, seeds=(2, 0)))
    assert again.recorded == 8


def extended_file(plan) -> Path:
    file = plan.records.parent / "more.yaml"
    file.write_text(yaml.safe_dump({**PLAN, "entries": {"RP3beta": {"model": "rp3beta"}}}), encoding="utf-8")
    return file


def test_other_metrics_are_measured_beside_those_that_are_recorded(plan, from_folders):
    entries = {"EASE": plan.entries["EASE"]}
    first = replace(plan, entries=entries, seeds=(0,), metrics=("mrr@4",), cutoffs=(7,))
    told = Told()
    found = compare(first, watcher=told)
    assert told.states == {"trained": ["EASE on Tiny, seed 0"]}
    assert set(found.datasets[0].entries[0].runs[0].test) == {
        f"{name}@{cutoff}"
        for name in ("recall", "precision", "hit_rate", "mrr", "ndcg", "map", "novelty", "coverage", "gini")
        for cutoff in (4, 7)
    }
    # Seed 0 has both now, seed 1 what it had: the first plan finds all that it needs.
    file = next((plan.records / "tiny").glob("ease-*.parquet"))
    frame = pl.read_parquet(file)
    assert frame.columns == ["seed", "user", "mrr@4", "ndcg@5", "recall@3"]
    assert frame.filter(pl.col("seed") == 0).null_count().row(0) == (0,) * 5
    assert frame.filter(pl.col("seed") == 1)["mrr@4"].null_count() == len(frame) / 2
    shutil.rmtree(plan.output)
    again = compare(plan)
    assert again.recorded == 6
    entry, other = (one.datasets[0].entries[0] for one in (again, from_folders))
    for ours, theirs in zip(entry.runs, other.runs, strict=True):
        assert (ours.test, ours.groups) == (theirs.test, theirs.groups)
    # Those of training, with the cutoffs of two plans.
    assert set(entry.summary("validation")) < set(other.summary("validation"))
    assert (
        again.to_dict()["datasets"]["Tiny"]["comparisons"]
        == (from_folders.to_dict()["datasets"]["Tiny"]["comparisons"])
    )


def test_another_mask_is_another_measurement_beside_the_first(plan):
    entries = {"Popular": plan.entries["Popular"]}
    before = contents(plan.records)
    changed = replace(plan, entries=entries, seeds=(0,), mask=("validation", "train"))
    told = Told()
    found = compare(changed, watcher=told)
    assert set(told.states) == {"trained"}
    after = contents(plan.records)
    assert before.items() < after.items()
    assert len(after) == len(before) + 1
    # Two plans that share a folder do not undo each other.
    shutil.rmtree(plan.output)
    assert compare(plan).recorded == 6
    again = compare(replace(changed, mask=("train", "validation")))
    assert again.recorded == 1
    assert without_places(again.datasets[0].to_dict()["entries"]["Popular"]["runs"]) == without_places(
        found.datasets[0].to_dict()["entries"]["Popular"]["runs"]
    )
    assert contents(plan.records) == after


def test_the_same_measurements_give_the_same_bytes(plan, tiny_dataset, tmp_path):
    config = entry_config(plan, "BPR-MF", "Tiny")
    held = Records(plan.records, plan.mask).runs(tiny_dataset, config)
    another = Records(tmp_path / "another", plan.mask)
    for seed in (1, 0):
        another.keep(tiny_dataset, config, {seed: held[seed]})
    name = another.file(tiny_dataset, config).relative_to(another.folder)
    assert (another.folder / name).read_bytes() == (plan.records / name).read_bytes()
    assert set(contents(another.folder)) == {str(name)}


def test_runs_that_are_recorded_at_once_are_all_kept(plan, tiny_dataset):
    config = entry_config(plan, "Popular", "Tiny")
    records = Records(plan.records, plan.mask)
    run, test = records.runs(tiny_dataset, config)[0]
    seeds = range(2, 10)
    begin = threading.Barrier(len(seeds))

    def keep(seed: int) -> None:
        begin.wait()
        records.keep(tiny_dataset, config, {seed: (replace(run, seed=seed), test)})

    with ThreadPoolExecutor(len(seeds)) as pool:
        list(pool.map(keep, seeds))
    assert list(records.runs(tiny_dataset, config)) == list(range(10))
    assert {path.suffix for path in (plan.records / "tiny").iterdir()} == {".parquet"}


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_values_come_back_to_the_last_digit(tmp_path_factory, folder, data):
    dataset = RecDataset.load(folder / "data")
    config = entry_config(read_plan(folder / "plan.yaml"), "EASE", "Tiny")
    users = np.flatnonzero(np.diff(dataset.matrix("test").indptr)).astype(np.int64)
    share = st.floats(0, 1, allow_subnormal=False)
    kept = {}
    for seed in data.draw(st.sets(st.integers(0, 2**31 - 1), min_size=1, max_size=3)):
        metrics = data.draw(st.sets(st.sampled_from(["recall@3", "map@1", "mrr@2"]), min_size=1))
        values = {name: data.draw(arrays.arrays(np.float64, len(users), elements=share)) for name in metrics}
        means = {f"recall@{cutoff}": data.draw(share) for cutoff in (1, 2, 3)}
        means.update({name: float(one.mean()) for name, one in values.items()})
        groups = {
            "users": {"1–2": {"n": 3, **dict.fromkeys(metrics, 0.25)}},
            "items": {"head (4)": {"n": 1, **{f"recall@{cutoff}": 0.1 for cutoff in (1, 2, 3)}}},
        }
        run = RunResult(seed, None, 1, 2, data.draw(share), {"recall@3": 0.5}, means, groups, {"torch": "2"})
        left_out = dataset.n_users - len(users)
        kept[seed] = run, Evaluation("test", ("train",), (1, 2, 3), means, values, users, left_out)
    records = Records(tmp_path_factory.mktemp("round"), ("train",))
    records.keep(dataset, config, kept)
    found = records.runs(dataset, config)
    assert list(found) == sorted(kept)
    for seed, (run, test) in found.items():
        assert replace(run, record=None) == kept[seed][0]
        assert run.record == records.file(dataset, config)
        assert test.metrics == kept[seed][1].metrics
        assert test.per_user.keys() == kept[seed][1].per_user.keys()
        for name, values in test.per_user.items():
            np.testing.assert_array_equal(values, kept[seed][1].per_user[name], strict=True)
        assert Measures(("recall@3",), ("train", "validation"), (3,)).of((run, test)) is None
        assert (Measures(("recall@3",), ("train",), (3,)).of((run, test)) is None) == (
            "recall@3" not in test.per_user
        )


def rewritten(file: Path, change) -> None:
    """Change what the metadata of a file say."""
    table = pq.read_table(file)
    about = json.loads(table.schema.metadata[KEY])
    change(about)
    pq.write_table(table.replace_schema_metadata({KEY: json.dumps(about)}), file)


def retabled(file: Path, change) -> None:
    """Change the columns of a file."""
    table = pq.read_table(file)
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), file)


def set_first_value(table, value: float):
    place = table.schema.get_field_index("recall@3")
    values = table["recall@3"].to_numpy().copy()
    values[0] = value
    return table.set_column(place, "recall@3", pa.array(values))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.write_bytes(b"PAR1 or not"), "is not a readable Parquet file ("),
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), "is not a readable Parquet file ("),
        (lambda file: file.write_bytes(b""), "is not a readable Parquet file ("),
        (lambda file: (file.unlink(), file.mkdir()), "is not a readable Parquet file ("),
        (lambda file: pl.read_parquet(file).write_parquet(file), "does not tell what its values are of; exp"),
        (lambda file: rewritten(file, lambda about: about.clear()), "schema version None; expected 1"),
        (lambda file: rewritten(file, lambda about: about.update(schema_version=2)), "schema version 2; exp"),
        (lambda file: rewritten(file, lambda about: about.update(runs=[])), "runs is []; expected a list of"),
        (lambda file: rewritten(file, lambda about: about.update(seeds=3)), "unknown key 'seeds'"),
        (
            lambda file: rewritten(file, lambda about: about["runs"][0].pop("seconds")),
            "runs[0].seconds is",
        ),
        (
            lambda file: rewritten(file, lambda about: about.update(fingerprint="0" * 64)),
            "holds runs of other data; expected those of its name",
        ),
        (
            lambda file: rewritten(file, lambda about: about["settings"]["model"].update(dim=5)),
            "holds runs of other settings; expected those of its name",
        ),
        (
            lambda file: rewritten(file, lambda about: about["runs"][1].update(mask=["validation"])),
            "holds runs of another mask; expected those of its name",
        ),
        (
            lambda file: rewritten(file, lambda about: about["runs"][1].update(seed=0)),
            "its rows are not those of its seeds; expected one for each of the",
        ),
        (
            lambda file: rewritten(file, lambda about: about["runs"].pop()),
            "its rows are not those of its seeds",
        ),
        (
            lambda file: rewritten(
                file, lambda about: about["runs"][0].update(metrics=["recall@3", "mrr@5"])
            ),
            "has the columns seed, user, ndcg@5, recall@3; expected seed and user (int32), mrr@5, ndcg@5",
        ),
        (
            lambda file: rewritten(file, lambda about: about["runs"][0]["test"].pop("recall@10")),
            "seed 0 has no mean of recall@10",
        ),
        (
            lambda file: rewritten(file, lambda about: about["runs"][0]["test"].update({"recall@3": 0.987})),
            "of seed 0 is ",
        ),
        (
            lambda file: rewritten(file, lambda about: about["runs"][0]["groups"].pop("items")),
            "seed 0 has no figures of 'items'",
        ),
        (
            lambda file: retabled(file, lambda table: table.drop_columns("user")),
            "has the columns seed, ndcg@5",
        ),
        (lambda file: retabled(file, lambda table: table.slice(1)), "its rows are not those of its seeds"),
        (lambda file: retabled(file, lambda table: set_first_value(table, 7.0)), "(was it edited?)"),
        (lambda file: retabled(file, lambda table: set_first_value(table, np.nan)), "(was it edited?)"),
        (
            lambda file: retabled(
                file, lambda table: table.set_column(0, "seed", table["seed"].cast(pa.int64()))
            ),
            "has the columns seed, user",
        ),
    ],
)
def test_damaged_records_are_refused_before_anything_is_trained(plan, damage, message):
    file = next((plan.records / "tiny").glob("bprmf-*.parquet"))
    damage(file)
    told = Told()
    with pytest.raises(InputError) as caught:
        compare(replace(plan, seeds=(0, 1, 2)), watcher=told)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert told.states == {}


def test_a_renamed_file_is_refused(plan):
    ease, popular = (next((plan.records / "tiny").glob(f"{name}-*")) for name in ("ease", "popularity"))
    shutil.copy(ease, popular)
    with pytest.raises(InputError, match="holds runs of other settings; expected those of its name"):
        compare(plan)


def test_records_of_a_version_that_knew_fewer_settings_are_found(plan, from_folders):
    """What it did not know stood at its default; a setting that is none is still refused."""
    file = next((plan.records / "tiny").glob("ease-*"))
    whole = file.read_bytes()

    def forget(about) -> None:
        defaults = EASEConfig().model_dump()
        known = about["settings"]["model"]
        forgotten = [name for name, value in defaults.items() if known.get(name) == value]
        assert forgotten
        for name in forgotten:
            del known[name]

    rewritten(file, forget)
    told = Told()
    assert compare(plan, watcher=told).markdown() == from_folders.markdown()
    assert set(told.states) == {"recorded"}
    file.write_bytes(whole)
    rewritten(file, lambda about: about["settings"]["model"].update(depth=3))
    with pytest.raises(InputError, match=r"unknown key 'model\.depth'"):
        compare(plan)


def test_any_flipped_byte_is_refused_or_harmless(plan, tiny_dataset):
    """Pages carry checksums; what the format itself leaves unread may differ."""
    config = entry_config(plan, "Popular", "Tiny")
    records = Records(plan.records, plan.mask)
    file, expected = records.file(tiny_dataset, config), records.runs(tiny_dataset, config)
    whole = file.read_bytes()
    refusals = 0
    for place in np.random.default_rng(0).choice(len(whole), 60, replace=False):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        found, refusal = read(records, tiny_dataset, config)
        assert refusal.startswith(f"{file}: " if refusal else "")
        refusals += bool(refusal)
        for seed, (_, test) in found.items():
            for name, values in test.per_user.items():
                np.testing.assert_array_equal(values, expected[seed][1].per_user[name])
    assert refusals > 15


def read(records: Records, dataset: RecDataset, config: RunConfig) -> tuple[dict[int, Measured], str]:
    """Return what is recorded, or why it is refused."""
    try:
        return records.runs(dataset, config), ""
    except InputError as error:
        return {}, str(error)


def test_a_place_that_can_hold_no_records_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = str(folder / "data")
    for records, message in (
        ("plan.yaml", "plan.yaml: is a file; expected a folder for records"),
        ("out", "out: is the folder of runs and results; expected another for records"),
        (3, "plan.yaml: records is 3; expected"),
    ):
        written = {**PLAN, "datasets": {"Tiny": data}, "records": records}
        (tmp_path / "plan.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
        assert message in refused(CliRunner().invoke(main, ["compare", "plan.yaml"]))
        assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]


@pytest.fixture
def read_only(monkeypatch):
    """Return a function that lets no file be made in a folder; root would be let by its permissions."""
    given = os.open

    def forbid(folder: Path) -> None:
        def asked(path, flags, *arguments, **named):
            if flags & os.O_CREAT and folder in Path(os.fsdecode(path)).parents:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return given(path, flags, *arguments, **named)

        monkeypatch.setattr(os, "open", asked)
        folder.chmod(0o555)

    return forbid


def refusal_before_training(plan) -> str:
    """Return why a comparison is refused, before anything is trained."""
    told = Told()
    with pytest.raises(InputError) as caught:
        compare(plan, watcher=told)
    assert told.states == {}
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_records_that_cannot_be_written_are_refused_before_anything_is_trained(plan, read_only):
    (plan.records / "tiny").rename(plan.records / "moved")
    (plan.records / "tiny").touch()
    expected = f"{plan.records / 'tiny'}: is a file; expected a folder for records"
    assert refusal_before_training(plan) == expected
    (plan.records / "tiny").unlink()
    (plan.records / "moved").rename(plan.records / "tiny")
    read_only(plan.records / "tiny")
    # Nothing is to be written: all of it is there.
    assert compare(plan).recorded == 6
    expected = f"{plan.records / 'tiny'}: can't be written (Permission denied)"
    assert refusal_before_training(replace(plan, seeds=(0, 2))) == expected


def test_records_within_the_output_are_found_without_its_runs(plan):
    inside = replace(plan, records=plan.output / "records")
    shutil.copytree(plan.records, inside.records)
    assert compare(inside, jobs=2).recorded == 6


def test_the_command_tells_how_many_runs_were_recorded(folder, recorded, plan, tmp_path):
    written = {**PLAN, "datasets": {"Tiny": str(folder / "data")}, "seeds": 3}
    written["entries"] = {name: PLAN["entries"][name] for name in ("EASE", "EASE again", "Popular")}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    result = CliRunner().invoke(main, ["compare", str(tmp_path / "plan.yaml")])
    assert result.exit_code == 0, result.output
    assert f"records  4 of 6 runs were in {tmp_path / 'records'}" in result.stdout
    assert "Popular on Tiny, seed 1  in the records" in result.stderr
    assert "measuring  2 runs" in result.stderr
    told = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert told["plan"]["records"] == str(tmp_path / "records")


def test_the_example_names_the_field():
    assert "# records: " in EXAMPLE
    assert read_plan(yaml.safe_load(EXAMPLE)).records is None
    assert read_plan(yaml.safe_load(EXAMPLE.replace("# records: ", "records: "))).records == Path("records")


TUNED = {
    **PLAN,
    "entries": {"EASE": {"model": "ease"}, "Popular": {"model": "popularity"}},
    "set": ["training.monitor=ndcg@3"],
    "tune": {"trials": 3, "seed": 7, "pruner": "none"},
    "seeds": 1,
}


@pytest.fixture(scope="module")
def searched(folder, tmp_path_factory: pytest.TempPathFactory):
    """Return a tuned plan, and what it brought; searches and runs are deleted, the records are not."""
    made = tmp_path_factory.mktemp("searched")
    written = {**TUNED, "datasets": {"Tiny": str(folder / "data")}}
    (made / "plan.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    plan = read_plan(made / "plan.yaml")
    found = compare(plan)
    shutil.rmtree(plan.output)
    return plan, found


@pytest.fixture
def tuned(searched, tmp_path):
    shutil.copytree(searched[0].records, tmp_path / "records")
    return replace(searched[0], records=tmp_path / "records", output=tmp_path / "out")


def test_a_recorded_search_is_not_carried_out_again(tuned, searched):
    told = Told()
    found = compare(tuned, watcher=told)
    assert set(told.states) == {"recorded"}
    assert without_places(found.to_dict()) == without_places(searched[1].to_dict())
    assert found.markdown() == searched[1].markdown()
    search = found.datasets[0].entries[0].search
    assert (search.folder, search.trials) == (None, 3)
    assert search.record.parent == tuned.records / "tiny"
    assert "best on validation of so many trials: EASE (3)." in found.markdown()
    assert not (tuned.output / "searches").exists()


def test_searches_that_cannot_be_recorded_are_refused_before_anything_is_trained(tuned, read_only):
    read_only(tuned.records / "tiny")
    assert compare(tuned).recorded == 2
    more = replace(tuned, tune=tuned.tune.model_copy(update={"trials": 4}))
    expected = f"{tuned.records / 'tiny'}: can't be written (Permission denied)"
    assert refusal_before_training(more) == expected


@pytest.mark.parametrize("trials", [2, 4])
def test_another_number_of_trials_is_another_search(tuned, trials):
    told = Told()
    compare(replace(tuned, tune=tuned.tune.model_copy(update={"trials": trials})), watcher=told)
    labels = [label for labels in told.states.values() for label in labels if "trial" in label]
    assert len(labels) == trials
    # Both are kept: the first plan finds its own.
    assert len(list((tuned.records / "tiny").glob("search-ease-*.json"))) == 2
    shutil.rmtree(tuned.output)
    again = Told()
    assert compare(tuned, watcher=again).recorded == 2
    assert set(again.states) == {"recorded"}


def test_a_recorded_search_whose_runs_are_not_trains_the_runs_alone(tuned, searched):
    for file in (tuned.records / "tiny").glob("*.parquet"):
        file.unlink()
    told = Told()
    found = compare(tuned, watcher=told)
    assert Counter({state: len(labels) for state, labels in told.states.items()}) == {"trained": 2}
    ours, theirs = (one.datasets[0].entries[0] for one in (found, searched[1]))
    assert ours.config == theirs.config
    assert ours.runs[0].test == theirs.runs[0].test


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 0}, "schema version 0; expected 1"),
        ({"trials": 30}, "holds another search; expected that of its name"),
        ({"identity": {}}, "holds another search; expected that of its name"),
        ({"value": "much"}, "value is 'much'; expected a number"),
        ({"value": float("nan")}, "value is nan; expected a finite number"),
        ({"values": {}}, "holds the settings (none); expected model.regularisation"),
        ({"values": {"model.regularisation": -3}}, "holds values that do not fit ("),
        ({"best": 1}, "unknown key 'best'"),
        (None, "is not valid JSON"),
    ],
)
def test_damaged_records_of_searches_are_refused(tuned, change, message):
    file = next((tuned.records / "tiny").glob("search-*.json"))
    stored = json.loads(file.read_text(encoding="utf-8"))
    file.write_text("{" if change is None else json.dumps({**stored, **change}), encoding="utf-8")
    told = Told()
    with pytest.raises(InputError) as caught:
        compare(tuned, watcher=told)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert told.states == {}
