"""The neighbourhood of the linked items in a graph that is too big to join whole.

Breadth first from the linked entities, with a budget: what more of them reach is taken first, hubs last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kg_builders.config import nearest
from kg_builders.errors import InputError

__all__ = ["ExpansionReport", "Hop", "extract_neighbourhood"]

Directions = Literal["both", "out", "in"]


@dataclass(frozen=True)
class Hop:
    """What one step away from the seeds gave.

    Parameters
    ----------
    hop
        Number of the step, from 1.
    entities
        Entities that were expanded, those that the step before reached.
    triples
        Triples of these that no step before took.
    taken
        Those that were taken.
    over_entity, over_budget
        Those that were left because their entity had its share, and because all triples were spent.
    reached
        New entities that the taken triples lead to.
    """

    hop: int
    entities: int
    triples: int
    taken: int
    over_entity: int
    over_budget: int
    reached: int

    def sentence(self) -> str:
        """Say it in a line."""
        return (
            f"hop {self.hop}: {self.taken:,} of {self.triples:,} triples around {self.entities:,} entities, "
            f"{self.reached:,} new entities; left {self.over_entity:,} over the limit of an entity, "
            f"{self.over_budget:,} over the budget"
        )


@dataclass(frozen=True)
class ExpansionReport:
    """What was taken from a graph, step by step.

    Parameters
    ----------
    seeds, absent
        Number of seeds, and of those without a triple in the graph (of the wanted relations).
    absent_examples
        A few of the latter.
    triples, taken
        Number of triples in the graph (of the wanted relations), and of those taken.
    hops
        What each step gave.
    """

    seeds: int
    absent: int
    absent_examples: tuple[str, ...]
    triples: int
    taken: int
    hops: tuple[Hop, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """Say it in a line, and a line for each step."""
        first = (
            f"{self.taken:,} of {self.triples:,} triples lie around {self.seeds - self.absent:,} of "
            f"{self.seeds:,} linked entities"
        )
        return "\n".join([first, *(hop.sentence() for hop in self.hops)])


def extract_neighbourhood(
    external: pl.DataFrame,
    seeds: Iterable[str],
    hops: int = 1,
    max_triples: int | None = None,
    max_per_entity: int | None = None,
    relations: Iterable[str] | None = None,
    directions: Directions = "both",
) -> tuple[pl.DataFrame, ExpansionReport]:
    """Take the triples around some entities out of a graph.

    Each step takes triples of the entities that the step before reached. Where a limit allows fewer than
    there are, triples are taken in this order: first those to an entity that more of the expanded entities
    are joined to, then those to an entity with fewer triples in the graph (hubs come last), then as they
    stand in ``external``. Without limits, ``hops`` steps take each triple with an end at most ``hops - 1``
    steps away.

    Parameters
    ----------
    external
        Columns ``head``, ``relation`` and ``tail`` (texts), and any others, which are kept.
    seeds
        Ids of the linked entities.
    hops
        Number of steps.
    max_triples
        Most triples to take in all; null for no limit. Steps near the seeds are served first.
    max_per_entity
        Most triples that an entity brings when it is expanded; null for no limit. A triple between two
        expanded entities is taken if either of them brings it.
    relations
        Names of the relations to follow; null for all.
    directions
        Whether triples are followed from head to tail (``out``), from tail to head (``in``), or ``both``.

    Returns
    -------
    pl.DataFrame
        Rows of ``external``, in its order.
    ExpansionReport
        What each step took and left.

    Raises
    ------
    InputError
        If a column or a value of it is missing, a number is not positive, the direction is unknown, or there
        is no such relation.
    """
    for column in ("head", "relation", "tail"):
        if column not in external.columns or external[column].null_count():
            raise InputError(f"neighbourhood: a triple has no {column}; expected head, relation and tail")
    for name, number in (("hops", hops), ("max_triples", max_triples), ("max_per_entity", max_per_entity)):
        if number is not None and number < 1:
            raise InputError(f"neighbourhood: {name} is {number}; expected at least 1")
    if directions not in ("both", "out", "in"):
        raise InputError(
            f"neighbourhood: unknown direction {directions!r}{nearest(directions, ['both', 'out', 'in'])}"
        )
    rows = _wanted(external, relations)
    entities, head, tail = _numbered(external, rows)
    wanted = (
        pl.DataFrame({"id": list(seeds)}, schema={"id": pl.Utf8}).drop_nulls().unique(maintain_order=True)
    )
    placed = wanted.join(entities, on="id", how="left", maintain_order="left")
    absent = placed.filter(pl.col("number").is_null())["id"]
    reached = np.zeros(len(entities), dtype=bool)
    reached[placed["number"].drop_nulls().to_numpy()] = True
    # A hub is known by all its triples, whichever way they are followed.
    degree = np.bincount(head, minlength=len(entities)) + np.bincount(tail, minlength=len(entities))
    taken = np.zeros(len(rows), dtype=bool)
    front = reached.copy()
    told: list[Hop] = []
    for hop in range(1, hops + 1):
        if not front.any():
            break
        left = None if max_triples is None else max_triples - int(taken.sum())
        proposals = _proposals(head, tail, front, taken, directions)
        chosen, over_entity, over_budget = _choose(*proposals, degree, max_per_entity, left)
        taken[chosen] = True
        new = np.zeros(len(entities), dtype=bool)
        new[head[chosen]] = new[tail[chosen]] = True
        new &= ~reached
        told.append(
            Hop(
                hop=hop,
                entities=int(front.sum()),
                triples=len(chosen) + over_entity + over_budget,
                taken=len(chosen),
                over_entity=over_entity,
                over_budget=over_budget,
                reached=int(new.sum()),
            )
        )
        reached |= new
        front = new
    report = ExpansionReport(
        seeds=len(wanted),
        absent=len(absent),
        absent_examples=tuple(absent[:5]),
        triples=len(rows),
        taken=int(taken.sum()),
        hops=tuple(told),
    )
    return external[rows[taken]], report


def _wanted(external: pl.DataFrame, relations: Iterable[str] | None) -> NDArray[np.int64]:
    """Return the numbers of the rows whose relation is followed."""
    if relations is None:
        return np.arange(len(external), dtype=np.int64)
    chosen = list(relations)
    known = external["relation"].unique().sort()
    for name in chosen:
        if name not in known:
            raise InputError(f"neighbourhood: the graph has no relation {name!r}{nearest(name, known)}")
    return np.flatnonzero(external["relation"].is_in(chosen).to_numpy())


def _numbered(
    external: pl.DataFrame, rows: NDArray[np.int64]
) -> tuple[pl.DataFrame, NDArray[np.int64], NDArray[np.int64]]:
    """Give the entities of some rows numbers.

    Returns
    -------
    pl.DataFrame
        Columns ``id`` and ``number``.
    NDArray, NDArray
        [rows], numbers of heads and tails.
    """
    ends = external.select("head", "tail")[rows]
    ids = pl.concat([ends["head"], ends["tail"].alias("head")]).unique(maintain_order=True).alias("id")
    entities = ids.to_frame().with_row_index("number").with_columns(pl.col("number").cast(pl.Int64))
    head, tail = (
        ends.select(id=end).join(entities, on="id", how="left", maintain_order="left")["number"].to_numpy()
        for end in ("head", "tail")
    )
    return entities, head, tail


def _proposals(
    head: NDArray[np.int64],
    tail: NDArray[np.int64],
    front: NDArray[np.bool_],
    taken: NDArray[np.bool_],
    directions: Directions,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return triples that are not taken, the expanded entity that brings each, and the one at its other end.

    A triple between two expanded entities is there twice, unless it is followed in one direction only.
    """
    parts = []
    if directions in ("both", "out"):
        rows = np.flatnonzero(front[head] & ~taken)
        parts.append((rows, head[rows], tail[rows]))
    if directions in ("both", "in"):
        rows = np.flatnonzero(front[tail] & ~taken)
        parts.append((rows, tail[rows], head[rows]))
    triple, by, other = (np.concatenate(part) for part in zip(*parts, strict=True))
    return triple, by, other


def _choose(
    triple: NDArray[np.int64],
    by: NDArray[np.int64],
    other: NDArray[np.int64],
    degree: NDArray[np.int64],
    max_per_entity: int | None,
    left: int | None,
) -> tuple[NDArray[np.int64], int, int]:
    """Take the first triples within the limits.

    Parameters
    ----------
    triple, by, other
        From ``_proposals``.
    degree
        [entities], triples of each entity in the graph.
    max_per_entity
        Most triples that an expanded entity brings.
    left
        Most triples in all.

    Returns
    -------
    NDArray
        Triples that are taken.
    int, int
        Number of triples left for each of the limits.
    """
    found = len(triple[_first(triple)])
    # How many different expanded entities are joined to each entity; several relations count once.
    links = _first(other * len(degree) + by)
    support = np.bincount(other[links], minlength=len(degree))
    order = np.lexsort((triple, degree[other], -support[other]))
    triple, by = triple[order], by[order]
    if max_per_entity is not None:
        grouped = np.argsort(by, kind="stable")
        starts = np.flatnonzero(np.diff(by[grouped], prepend=-1))
        lengths = np.diff(np.append(starts, len(by)))
        rank = np.empty(len(by), dtype=np.int64)
        rank[grouped] = np.arange(len(by)) - np.repeat(starts, lengths)
        triple = triple[rank < max_per_entity]
    within = triple[_first(triple)]
    chosen = within if left is None else within[:left]
    return chosen, found - len(within), len(within) - len(chosen)


def _first(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places where each value occurs first, ascending."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    new = np.ones(len(values), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return np.sort(order[new])
