"""Is one recommender better than another? Paired tests over users, and spread over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.evaluator import Evaluation

__all__ = ["PairedComparison", "SeedSummary", "compare", "over_seeds"]


@dataclass(frozen=True)
class PairedComparison:
    """The difference of a metric between two recommenders over the same users.

    Parameters
    ----------
    metric
        Name, such as ``"recall@20"``.
    n_users
        Number of users.
    difference
        Mean of first minus second.
    p_t
        Two-sided p-value of the paired t-test: could the mean difference be 0?
    p_wilcoxon
        Two-sided p-value of Wilcoxon's signed-rank test, which does not assume a normal mean; users
        without a difference are dropped.
    interval
        Bootstrap confidence interval of the mean difference (percentiles over resampled users).
    confidence
        Its level.
    """

    metric: str
    n_users: int
    difference: float
    p_t: float
    p_wilcoxon: float
    interval: tuple[float, float]
    confidence: float


def compare(
    first: Evaluation,
    second: Evaluation,
    metric: str,
    *,
    rng: np.random.Generator,
    n_resamples: int = 2000,
    confidence: float = 0.95,
) -> PairedComparison:
    """Compare two evaluations user by user.

    Smucker, Allan and Carterette, *A comparison of statistical significance tests for information
    retrieval evaluation*, CIKM 2007, compare these tests.

    Parameters
    ----------
    first, second
        Evaluations on the same split of the same data.
    metric
        A metric that has per-user values.
    rng
        Source of randomness of the bootstrap.
    n_resamples
        Number of bootstrap samples.
    confidence
        Level of the interval.

    Raises
    ------
    InputError
        If the metric is unknown, or the evaluations differ in split, mask or users.
    """
    for field in ("split", "mask"):
        ours, theirs = getattr(first, field), getattr(second, field)
        if ours != theirs:
            raise InputError(f"comparison: the {field} is {ours!r} and {theirs!r}; expected the same")
    if not np.array_equal(first.users, second.users):
        raise InputError("comparison: the evaluations are of different users; expected the same data set")
    for evaluation in (first, second):
        if metric not in evaluation.per_user:
            raise InputError(
                f"comparison: {metric!r} has no values by user; expected one of "
                f"{', '.join(evaluation.per_user)}"
            )
    difference = np.asarray(first.per_user[metric] - second.per_user[metric], dtype=np.float64)
    mean = float(difference.mean())
    if len(difference) < 2 or np.ptp(difference) == 0.0:
        # Without spread the tests are undefined: nothing differs, or everyone differs alike.
        p = 1.0 if mean == 0.0 or len(difference) < 2 else 0.0
        return PairedComparison(metric, len(difference), mean, p, p, (mean, mean), confidence)
    interval = stats.bootstrap(
        (difference,),
        np.mean,
        n_resamples=n_resamples,
        batch=max(1, 2**22 // len(difference)),
        confidence_level=confidence,
        method="percentile",
        rng=rng,
    ).confidence_interval
    return PairedComparison(
        metric=metric,
        n_users=len(difference),
        difference=mean,
        p_t=float(stats.ttest_1samp(difference, 0.0).pvalue),
        p_wilcoxon=float(stats.wilcoxon(difference).pvalue),
        interval=(float(interval.low), float(interval.high)),
        confidence=confidence,
    )


@dataclass(frozen=True)
class SeedSummary:
    """A metric over runs that differ in their seed.

    Parameters
    ----------
    mean
        Mean over runs.
    std
        Standard deviation over runs with divisor ``n - 1``; 0 for one run.
    n
        Number of runs.
    """

    mean: float
    std: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.std:.4f} (n = {self.n})"


def over_seeds(runs: Sequence[Mapping[str, float]]) -> dict[str, SeedSummary]:
    """Summarise the metrics of several runs.

    Parameters
    ----------
    runs
        ``"recall@20"`` -> value, one mapping a run, all with the same names.

    Raises
    ------
    InputError
        If there is no run, or the names differ.
    """
    if not runs:
        raise InputError("seeds: no runs to summarise; expected at least one")
    for place, run in enumerate(runs):
        odd = sorted(run.keys() ^ runs[0].keys())
        if odd:
            raise InputError(
                f"seeds: run {place} and run 0 do not share the metric {odd[0]!r}; expected both to"
            )
    summaries = {}
    for name in runs[0]:
        values = np.array([run[name] for run in runs], dtype=np.float64)
        spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        summaries[name] = SeedSummary(float(values.mean()), spread, len(values))
    return summaries
