"""A grid of runs: found, gone on with after an interruption, trained beside others, failed alone."""

from __future__ import annotations

import operator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dying_data import die

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.experiments.grid import NoWatcher, run_grid
from kdiffe_dgl.experiments.jobs import Job, Source, run_name, trained_alike
from kdiffe_dgl.experiments.lock import only_one
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.run import train_run

SMALL = [
    "model.dim=4",
    "training.epochs=4",
    "training.min_steps=1",
    "training.checkpoint_seconds=0",
]


class Record(NoWatcher):
    """Remembers what it is told, and may interrupt or stop after an epoch."""

    def __init__(self, interrupt_after: int = 0, stop_after: int = 0) -> None:
        self.said: list[tuple[str, ...]] = []
        self.interrupt_after, self.stop_after = interrupt_after, stop_after
        self.total: int | None = None

    def grid_begins(self, jobs):
        self.total = jobs

    def job_begins(self, job):
        self.said.append(("begins", job.label))

    def epoch_ends(self, job, record, best):
        self.said.append(("epoch", job.label, str(record["epoch"])))
        if record["epoch"] == self.interrupt_after:
            raise KeyboardInterrupt
        return record["epoch"] != self.stop_after

    def job_ends(self, result):
        self.said.append((result.state, result.job.label))


@pytest.fixture(scope="module")
def source(tiny_dataset, tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("grid") / "data"
    tiny_dataset.save(folder)
    return Source(folder)


def job_in(folder: Path, source: Source, *overrides: str, seed: int = 0, model: str = "bprmf") -> Job:
    config = resolve({}, [*SMALL, *overrides], model=model)
    return Job(f"{model} {seed} {' '.join(overrides)}".strip(), source, config, seed, folder)


def representations(folder: Path) -> np.ndarray:
    return np.concatenate(RunFolder(folder).representations())


def test_an_interrupted_grid_goes_on_as_if_it_had_not_been(source, tmp_path):
    jobs = [job_in(tmp_path / f"run-{seed}", source, seed=seed) for seed in range(2)]
    with pytest.raises(KeyboardInterrupt):
        run_grid(jobs, watcher=Record(interrupt_after=3))
    first = Record()
    # The third epoch was cut off while it was told, so it is not part of the checkpoint of the second.
    assert [result.state for result in run_grid(jobs, watcher=first)] == ["trained", "trained"]
    assert ("epoch", "bprmf 0", "1") not in first.said
    assert first.said[:2] == [("begins", "bprmf 0"), ("epoch", "bprmf 0", "3")]
    assert first.total == 2
    again = Record()
    assert [result.state for result in run_grid(jobs, watcher=again)] == ["found", "found"]
    assert again.said == [("found", "bprmf 0"), ("found", "bprmf 1")]
    for seed, job in enumerate(jobs):
        train_run(source.load(), tmp_path / f"whole-{seed}", job.config, seed=seed)
        np.testing.assert_array_equal(
            representations(job.folder), representations(tmp_path / f"whole-{seed}")
        )


def test_who_watches_can_stop_a_run(source, tmp_path):
    job = job_in(tmp_path / "run", source)
    watcher = Record(stop_after=2)
    (result,) = run_grid([job], watcher=watcher)
    assert (result.state, result.done) == ("stopped", False)
    assert [said[-1] for said in watcher.said if said[0] == "epoch"] == ["1", "2"]
    assert not (job.folder / "metrics.json").exists()


def test_jobs_fail_alone_and_say_why(source, tmp_path):
    other = job_in(tmp_path / "taken", source, seed=5)
    assert run_grid([other])[0].done
    jobs = [
        job_in(tmp_path / "diverges", source, "training.learning_rate=1e30"),
        replace(other, seed=6),
        replace(other, config=resolve({}, SMALL, model="lightgcn")),
        replace(other, source=Source(source.path, operator.methodcaller("replace", kg=None))),
        replace(other, source=Source(tmp_path / "nowhere"), folder=tmp_path / "unread"),
        replace(other, source=Source(source.path, operator.attrgetter("nothing")), folder=tmp_path / "bug"),
        job_in(tmp_path / "good", source),
    ]
    results = run_grid(jobs)
    assert [result.state for result in results] == ["failed"] * 6 + ["trained"]
    told = [result.reason for result in results]
    assert "diverge" in told[0]
    assert "other settings or seed" in told[1]
    assert "other settings or seed" in told[2]
    assert "the run belongs to data set" in told[3]
    assert "nowhere" in told[4]
    assert told[5].startswith("AttributeError: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good", "taken"]


def test_processes_tell_of_their_epochs_and_of_their_death(source, tmp_path):
    good = job_in(tmp_path / "good", source, seed=3)
    dying = replace(job_in(tmp_path / "dead", source), source=Source(source.path, die), label="dying")
    watcher = Record()
    results = run_grid([good, dying], threads=1, watcher=watcher)
    assert [result.state for result in results] == ["trained", "failed"]
    assert "its process ended with signal 9; perhaps memory ran out" in results[1].reason
    assert watcher.said == [
        ("begins", good.label),
        *(("epoch", good.label, str(epoch)) for epoch in range(1, 5)),
        ("trained", good.label),
        ("begins", "dying"),
        ("failed", "dying"),
    ]
    # In this process the one that is there is found.
    assert run_grid([good])[0].state == "found"


@pytest.mark.parametrize(("n_jobs", "threads"), [(0, None), (1, 0)])
def test_senseless_numbers_are_refused(n_jobs, threads):
    with pytest.raises(InputError, match="expected at least 1"):
        run_grid([], n_jobs=n_jobs, threads=threads)


def test_names_belong_to_what_is_trained():
    config = resolve({}, SMALL, model="lightgcn")
    same = resolve({}, [*SMALL, "training.checkpoint_seconds=9", "evaluation.cutoffs=[3]"], model="lightgcn")
    other = resolve({}, [*SMALL, "training.learning_rate=0.5"], model="lightgcn")
    assert run_name(config, 1, "data") == run_name(same, 1, "data")
    assert trained_alike(config, same)
    assert not trained_alike(config, other)
    names = {
        run_name(config, 1, "data"),
        run_name(config, 2, "data"),
        run_name(config, 1, "more"),
        run_name(other, 1, "data"),
    }
    assert len(names) == 4
    assert all(name.startswith("lightgcn-") for name in names)


def test_a_folder_is_for_one_at_a_time(tmp_path):
    with only_one(tmp_path):
        with pytest.raises(InputError, match="another process is at work in it"), only_one(tmp_path):
            pass
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())
    # What a killed process has left keeps nobody out.
    (tmp_path / "in-use.lock").touch()
    with only_one(tmp_path):
        pass
