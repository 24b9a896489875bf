"""How runs are measured, and what of a measurement a comparison needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.evaluation.evaluator import Evaluation
from kdiffe_dgl.evaluation.metrics import cutoff_of
from kdiffe_dgl.experiments.results import RunResult, measure_run

__all__ = ["Measured", "Measures"]

Measured = tuple[RunResult, Evaluation]
"""What is known of a run, and its test values by user."""


@dataclass(frozen=True)
class Measures:
    """How runs are measured.

    Parameters
    ----------
    metrics
        Metrics whose values by user are kept.
    mask, cutoffs
        As of :class:`kdiffe_dgl.evaluation.Evaluator`.
    """

    metrics: tuple[str, ...]
    mask: tuple[str, ...]
    cutoffs: tuple[int, ...]

    def of(self, measured: Measured) -> Measured | None:
        """Return what is asked for of a run; null where it was measured with another mask, or by less."""
        run, test = measured
        if set(test.mask) != set(self.mask) or not (
            set(self.metrics) <= test.per_user.keys() and set(self.cutoffs) <= set(test.cutoffs)
        ):
            return None
        lengths = sorted({cutoff_of(metric) for metric in self.metrics})
        columns = {"users": self.metrics, "items": [f"recall@{cutoff}" for cutoff in lengths]}
        groups = {
            kind: {label: {name: group[name] for name in ("n", *names)} for label, group in found.items()}
            for kind, names in columns.items()
            for found in (run.groups[kind],)
        }
        figures = {name: value for name, value in test.metrics.items() if cutoff_of(name) in self.cutoffs}
        per_user = {metric: test.per_user[metric] for metric in self.metrics}
        narrow = replace(test, mask=self.mask, cutoffs=self.cutoffs, metrics=figures, per_user=per_user)
        return replace(run, test=figures, groups=groups), narrow

    def measure(
        self,
        dataset: RecDataset,
        folder: Path,
        known: Measured | None = None,
        judge: RecDataset | None = None,
    ) -> Measured:
        """Measure a finished run.

        Parameters
        ----------
        dataset
            The data set that it was trained on.
        folder
            Its run folder.
        known
            What was measured of it before: it is measured again with it, where the mask is the same, so that
            what takes its place holds no less.
        judge
            See :func:`kdiffe_dgl.experiments.results.measure_run`.
        """
        metrics, cutoffs = set(self.metrics), set(self.cutoffs)
        if known is not None and set(known[1].mask) == set(self.mask):
            metrics.update(known[1].per_user)
            cutoffs.update(known[1].cutoffs)
        # Sorted: in whichever order they were asked for, the same is found.
        return measure_run(dataset, folder, sorted(metrics), self.mask, sorted(cutoffs), judge)
