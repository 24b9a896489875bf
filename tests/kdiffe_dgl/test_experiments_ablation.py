"""Arms, changes of data, curves over settings, and the command: against what the data and the runs say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from refusals import refused

from kdiffe_dgl.api import settings_for
from kdiffe_dgl.cli import main
from kdiffe_dgl.data import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.ablation import ARMS, ablate, choose_arms, read_sweep
from kdiffe_dgl.experiments.changes import (
    NOISE,
    RandomInteractions,
    RandomTriples,
    ShuffledItems,
    WithoutFeatures,
)
from kdiffe_dgl.experiments.comparison import compare
from kdiffe_dgl.experiments.grid import NoWatcher
from kdiffe_dgl.experiments.jobs import JobResult
from kdiffe_dgl.experiments.records import Records
from kdiffe_dgl.experiments.variants import Resources, Setup, StudyResult, Variant, alike, changed
from kdiffe_dgl.training.config import resolve

SMALL = [
    "model.dim=4",
    "training.epochs=1",
    "model.knowledge.diffusion.hidden=4",
    "model.modality.diffusion.hidden=4",
]
OPTIONAL = ("profile.interaction_weight", "pairwise.weight")


@pytest.fixture(scope="module")
def folder(tiny_dataset: RecDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ablation") / "data"
    tiny_dataset.save(path)
    return path


def test_shuffled_items_keep_the_shape_of_the_graph(tiny_dataset: RecDataset) -> None:
    before, changed_set = tiny_dataset.kg, ShuffledItems()(tiny_dataset)
    after = changed_set.kg
    assert before is not None and after is not None  # noqa: PT018
    for column in ("head", "tail"):
        counts = [np.sort(np.bincount(kg.triples[column].to_numpy())) for kg in (before, after)]
        np.testing.assert_array_equal(counts[0], counts[1])
    assert not before.triples.equals(after.triples)
    assert changed_set.fingerprint == ShuffledItems()(tiny_dataset).fingerprint


@pytest.mark.parametrize("ends", ["relation", "any"])
def test_random_triples_are_a_share_of_each_relation(tiny_dataset: RecDataset, ends: str) -> None:
    after = RandomTriples(0.5, ends)(tiny_dataset).kg  # type: ignore[arg-type]
    assert tiny_dataset.kg is not None
    assert after is not None
    added = after.triples["source"] == NOISE
    known = tiny_dataset.kg.triples
    assert after.triples.filter(~added).equals(known)
    expected = np.floor(np.bincount(known["relation"]) * 0.5 + 0.5)
    np.testing.assert_array_equal(np.bincount(after.triples.filter(added)["relation"]), expected)
    pairs = after.triples.select("head", "tail").to_numpy()
    pairs = np.sort(pairs[added.to_numpy()], axis=1)
    true = np.sort(known.select("head", "tail").to_numpy(), axis=1)
    assert not set(map(tuple, pairs)) & set(map(tuple, true))


def test_random_interactions_touch_training_alone(tiny_dataset: RecDataset) -> None:
    after = RandomInteractions(0.5)(tiny_dataset)
    for split in ("validation", "test"):
        np.testing.assert_array_equal(after.pairs(split), tiny_dataset.pairs(split))
    before, now = ({tuple(pair) for pair in each.pairs("train")} for each in (tiny_dataset, after))
    assert before < now
    assert len(now) == len(before) + round(0.5 * len(before))


def test_every_arm_changes_what_is_trained(tiny_dataset: RecDataset) -> None:
    base = resolve(
        {"model": {"name": "kdiffe"}},
        [*SMALL, *(f"model.{one}=0.1" for one in OPTIONAL)],
    )
    chosen, left_out = choose_arms(tiny_dataset, base, ())
    assert not left_out
    assert [variant.name for variant in chosen if variant.name.endswith(("image", "text"))] == [
        "without image", "without text",
    ]  # fmt: skip
    assert len(chosen) == len(ARMS) + 1
    assert not any(alike(base, variant) for variant in chosen)
    assert len({(variant.overrides, variant.change) for variant in chosen}) == len(chosen)
    bare = WithoutFeatures(("image", "text"))(tiny_dataset).replace(kg=None)
    fewer, told = choose_arms(
        bare, changed(base, ["model.attention.epsilon=0", *(f"model.{one}=0" for one in OPTIONAL)]), ()
    )
    assert [variant.name for variant in fewer] == ["without guidance"]
    assert len(told) == len(ARMS) - 1
    assert "without-attention: it changes nothing in these settings" in told


@pytest.mark.parametrize(
    ("model", "only", "told"),
    [
        ("lightgcn", (), "the model is 'lightgcn'; expected kdiffe"),
        ("kdiffe", ("without-luck",), "--only without-luck: is no arm; expected some of without-attention"),
        ("kdiffe", ("without-attention",), "it changes nothing in these settings"),
    ],
)
def test_arms_that_do_not_fit_are_refused(
    tiny_dataset: RecDataset, model: str, only: tuple[str, ...], told: str
) -> None:
    overrides = ["model.attention.epsilon=0"] if model == "kdiffe" else []
    with pytest.raises(InputError, match=told):
        choose_arms(tiny_dataset, resolve({}, overrides, model=model), only)


@pytest.mark.parametrize("text", ["attention.epsilon", "attention.epsilon=", "a=1,1", "=1", "a=1,,2"])
def test_sweeps_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected a setting and different values"):
        read_sweep(text)


def test_a_value_of_a_sweep_may_be_a_list() -> None:
    assert read_sweep("sampling.fanouts=[5,5], [10, [1,2]],[]").values == ("[5,5]", "[10, [1,2]]", "[]")
    assert read_sweep("x={a: 1, b: '],'},\"b,c\",it's,d").values == (
        "{a: 1, b: '],'}", '"b,c"', "it's", "d",
    )  # fmt: skip
    base = resolve({}, model="kdiffe")
    variants = read_sweep("sampling.fanouts=[5,5],[10,10]").variants()
    settings = [changed(base, variant.overrides).to_dict()["model"] for variant in variants]
    assert [one["sampling"]["fanouts"] for one in settings] == [[5, 5], [10, 10]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sampling.fanouts=[5,5],[10", "--vary model.sampling.fanouts=[10: the value is not valid YAML"),
        (
            "attention.epsilon=0,high",
            "--vary model.attention.epsilon=high: model.attention.epsilon is 'high'",
        ),
        ("atention.epsilon=0", "--vary model.atention.epsilon=0: unknown key"),
    ],
)
def test_sweeps_that_do_not_fit_are_refused_by_the_name_of_their_option(
    folder: Path, tmp_path: Path, text: str, told: str
) -> None:
    arguments = ["ablate", "--data", str(folder), "--out", str(tmp_path / "out"), "--vary", text]
    message = refused(CliRunner().invoke(main, arguments))
    assert message.startswith(f"error: {told}")
    assert not (tmp_path / "out").exists()


def test_the_command_compares_arms_and_varies_settings(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["ablate", "--data", str(folder), "--out", str(out), "--seeds", "1", "--quiet"]
    arguments += [word for setting in SMALL for word in ("--set", setting)]
    arguments += ["--only", "random-edges", "--vary", "attention.epsilon=0,0.9"]
    first = CliRunner().invoke(main, arguments)
    assert first.exit_code == 0, first.output
    facts = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert set(facts["arms"]["entries"]) == {"full model", "random edges"}
    assert {one["reference"] for one in facts["arms"]["comparisons"]} == {"full model"}
    # The default ε is 0.9: that value is the full model, and shares its runs.
    sweep = facts["sweeps"]["model.attention.epsilon"]["entries"]
    full, same = (sweep[name]["summary"]["recall@20"] for name in ("full model", "attention.epsilon = 0.9"))
    assert full == same
    names = {path.name for path in (out / "figures").iterdir()}
    assert {"arms.png", "differences.png", "model.attention.epsilon.png"} <= names
    assert "random edges" in (out / "tables.md").read_text(encoding="utf-8")
    runs = sorted(path.stat().st_mtime_ns for path in (out / "runs").rglob("metrics.json"))
    assert len(runs) == 3
    base = settings_for(overrides=SMALL)
    again = ablate(Setup(folder, base, out, range(1)), only=["random-edges"])
    assert again.arms is not None
    assert json.loads(json.dumps(again.arms.result.to_dict()))["entries"] == facts["arms"]["entries"]
    assert sorted(path.stat().st_mtime_ns for path in (out / "runs").rglob("metrics.json")) == runs
    # The curve of a setting that is not varied any more goes with its results.
    again.write(out)
    assert {path.stem for path in (out / "figures").iterdir()} == {"arms", "differences"}


class Told(NoWatcher):
    """Remembers how runs ended."""

    def __init__(self) -> None:
        self.states: list[str] = []

    def job_ends(self, result: JobResult) -> None:
        self.states.append(result.state)


def test_recorded_arms_are_not_trained_again(folder: Path, tiny_dataset: RecDataset, tmp_path: Path) -> None:
    base = settings_for(overrides=SMALL)
    removed = WithoutFeatures((min(tiny_dataset.features),))
    variants = [
        Variant("full"),
        Variant("no guidance", ("model.knowledge.diffusion.guidance=0",)),
        Variant("less", (), removed),
        # Judged by the splits without the noise, which records of the noisy data know nothing of.
        Variant("noise", (), RandomInteractions(0.1)),
    ]

    def run(place: str) -> tuple[StudyResult, list[str], set[Path]]:
        told = Told()
        resources = Resources(watcher=told)
        setup = Setup(
            folder, base, tmp_path / place, range(2), resources=resources, records=tmp_path / "records"
        )
        known = setup.recorded(variants)
        return setup.run(variants), told.states, known

    plain = Setup(folder, base, tmp_path / "first", range(2)).run(variants)
    first, states, known = run("first")
    assert states == ["found"] * 8
    assert not known
    again, states, known = run("second")
    assert states == ["recorded"] * 6 + ["trained"] * 2
    assert len(known) == 6
    for found in (first, again):
        assert found.result.contrasts == plain.result.contrasts
        for entry, same in zip(found.result.entries, plain.result.entries, strict=True):
            assert [run.test for run in entry.runs] == [run.test for run in same.runs]
    assert all(run.folder is None for run in again.result.entries[2].runs)
    # An arm without a part of the data is of other data: one file each for the arms that have records.
    assert len(list((tmp_path / "records").rglob("*.parquet"))) == 3


def test_an_ablation_and_a_comparison_share_records(folder: Path, tmp_path: Path) -> None:
    plan = {
        "output": str(tmp_path / "compared"),
        "records": str(tmp_path / "records"),
        "datasets": {"Tiny": str(folder)},
        "entries": {"KDiffE": {"preset": "default", "set": SMALL}},
        "seeds": 1,
    }
    compared = compare(plan)
    arguments = ["ablate", "--data", str(folder), "--out", str(tmp_path / "out"), "--seeds", "1", "--quiet"]
    arguments += [word for setting in SMALL for word in ("--set", setting)]
    arguments += ["--only", "random-edges", "--records", str(tmp_path / "records")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert f"records  1 of 2 runs were in {tmp_path / 'records'}" in result.stdout
    facts = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    full = facts["arms"]["entries"]["full model"]["runs"][0]["test"]
    assert full == dict(compared.datasets[0].entries[0].runs[0].test)


def test_a_damaged_record_is_told_before_an_arm_is_trained(folder: Path, tmp_path: Path) -> None:
    base, told = settings_for(overrides=SMALL), Told()
    dataset = RecDataset.load(folder)
    file = Records(tmp_path / "records", base.evaluation.test_mask).file(dataset, base)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no table")
    setup = Setup(
        folder,
        base,
        tmp_path / "out",
        range(1),
        resources=Resources(watcher=told),
        records=tmp_path / "records",
    )
    with pytest.raises(InputError, match=r"is not a readable Parquet file"):
        ablate(setup, only=["random-edges"])
    # Also that of a later study.
    varied = changed(base, ["model.attention.epsilon=0.3"])
    file.rename(Records(tmp_path / "records", base.evaluation.test_mask).file(dataset, varied))
    with pytest.raises(InputError, match=r"is not a readable Parquet file"):
        ablate(setup, only=["random-edges"], sweeps=[read_sweep("attention.epsilon=0.3")])
    assert not told.states


def test_no_folder_of_records_is_made_beside_an_output_that_is_refused(folder: Path, tmp_path: Path) -> None:
    output, records = tmp_path / "letters", tmp_path / "records"
    output.mkdir()
    (output / "mail.txt").write_text("not ours")
    setup = Setup(folder, settings_for(overrides=SMALL), output, range(1), records=records)
    with pytest.raises(InputError, match="holds other files"):
        ablate(setup, only=["random-edges"])
    assert not records.exists()
    assert [path.name for path in output.iterdir()] == ["mail.txt"]


def test_runs_of_several_studies_are_counted_once(folder: Path, tmp_path: Path) -> None:
    setup = Setup(
        folder, settings_for(overrides=SMALL), tmp_path / "out", range(1), records=tmp_path / "records"
    )
    sweeps = [read_sweep("attention.epsilon=0.3")]
    first = ablate(setup, only=["random-edges"], sweeps=sweeps)
    assert (first.recorded, first.runs) == (0, 3)
    again = ablate(setup, only=["random-edges"], sweeps=sweeps)
    assert (again.recorded, again.runs) == (3, 3)
