"""Full-ranking evaluation of a recommender on a split of a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from kdiffe_dgl.data.dataset import SPLITS, RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.metrics import (
    ACCURACY_METRICS,
    MOST_CUTOFF,
    coverage,
    gini,
    novelty,
    self_information,
)
from kdiffe_dgl.evaluation.ranking import rank_items

__all__ = ["Evaluation", "Evaluator", "Score", "dot_product"]

Score = Callable[[Tensor], Tensor]
"""User indices, int64 ``[users]`` -> scores ``[users, items]``, greater is better."""

_EVALUATED = ("validation", "test")
# Blocks whose scores take about 64 MiB are as fast as larger ones, and fit on any machine.
_BLOCK_SCORES = 16 * 2**20


def dot_product(users: Tensor, items: Tensor) -> Score:
    """Return the score function of two tables of representations, their dot product.

    Parameters
    ----------
    users, items
        Representations on one device. shapes: ``[users, dim]``, ``[items, dim]``
    """

    def score(indices: Tensor) -> Tensor:
        return users[indices.to(users.device)] @ items.T

    return score


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Parameters
    ----------
    split
        The split that holds the relevant items.
    mask
        The splits whose items were left out of the lists.
    cutoffs
        Lengths of the lists.
    metrics
        ``"recall@20"`` -> mean over the evaluated users; coverage and Gini index are over items.
    per_user
        ``"recall@20"`` -> value of each evaluated user, float64 ``[users evaluated]``. Coverage and
        Gini index have none.
    users
        Indices of the evaluated users, ascending, int64 ``[users evaluated]``.
    n_users_left_out
        Number of users without a relevant item in the split; they are not part of the means.
    hits_by_item
        Cutoff -> how many of the evaluated users have the item in their list and in the split, int64
        ``[items]`` (a mean over seeds: float64).
    """

    split: str
    mask: tuple[str, ...]
    cutoffs: tuple[int, ...]
    metrics: dict[str, float]
    per_user: dict[str, np.ndarray]
    users: np.ndarray
    n_users_left_out: int
    hits_by_item: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def n_users_evaluated(self) -> int:
        """Number of users with a relevant item in the split."""
        return len(self.users)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the per-user values, as types that JSON knows."""
        return {
            "split": self.split,
            "mask": list(self.mask),
            "cutoffs": list(self.cutoffs),
            "n_users_evaluated": self.n_users_evaluated,
            "n_users_left_out": self.n_users_left_out,
            "metrics": dict(self.metrics),
        }

    def _repr_html_(self) -> str:
        """Show the means in a notebook."""
        # Imported here: nobody but a notebook needs tables.
        from kdiffe_dgl.display import tables_html  # noqa: PLC0415
        from kdiffe_dgl.evaluation.tables import metrics_table  # noqa: PLC0415

        return tables_html(metrics_table({self.split: self.metrics}, f"{self.n_users_evaluated:,} users"))


class Evaluator:
    """Ranks the whole catalogue for each user of a split and measures the lists.

    Ties between scores are broken in favour of the lower item index. Users without a relevant item in
    the split are left out, and counted. Users without training items are measured by the list that they are
    served: the most popular items in training (:class:`kdiffe_dgl.serving.Recommender`), as no model that
    learns from interactions alone knows anything of them.

    Parameters
    ----------
    dataset
        The data set.
    split
        ``"validation"`` or ``"test"``: the split whose items are relevant.
    mask
        Splits whose items are left out of each user's list. The default masks training items only,
        as published comparisons do; for testing, ``("train", "validation")`` is closer to use.
    cutoffs
        Lengths of the lists.
    block
        Number of users scored at once; by default as many as make about 64 MiB of scores.
    unknown
        Whether users without training items are served what is popular, or what their scores say: for
        models that know users by something else.

    Raises
    ------
    InputError
        If a split is unknown or empty, the evaluated split is masked, the block is less than 1, or a cutoff
        is not from 1 to :data:`.metrics.MOST_CUTOFF`.
    """

    def __init__(
        self,
        dataset: RecDataset,
        split: str = "validation",
        mask: Sequence[str] = ("train",),
        cutoffs: Sequence[int] = (5, 10, 20, 50),
        block: int | None = None,
        unknown: Literal["popular", "scores"] = "popular",
    ) -> None:
        _check_settings(split, mask, cutoffs, block)
        self.split = split
        self.mask = tuple(mask)
        self.cutoffs = tuple(sorted({int(cutoff) for cutoff in cutoffs}))
        self.n_items = dataset.n_items
        relevant = dataset.matrix(split)
        if not relevant.nnz:
            raise InputError(
                f"data set {dataset.name!r}: the {split} split is empty; expected interactions to evaluate on"
            )
        counts = np.diff(relevant.indptr)
        self.users: np.ndarray = np.flatnonzero(counts).astype(np.int64)
        self.n_users_left_out = dataset.n_users - len(self.users)
        self.block = block or max(1, _BLOCK_SCORES // self.n_items)
        self._n_relevant = torch.from_numpy(counts[self.users].astype(np.int64))
        self._relevant = _Pairs(relevant[self.users])
        self._masked = _Pairs(dataset.matrix(*self.mask)[self.users]) if self.mask else None
        train = dataset.matrix("train")
        known = np.diff(train.indptr) > 0
        popularity = torch.from_numpy(np.bincount(train.indices, minlength=self.n_items))
        self._information = self_information(popularity, int(known.sum()))
        self._popularity = popularity
        self._unknown = torch.from_numpy(~known[self.users] & (unknown == "popular"))

    @torch.no_grad()
    def evaluate(self, score: Score) -> Evaluation:
        """Measure a recommender.

        Parameters
        ----------
        score
            Function of user indices, int64 ``[users]`` on the CPU, that returns their scores for
            all items, ``[users, items]`` on any device. It is called once a block of users, in
            ascending order, and what it returns is not changed.

        Returns
        -------
        Evaluation
            Means, per-user values and counts.

        Raises
        ------
        InputError
            If the scores have another shape, or are not finite.
        """
        names = [f"{name}@{cutoff}" for name in (*ACCURACY_METRICS, "novelty") for cutoff in self.cutoffs]
        parts: dict[str, list[Tensor]] = {name: [] for name in names}
        exposure = torch.zeros(len(self.cutoffs), self.n_items, dtype=torch.int64)
        found = torch.zeros_like(exposure)
        for start in range(0, len(self.users), self.block):
            stop = min(start + self.block, len(self.users))
            items, shown, hits = self._lists(score, start, stop)
            n_relevant = self._n_relevant[start:stop]
            for row, cutoff in enumerate(self.cutoffs):
                for name, metric in ACCURACY_METRICS.items():
                    parts[f"{name}@{cutoff}"].append(metric(hits, n_relevant, cutoff))
                parts[f"novelty@{cutoff}"].append(novelty(self._information, items, shown, cutoff))
                listed = items[:, :cutoff][shown[:, :cutoff]]
                exposure[row] += torch.bincount(listed, minlength=self.n_items)
                relevant = items[:, :cutoff][hits[:, :cutoff]]
                found[row] += torch.bincount(relevant, minlength=self.n_items)
        per_user = {name: torch.cat(values).numpy() for name, values in parts.items()}
        metrics = {name: float(values.mean()) for name, values in per_user.items()}
        for name, measure in (("coverage", coverage), ("gini", gini)):
            for row, cutoff in enumerate(self.cutoffs):
                metrics[f"{name}@{cutoff}"] = measure(exposure[row])
        return Evaluation(
            split=self.split,
            mask=self.mask,
            cutoffs=self.cutoffs,
            metrics=metrics,
            per_user=per_user,
            users=self.users,
            n_users_left_out=self.n_users_left_out,
            hits_by_item={cutoff: found[row].numpy() for row, cutoff in enumerate(self.cutoffs)},
        )

    def _lists(self, score: Score, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return items, whether each is a recommendation, and whether it is relevant, all on the CPU."""
        given = score(torch.from_numpy(self.users[start:stop]))
        self._check_scores(given, start, stop)
        scores = given.detach().clone()
        unknown = self._unknown[start:stop]
        if unknown.any():
            scores[unknown.to(scores.device)] = self._popularity.to(scores)
        if self._masked is not None:
            rows, columns = self._masked.block(start, stop)
            scores[rows.to(scores.device), columns.to(scores.device)] = -torch.inf
        ranked, values = rank_items(scores, min(max(self.cutoffs), self.n_items))
        items, shown = ranked.cpu(), (values > -torch.inf).cpu()
        return items, shown, self._relevant.contains(start, stop, items) & shown

    def _check_scores(self, scores: Tensor, start: int, stop: int) -> None:
        expected = (stop - start, self.n_items)
        if tuple(scores.shape) != expected or not scores.is_floating_point():
            raise InputError(
                f"evaluation: the scores are {scores.dtype} of shape {list(scores.shape)}; "
                f"expected floating point of shape {list(expected)}, a row for each user asked for"
            )
        # One pass without a temporary: NaN spreads to both extremes.
        low, high = torch.aminmax(scores)
        if not (torch.isfinite(low) and torch.isfinite(high)):
            row = int(torch.nonzero(~torch.isfinite(scores).all(dim=1))[0])
            raise InputError(
                f"evaluation: a score of user {int(self.users[start + row])} is NaN or infinite; "
                "expected finite scores (did training diverge?)"
            )


class _Pairs:
    """User-item pairs that are looked up by block of users.

    Parameters
    ----------
    matrix
        CSR with sorted indices. shape: ``[users evaluated, items]``
    """

    def __init__(self, matrix: sparse.csr_matrix) -> None:
        matrix.sort_indices()
        self._starts = matrix.indptr
        self._n_items = matrix.shape[1]
        self._rows = torch.from_numpy(
            np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
        )
        self._columns = torch.from_numpy(matrix.indices.astype(np.int64))

    def block(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return rows (counted from ``start``) and columns of the pairs of a block of users."""
        part = slice(int(self._starts[start]), int(self._starts[stop]))
        return self._rows[part] - start, self._columns[part]

    def contains(self, start: int, stop: int, items: Tensor) -> Tensor:
        """Say which items are paired with their user. shape: ``[stop - start, ranks]``, in and out."""
        rows, columns = self.block(start, stop)
        # Sorted by user and item, so the pairs are ascending as single numbers.
        keys = rows * self._n_items + columns
        wanted = torch.arange(stop - start)[:, None] * self._n_items + items
        places = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
        return keys[places] == wanted


def _check_settings(split: str, mask: Sequence[str], cutoffs: Sequence[int], block: int | None) -> None:
    if split not in _EVALUATED:
        raise InputError(f"evaluation: unknown split {split!r}; expected 'validation' or 'test'")
    unknown = [name for name in mask if name not in SPLITS]
    if isinstance(mask, str) or unknown:
        raise InputError(
            f"evaluation: cannot mask {mask if isinstance(mask, str) else unknown[0]!r}; "
            f"expected a list of splits out of {', '.join(SPLITS)}"
        )
    if split in mask:
        raise InputError(f"evaluation: the {split} split is both evaluated and masked; mask other splits")
    if not cutoffs or not 1 <= min(cutoffs) <= max(cutoffs) <= MOST_CUTOFF:
        raise InputError(
            f"evaluation: the cutoffs are {list(cutoffs)}; expected numbers from 1 to {MOST_CUTOFF}"
        )
    if block is not None and block < 1:
        raise InputError(f"evaluation: the block is {block} users; expected at least 1")
