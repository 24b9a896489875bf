"""What a relation tells about which items the same users choose, measured on training interactions.

For each user, count the pairs of chosen items that a relation joins; a relation that causes choices joins
more of them than the same relation with its items shuffled. Popular items both have more facts and are
chosen together more often: therefore items are shuffled among those of like popularity, and what popularity
alone makes of the count (users choosing independently) is taken off before it is compared.

With ``Y`` the [users, units] matrix of choices, ``N`` the 0/1 [units, tails] matrix of the relation,
``p_u = 1 / (n_u - 1)`` for a user with ``n_u`` choices (each choice has one vote) and ``q_t = 1 / (d_t - 1)``
for a tail with ``d_t`` units (a hub weighs as much as its units, not as its pairs), the statistic is

    T(N) = Σ_u p_u Σ_t q_t [ (Y N)²_ut - (Y² N)_ut ],

one sparse product; no [items, items] matrix exists. For a relation between items with the 0/1 matrix ``S`` of
its pairs it is ``T(S) = Σ_u p_u (Y S ∘ Y)_u``. For a relation between other entities, the units are the
entities that items lead to and ``Y`` counts a user's ways to them; shuffled are these entities, so that what
is told is what the relation adds to them.

The p-value is that of a Pearson type III distribution with the mean, deviation and skewness of the shuffled
statistics, as is usual for permutation tests (Mielke & Berry, 2007, *Permutation Methods*), but never below
the share of shuffles that came as high.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse, stats

from kg_builders.errors import InputError
from kg_builders.schema import ITEM, KnowledgeGraph

__all__ = ["USEFULNESS_SCHEMA", "relation_usefulness", "training_pairs"]

USEFULNESS_SCHEMA = {
    "relation": pl.Utf8,
    "joins": pl.Utf8,
    "units": pl.Int64,
    "tails": pl.Int64,
    "observed": pl.Float64,
    "expected": pl.Float64,
    "deviation": pl.Float64,
    "lift": pl.Float64,
    "z": pl.Float64,
    "p": pl.Float64,
    "p_adjusted": pl.Float64,
    "verdict": pl.Utf8,
}
MIN_UNITS = 10
"""With fewer units, chance can't be told from usefulness."""
POWER = 2.0
"""A relation counts as chance only if twice the expected statistic would lie this many deviations above."""
STRATA = 10
"""Groups of like popularity within which units are shuffled."""
MOST_TERMS = 1_000_000
"""Terms of one sparse product; users are sampled for more."""

Matrix = sparse.csr_matrix


@dataclass(frozen=True)
class _Subject:
    """A relation as a matrix over the units that are shuffled.

    Parameters
    ----------
    joins
        ``"items"``, ``"shared tails"`` or ``"two hops"``.
    choices
        Y, [users, units].
    facts
        N [units, tails], or S [units, units] for a relation between items.
    """

    joins: str
    choices: Matrix
    facts: Matrix


def relation_usefulness(
    kg: KnowledgeGraph,
    interactions: pl.DataFrame,
    significance: float = 0.01,
    permutations: int = 99,
    rng: np.random.Generator | None = None,
) -> pl.DataFrame:
    """Measure what sharing the tails of each relation tells about being chosen by the same users.

    Parameters
    ----------
    interactions
        Training pairs: columns ``user`` and ``item`` (original ids); a column ``split``, if there is one,
        must say ``train`` everywhere.
    significance
        False discovery rate (Benjamini & Hochberg, 1995) at which a relation counts as useful.
    permutations
        Shuffles.
    rng
        Shuffles, and draws users where there are too many; by default seeded with 0.

    Returns
    -------
    pl.DataFrame
        One row a relation, the most useful first: ``relation`` (name); ``joins``, how it joins items
        (``items``: directly, ``shared tails``, ``two hops``, ``nothing``: no two items, or ``farther``);
        ``units`` and ``tails`` that it joins; ``observed`` and ``expected`` statistic and its ``deviation``
        by chance; ``lift``, their ratio; ``z``, the difference in deviations; ``p`` and, for many
        relations, ``p_adjusted``; and the ``verdict``: ``useful``, ``chance``, ``joins nothing``, ``too few``
        facts to tell, or ``not judged`` (farther).

    Raises
    ------
    InputError
        If the interactions lack a column, hold validation or test rows, or no item of the graph.

    Notes
    -----
    A relation that only some items have is judged by its values among these items, unless it has but one
    value. It is a measure of association: a relation that is useful only together with another is not found.
    """
    first = int((rng if rng is not None else np.random.default_rng(0)).integers(2**63))
    choices = _choices(kg, training_pairs(interactions))
    head, tail = kg.triples["head"].to_numpy(), kg.triples["tail"].to_numpy()
    relation = kg.triples["relation"].to_numpy()
    is_item = (kg.entities["kind"] == ITEM).to_numpy()
    reach = _ways(head, tail, is_item)
    order = np.argsort(relation, kind="stable")
    bounds = np.searchsorted(relation[order], np.arange(kg.n_relations + 1))
    rows = []
    for number, name in enumerate(kg.relations["name"].to_list()):
        places = order[bounds[number] : bounds[number + 1]]
        # A generator of its own for each relation, by its name: its figures don't depend on the others.
        child = np.random.default_rng([first, crc32(name.encode())])
        row = _judge(head[places], tail[places], is_item, choices, reach, permutations, child)
        rows.append({"relation": name, **row})
    table = pl.DataFrame(
        rows, schema={key: USEFULNESS_SCHEMA[key] for key in USEFULNESS_SCHEMA if key != "p_adjusted"}
    )
    return _verdicts(table, significance)


def training_pairs(interactions: pl.DataFrame) -> pl.DataFrame:
    """Return the distinct (user, item) pairs as texts, refusing anything but training interactions.

    Raises
    ------
    InputError
        If ``user`` or ``item`` is missing or empty somewhere, or a row is of another split than ``train``.
    """
    missing = [column for column in ("user", "item") if column not in interactions.columns]
    if missing:
        raise InputError(f"interactions: no column {missing[0]!r}; expected user, item and, if known, split")
    if "split" in interactions.columns:
        splits = interactions["split"].cast(pl.Utf8)
        other = splits.ne_missing("train").arg_true()
        if len(other):
            raise InputError(
                f"interactions: row {other[0]} is of the split {splits[other[0]]!r}, and {len(other):,} rows "
                "are not of 'train'; only training interactions may shape the graph, or tests mean nothing"
            )
    pairs = interactions.select(pl.col("user", "item").cast(pl.Utf8))
    for column in ("user", "item"):
        if pairs[column].null_count():
            row = pairs[column].is_null().arg_max()
            raise InputError(f"interactions: row {row} has no {column}; expected a user and an item")
    return pairs.unique(maintain_order=True)


def _choices(kg: KnowledgeGraph, pairs: pl.DataFrame) -> Matrix:
    """Return the 0/1 matrix [users, entities] of choices, without users who have only one."""
    items = kg.entities.filter(pl.col("kind") == ITEM).select(item="id", entity="entity")
    known = pairs.join(items, on="item")
    if not len(known):
        example = f" such as {items['item'][0]!r}" if len(items) else ""
        got = f", got {pairs['item'][0]!r}" if len(pairs) else ", got no row"
        raise InputError(f"interactions: none is with an item of the graph; expected item ids{example}{got}")
    known = known.filter(pl.len().over("user") > 1).sort("user", "entity")
    users = known.select(pl.col("user").rank("dense") - 1).to_series().to_numpy()
    cells = (np.ones(len(known)), (users, known["entity"].to_numpy()))
    shape = (int(users.max()) + 1 if len(users) else 0, kg.n_entities)
    return sparse.csr_matrix(cells, shape=shape)


def _ways(head: NDArray[np.int64], tail: NDArray[np.int64], is_item: NDArray[np.bool_]) -> Matrix:
    """Return the 0/1 matrix [entities, entities] of items and the other entities that they lead to."""
    out, back = is_item[head] & ~is_item[tail], is_item[tail] & ~is_item[head]
    items = np.concatenate([head[out], tail[back]])
    others = np.concatenate([tail[out], head[back]])
    return _binary(items, others, (len(is_item), len(is_item)))


def _judge(
    head: NDArray[np.int64],
    tail: NDArray[np.int64],
    is_item: NDArray[np.bool_],
    choices: Matrix,
    reach: Matrix,
    permutations: int,
    rng: np.random.Generator,
) -> dict[str, object]:
    subject = _subject(head, tail, is_item, choices, reach)
    if isinstance(subject, str):
        return {"joins": subject, "units": 0, "tails": 0}
    units = int((np.diff(subject.facts.indptr) > 0).sum())
    tails = int((subject.facts.getnnz(axis=0) > 0).sum())
    test = _permutation_test(_sampled(subject, rng), permutations, rng)
    return {"joins": subject.joins, "units": units, "tails": tails, **test}


def _subject(
    head: NDArray[np.int64],
    tail: NDArray[np.int64],
    is_item: NDArray[np.bool_],
    choices: Matrix,
    reach: Matrix,
) -> _Subject | str:
    """Choose how a relation joins items, by most of its triples; a word where it joins no two."""
    count = len(is_item)
    from_item, to_item = is_item[head], is_item[tail]
    between, one = from_item & to_item & (head != tail), from_item ^ to_item
    neither = ~from_item & ~to_item & (head != tail)
    if between.any() and between.sum() >= one.sum():
        ends = np.concatenate([head[between], tail[between]]), np.concatenate([tail[between], head[between]])
        return _compact("items", choices, _binary(*ends, (count, count)), np.flatnonzero(is_item))
    if one.any():
        units, tails = np.where(from_item, head, tail)[one], np.where(from_item, tail, head)[one]
        return _grouped("shared tails", choices, _binary(units, tails, (count, count)))
    if neither.any():
        # The side that items lead to is that of the units; where they lead to both, the head's.
        reached = reach.getnnz(axis=0) > 0
        sides = [(head[neither], tail[neither]), (tail[neither], head[neither])]
        units, tails = max(sides, key=lambda side: int(reached[side[0]].sum()))
        if not reached[units].any():
            return "farther"
        ways = (choices @ reach).tocsr()
        return _grouped("two hops", ways, _binary(units, tails, (count, count)))
    return "nothing"


def _grouped(joins: str, choices: Matrix, facts: Matrix) -> _Subject | str:
    """Keep tails that several units share and the units that have any; ``"nothing"`` where there is none.

    If there is one such tail, the units that lack it are kept too: they are what it tells apart.
    """
    chosen = choices.getnnz(axis=0) > 0
    shared = np.flatnonzero(facts[chosen].getnnz(axis=0) > 1)
    if not len(shared):
        return "nothing"
    facts = facts[:, shared].tocsr()
    units = np.flatnonzero(facts.getnnz(axis=1) > 0) if len(shared) > 1 else np.flatnonzero(chosen)
    return _compact(joins, choices, facts, units)


def _compact(joins: str, choices: Matrix, facts: Matrix, units: NDArray[np.int64]) -> _Subject:
    chosen = units[choices[:, units].getnnz(axis=0) > 0]
    square = facts.shape[0] == facts.shape[1] and joins == "items"
    facts = facts[chosen][:, chosen] if square else facts[chosen]
    return _Subject(joins, choices[:, chosen].tocsr(), facts.tocsr())


def _sampled(subject: _Subject, rng: np.random.Generator) -> _Subject:
    """Draw as many users as keep a sparse product below ``MOST_TERMS`` terms."""
    per_unit = np.diff(subject.facts.indptr)
    terms = np.zeros(subject.choices.shape[0])
    np.add.at(
        terms,
        np.repeat(np.arange(len(terms)), np.diff(subject.choices.indptr)),
        per_unit[subject.choices.indices],
    )
    if terms.sum() <= MOST_TERMS:
        return subject
    order = rng.permutation(len(terms))
    number = max(int(np.searchsorted(np.cumsum(terms[order]), MOST_TERMS)), 1)
    return _Subject(subject.joins, subject.choices[np.sort(order[:number])], subject.facts)


def _permutation_test(
    subject: _Subject, permutations: int, rng: np.random.Generator
) -> dict[str, float | None]:
    """Return the columns ``observed`` to ``p``; ``z`` and ``p`` are null where shuffling changes nothing."""
    choices, facts = subject.choices.astype(np.float64), subject.facts.astype(np.float64)
    per_user = np.asarray(choices.sum(axis=1)).ravel()
    votes = 1.0 / np.maximum(per_user - 1.0, 1.0)
    weighted = sparse.diags(np.sqrt(votes)) @ choices
    itself = np.asarray(weighted.power(2).sum(axis=0)).ravel()
    popularity = np.asarray(choices.sum(axis=0)).ravel().astype(np.float64)
    if subject.joins != "items":
        shared = np.asarray(facts.sum(axis=0)).ravel()
        hub = 1.0 / np.maximum(shared - 1.0, 1.0)
        facts = (facts @ sparse.diags(np.sqrt(hub))).tocsr()
    own = np.asarray(facts.power(2).sum(axis=1)).ravel()
    total = float((votes * (per_user**2 - np.asarray(choices.power(2).sum(axis=1)).ravel())).sum())
    pairs = float(popularity.sum() ** 2 - (popularity**2).sum())
    rate = total / pairs if pairs > 0 else 0.0

    def statistic(order: NDArray[np.int64]) -> tuple[float, float]:
        """Return T and what popularity alone makes of it."""
        if subject.joins == "items":
            moved = facts[order][:, order]
            found = float((weighted @ moved).multiply(weighted).sum())
            return found, rate * float(popularity @ (moved @ popularity))
        moved = facts[order]
        product = weighted @ moved
        found = float((product.data**2).sum() - itself @ own[order])
        return found, rate * float(((popularity @ moved) ** 2).sum() - popularity**2 @ own[order])

    strata = _strata(popularity)
    observed, by_popularity = statistic(np.arange(len(popularity)))
    shuffled = np.array([statistic(_shuffled(strata, rng)) for _ in range(permutations)])
    beyond = shuffled[:, 0] - shuffled[:, 1]
    expected, deviation = by_popularity + float(beyond.mean()), float(beyond.std(ddof=1))
    lift = observed / expected if expected > 0 else None
    figures = {"observed": observed, "expected": expected, "deviation": deviation, "lift": lift}
    if deviation <= 1e-9 * max(expected, 1.0):
        return {**figures, "z": None, "p": None}
    z = (observed - expected) / deviation
    p = float(stats.pearson3.sf(z, float(stats.skew(beyond))))
    as_high = int((beyond >= observed - by_popularity).sum())
    # The fitted tail speaks only where no shuffle came so far.
    return {**figures, "z": z, "p": max(p, (1 + as_high) / (1 + permutations)) if as_high else p}


def _strata(popularity: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the stratum of each unit: ``STRATA`` groups of like popularity, of 10 units and more each."""
    count = len(popularity)
    number = max(min(STRATA, count // 10), 1)
    rank = np.empty(count, dtype=np.int64)
    rank[np.argsort(popularity, kind="stable")] = np.arange(count)
    return rank * number // max(count, 1)


def _shuffled(strata: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return an order that moves each unit within its stratum."""
    places = np.argsort(strata, kind="stable")
    order = np.empty(len(strata), dtype=np.int64)
    order[places] = np.lexsort((rng.random(len(strata)), strata))
    return order


def _verdicts(table: pl.DataFrame, significance: float) -> pl.DataFrame:
    """Adjust the p-values for their number and say what they mean."""
    tested = table["p"].is_not_null().to_numpy()
    adjusted = np.full(len(table), np.nan)
    if tested.any():
        adjusted[tested] = stats.false_discovery_control(table["p"].to_numpy()[tested])
    verdict = (
        pl.when(pl.col("joins") == "nothing")
        .then(pl.lit("joins nothing"))
        .when(pl.col("joins") == "farther")
        .then(pl.lit("not judged"))
        .when((pl.col("p_adjusted") <= significance) & (pl.col("z") > 0) & (pl.col("units") >= MIN_UNITS))
        .then(pl.lit("useful"))
        .when((pl.col("units") < MIN_UNITS) | (pl.col("expected") < POWER * pl.col("deviation")))
        .then(pl.lit("too few"))
        .otherwise(pl.lit("chance"))
    )
    return (
        table.with_columns(pl.Series("p_adjusted", adjusted).fill_nan(None))
        .with_columns(verdict.alias("verdict"))
        .select([pl.col(name).cast(dtype) for name, dtype in USEFULNESS_SCHEMA.items()])
        .sort("z", "relation", descending=[True, False], nulls_last=True)
    )


def _binary(rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]) -> Matrix:
    matrix = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
    matrix.data[:] = 1.0
    return matrix
