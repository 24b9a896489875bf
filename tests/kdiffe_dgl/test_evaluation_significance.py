"""Paired tests and spread over seeds."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation import Evaluation
from kdiffe_dgl.evaluation.significance import averaged, compare, holm, over_seeds


def evaluation(values: np.ndarray, **changes: object) -> Evaluation:
    options: dict = {
        "split": "test",
        "mask": ("train",),
        "cutoffs": (20,),
        "metrics": {"recall@20": float(values.mean())},
        "per_user": {"recall@20": values},
        "users": np.arange(len(values)),
        "n_users_left_out": 0,
    }
    return Evaluation(**(options | changes))


def test_finds_a_difference_and_agrees_with_scipy_on_pairs() -> None:
    rng = np.random.default_rng(0)
    first = rng.random(300)
    second = first - 0.05 + 0.1 * rng.standard_normal(300)
    result = compare(evaluation(first), evaluation(second), "recall@20", rng=np.random.default_rng(1))
    assert result.difference == pytest.approx(first.mean() - second.mean())
    assert result.p_t == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert result.p_wilcoxon == pytest.approx(stats.wilcoxon(first, second).pvalue)
    assert result.p_t < 1e-6
    # The bootstrap's interval is near the normal one, 1.96 standard errors each way.
    error = (first - second).std(ddof=1) / np.sqrt(300)
    np.testing.assert_allclose(
        result.interval,
        [result.difference - 1.96 * error, result.difference + 1.96 * error],
        atol=0.25 * error,
    )


def test_same_generator_same_interval() -> None:
    rng = np.random.default_rng(2)
    pair = evaluation(rng.random(40)), evaluation(rng.random(40))
    results = [compare(*pair, "recall@20", rng=np.random.default_rng(3)) for _ in range(2)]
    assert results[0] == results[1]
    assert results[0].interval[0] < results[0].difference < results[0].interval[1]


@pytest.mark.parametrize(("shift", "p", "p_ranks"), [(0.0, 1.0, 1.0), (0.25, 0.0, 0.25)])
def test_differences_without_spread(shift: float, p: float, p_ranks: float) -> None:
    values = np.array([0.0, 0.5, 0.25])
    result = compare(
        evaluation(values + shift), evaluation(values), "recall@20", rng=np.random.default_rng(0)
    )
    assert (result.difference, result.p_t, result.p_wilcoxon) == (shift, p, p_ranks)
    assert result.interval == (shift, shift)


def test_ties_over_seeds_are_ties_to_the_rank_test() -> None:
    """Hits of each seed are whole numbers, so the exact answer is that of their sums."""
    rng = np.random.default_rng(0)
    hits = rng.integers(0, 4, (2, 5, 60))
    seeds = [[evaluation(row / 3) for row in model] for model in hits]
    orders = ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [3, 0, 4, 1, 2])
    found = [
        compare(
            averaged([seeds[0][seed] for seed in order]),
            averaged([seeds[1][seed] for seed in order]),
            "recall@20",
            rng=np.random.default_rng(1),
        )
        for order in orders
    ]
    exact = stats.wilcoxon((hits[0] - hits[1]).sum(axis=0))
    assert [each.p_wilcoxon for each in found] == [exact.pvalue] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"users": np.array([1, 2])}, "of different users"),
        ({"split": "validation"}, "the split is 'test' and 'validation'"),
        ({"mask": ()}, "the mask is"),
        ({"per_user": {"ndcg@5": np.zeros(2)}}, "'recall@20' has no values by user; expected one of ndcg@5"),
    ],
)
def test_evaluations_that_do_not_pair(changes: dict, message: str) -> None:
    values = np.array([0.0, 1.0])
    with pytest.raises(InputError, match=message):
        compare(evaluation(values), evaluation(values, **changes), "recall@20", rng=np.random.default_rng(0))


def test_mean_and_standard_deviation_over_seeds() -> None:
    summary = over_seeds([{"recall@20": 0.1}, {"recall@20": 0.2}, {"recall@20": 0.3}])["recall@20"]
    assert (summary.mean, summary.std, summary.n) == pytest.approx((0.2, 0.1, 3))
    assert str(summary) == "0.2000 ± 0.1000 (n = 3)"
    assert over_seeds([{"recall@20": 0.1}])["recall@20"].std == 0.0


def test_seeds_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="no runs"):
        over_seeds([])
    with pytest.raises(InputError, match="run 1 and run 0 do not share the metric 'ndcg@20'"):
        over_seeds([{"recall@20": 0.1}, {"recall@20": 0.1, "ndcg@20": 0.1}])


def test_holm_is_the_closed_test_of_bonferroni() -> None:
    rng = np.random.default_rng(5)
    for size in (1, 2, 4, 6):
        for _ in range(20):
            given = np.round(rng.random(size) ** 3, 2)
            # By definition of closed testing: a hypothesis is as surprising as the least surprising set
            # of hypotheses that holds it, each set tested by Bonferroni.
            expected = [
                max(
                    min(1.0, len(chosen) * min(given[list(chosen)]))
                    for number in range(1, size + 1)
                    for chosen in combinations(range(size), number)
                    if one in chosen
                )
                for one in range(size)
            ]
            np.testing.assert_allclose(holm(given.tolist()), expected)
    assert holm([]) == []


def test_averages_user_by_user() -> None:
    rng = np.random.default_rng(6)
    values = rng.random((3, 8))
    runs = [evaluation(one, hits_by_item={20: np.full(4, place)}) for place, one in enumerate(values)]
    mean = averaged(runs)
    np.testing.assert_allclose(mean.per_user["recall@20"], values.mean(axis=0))
    np.testing.assert_allclose(mean.hits_by_item[20], 1.0)
    assert mean.metrics["recall@20"] == pytest.approx(values.mean())
    with pytest.raises(InputError, match="no evaluations to average"):
        averaged([])
    for odd in ({"split": "validation"}, {"mask": ()}, {"users": np.arange(1, 9)}):
        with pytest.raises(InputError, match="differ in split, mask or users"):
            averaged([runs[0], evaluation(values[1], **odd)])
