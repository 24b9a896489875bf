r"""From evidence to the probability that an edge is more than a random one.

Known edges are set against decoys, random edges that had the same evidence gathered: a logistic regression
gives the ratio :math:`L = f_{known} / f_{random}` of their densities, each relation with coefficients of its
own that are shrunk towards common ones. Edges and decoys are dealt out into folds, and each fold is judged
by what the others taught: coefficients that had seen an edge as a known one would speak for it, and a random
edge among the known would seem better than a decoy. Where a share π of a relation's edges are no better than
random (estimated by how many fall below the decoys' median: Storey, *A direct approach to false discovery
rates*, JRSS B 2002), an edge is more than that with probability :math:`1 - π / L` (the local false discovery
rate of Efron et al., *Empirical Bayes analysis of a microarray experiment*, JASA 2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Calibrated", "calibrate", "logistic_regression", "threshold_of"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]

_COMMON_RIDGE, _OWN_RIDGE = 1.0, 20.0
_CLIP = 4.0  # standard deviations: beyond them, more of a thing says no more
_NEWTON_STEPS = 30
_FOLDS = 3


@dataclass(frozen=True)
class Calibrated:
    """How much speaks for each edge.

    Attributes
    ----------
    score
        :math:`1 - π / L`, float64 ``[edges]``, at most 1; below 0 where an edge is less likely than a random
        one. The greater, the better.
    random_share
        π of each relation, float64 ``[relations]``; NaN where it has no known edge.
    """

    score: FloatArray
    random_share: FloatArray


def logistic_regression(
    features: FloatArray, known: BoolArray, weight: FloatArray, offset: FloatArray, ridge: FloatArray
) -> FloatArray:
    r"""Fit a weighted logistic regression with a ridge, by Newton steps.

    It minimises :math:`\sum_n w_n \log(1 + e^{-y_n (o_n + x_n b)}) + \frac12 \sum_k r_k b_k^2`.

    Parameters
    ----------
    features
        x, ``[edges, features]``.
    known
        Whether y is 1, otherwise -1, ``[edges]``.
    weight, offset
        w and o, ``[edges]`` each.
    ridge
        r, ``[features]``.

    Returns
    -------
    numpy.ndarray
        b, ``[features]``.
    """
    coefficients = np.zeros(features.shape[1])

    def objective(b: FloatArray) -> float:
        logit = offset + features @ b
        return float(weight @ np.logaddexp(0, np.where(known, -logit, logit)) + 0.5 * ridge @ b**2)

    value = objective(coefficients)
    for _ in range(_NEWTON_STEPS):
        probability = 0.5 * (1 + np.tanh(0.5 * (offset + features @ coefficients)))
        gradient = features.T @ (weight * (probability - known)) + ridge * coefficients
        curvature = weight * probability * (1 - probability)
        hessian = (features * curvature[:, None]).T @ features + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        length, lower = 1.0, objective(coefficients - step)
        while lower > value and length > 1e-4:  # a convex function: a shorter step in this direction helps
            length /= 2
            lower = objective(coefficients - length * step)
        coefficients, gained, value = coefficients - length * step, value - lower, min(lower, value)
        if gained <= 1e-6 * abs(value):
            break
    return coefficients


def calibrate(evidence: FloatArray, relation: IntArray, decoy: BoolArray, n_relations: int) -> Calibrated:
    """Compare known edges with decoys.

    Parameters
    ----------
    evidence
        What speaks for each edge, ``[edges, kinds]``.
    relation
        int64 ``[edges]``.
    decoy
        Which edges are decoys, ``[edges]``; each relation of a known edge has some.
    n_relations
        Number of relations.

    Returns
    -------
    Calibrated
        In the order of the edges.
    """
    features = _features(evidence, decoy)
    known = ~decoy
    counts = np.bincount(relation[known], minlength=n_relations)
    decoys = np.bincount(relation[decoy], minlength=n_relations)
    # The decoys of a relation weigh as much as its known edges.
    weight = np.where(known, 1.0, counts[relation] / np.maximum(decoys[relation], 1))
    order = np.argsort(relation, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(relation[order])) + 1)
    logit = np.zeros(len(relation))
    fold = _folds(relation, decoy)
    for left_out in range(_FOLDS):
        taught, judged = fold != left_out, fold == left_out
        logit[judged] = _fitted(features, known, weight, groups, taught, judged)
    score, share = np.full(len(relation), -np.inf), np.full(n_relations, np.nan)
    for own in groups:
        number = relation[own[0]]
        if not counts[number]:
            continue
        y, own_logit = known[own], logit[own]
        # Without a decoy to compare with, nothing is known to be better than random.
        median = np.median(own_logit[~y]) if decoys[number] else np.inf
        share[number] = min(1.0, (np.sum(own_logit[y] <= median) + 1) / (0.5 * np.sum(y)))
        score[own] = 1 - share[number] * np.exp(-np.clip(own_logit, -20, 20))
    return Calibrated(score, share)


def _folds(relation: IntArray, decoy: BoolArray) -> IntArray:
    """Deal out the edges of each relation, known ones and decoys apart, one fold after the other."""
    group = 2 * relation + decoy
    order = np.argsort(group, kind="stable")
    counts = np.bincount(group)
    rank = np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)
    fold = np.empty(len(group), dtype=np.int64)
    fold[order] = rank % _FOLDS
    return fold


def _fitted(
    features: FloatArray,
    known: BoolArray,
    weight: FloatArray,
    groups: Sequence[IntArray],
    taught: BoolArray,
    judged: BoolArray,
) -> FloatArray:
    """Fit the regressions to some edges, and return the logits of others; groups are those of a relation."""
    ridge = np.full(features.shape[1], _COMMON_RIDGE)
    ridge[0] = 1e-3  # the intercept
    common = features @ logistic_regression(
        features[taught], known[taught], weight[taught], np.zeros(int(taught.sum())), ridge
    )
    own_ridge = np.full(features.shape[1], _OWN_RIDGE)
    logit = common.copy()
    for own in groups:
        first, then = own[taught[own]], own[judged[own]]
        own_part = logistic_regression(features[first], known[first], weight[first], common[first], own_ridge)
        logit[then] += features[then] @ own_part
    return logit[judged]


def threshold_of(score: FloatArray, passing: float) -> float:
    """Return the score that a share of decoys exceeds, so that as many random edges pass.

    Parameters
    ----------
    score
        Scores of the decoys.
    passing
        Share that may pass, from 0 to 1.
    """
    if not len(score):
        return -np.inf
    descending = np.sort(score)[::-1]
    allowed = int(np.floor(passing * len(score) + 1e-9))
    return float(descending[allowed]) if allowed < len(score) else -np.inf


def _features(evidence: FloatArray, decoy: BoolArray) -> FloatArray:
    """Return one, the evidence in deviations of the decoys, its squares and products, each of unit size."""
    centre, spread = evidence[decoy].mean(axis=0), evidence[decoy].std(axis=0)
    scaled = np.clip((evidence - centre) / np.maximum(spread, 1e-9), -_CLIP, _CLIP)
    first, second = np.triu_indices(scaled.shape[1])
    columns = np.concatenate([scaled, scaled[:, first] * scaled[:, second]], axis=1)
    columns /= np.maximum(columns.std(axis=0), 1e-9)
    return np.concatenate([np.ones((len(columns), 1)), columns], axis=1)
