"""What the runs of one data set brought: figures by entry and seed, and who differs from whom."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kdiffe_dgl.api import Run
from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.evaluator import Evaluation, Evaluator, dot_product
from kdiffe_dgl.evaluation.groups import group_values
from kdiffe_dgl.evaluation.significance import (
    PairedComparison,
    SeedSummary,
    averaged,
    compare,
    holm,
    over_seeds,
)
from kdiffe_dgl.training.config import RunConfig

if TYPE_CHECKING:
    from kdiffe_dgl.experiments.plan_tuning import Search

__all__ = ["Contrast", "DatasetResult", "EntryResult", "RunResult", "contrast_entries", "measure_run"]


@dataclass(frozen=True)
class RunResult:
    """The figures of one finished run.

    Parameters
    ----------
    seed
        Its seed.
    folder
        Its run folder; null where only its record is there.
    best_epoch, epochs
        The epoch chosen on validation, and how many were trained.
    seconds
        Time of training, validation included.
    validation, test
        Metric -> value at that epoch.
    groups
        Test figures by groups, see :func:`kdiffe_dgl.evaluation.groups.group_values`.
    versions
        Package -> version that it was trained with.
    record
        The file that holds its values by user, see :class:`kdiffe_dgl.experiments.records.Records`; null
        where no records are kept.
    """

    seed: int
    folder: Path | None
    best_epoch: int
    epochs: int
    seconds: float
    validation: Mapping[str, float]
    test: Mapping[str, float]
    groups: Mapping[str, Mapping[str, Mapping[str, float | int]]]
    versions: Mapping[str, str]
    record: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return types that JSON knows."""
        places = {"folder": self.folder, "record": self.record}
        return {**vars(self), **{name: None if path is None else str(path) for name, path in places.items()}}


def measure_run(
    dataset: RecDataset,
    folder: Path,
    metrics: Sequence[str],
    mask: Sequence[str] = ("train",),
    cutoffs: Sequence[int] = (5, 10, 20, 50),
    judge: RecDataset | None = None,
) -> tuple[RunResult, Evaluation]:
    """Measure a finished run on the test split, with the representations of its best epoch.

    Parameters
    ----------
    dataset
        The data set that it was trained on.
    folder
        Its run folder.
    metrics
        Metrics whose values by user are kept.
    mask, cutoffs
        As of :class:`kdiffe_dgl.evaluation.Evaluator`.
    judge
        The data set whose splits say what is relevant and what is left out of the lists, and whose
        training interactions make the groups, where it is not the one that the run was trained on.

    Raises
    ------
    InputError
        If the folder is no finished run, or one of other data, or its representations do not have the test
        figures that are stored beside them: it was copied while it was being trained, say.
    """
    run = Run(folder, dataset)
    stored, history = run.folder.metrics(), run.folder.history()
    run.folder.check_dataset(dataset)
    judged = dataset if judge is None else judge
    user, item = (torch.from_numpy(rows) for rows in run.folder.representations())
    test = Evaluator(judged, "test", mask, cutoffs).evaluate(dot_product(user, item))
    if judge is None and set(stored["mask"]) == set(mask):
        _require_same(folder, metrics, stored["test"] or {}, test.metrics)
    result = RunResult(
        seed=run.folder.info.seed,
        folder=folder,
        best_epoch=int(stored["best_epoch"]),
        epochs=len(history),
        seconds=sum(float(epoch.get("seconds") or 0.0) for epoch in history),
        validation=stored["validation"],
        test=test.metrics,
        groups=group_values(judged, test, metrics),
        versions=run.folder.info.versions,
    )
    # The values by user of all metrics of all runs would fill the memory; hits are told by the groups.
    kept = {metric: test.per_user[metric] for metric in metrics}
    return result, replace(test, per_user=kept, hits_by_item={})


def _require_same(
    folder: Path, metrics: Sequence[str], stored: Mapping[str, float], measured: Mapping[str, float]
) -> None:
    for metric in metrics:
        # Another machine rounds otherwise, so that near ties may change places.
        if metric in stored and not math.isclose(
            stored[metric], measured[metric], rel_tol=0.01, abs_tol=0.002
        ):
            raise InputError(
                f"{folder}: its representations have {metric} {measured[metric]:.4f} on test, and its "
                f"metrics.json says {stored[metric]:.4f}; expected files of one run (train it anew)"
            )


@dataclass
class EntryResult:
    """The runs of one entry on one data set.

    Parameters
    ----------
    name
        Its name in the tables.
    config
        Its resolved settings.
    runs
        Finished runs, by seed.
    failures
        Seed -> why there is no run.
    averaged
        Test values of each user, means over the seeds; null where no run is finished.
    search
        What the search of its settings brought; null: there was none.
    """

    name: str
    config: RunConfig
    runs: list[RunResult] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)
    averaged: Evaluation | None = None
    search: Search | None = None

    @classmethod
    def of(
        cls,
        name: str,
        config: RunConfig,
        measured: Sequence[tuple[RunResult, Evaluation]],
        failures: Mapping[int, str],
        search: Search | None = None,
    ) -> EntryResult:
        """Put together what was measured of an entry."""
        mean = averaged([found for _, found in measured]) if measured else None
        return cls(name, config, [run for run, _ in measured], dict(failures), mean, search)

    def summary(self, split: str = "test") -> dict[str, SeedSummary]:
        """Return mean and deviation over seeds of each metric; empty without a finished run.

        Validation figures are those of training: runs of plans that differed in cutoffs may share but some.
        """
        figures: list[Mapping[str, float]] = [getattr(run, split) for run in self.runs]
        if not figures:
            return {}
        shared = [metric for metric in figures[0] if all(metric in each for each in figures)]
        return over_seeds([{metric: each[metric] for metric in shared} for each in figures])

    def group_summary(self, kind: str) -> dict[str, dict[str, SeedSummary]]:
        """Return label of a group -> metric -> mean and deviation over seeds.

        Parameters
        ----------
        kind
            ``"users"`` or ``"items"``.
        """
        if not self.runs:
            return {}
        return {
            label: over_seeds([run.groups[kind][label] for run in self.runs])
            for label in self.runs[0].groups[kind]
        }

    def to_dict(self) -> dict[str, Any]:
        """Return types that JSON knows."""
        return {
            "settings": self.config.to_dict(),
            "search": None if self.search is None else self.search.to_dict(),
            "summary": {metric: vars(found) for metric, found in self.summary().items()},
            "validation": {metric: vars(found) for metric, found in self.summary("validation").items()},
            "runs": [run.to_dict() for run in self.runs],
            "failures": {str(seed): reason for seed, reason in self.failures.items()},
        }


@dataclass(frozen=True)
class Contrast:
    """A paired comparison of the reference with another entry.

    Parameters
    ----------
    reference, other
        Names of the entries.
    paired
        Reference minus other, user by user, on values averaged over seeds.
    p_t, p_wilcoxon
        p-values corrected for the number of comparisons on the data set, after Holm.
    """

    reference: str
    other: str
    paired: PairedComparison
    p_t: float
    p_wilcoxon: float

    @property
    def p(self) -> float:
        """The larger of the corrected p-values: a difference counts where both tests see it."""
        return max(self.p_t, self.p_wilcoxon)

    @property
    def mark(self) -> str:
        """``**`` below 0.01, ``*`` below 0.05, else nothing."""
        return "**" if self.p < 0.01 else "*" if self.p < 0.05 else ""

    def to_dict(self) -> dict[str, Any]:
        """Return types that JSON knows."""
        return {
            "reference": self.reference,
            "other": self.other,
            **vars(self.paired),
            "p_t_corrected": self.p_t,
            "p_wilcoxon_corrected": self.p_wilcoxon,
        }


def contrast_entries(
    entries: Mapping[str, Evaluation], metrics: Sequence[str], reference: str | None = None, seed: int = 0
) -> list[Contrast]:
    """Compare a reference with each other entry, and correct for all these comparisons together.

    Parameters
    ----------
    entries
        Name -> values of each user, averaged over seeds.
    metrics
        Metrics to compare.
    reference
        Name of the reference; null: of each metric, the entry with the greatest mean. Without figures of
        the reference there is nothing to compare.
    seed
        Seed of the bootstrap intervals.

    Returns
    -------
    list of Contrast
        By metric, then in the order of the entries.
    """
    if not entries or (reference is not None and reference not in entries):
        return []
    rng = np.random.default_rng(seed)
    found: list[tuple[str, str, PairedComparison]] = []
    for metric in metrics:
        first = reference or max(entries, key=lambda name: entries[name].metrics[metric])
        found += [
            (first, other, compare(entries[first], entries[other], metric, rng=rng))
            for other in entries
            if other != first
        ]
    by_t = holm([paired.p_t for _, _, paired in found])
    by_rank = holm([paired.p_wilcoxon for _, _, paired in found])
    return [
        Contrast(first, other, paired, t, rank)
        for (first, other, paired), t, rank in zip(found, by_t, by_rank, strict=True)
    ]


@dataclass(frozen=True)
class DatasetResult:
    """All entries on one data set.

    Parameters
    ----------
    name
        Its name in the tables.
    facts
        Name, fingerprint and counts of the data set.
    metrics
        Metrics of the tables.
    entries
        The entries that were to be trained on it.
    contrasts
        Who differs from the reference.
    n_users
        Number of evaluated users; 0 where nothing was.
    reference
        The entry that the plan names for comparison, if it does.
    """

    name: str
    facts: Mapping[str, Any]
    metrics: tuple[str, ...]
    entries: tuple[EntryResult, ...]
    contrasts: tuple[Contrast, ...]
    n_users: int
    reference: str | None = None

    @classmethod
    def of(
        cls,
        name: str,
        dataset: RecDataset,
        metrics: Sequence[str],
        entries: Sequence[EntryResult],
        reference: str | None = None,
    ) -> DatasetResult:
        """Put together the entries of a data set, and compare them."""
        means = {entry.name: entry.averaged for entry in entries if entry.averaged is not None}
        n_users = max((found.n_users_evaluated for found in means.values()), default=0)
        facts = {
            "dataset": dataset.name,
            "fingerprint": dataset.fingerprint,
            "users": dataset.n_users,
            "items": dataset.n_items,
            "interactions": len(dataset.interactions),
        }
        contrasts = contrast_entries(means, metrics, reference)
        return cls(name, facts, tuple(metrics), tuple(entries), tuple(contrasts), n_users, reference)

    def contrast(self, metric: str, other: str) -> Contrast | None:
        """Return the comparison of an entry with the reference of a metric; null where it is itself."""
        found = (one for one in self.contrasts if one.paired.metric == metric and one.other == other)
        return next(found, None)

    def to_dict(self) -> dict[str, Any]:
        """Return types that JSON knows."""
        return {
            **self.facts,
            "users_evaluated": self.n_users,
            "entries": {entry.name: entry.to_dict() for entry in self.entries},
            "comparisons": [one.to_dict() for one in self.contrasts],
        }
