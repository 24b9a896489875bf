"""What facts or features could add to a trained model: its candidates, ranked anew by the choices of others.

Run ``python benchmarks/ceiling.py RUN DATA``. Do the facts of the knowledge graph, or the features, hold
anything about users' choices that the model's score and the interactions don't hold already? For each user
with validation items, the items that the model scores best are candidates, training items left out. A
gradient-boosted ranker learns the validation choices of all users but those of one fold, and ranks the
candidates of that fold; so each user is ranked by the choices of others. It sees first what is known without
facts (score, rank, popularity, activity, co-occurrence), then also how far the facts of a candidate agree
with those of the items that the user has met, and likewise each modality. The control are facts whose items
have changed places: what facts gain over it, they gain by what they say. Prints two tables and writes JSON.

The ranker sees validation choices of other users, and the epoch of the run was chosen by them all: its
figures are an upper look at what facts and features hold, and no model is to be compared with them. Nor are
they a bound: it learns from few choices, and may rank worse than the model. Test choices are used nowhere.
Where items are chosen more or less than before, as in splits by time, it learns that too, since popularity
tells popular items apart: what facts gain over shuffled ones counts, and not what it gains over the model.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from agreement import CELLS, Cosines, FactCosines, FeatureCosines, Ids, Table, agreement
from common import Figures, add_common_options, count, peak_memory_mb, print_table, tell, write_results
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from kdiffe_dgl.data.dataset import RecDataset
from kdiffe_dgl.errors import InputError
from kdiffe_dgl.evaluation.evaluator import Evaluation
from kdiffe_dgl.evaluation.metrics import ACCURACY_METRICS
from kdiffe_dgl.evaluation.ranking import rank_items
from kdiffe_dgl.evaluation.significance import PairedComparison, averaged, compare, over_seeds
from kdiffe_dgl.experiments.changes import ShuffledItems
from kdiffe_dgl.graph.operators import normalised_adjacency
from kdiffe_dgl.serving.run_folder import RunFolder

Marks = npt.NDArray[np.bool_]

CUTOFF = 20
METRICS = (f"recall@{CUTOFF}", f"ndcg@{CUTOFF}")
NEGATIVES = 0.15
"""Share of the candidates not chosen that the ranker learns from."""
SETTINGS: dict[str, Any] = {
    "learning_rate": 0.06, "max_iter": 120, "max_leaf_nodes": 15, "l2_regularization": 1.0,
    "early_stopping": False,
}  # fmt: skip
"""Of the ranker."""

TITLES = {
    "score": "the model's own score",
    "interactions": "ranker: score, popularity, co-occurrence",
    "facts": "+ facts",
    "shuffled": "+ facts, items shuffled",
    "features": "+ features",
    "everything": "+ facts and features",
    "ceiling": "chosen candidates on top (ceiling)",
}
PAIRS = (
    ("facts", "shuffled"), ("facts", "interactions"), ("shuffled", "interactions"),
    ("features", "interactions"), ("everything", "features"),
)  # fmt: skip


# --- candidates ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Candidates:
    """The best items of each user with validation items, and what interactions say of them.

    Parameters
    ----------
    users
        Who, ascending, ``[users]``.
    items
        Candidates, best first, ``[users, candidates]``.
    scores
        Their scores; NaN marks places for which no item was left, ``[users, candidates]``.
    cooccurrence
        See :func:`find_candidates`, ``[users, candidates]``.
    chosen
        Whether a candidate is a validation item of the user, ``[users, candidates]``.
    n_chosen
        Number of validation items of each user, candidates or not, ``[users]``.
    met
        Training interactions of these users, ``[users, items]``.
    popularity
        Training interactions of each item, ``[items]``.
    n_users_left_out
        Number of users without a validation item.
    """

    users: Ids
    items: Ids
    scores: Table
    cooccurrence: Table
    chosen: Marks
    n_chosen: Ids
    met: sp.csr_matrix
    popularity: Ids
    n_users_left_out: int


def find_candidates(dataset: RecDataset, user_table: Table, item_table: Table, candidates: int) -> Candidates:
    r"""Take the candidates of a model whose score is the dot product of two tables.

    Co-occurrence of user u and item i is row u of :math:`X N^\top N` at i, X the training interactions and
    :math:`N = D_u^{-1/2} X D_i^{-1/2}` with the degrees of users and items.

    Parameters
    ----------
    dataset
        The data.
    user_table, item_table
        Representations, ``[users, dim]`` and ``[items, dim]``.
    candidates
        Number for each user; at most all items.

    Raises
    ------
    InputError
        If the validation split is empty.
    """
    train, validation = dataset.matrix("train"), dataset.matrix("validation")
    if not validation.nnz:
        raise InputError(f"data set {dataset.name!r}: no validation items; expected choices to learn from")
    users = np.flatnonzero(np.diff(validation.indptr))
    normalised = normalised_adjacency(train, self_loops=False)[: dataset.n_users, dataset.n_users :]
    parts: list[tuple[npt.NDArray[Any], ...]] = []
    block = max(1, CELLS // dataset.n_items)
    for start in range(0, len(users), block):
        rows = users[start : start + block]
        met = train[rows]
        scores = torch.from_numpy(user_table[rows] @ item_table.T)
        scores[torch.from_numpy(met.toarray() > 0)] = -torch.inf
        found, values = (part.numpy() for part in rank_items(scores, min(candidates, dataset.n_items)))
        left = values > -np.inf
        together = np.take_along_axis((met @ normalised.T @ normalised).toarray(), found, axis=1)
        chosen = np.take_along_axis(validation[rows].toarray() > 0, found, axis=1) & left
        parts.append((found, np.where(left, values, np.nan), together, chosen))
    items, values, together, chosen = (np.concatenate(part) for part in zip(*parts, strict=True))
    n_chosen = np.diff(validation.indptr)[users].astype(np.int64)
    popularity = np.bincount(train.indices, minlength=dataset.n_items)
    left_out = dataset.n_users - len(users)
    return Candidates(users, items, values, together, chosen, n_chosen, train[users], popularity, left_out)


def measured(candidates: Candidates, preference: npt.NDArray[np.floating]) -> Evaluation:
    """Measure the lists in which preferred candidates come first, in the order of the model where they tie.

    Parameters
    ----------
    candidates
        Of whom and what.
    preference
        Greater is better, ``[users, candidates]``.
    """
    # Places without an item come last.
    preference = np.where(np.isnan(candidates.scores), -np.inf, preference)
    order = np.argsort(-preference, axis=1, kind="stable")
    hits = torch.from_numpy(np.take_along_axis(candidates.chosen, order, axis=1))
    n_chosen = torch.from_numpy(candidates.n_chosen)
    per_user = {
        metric: ACCURACY_METRICS[metric.partition("@")[0]](hits, n_chosen, CUTOFF).numpy()
        for metric in METRICS
    }
    return Evaluation(
        split="validation",
        mask=("train",),
        cutoffs=(CUTOFF,),
        metrics={metric: float(values.mean()) for metric, values in per_user.items()},
        per_user=per_user,
        users=candidates.users,
        n_users_left_out=candidates.n_users_left_out,
    )


# --- the ranker ----------------------------------------------------------------------------------


def known_without_facts(candidates: Candidates) -> list[Table]:
    """Return what score and interactions say of the candidates, ``[users, candidates]`` each."""
    scores = candidates.scores
    deviation = np.nanstd(scores, axis=1, keepdims=True)
    centred = scores - np.nanmean(scores, axis=1, keepdims=True)
    activity = np.log1p(np.diff(candidates.met.indptr))[:, None]
    return [
        scores,
        np.divide(centred, deviation, out=np.zeros_like(scores), where=deviation > 0),
        np.broadcast_to(np.arange(scores.shape[1]), scores.shape),
        np.log1p(candidates.popularity)[candidates.items],
        np.broadcast_to(activity, scores.shape),
        candidates.cooccurrence,
    ]


class CrossFit:
    """Rankers of which each learns the choices of all users but those of one fold, which it ranks.

    Folds and candidates to learn from are drawn once, so that rankers differ in what they see alone.

    Parameters
    ----------
    candidates
        Of whom and what.
    folds
        Number of folds.
    seed
        Of folds and candidates.

    Raises
    ------
    InputError
        If there are too few users, or a ranker would have no chosen candidate to learn from.
    """

    def __init__(self, candidates: Candidates, folds: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n_users = len(candidates.users)
        if not 2 <= folds <= n_users:
            message = f"{folds} folds of {n_users} users with validation items"
            raise InputError(f"ceiling: {message}; expected at least 2, and as many users")
        self._seed = seed
        self._chosen = candidates.chosen
        self._folds = np.array_split(rng.permutation(n_users), folds)
        drawn = rng.random(candidates.chosen.shape) < NEGATIVES
        self._learned = (candidates.chosen | drawn) & ~np.isnan(candidates.scores)
        for fold in self._folds:
            if len(np.unique(self._chosen[self._of_others(fold)])) < 2:
                raise InputError(
                    "ceiling: the users of a fold leave no chosen and unchosen candidates to learn from; "
                    "expected more users with validation items, or more candidates"
                )

    def _of_others(self, fold: Ids) -> Marks:
        """Mark what is learned from where a fold is to be ranked, ``[users, candidates]``."""
        marks = self._learned.copy()
        marks[fold] = False
        return marks

    def __call__(self, columns: Sequence[Table]) -> npt.NDArray[np.float64]:
        """Return how likely candidates are chosen, as log odds, ``[users, candidates]``.

        Parameters
        ----------
        columns
            What the ranker sees, ``[users, candidates]`` each.
        """
        table = np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=-1)
        found = np.empty(self._chosen.shape)
        for fold in self._folds:
            others = self._of_others(fold)
            ranker = HistGradientBoostingClassifier(**SETTINGS, random_state=self._seed)
            ranker.fit(table[others], self._chosen[others])
            odds = ranker.decision_function(table[fold].reshape(-1, len(columns)))
            found[fold] = odds.reshape(len(fold), -1)
        return found


def look(
    dataset: RecDataset, candidates: Candidates, folds: int, shuffles: int, seed: int
) -> dict[str, list[Evaluation]]:
    """Measure what each kind of knowledge adds.

    Parameters
    ----------
    dataset
        The data; what it lacks, a graph or features, has no rows.
    candidates
        Of :func:`find_candidates`.
    folds
        Folds of users.
    shuffles
        How many times the items of the graph change places.
    seed
        Of folds, candidates to learn from and shuffles.

    Returns
    -------
    dict
        Key of :data:`TITLES` -> evaluations; those of ``"shuffled"`` are several.
    """
    ranker = CrossFit(candidates, folds, seed)
    base = known_without_facts(candidates)

    def agreements(cosines: Cosines) -> tuple[Table, Table]:
        return agreement(cosines, candidates.met, candidates.items)

    def ranked(name: str, *more: Table) -> list[Evaluation]:
        tell(f"ranking: {name}")
        return [measured(candidates, ranker([*base, *more]))]

    found = {"score": [measured(candidates, candidates.scores)], "interactions": ranked("interactions")}
    facts: tuple[Table, ...] = ()
    if dataset.kg is not None and dataset.kg.n_triples:
        facts = agreements(FactCosines(dataset))
        found["facts"] = ranked("facts", *facts)
        found["shuffled"] = []
        for number in range(shuffles):
            shuffled = FactCosines(ShuffledItems(seed + number)(dataset))
            found["shuffled"] += ranked(f"shuffled facts, {number + 1} of {shuffles}", *agreements(shuffled))
    features = [table for each in dataset.features.values() for table in agreements(FeatureCosines(each))]
    if features:
        found["features"] = ranked("features", *features)
    if facts and features:
        found["everything"] = ranked("facts and features", *facts, *features)
    found["ceiling"] = [measured(candidates, candidates.chosen.astype(np.float32))]
    return found


def compare_kinds(found: Mapping[str, list[Evaluation]], seed: int) -> dict[str, list[PairedComparison]]:
    """Compare :data:`PAIRS` user by user, shuffles averaged; ``"facts - shuffled"`` -> both metrics."""
    rng = np.random.default_rng(seed)
    return {
        f"{first} - {second}": [
            compare(averaged(found[first]), averaged(found[second]), metric, rng=rng) for metric in METRICS
        ]
        for first, second in PAIRS
        if first in found and second in found
    }


# --- the command ---------------------------------------------------------------------------------


def show(
    title: str, found: Mapping[str, list[Evaluation]], comparisons: Mapping[str, list[PairedComparison]]
) -> None:
    """Print the figures of each kind of knowledge, and the differences."""
    rows = []
    for name, evaluations in found.items():
        summary = over_seeds([each.metrics for each in evaluations])
        figures = [summary[metric] for metric in METRICS]
        rows.append([TITLES[name], *(str(each) if each.n > 1 else f"{each.mean:.4f}" for each in figures)])
    print_table(title, ["candidates ranked by", *METRICS], rows)
    differences = []
    for pair, both in comparisons.items():
        for each in both:
            low, high = each.interval
            tests = (f"{p:.2g}" for p in (each.p_t, each.p_wilcoxon))
            differences.append(
                [pair, each.metric, f"{each.difference:+.4f}", f"{low:+.4f}, {high:+.4f}", *tests]
            )
    if differences:
        columns = ["first - second", "metric", "difference", "95 % interval", "p (t)", "p (Wilcoxon)"]
        print_table("User by user, shuffles averaged", columns, differences)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("run", help="run folder of a trained model")
    parser.add_argument("data", help="its data set folder")
    parser.add_argument("--candidates", type=count, default=200, help="for each user  [default: 200]")
    parser.add_argument("--folds", type=count, default=4, help="folds of users  [default: 4]")
    parser.add_argument("--shuffles", type=count, default=3, help="controls  [default: 3]")
    add_common_options(parser)
    options = parser.parse_args()
    if options.candidates < CUTOFF:
        parser.error(f"--candidates {options.candidates}: the lists are longer; expected at least {CUTOFF}")
    if options.seed < 0:
        parser.error(f"--seed {options.seed}: expected a number from 0")
    if options.threads:
        torch.set_num_threads(options.threads)
    started = time.perf_counter()
    try:
        run, dataset = RunFolder(options.run), RecDataset.load(options.data)
        run.check_dataset(dataset)
        candidates = find_candidates(dataset, *run.representations(), options.candidates)
        with threadpool_limits(options.threads):
            found = look(dataset, candidates, options.folds, options.shuffles, options.seed)
    except InputError as error:
        parser.error(str(error))
    comparisons = compare_kinds(found, options.seed)
    seconds, peak = time.perf_counter() - started, peak_memory_mb()
    width = candidates.items.shape[1]
    title = f"{dataset.name}, validation: {width} candidates of {len(candidates.users):,} users"
    show(title, found, comparisons)
    print(f"{seconds:.0f} s, at most {peak:,.0f} MB")
    facts: Figures = {
        "dataset": dataset.name, "run": options.run, "users": len(candidates.users), "candidates": width,
        "folds": options.folds, "seed": options.seed, "seconds": seconds, "peak_memory_mb": peak,
        "figures": {name: [each.metrics for each in evaluations] for name, evaluations in found.items()},
        "comparisons": {pair: [vars(each) for each in both] for pair, both in comparisons.items()},
    }  # fmt: skip
    write_results(f"ceiling-{dataset.name}", facts, options.json, options.threads)


if __name__ == "__main__":
    main()
