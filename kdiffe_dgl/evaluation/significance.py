"""Is one recommender better than another? Paired tests over users, and spread over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.evaluator import Evaluation

__all__ = ["PairedComparison", "SeedSummary", "averaged", "compare", "holm", "over_seeds"]

_DIGITS = 12


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
    # Means over seeds that tie are told apart by their last digits, and the test of ranks by their ties.
    difference = difference.round(_DIGITS) + 0.0
    mean = float(difference.mean())
    if len(difference) < 2 or np.ptp(difference) == 0.0:
        # Without spread the t-test is undefined: nothing differs, or everyone differs alike.
        alone = len(difference) < 2 or mean == 0.0
        p = (1.0, 1.0) if alone else (0.0, float(stats.wilcoxon(difference).pvalue))
        return PairedComparison(metric, len(difference), mean, *p, (mean, mean), confidence)
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


def averaged(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Return one evaluation whose values are the means over several, user by user.

    So several seeds of a model are compared with several of another: the users stay the units of the test,
    as the runs of one model share their users and are not independent.

    Parameters
    ----------
    evaluations
        On the same split of the same data, with the same mask and cutoffs.

    Raises
    ------
    InputError
        If there is none, or they differ in split, mask or users.
    """
    if not evaluations:
        raise InputError("seeds: no evaluations to average; expected at least one")
    first = evaluations[0]
    for other in evaluations[1:]:
        if (other.split, other.mask) != (first.split, first.mask) or not np.array_equal(
            other.users, first.users
        ):
            raise InputError("seeds: the evaluations differ in split, mask or users; expected the same")
    return replace(
        first,
        metrics={
            name: float(np.mean([each.metrics[name] for each in evaluations])) for name in first.metrics
        },
        per_user={
            name: np.mean([each.per_user[name] for each in evaluations], axis=0) for name in first.per_user
        },
        hits_by_item={
            cutoff: np.mean([each.hits_by_item[cutoff] for each in evaluations], axis=0)
            for cutoff in first.hits_by_item
        },
    )


def holm(p_values: Sequence[float]) -> list[float]:
    r"""Correct p-values for the number of comparisons, after Holm.

    In ascending order, :math:`\tilde p_{(i)} = \max_{j \le i} \min(1, (m - j + 1)\, p_{(j)})`. The
    probability that any of the true null hypotheses is refused at a level is then at most that level,
    however the tests depend on each other. Holm, *A simple sequentially rejective multiple test procedure*,
    Scandinavian Journal of Statistics 6, 1979.

    Parameters
    ----------
    p_values
        One a comparison.

    Returns
    -------
    list of float
        In the same order.
    """
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    scaled = np.minimum(given[order] * np.arange(len(given), 0, -1), 1.0)
    corrected = np.empty_like(given)
    corrected[order] = np.maximum.accumulate(scaled)
    return corrected.tolist()


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
