"""Metrics against trec_eval (through ir-measures) and against definitions written out in Python."""

import math
import warnings

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from kdiffe_dgl.evaluation.metrics import ACCURACY_METRICS, coverage, gini, novelty, self_information

with warnings.catch_warnings():
    # ir-measures asks about its optional providers in a deprecated way when it is imported.
    warnings.simplefilter("ignore")
    import ir_measures
    from ir_measures import AP, RR, P, R, Success, nDCG

CUTOFFS = (1, 2, 3, 5, 10)
# ir-measures' AP@K is trec_eval's map_cut: the divisor is the number of all relevant items.
ORACLE = {"recall": R, "ndcg": nDCG, "precision": P, "hit_rate": Success, "mrr": RR, "map": AP}


@st.composite
def lists(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draw hits in rank order, and relevant items that the list does not hold."""
    users, ranks = draw(st.integers(1, 6)), draw(st.integers(1, 14))
    hits = draw(hnp.arrays(bool, (users, ranks)))
    missed = draw(hnp.arrays(np.int64, users, elements=st.integers(0, 14)))
    # trec_eval leaves out users without a relevant item, as the evaluator does.
    return hits, np.where(hits.any(axis=1), missed, missed + 1)


@settings(deadline=None, max_examples=60)
@given(lists())
def test_accuracy_metrics_agree_with_trec_eval(case: tuple[np.ndarray, np.ndarray]) -> None:
    hits, missed = case
    users, ranks = hits.shape
    # Distinct scores: trec_eval breaks ties by document name, so a tie would test that instead.
    run = {str(u): {f"i{r}": float(ranks - r) for r in range(ranks)} for u in range(users)}
    qrels = {
        str(u): {
            **{f"i{r}": int(hits[u, r]) for r in range(ranks)},
            **{f"missed{n}": 1 for n in range(missed[u])},
        }
        for u in range(users)
    }
    measures = {oracle @ k: f"{name}@{k}" for name, oracle in ORACLE.items() for k in CUTOFFS}
    n_relevant = torch.from_numpy(hits.sum(axis=1) + missed)
    ours = {
        f"{name}@{k}": metric(torch.from_numpy(hits), n_relevant, k)
        for name, metric in ACCURACY_METRICS.items()
        for k in CUTOFFS
    }
    compared = 0
    for result in ir_measures.iter_calc(list(measures), qrels, run):
        value = ours[measures[result.measure]][int(result.query_id)].item()
        assert value == pytest.approx(result.value, abs=1e-12), (result.measure, hits, missed)
        compared += 1
    assert compared == users * len(measures)


def test_every_accuracy_metric_has_an_oracle() -> None:
    assert set(ORACLE) == set(ACCURACY_METRICS)


@pytest.mark.parametrize("name", sorted(ACCURACY_METRICS))
def test_user_without_relevant_items_scores_zero(name: str) -> None:
    value = ACCURACY_METRICS[name](torch.zeros(1, 4, dtype=torch.bool), torch.zeros(1, dtype=torch.long), 3)
    assert value.tolist() == [0.0]


@pytest.mark.parametrize("cutoff", [1, 3, 20])
def test_perfect_list_has_ndcg_one_at_every_cutoff(cutoff: int) -> None:
    hits = torch.tensor([[True, True, False, False]])
    assert ACCURACY_METRICS["ndcg"](hits[:, : max(cutoff, 2)], torch.tensor([2]), cutoff).item() == 1.0


exposures = hnp.arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 50))


@settings(deadline=None)
@given(exposures)
def test_gini_is_half_the_relative_mean_difference(exposure: np.ndarray) -> None:
    n, total = len(exposure), exposure.sum()
    pairs = sum(abs(int(a) - int(b)) for a in exposure for b in exposure)
    expected = pairs / (2 * n * total) if total else 0.0
    assert gini(torch.from_numpy(exposure)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("exposure", "expected"), [([3, 3, 3, 3], 0.0), ([0, 0, 0, 8], 0.75), ([0, 0], 0.0), ([5], 0.0)]
)
def test_gini_of_extremes(exposure: list[int], expected: float) -> None:
    assert gini(torch.tensor(exposure)) == pytest.approx(expected)


@given(exposures)
def test_coverage_counts_items_shown(exposure: np.ndarray) -> None:
    expected = sum(1 for count in exposure if count) / len(exposure)
    assert coverage(torch.from_numpy(exposure)) == pytest.approx(expected)


@settings(deadline=None)
@given(st.data())
def test_novelty_is_mean_bits_of_the_shown(data: st.DataObject) -> None:
    n_users, n_items, ranks = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 8)), 6
    popularity = data.draw(hnp.arrays(np.int64, n_items, elements=st.integers(0, n_users)))
    items = data.draw(hnp.arrays(np.int64, (3, ranks), elements=st.integers(0, n_items - 1)))
    lengths = data.draw(st.tuples(*[st.integers(0, ranks)] * 3))
    cutoff = data.draw(st.integers(1, ranks))
    shown = np.arange(ranks)[None, :] < np.array(lengths)[:, None]
    got = novelty(
        self_information(torch.from_numpy(popularity), n_users),
        torch.from_numpy(items),
        torch.from_numpy(shown),
        cutoff,
    )
    for user, length in enumerate(lengths):
        bits = [
            -math.log2(max(int(popularity[item]), 1) / n_users) for item in items[user, : min(length, cutoff)]
        ]
        assert got[user].item() == pytest.approx(sum(bits) / len(bits) if bits else 0.0, abs=1e-12)


def test_unseen_item_is_as_novel_as_one_that_a_single_user_saw() -> None:
    assert self_information(torch.tensor([0, 1, 4]), 4).tolist() == [2.0, 2.0, 0.0]
