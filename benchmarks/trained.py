"""Runs of benchmarks: trained where they are missing, measured on the test split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common import tell

from kdiffe_dgl.api import Run
from kdiffe_dgl.evaluation.evaluator import Evaluation
from kdiffe_dgl.experiments.grid import NoWatcher, run_grid
from kdiffe_dgl.experiments.jobs import Job, Source
from kdiffe_dgl.serving.run_folder import RunFolder
from kdiffe_dgl.training.config import RunConfig

__all__ = ["measure"]


class _Teller(NoWatcher):
    """Says which run is being trained."""

    def job_begins(self, job: Job) -> None:
        """Say it."""
        tell(f"training {job.label}")


def measure(source: Source, folders: Sequence[Path], config: RunConfig) -> list[tuple[RunFolder, Evaluation]]:
    """Train the runs that are missing, and return all with their test figures of each user.

    Parameters
    ----------
    source
        The data.
    folders
        A run folder for each seed, from 0.
    config
        Their settings.
    """
    jobs = [Job(str(folder), source, config, seed, folder, "cpu") for seed, folder in enumerate(folders)]
    for result in run_grid(jobs, watcher=_Teller()):
        if not result.done:
            raise SystemExit(result.reason)
    dataset = source.load()
    runs = [Run(folder, dataset) for folder in folders]
    mask, cutoffs = config.evaluation.test_mask, config.evaluation.cutoffs
    return [(run.folder, run.evaluate("test", mask, cutoffs)) for run in runs]
